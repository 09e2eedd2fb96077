"""Kernels on NumPy's arrays, NumPy's own and compiled ones, against the reference: values, memory layouts, donations,
and calls that are repeated.

Tolerances are in ULP (units of the type's eps) of a magnitude that the case names, because a kernel may add and
multiply in another order: a sum is as exact as its terms are large, not as its result is.

A test goes through all shapes of its case, and names the one that fails.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp.errors import BackendError
from nnxp.ops import ELEMENTWISE, Kernel, Number, Ops, numpy, reference
from nnxp.ops.reference.windows import grid

REFERENCE = reference.table(np)
NUMPY = numpy.table(REFERENCE)


def _tables() -> dict[str, Ops]:
    """The tables of kernels that can be used here; numba is an extra."""
    try:
        return {"numpy": NUMPY, "numba": nnxp.get_backend("numpy", kernels="numba").ops}
    except BackendError:
        return {"numpy": NUMPY}


TABLES = _tables()

MATRICES = [(1, 1), (1, 2), (2, 31), (31, 1), (33, 33), (1, 1000), (1000, 2), (1000, 33)]
INPUTS = {1: 1, 2: 31, 31: 33, 33: 1000, 1000: 1}
"""How many inputs a dense layer with so many outputs gets here; one input is a special case of the kernels."""
VECTORS = [(1,), (2,), (31,), (33,), (1000,)]
CHUNKS = [32_767, 32_768, 32_769, 100_000]
"""Around the size of the pieces that updates work on, and several pieces with a ragged last one."""
PIECES = [(181, 181), (182, 181), (9, 5000)]
"""Matrices of just less and just more elements than one piece, and of several pieces."""


@dataclass(frozen=True)
class Case:
    """Arguments for a result of a shape, and how far the kernel may be from the reference."""

    op: str
    arguments: Callable[[np.random.Generator, tuple[int, ...]], tuple[Any, ...]]
    ulps: float = 0
    """0 means equal to the last bit: the same operations in the same order."""
    magnitude: Callable[..., Any] = lambda *arguments: 1.0
    """Of what size the ULP are, per element; for an op with several results, a tuple."""
    label: str = ""
    outputs: int | None = None
    """How many results a tuple has; None for a single one."""
    unbuffered: tuple[int, ...] = ()
    """Results that are 0-d and never get a buffer."""
    shapes: tuple[tuple[int, ...], ...] = tuple(MATRICES)

    table: str = "numpy"

    @property
    def name(self) -> str:
        name = f"{self.op}-{self.label}" if self.label else self.op
        return name if self.table == "numpy" else f"{self.table}-{name}"

    @property
    def entry(self) -> Callable[..., Any]:
        """The op, to be called once."""
        return getattr(TABLES[self.table], self.op)

    @property
    def kernel(self) -> Kernel:
        """The op, to be bound."""
        return TABLES[self.table].kernels[self.op]

    @property
    def is_update(self) -> bool:
        """Whether the buffers are the very inputs that are replaced: all but the gradient, the second one."""
        return self.op in UPDATES

    @property
    def layouts(self) -> list[str]:
        """A vector lies in memory in two ways only."""
        return list(LAYOUTS) if any(len(shape) > 1 for shape in self.shapes) else ["rows", "gaps"]


UPDATES = {"sgd", "momentum", "nesterov", "adam", "adamax", "nadam", "lion", "adagrad", "rmsprop", "adadelta"}
UPDATES |= {"decay_weights", "average"}


def normal(*shapes: Any) -> Callable[..., tuple[Any, ...]]:
    """Arguments: normal arrays of the result's shape for each "like", numbers as they are."""
    return lambda random, shape: tuple(random.standard_normal(shape) if s == "like" else s for s in shapes)


def gate_inputs(count: int) -> Callable[..., tuple[Any, ...]]:
    """Arguments out to where a gate is shut: each is drawn from all that its approximations distinguish."""
    return lambda random, shape: tuple(4 * random.standard_normal(shape) for _ in range(count))


def size_of_slope(dy: np.ndarray, x: np.ndarray) -> Any:
    return np.abs(dy) * (1 + np.abs(x))


def class_logits(targets: str) -> Callable[..., tuple[Any, ...]]:
    def arguments(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, ...]:
        rows, classes = shape
        y = random.integers(0, classes, rows)
        if targets == "one_hot":
            y = np.eye(classes)[y]
        elif targets == "shares":
            y = random.uniform(0.0, 1.0, shape)
            y /= y.sum(axis=1, keepdims=True)
        elif targets == "weights":  # rows that do not sum to 1
            y = random.uniform(0.0, 2.0, shape)
        return 3 * random.standard_normal(shape), y, float(rows)

    return arguments


def real_targets(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, ...]:
    return (*random.standard_normal((2, *shape)), 7.0)


def binary_targets(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, ...]:
    return 3 * random.standard_normal(shape), random.uniform(0.0, 1.0, shape), 7.0


def rows_to_take(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, ...]:
    return random.standard_normal((50, shape[1])), random.integers(0, 50, shape[0])


def perhaps_finite(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, ...]:
    w = random.standard_normal(shape)
    w.flat[random.integers(w.size)] = random.choice([1.0, 1e18, np.inf, -np.inf, np.nan])
    return (w,)


