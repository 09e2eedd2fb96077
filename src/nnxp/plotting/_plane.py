"""Points in the plane, and what a network thinks of every place between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnxp._check import positive_int
from nnxp.errors import ConfigurationError, DataError, ShapeError
from nnxp.plotting._reading import class_name, host, read_labels
from nnxp.plotting._style import CLASS_COLOURS, INK, LEGEND, MARKERS, bare, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


__all__ = ["decision_boundaries", "decision_boundary"]

ROUNDING = 1e-5
"""How far from 0 and 1 rounding may take a probability."""


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
    figure = new_figure(7.0, 5.2, title)
    x, y = _plane("decision_boundary", x, y)
    axes = bare(figure.add_subplot())
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
    figure = new_figure(3.4 * columns, 2.8 * rows + (0.4 if title else 0.0), title)
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in cells[len(predicts) :]:
        axes.set_axis_off()
    for axes, (name, predict) in zip(cells, predicts.items(), strict=False):
        _boundary(bare(axes), predict, x, y, resolution, None, size=9)
        axes.set_title(name, fontsize=10, color=INK)
        axes.set(xticks=[], yticks=[])
    return figure


def _plane(owner: str, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    x, y = host("x", x), read_labels("y", y)
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
    classes, most = _regions(axes, predict, x, resolution), int(y.max())
    if most >= classes:
        raise DataError(f"predict knows {classes} classes, expected labels 0 to {classes - 1}, got {most}.")
    for k in range(classes):
        colour, marker = CLASS_COLOURS[k % len(CLASS_COLOURS)], MARKERS[k // len(CLASS_COLOURS) % len(MARKERS)]
        style: dict[str, Any] = {"s": size, "color": colour, "marker": marker, "edgecolor": "black"}
        label = class_name(k, class_names) if k < LEGEND else None
        axes.scatter(*x[y == k].T, label=label, zorder=3, linewidth=size / 43, **style)
    return classes


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
    p = host("the prediction", prediction)
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
