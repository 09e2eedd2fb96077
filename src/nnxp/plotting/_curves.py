"""Curves: of a training, and of any function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from nnxp.errors import ConfigurationError, DataError, ShapeError
from nnxp.plotting._reading import column
from nnxp.plotting._style import BLUE, CLASS_COLOURS, INK, LINES, VERMILION, WIDTH, grid, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase


__all__ = ["draw_curves", "history", "lines", "loss_and_accuracy"]


def history(history: Mapping[str, Sequence[float]], *, title: str | None = None) -> Figure:
    """Training curves, one point per epoch: the loss on the left; other metrics, if there are any, on the right.

    ``history`` maps names to values. "val_accuracy" is the validation curve of "accuracy"; what ends in "loss" belongs
    to the left. The loss gets a logarithmic scale when it spans more than two decades, and "data_loss" is left out
    where it is the loss; confusion matrices are left out, too.
    """
    figure = new_figure(WIDTH, 3.8, title)
    draw_curves(figure, history)
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
    figure, x = new_figure(7.0, 4.4, title), column("x", x)
    axes = grid(figure.add_subplot())
    for index, (name, values) in enumerate(curves.items()):
        colour, values = CLASS_COLOURS[index % len(CLASS_COLOURS)], column(name, values)
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
    for name in (loss, accuracy):
        if name not in history:
            raise ConfigurationError(f"loss_and_accuracy: the history has no {name!r}; it has {sorted(history)}.")
    figure = new_figure(7.0, 4.4, title)
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    left = grid(figure.add_subplot())
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


def draw_curves(figure: FigureBase, history: Mapping[str, Sequence[float]]) -> None:
    """Losses on the left, other metrics on the right; training and validation in two colours."""
    curves = {name: list(values) for name, values in history.items() if len(values) and _is_number(values[0])}
    shown = {name: values for name, values in curves.items() if not _is_repeated(name, history)}
    losses = [name for name in shown if name.endswith("loss")]
    panels = [names for names in (losses, [name for name in shown if name not in losses]) if names]
    if not panels:
        raise DataError("history holds no finished epoch; train for at least one, then plot.")
    for axes, names in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _panel(grid(axes), {name: shown[name] for name in names})
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


def _is_number(value: object) -> bool:
    """Not the confusion matrix of an epoch."""
    return not isinstance(value, list | tuple) and not getattr(value, "ndim", 0)


def _is_repeated(name: str, history: Mapping[str, Sequence[float]]) -> bool:
    """Whether a data loss is the loss, because nothing is regularized."""
    return name.endswith("data_loss") and list(history[name]) == list(history.get(name.replace("data_", ""), ()))


def _spans_decades(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) > 100 * min(values)