def size_of_difference(z: np.ndarray, y: np.ndarray, d: float) -> Any:
    """Of what (p · Σ y - y) / D is made; an element that is no label has 0 taken away, and some rounding of 1/D."""
    p = REFERENCE.softmax(z)
    return (p + 0.5) / d if y.ndim == 1 else (p * y.sum(axis=1, keepdims=True) + y) / d


def result_of(op: str) -> Callable[..., Any]:
    """The magnitude of an op whose errors are in proportion to its result."""
    return lambda *arguments: np.abs(getattr(REFERENCE, op)(*arguments))


def size_of_moments(w: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, *numbers: float) -> tuple[Any, ...]:
    """What a step is added to; the moments are the same to the bit."""
    return np.abs(w) + 0.1, np.finfo(w.dtype).tiny, np.finfo(w.dtype).tiny


def update(op: str, *numbers: float, slots: int, **how: Any) -> Case:
    """Weights, gradients and slots; the last slot of Adam is a mean of squares, so all slots are positive."""

    def arguments(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, ...]:
        w, g = random.standard_normal((2, *shape))
        return (w, g, *random.uniform(0.1, 1.0, (slots, *shape)), *numbers)

    return Case(op, arguments, outputs=slots + 1 if slots else None, shapes=tuple(VECTORS), **how)


def line(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, ...]:
    return random.standard_normal((shape[0], INPUTS[shape[1]])), random.standard_normal((INPUTS[shape[1]], shape[1]))


MOST = 1000
"""Samples of an image: enough for tens of kilobytes."""

IMAGES = ((1, 1), (2, 3), (33, 2), (300, 9))
"""Samples and channels; the last ones are several pieces."""


def images(label: str, strides: tuple[int, int], padding: Any) -> list[Case]:
    """Images of 4x5 pixels, windows of 2x3; sums are made by BLAS, or place by place in another order."""
    size, window, how = (4, 5), (2, 3), (strides, padding)
    h, w = (count for count, *_ in grid(size, window, *how))

    def batch(random: np.random.Generator, shape: tuple[int, ...], *inner: int) -> np.ndarray:
        return random.standard_normal((min(shape[0], MOST), *inner, shape[1]))

    def pooled(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, ...]:
        x = batch(random, shape, *size).astype("f")  # so that y, too, is the same in float32 as in float64
        return batch(random, shape, h, w), x, REFERENCE.max_pool2d(x, window, *how), window, *how

    return [
        Case(
            "conv2d",
            lambda random, shape: (
                batch(random, shape, *size),
                random.standard_normal((*window, shape[1], 3)),
                random.standard_normal(3),
                *how,
            ),
            ulps=8,
            magnitude=lambda x, w, b, *how: REFERENCE.conv2d(np.abs(x), np.abs(w), np.abs(b), *how),
            label=label,
            shapes=IMAGES,
        ),
        Case(
            "conv2d_weight_gradient",
            lambda random, shape: (
                batch(random, shape, *size),
                batch(random, (shape[0], 3), h, w),
                window,
                *how,
            ),
            ulps=8,
            magnitude=lambda x, dy, *how: REFERENCE.conv2d_weight_gradient(np.abs(x), np.abs(dy), *how),
            label=label,
            shapes=IMAGES,
        ),
        Case(
            "conv2d_input_gradient",
            lambda random, shape: (
                batch(random, shape, h, w),
                random.standard_normal((*window, 3, shape[1])),
                size,
                *how,
            ),
            ulps=8,
            magnitude=lambda dy, w, *how: REFERENCE.conv2d_input_gradient(np.abs(dy), np.abs(w), *how),
            label=label,
            shapes=IMAGES,
        ),
        Case(
            "max_pool2d",
            lambda random, shape: (batch(random, shape, *size), window, *how),
            label=label,
            shapes=IMAGES,
        ),
        Case(
            "max_pool2d_backward",
            pooled,
            ulps=4,
            magnitude=lambda dy, x, y, *how: 6 * np.abs(dy).max(),
            label=label,
            shapes=IMAGES,
        ),
        Case(
            "average_pool2d",
            lambda random, shape: (batch(random, shape, *size), window, *how),
            ulps=4,
            magnitude=lambda x, *how: REFERENCE.average_pool2d(np.abs(x), *how),
            label=label,
            shapes=IMAGES,
        ),
        Case(
            "average_pool2d_backward",
            lambda random, shape: (batch(random, shape, h, w), size, window, *how),
            ulps=4,
            magnitude=lambda dy, *how: REFERENCE.average_pool2d_backward(np.abs(dy), *how),
            label=label,
            shapes=IMAGES,
        ),
    ]


