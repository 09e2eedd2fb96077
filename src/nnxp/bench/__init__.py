"""The benchmark: nnxp beside the floor, the book's code and the libraries that are installed.

`run` measures and returns a report, which is plain data: `tables`, `markdown` and `compare` turn it into text, and
`nnxp.plotting.benchmark` into a picture. ``nnxp bench`` does all of that. Nobody is timed before its losses agree with
those of the book's code in float64. Needs ``pip install "nnxp[bench]"``; a peer takes part when it is installed.
"""

from nnxp.bench.comparing import compare
from nnxp.bench.contenders import CONTENDERS, Entry
from nnxp.bench.running import Report, Settings, run
from nnxp.bench.sweeps import SWEEPS, Sweep
from nnxp.bench.text import closing, markdown, table
from nnxp.bench.workloads import WHAT, WORKLOADS, Workload

__all__ = [
    "CONTENDERS",
    "SWEEPS",
    "WHAT",
    "WORKLOADS",
    "Entry",
    "Report",
    "Settings",
    "Sweep",
    "Workload",
    "closing",
    "compare",
    "markdown",
    "run",
    "table",
]
