"""Kernels for NumPy: the reference's ops again, into ready buffers, in fewer and cheaper passes.

Each is bound once to its arrays, prepares what it needs (views, constants as 0-d arrays, work arrays), and returns the
call to repeat, which allocates nothing. Each equals the reference to the tolerance in
``tests/ops/test_numpy_kernels.py``, and ``benchmarks/kernels.py`` prints what it gains.

Arrays may lie in memory row by row or column by column. The plan keeps narrow activations by columns: then a sum over
few classes is a sum of long columns, and a column of ones is the next line of memory.
"""

from dataclasses import replace

from nnxp.ops import Kernel, Ops
from nnxp.ops.numpy import (
    activations,
    convolution,
    gates,
    indexing,
    linear,
    losses,
    moments,
    penalties,
    pooling,
    updates,
)
from nnxp.ops.numpy._memory import CHUNK, Scratch, like, zeros
from nnxp.ops.numpy._updating import owned
from nnxp.ops.numpy.activations import highest_exponent

__all__ = ["CHUNK", "KERNELS", "Scratch", "highest_exponent", "like", "owned", "table", "zeros"]

KERNELS: dict[str, Kernel] = {
    name: getattr(module, name)
    for module in (linear, convolution, pooling, activations, gates, losses, penalties, indexing, moments, updates)
    for name in module.__all__
}
"""Every kernel by the name of its op."""


def table(reference: Ops) -> Ops:
    """The reference with these kernels in place of its entries."""
    return replace(reference.replace(**KERNELS), scratch=Scratch, by_columns=True)