CASES = [
    # BLAS may add the terms in another order for another memory layout
    Case("matmul", line, ulps=4, magnitude=lambda a, b: np.abs(a) @ np.abs(b)),
    Case(
        "linear",
        lambda random, shape: (*line(random, shape), random.standard_normal(shape[1])),
        ulps=4,
        magnitude=lambda x, w, b: np.abs(x) @ np.abs(w) + np.abs(b),
    ),
    # a product with ones in place of a sum; its terms are random, so partial sums are of size √B and errors of size √B
    Case(
        "linear_bias_gradient",
        lambda random, shape: (random.standard_normal((INPUTS[shape[1]] + shape[0], shape[1])),),
        ulps=4,
        magnitude=lambda dy: np.abs(dy).sum(axis=0),
    ),
    Case(
        "linear_weight_gradient",
        lambda random, shape: (
            random.standard_normal((INPUTS[shape[1]], shape[0])),
            random.standard_normal((INPUTS[shape[1]], shape[1])),
        ),
        ulps=4,
        magnitude=lambda x, dy: np.abs(x).T @ np.abs(dy),
    ),
    Case(
        "linear_input_gradient",
        lambda random, shape: (
            random.standard_normal((shape[0], INPUTS[shape[1]])),
            random.standard_normal((shape[1], INPUTS[shape[1]])),
        ),
        ulps=4,
        magnitude=lambda dy, w: np.abs(dy) @ np.abs(w).T,
    ),
    *[
        case
        for label, strides, padding in (
            ("same", (1, 1), "same"),
            ("margins", (2, 1), (1, 2)),
            ("apart", (2, 3), "valid"),
        )
        for case in images(label, strides, padding)
    ],
    Case(
        "conv2d_bias_gradient",
        lambda random, shape: (random.standard_normal((shape[0], 2, 3, shape[1])),),
        ulps=4,
        magnitude=lambda dy: np.abs(dy).sum(axis=(0, 1, 2)),
        shapes=IMAGES,
    ),
    Case(
        "global_average_pool",
        lambda random, shape: (random.standard_normal((shape[0], 2, 3, shape[1])),),
        ulps=4,
        magnitude=lambda x: np.abs(x).sum(axis=(1, 2)),
        shapes=IMAGES,
    ),
    Case(
        "global_average_pool_backward",
        lambda random, shape: (random.standard_normal(shape), (2, 3)),
        ulps=1,
        magnitude=lambda dy, size: np.abs(dy)[:, None, None, :],
        shapes=IMAGES,
    ),
    Case("relu", normal("like"), shapes=(*MATRICES, *PIECES)),
    Case(
        "relu_backward",
        lambda random, shape: (random.standard_normal(shape), relu(random.standard_normal(shape))),
        shapes=(*MATRICES, *PIECES),
    ),
    Case("leaky_relu", normal("like", 0.2), shapes=(*MATRICES, *PIECES)),
    Case("leaky_relu", normal("like", 1.5), label="steep"),
    Case("leaky_relu_backward", normal("like", "like", 0.2), shapes=(*MATRICES, *PIECES)),
    Case("leaky_relu_backward", normal("like", "like", 1.5), label="steep"),
    # two exponentials, each within 2 ULP; in a slope, what is rounded to an ULP of 1 is multiplied by x
    Case("silu", gate_inputs(1), ulps=6, magnitude=result_of("silu"), shapes=(*MATRICES, *PIECES)),
    Case("silu_backward", gate_inputs(2), ulps=6, magnitude=size_of_slope, shapes=(*MATRICES, *PIECES)),
    Case("gelu", gate_inputs(1), ulps=8, magnitude=result_of("gelu"), shapes=(*MATRICES, *PIECES)),
    Case("gelu_backward", gate_inputs(2), ulps=8, magnitude=size_of_slope, shapes=(*MATRICES, *PIECES)),
    # NumPy has loops of its own for exp and tanh of arrays with gaps: each is within 2 ULP of the true value
    Case("sigmoid", lambda random, shape: (3 * random.standard_normal(shape),), ulps=4, magnitude=result_of("sigmoid")),
    # dy·(1 - y)·y against dy·((1 - y)·y): two roundings in another order, each half an ULP of the result
    Case(
        "sigmoid_backward",
        lambda random, shape: (random.standard_normal(shape), random.uniform(0.0, 1.0, shape)),
        ulps=2,
        magnitude=lambda dy, y: np.abs(dy) * (1 - y) * y,
        shapes=(*MATRICES, *PIECES),
    ),
    Case("tanh", normal("like"), ulps=4, magnitude=result_of("tanh")),
    Case(
        "tanh_backward",
        lambda random, shape: (random.standard_normal(shape), random.uniform(-1.0, 1.0, shape)),
        shapes=(*MATRICES, *PIECES),
    ),
    Case("step", normal("like")),
    Case("step_backward", lambda random, shape: (random.standard_normal(shape), random.integers(0, 2, shape) * 1.0)),
    # a sum of up to 1000 positive terms in another order, and exp
    Case("softmax", normal("like"), ulps=8, magnitude=result_of("softmax")),
    Case(
        "softmax_backward",
        lambda random, shape: (random.standard_normal(shape), REFERENCE.softmax(random.standard_normal(shape))),
        ulps=4,
        magnitude=lambda dy, y: y * (np.abs(dy) + np.sum(np.abs(dy * y), axis=-1, keepdims=True)),
    ),
    # p is a softmax; the loss is a sum over the batch in another order; dz is multiplied by 1/D, not divided by D
    *[
        case
        for targets in ("labels", "one_hot", "shares", "weights")
        for case in (
            Case(
                "categorical_crossentropy_from_logits",
                class_logits(targets),
                ulps=8,
                magnitude=result_of("categorical_crossentropy_from_logits"),
                label=targets,
                unbuffered=(0,),
            ),
            Case(
                "categorical_crossentropy_from_logits_backward",
                class_logits(targets),
                ulps=8,
                magnitude=size_of_difference,
                label=targets,
            ),
            Case(
                "softmax_categorical_crossentropy",
                class_logits(targets),
                ulps=8,
                magnitude=lambda z, y, d: (
                    REFERENCE.softmax(z),
                    REFERENCE.categorical_crossentropy_from_logits(z, y, d),
                    size_of_difference(z, y, d),
                ),
                label=targets,
                outputs=3,
                unbuffered=(1,),
            ),
        )
    ],
    # up to 33,000 positive terms in another order: BLAS adds them one after the other in a few lanes, NumPy in pairs
    Case("squared_error", real_targets, ulps=16, magnitude=result_of("squared_error"), unbuffered=(0,)),
    # (p - y)·(2/D) against 2·(p - y)/D: the quotient 2/D is rounded once more
    Case(
        "squared_error_backward",
        real_targets,
        ulps=2,
        magnitude=lambda p, y, d: 2 * np.abs(p - y) / d,
    ),
    Case("absolute_error", real_targets, ulps=16, magnitude=result_of("absolute_error"), unbuffered=(0,)),
    Case("absolute_error_backward", real_targets, ulps=1, magnitude=lambda p, y, d: 1 / d),
    Case(
        "binary_crossentropy_from_logits",
        binary_targets,
        ulps=4,
        magnitude=lambda z, y, d: np.sum(np.abs(z) + np.log(2)) / d,
        unbuffered=(0,),
    ),
    Case("binary_crossentropy_from_logits_backward", binary_targets, ulps=4, magnitude=lambda z, y, d: 1 / d),
    Case(
        "sigmoid_binary_crossentropy",
        binary_targets,
        ulps=4,
        magnitude=lambda z, y, d: (REFERENCE.sigmoid(z), np.sum(np.abs(z) + np.log(2)) / d, 1 / d),
        outputs=3,
        unbuffered=(1,),
    ),
    Case("l1", normal("like", 0.3), ulps=16, magnitude=result_of("l1"), unbuffered=(0,)),
    Case("l1_backward", normal("like", "like", 0.3), shapes=(*MATRICES, *PIECES)),
    Case("l2", normal("like", 0.3), ulps=16, magnitude=result_of("l2"), unbuffered=(0,)),
    Case("l2_backward", normal("like", "like", 0.3), shapes=(*MATRICES, *PIECES)),
    Case("add", normal("like", "like")),
    Case("take_rows", rows_to_take),
    update("sgd", 0.1, slots=0),
    update("momentum", 0.1, 0.9, slots=1),
    update("nesterov", 0.1, 0.9, slots=1),
    # the corrections move into two scalars: four roundings of the step in another order; the moments are the same
    update(
        "adam",
        *(0.01, 0.9, 0.999, 1e-7, 1 - 0.9**3, 1 - 0.999**3),
        slots=2,
        ulps=4,
        magnitude=size_of_moments,
    ),
    update("adagrad", 0.1, 1e-7, slots=1),
    update("rmsprop", 0.1, 0.9, 1e-7, slots=1),
    # η and a correction, or a share, are one scalar: two roundings of the step in another order
    update("adamax", 0.01, 0.9, 0.999, 1e-7, 1 - 0.9**3, slots=2, ulps=4, magnitude=size_of_moments),
    update("nadam", 0.01, 0.9, 0.999, 1e-7, 0.6, 0.5, 1 - 0.999**3, slots=2, ulps=4, magnitude=size_of_moments),
    update("lion", 0.01, 0.9, 0.99, slots=1),
    update("adadelta", 1.0, 0.9, 1e-6, slots=2),
    Case("decay_weights", normal("like", 0.1, 0.01), shapes=tuple(VECTORS)),
    Case("average", normal("like", "like", 0.9), shapes=tuple(VECTORS)),
    Case("clip_value", normal("like", 0.5), shapes=tuple(VECTORS)),
    # the norm is a sum of positive terms in another order; short and long gradients
    *[
        Case(
            "clip_norm",
            lambda random, shape, limit=limit: (random.standard_normal(shape), limit),
            ulps=4,
            magnitude=lambda g, limit: np.abs(g),
            label=f"{limit}",
            shapes=tuple(VECTORS),
        )
        for limit in (0.5, 1e4)
    ],
    Case("all_finite", perhaps_finite, unbuffered=(0,), shapes=(*VECTORS, *MATRICES)),
]


