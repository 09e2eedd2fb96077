"""A report as text: for a terminal of 100 columns, and as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import Any

__all__ = ["closing", "markdown", "table"]

Report = Mapping[str, Any]
Row = list[str]

COLUMNS = 100
MANY = 10_000.0
"""Microseconds; slower than that is shown in milliseconds."""
EQUAL = 1.02
"""A smaller advantage is none: runs differ by that."""
OURS = ("nnxp", "nnxp numba")
NOT_PEERS = ("floor", "nnxp", "nnxp numba", "nnxp reference")


def table(report: Report, key: str) -> str:
    """The figures of a workload, or the medians of a sweep."""
    return "\n".join([_title(report, key), *_aligned(_rows(report, key))])


def closing(report: Report) -> str:
    """Where a peer wins, who contenders are, and what all of it was measured on."""
    lines = ["Where a peer wins:", *(f"  {line}" for line in _wins(report)), "Notes:"]
    lines += [f"  {line}" for line in _notes(report)]
    return "\n".join(fill(line, COLUMNS, subsequent_indent="    ") for line in (*lines, *_surroundings(report)))


def markdown(report: Report) -> str:
    """All of it, as the figures stand in a page."""
    parts = []
    for key in (*report["workloads"], *report["sweeps"]):
        header, *rows = _rows(report, key)
        lines = [
            header,
            ["---", *["---:"] * (len(header) - 1)],
            *([*row, *[""] * (len(header) - len(row))] for row in rows),
        ]
        parts.append(f"**{_title(report, key)}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    for title, lines_of in (("Where a peer wins", _wins(report)), ("Notes", _notes(report))):
        parts.append(f"{title}:\n\n" + "\n".join(f"- {line}" for line in lines_of))
    return "\n\n".join([*parts, "\\\n".join(_surroundings(report)), f"```sh\n{report['command']}\n```"])


def _surroundings(report: Report) -> list[str]:
    """Machine, BLAS, threads, versions, date."""
    machine = report["machine"]
    blas = [pool for pool in report["pools"] if pool.get("user_api") == "blas"]
    names = " and ".join(f"{pool['internal_api']} {pool['version']} ({pool.get('architecture')})" for pool in blas)
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    threads = f"{report['threads']} thread{'s' * (report['threads'] > 1)}"
    own = "each contender in a process of its own" if report["separate"] else "all contenders in one process"
    return [
        f"{machine['cpu']}, {machine['cores']} processors, {machine['system']}",
        f"{threads}, {own}; BLAS: {names or 'not known'}",
        f"Python {report['python']}, {versions}",
        f"{report.get('date', 'no date')}",
    ]


def _title(report: Report, key: str) -> str:
    if key in report["sweeps"]:
        sweep = report["sweeps"][key]
        return f"{key}: µs per {sweep['unit']}; {sweep['title']}"
    if key not in report["shapes"]:
        return key
    shape = report["shapes"][key]
    layers = "-".join(map(str, shape["sizes"]))
    return f"{key} {shape['title']}: {layers}, batch {shape['batch']}; {shape['what']}"


def _rows(report: Report, key: str) -> list[Row]:
    """Cells, the heading first; a contender without figures has its name and its reason alone."""
    if key in report["sweeps"]:
        return _sweep_rows(report["sweeps"][key])
    results = report["workloads"][key]
    medians = {name: figures["median_us"] for name, figures in results.items() if "median_us" in figures}
    unit, scale = ("ms", 1e-3) if medians and min(medians.values()) >= MANY else ("µs", 1.0)
    per = {"predict": "call", "evaluate": "call"}.get(key.rpartition(" ")[2], "step")
    rows = [["", f"{unit}/{per}", "quartiles", "× floor", "nnxp is", "loss error", "peak MiB"]]
    for name, figures in results.items():
        rows.append(
            [name, figures["reason"]] if name not in medians else [name, *_cells(name, figures, medians, scale)]
        )
    return rows


def _cells(name: str, figures: Mapping[str, Any], medians: Mapping[str, float], scale: float) -> Iterator[str]:
    yield f"{figures['median_us'] * scale:.1f}"
    yield " – ".join(f"{quartile * scale:.1f}" for quartile in figures["quartiles_us"])
    yield f"{figures['median_us'] / medians['floor']:.2f}" if "floor" in medians else ""
    yield "" if name in ("floor", "nnxp") or "nnxp" not in medians else _ratio(medians[name] / medians["nnxp"])
    yield f"{figures['loss_error']:.0e}" if "loss_error" in figures else "–"
    yield f"{figures['peak_mib']:.0f}" if "peak_mib" in figures else ""


def _ratio(ratio: float) -> str:
    """How nnxp stands to one that takes ``ratio`` times its time."""
    return f"{ratio:.2f}× faster" if ratio >= 1 else f"{1 / ratio:.2f}× slower"


def _sweep_rows(sweep: Mapping[str, Any]) -> list[Row]:
    """A row for each value, a column for each contender that has a figure anywhere."""
    curves = sweep_curves(sweep)
    rows = [[sweep["axis"], *curves]]
    for value in sweep["points"]:
        rows.append([value, *(f"{curve[value]:.0f}" if value in curve else "–" for curve in curves.values())])
    return rows


def sweep_curves(sweep: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Microseconds per unit, by contender and value."""
    curves: dict[str, dict[str, float]] = {}
    for value, point in sweep["points"].items():
        steps = point["steps"] if sweep["unit"] == "epoch" else 1
        for name, figures in point["contenders"].items():
            if "median_us" in figures:
                curves.setdefault(name, {})[value] = figures["median_us"] * steps
    return curves


