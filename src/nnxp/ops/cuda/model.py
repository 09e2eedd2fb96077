"""NumPy's model of one cublasLt product, on addresses of host memory.

It stands in for cublasLt where there is no GPU, and says in NumPy's words what is expected of it where there is one.

What the documentation leaves open is modelled after NVIDIA's own tests and kernels:

- bit ``i % 8`` of byte ``i // 8`` of a mask's column is row i (nvmath-python, ``tests/…/matmul/test_epilog.py``);
- a mask's bit is 1 unless the number is below 0: at 0 a derivative passes, unlike in `nnxp.ops.reference` (the same
  test, and ``ReluConditional`` in CUTLASS's ``epilogue/thread/linear_combination_bias_relu.h``);
- a ReLU makes 0 of NaN (developer forum of NVIDIA, topic 329783), also unlike the reference;
- the gradient of a bias is the sum *after* the mask (the same test), is written and never added to, and is made of
  numbers that were not rounded to the precision.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from nnxp.errors import ShapeError
from nnxp.ops.cuda.gemm import Epilogue, Precision, Product

__all__ = ["bf16", "bind", "matrix", "run", "tf32"]

Array = np.ndarray[Any, Any]


def tf32(x: Array) -> Array:
    """x[…] in float32, rounded to 10 explicit bits of the fraction: to nearest, ties away from zero.

    Source: PTX ISA, instruction ``cvt.rna.tf32.f32``. A tensor core that is handed unrounded numbers drops the low 13
    bits instead, so that an error up to twice as large is to be expected of a device.
    """
    bits = x.view(np.uint32) + np.uint32(0x1000)
    bits &= np.uint32(0xFFFFE000)
    return _keep_nan(x, bits.view(np.float32))


def bf16(x: Array) -> Array:
    """x[…] in float32, rounded to bfloat16's 7 explicit bits of the fraction: to nearest, ties to even.

    Source: PTX ISA, instruction ``cvt.rn.bf16.f32``.
    """
    bits = x.view(np.uint32) >> np.uint32(16)
    bits &= np.uint32(1)  # odd numbers go up at a tie
    bits += np.uint32(0x7FFF)
    bits += x.view(np.uint32)
    bits &= np.uint32(0xFFFF0000)
    return _keep_nan(x, bits.view(np.float32))


def _keep_nan(x: Array, rounded: Array) -> Array:
    """``rounded``, which is changed: the bits of a NaN could have been carried over into -0."""
    np.copyto(rounded, x, where=np.isnan(x))
    return rounded


_ROUNDED: dict[Precision, Callable[[Array], Array]] = {"float32": lambda x: x, "tf32": tf32, "bf16": bf16}


def matrix(address: int, rows: int, columns: int, ld: int, dtype: str) -> Array:
    """M[rows, columns] over memory where it lies by columns, ``ld`` elements from one to the next."""
    size = np.dtype(dtype).itemsize
    memory = (ctypes.c_char * (((columns - 1) * ld + rows) * size)).from_address(address)
    return np.ndarray((rows, columns), dtype, memoryview(memory), strides=(size, ld * size))


def bind(product: Product, a: int, b: int, d: int, *, bias: int = 0, mask: int = 0) -> Callable[[], None]:
    """A call that computes the product once more; the memory must live as long as the call."""
    epilogue, p = product.epilogue, product
    if (epilogue.has_bias and not bias) or (epilogue.has_mask and not mask):
        raise ShapeError(f"{epilogue.name} needs bias={epilogue.has_bias} and mask={epilogue.has_mask}, got 0.")
    A, B = matrix(a, *p.a_shape, p.lda, p.dtype), matrix(b, *p.b_shape, p.ldb, p.dtype)
    A, B = (A.T if p.transpose_a else A), (B.T if p.transpose_b else B)
    D = matrix(d, p.m, p.n, p.ldd, p.dtype).T  # by rows, as the rest of the world
    vector = matrix(bias, p.bias_size, 1, p.bias_size, p.dtype)[:, 0] if epilogue.has_bias else D
    width = -(-p.m // 8)
    bits = matrix(mask, p.mask_ld // 8, p.n, p.mask_ld // 8, "uint8").T[:, :width] if epilogue.has_mask else D
    rounded = _ROUNDED[p.precision]

    def call() -> None:
        with np.errstate(all="ignore"):  # a GPU warns of nothing
            _multiply(rounded(A), rounded(B), D, p.beta)
            if epilogue.adds_bias:
                np.add(D, vector, out=D)
            if epilogue.relu:
                if epilogue.has_mask:
                    bits[...] = np.packbits(~(D < 0), axis=1, bitorder="little")
                np.fmax(D, 0, out=D)
            if epilogue.masks:
                np.copyto(D, 0, where=np.unpackbits(bits, axis=1, count=p.m, bitorder="little") == 0)
            if epilogue is Epilogue.DRELU_BGRAD:
                np.sum(D, axis=0, out=vector)
            elif epilogue is Epilogue.BGRADA:
                np.sum(A, axis=1, out=vector)
            elif epilogue is Epilogue.BGRADB:
                np.sum(B, axis=0, out=vector)

    return call


def run(product: Product, a: int, b: int, d: int, *, bias: int = 0, mask: int = 0) -> None:
    """Compute the product, with its epilogue, on addresses of host memory."""
    bind(product, a, b, d, bias=bias, mask=mask)()


def _multiply(A: Array, B: Array, D: Array, beta: int) -> None:
    """D[n,m] = (A[m,k] · B[k,n])ᵀ + β D."""
    if beta:
        np.add(D, np.matmul(B.T, A.T), out=D)
    else:
        np.matmul(B.T, A.T, out=D)
