"""What each kernel gains over the reference: microseconds per bound call, at the shapes of a small network's step.

The reference, NumPy's kernels and the compiled ones take turns, so that all see the same machine. A kernel that is not
faster does not stay.
"""

import argparse
import os
import statistics
import time

import numpy as np
from threadpoolctl import threadpool_limits

import nnxp
from nnxp.errors import BackendError

ROUNDS = 25
BATCH, WIDTH, CLASSES, PARAMETERS = 128, 128, 10, 118_282


def cases():
    """Arguments and buffers by op; an update's buffers are its arguments."""
    random = np.random.default_rng(0)

    def array(*shape):
        return random.standard_normal(shape, dtype=np.float32)

    x, dy, w, b = array(BATCH, WIDTH), array(BATCH, WIDTH), array(WIDTH, WIDTH), array(WIDTH)
    column, row = array(1000, 1), array(1, 64)
    # class scores lie by columns in a plan
    z, labels, shares = array(CLASSES, BATCH).T, random.integers(0, CLASSES, BATCH), abs(array(CLASSES, BATCH).T)
    p = 1 / (1 + np.exp(-x))
    flat, g, m, v = (np.abs(array(PARAMETERS)) for _ in range(4))
    like = np.empty_like
    divisor = float(BATCH)
    three = (like(z), None, like(z))
    # the second convolution and the pooling behind it in a small network for 8x8 digits; same padding
    images, channels, filters = array(64, 4, 4, 16), array(64, 4, 4, 32), array(3, 3, 16, 32)
    same, apart = ((1, 1), "same"), ((2, 2), (2, 2), "valid")
    small = np.maximum.reduce([channels[:, i::2, j::2] for i in (0, 1) for j in (0, 1)])
    tokens = array(64, 32)
    return {
        "matmul": ((x, w), like(x)),
        "matmul (one term)": ((column, row), np.empty((1000, 64), np.float32)),
        "linear": ((x, w, b), like(x)),
        "linear_bias_gradient": ((dy,), like(b)),
        "linear_weight_gradient": ((x, dy), like(w)),
        "linear_input_gradient": ((dy, w), like(x)),
        "linear_input_gradient (one output)": ((column, array(64, 1)), np.empty((1000, 64), np.float32)),
        "conv2d": ((images, filters, array(32), *same), like(channels)),
        "conv2d (one channel)": (
            (array(64, 8, 8, 1), array(3, 3, 1, 16), array(16), *same),
            np.empty((64, 8, 8, 16), np.float32),
        ),
        "conv2d_bias_gradient": ((channels,), np.empty(32, np.float32)),
        "conv2d_weight_gradient": ((images, channels, (3, 3), *same), like(filters)),
        "conv2d_input_gradient": ((channels, filters, (4, 4), *same), like(images)),
        "conv2d_input_gradient (strides)": ((array(64, 2, 2, 32), filters, (4, 4), (2, 2), "same"), like(images)),
        "max_pool2d": ((channels, *apart), like(small)),
        "max_pool2d (overlapping)": ((channels, (3, 3), *same), like(channels)),
        "max_pool2d_backward": ((array(64, 2, 2, 32), channels, small, *apart), like(channels)),
        "max_pool2d_backward (overlapping)": ((array(64, 4, 4, 32), channels, channels, (3, 3), *same), like(channels)),
        "average_pool2d": ((channels, *apart), like(small)),
        "average_pool2d (overlapping)": ((channels, (3, 3), *same), like(channels)),
        "average_pool2d_backward": ((small, (4, 4), *apart), like(channels)),
        "global_average_pool": ((channels,), like(tokens)),
        "global_average_pool_backward": ((tokens, (4, 4)), like(channels)),
        "add": ((x, dy), like(x)),
        "relu": ((x,), like(x)),
        "relu_backward": ((dy, np.maximum(x, 0)), like(x)),
        "leaky_relu": ((x, 0.01), like(x)),
        "leaky_relu_backward": ((dy, x, 0.01), like(x)),
        "sigmoid": ((x,), like(x)),
        "sigmoid_backward": ((dy, p), like(x)),
        "tanh": ((x,), like(x)),
        "tanh_backward": ((dy, np.tanh(x)), like(x)),
        "step": ((x,), like(x)),
        "step_backward": ((dy, p), like(x)),
        "silu": ((x,), like(x)),
        "silu_backward": ((dy, x), like(x)),
        "gelu": ((x,), like(x)),
        "gelu_backward": ((dy, x), like(x)),
        "softmax": ((z,), like(z)),
        "softmax_backward": ((array(CLASSES, BATCH).T, shares), like(z)),
        "categorical_crossentropy_from_logits": ((z, labels, divisor), None),
        "categorical_crossentropy_from_logits_backward": ((z, labels, divisor), like(z)),
        "softmax_categorical_crossentropy": ((z, labels, divisor), three),
        "softmax_categorical_crossentropy (rows)": ((z, shares, divisor), three),
        "binary_crossentropy_from_logits": ((x, p, divisor), None),
        "binary_crossentropy_from_logits_backward": ((x, p, divisor), like(x)),
        "sigmoid_binary_crossentropy": ((x, p, divisor), (like(x), None, like(x))),
        "squared_error": ((x, dy, divisor), None),
        "squared_error_backward": ((x, dy, divisor), like(x)),
        "absolute_error_backward": ((x, dy, divisor), like(x)),
        "l1_backward": ((w, array(WIDTH, WIDTH), 5e-4), like(w)),
        "l2": ((w, 5e-4), None),
        "l2_backward": ((w, array(WIDTH, WIDTH), 5e-4), like(w)),
        "take_rows": ((array(5000, 784), random.integers(0, 5000, BATCH)), np.empty((BATCH, 784), np.float32)),
        "sgd": ((flat, g, 1e-9), flat),
        "momentum": ((flat, g, m, 1e-9, 0.9), (flat, m)),
        "nesterov": ((flat, g, m, 1e-9, 0.9), (flat, m)),
        "adam": ((flat, g, m, v, 1e-9, 0.9, 0.999, 1e-7, 0.5, 0.5), (flat, m, v)),
        "adamax": ((flat, g, m, v, 1e-9, 0.9, 0.999, 1e-7, 0.5), (flat, m, v)),
        "nadam": ((flat, g, m, v, 1e-9, 0.9, 0.999, 1e-7, 0.6, 0.5, 0.5), (flat, m, v)),
        "lion": ((flat, g, m, 1e-9, 0.9, 0.99), (flat, m)),
        "adagrad": ((flat, g, m, 1e-9, 1e-7), (flat, m)),
        "rmsprop": ((flat, g, m, 1e-9, 0.9, 1e-7), (flat, m)),
        "adadelta": ((flat, g, m, v, 1e-9, 0.9, 1e-6), (flat, m, v)),
        "decay_weights": ((flat, 1e-9, 0.01), flat),
        "average": ((m, flat, 0.999), m),
        "clip_value": ((g, 1.0), like(g)),
        "clip_norm": ((g, 1.0), like(g)),
        "all_finite": ((flat,), None),
    }


