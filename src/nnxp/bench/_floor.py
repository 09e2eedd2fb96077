"""The floor: what no implementation in plain NumPy can be expected to beat.

The matrix products of a step alone, into ready buffers, and one pass over parameters, gradients and moments. There is
no activation, no bias, no loss and no Adam in it, so it learns nothing.
"""

from collections.abc import Callable

import numpy as np

from nnxp._types import Array
from nnxp.bench._base import Contender
from nnxp.bench.workloads import Workload

__all__ = ["Floor", "product"]

Call = Callable[[], object]

CHUNK = 32_768
"""Elements: each array's part of a chunk stays in the cache from one operation to the next."""
TINY = 1e-12
"""Of gradients: thousands of steps add little to the parameters, and no product of them is a denormal number."""


def product(a: Array, b: Array, out: Array) -> Call:
    """The call of ``a @ b`` into ``out``; one of an inner size of 1 is no matter of BLAS, and slow as a matmul."""
    if a.shape[1] == 1:
        return lambda: np.multiply(a, b, out)
    return lambda: np.matmul(a, b, out)


class Floor(Contender):
    """The products of one step, or with "predict" and "evaluate" the forward ones, bound to buffers."""

    def __init__(self, workload: Workload) -> None:
        trains = workload.what in ("step", "fit")
        rng = np.random.default_rng([workload.seed, 3])
        count = sum((i + 1) * o for i, o in zip(workload.sizes[:-1], workload.sizes[1:], strict=True))
        arrays = [_small(rng, count) for _ in range(4 if trains else 1)]
        p, g = arrays[0], arrays[1] if trains else arrays[0]
        self.chunks = [[array[at : at + CHUNK] for array in arrays] for at in range(0, count, CHUNK) if trains]
        a = [workload.data()[0][: workload.batch], *(_small(rng, workload.batch, o) for o in workload.sizes[1:])]
        d = [_small(rng, workload.batch, size) for size in workload.sizes]
        forward: list[Call] = []
        backward: list[Call] = []
        start = 0
        for i, (weights, biases) in enumerate(workload.weights()):
            w, dw = (flat[start : start + weights.size].reshape(weights.shape) for flat in (p, g))
            w[...] = weights
            forward.append(product(a[i], w, a[i + 1]))
            if trains:
                dx = [product(d[i + 1], w.T, d[i])] if i else []
                backward = [product(a[i].T, d[i + 1], dw), *dx, *backward]
            start += weights.size + biases.size
        self.products = forward + backward

    def losses(self, steps: int) -> list[float]:
        return []

    def train(self, steps: int) -> None:
        for _ in range(steps):
            for multiply in self.products:
                multiply()
            for p, g, m, v in self.chunks:
                m += g
                v += g
                p += m


def _small(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape, np.float32) * np.float32(TINY)
