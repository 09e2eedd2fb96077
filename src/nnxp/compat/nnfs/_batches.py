"""How a model goes through its samples."""

import numpy as np

from nnxp import _check
from nnxp._types import Array
from nnxp.compat.nnfs._arithmetic import current
from nnxp.training.loop import slices

__all__ = ["batches", "reshuffled"]


def batches(samples: int, batch_size: int | None) -> list[slice]:
    """The rows of each step; the last step takes what is left."""
    return slices(samples, None if batch_size is None else _check.positive_int("Model", "batch_size", batch_size))


def reshuffled(X: Array, y: Array) -> tuple[Array, Array]:
    """The rows in a new order, drawn from the legacy stream."""
    backend = current()
    order = backend.asarray(np.random.permutation(X.shape[0]), dtype=backend.integer_dtype)
    return backend.ops.take_rows(X, order), backend.ops.take_rows(y, order)
