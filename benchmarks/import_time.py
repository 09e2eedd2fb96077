"""Milliseconds that ``import nnxp`` adds to ``import numpy``: medians over fresh processes, taken in turns."""

import statistics
import subprocess
import sys

RUNS = 10
PROGRAM = "from time import perf_counter as t; start = t(); import {}; print((t() - start) * 1e3)"


def import_ms(module):
    """The time of one import in a new process."""
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(module)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main():
    modules = ("numpy", "nnxp")
    for module in modules:
        import_ms(module)  # compiles the modules and warms the disk's cache
    times = {module: [] for module in modules}
    for _ in range(RUNS):
        for module in modules:
            times[module].append(import_ms(module))
    numpy, nnxp = (statistics.median(times[module]) for module in modules)
    print(f"import numpy {numpy:.1f} ms, import nnxp {nnxp:.1f} ms (medians of {RUNS} processes)")
    print(f"nnxp adds {nnxp - numpy:.1f} ms")


if __name__ == "__main__":
    main()
