"""NumPy's own BLAS, for compiled code: the same products, on the same threads, without another library.

NumPy is linked to a BLAS whose C functions can be looked up by name. They are made known to LLVM under names of ours,
to which compiled code refers, also when it comes from the cache on disk.
"""

import ctypes
from typing import Any

import llvmlite.binding
import numpy as np
from numba import types

__all__ = ["BLAS", "gemm_of", "gemv_of"]

_NAMES = ("sgemm", "dgemm", "sgemv", "dgemv")

_SPELLINGS = {
    "scipy_cblas_{}64_": np.int64,
    "cblas_{}64_": np.int64,
    "cblas_{}$NEWLAPACK$ILP64": np.int64,
    "scipy_cblas_{}": np.int32,
    "cblas_{}": np.int32,
}
"""How builds of NumPy spell a function, and the type of its sizes."""


def _find() -> Any:
    """A zero of the type of BLAS's sizes, after the functions were made known; None where they are not to be had."""
    try:
        library = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return None
    for spelling, integer in _SPELLINGS.items():
        functions = [getattr(library, spelling.format(name), None) for name in _NAMES]
        if all(functions):
            for name, function in zip(_NAMES, functions, strict=True):
                address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
                llvmlite.binding.add_symbol("nnxp_" + name, address)
            return integer(0)
    return None


BLAS = _find()
"""An argument for compiled functions. Its *type* says how to call BLAS, and so it is part of what is cached."""


def gemm_of(real: Any, integer: Any) -> Any:
    """``(order, trans a, trans b, m, n, k, α, a, lda, b, ldb, β, c, ldc)`` for arrays of a type."""
    i, n, p = types.int32, integer, types.voidptr
    signature = types.void(i, i, i, n, n, n, real, p, n, p, n, real, p, n)
    return types.ExternalFunction("nnxp_sgemm" if real == types.float32 else "nnxp_dgemm", signature)


def gemv_of(real: Any, integer: Any) -> Any:
    """``(order, trans a, m, n, α, a, lda, x, step, β, y, step)`` for arrays of a type."""
    i, n, p = types.int32, integer, types.voidptr
    signature = types.void(i, i, n, n, real, p, n, p, n, real, p, n)
    return types.ExternalFunction("nnxp_sgemv" if real == types.float32 else "nnxp_dgemv", signature)
