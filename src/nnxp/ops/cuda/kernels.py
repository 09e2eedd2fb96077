"""What each op is in kernels. Where arrays do not lie as the kernels need them, the reference takes over."""

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

from nnxp._types import Array
from nnxp.ops import Call, Changing, Kernel, Number, Ops
from nnxp.ops.cuda.agenda import Column
from nnxp.ops.cuda.gemm import Epilogue, Product, forward, input_gradient, weight_gradient
from nnxp.ops.cuda.launch import Chain, Launch, Machine, Multiplication, blocks_for

__all__ = ["ACTIVATIONS", "UNIT", "Kernels", "column_sums", "gather_arguments"]

ACTIVATIONS = (
    "identity", "relu", "leaky_relu", "elu", "selu", "sigmoid", "hard_sigmoid", "tanh", "hard_tanh", "softsign",
    "softplus", "step", "silu", "mish", "gelu", "gelu_tanh",
)  # fmt: skip
"""The activations of the kernels, in the order of their enumeration there."""

_RULES: dict[str, tuple[int, tuple[str, ...]]] = {
    "sgd": (0, ("learning_rate",)),
    "momentum": (1, ("learning_rate", "momentum")),
    "nesterov": (1, ("learning_rate", "momentum")),
    "adagrad": (1, ("learning_rate", "epsilon")),
    "rmsprop": (1, ("learning_rate", "rho", "epsilon")),
    "lion": (1, ("learning_rate", "beta_1", "beta_2")),
    "adam": (2, ("learning_rate", "beta_1", "beta_2", "epsilon", "correction_1", "correction_2")),
}
"""The updates: how many slots each has, and its numbers in the op's order."""

_SLOTS = {"momentum": "v", "nesterov": "v", "adagrad": "c", "rmsprop": "c", "lion": "m", "adam": "mv"}
"""What the kernels call the slots."""

_CHANGING = ("learning_rate", "correction_1", "correction_2")
"""Numbers that the kernels read from the agenda."""


