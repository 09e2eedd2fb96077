"""What each NumPy kernel gains over the reference: microseconds per call, at the shapes of a small network's step.

Reference and kernel take turns, so that both see the same machine. A kernel that is not faster does not stay.
"""

import argparse
import os
import statistics
import time

import numpy as np
from threadpoolctl import threadpool_limits

import nnxp

ROUNDS = 25
BATCH, WIDTH, CLASSES, PARAMETERS = 128, 128, 10, 118_282


def cases():
    """Arguments and buffers by op."""
    random = np.random.default_rng(0)

    def array(*shape):
        return random.standard_normal(shape, dtype=np.float32)

    x, dy, w, b = array(BATCH, WIDTH), array(BATCH, WIDTH), array(WIDTH, WIDTH), array(WIDTH)
    column, row = array(1000, 1), array(1, 64)
    z, labels = array(BATCH, CLASSES), random.integers(0, CLASSES, BATCH)
    flat, g, m, v = (np.abs(array(PARAMETERS)) for _ in range(4))
    like = np.empty_like
    return {
        "linear": ((x, w, b), like(x)),
        "linear (one input)": ((column, row, array(64)), np.empty((1000, 64), np.float32)),
        "linear_bias_gradient": ((dy,), like(b)),
        "linear_weight_gradient": ((x, dy), like(w)),
        "linear_input_gradient": ((dy, w), like(x)),
        "linear_input_gradient (one output)": ((column, array(64, 1)), np.empty((1000, 64), np.float32)),
        "relu": ((x,), like(x)),
        "relu_backward": ((dy, np.maximum(x, 0)), like(x)),
        "sigmoid_backward": ((dy, 1 / (1 + np.exp(-x))), like(x)),
        "tanh": ((x,), like(x)),
        "tanh_backward": ((dy, np.tanh(x)), like(x)),
        "softmax": ((z,), like(z)),
        "softmax_categorical_crossentropy": ((z, labels, float(BATCH)), (like(z), None, like(z))),
        "squared_error_backward": ((x, dy, 100.0), like(x)),
        "l2_backward": ((w, array(WIDTH, WIDTH), 5e-4), like(w)),
        "sgd": ((flat, g, 1e-9), flat),
        "momentum": ((flat, g, m, 1e-9, 0.9), (flat, m)),
        "nesterov": ((flat, g, m, 1e-9, 0.9), (flat, m)),
        "adam": ((flat, g, m, v, 1e-9, 0.9, 0.999, 1e-7, 0.5, 0.5), (flat, m, v)),
    }


def microseconds(op, arguments, out):
    """The time of one call, over a few milliseconds of them."""
    calls = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < 0.003:
        op(*arguments, out=out)
        calls += 1
    return elapsed / calls * 1e6


def main():
    """Print the table; fail when a kernel has no case."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    if "OPENBLAS_CORETYPE" in os.environ:
        raise SystemExit("OPENBLAS_CORETYPE is set, which pins NumPy to one machine's kernels; unset it and run again.")
    reference, kernels = (nnxp.get_backend("numpy", kernels=name).ops for name in ("reference", "numpy"))
    table = cases()
    missing = kernels.honours - {name.split(" ")[0] for name in table}
    if missing:
        raise SystemExit(f"these kernels have no case: {sorted(missing)}")
    print(f"{'µs per call':36}{'reference':>10}{'kernel':>10}{'gain':>8}")
    with threadpool_limits(1):
        for name, (arguments, out) in table.items():
            op = name.split(" ")[0]
            slow, fast = [], []
            for _ in range(ROUNDS):
                slow.append(microseconds(getattr(reference, op), arguments, None))
                fast.append(microseconds(getattr(kernels, op), arguments, out))
            a, b = statistics.median(slow), statistics.median(fast)
            print(f"{name:36}{a:10.2f}{b:10.2f}{a / b:7.2f}×")


if __name__ == "__main__":
    main()