def size_of(*arguments: Any) -> Any:
    """The size of what is added in an update or a penalty; no result here is made of more."""
    return sum(np.abs(a) for a in arguments if isinstance(a, np.ndarray)) + 1


def size_of_fused(z: np.ndarray, y: np.ndarray, d: float) -> tuple[Any, ...]:
    """The loss is a difference of logits, which compiled loops add in any order."""
    weights = 1 if y.ndim == 1 else y.sum(axis=1)
    surprise = np.sum(weights * (2 * np.abs(z).max(axis=1) + np.log(z.shape[1]))) / d
    return REFERENCE.softmax(z), surprise, size_of_difference(z, y, d)


def compiled(case: Case) -> Case:
    """The same case for a compiled kernel. Its loops fuse multiplications with additions, and add in another order;
    sums are split among the lanes of a vector, no better than one after the other."""
    magnitude = case.magnitude if case.ulps and not case.is_update else size_of
    if case.op == "softmax_categorical_crossentropy":
        magnitude = size_of_fused
    return replace(case, table="numba", ulps=max(4 * case.ulps, 4), magnitude=magnitude)


CASES = [case for case in CASES if case.op in NUMPY.kernels]  # not every op with a case has a kernel
if "numba" in TABLES:
    CASES += [compiled(c) for c in CASES if TABLES["numba"].kernels[c.op] is not NUMPY.kernels[c.op]]
