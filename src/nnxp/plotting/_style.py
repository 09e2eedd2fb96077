"""How all pictures look. The colours are Okabe and Ito's, which colour-blind readers can tell apart:
https://jfly.uni-koeln.de/color/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnxp.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


__all__ = [
    "BLUE",
    "CLASS_COLOURS",
    "GRID",
    "INK",
    "INSTALL",
    "LEGEND",
    "LINES",
    "MARKERS",
    "RED",
    "VERMILION",
    "WIDTH",
    "bare",
    "grid",
    "new_figure",
]

BLUE, VERMILION, RED, INK, GRID = "#0072B2", "#D55E00", "#C81E1E", "#333333", "#E3E3E3"
CLASS_COLOURS = (BLUE, "#E69F00", "#009E73", "#CC79A7", "#56B4E9", VERMILION, "#F0E442", "#999999")
MARKERS, LINES = ("o", "s", "^", "D"), ("-", "--", ":", "-.")
WIDTH, LEGEND = 10.0, 12
INSTALL = 'matplotlib is not installed; pip install "nnxp[plot]"'


def new_figure(width: float, height: float, title: str | None) -> Figure:
    """An empty figure, in inches; `MissingDependencyError` without matplotlib."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise MissingDependencyError(INSTALL) from error
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=0.08, rect=(0.01, 0.01, 0.98, 0.98)))
    if title is not None:
        figure.suptitle(title, fontsize=13, fontweight="bold", color=INK)
    return figure


def bare(axes: Axes) -> Axes:
    """Axes without the two spines that carry no ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color("#999999")
    axes.tick_params(colors=INK, labelsize=9)
    return axes


def grid(axes: Axes) -> Axes:
    """`bare` axes with a grid behind what is drawn."""
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return bare(axes)
