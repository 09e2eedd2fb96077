"""Pictures of a network at work: its curves, its decision regions, its fit, its answers.

Each function returns a Matplotlib ``Figure`` and leaves no state behind: nothing is shown, no display is needed, no
default is changed. Arrays are host arrays. The colours are Okabe and Ito's, which colour-blind readers can tell apart:
https://jfly.uni-koeln.de/color/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnxp._check import one_line, positive_int
from nnxp._files import replacement
from nnxp.errors import ConfigurationError, DataError, DtypeError, MissingDependencyError, ShapeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

__all__ = [
    "animate_regression",
    "check",
    "decision_boundaries",
    "decision_boundary",
    "history",
    "image_row",
    "lines",
    "loss_and_accuracy",
    "regression_fit",
    "report",
    "save",
]

BLUE, VERMILION, RED, INK, GRID = "#0072B2", "#D55E00", "#C81E1E", "#333333", "#E3E3E3"
CLASS_COLOURS = (BLUE, "#E69F00", "#009E73", "#CC79A7", "#56B4E9", VERMILION, "#F0E442", "#999999")
MARKERS, LINES = ("o", "s", "^", "D"), ("-", "--", ":", "-.")
FORMATS = ("png", "pdf", "svg")
WIDTH, DPI, CHARACTERS, IMAGES_PER_ROW, LEGEND = 10.0, 150, 120, 12, 12
ROUNDING = 1e-5
_INSTALL = 'matplotlib is not installed; pip install "nnxp[plot]"'


def history(history: Mapping[str, Sequence[float]], *, title: str | None = None) -> Figure:
    """Training curves, one point per epoch: the loss on the left; other metrics, if there are any, on the right.

    ``history`` maps names to values. "val_accuracy" is the validation curve of "accuracy"; what ends in "loss" belongs
    to the left. The loss gets a logarithmic scale when it spans more than two decades, and "data_loss" is left out
    where it is the loss.
    """
    figure = _figure(WIDTH, 3.8, title)
    _curves(figure, history)
    return figure


def decision_boundary(
    predict: Callable[[NDArray[np.float64]], ArrayLike],
    x: ArrayLike,
    y: ArrayLike,
    *,
    resolution: int = 200,
    title: str | None = None,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """The plane in the colours of the predicted classes, and the samples on it: x[N, 2], labels y[N].

    ``predict`` maps points [M, 2] to probabilities of the classes [M, K], or of class 1 alone [M, 1]; it is asked once,
    for resolution² points. Where one colour fades into another, the network is not sure.
    """
    figure = _figure(7.0, 5.2, title)
    x, y = _plane("decision_boundary", x, y)
    axes = _bare(figure.add_subplot())
    classes = _boundary(axes, predict, x, y, positive_int("decision_boundary", "resolution", resolution), class_names)
    heading = "class" if classes <= LEGEND else f"{LEGEND} of {classes} classes"
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, title=heading)
    return figure


def decision_boundaries(
    predicts: Mapping[str, Callable[[NDArray[np.float64]], ArrayLike]],
    x: ArrayLike,
    y: ArrayLike,
    *,
    columns: int = 3,
    resolution: int = 120,
    title: str | None = None,
) -> Figure:
    """A grid of `decision_boundary` pictures over the same samples: one for each name in ``predicts``."""
    if not predicts:
        raise ConfigurationError("decision_boundaries expected at least one predict, got none.")
    x, y = _plane("decision_boundaries", x, y)
    columns = min(positive_int("decision_boundaries", "columns", columns), len(predicts))
    resolution, rows = positive_int("decision_boundaries", "resolution", resolution), ceil(len(predicts) / columns)
    figure = _figure(3.4 * columns, 2.8 * rows + (0.4 if title else 0.0), title)
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in cells[len(predicts) :]:
        axes.set_axis_off()
    for axes, (name, predict) in zip(cells, predicts.items(), strict=False):
        _boundary(_bare(axes), predict, x, y, resolution, None, size=9)
        axes.set_title(name, fontsize=10, color=INK)
        axes.set(xticks=[], yticks=[])
    return figure


def lines(
    x: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    points: Sequence[tuple[float, float]] = (),
    xlabel: str = "x",
    ylabel: str = "y",
    log: bool = False,
    title: str | None = None,
) -> Figure:
    """Curves over one x, each with its name in the legend: ``curves[name]`` has the length of ``x``.

    ``points`` are marked; ``log`` gives y a logarithmic scale. NaN leaves a gap.
    """
    figure, x = _figure(7.0, 4.4, title), _column("x", x)
    axes = _grid(figure.add_subplot())
    for index, (name, values) in enumerate(curves.items()):
        colour, values = CLASS_COLOURS[index % len(CLASS_COLOURS)], _column(name, values)
        if len(values) != len(x):
            raise ShapeError(f"lines expected {len(x)} values of {name!r}, as many as x has, got {len(values)}.")
        axes.plot(x, values, LINES[index // len(CLASS_COLOURS) % len(LINES)], color=colour, linewidth=1.8, label=name)
    if points:
        axes.plot(*zip(*points, strict=True), "o", color=INK, markersize=6, zorder=3)
    axes.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
    axes.legend(frameon=False, fontsize=9)
    return figure


def loss_and_accuracy(
    history: Mapping[str, Sequence[float]],
    *,
    loss: str = "loss",
    accuracy: str = "val_accuracy",
    title: str | None = None,
) -> Figure:
    """Two curves in one picture: the loss on the left axis, the accuracy on the right one, one point per epoch."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    for name in (loss, accuracy):
        if name not in history:
            raise ConfigurationError(f"loss_and_accuracy: the history has no {name!r}; it has {sorted(history)}.")
    figure = _figure(7.0, 4.4, title)
    left = _grid(figure.add_subplot())
    right = left.twinx()
    for axes, name, colour in ((left, loss, BLUE), (right, accuracy, VERMILION)):
        label = name.replace("val_", "validation ").replace("_", " ")
        axes.plot(range(1, len(history[name]) + 1), history[name], color=colour, linewidth=1.8)
        axes.set_ylabel(label if " " in label else f"training {label}", color=colour)
        axes.tick_params(axis="y", colors=colour)
    right.yaxis.set_major_formatter(PercentFormatter(1.0))
    right.spines[["top", "left", "bottom"]].set_visible(False)
    left.set_xlabel("epoch", color=INK)
    left.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    return figure


