"""NumPy's kernels against the reference bound to NumPy: values, donations, and nothing written that was not donated.

Tolerances are in ULP (units of the type's eps) of a magnitude that the case names, because a kernel may add and
multiply in another order: a sum is as exact as its terms are large, not as its result is.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from nnxp.ops import ELEMENTWISE, numpy, reference

REFERENCE = reference.table(np)
KERNELS = numpy.table(REFERENCE)

MATRICES = [(1, 1), (1, 2), (2, 31), (31, 1), (33, 33), (1, 1000), (1000, 2), (1000, 33)]
INPUTS = {1: 1, 2: 31, 31: 33, 33: 1000, 1000: 1}
"""How many inputs a dense layer with so many outputs gets here; one input is a special case of the kernels."""
VECTORS = [(1,), (2,), (31,), (33,), (1000,)]
CHUNKS = [32_767, 32_768, 32_769, 100_000]
"""Around the size of the pieces that updates work on, and several pieces with a ragged last one."""


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

    @property
    def name(self) -> str:
        return f"{self.op}-{self.label}" if self.label else self.op


def normal(*shapes: Any) -> Callable[..., tuple[Any, ...]]:
    """Arguments: normal arrays of the result's shape for each "like", numbers as they are."""
    return lambda random, shape: tuple(random.standard_normal(shape) if s == "like" else s for s in shapes)


def class_logits(targets: str) -> Callable[..., tuple[Any, ...]]:
    def arguments(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, ...]:
        rows, classes = shape
        y = random.integers(0, classes, rows)
        if targets == "one_hot":
            y = np.eye(classes)[y]
        elif targets == "shares":
            y = random.uniform(0.0, 1.0, shape)
            y /= y.sum(axis=1, keepdims=True)
        return 3 * random.standard_normal(shape), y, float(rows)

    return arguments


def update(op: str, *numbers: float, slots: int, **how: Any) -> Case:
    """Weights, gradients and slots; the last slot of Adam is a mean of squares, so all slots are positive."""

    def arguments(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, ...]:
        w, g = random.standard_normal((2, *shape))
        return (w, g, *random.uniform(0.1, 1.0, (slots, *shape)), *numbers)

    return Case(op, arguments, outputs=slots + 1 if slots else None, shapes=tuple(VECTORS), **how)


