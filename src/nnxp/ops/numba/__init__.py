"""Kernels compiled by numba: one pass over memory where NumPy needs several, and a whole step in one call.

Serial loops (`loops`) that release the GIL; the threads belong to BLAS, whose products are NumPy's own (`_blas`). A
bound op is a row in a table, and one compiled function walks down the table (`program`). It is compiled for a data type
when a first row is to be done, and kept on disk beside the package; where that cannot be, it is compiled anew.
"""

from dataclasses import replace

from nnxp.ops import Ops
from nnxp.ops.numba import kernels
from nnxp.ops.numba.program import TableLinker

__all__ = ["table"]


def table(numpy: Ops) -> Ops:
    """NumPy's table with these kernels in place of its own."""
    return replace(numpy.replace(**{name: getattr(kernels, name) for name in kernels.__all__}), linker=TableLinker())