class Kernels:
    """The kernels of one machine, each a binder in the sense of `nnxp.ops.Kernel`."""

    def __init__(self, machine: Machine, reference: Ops) -> None:
        self._machine, self._xp, self._reference = machine, machine.xp, reference

    def all(self) -> dict[str, Kernel]:
        """Every kernel by the name of its op."""
        found: dict[str, Kernel] = {name: partial(self._activate, name) for name in ACTIVATIONS[1:]}
        found |= {f"{name}_backward": partial(self._derive, name) for name in ACTIVATIONS[1:]}
        found |= {name: partial(self._update, name) for name in _RULES}
        own = (
            "add", "binary_crossentropy_from_logits", "binary_crossentropy_from_logits_backward",
            "categorical_crossentropy_from_logits", "categorical_crossentropy_from_logits_backward", "clip_norm",
            "decay_weights", "dropout", "l1", "l1_backward", "l2", "l2_backward", "linear", "linear_bias_gradient",
            "linear_input_gradient", "linear_weight_gradient", "log_softmax", "log_softmax_backward", "matmul",
            "sigmoid_binary_crossentropy", "softmax", "softmax_backward", "softmax_categorical_crossentropy",
            "squared_error", "squared_error_backward", "take_rows",
        )  # fmt: skip
        return found | {name: getattr(self, name) for name in own}

    # -- what all share

    def _launch(self, kernel: str, like: Array, arguments: dict[str, Any], result: Any, *, size: int) -> Launch:
        blocks = blocks_for(size, self._machine.threads)
        return Launch(self._machine, kernel, like.dtype, arguments, blocks=blocks, result=result)

    def _fallback(self, op: str, *inputs: Any, out: Any) -> Call:
        """The reference, into the buffers."""
        function = getattr(self._reference, op)

        def call() -> Any:
            made = function(*[i.value if isinstance(i, Number | Changing) else i for i in inputs])
            if isinstance(made, tuple):
                return tuple(map(_filled, out or (None,) * len(made), made))
            return _filled(out, made)

        return call

    def _ready(self, *arrays: Array) -> bool:
        """Whether the kernels can read the arrays: of one floating type, by rows and without gaps."""
        dtype, kind = arrays[0].dtype, self._xp.ndarray
        return dtype.kind == "f" and all(isinstance(a, kind) and a.flags.c_contiguous and a.dtype == dtype for a in arrays)

    def _like(self, x: Array, out: Array | None) -> Array:
        return self._xp.empty(x.shape, dtype=x.dtype) if out is None else out

    def _scalar(self, like: Array, out: Array | None = None) -> Array:
        return self._xp.empty((), dtype=like.dtype) if out is None else out

    def _work(self, size: int, like: Array) -> tuple[Array, Array]:
        """Room for partial sums, and the counter of the blocks that have left theirs."""
        return self._xp.empty(size, dtype=like.dtype), self._xp.zeros(1, dtype=self._xp.uint32)

    # -- lines

    def linear(self, x: Array, w: Array, b: Array, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(x, w, b) or not _matrices(x, w):
            return self._fallback("linear", x, w, b, out=out)
        y = self._matrix(x, (x.shape[0], w.shape[1]), out)
        link = self._multiply(forward(*x.shape, w.shape[1], epilogue=Epilogue.BIAS, **self._kind(x)), w, x, y, b)
        if link is not None:
            return link
        plain = self._multiply(forward(*x.shape, w.shape[1], epilogue=Epilogue.DEFAULT, **self._kind(x)), w, x, y)
        if plain is None:
            return self._fallback("linear", x, w, b, out=out)
        return Chain(self._machine, [plain, self._activation("identity", y, 0.0, y, bias=b)], y)

    def matmul(self, a: Array, b: Array, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(a, b) or not _matrices(a, b):
            return self._fallback("matmul", a, b, out=out)
        y = self._matrix(a, (a.shape[0], b.shape[1]), out)
        product = forward(*a.shape, b.shape[1], epilogue=Epilogue.DEFAULT, **self._kind(a))
        return self._multiply(product, b, a, y) or self._fallback("matmul", a, b, out=out)

    def linear_weight_gradient(self, x: Array, dy: Array, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(x, dy) or not _matrices(x, dy):
            return self._fallback("linear_weight_gradient", x, dy, out=out)
        dw = self._matrix(x, (x.shape[1], dy.shape[1]), out)
        product = weight_gradient(*x.shape, dy.shape[1], epilogue=Epilogue.DEFAULT, **self._kind(x))
        return self._multiply(product, dy, x, dw) or self._fallback("linear_weight_gradient", x, dy, out=out)

    def linear_input_gradient(self, dy: Array, w: Array, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(dy, w) or not _matrices(dy, w):
            return self._fallback("linear_input_gradient", dy, w, out=out)
        dx = self._matrix(dy, (dy.shape[0], w.shape[0]), out)
        product = input_gradient(dy.shape[0], *w.shape, epilogue=Epilogue.DEFAULT, **self._kind(dy))
        return self._multiply(product, w, dy, dx) or self._fallback("linear_input_gradient", dy, w, out=out)

    def _matrix(self, like: Array, shape: tuple[int, int], out: Array | None) -> Array:
        return self._xp.empty(shape, dtype=like.dtype) if out is None else out

    def _kind(self, x: Array) -> dict[str, Any]:
        """How a product of arrays like x is made."""
        dtype = str(x.dtype)
        return {"dtype": dtype, "precision": self._machine.precision if dtype == "float32" else "float32"}

    def _multiply(self, product: Product, a: Array, b: Array, d: Array, bias: Array = None) -> Multiplication | None:
        """The product; None where the machine cannot do it."""
        link = Multiplication(self._machine, product, a, b, d, bias)
        return link if link.supported() else None

    def linear_bias_gradient(self, dy: Array, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(dy) or dy.ndim != 2:
            return self._fallback("linear_bias_gradient", dy, out=out)
        rows, columns = dy.shape
        db = self._xp.empty(columns, dtype=dy.dtype) if out is None else out
        arguments = {"kind": 0, "dy": dy, "kept": None, "rows": rows, "columns": columns, "a": 0.0, "dx": None, "db": db}
        return column_sums(self._machine, arguments, db)

    def add(self, a: Array, b: Array, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(a, b) or a.shape != b.shape:
            return self._fallback("add", a, b, out=out)
        out = self._like(a, out)
        return self._launch("add", a, {"a": a, "b": b, "size": a.size, "sum": out}, out, size=a.size)

    # -- activations

    def _activate(self, op: str, x: Array, a: float = 0.0, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(x):
            return self._fallback(op, *((x,) if op not in _WITH_NUMBER else (x, a)), out=out)
        return self._activation(op, x, a, self._like(x, out))

    def _activation(self, op: str, x: Array, a: float, y: Array, bias: Array = None) -> Launch:
        columns = 1 if bias is None else bias.size
        arguments = {
            "kind": ACTIVATIONS.index(op), "x": x, "bias": bias, "size": x.size, "columns": columns, "a": a, "z": None,
            "y": y,
        }  # fmt: skip
        return self._launch("activation", x, arguments, y, size=x.size)

    def _derive(
        self, op: str, dy: Array, kept: Array, a: float = 0.0, *, out: Array = None, scratch: Any = None
    ) -> Call:
        if not self._ready(dy, kept):
            return self._fallback(
                f"{op}_backward", *((dy, kept) if op not in _WITH_NUMBER else (dy, kept, a)), out=out
            )
        dx = self._like(dy, out)
        arguments = {"kind": ACTIVATIONS.index(op), "dy": dy, "kept": kept, "size": dy.size, "a": a, "dx": dx}
        return self._launch("activation_backward", dy, arguments, dx, size=dy.size)

    def softmax(self, x: Array, *, out: Array = None, scratch: Any = None) -> Call:
        return self._softmax("softmax", x, out)

    def log_softmax(self, x: Array, *, out: Array = None, scratch: Any = None) -> Call:
        return self._softmax("log_softmax", x, out)

    def _softmax(self, op: str, x: Array, out: Array | None) -> Call:
        if not self._ready(x) or not x.size:
            return self._fallback(op, x, out=out)
        rows, columns, y = prod(x.shape[:-1]), x.shape[-1], self._like(x, out)
        arguments = {"z": x, "rows": rows, "columns": columns, "logarithm": op == "log_softmax", "y": y}
        return self._launch("softmax", x, arguments, y, size=32 * rows)

    def softmax_backward(self, dy: Array, y: Array, *, out: Array = None, scratch: Any = None) -> Call:
        return self._softmax_backward("softmax_backward", dy, y, out)

    def log_softmax_backward(self, dy: Array, y: Array, *, out: Array = None, scratch: Any = None) -> Call:
        return self._softmax_backward("log_softmax_backward", dy, y, out)

    def _softmax_backward(self, op: str, dy: Array, y: Array, out: Array | None) -> Call:
        if not self._ready(dy, y) or not dy.size:
            return self._fallback(op, dy, y, out=out)
        rows, columns, dx = prod(dy.shape[:-1]), dy.shape[-1], self._like(dy, out)
        logarithm = op == "log_softmax_backward"
        arguments = {"dy": dy, "y": y, "rows": rows, "columns": columns, "logarithm": logarithm, "dx": dx}
        return self._launch("softmax_backward", dy, arguments, dx, size=32 * rows)

    # -- losses

    def softmax_categorical_crossentropy(
        self, z: Array, y: Array, divisor: float, *, out: Any = None, scratch: Any = None
    ) -> Call:
        p, loss, dz = out or (None, None, None)
        p, loss, dz = self._like(z, p), self._scalar(z, loss), self._like(z, dz)
        return self._classes(
            "softmax_categorical_crossentropy", z, y, divisor, (p, loss, dz), p=p, loss=loss, dz=dz
        )

    def categorical_crossentropy_from_logits(
        self, z: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None
    ) -> Call:
        loss = self._scalar(z, out)
        return self._classes("categorical_crossentropy_from_logits", z, y, divisor, loss, loss=loss)

    def categorical_crossentropy_from_logits_backward(
        self, z: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None
    ) -> Call:
        dz = self._like(z, out)
        return self._classes("categorical_crossentropy_from_logits_backward", z, y, divisor, dz, dz=dz)

    def _classes(self, op: str, z: Array, y: Array, divisor: float, result: Any, **outputs: Array) -> Call:
        labels = y if y.ndim == 1 and y.dtype == self._xp.int64 else None
        shares = y if y.ndim == 2 and y.dtype == z.dtype else None
        if not self._ready(z) or not z.size or not y.flags.c_contiguous or (labels is None and shares is None):
            return self._fallback(op, z, y, divisor, out=result)
        rows, columns = z.shape
        losses, arrived = self._work(rows, z)
        arguments = {
            "z": z, "labels": labels, "shares": shares, "rows": rows, "columns": columns, "divisor": divisor, "p": None,
            "dz": None, "loss": None, "matches": None, "row_losses": losses, "row_matches": None, "arrived": arrived,
        } | outputs  # fmt: skip
        return self._launch("softmax_crossentropy", z, arguments, result, size=32 * rows)

    def sigmoid_binary_crossentropy(
        self, z: Array, y: Array, divisor: float, *, out: Any = None, scratch: Any = None
    ) -> Call:
        p, loss, dz = out or (None, None, None)
        p, loss, dz = self._like(z, p), self._scalar(z, loss), self._like(z, dz)
        return self._questions("sigmoid_binary_crossentropy", z, y, divisor, (p, loss, dz), p=p, loss=loss, dz=dz)

    def binary_crossentropy_from_logits(
        self, z: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None
    ) -> Call:
        loss = self._scalar(z, out)
        return self._questions("binary_crossentropy_from_logits", z, y, divisor, loss, loss=loss)

    def binary_crossentropy_from_logits_backward(
        self, z: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None
    ) -> Call:
        dz = self._like(z, out)
        return self._questions("binary_crossentropy_from_logits_backward", z, y, divisor, dz, dz=dz)

    def _questions(self, op: str, z: Array, y: Array, divisor: float, result: Any, **outputs: Array) -> Call:
        if not self._ready(z, y) or z.shape != y.shape:
            return self._fallback(op, z, y, divisor, out=result)
        parts, arrived = self._work(2 * blocks_for(z.size, self._machine.threads), z)
        arguments = {
            "z": z, "y": y, "size": z.size, "divisor": divisor, "threshold": 0.5, "p": None, "dz": None, "loss": None,
            "matches": None, "parts": parts, "arrived": arrived,
        } | outputs  # fmt: skip
        return self._launch("sigmoid_crossentropy", z, arguments, result, size=z.size)

    def squared_error(self, p: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None) -> Call:
        loss = self._scalar(p, out)
        return self._squares("squared_error", p, y, divisor, loss, loss=loss)

    def squared_error_backward(
        self, p: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None
    ) -> Call:
        dp = self._like(p, out)
        return self._squares("squared_error_backward", p, y, divisor, dp, dp=dp)

    def _squares(self, op: str, p: Array, y: Array, divisor: float, result: Array, **outputs: Array) -> Call:
        if not self._ready(p, y) or p.shape != y.shape:
            return self._fallback(op, p, y, divisor, out=result)
        parts, arrived = self._work(blocks_for(p.size, self._machine.threads), p)
        arguments = {
            "p": p, "y": y, "size": p.size, "divisor": divisor, "dp": None, "loss": None, "parts": parts,
            "arrived": arrived,
        } | outputs  # fmt: skip
        return self._launch("squared_error", p, arguments, result, size=p.size)

    # -- penalties and norms

    def l1(self, w: Array, rate: float, *, out: Array = None, scratch: Any = None) -> Call:
        return self._penalty("l1", w, rate, out)

    def l2(self, w: Array, rate: float, *, out: Array = None, scratch: Any = None) -> Call:
        return self._penalty("l2", w, rate, out)

    def _penalty(self, op: str, w: Array, rate: float, out: Array | None) -> Call:
        if not self._ready(w):
            return self._fallback(op, w, rate, out=out)
        return self._sum(w, op == "l2", rate, self._scalar(w, out))

    def _sum(self, w: Array, squares: bool, rate: float, sum_: Array) -> Launch:
        blocks = blocks_for(w.size, self._machine.threads)
        parts, arrived = self._work(blocks, w)
        arguments = {
            "w": w, "size": w.size, "squares": squares, "rate": rate, "sum": sum_, "parts": parts, "arrived": arrived,
        }  # fmt: skip
        return Launch(self._machine, "sum_of_powers", w.dtype, arguments, blocks=blocks, result=sum_)

    def l1_backward(self, dw: Array, w: Array, rate: float, *, out: Array = None, scratch: Any = None) -> Call:
        return self._penalty_backward("l1_backward", dw, w, rate, out)

    def l2_backward(self, dw: Array, w: Array, rate: float, *, out: Array = None, scratch: Any = None) -> Call:
        return self._penalty_backward("l2_backward", dw, w, rate, out)

    def _penalty_backward(self, op: str, dw: Array, w: Array, rate: float, out: Array | None) -> Call:
        if not self._ready(dw, w):
            return self._fallback(op, dw, w, rate, out=out)
        out = self._like(dw, out)
        arguments = {"dw": dw, "w": w, "size": w.size, "squares": op == "l2_backward", "rate": rate, "out": out}
        return self._launch("penalty_backward", w, arguments, out, size=w.size)

    # -- noise and rows

    def dropout(
        self, x: Array, rate: float, stream: Any, *, out: Array = None, scratch: Any = None
    ) -> Call:
        if not self._ready(x):
            return self._fallback("dropout", x, rate, stream, out=out)
        changing = stream if isinstance(stream, Changing) else Changing(stream)
        first, y = changing.value, self._like(x, out)
        arguments = {
            "x": x, "size": x.size, "key0": first.key[0], "key1": first.key[1], "item": first.counter[3],
            "step": Column(lambda: changing.value.counter[2], pace=1),
            "offset": Column(lambda: changing.value.offset),
            "threshold": int(rate * 2.0**64), "scale": 1 / (1 - rate), "y": y,
        }  # fmt: skip
        return self._launch("dropout", x, arguments, y, size=x.size // 4 + 2)

    # -- updates

    def _update(self, op: str, w: Array, g: Array, *rest: Any, out: Any = None, scratch: Any = None) -> Call:
        count, names = _RULES[op]
        slots, numbers = rest[:count], rest[count:]
        if not self._ready(w, g, *slots):
            return self._fallback(op, w, g, *rest, out=out)
        owned = self._owned((w, *slots), out)
        arguments: dict[str, Any] = {"w": owned[0], "g": g, "size": w.size, "decay": 0.0}
        arguments |= zip(_SLOTS.get(op, ""), owned[1:], strict=True)
        for name, number in zip(names, numbers, strict=True):
            arguments[name] = Number.of(number) if name in _CHANGING else number
        return self._launch(op, w, arguments, owned if count else owned[0], size=-(-w.size // 4))

    def decay_weights(
        self, w: Array, learning_rate: Number | float, weight_decay: float, *, out: Array = None, scratch: Any = None
    ) -> Call:
        if not self._ready(w):
            return self._fallback("decay_weights", w, learning_rate, weight_decay, out=out)
        (owned,) = self._owned((w,), out)
        arguments = {
            "w": owned, "size": w.size, "learning_rate": Number.of(learning_rate), "decay": weight_decay,
        }  # fmt: skip
        return self._launch("decay_weights", w, arguments, owned, size=w.size)

    def clip_norm(self, g: Array, limit: float, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(g):
            return self._fallback("clip_norm", g, limit, out=out)
        square, out = self._scalar(g), self._like(g, out)
        arguments = {"g": g, "size": g.size, "square": square, "limit": limit, "out": out}
        clip = self._launch("clip_norm", g, arguments, out, size=g.size)
        return Chain(self._machine, [self._sum(g, True, 1.0, square), clip], out)

    def _owned(self, arrays: tuple[Array, ...], out: Any) -> tuple[Array, ...]:
        """The arrays in memory that may be written: the donated buffers, or copies."""
        buffers = out if isinstance(out, tuple) else (out,) * len(arrays)
        return tuple(a.copy() if b is None else _filled(b, a) for a, b in zip(arrays, buffers, strict=True))

    def take_rows(self, x: Array, index: Array, *, out: Array = None, scratch: Any = None) -> Call:
        units = prod(x.shape[1:]) * x.dtype.itemsize
        ready = x.flags.c_contiguous and index.flags.c_contiguous and index.dtype == self._xp.int64
        if not ready or units % UNIT or not x.size:
            return self._fallback("take_rows", x, index, out=out)
        rows = index.shape[0]
        y = self._xp.empty((rows, *x.shape[1:]), dtype=x.dtype) if out is None else out
        return Launch(
            self._machine,
            "gather",
            _FLOAT,
            gather_arguments([x], [y], index, Number(0), rows),
            blocks=blocks_for(rows * units // UNIT, self._machine.threads),
            result=y,
        )


UNIT = 4
"""Bytes that the kernel ``gather`` moves at a time."""

_FLOAT = "float32"

_WITH_NUMBER = ("leaky_relu", "elu")
"""Activations with a number of their own."""


def gather_arguments(
    sources: Sequence[Array | None], rows: Sequence[Array | None], order: Array, start: Number, count: int
) -> dict[str, Any]:
    """The arguments of the kernel ``gather`` for up to three arrays."""
    arguments: dict[str, Any] = {"order": order, "start": start, "rows": count}
    for name, (source, part) in zip("abc", [*zip(sources, rows, strict=True), (None, None), (None, None)], strict=False):
        units = 0 if source is None else prod(source.shape[1:]) * source.dtype.itemsize // UNIT
        arguments |= {name: source, f"{name}_rows": part, f"{name}_units": units}
    return arguments


def column_sums(machine: Machine, arguments: dict[str, Any], result: Any) -> Launch:
    """The kernel that goes through rows in columns: a bias gradient, and perhaps the gradient before it."""
    dy = arguments["dy"]
    blocks = max(1, -(-dy.shape[1] // 32))
    return Launch(machine, "bias_activation_backward", dy.dtype, arguments, blocks=blocks, result=result)


def _matrices(*arrays: Array) -> bool:
    return all(a.ndim == 2 and a.size for a in arrays)


def _filled(buffer: Array | None, value: Array) -> Array:
    if buffer is None:
        return value
    if buffer is not value:
        buffer[...] = value
    return buffer