CASES = [
    # BLAS may add the terms in another order for another memory layout
    Case(
        "linear",
        lambda random, shape: (
            random.standard_normal((shape[0], INPUTS[shape[1]])),
            random.standard_normal((INPUTS[shape[1]], shape[1])),
            random.standard_normal(shape[1]),
        ),
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
    Case("relu", normal("like")),
    Case("relu_backward", lambda random, shape: (random.standard_normal(shape), relu(random.standard_normal(shape)))),
    # dy·(1 - y)·y against dy·((1 - y)·y): two roundings in another order, each half an ULP of the result
    Case(
        "sigmoid_backward",
        lambda random, shape: (random.standard_normal(shape), random.uniform(0.0, 1.0, shape)),
        ulps=2,
        magnitude=lambda dy, y: np.abs(dy) * (1 - y) * y,
    ),
    Case("tanh", normal("like")),
    Case("tanh_backward", lambda random, shape: (random.standard_normal(shape), random.uniform(-1.0, 1.0, shape))),
    Case("softmax", normal("like")),
    # p is the same; the loss is a sum over the batch in another order; dz multiplies by 1/D where the reference divides
    *[
        Case(
            "softmax_categorical_crossentropy",
            class_logits(targets),
            ulps=4,
            magnitude=lambda z, y, d: (
                np.full(z.shape, np.finfo(z.dtype).tiny),
                REFERENCE.categorical_crossentropy_from_logits(z, y, d),
                np.full(z.shape, 1 / d),
            ),
            label=targets,
            outputs=3,
            unbuffered=(1,),
        )
        for targets in ("labels", "one_hot", "shares")
    ],
    # (p - y)·(2/D) against 2·(p - y)/D: the quotient 2/D is rounded once more
    Case(
        "squared_error_backward",
        lambda random, shape: (*random.standard_normal((2, *shape)), 7.0),
        ulps=2,
        magnitude=lambda p, y, d: 2 * np.abs(p - y) / d,
    ),
    Case("l2_backward", normal("like", "like", 0.3)),
    update("sgd", 0.1, slots=0),
    update("momentum", 0.1, 0.9, slots=1),
    update("nesterov", 0.1, 0.9, slots=1),
    # the corrections move into two scalars: four roundings of the step in another order; the moments are the same
    update(
        "adam",
        *(0.01, 0.9, 0.999, 1e-7, 1 - 0.9**3, 1 - 0.999**3),
        slots=2,
        ulps=4,
        magnitude=lambda w, g, m, v, *numbers: (np.abs(w) + 0.1, np.finfo(w.dtype).tiny, np.finfo(w.dtype).tiny),
    ),
]


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def cast(arguments: tuple[Any, ...], dtype: str) -> tuple[Any, ...]:
    """Float arrays in this dtype, everything read-only."""
    arrays = []
    for a in arguments:
        if isinstance(a, np.ndarray):
            a = a.astype(dtype if a.dtype.kind == "f" else a.dtype)
            a.flags.writeable = False
        arrays.append(a)
    return tuple(arrays)


def as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def donations(case: Case, results: tuple[Any, ...]) -> Any:
    """Buffers full of NaN for the results, as the op takes them."""
    buffers = tuple(
        None if index in case.unbuffered else np.full_like(result, np.nan) for index, result in enumerate(results)
    )
    return buffers[0] if case.outputs is None else buffers


def assert_close(case: Case, results: Any, expected: Any, arguments: tuple[Any, ...]) -> None:
    results, expected = as_tuple(results), as_tuple(expected)
    magnitudes = as_tuple(case.magnitude(*arguments))
    if len(magnitudes) < len(expected):
        magnitudes *= len(expected)
    for result, wanted, magnitude in zip(results, expected, magnitudes, strict=True):
        assert result.dtype == wanted.dtype
        assert result.shape == wanted.shape
        limit = case.ulps * np.finfo(wanted.dtype).eps * magnitude
        excess = np.abs(result - wanted) - limit
        assert np.all(excess <= 0), f"{case.name}: {np.max(excess)} beyond the tolerance"


UPDATES = [case for case in CASES if case.op in ("sgd", "momentum", "nesterov", "adam")]

everywhere = [
    pytest.param(case, shape, dtype, id=f"{case.name}-{'x'.join(map(str, shape))}-{dtype}")
    for case in CASES
    for shape in case.shapes
    for dtype in ("float32", "float64")
]
elementwise = [
    pytest.param(case, position, id=f"{case.name}-{position}")
    for case in CASES
    if case.op in ELEMENTWISE
    for position, a in enumerate(case.arguments(np.random.default_rng(0), case.shapes[0]))
    if isinstance(a, np.ndarray)
]


def test_every_kernel_has_a_case():
    assert {case.op for case in CASES} == KERNELS.honours


@pytest.mark.parametrize("op", sorted(KERNELS.honours))
def test_signature(op):
    """The reference's without the namespace, and a keyword-only ``out`` that may be left out."""
    _, *wanted = inspect.signature(reference.FUNCTIONS[op]).parameters.values()
    *found, out = inspect.signature(getattr(KERNELS, op)).parameters.values()
    assert [(p.name, p.kind, p.default) for p in found] == [(p.name, p.kind, p.default) for p in wanted]
    assert (out.name, out.kind, out.default) == ("out", inspect.Parameter.KEYWORD_ONLY, None)


@pytest.mark.parametrize(("case", "shape", "dtype"), everywhere)
def test_without_a_buffer(case, shape, dtype, random):
    """Arguments are read-only, so that a write into one raises; results are new arrays."""
    arguments = cast(case.arguments(random, shape), dtype)
    results = getattr(KERNELS, case.op)(*arguments)
    assert_close(case, results, getattr(REFERENCE, case.op)(*arguments), arguments)
    arrays = [a for a in arguments if isinstance(a, np.ndarray)]
    for result in as_tuple(results):
        assert not any(np.shares_memory(result, a) for a in arrays)


@pytest.mark.parametrize(("case", "shape", "dtype"), everywhere)
def test_with_buffers(case, shape, dtype, random):
    """What comes back is the buffer itself; what stood in it (NaN) is not read; nothing else is written."""
    arguments = cast(case.arguments(random, shape), dtype)
    expected = getattr(REFERENCE, case.op)(*arguments)
    out = donations(case, as_tuple(expected))
    results = getattr(KERNELS, case.op)(*arguments, out=out)
    for result, buffer in zip(as_tuple(results), as_tuple(out), strict=True):
        assert buffer is None or result is buffer
    assert_close(case, results, expected, arguments)


@pytest.mark.parametrize(("case", "position"), elementwise)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elementwise_into_an_input(case, position, dtype, random):
    """The result in the memory of each input in turn: `ELEMENTWISE` allows it, and the plan does it."""
    originals = cast(case.arguments(random, case.shapes[-1]), dtype)
    arguments = list(originals)
    buffer = arguments[position] = originals[position].copy()
    result = getattr(KERNELS, case.op)(*arguments, out=buffer)
    assert result is buffer
    assert_close(case, result, getattr(REFERENCE, case.op)(*originals), originals)


@pytest.mark.parametrize(("case", "shape", "dtype"), everywhere)
def test_of_strided_arguments(case, shape, dtype, random):
    """Columns of a larger array, as inputs and as buffers."""
    arguments = cast(case.arguments(random, shape), dtype)
    expected = getattr(REFERENCE, case.op)(*arguments)
    apart = tuple(strided(a) if isinstance(a, np.ndarray) else a for a in arguments)
    assert_close(case, getattr(KERNELS, case.op)(*apart), expected, arguments)
    buffers = tuple(None if b is None else strided(b) for b in as_tuple(donations(case, as_tuple(expected))))
    results = getattr(KERNELS, case.op)(*apart, out=buffers[0] if case.outputs is None else buffers)
    for result, buffer in zip(as_tuple(results), buffers, strict=True):
        assert buffer is None or result is buffer
    assert_close(case, results, expected, arguments)


def strided(a: np.ndarray) -> np.ndarray:
    """The same values, with a gap after each; writable only if ``a`` is."""
    apart = np.repeat(a, 2, axis=-1)
    apart.flags.writeable = a.flags.writeable
    return apart[..., ::2]


SPECIAL = [0.0, -0.0, 1e-40, -1e-40, 1.0, -1.0, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", ["relu", "tanh"])
def test_special_values(op, dtype):
    """Signed zeros, subnormal numbers, infinities and NaN come out as from the reference."""
    x = np.array([SPECIAL], dtype=dtype)
    np.testing.assert_array_equal(getattr(KERNELS, op)(x), getattr(REFERENCE, op)(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("y", SPECIAL)
def test_relu_backward_of_special_outputs(y, dtype):
    """The integer mask is the reference's ``y > 0`` for every float there is."""
    dy, y = np.array([[3.0, -3.0]], dtype=dtype), np.array([[y, y]], dtype=dtype)
    np.testing.assert_array_equal(KERNELS.relu_backward(dy, y), REFERENCE.relu_backward(dy, y))


@pytest.mark.parametrize("size", CHUNKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", UPDATES, ids=lambda case: case.op)
def test_updates_in_a_row(case, dtype, size, random):
    """Five updates in place, a piece at a time, against five of the reference on whole arrays.

    Adam alone rounds differently, by at most 4 ULP of w an update (see its case).
    """
    w, _, *rest = cast(case.arguments(random, (size,)), dtype)
    state, numbers = [w, *rest[: (case.outputs or 1) - 1]], rest[(case.outputs or 1) - 1 :]
    mine = [a.copy() for a in state]
    theirs = tuple(state)
    for step in range(5):
        (g,) = cast((random.standard_normal(size),), dtype)
        if case.op == "adam":
            numbers[-2:] = 1 - 0.9 ** (step + 1), 1 - 0.999 ** (step + 1)
        out = mine[0] if case.outputs is None else tuple(mine)
        results = as_tuple(getattr(KERNELS, case.op)(mine[0], g, *mine[1:], *numbers, out=out))
        assert all(result is buffer for result, buffer in zip(results, mine, strict=True))
        theirs = as_tuple(getattr(REFERENCE, case.op)(theirs[0], g, *theirs[1:], *numbers))
    limit = 5 * case.ulps * np.finfo(dtype).eps
    np.testing.assert_array_less(np.abs(mine[0] - theirs[0]), limit * (np.abs(theirs[0]) + 0.1) + np.finfo(dtype).tiny)
    for result, wanted in zip(mine[1:], theirs[1:], strict=True):
        np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 15, 16, 17, 1000])
def test_zeros_begin_on_a_cache_line(size, dtype):
    zeros = numpy.zeros(size, np.dtype(dtype))
    assert zeros.dtype == dtype
    assert zeros.shape == (size,)
    assert zeros.ctypes.data % 64 == 0
    assert zeros.flags.writeable
    assert not zeros.any()
