"""The specification: every op in pure Array API, `xp` first, in textbook order of operations.

It is also the fallback for any namespace without kernels of its own. Nothing here knows a library's name, takes a
buffer or writes into an argument.

>>> import numpy
>>> FUNCTIONS["relu"](numpy, numpy.asarray([-1.0, 2.0])).tolist()
[0.0, 2.0]
"""

from dataclasses import fields
from types import ModuleType
from typing import Any

from nnxp._types import Namespace, Op
from nnxp.ops import NOT_OPS, Ops
from nnxp.ops.reference import (
    activations,
    convolution,
    counting,
    embedding,
    indexing,
    linear,
    losses,
    noise,
    normalization,
    penalties,
    pooling,
    updates,
)

__all__ = ["FUNCTIONS", "table"]

_MODULES: tuple[ModuleType, ...] = (
    linear,
    activations,
    normalization,
    embedding,
    convolution,
    pooling,
    losses,
    penalties,
    noise,
    indexing,
    counting,
    updates,
)

FUNCTIONS: dict[str, Op] = {
    field.name: next(getattr(module, field.name) for module in _MODULES if field.name in module.__all__)
    for field in fields(Ops)
    if field.name not in NOT_OPS
}
"""Every op by its name in the table, unbound: ``FUNCTIONS["relu"](numpy, x)``."""


def table(xp: Namespace) -> Ops:
    """The ops of one namespace. They accept ``out=`` and drop it."""
    bound: dict[str, Any] = {name: _bind(function, xp) for name, function in FUNCTIONS.items()}
    return Ops(**bound)


def _bind(function: Op, xp: Namespace) -> Op:
    def op(*arrays: object, out: object = None) -> object:
        return function(xp, *arrays)

    op.__name__, op.__doc__ = function.__name__, function.__doc__
    return op