tables = pytest.mark.parametrize("ops", TABLES.values(), ids=list(TABLES))


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


# -- memory layouts


def by_rows(index: int, a: np.ndarray) -> np.ndarray:
    return np.array(a, order="C")


def by_columns(index: int, a: np.ndarray) -> np.ndarray:
    return np.array(a, order="F")


def mixed(index: int, a: np.ndarray) -> np.ndarray:
    """By rows and by columns in turn."""
    return np.array(a, order="CF"[index % 2])


def with_gaps(index: int, a: np.ndarray) -> np.ndarray:
    """Columns of a larger array: a gap after each value and a longer one after each row; in them stands no number."""
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1] + 3), np.nan if a.dtype.kind == "f" else -1).astype(a.dtype)
    apart = wide[..., : 2 * a.shape[-1] : 2]
    apart[...] = a
    return apart


LAYOUTS: dict[str, Callable[[int, np.ndarray], np.ndarray]] = {
    "rows": by_rows,
    "columns": by_columns,
    "mixed": mixed,
    "gaps": with_gaps,
}


def laid(arguments: tuple[Any, ...], dtype: str, layout: str, *, writeable: bool = False) -> tuple[Any, ...]:
    """Float arrays in this dtype, all arrays in this layout; numbers as they are."""
    found = []
    for index, a in enumerate(arguments):
        if isinstance(a, np.ndarray):
            a = LAYOUTS[layout](index, a.astype(dtype if a.dtype.kind == "f" else a.dtype))
            a.flags.writeable = writeable
        found.append(a)
    return tuple(found)


def as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def arrays_of(arguments: tuple[Any, ...]) -> list[np.ndarray]:
    return [a for a in arguments if isinstance(a, np.ndarray)]


def donations(case: Case, results: tuple[Any, ...], layout: str = "rows") -> tuple[Any, ...]:
    """Buffers full of NaN for the results; "mixed" begins with a buffer by columns where inputs begin by rows."""
    return tuple(
        None if index in case.unbuffered else LAYOUTS[layout](index + 1, np.full_like(result, np.nan))
        for index, result in enumerate(results)
    )


def offered(case: Case, buffers: tuple[Any, ...]) -> Any:
    """Buffers as the op takes them."""
    return buffers[0] if case.outputs is None else buffers


def assert_close(case: Case, results: Any, expected: Any, arguments: tuple[Any, ...]) -> None:
    results, expected = as_tuple(results), as_tuple(expected)
    where = f"{case.name}{[a.shape for a in arrays_of(arguments)]}"
    if not case.ulps:
        for result, wanted in zip(results, expected, strict=True):
            assert (result.dtype, result.shape) == (wanted.dtype, wanted.shape), where
            np.testing.assert_array_equal(result, wanted, err_msg=where)
        return
    magnitudes = as_tuple(case.magnitude(*arguments))
    if len(magnitudes) < len(expected):
        magnitudes *= len(expected)
    for result, wanted, magnitude in zip(results, expected, magnitudes, strict=True):
        assert (result.dtype, result.shape) == (wanted.dtype, wanted.shape), where
        excess = np.abs(result - wanted) / np.finfo(wanted.dtype).eps - case.ulps * magnitude
        assert np.all(excess <= 0), f"{where}: {np.max(excess)} beyond the tolerance"


def assert_are(results: Any, buffers: tuple[Any, ...]) -> None:
    """What comes back are the very buffers."""
    for result, buffer in zip(as_tuple(results), buffers, strict=True):
        assert buffer is None or result is buffer


cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
layouts = pytest.mark.parametrize(
    ("case", "layout"), [pytest.param(c, layout, id=f"{c.name}-{layout}") for c in CASES for layout in c.layouts]
)
elementwise = pytest.mark.parametrize(
    ("case", "position", "layout"),
    [
        pytest.param(case, position, layout, id=f"{case.name}-{position}-{layout}")
        for case in CASES
        if case.op in ELEMENTWISE
        for position, a in enumerate(case.arguments(np.random.default_rng(0), case.shapes[0]))
        if isinstance(a, np.ndarray)
        for layout in case.layouts
    ],
)


@tables
def test_every_kernel_has_a_case(ops):
    assert {case.op for case in CASES} == ops.kernels.keys() == ops.honours


