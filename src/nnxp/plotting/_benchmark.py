"""A benchmark's report: how far everybody is from the floor, and how time grows with a size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nnxp.errors import DataError
from nnxp.plotting._style import BLUE, INK, VERMILION, WIDTH, bare, grid, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

__all__ = ["benchmark"]

COLOURS = (
    INK,
    "#999999",
    BLUE,
    "#56B4E9",
    "#A6BDDB",
    VERMILION,
    "#E8A27C",
    "#009E73",
    "#E69F00",
    "#CC79A7",
    "#B8A800",
)
"""By the place of a contender in the report's list of all of them, so that they are the same in every picture."""
COLUMNS = 2
BAR, PANEL, SWEEP = 0.22, 0.75, 3.3
"""Inches: of a bar, of what stands around the bars of a panel, of a sweep."""


def benchmark(report: Mapping[str, Any], *, title: str | None = None) -> Figure:
    """A report of ``nnxp bench``: bars for each workload, as multiples of its floor; a curve for each sweep.

    Scales are logarithmic. Where a workload has no floor, bars are microseconds.
    """
    workloads = {key: _times(results) for key, results in report["workloads"].items()}
    workloads = {key: times for key, times in workloads.items() if times}
    sweeps = {key: sweep for key, sweep in report["sweeps"].items() if _curves(sweep)}
    if not workloads and not sweeps:
        raise DataError("The report holds no figures; measure at least one workload or sweep, then plot.")
    heights = [BAR * len(times) + PANEL for times in workloads.values()]
    bars = sum(max(heights[at : at + COLUMNS]) for at in range(0, len(heights), COLUMNS))
    curves = -(-len(sweeps) // COLUMNS) * SWEEP + 0.5 * bool(sweeps)
    figure = new_figure(WIDTH, bars + curves + 0.5, title or _title(report))
    parts = [part for part, height in ((workloads, bars), (sweeps, curves)) if height]
    ratios = [height for height in (bars, curves) if height]
    colours = _colours(report)
    areas = figure.subfigures(len(parts), 1, height_ratios=ratios, squeeze=False)[:, 0]
    if workloads:
        _draw_workloads(areas[0], report, workloads, colours)
    if sweeps:
        _draw_sweeps(areas[-1], sweeps, colours)
    return figure


def _title(report: Mapping[str, Any]) -> str:
    threads = report["threads"]
    return f"nnxp bench on {report['machine']['cpu']}, {threads} thread{'s' * (threads > 1)}"


def _colours(report: Mapping[str, Any]) -> dict[str, str]:
    names = list(report["contenders"])
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}


def _times(results: Mapping[str, Any]) -> dict[str, float]:
    return {name: figures["median_us"] for name, figures in results.items() if "median_us" in figures}


def _axes(area: FigureBase, count: int) -> list[Axes]:
    """As many axes, in rows of two; one alone is as wide as the picture."""
    columns = min(COLUMNS, count)
    grid_of_axes: list[Axes] = area.subplots(-(-count // columns), columns, squeeze=False).flatten().tolist()
    for axes in grid_of_axes[count:]:
        axes.set_visible(False)
    return grid_of_axes[:count]


# -- workloads


def _draw_workloads(
    area: FigureBase, report: Mapping[str, Any], workloads: Mapping[str, dict[str, float]], colours: Mapping[str, str]
) -> None:
    for axes, (key, times) in zip(_axes(area, len(workloads)), workloads.items(), strict=True):
        _bars(axes, times, colours)
        shape = report["shapes"].get(key)
        layers = f" {shape['title']}: {'-'.join(map(str, shape['sizes']))}, batch {shape['batch']}" if shape else ""
        axes.set_title(f"{key}{layers}", loc="left", fontsize=10, color=INK)


def _bars(axes: Axes, times: Mapping[str, float], colours: Mapping[str, str]) -> None:
    """From the floor, or from a third of the fastest, to each time; the floor itself is the left edge."""
    floor = times.get("floor")
    unit = floor or 1.0
    shown = {name: time / unit for name, time in times.items() if name != "floor"} or {"floor": 1.0}
    start = 1.0 if floor else min(shown.values()) / 3
    positions = range(len(shown))
    widths = [value - start for value in shown.values()]
    axes.barh(positions, widths, left=start, height=0.7, color=[colours.get(name, INK) for name in shown])
    for position, (name, value) in enumerate(shown.items()):
        text = f" {value:.2f} × " if floor else " "
        axes.text(max(value, start), position, f"{text}({_time(times[name])})", va="center", fontsize=8, color=INK)
    axes.set_yticks(positions, list(shown))
    axes.invert_yaxis()
    axes.set_xscale("log")
    top = max(*shown.values(), start)
    left = min(start, *(0.95 * value for value in shown.values() if value < start), start)
    axes.set_xlim(left, top * (top / left) ** 0.45 * 1.3)
    if left < start:
        axes.axvline(start, color=INK, linewidth=0.8)
    _plain_ticks(axes.xaxis)
    bare(axes)
    axes.set_xlabel(f"times of the floor ({_time(floor)})" if floor else "µs per step", fontsize=9, color=INK)


def _time(microseconds: float) -> str:
    if microseconds >= 10_000:
        return f"{microseconds / 1000:.0f} ms"
    return f"{microseconds:.0f} µs" if microseconds >= 100 else f"{microseconds:.1f} µs"


# -- sweeps


def _draw_sweeps(area: FigureBase, sweeps: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    handles: dict[str, Any] = {}
    for axes, (name, sweep) in zip(_axes(area, len(sweeps)), sweeps.items(), strict=True):
        for contender, (values, times) in _curves(sweep).items():
            style = {"linewidth": 2.2, "linestyle": "--"} if contender == "floor" else {"linewidth": 1.6}
            colour = colours.get(contender, INK)
            (line,) = axes.plot(values, times, marker="o", markersize=3.5, color=colour, **style)
            handles.setdefault(contender, line)
        _scale(grid(axes), sweep)
        axes.set_title(f"{name}: {sweep['title']}", loc="left", fontsize=10, color=INK)
        axes.set_xlabel(sweep["axis"], fontsize=9, color=INK)
        axes.set_ylabel(f"µs per {sweep['unit']}", fontsize=9, color=INK)
    area.legend(
        [handles[name] for name in colours if name in handles],
        [name for name in colours if name in handles],
        loc="outside lower center",
        ncols=8,
        frameon=False,
        fontsize=9,
    )


def _scale(axes: Axes, sweep: Mapping[str, Any]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    values = [int(value) for value in sweep["points"]]
    axes.set_xticks(values, [f"{value:,}" for value in values], minor=False)
    axes.set_xticks([], minor=True)
    _plain_ticks(axes.yaxis)


def _curves(sweep: Mapping[str, Any]) -> dict[str, tuple[list[int], list[float]]]:
    """Values and microseconds per unit, by contender."""
    curves: dict[str, tuple[list[int], list[float]]] = {}
    for value, point in sweep["points"].items():
        steps = point["steps"] if sweep["unit"] == "epoch" else 1
        for name, time in _times(point["contenders"]).items():
            values, times = curves.setdefault(name, ([], []))
            values.append(int(value))
            times.append(time * steps)
    return curves


def _plain_ticks(axis: Any) -> None:
    """1, 2, 5, 10, … in digits."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
