"""``nnxp bench``: the benchmark's tables on standard output, its progress on standard error."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnxp import plotting
from nnxp._check import one_line
from nnxp._files import replacement
from nnxp.errors import FileFormatError, FileNotFound, FileNotWritable

if TYPE_CHECKING:
    from nnxp.bench import Report, Settings

__all__ = ["add_options", "run"]

_SECTIONS = ("machine", "pools", "python", "threads", "versions", "workloads")


def add_options(parser: argparse.ArgumentParser, positive: Callable[[str], int]) -> None:
    """The command line. Names are checked later, by the benchmark, which is imported only when it runs."""
    add = parser.add_argument
    add("--workloads", nargs="+", metavar="W", help="W1 W2 W3 W4 (default: all, and --sweep batch)")
    add("--sweep", nargs="+", metavar="S", help="batch width depth data, or all: how time grows with a size")
    add("--what", nargs="+", metavar="T", default=["step"], help="step fit predict evaluate (default: step)")
    add("--contenders", nargs="+", metavar="NAME", help='such as floor book nnxp "nnxp numba" (default: all installed)')
    add("--rounds", type=positive, metavar="N", help="default: 21; 7 for W3, 5 for sweeps")
    add("--seconds", type=float, metavar="S", help="of a contender in a round (default: 0.05)")
    add("--threads", type=positive, metavar="N", default=1, help="of each contender (default: 1)")
    add("--together", action="store_true", help="all contenders in one process")
    add("--quick", action="store_true", help="a look in half a minute: W1 W2 W4, few contenders and rounds")
    add("--markdown", action="store_true", help="print everything at the end, as Markdown")
    add("--output", metavar="FILE", help="write the report, as JSON")
    add("--plot", metavar="FILE", help="draw the report (png, pdf or svg)")
    add("--compare", metavar="OLD", help="an earlier report to compare with")
    add("--show", metavar="FILE", help="show this report, and measure nothing")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, or read; then show. The status is 1 if somebody computed something else."""
    from nnxp import bench

    _check_outputs(options)
    old = _read(options.compare) if options.compare else None
    report = _read(options.show) if options.show else _measure(options)
    if options.markdown:
        print(bench.markdown(report))
    else:
        if options.show:
            for key in (*report["workloads"], *report["sweeps"]):
                print(bench.table(report, key))
        print(bench.closing(report))
    if old is not None:
        print(f"Compared with {options.compare}:\n{bench.compare(old, report)}")
    _write(options, report)
    for line in report["refused"]:
        print(f"nnxp: {line}", file=sys.stderr)
        options.status = 1
    return report


def _measure(options: argparse.Namespace) -> "Report":
    from nnxp import bench

    def started(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def finished(report: "Report", key: str) -> None:
        if not options.markdown:
            print(bench.table(report, key), flush=True)

    return bench.run(_settings(options), command=_command(options), started=started, finished=finished)


def _settings(options: argparse.Namespace) -> "Settings":
    from nnxp import bench

    return bench.Settings(
        workloads=options.workloads,
        sweeps=options.sweep,
        what=options.what,
        contenders=options.contenders,
        rounds=options.rounds,
        seconds=options.seconds,
        threads=options.threads,
        together=options.together,
        quick=options.quick,
    )


def _command(options: argparse.Namespace) -> str:
    """What measures the same again; where the results went is left out."""
    words = ["nnxp", "bench"]
    for name in ("workloads", "sweep", "what", "contenders", "rounds", "seconds", "threads"):
        value = getattr(options, name)
        if value is not None and (name, value) not in (("what", ["step"]), ("threads", 1)):
            words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    words += [f"--{name}" for name in ("together", "quick") if getattr(options, name)]
    return shlex.join(words)


def _check_outputs(options: argparse.Namespace) -> None:
    """Say now, not after minutes, that a result could not be written."""
    if options.plot:
        plotting.check(options.plot)
    if options.output:
        folder = Path(options.output).absolute().parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise FileNotWritable(f"{options.output} cannot be written; choose a file in a folder that exists.")


def _read(path: str) -> "Report":
    """A report of this or an earlier version, with empty sections where it has none."""
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileNotFound(f"There is no file {path}.") from error
    except ValueError as error:
        raise FileFormatError(f"{path} is no report of nnxp bench: {one_line(error)}.") from error
    missing = [name for name in _SECTIONS if not isinstance(report, dict) or name not in report]
    if missing:
        raise FileFormatError(f"{path} is no report of nnxp bench: it has no {missing[0]!r}.")
    return {"command": "", "separate": True, "contenders": {}, "shapes": {}, "sweeps": {}, "refused": [], **report}


def _write(options: argparse.Namespace, report: "Report") -> None:
    if options.output:
        with replacement(options.output) as file:
            file.write((json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode())
        print(f"report:  {options.output}")
    if options.plot:
        plotting.save(plotting.benchmark(report), options.plot)
        print(f"picture: {options.plot}")
