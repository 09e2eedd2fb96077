"""Products with what belongs to them, sums of columns, and sums of two."""

from collections.abc import Callable
from typing import Any

from nnxp._types import Array
from nnxp.ops import Call
from nnxp.ops.cuda.gemm import Epilogue, Product, forward, input_gradient, weight_gradient
from nnxp.ops.cuda.kernels.activations import activation
from nnxp.ops.cuda.kernels.base import Family
from nnxp.ops.cuda.launch import WARP, Chain, Launch, Machine, Multiplication

__all__ = ["Lines", "column_sums"]


class Lines(Family):
    """Lines and planes: cublasLt's products."""

    def linear(self, x: Array, w: Array, b: Array, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(x, w, b) or not _matrices(x, w):
            return self._fallback("linear", x, w, b, out=out)
        y = self._matrix(x, (x.shape[0], w.shape[1]), out)
        link = self._multiply(self._product(forward, x, (*x.shape, w.shape[1]), Epilogue.BIAS), w, x, y, b)
        if link is not None:
            return link
        plain = self._multiply(self._product(forward, x, (*x.shape, w.shape[1]), Epilogue.DEFAULT), w, x, y)
        if plain is None:
            return self._fallback("linear", x, w, b, out=out)
        return Chain(self._machine, [plain, activation(self._machine, "identity", y, y, bias=b)], y)

    def matmul(self, a: Array, b: Array, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(a, b) or not _matrices(a, b):
            return self._fallback("matmul", a, b, out=out)
        y = self._matrix(a, (a.shape[0], b.shape[1]), out)
        product = self._product(forward, a, (*a.shape, b.shape[1]))
        return self._multiply(product, b, a, y) or self._fallback("matmul", a, b, out=out)

    def linear_weight_gradient(self, x: Array, dy: Array, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(x, dy) or not _matrices(x, dy):
            return self._fallback("linear_weight_gradient", x, dy, out=out)
        dw = self._matrix(x, (x.shape[1], dy.shape[1]), out)
        product = self._product(weight_gradient, x, (*x.shape, dy.shape[1]))
        return self._multiply(product, dy, x, dw) or self._fallback("linear_weight_gradient", x, dy, out=out)

    def linear_input_gradient(self, dy: Array, w: Array, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(dy, w) or not _matrices(dy, w):
            return self._fallback("linear_input_gradient", dy, w, out=out)
        dx = self._matrix(dy, (dy.shape[0], w.shape[0]), out)
        product = self._product(input_gradient, dy, (dy.shape[0], *w.shape))
        return self._multiply(product, w, dy, dx) or self._fallback("linear_input_gradient", dy, w, out=out)

    def _matrix(self, like: Array, shape: tuple[int, int], out: Array | None) -> Array:
        return self._xp.empty(shape, dtype=like.dtype) if out is None else out

    def _product(
        self, make: Callable[..., Product], like: Array, sizes: tuple[int, ...], epilogue: Epilogue = Epilogue.DEFAULT
    ) -> Product:
        """A product of arrays like this one, in the machine's precision."""
        dtype = str(like.dtype)
        precision = self._machine.precision if dtype == "float32" else "float32"
        return make(*sizes, epilogue=epilogue, dtype=dtype, precision=precision)

    def _multiply(self, product: Product, a: Array, b: Array, d: Array, bias: Array = None) -> Multiplication | None:
        """The product; None where the machine cannot do it."""
        link = Multiplication(self._machine, product, a, b, d, bias)
        return link if link.supported() else None

    def linear_bias_gradient(self, dy: Array, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(dy) or dy.ndim != 2:
            return self._fallback("linear_bias_gradient", dy, out=out)
        rows, columns = dy.shape
        db = self._xp.empty(columns, dtype=dy.dtype) if out is None else out
        arguments = {
            "kind": 0, "dy": dy, "kept": None, "rows": rows, "columns": columns, "a": 0.0, "dx": None, "db": db,
        }  # fmt: skip
        return column_sums(self._machine, arguments, db)

    def add(self, a: Array, b: Array, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(a, b) or a.shape != b.shape:
            return self._fallback("add", a, b, out=out)
        out = self._like(a, out)
        return self._launch("add", a, {"a": a, "b": b, "size": a.size, "sum": out}, out, size=a.size)


def column_sums(machine: Machine, arguments: dict[str, Any], result: Any) -> Launch:
    """The kernel that goes down columns: a bias gradient, and perhaps the slope in front of it."""
    dy = arguments["dy"]
    blocks = max(1, -(-dy.shape[1] // WARP))  # each takes so many columns
    return Launch(machine, "bias_activation_backward", dy.dtype, arguments, blocks=blocks, result=result)


def _matrices(*arrays: Array) -> bool:
    return all(a.ndim == 2 and a.size for a in arrays)
