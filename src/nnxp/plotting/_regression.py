"""A fit of a curve, still or while it learns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from nnxp._check import positive_int
from nnxp._files import replacement
from nnxp.errors import ConfigurationError, ShapeError
from nnxp.plotting._files import check
from nnxp.plotting._reading import column
from nnxp.plotting._style import BLUE, VERMILION, grid, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


__all__ = ["animate_regression", "regression_fit", "still"]


def regression_fit(x: ArrayLike, y: ArrayLike, prediction: ArrayLike, *, title: str | None = None) -> Figure:
    """The samples as points and the prediction as a line, from left to right: one feature, one output.

    Shapes: [N] or [N, 1].
    """
    figure = new_figure(7.0, 4.4, title)
    _fit(grid(figure.add_subplot()), x, y, prediction)
    return figure


def animate_regression(
    path: str | Path,
    x: ArrayLike,
    y: ArrayLike,
    frames: Sequence[tuple[str, ArrayLike]],
    *,
    milliseconds: int = 80,
) -> None:
    """Write a GIF of a fit while it learns: a `regression_fit` for each ``(title, prediction)``, in one scale.

    The last frame stays for two seconds. A file that stood there is replaced as a whole.

    Raises ``ConfigurationError`` for no frames or a suffix other than .gif, ``FileNotWritable`` as `save` does.
    """
    if not frames:
        raise ConfigurationError("animate_regression expected at least one frame (title, prediction), got none.")
    kind = check(path, animation=True)
    images = [_image(still(x, y, title, prediction)) for title, prediction in frames]
    pause = positive_int("animate_regression", "milliseconds", milliseconds)
    durations = [pause] * (len(images) - 1) + [2000]
    with replacement(path) as file:
        options = {"save_all": True, "append_images": images[1:], "duration": durations, "loop": 0, "optimize": True}
        images[0].save(file, format=kind, **options)


def _fit(axes: Axes, x: ArrayLike, y: ArrayLike, prediction: ArrayLike) -> None:
    x, y, prediction = column("x", x), column("y", y), column("prediction", prediction)
    if not len(x) == len(y) == len(prediction):
        lengths = f"{len(x)}, {len(y)} and {len(prediction)}"
        raise ShapeError(f"regression_fit expected x, y and prediction of the same length, got {lengths}.")
    order = np.argsort(x, kind="stable")
    axes.plot(x, y, "o", color=BLUE, alpha=0.45, markersize=4, markeredgewidth=0, label="data")
    axes.plot(x[order], prediction[order], color=VERMILION, linewidth=2, label="prediction")
    axes.set(xlabel="x", ylabel="y")
    axes.legend(frameon=False)


def still(x: ArrayLike, y: ArrayLike, title: str, prediction: ArrayLike) -> Figure:
    """One picture of an animation; its axes are those of the data, wherever the prediction is."""
    figure = new_figure(6.0, 3.8, title)
    axes = grid(figure.add_subplot())
    _fit(axes, x, y, prediction)
    low, high = float(np.min(column("y", y))), float(np.max(column("y", y)))
    margin = 0.15 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)
    axes.legend(frameon=False, loc="upper right")
    return figure


def _image(figure: Figure) -> Any:
    """A figure as an image in the few colours of a GIF."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(64)
