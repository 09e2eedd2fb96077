"""What a matrix product with an epilogue is, in numbers: no arrays, no library.

cublasLt's matrices lie by columns: D[m,n] = epilogue(op(A)[m,k] · op(B)[k,n] + β D). Ours lie by rows, and a matrix by
rows is its transpose by columns. So every product of ours is stated transposed, and no memory moves:

| product | D | m, n, k | A | B |
|---|---|---|---|---|
| y[B,O] = x[B,I] · w[I,O]     | yᵀ  | O, B, I | w, as it is  | x, as it is  |
| dx[B,I] = dy[B,O] · w[I,O]ᵀ  | dxᵀ | I, B, O | w, op T      | dy, as it is |
| dw[I,O] = x[B,I]ᵀ · dy[B,O]  | dwᵀ | O, I, B | dy, as it is | x, op T      |

A vector with an element for every row of D (a bias, its gradient) is therefore one for every feature.

Source: NVIDIA, cuBLAS library documentation, chapter on the cublasLt API; the comments of ``cublasLt.h``.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from nnxp.errors import DtypeError, ShapeError

__all__ = [
    "Addresses",
    "Dtype",
    "Epilogue",
    "Precision",
    "Product",
    "forward",
    "input_gradient",
    "mask_bytes",
    "mask_ld",
    "weight_gradient",
]

Dtype = Literal["float32", "float64"]
Precision = Literal["float32", "tf32", "bf16"]

_MASK_BITS = 128
"""A column of a mask begins at a multiple of so many bits."""


class Epilogue(IntEnum):
    """What is done to D before it is stored, with cublasLt's numbers.

    The bias is a vector in the gradients' epilogues too: there it is written. A mask has one bit for every element of
    D, set where a ReLU let it through.
    """

    DEFAULT = 1
    RELU = 2
    BIAS = 4
    RELU_BIAS = 6
    RELU_AUX = 130  # and writes the mask
    RELU_AUX_BIAS = 134
    DRELU = 136  # D becomes 0 where the mask has a 0
    DRELU_BGRAD = 152  # and the bias[m] becomes D's sum over n, after that
    BGRADA = 256  # the bias[m] becomes the sum of op(A) over k
    BGRADB = 512  # the bias[n] becomes the sum of op(B) over k

    @property
    def relu(self) -> bool:
        """Are negative elements of D cut off?"""
        return bool(self & 2)

    @property
    def adds_bias(self) -> bool:
        """Is the bias read, and added to every column of D?"""
        return bool(self & 4)

    @property
    def masks(self) -> bool:
        """Is the mask read, and applied to D?"""
        return bool(self & 8)

    @property
    def has_bias(self) -> bool:
        """Is the bias read or written?"""
        return bool(self & (4 | 16 | 256 | 512))

    @property
    def has_mask(self) -> bool:
        """Is the mask read or written?"""
        return bool(self & 128)


def mask_ld(rows: int) -> int:
    """Bits from one column of a mask to the next: ``rows`` rounded up to a multiple of 128."""
    return -(-rows // _MASK_BITS) * _MASK_BITS


def mask_bytes(rows: int, columns: int) -> int:
    """The size of the mask of D[rows, columns]: for activations[B,F], F rows and B columns."""
    return mask_ld(rows) * columns // 8


@dataclass(frozen=True)
class Product:
    """D[m,n] = epilogue(op(A)[m,k] · op(B)[k,n] + β D), all matrices by columns.

    ``lda``, ``ldb``, ``ldd`` are the elements from one column to the next; ``mask_ld`` the bits (0: there is no mask).
    ``precision`` says how float32 numbers are multiplied; sums are of the dtype.
    """

    m: int
    n: int
    k: int
    transpose_a: bool
    transpose_b: bool
    lda: int
    ldb: int
    ldd: int
    dtype: Dtype = "float32"
    precision: Precision = "float32"
    epilogue: Epilogue = Epilogue.DEFAULT
    beta: int = 0
    mask_ld: int = 0

    @property
    def a_shape(self) -> tuple[int, int]:
        """Rows and columns of A as it lies in memory."""
        return (self.k, self.m) if self.transpose_a else (self.m, self.k)

    @property
    def b_shape(self) -> tuple[int, int]:
        """Rows and columns of B as it lies in memory."""
        return (self.n, self.k) if self.transpose_b else (self.k, self.n)

    @property
    def bias_size(self) -> int:
        """Elements of the bias or of its gradient; 0 where the epilogue has none."""
        if not self.epilogue.has_bias:
            return 0
        return self.n if self.epilogue is Epilogue.BGRADB else self.m

    @property
    def mask_bytes(self) -> int:
        """The size of the mask; 0 where the epilogue has none."""
        return self.mask_ld * self.n // 8

    def __post_init__(self) -> None:
        if min(self.m, self.n, self.k) < 1:
            raise ShapeError(f"A product has sizes of at least 1, got m={self.m}, n={self.n}, k={self.k}.")
        rows = {"lda": self.a_shape[0], "ldb": self.b_shape[0], "ldd": self.m}
        for name, least in rows.items():
            if getattr(self, name) < least:
                raise ShapeError(f"{name} must be at least the matrix's {least} rows, got {getattr(self, name)}.")
        if self.beta not in (0, 1):
            raise ShapeError(f"beta must be 0 (write) or 1 (add), got {self.beta}.")
        if self.dtype == "float64" and self.precision != "float32":
            raise DtypeError(f"Precision {self.precision!r} is for float32, got a product in float64.")
        self._check_mask()

    def _check_mask(self) -> None:
        if not self.epilogue.has_mask:
            if self.mask_ld:
                raise ShapeError(f"{self.epilogue.name} has no mask, got mask_ld={self.mask_ld}.")
        elif self.mask_ld < self.m or self.mask_ld % _MASK_BITS:
            least = mask_ld(self.m)
            raise ShapeError(
                f"mask_ld must be a multiple of {_MASK_BITS} bits and at least {least}, got {self.mask_ld}."
            )


@dataclass(frozen=True)
class Addresses:
    """Where a product's matrices begin in memory; bias and mask where the epilogue has them."""

    a: int
    b: int
    d: int
    bias: int = 0
    mask: int = 0