def bound(table, op, arguments, out):
    """The op as a plan calls it: bound where there is a kernel."""
    if op in table.kernels:
        return table.kernels[op](*arguments, out=out, scratch=table.scratch())
    return lambda: getattr(table, op)(*arguments)


def microseconds(call):
    """The time of one call, over a few milliseconds of them."""
    calls = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < 0.002:
        call()
        calls += 1
    return elapsed / calls * 1e6


def tables():
    """The tables of ops that are to be had here."""
    found = {}
    for name in ("reference", "numpy", "numba"):
        try:
            found[name] = nnxp.get_backend("numpy", kernels=name).ops
        except BackendError as error:
            print(error)
    return found


def main():
    """Print the table; fail when a kernel has no case."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    if "OPENBLAS_CORETYPE" in os.environ:
        raise SystemExit("OPENBLAS_CORETYPE is set, which pins NumPy to one machine's kernels; unset it and run again.")
    table, ops = cases(), tables()
    missing = ops["numpy"].kernels.keys() - {name.split(" ")[0] for name in table}
    if missing:
        raise SystemExit(f"these kernels have no case: {sorted(missing)}")
    print(f"{'µs per call':48}" + "".join(f"{name:>18}" for name in ops))
    with threadpool_limits(1):
        for name, (arguments, out) in table.items():
            calls = {kernels: bound(table, name.split(" ")[0], arguments, out) for kernels, table in ops.items()}
            times = {kernels: [] for kernels in calls}
            for _ in range(ROUNDS):
                for kernels, call in calls.items():
                    times[kernels].append(microseconds(call))
            medians = {kernels: statistics.median(values) for kernels, values in times.items()}
            slowest = medians["reference"]
            print(f"{name:48}" + "".join(f"{m:9.2f} {slowest / m:6.2f} ×" for m in medians.values()), flush=True)


if __name__ == "__main__":
    main()
