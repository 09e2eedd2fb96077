"""Images with what a network says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray

from nnxp.errors import ShapeError
from nnxp.plotting._curves import draw_curves
from nnxp.plotting._reading import class_name, host, read_labels
from nnxp.plotting._style import INK, RED, WIDTH, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase


__all__ = ["image_row", "report"]

CHARACTERS, IMAGES_PER_ROW = 120, 12
"""How much text fits into a row, and how many images."""


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
    pixels = read_images(images)
    rows, columns = _layout(len(pixels))
    side = min(WIDTH / columns, 1.6)
    figure = new_figure(max(side * columns, 4.0), (side + 0.2) * rows + (0.4 if title else 0.1), title)
    _gallery(figure, pixels, read_labels("labels", labels), read_labels("predictions", predictions), class_names)
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
    pixels = read_images(images)
    rows, columns = _layout(len(pixels))
    top, bottom = 3.6, rows * (min(WIDTH / columns, 1.6) + 0.2) + 0.3
    figure = new_figure(WIDTH, top + bottom + 0.4, title)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[top, bottom], hspace=0.04).ravel()
    draw_curves(upper, history)
    lower.suptitle("Predicted classes, wrong ones in red", x=0.012, ha="left", fontsize=11, color=INK)
    _gallery(lower, pixels, read_labels("labels", labels), read_labels("predictions", predictions), class_names)
    return figure


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
        text = axes.set_xlabel(class_name(predicted, class_names), color=INK, fontsize=9)
        if label != predicted:
            answer, truth = f"{text.get_text()},", f"is {class_name(label, class_names)}"
            separator = " " if len(answer + truth) < CHARACTERS // max(columns, 7) else "\n"
            text.set(text=f"{answer}{separator}{truth}", color=RED, fontweight="bold")
            axes.spines[:].set(color=RED, linewidth=2.5)


def _layout(images: int) -> tuple[int, int]:
    """Rows and columns, as even as they come."""
    rows = ceil(images / IMAGES_PER_ROW)
    return rows, ceil(images / rows)


def read_images(images: ArrayLike) -> NDArray[Any]:
    pixels = host("images", images)
    if pixels.ndim == 4 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim != 3 or pixels.size == 0:
        raise ShapeError(f"expected images of shape (N, H, W) or (N, H, W, 1), got {pixels.shape}.")
    return pixels