def forward(
    batch: int,
    inputs: int,
    outputs: int,
    *,
    epilogue: Epilogue = Epilogue.BIAS,
    ldx: int = 0,
    ldw: int = 0,
    ldy: int = 0,
    **how: Any,
) -> Product:
    """y[B,O] = epilogue(x[B,I] · w[I,O]): A is w, B is x, D is y; the bias has O elements.

    Here and below, ``ldx``, ``ldw``, ``ldy`` are the elements from one row of x, w, y (or of their gradients) to the
    next, 0 where the rows follow one another; ``how`` are the dtype, the precision and β of `Product`.
    """
    strides = (ldw or outputs, ldx or inputs, ldy or outputs)
    return _product((outputs, batch, inputs), (False, False), strides, epilogue, how)


def input_gradient(
    batch: int,
    inputs: int,
    outputs: int,
    *,
    epilogue: Epilogue = Epilogue.DEFAULT,
    ldx: int = 0,
    ldw: int = 0,
    ldy: int = 0,
    **how: Any,
) -> Product:
    """dx[B,I] = epilogue(dy[B,O] · w[I,O]ᵀ): A is w, B is dy, D is dx.

    DRELU applies the mask of x[B,I], the output of the ReLU before this layer; DRELU_BGRAD also writes the gradient of
    the bias before that ReLU, of I elements.
    """
    strides = (ldw or outputs, ldy or outputs, ldx or inputs)
    return _product((inputs, batch, outputs), (True, False), strides, epilogue, how)


def weight_gradient(
    batch: int,
    inputs: int,
    outputs: int,
    *,
    epilogue: Epilogue = Epilogue.BGRADA,
    ldx: int = 0,
    ldw: int = 0,
    ldy: int = 0,
    **how: Any,
) -> Product:
    """dw[I,O] = x[B,I]ᵀ · dy[B,O]: A is dy, B is x, D is dw; BGRADA writes db[O], the sum of dy over the batch."""
    strides = (ldy or outputs, ldx or inputs, ldw or outputs)
    return _product((outputs, inputs, batch), (False, True), strides, epilogue, how)


def _product(
    sizes: tuple[int, int, int],
    transposed: tuple[bool, bool],
    strides: tuple[int, int, int],
    epilogue: Epilogue,
    how: dict[str, Any],
) -> Product:
    """The product D[m,n] of sizes (m, n, k), of A and B that are transposed or not, with the strides of A, B and D."""
    m, n, k = sizes
    mask = mask_ld(m) if epilogue.has_mask else 0
    return Product(m, n, k, *transposed, *strides, epilogue=epilogue, mask_ld=mask, **how)