@tables
@pytest.mark.parametrize("op", sorted(NUMPY.kernels))
def test_signature(op, ops):
    """The reference's without the namespace, and two keyword-only parameters that may be left out."""
    _, *wanted = inspect.signature(reference.FUNCTIONS[op]).parameters.values()
    *found, out, scratch = inspect.signature(ops.kernels[op]).parameters.values()
    assert [(p.name, p.kind, p.default) for p in found] == [(p.name, p.kind, p.default) for p in wanted]
    assert (out.name, out.kind, out.default) == ("out", inspect.Parameter.KEYWORD_ONLY, None)
    assert (scratch.name, scratch.kind, scratch.default) == ("scratch", inspect.Parameter.KEYWORD_ONLY, None)


# -- called once


@layouts
@dtypes
def test_without_a_buffer(case, layout, dtype, random):
    """Arguments are read-only, so that a write into one raises; results are new arrays."""
    for shape in case.shapes:
        arguments = laid(case.arguments(random, shape), dtype, layout)
        results = case.entry(*arguments)
        assert_close(case, results, getattr(REFERENCE, case.op)(*arguments), arguments)
        for result in as_tuple(results):
            assert not any(np.shares_memory(result, a) for a in arrays_of(arguments))


@cases
@dtypes
def test_with_buffers(case, dtype, random):
    """What comes back is the buffer itself; what stood in it (NaN) is not read; nothing else is written.

    In all layouts, and with other contents: `test_a_bound_call_reads_its_arrays_anew`.
    """
    for shape in case.shapes:
        arguments = laid(case.arguments(random, shape), dtype, "rows")
        expected = getattr(REFERENCE, case.op)(*arguments)
        buffers = donations(case, as_tuple(expected))
        results = case.entry(*arguments, out=offered(case, buffers))
        assert_are(results, buffers)
        assert_close(case, results, expected, arguments)


@cases
@dtypes
def test_with_buffers_of_another_layout(case, dtype, random):
    """Inputs by rows, buffers by columns, and the other way round."""
    for shape in case.shapes:
        for inputs, outputs in (("rows", "columns"), ("columns", "rows")):
            arguments = laid(case.arguments(random, shape), dtype, inputs)
            expected = getattr(REFERENCE, case.op)(*arguments)
            buffers = donations(case, as_tuple(expected), outputs)
            results = case.entry(*arguments, out=offered(case, buffers))
            assert_are(results, buffers)
            assert_close(case, results, expected, arguments)


# -- bound once, and called again and again


def filled(arguments: tuple[Any, ...], contents: tuple[Any, ...]) -> None:
    """Put other contents into the same arrays."""
    for a, new in zip(arguments, contents, strict=True):
        if isinstance(a, np.ndarray):
            a[...] = new


def copies(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a.copy() if isinstance(a, np.ndarray) else a for a in arguments)


def bound(case: Case, arguments: tuple[Any, ...], layout: str) -> tuple[Callable[[], Any], tuple[Any, ...]]:
    """A kernel bound to arguments and to buffers, and these."""
    if case.is_update:
        buffers = (arguments[0], *arrays_of(arguments)[2:])
    else:
        buffers = donations(case, as_tuple(getattr(REFERENCE, case.op)(*arguments)), layout)
    call = case.kernel(*arguments, out=offered(case, buffers), scratch=numpy.Scratch())
    return call, buffers


@layouts
@dtypes
def test_a_bound_call_reads_its_arrays_anew(case, layout, dtype, random):
    """Three times with other contents in the same arrays: the results lie in the very buffers, and depend on nothing
    that stood there before; no input is written; and numbers that came out before stay as they were."""
    for shape in case.shapes:
        arguments = laid(case.arguments(random, shape), dtype, layout, writeable=True)
        call, buffers = bound(case, arguments, layout)
        numbers = []
        for _ in range(3):
            filled(arguments, case.arguments(random, shape))
            before = copies(arguments)
            for buffer in () if case.is_update else buffers:
                if buffer is not None:
                    buffer[...] = np.nan
            results = call()
            assert_are(results, buffers)
            assert_close(case, results, getattr(REFERENCE, case.op)(*before), before)
            numbers += [(n, n.item()) for n, buffer in zip(as_tuple(results), buffers, strict=True) if buffer is None]
            for a, was in zip(arrays_of(arguments), arrays_of(before), strict=True):
                if not any(a is buffer for buffer in buffers):
                    np.testing.assert_array_equal(a, was, err_msg="an input was written")
        for number, then in numbers:
            np.testing.assert_array_equal(number, then)


@elementwise
@dtypes
def test_elementwise_into_an_input(case, position, layout, dtype, random):
    """The result in the memory of each input in turn: `ELEMENTWISE` allows it, and the plan does it."""
    for shape in (case.shapes[0], case.shapes[-1]):
        arguments = laid(case.arguments(random, shape), dtype, layout, writeable=True)
        buffer = arguments[position]
        call = case.kernel(*arguments, out=buffer)
        for _ in range(2):
            filled(arguments, case.arguments(random, shape))
            originals = copies(arguments)
            result = call()
            assert result is buffer
            assert_close(case, result, getattr(REFERENCE, case.op)(*originals), originals)


def test_what_is_allocated_is_seen(allocated):
    x, y = np.ones((2, 1000, 33))
    assert allocated(lambda: np.add(x, x)) > x.nbytes
    assert allocated(lambda: np.add(x, x[:1], out=y)) < SMALL


