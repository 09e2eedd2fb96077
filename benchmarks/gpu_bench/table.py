"""A report as a short table."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["lines"]

HEADING = ("", "µs/step", "quartiles", "x floor", "x stages", "nnxp is", "loss error", "peak MiB", "queued", "")


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Everything that was measured, a line for each."""
    if report["dry_run"]:
        yield "DRY RUN: tiny networks on the CPU; no figure here means anything."
    card = report["device"][0]
    yield (
        card.get("reason")
        or f"{card['name']}, driver {card['driver_version']}, SM clock {card['clocks.sm']} MHz at rest"
    )
    for name, figure in report["ceilings"].items():
        yield f"  {name:<18} {_ceiling(figure)}"
    for name, precisions in report["workloads"].items():
        shape = report["shapes"][name]
        yield ""
        yield f"{name} {'-'.join(map(str, shape['sizes']))}, batch {shape['batch']}"
        if "reason" in precisions:
            yield f"  {precisions['reason']}"
            continue
        for precision, section in precisions.items():
            yield from _section(precision, section)
    for refused in report["refused"]:
        yield f"REFUSED {refused}"
    yield f"{report['seconds']:.0f} s{'' if report['finished'] else ', NOT FINISHED'}"


def _ceiling(figure: Mapping[str, Any]) -> str:
    if "reason" in figure:
        return str(figure["reason"])[:100]
    if "us" in figure:
        return f"{figure['us']:.2f} µs"
    text = f"{figure['per_second'] / 1e12:.2f} T/s" if "per_second" in figure else f"{figure.get('count')}"
    text += f", error {figure['error']:.0e}" if "error" in figure else ""
    return text + ("" if figure.get("right", True) else ", WRONG")


def _section(precision: str, section: Mapping[str, Any]) -> Iterator[str]:
    assumed = f" (assumed: {', '.join(section['assumed_ceilings'])})" if section["assumed_ceilings"] else ""
    yield f"  {precision}: floor {section['floor_us']:.1f} µs, stages {section['stages_us']:.1f} µs{assumed}"
    ours = section["contenders"].get("nnxp", {}).get("median_us")
    rows = [HEADING]
    for name, facts in section["contenders"].items():
        if "median_us" in facts:
            rows.append((name, *_cells(facts, section, ours)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADING))]
    for row in rows if len(rows) > 1 else ():
        cells = (f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        yield f"    {row[0]:<{widths[0]}}  {'  '.join(cells)}".rstrip()
    parts = section["contenders"].get("nnxp", {}).get("node_times", ())
    if parts:
        yield f"    nodes by themselves, {sum(part['us'] for part in parts):.1f} µs together: " + ", ".join(
            f"{part['node']} {part['us']:.1f}" for part in parts
        )
    for name, facts in section["contenders"].items():
        if "reason" in facts:
            yield f"    {name}: {facts['reason']}"[:140]


def _cells(facts: Mapping[str, Any], section: Mapping[str, Any], ours: float | None) -> Iterator[str]:
    median = facts["median_us"]
    yield f"{median:.1f}"
    yield " - ".join(f"{quartile:.1f}" for quartile in facts["quartiles_us"])
    yield f"{median / section['floor_us']:.2f}"
    yield f"{median / section['stages_us']:.2f}"
    yield "" if ours is None or median == ours else _ratio(median / ours)
    yield f"{facts['loss_error']:.0e}"
    peak = facts.get("peak_bytes")
    yield "" if peak is None else f"{peak / 2**20:.0f}"
    yield f"{facts['queued_us']:.1f}"
    yield ", ".join(_remarks(facts))


def _remarks(facts: Mapping[str, Any]) -> Iterator[str]:
    if "nodes" in facts:
        yield f"{facts['nodes']} nodes"
    if "captured" in facts:
        yield "captured" if facts["captured"] else "not captured"
    if "same_bits_as_eager" in facts:
        yield "bits as eager" if facts["same_bits_as_eager"] else "BITS DIFFER FROM EAGER"
    if not facts.get("repeats", True):
        yield "DOES NOT REPEAT ITSELF"


def _ratio(ratio: float) -> str:
    return f"{ratio:.2f}x faster" if ratio >= 1 else f"{1 / ratio:.2f}x slower"
