"""Images with what a network says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

CHARACTERS, IMAGES_PER_ROW, LINE = 120, 12, 0.24
"""How much text fits into a row, how many images, and how high a line of text is, in inches."""


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
    gallery = _Gallery.of(images, labels, predictions, class_names)
    width, height = gallery.size
    figure = new_figure(max(width, 4.0), height + (0.4 if title else 0.1), title)
    gallery.draw(figure)
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
    gallery = _Gallery.of(images, labels, predictions, class_names)
    top, bottom = 3.6, gallery.size[1] + 0.3
    figure = new_figure(WIDTH, top + bottom + 0.4, title)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[top, bottom], hspace=0.04).ravel()
    draw_curves(upper, history)
    lower.suptitle("Predicted classes, wrong ones in red", x=0.012, ha="left", fontsize=11, color=INK)
    gallery.draw(lower)
    return figure


@dataclass(frozen=True, eq=False)
class _Gallery:
    """Images and what stands under each: the predicted class, and the true one where that is another."""

    images: NDArray[Any]
    answers: list[tuple[str, str | None]]
    columns: int

    @classmethod
    def of(
        cls, images: ArrayLike, labels: ArrayLike, predictions: ArrayLike, class_names: Sequence[str] | None
    ) -> _Gallery:
        """Read what is drawn, and find a number of columns that leaves room for the names."""
        pixels = read_images(images)
        truth, guess = read_labels("labels", labels), read_labels("predictions", predictions)
        if not len(pixels) == len(truth) == len(guess):
            lengths = f"{len(pixels)}, {len(truth)} and {len(guess)}"
            raise ShapeError(f"expected as many labels and predictions as images, got {lengths}.")
        answers = [
            (class_name(p, class_names), None if p == y else class_name(y, class_names))
            for y, p in zip(truth, guess, strict=True)
        ]
        longest = max(len(name) for answer in answers for name in answer if name is not None)
        most = max(1, min(IMAGES_PER_ROW, CHARACTERS // (longest + len("is ,") + 4)))
        rows = ceil(len(pixels) / most)
        return cls(pixels, answers, ceil(len(pixels) / rows))

    @property
    def size(self) -> tuple[float, float]:
        """Width and height, in inches."""
        side, rows = min(WIDTH / self.columns, 1.6), ceil(len(self.images) / self.columns)
        lines = 2 if any("\n" in self._caption(*answer) for answer in self.answers) else 1
        return side * self.columns, (side + 0.2 + LINE * (lines - 1)) * rows

    def draw(self, figure: FigureBase) -> None:
        """Put the images into a figure, as even as they come."""
        cells = figure.subplots(ceil(len(self.images) / self.columns), self.columns, squeeze=False).ravel()
        for axes in cells[len(self.images) :]:
            axes.set_axis_off()
        for axes, image, (answer, truth) in zip(cells, self.images, self.answers, strict=False):
            axes.imshow(image, cmap="gray_r", vmin=self.images.min(), vmax=self.images.max())
            axes.set(xticks=[], yticks=[], anchor="N")
            right = truth is None
            weight = "normal" if right else "bold"
            axes.set_xlabel(self._caption(answer, truth), color=INK if right else RED, fontsize=9, fontweight=weight)
            axes.spines[:].set(color="#BBBBBB" if right else RED, linewidth=0.8 if right else 2.5)

    def _caption(self, answer: str, truth: str | None) -> str:
        if truth is None:
            return answer
        fits = len(answer + truth) + 4 < CHARACTERS // max(self.columns, 7)
        return f"{answer},{' ' if fits else chr(10)}is {truth}"


def read_images(images: ArrayLike) -> NDArray[Any]:
    """Pixels [N, H, W]."""
    pixels = host("images", images)
    if pixels.ndim == 4 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim != 3 or pixels.size == 0:
        raise ShapeError(f"expected images of shape (N, H, W) or (N, H, W, 1), got {pixels.shape}.")
    return pixels
