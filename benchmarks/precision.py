"""What less precise products cost in accuracy: ``python benchmarks/precision.py --output benchmarks/precision.json``.

`nnxp train digits` with five seeds for each precision; medians of the accuracy on the test split. On a machine without
a GPU the kernels run on the host (``--backend numpy/cuda``), where NumPy's model of cublasLt rounds the operands as
tensor cores do (TF32: 10 bits of fraction, bf16: 7) and sums in float32. The file says which it was.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys

import numpy as np

import nnxp

PRECISIONS = ("float32", "tf32", "bf16")
SEEDS = range(5)


def train(backend, precision, seed):
    """The results of one training, as the command line gives them."""
    options = ["--backend", backend, "--precision", precision, "--seed", str(seed), "--progress", "off", "--json"]
    command = [sys.executable, "-m", "nnxp", "train", "digits", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["test"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="cupy/cuda" if _has_gpu() else "numpy/cuda")
    parser.add_argument("--output", metavar="FILE")
    options = parser.parse_args()
    if options.backend.startswith("cupy") and not _has_gpu():
        parser.error(f"cupy: {nnxp.available_backends()['cupy']}")
    device = _gpu() if options.backend.startswith("cupy") else f"emulated on {platform.machine()} by NumPy's model"
    found = {"nnxp": nnxp.__version__, "numpy": np.__version__, "backend": options.backend, "device": device}
    for precision in PRECISIONS:
        tests = [train(options.backend, precision, seed) for seed in SEEDS]
        accuracy, loss = ([test[what] for test in tests] for what in ("accuracy", "loss"))
        found[precision] = {"accuracy": accuracy, "median accuracy": statistics.median(accuracy), "loss": loss}
        shown = ", ".join(f"{value:.2%}" for value in accuracy)
        print(f"{precision:8} {statistics.median(accuracy):.2%} ({shown}), median loss {statistics.median(loss):.4f}")
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=2)
            file.write("\n")


def _has_gpu():
    return nnxp.available_backends()["cupy"] == "ready"


def _gpu():
    import cupy

    return cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()


if __name__ == "__main__":
    main()
