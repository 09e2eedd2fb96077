"""Two reports side by side."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["compare"]

Report = Mapping[str, Any]
Figures = Mapping[str, Any]

HEADING = f"  {'':<16}{'old µs':>11}{'new µs':>11}{'new/old':>9}{'by floors':>11}"


def compare(old: Report, new: Report) -> str:
    """Medians before and after, for every workload and contender that both have.

    ``by floors`` is the ratio after each run was divided by its own floor, which takes a slower or busier machine out
    of it. A change is marked where the quartiles of the two runs, so divided, do not overlap.
    """
    lines = [*_differences(old, new)]
    for key, results in new["workloads"].items():
        before = old.get("workloads", {}).get(key, {})
        rows = [_row(name, before, results) for name in results if _both(name, before, results)]
        lines += [key, HEADING, *rows] if rows else [f"{key}: the old report does not have it"]
    return "\n".join(lines)


def _both(name: str, before: Mapping[str, Figures], after: Mapping[str, Figures]) -> bool:
    return "median_us" in before.get(name, {}) and "median_us" in after[name]


def _row(name: str, before: Mapping[str, Figures], after: Mapping[str, Figures]) -> str:
    old, new = before[name], after[name]
    floors = [part["floor"]["median_us"] for part in (before, after) if "median_us" in part.get("floor", {})]
    known = len(floors) == 2 and name != "floor"
    old_floor, new_floor = floors if known else (1.0, 1.0)
    ratio = new["median_us"] / old["median_us"]
    by_floors = f"{ratio * old_floor / new_floor:>11.2f}" if known else f"{'–':>11}"
    mark = _mark([q / old_floor for q in old["quartiles_us"]], [q / new_floor for q in new["quartiles_us"]])
    return f"  {name:<16}{old['median_us']:>11.1f}{new['median_us']:>11.1f}{ratio:>9.2f}{by_floors}{mark}"


def _mark(old: list[float], new: list[float]) -> str:
    return "  slower" if new[0] > old[1] else "  faster" if new[1] < old[0] else ""


def _differences(old: Report, new: Report) -> Iterator[str]:
    """What is not the same around the two runs."""
    facts: dict[str, Callable[[Report], Any]] = {
        "machine": lambda report: report["machine"].get("cpu"),
        "processors": lambda report: report["machine"].get("cores"),
        "BLAS": _blas,
        "threads": lambda report: report["threads"],
        "Python": lambda report: report["python"],
        "NumPy": lambda report: report["versions"].get("numpy"),
        "nnxp": lambda report: report["versions"].get("nnxp"),
    }
    for name, fact in facts.items():
        before, after = fact(old), fact(new)
        if before != after:
            yield f"{name} differs: {before} then, {after} now"


def _blas(report: Report) -> str:
    pools = [pool for pool in report["pools"] if pool.get("user_api") == "blas"]
    return ", ".join(f"{pool['internal_api']} {pool['version']} {pool.get('architecture')}" for pool in pools)