def regression_fit(x: ArrayLike, y: ArrayLike, prediction: ArrayLike, *, title: str | None = None) -> Figure:
    """The samples as points and the prediction as a line, from left to right: one feature, one output.

    Shapes: [N] or [N, 1].
    """
    figure = _figure(7.0, 4.4, title)
    _fit(_grid(figure.add_subplot()), x, y, prediction)
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
    if Path(path).suffix.lower() != ".gif":
        raise ConfigurationError(f"{path} ends in {Path(path).suffix!r}; an animation is saved as .gif.")
    images = [_image(_still(x, y, title, prediction)) for title, prediction in frames]
    pause = positive_int("animate_regression", "milliseconds", milliseconds)
    durations = [pause] * (len(images) - 1) + [2000]
    with replacement(path) as file:
        options = {"save_all": True, "append_images": images[1:], "duration": durations, "loop": 0, "optimize": True}
        images[0].save(file, format="GIF", **options)


def image_row(
    images: ArrayLike,
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Images [N, H, W] or [N, H, W, 1] in a row, the predicted class under each; more than 12 take several rows.

    Labels and predictions are classes [N], or probabilities [N, K]. A wrong prediction is red, framed, and names the
    true class: "7, is 1".
    """
    pixels = _images(images)
    rows, columns = _layout(len(pixels))
    side = min(WIDTH / columns, 1.6)
    figure = _figure(max(side * columns, 4.0), (side + 0.2) * rows + (0.4 if title else 0.1), title)
    _gallery(figure, pixels, _labels("labels", labels), _labels("predictions", predictions), class_names)
    return figure


def report(
    history: Mapping[str, Sequence[float]],
    images: ArrayLike,
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """One page about a trained classifier of images: ``history`` on top, ``image_row`` below."""
    pixels = _images(images)
    rows, columns = _layout(len(pixels))
    top, bottom = 3.6, rows * (min(WIDTH / columns, 1.6) + 0.2) + 0.3
    figure = _figure(WIDTH, top + bottom + 0.4, title)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[top, bottom], hspace=0.04).ravel()
    _curves(upper, history)
    lower.suptitle("Predicted classes, wrong ones in red", x=0.012, ha="left", fontsize=11, color=INK)
    _gallery(lower, pixels, _labels("labels", labels), _labels("predictions", predictions), class_names)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, PDF or SVG, by the suffix of ``path``; a file that stood there is replaced as a whole.

    Raises ``ConfigurationError`` for another suffix, ``FileNotWritable`` where the file cannot be written.
    """
    kind = check(path)
    with replacement(path) as file:
        figure.savefig(file, format=kind, dpi=DPI)


def check(path: str | Path) -> str:
    """The format that `save` will write to ``path``; raises at once what `save` would raise after the work is done."""
    if find_spec("matplotlib") is None:
        raise MissingDependencyError(_INSTALL)
    suffix = Path(path).suffix
    kind = suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise ConfigurationError(f"{path} ends in {suffix!r}; a picture is saved as .png, .pdf or .svg.")
    return kind


def _curves(figure: FigureBase, history: Mapping[str, Sequence[float]]) -> None:
    shown = {name: list(values) for name, values in history.items() if len(values) and not _is_repeated(name, history)}
    losses = [name for name in shown if name.endswith("loss")]
    panels = [names for names in (losses, [name for name in shown if name not in losses]) if names]
    if not panels:
        raise DataError("history holds no finished epoch; train for at least one, then plot.")
    for axes, names in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _panel(_grid(axes), {name: shown[name] for name in names})
        if names is losses and _spans_decades([value for name in names for value in shown[name]]):
            axes.set_yscale("log")


def _panel(axes: Axes, curves: Mapping[str, list[float]]) -> None:
    """Training blue, validation vermilion; a second metric has another kind of line."""
    from matplotlib.ticker import MaxNLocator

    metrics = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    for name, values in curves.items():
        metric = name.removeprefix("val_")
        part, colour = ("training", BLUE) if metric == name else ("validation", VERMILION)
        line, marker = LINES[metrics.index(metric) % len(LINES)], "o" if len(values) == 1 else None
        label = f"{part} {metric.replace('_', ' ')}"
        width = 1.8 if line == "-" else 1.3
        axes.plot(range(1, len(values) + 1), values, line, color=colour, marker=marker, linewidth=width, label=label)
    axes.set_title("loss" if "loss" in metrics else ", ".join(metrics), loc="left", fontsize=11, color=INK)
    axes.set_xlabel("epoch", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.legend(frameon=False, fontsize=9)


def _is_repeated(name: str, history: Mapping[str, Sequence[float]]) -> bool:
    """Whether a data loss is the loss, because nothing is regularized."""
    return name.endswith("data_loss") and list(history[name]) == list(history.get(name.replace("data_", ""), ()))


def _spans_decades(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) > 100 * min(values)


def _plane(owner: str, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    x, y = _host("x", x), _labels("y", y)
    if x.ndim != 2 or x.shape[1] != 2 or len(x) != len(y) or len(x) == 0:
        raise ShapeError(f"{owner} expected x of shape (N, 2) and N labels, got {x.shape} and {y.shape}.")
    return x, y


def _boundary(
    axes: Axes,
    predict: Callable[[NDArray[np.float64]], ArrayLike],
    x: NDArray[Any],
    y: NDArray[Any],
    resolution: int,
    class_names: Sequence[str] | None,
    *,
    size: float = 26,
) -> int:
    """Paint the regions and the samples; how many classes there are."""
    classes = max(_regions(axes, predict, x, resolution), int(y.max()) + 1)
    for k in range(classes):
        colour, marker = CLASS_COLOURS[k % len(CLASS_COLOURS)], MARKERS[k // len(CLASS_COLOURS) % len(MARKERS)]
        style: dict[str, Any] = {"s": size, "color": colour, "marker": marker, "edgecolor": "black"}
        label = _name(k, class_names) if k < LEGEND else None
        axes.scatter(*x[y == k].T, label=label, zorder=3, linewidth=size / 43, **style)
    return classes


def _fit(axes: Axes, x: ArrayLike, y: ArrayLike, prediction: ArrayLike) -> None:
    x, y, prediction = _column("x", x), _column("y", y), _column("prediction", prediction)
    if not len(x) == len(y) == len(prediction):
        lengths = f"{len(x)}, {len(y)} and {len(prediction)}"
        raise ShapeError(f"regression_fit expected x, y and prediction of the same length, got {lengths}.")
    order = np.argsort(x, kind="stable")
    axes.plot(x, y, "o", color=BLUE, alpha=0.45, markersize=4, markeredgewidth=0, label="data")
    axes.plot(x[order], prediction[order], color=VERMILION, linewidth=2, label="prediction")
    axes.set(xlabel="x", ylabel="y")
    axes.legend(frameon=False)


def _still(x: ArrayLike, y: ArrayLike, title: str, prediction: ArrayLike) -> Figure:
    """One picture of an animation; its axes are those of the data, wherever the prediction is."""
    figure = _figure(6.0, 3.8, title)
    axes = _grid(figure.add_subplot())
    _fit(axes, x, y, prediction)
    low, high = float(np.min(_column("y", y))), float(np.max(_column("y", y)))
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


def _regions(axes: Axes, predict: Callable[[NDArray[np.float64]], ArrayLike], x: NDArray[Any], resolution: int) -> int:
    """Paint the predicted classes around the points ``x``; how many classes there are."""
    (left, bottom), (right, top) = x.min(0), x.max(0)
    margin_x, margin_y = 0.08 * (right - left) or 1.0, 0.08 * (top - bottom) or 1.0
    across = np.linspace(left - margin_x, right + margin_x, resolution)
    up = np.linspace(bottom - margin_y, top + margin_y, resolution)
    points = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    share = _probabilities(predict(points), len(points)).reshape(resolution, resolution, -1)
    extent = (across[0], across[-1], up[0], up[-1])
    axes.imshow(share @ _tints(share.shape[-1]), extent=extent, origin="lower", aspect="auto", interpolation="bilinear")
    for k in range(share.shape[-1]):
        lead = share[..., k] - np.delete(share, k, axis=-1).max(axis=-1)
        if lead.min() < 0 < lead.max():
            axes.contour(across, up, lead, levels=[0.0], colors="white", linewidths=1.4)
    return share.shape[-1]


def _probabilities(prediction: ArrayLike, rows: int) -> NDArray[Any]:
    """What ``predict`` returned, as rows of two or more shares that sum to 1."""
    p = _host("the prediction", prediction)
    if p.ndim != 2 or len(p) != rows or p.shape[1] == 0:
        raise ShapeError(f"predict returned shape {p.shape}, expected ({rows}, classes) or ({rows}, 1).")
    if not (p.min() >= -ROUNDING and p.max() <= 1 + ROUNDING):
        raise DataError(f"predict returned values from {p.min():g} to {p.max():g}, expected probabilities in [0, 1].")
    p = np.clip(p, 0, 1)
    if p.shape[1] == 1:
        return np.concatenate([1 - p, p], axis=1)
    shares: NDArray[Any] = p / np.maximum(p.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return shares


def _tints(classes: int) -> NDArray[Any]:
    """The class colours, thinned with white so that the points stand out: [K, 3]."""
    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(CLASS_COLOURS[k % len(CLASS_COLOURS)]) for k in range(classes)])
    return 0.55 + 0.45 * colours


def _gallery(
    figure: FigureBase,
    images: NDArray[Any],
    labels: NDArray[Any],
    predictions: NDArray[Any],
    class_names: Sequence[str] | None,
) -> None:
    if not len(images) == len(labels) == len(predictions):
        lengths = f"{len(images)}, {len(labels)} and {len(predictions)}"
        raise ShapeError(f"expected as many labels and predictions as images, got {lengths}.")
    rows, columns = _layout(len(images))
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in cells[len(images) :]:
        axes.set_axis_off()
    for axes, image, label, predicted in zip(cells, images, labels, predictions, strict=False):
        axes.imshow(image, cmap="gray_r", vmin=images.min(), vmax=images.max())
        axes.set(xticks=[], yticks=[], anchor="N")
        axes.spines[:].set(color="#BBBBBB", linewidth=0.8)
        text = axes.set_xlabel(_name(predicted, class_names), color=INK, fontsize=9)
        if label != predicted:
            answer, truth = f"{text.get_text()},", f"is {_name(label, class_names)}"
            separator = " " if len(answer + truth) < CHARACTERS // max(columns, 7) else "\n"
            text.set(text=f"{answer}{separator}{truth}", color=RED, fontweight="bold")
            axes.spines[:].set(color=RED, linewidth=2.5)


def _layout(images: int) -> tuple[int, int]:
    """Rows and columns, as even as they come."""
    rows = ceil(images / IMAGES_PER_ROW)
    return rows, ceil(images / rows)


def _images(images: ArrayLike) -> NDArray[Any]:
    pixels = _host("images", images)
    if pixels.ndim == 4 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim != 3 or pixels.size == 0:
        raise ShapeError(f"expected images of shape (N, H, W) or (N, H, W, 1), got {pixels.shape}.")
    return pixels


def _labels(name: str, value: ArrayLike) -> NDArray[Any]:
    """Classes [N] from classes [N] or [N, 1], or from probabilities [N, K]."""
    array = _host(name, value)
    if array.ndim == 2:
        array = array[:, 0] if array.shape[1] == 1 else array.argmax(axis=1)
    if array.ndim != 1 or not np.array_equal(array, np.floor(array)) or (array < 0).any():
        found = f"{array.dtype} of shape {array.shape}"
        raise DataError(f"{name} must be classes 0, 1, ... of shape (N,) or probabilities (N, K), got {found}.")
    return array.astype(np.int64)


def _column(name: str, value: ArrayLike) -> NDArray[Any]:
    array = _host(name, value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ShapeError(f"regression_fit draws one feature and one output; expected {name} (N, 1), got {array.shape}.")
    return array


def _host(name: str, value: ArrayLike) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"{name} is not an array on the host ({one_line(error)}); use backend.to_numpy.") from error
    if array.dtype.kind not in "biuf":
        raise DtypeError(f"{name} must hold real numbers, got {array.dtype}.")
    return array


def _name(label: int, class_names: Sequence[str] | None) -> str:
    return str(class_names[label]) if class_names is not None and label < len(class_names) else str(label)


def _figure(width: float, height: float, title: str | None) -> Figure:
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise MissingDependencyError(_INSTALL) from error
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=0.08, rect=(0.01, 0.01, 0.98, 0.98)))
    if title is not None:
        figure.suptitle(title, fontsize=13, fontweight="bold", color=INK)
    return figure


def _bare(axes: Axes) -> Axes:
    """Axes without the two spines that carry no ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color("#999999")
    axes.tick_params(colors=INK, labelsize=9)
    return axes


def _grid(axes: Axes) -> Axes:
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return _bare(axes)