def _aligned(rows: Sequence[Row]) -> Iterator[str]:
    full = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    first = max(len(row[0]) for row in rows)
    for row in rows:
        cells = (
            [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)] if row in full else row[1:]
        )
        line = "  ".join([f"  {row[0]:<{first}}", *cells]).rstrip()
        yield line if len(line) <= COLUMNS else f"{line[: COLUMNS - 1]}…"


# -- where a peer wins


def _wins(report: Report) -> list[str]:
    """A sentence for each workload where somebody was faster, or needed less memory, than one of nnxp's kernels."""
    if not any("median_us" in results.get(name, {}) for results in _results(report) for name in OURS):
        return ["not known, as nnxp has no figures here"]
    wins = [line for key, results in report["workloads"].items() for line in _wins_of(key, results)]
    for name, sweep in report["sweeps"].items():
        for peer, values in _faster_in(sweep).items():
            wins.append(f"{name}: {peer} at {', '.join(values)}")
    return wins or ["nowhere here"]


def _wins_of(key: str, results: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for figure, more, words in (("median_us", "faster", _time), ("peak_mib", "smaller in memory", "{:.0f} MiB".format)):
        ours = {name: results[name][figure] for name in OURS if figure in results.get(name, {})}
        if not ours:
            continue
        for name, figures in results.items():
            for mine, value in ours.items():
                if name not in NOT_PEERS and figure in figures and (ratio := value / figures[figure]) > EQUAL:
                    yield f"{key}: {name} is {ratio:.2f}× {more} ({words(figures[figure])}; {mine}: {words(value)})"


def _time(microseconds: float) -> str:
    return f"{microseconds / 1000:.0f} ms" if microseconds >= MANY else f"{microseconds:.0f} µs"


def _faster_in(sweep: Mapping[str, Any]) -> dict[str, list[str]]:
    """The values where a peer beats nnxp, by the peer and which nnxp."""
    curves = sweep_curves(sweep)
    faster: dict[str, list[str]] = {}
    for peer, curve in curves.items():
        for value, time in curve.items():
            for mine in OURS:
                if peer not in NOT_PEERS and value in curves.get(mine, {}) and curves[mine][value] / time > EQUAL:
                    faster.setdefault(f"{peer} is faster than {mine}", []).append(value)
    return faster


def _notes(report: Report) -> list[str]:
    sections = _results(report)
    took_part = {name for results in sections for name in results}
    lines = ["floor: the matrix products alone, and one pass over parameters, gradients and moments"]
    lines += [
        f"{name}: {facts['note']}"
        for name, facts in report["contenders"].items()
        if facts["note"] and name in took_part
    ]
    rounds = [figures["rounds"] for results in sections for figures in results.values() if "rounds" in figures]
    return [*lines, f"medians of {_range(rounds)} rounds"] if rounds else lines


def _results(report: Report) -> list[Mapping[str, Mapping[str, Any]]]:
    """Figures by contender: of each workload, and of each point of a sweep."""
    points = [point for sweep in report["sweeps"].values() for point in sweep["points"].values()]
    return [*report["workloads"].values(), *(point["contenders"] for point in points)]


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
