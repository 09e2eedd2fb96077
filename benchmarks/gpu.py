"""Training steps on a GPU: nnxp beside PyTorch and JAX, each checked first, each against the card's own ceilings.

    python benchmarks/gpu.py --output benchmarks/gpu.json

The results are in the file after every measurement, so a run that is cut off has measured something. ``--dry-run`` does
all of it with tiny networks on the CPU: it proves the script, and its figures mean nothing. Nothing of the card's
settings is ever changed.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]  # when it is not run as a script
try:
    import nnxp  # noqa: F401
except ImportError:
    sys.path[:0] = [str(HERE.parent / "src")]

from gpu_bench.entries import ENTRIES  # noqa: E402
from gpu_bench.running import Run, Settings  # noqa: E402
from gpu_bench.table import lines  # noqa: E402
from gpu_bench.workloads import PRECISIONS, WORKLOADS  # noqa: E402


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [entry.name for entry in ENTRIES]
    usual = ", ".join(entry.name for entry in ENTRIES if entry.asked)
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the report goes, as JSON")
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--contenders", nargs="+", choices=names, metavar="NAME", help=f"default: {usual}")
    parser.add_argument("--seconds", type=float, default=0.2, help="of a contender in a round (default 0.2)")
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    parser.add_argument("--budget", type=float, default=0, metavar="S", help="begin nothing new after S seconds")
    parser.add_argument("--no-ceilings", action="store_true", help="take the card's ceilings as they are assumed")
    parser.add_argument("--no-nodes", action="store_true", help="do not time the parts of nnxp's step")
    parser.add_argument("--dry-run", action="store_true", help="tiny, on the CPU")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print the table of a report, and measure nothing")
    found = parser.parse_args(arguments)
    if (found.output is None) is (found.show is None):
        parser.error("give --output FILE to measure, or --show FILE")
    return found


def main(arguments: list[str] | None = None) -> int:
    """The status is 1 if somebody computed something else, or if something is wrong with nnxp's graph."""
    asked = options(arguments)
    if asked.show is not None:
        report = json.loads(asked.show.read_text())
    else:
        settings = Settings(
            output=asked.output,
            workloads=asked.workloads,
            precisions=asked.precisions,
            contenders=asked.contenders,
            seconds=asked.seconds,
            rounds=asked.rounds,
            budget=asked.budget,
            ceilings=not asked.no_ceilings,
            nodes=not asked.no_nodes,
            dry=asked.dry_run,
        )
        command = shlex.join(["python", "benchmarks/gpu.py", *(sys.argv[1:] if arguments is None else arguments)])
        report = Run(settings, command=command).run()
    print("\n".join(lines(report)))
    wrong = list(problems(report))
    print(*(f"WRONG {text}" for text in wrong), sep="\n", end="\n" if wrong else "")
    return 1 if wrong or report["refused"] else 0


def problems(report: dict[str, Any]) -> Iterator[str]:
    """What must not be: steps that are no graph, or a graph with other bits than its kernels one by one."""
    for name, precisions in report["workloads"].items():
        for precision, section in precisions.items() if "reason" not in precisions else ():
            facts = section["contenders"].get("nnxp", {})
            where = f"{name} {precision}: nnxp"
            if facts and not {"refused", "median_us"} & facts.keys() and not facts["reason"].startswith("no time"):
                yield f"{where} has no figures: {facts['reason']}"
            if not facts.get("captured", True):
                yield f"{where} is not captured: {'; '.join(facts['warnings']) or 'and does not say why'}"
            if not facts.get("same_bits_as_eager", True):
                yield f"{where} gives other bits in a graph than without"


if __name__ == "__main__":
    sys.exit(main())