SMALL = 4096
"""Bytes for Python's objects and NumPy's blocks; the arrays here have 50 KB and more."""


@pytest.mark.parametrize("layout", ["rows", "columns"])
@cases
def test_a_bound_call_allocates_no_data(case, layout, random, allocated):
    shape = (50_000,) if len(case.shapes[0]) == 1 and len(case.shapes[-1]) == 1 else (12_500, 2)
    arguments = laid(case.arguments(random, shape), "float32", layout, writeable=True)
    if case.op == "take_rows":
        arguments = (np.ascontiguousarray(arguments[0]), arguments[1])  # NumPy's take copies an array by columns
        layout = "rows"
    if case.op == "all_finite":
        arguments[0][...] = 1.0  # a second, closer look at what does not look finite makes a mask
    if case.op in ("gelu", "gelu_backward"):
        arguments[-1][...] /= 4  # what lies beyond √32 is taken aside
    call, _ = bound(case, arguments, layout)
    assert allocated(call) < SMALL


@tables
def test_each_scratch_has_memory_of_its_own(ops):
    """Two models may be trained at once."""
    first, second = ops.scratch(), ops.scratch()
    dtype = np.dtype("float32")
    assert not np.shares_memory(first(10, dtype), second(10, dtype))
    assert not np.shares_memory(first(10, dtype, 0), first(10, dtype, 1))
    assert not first.zeros(10, dtype).any()
    assert not any(np.shares_memory(first.zeros(10, dtype), first(10, dtype, number)) for number in range(3))


# -- numbers


def parameters(case: Case) -> list[str]:
    """What a case's kernel takes, by name."""
    return list(inspect.signature(case.kernel).parameters)


def reads(case: Case) -> list[str]:
    """The parameters of a case's op that are numbers, by name."""
    arguments = case.arguments(np.random.default_rng(0), case.shapes[0])
    return [name for name, a in zip(parameters(case), arguments, strict=False) if not isinstance(a, np.ndarray)]


VARYING = ("learning_rate", "correction_1", "correction_2", "moment_share", "gradient_share")


@pytest.mark.parametrize("case", [case for case in CASES if case.is_update], ids=lambda case: case.name)
@dtypes
def test_a_number_is_read_anew_at_each_call(case, dtype, random):
    """As a float it is the same for ever; as a `Number` it is what it is at the call."""
    arrays = laid(case.arguments(random, (33,)), dtype, "rows", writeable=True)
    names = reads(case)
    fixed = arrays[len(arrays) - len(names) :]
    numbers = [Number(value) if name in VARYING else value for name, value in zip(names, fixed, strict=True)]
    arguments = (*arrays_of(arrays), *numbers)
    call, buffers = bound(case, arguments, "rows")
    for factor in (1.0, 0.5, 0.25):
        for number, value in zip(numbers, fixed, strict=True):
            if isinstance(number, Number):
                number.value = value * factor
        now = [n.value if isinstance(n, Number) else n for n in numbers]
        before = copies(arrays_of(arrays))
        results = call()
        assert_are(results, buffers)
        assert_close(case, results, getattr(REFERENCE, case.op)(*before, *now), (*before, *now))
    assert "learning_rate" in names or case.op == "average"


def test_number_of():
    number = Number(0.5)
    assert Number.of(number) is number
    assert Number.of(0.25) == Number(0.25)


# -- special values

SPECIAL = [0.0, -0.0, 1e-40, -1e-40, 1.0, -1.0, np.inf, -np.inf, np.nan]


@tables
@dtypes
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", ["relu", "tanh", "sigmoid", "step", "silu", "gelu"])
def test_special_values(op, layout, dtype, ops):
    """Signed zeros, subnormal numbers, infinities and NaN come out as from the reference."""
    (x,) = laid((np.array([SPECIAL] * 5),), dtype, layout)
    (buffer,) = donations(CASES[0], (x,), layout)
    result = getattr(ops, op)(x, out=buffer)
    # sigmoid alone has a compiled loop that rounds by itself
    rtol, atol = (0, 0) if ops is NUMPY else (4 * np.finfo(dtype).eps, np.finfo(dtype).tiny)
    np.testing.assert_allclose(result, getattr(REFERENCE, op)(x), rtol=rtol, atol=atol)
    signs = op in ("relu", "step")
    assert not signs or not np.signbit(result[x == 0]).any()


def like_an_activation(ops: Ops, x: np.ndarray, layout: str) -> np.ndarray:
    """What the kernel of relu makes of x, in a buffer of the plan, which has no gaps."""
    out = LAYOUTS["columns" if layout == "columns" else "rows"](0, np.empty_like(x))
    return ops.relu(x, out=out)


@tables
@dtypes
@pytest.mark.parametrize("layout", LAYOUTS)
def test_relu_makes_no_negative_zero(layout, dtype, ops):
    """Whatever the size, so in each lane of a vector and in the rest behind it: `relu_backward` reads the sign bit."""
    for size in range(1, 101):
        for shape in ((1, size), (3, size), (size, 3)):
            for zero in (-0.0, -np.inf):
                (x,) = laid((np.full(shape, zero),), dtype, layout)
                assert not np.signbit(like_an_activation(ops, x, layout)).any(), (shape, zero)
                assert not np.signbit(ops.relu(x)).any(), (shape, zero)


@tables
@dtypes
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("x", [value for value in SPECIAL if value == value])
def test_relu_backward_of_special_outputs(x, layout, dtype, ops):
    """The integer mask is the reference's ``y > 0`` for whatever relu makes, also where dy is no number."""
    (x,) = laid((np.full((7, 9), x),), dtype, layout)
    y = like_an_activation(ops, x, layout)
    for special in (3.0, -3.0, np.inf, np.nan):
        dy = np.full_like(y, special)
        np.testing.assert_array_equal(ops.relu_backward(dy, y), REFERENCE.relu_backward(dy, y))


@tables
@dtypes
def test_relu_backward_of_special_gradients_in_another_layout(dtype, ops):
    """Where y is 0, dx is 0, and not 0 · ∞."""
    y = np.zeros((7, 9), dtype=dtype, order="F")
    for special in (3.0, -3.0, np.inf, np.nan):
        dy = np.full(y.shape, special, dtype=dtype)
        np.testing.assert_array_equal(ops.relu_backward(dy, y), np.zeros((7, 9)))


@tables
@dtypes
def test_relu_backward_of_nan(dtype, ops):
    """Where y is no number, dx is dy or 0: nothing else gets in."""
    y, dy = np.full((7, 9), np.nan, dtype=dtype), np.full((7, 9), 3.0, dtype=dtype)
    for sign in (1, -1):
        assert np.isin(ops.relu_backward(dy, np.copysign(y, sign)), (0.0, 3.0)).all()


@tables
@dtypes
def test_all_finite_of_large_numbers(dtype, ops):
    """Finite numbers whose squares are not are finite. Training asks where NumPy's warnings of overflow are off."""
    w = np.full(1000, np.finfo(dtype).max)
    with np.errstate(over="ignore"):
        assert ops.all_finite(w)
        w[999] = np.nan
        assert not ops.all_finite(w)


THREE_AXES = ["relu", "relu_backward", "tanh", "tanh_backward", "sigmoid", "sigmoid_backward", "softmax"]
THREE_AXES += ["leaky_relu", "leaky_relu_backward", "silu", "silu_backward", "gelu", "gelu_backward"]
THREE_AXES += ["squared_error", "squared_error_backward", "absolute_error_backward", "sigmoid_binary_crossentropy"]


@pytest.mark.parametrize("case", [c for c in CASES if c.op in THREE_AXES], ids=lambda case: case.name)
@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 2, 1), (2, 1, 0)])
@dtypes
def test_three_axes(case, axes, dtype, random):
    """As layers of images make them, and with axes exchanged: then they lie by rows in no order of their axes."""
    given = laid(case.arguments(random, (3, 4, 5)), dtype, "rows")
    arguments = tuple(np.transpose(a, axes) if isinstance(a, np.ndarray) else a for a in given)
    assert_close(case, case.entry(*arguments), getattr(REFERENCE, case.op)(*arguments), arguments)


# -- updates


@pytest.mark.parametrize("size", CHUNKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", [c for c in CASES if c.is_update and "g" in parameters(c)], ids=lambda case: case.name)
def test_updates_in_a_row(case, dtype, size, random):
    """Five updates in place, a piece at a time, against five of the reference on whole arrays.

    Those that round differently do so by their case's ULP of w in an update, at most.
    """
    w, _, *rest = laid(case.arguments(random, (size,)), dtype, "rows")
    state, numbers = [w, *rest[: (case.outputs or 1) - 1]], rest[(case.outputs or 1) - 1 :]
    mine = [a.copy() for a in state]
    theirs = tuple(state)
    for step in range(5):
        (g,) = laid((random.standard_normal(size),), dtype, "rows")
        if case.op == "adam":
            numbers[-2:] = 1 - 0.9 ** (step + 1), 1 - 0.999 ** (step + 1)
        out = mine[0] if case.outputs is None else tuple(mine)
        results = as_tuple(case.entry(mine[0], g, *mine[1:], *numbers, out=out))
        assert all(result is buffer for result, buffer in zip(results, mine, strict=True))
        theirs = as_tuple(getattr(REFERENCE, case.op)(theirs[0], g, *theirs[1:], *numbers))
    limit = 5 * case.ulps * np.finfo(dtype).eps
    size = np.abs(theirs[0]) + (1.0 if case.table == "numba" else 0.1)  # weights of this size came close to 0
    np.testing.assert_array_less(np.abs(mine[0] - theirs[0]), limit * size + np.finfo(dtype).tiny)
    for result, wanted in zip(mine[1:], theirs[1:], strict=True):
        np.testing.assert_allclose(result, wanted, rtol=0, atol=limit * 2 if case.table == "numba" else 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 15, 16, 17, 1000])
def test_zeros_begin_on_a_cache_line(size, dtype):
    zeros = numpy.zeros(size, np.dtype(dtype))
    assert zeros.dtype == dtype
    assert zeros.shape == (size,)
    assert zeros.ctypes.data % 64 == 0
    assert zeros.flags.writeable
    assert not zeros.any()
