"""Every CUDA kernel, compiled for the host, against the reference in float64.

Kernels are bound and launched as on a GPU, for several sizes of blocks and grids. Results are put between margins and
full of NaN before a run; a run is made twice, and both give the same bits; inputs are what they were.

Tolerances are in ULP (units of the type's eps) of a magnitude that the case names: the size of the largest number on
the way to the result. Each rounding costs half an ULP of it; exp, log, tanh and their like 1 or 2, and so does the
reference itself where float64 is judged.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from nnxp.backend import Rng
from nnxp.errors import BackendError
from nnxp.ops import Kernel, Number, reference
from nnxp.ops.cuda.agenda import Agenda
from nnxp.ops.cuda.host import HostMachine, compiler
from nnxp.ops.cuda.kernels import ACTIVATIONS, column_sums, gather_arguments, kernels
from nnxp.ops.cuda.launch import SOURCE, Launch, Link, blocks_for, signatures

try:
    compiler()
except BackendError as error:
    pytest.skip(str(error), allow_module_level=True)

REFERENCE = reference.table(np)
DTYPES = ("float32", "float64")
THREADS = (32, 64, 96, 256)
GRIDS = (2048, 1, 3)
"""At most so many blocks: as many as the size asks for, or few, which go round several times."""
LAUNCHES = ((32, 2048), (64, 1), (96, 3), (256, 2048))
"""Threads of a block, and at most so many blocks."""

SIZES = [(1,), (2,), (3,), (31,), (33,), (97,), (1000,), (1009,)]
MATRICES = [(1, 1), (1, 7), (7, 1), (31, 33), (33, 31), (3, 1000), (1009, 2), (97, 10)]
ROWS = [(1, 1), (1, 7), (7, 1), (31, 33), (3, 1000), (257, 2)]
"""For kernels that give a row to a warp: barriers are slow here."""
SANITIZED = "sanitize" in os.environ.get("NNXP_CUDA_HOST_FLAGS", "")
MARGIN = 0 if SANITIZED else 16
"""Elements around a result; a sanitizer watches what lies there itself."""

Inputs = tuple[Any, ...]


class Watched(HostMachine):
    """A machine that knows which kernels it was asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.launched: set[str] = set()

    def kernel(self, name: str, dtype: str) -> Any:
        self.launched.add(name)
        return super().kernel(name, dtype)


@dataclass(frozen=True)
class Case:
    """A launch for arrays of a shape, what is expected of it, and how near."""

    name: str
    kernels: tuple[str, ...]
    """What it launches."""
    inputs: Callable[[np.random.Generator, tuple[int, ...]], Inputs]
    bind: Callable[..., Link]
    """``bind(machine, *inputs, out=…)``; out is a tuple where there are several results."""
    expected: Callable[..., Any]
    """The results of inputs of the tested type, as float64."""
    ulps: float = 0
    """0 means equal to the last bit."""
    magnitude: Callable[..., Any] = lambda *inputs: 1.0
    shapes: list[tuple[int, ...]] = field(default_factory=lambda: MATRICES)
    again: bool = True
    """Whether the same binding may run twice; an update goes on from where it is."""


# -- how a case is run


def laid(values: Any, dtype: str, shift: int = 0) -> Any:
    """An array of the tested type between margins of NaN; without a shift it begins at a multiple of 64 bytes."""
    if not isinstance(values, np.ndarray):
        return values
    kind = np.dtype(dtype if values.dtype.kind == "f" else values.dtype)
    size, room = values.size, 0 if SANITIZED else 64 // kind.itemsize
    memory = np.full(size + 2 * MARGIN + room + shift, np.nan if kind.kind == "f" else -1).astype(kind)
    start = MARGIN + shift
    if room:
        start += -(memory.ctypes.data // kind.itemsize + MARGIN) % room
    array = memory[start : start + size].reshape(values.shape)
    array[...] = values
    return array


def margins(array: np.ndarray) -> np.ndarray:
    """What lies before and behind a buffer."""
    memory = array.base if array.base.base is None else array.base.base
    start = (array.ctypes.data - memory.ctypes.data) // array.itemsize
    return np.concatenate([memory[:start], memory[start + array.size :]])


def read_only(inputs: Inputs) -> Inputs:
    for value in inputs:
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return inputs


def wide(inputs: Inputs) -> Inputs:
    return tuple(a.astype("f8") if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in inputs)


def as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def in_few_blocks(link: Link, most: int) -> Link:
    for part in link.parts:
        if isinstance(part, Launch):
            part.blocks = min(part.blocks, most)
    return link


def results_of(case: Case, machine: HostMachine, inputs: Inputs, wanted: Any, dtype: str, grid: int) -> Inputs:
    """Of two runs, which agree to the bit."""
    several = isinstance(wanted, tuple)
    runs = []
    link = None
    for _ in range(2):
        buffers = tuple(laid(np.full(np.shape(w), np.nan), dtype) for w in as_tuple(wanted))
        if link is None or not case.again:
            link, own = None, buffers
            link = case.bind(machine, *inputs, out=own if several else own[0])
            in_few_blocks(link, grid)
        for buffer in own if case.again else ():
            buffer[...] = np.nan
        returned = as_tuple(link())
        assert not several or len(returned) == len(own)
        assert all(np.isnan(margins(b)).all() for b in own), f"{case.name}: written outside of a result"
        runs.append(tuple(b.copy() for b in own))
    for one, other in zip(*runs, strict=True):
        assert one.tobytes() == other.tobytes(), f"{case.name}: two runs differ"
    return runs[0]


def assert_near(found: np.ndarray, wanted: Any, ulps: float, magnitude: Any, where: str) -> None:
    """Subnormal numbers lie no closer than the smallest of them."""
    kind = np.finfo(found.dtype)
    unit = kind.eps * np.abs(magnitude) + kind.smallest_subnormal
    if not ulps:  # the same operations: the same number, once it is rounded
        np.testing.assert_array_equal(found, np.asarray(wanted).astype(found.dtype), err_msg=where)
        return
    with np.errstate(over="ignore", under="ignore"):
        distance = np.abs(found.astype("f8") - wanted) / unit
    assert (distance <= ulps).all(), f"{where}: {np.max(distance):.1f} ULP, where {ulps} are allowed"


def check(case: Case, machine: HostMachine, dtype: str, shape: tuple[int, ...], grid: int, shift: int = 0) -> None:
    random = np.random.default_rng(sum(shape))
    inputs = read_only(tuple(laid(a, dtype, shift) for a in case.inputs(random, shape)))
    before = [a.copy() for a in inputs if isinstance(a, np.ndarray)]
    with np.errstate(under="ignore", invalid="ignore"):
        wanted, magnitude = case.expected(*inputs), case.magnitude(*wide(inputs))
    found = results_of(case, machine, inputs, wanted, dtype, grid)
    where = f"{case.name}, {dtype}{list(shape)}, {machine.threads} threads, at most {grid} blocks"
    magnitudes = magnitude if isinstance(magnitude, tuple) else (magnitude,) * len(found)
    for place, (one, other, size) in enumerate(zip(found, as_tuple(wanted), magnitudes, strict=True)):
        assert_near(one, other, case.ulps, size, f"{where}, result {place}")
    for now, then in zip([a for a in inputs if isinstance(a, np.ndarray)], before, strict=True):
        np.testing.assert_array_equal(now, then, err_msg=f"{where}: an input was written")


# -- what ops are bound as


def kernel(machine: HostMachine, name: str) -> Kernel:
    return kernels(machine, REFERENCE)[name]


def op(name: str) -> dict[str, Any]:
    """An op by its kernel, and by the reference in float64."""
    return {
        "bind": lambda machine, *inputs, out: kernel(machine, name)(*inputs, out=out),
        "expected": lambda *inputs: getattr(REFERENCE, name)(*wide(inputs)),
    }


def normal(count: int, *numbers: float, scale: float = 1.0) -> Callable[..., Inputs]:
    return lambda random, shape: (*(scale * random.standard_normal((count, *shape))), *numbers)


def result_of(name: str) -> Callable[..., Any]:
    return lambda *inputs: np.abs(getattr(REFERENCE, name)(*inputs))


# -- activations

NUMBERS = {"leaky_relu": (0.2,), "elu": (0.7,)}
BY_INPUT = ("softsign", "silu", "mish", "gelu", "gelu_tanh")
"""Activations whose derivative reads the input; that of the others reads the output."""

FORWARD: dict[str, tuple[float, Any]] = {
    # ULP, of what; by default of the result
    "identity": (0, None),
    "relu": (0, None),
    "leaky_relu": (2, None),
    "elu": (4, None),
    "selu": (4, None),
    "sigmoid": (4, None),
    "hard_sigmoid": (2, lambda x: 1 + np.abs(x)),
    "tanh": (4, None),
    "hard_tanh": (0, None),
    "softsign": (3, None),
    "softplus": (4, None),
    "step": (0, None),
    "silu": (8, None),
    "mish": (8, None),
    "gelu": (8, None),
    # what is rounded in an exponent u is multiplied by u
    "gelu_tanh": (8, lambda x: np.abs(REFERENCE.gelu_tanh(x)) * (1 + np.abs(x + 0.044715 * x**3))),
}

BACKWARD: dict[str, tuple[float, Any]] = {
    "identity": (0, None),
    "relu": (0, None),
    "leaky_relu": (2, None),
    "elu": (4, lambda dy, y, a: np.abs(dy) * (np.abs(y) + a)),
    "selu": (4, lambda dy, y: np.abs(dy) * (np.abs(y) + 2)),
    "sigmoid": (4, None),
    "hard_sigmoid": (1, None),
    "tanh": (3, lambda dy, y: np.abs(dy)),
    "hard_tanh": (0, None),
    "softsign": (4, None),
    "softplus": (4, None),
    "step": (0, None),
    # a slope of 1 is rounded, and something is multiplied by x
    **dict.fromkeys(("silu", "mish", "gelu"), (6, lambda dy, x: np.abs(dy) * (1 + np.abs(x)))),
    "gelu_tanh": (8, lambda dy, x: np.abs(dy) * (1 + x * x)),
}


def forward(name: str, z: np.ndarray) -> np.ndarray:
    """Of a sum in the tested type, in float64."""
    z = z.astype("f8")
    return z if name == "identity" else getattr(REFERENCE, name)(z, *NUMBERS.get(name, ()))


def backward(name: str, dy: np.ndarray, kept: np.ndarray) -> np.ndarray:
    dy, kept = wide((dy, kept))
    return dy if name == "identity" else getattr(REFERENCE, f"{name}_backward")(dy, kept, *NUMBERS.get(name, ()))


def size_forward(name: str) -> Callable[..., Any]:
    return FORWARD[name][1] or (lambda x: np.abs(forward(name, x)))


def size_backward(name: str, dy: np.ndarray, kept: np.ndarray) -> Any:
    own = BACKWARD[name][1]
    return own(dy, kept, *NUMBERS.get(name, ())) if own else np.abs(backward(name, dy, kept))


def upstream_and_kept(name: str) -> Callable[..., Inputs]:
    def inputs(random: np.random.Generator, shape: tuple[int, ...]) -> Inputs:
        dy, x = random.standard_normal(shape), 4 * random.standard_normal(shape)
        return dy, x if name in BY_INPUT else forward(name, x)

    return inputs


def biased(name: str, kept: bool) -> Case:
    """y = f(x + b), and perhaps z = x + b."""

    def bind(machine: HostMachine, x: Any, b: Any, *, out: Any) -> Link:
        y, z = out if kept else (out, None)
        a = NUMBERS.get(name, (0.0,))[0]
        arguments = {"kind": ACTIVATIONS.index(name), "x": x, "bias": b, "size": x.size, "columns": b.size, "a": a}
        blocks = blocks_for(x.size, machine.threads)
        return Launch(machine, "activation", x.dtype, arguments | {"z": z, "y": y}, blocks=blocks, result=out)

    ulps = FORWARD[name][0]
    return Case(
        f"{name} of x + b, {'with' if kept else 'without'} z",
        ("activation",),
        lambda random, shape: (4 * random.standard_normal(shape), random.standard_normal(shape[-1])),
        bind,
        lambda x, b: (forward(name, x + b), (x + b).astype("f8")) if kept else forward(name, x + b),
        ulps=ulps and ulps + 1,  # the magnitude is of another rounding of x + b
        magnitude=lambda x, b: (
            (size_forward(name)(x + b), np.abs(x) + np.abs(b)) if kept else size_forward(name)(x + b)
        ),
    )


def summed(name: str, kept: bool) -> Case:
    """db = Σ dx over the rows, and perhaps dx; as many roundings as rows, of random signs."""

    def bind(machine: HostMachine, dy: Any, own: Any, *, out: Any) -> Link:
        db, dx = out if kept else (out, None)
        arguments = {
            "kind": ACTIVATIONS.index(name), "dy": dy, "kept": None if name == "identity" else own,
            "rows": dy.shape[0], "columns": dy.shape[1], "a": NUMBERS.get(name, (0.0,))[0], "dx": dx, "db": db,
        }  # fmt: skip
        return column_sums(machine, arguments, out)

    def expected(dy: np.ndarray, own: np.ndarray) -> Any:
        dx = backward(name, dy, own)
        return (dx.sum(axis=0), dx) if kept else dx.sum(axis=0)

    def magnitude(dy: np.ndarray, own: np.ndarray) -> Any:
        size = size_backward(name, dy, own)
        return (size.sum(axis=0), size) if kept else size.sum(axis=0)

    return Case(
        f"column sums of {name}, {'with' if kept else 'without'} dx",
        ("bias_activation_backward",),
        upstream_and_kept(name),
        bind,
        expected,
        ulps=BACKWARD[name][0] + 8,
        magnitude=magnitude,
    )


def activations() -> Iterator[Case]:
    for name in ACTIVATIONS[1:]:
        numbers = NUMBERS.get(name, ())
        ulps, _ = FORWARD[name]
        size = size_forward(name)
        inputs = normal(1, *numbers, scale=4.0)
        yield Case(
            name,
            ("activation",),
            inputs,
            **op(name),
            ulps=ulps,
            magnitude=lambda x, *a, size=size: size(x),
            shapes=SIZES,
        )
        yield Case(
            f"{name}_backward",
            ("activation_backward",),
            lambda random, shape, name=name, numbers=numbers: (*upstream_and_kept(name)(random, shape), *numbers),
            **op(f"{name}_backward"),
            ulps=BACKWARD[name][0],
            magnitude=lambda dy, kept, *a, name=name: size_backward(name, dy, kept),
            shapes=SIZES,
        )
    for name, kept in product(ACTIVATIONS, (True, False)):
        yield biased(name, kept)
        yield summed(name, kept)


# -- softmax and the losses


def spread(z: np.ndarray) -> np.ndarray:
    """What is rounded in z - max z is multiplied in e^z by its size."""
    return 1 + z.max(axis=-1, keepdims=True) - z


def softmaxes() -> Iterator[Case]:
    one, two = ("softmax",), ("softmax_backward",)
    shares = lambda random, shape: REFERENCE.softmax(2 * random.standard_normal(shape))  # noqa: E731
    # a lane adds up to 32 exponentials, and 5 steps add up the lanes
    yield Case(
        "softmax",
        one,
        normal(1, scale=3.0),
        **op("softmax"),
        ulps=8,
        magnitude=lambda z: REFERENCE.softmax(z) * spread(z),
        shapes=ROWS,
    )
    yield Case("log_softmax", one, normal(1, scale=3.0), **op("log_softmax"), ulps=4, magnitude=spread, shapes=ROWS)
    yield Case(
        "softmax_backward",
        two,
        lambda random, shape: (random.standard_normal(shape), shares(random, shape)),
        **op("softmax_backward"),
        ulps=4,
        magnitude=lambda dy, y: y * (np.abs(dy) + np.sum(np.abs(dy * y), axis=-1, keepdims=True)),
        shapes=ROWS,
    )
    yield Case(
        "log_softmax_backward",
        two,
        lambda random, shape: (random.standard_normal(shape), np.log(shares(random, shape))),
        **op("log_softmax_backward"),
        ulps=8,
        magnitude=lambda dy, y: np.abs(dy) + np.exp(y) * np.sum(np.abs(dy), axis=-1, keepdims=True),
        shapes=ROWS,
    )


def outputs(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every choice of some of them."""
    for count in range(1, len(names) + 1):
        yield from combinations(names, count)


def chosen(binder: str, names: tuple[str, ...], **more: Any) -> Callable[..., Link]:
    """A loss's kernel with these of its results; the binder makes its room, ``more`` what matches need."""

    def bind(machine: HostMachine, *inputs: Any, out: Any) -> Link:
        link = kernel(machine, binder)(*inputs)
        assert isinstance(link, Launch)
        results = {"dp", "loss"} if link.kernel == "squared_error" else {"p", "dz", "loss", "matches"}
        made = dict.fromkeys(results)
        made |= dict(zip(names, as_tuple(out), strict=True))
        room = np.full(inputs[0].shape[0], np.nan, dtype=inputs[0].dtype)
        made |= {name: room for name in ("row_matches",) if name in link.arguments and "matches" in names}
        arguments = link.arguments | made | more
        return Launch(link.machine, link.kernel, link.dtype, arguments, blocks=link.blocks, result=out)

    return bind


def picked(everything: Callable[..., dict[str, Any]], names: tuple[str, ...]) -> Callable[..., Any]:
    def pick(*inputs: Any) -> Any:
        found = tuple(everything(*inputs)[name] for name in names)
        return found if len(names) > 1 else found[0]

    return pick


def logits(targets: str) -> Callable[..., Inputs]:
    """Some logits are equal, so that the first of the largest counts."""

    def inputs(random: np.random.Generator, shape: tuple[int, ...]) -> Inputs:
        z = 3 * random.standard_normal(shape)
        z[::3] = np.round(z[::3] / 3)
        y = random.integers(0, shape[1], shape[0])
        if targets == "shares":
            y = random.uniform(0, 1, shape)
            y[random.uniform(0, 1, shape) < 0.2] = 0
        return z, y, 7.0

    return inputs


def of_classes(z: np.ndarray, y: np.ndarray, divisor: float) -> dict[str, Any]:
    p, loss, dz = REFERENCE.softmax_categorical_crossentropy(*wide((z, y, divisor)))
    return {"p": p, "loss": loss, "dz": dz, "matches": REFERENCE.categorical_matches(p, y)}


def size_of_classes(z: np.ndarray, y: np.ndarray, divisor: float) -> dict[str, Any]:
    p = REFERENCE.softmax(z) * spread(z)
    targets = np.eye(z.shape[1])[y] if y.ndim == 1 else y
    whole = targets.sum(axis=1, keepdims=True)
    surprise = spread(z) + np.log(z.shape[1])
    loss = np.sum(targets * surprise) / divisor
    return {"p": p, "loss": loss, "dz": (p * whole + targets) / divisor, "matches": 1e-9}


def answers(random: np.random.Generator, shape: tuple[int, ...]) -> Inputs:
    return 3 * random.standard_normal(shape), random.choice([0.0, 1.0, 0.3, 0.8], shape), 7.0


def of_questions(threshold: float) -> Callable[..., dict[str, Any]]:
    def results(z: np.ndarray, y: np.ndarray, divisor: float) -> dict[str, Any]:
        p, loss, dz = REFERENCE.sigmoid_binary_crossentropy(*wide((z, y)), divisor)
        return {"p": p, "loss": loss, "dz": dz, "matches": REFERENCE.binary_matches(p, y, threshold)}

    return results


def size_of_questions(z: np.ndarray, y: np.ndarray, divisor: float) -> dict[str, Any]:
    loss = np.sum(np.abs(z) + np.log(2)) / divisor
    return {"p": REFERENCE.sigmoid(z), "loss": loss, "dz": 1 / divisor, "matches": 1e-9}


def of_squares(p: np.ndarray, y: np.ndarray, divisor: float) -> dict[str, Any]:
    arguments = (*wide((p, y)), divisor)
    return {"loss": REFERENCE.squared_error(*arguments), "dp": REFERENCE.squared_error_backward(*arguments)}


def losses() -> Iterator[Case]:
    for targets, names in product(("labels", "shares"), outputs(("p", "loss", "dz", "matches"))):
        if "matches" in names and "p" not in names:
            continue  # matches are counted in p
        yield Case(
            f"softmax_crossentropy of {targets}: {', '.join(names)}",
            ("softmax_crossentropy",),
            logits(targets),
            chosen("softmax_categorical_crossentropy", names),
            picked(of_classes, names),
            ulps=8,
            magnitude=picked(size_of_classes, names),
            shapes=ROWS,
        )
    for names, threshold in product(outputs(("p", "loss", "dz", "matches")), (0.5, 0.3)):
        if threshold == 0.5 or "matches" in names:
            yield Case(
                f"sigmoid_crossentropy: {', '.join(names)}, {threshold}",
                ("sigmoid_crossentropy",),
                answers,
                chosen("sigmoid_binary_crossentropy", names, threshold=threshold),
                picked(of_questions(threshold), names),
                ulps=6,
                magnitude=picked(size_of_questions, names),
            )
    for names in outputs(("loss", "dp")):
        yield Case(
            f"squared_error: {', '.join(names)}",
            ("squared_error",),
            normal(2, 7.0),
            chosen("squared_error", names),
            picked(of_squares, names),
            ulps=6,
            magnitude=picked(of_squares, names),
        )
    for name in (
        "softmax_categorical_crossentropy",
        "categorical_crossentropy_from_logits",
        "categorical_crossentropy_from_logits_backward",
    ):
        names = {"softmax": ("p", "loss", "dz")}.get(name[:7], ("dz",) if name.endswith("backward") else ("loss",))
        for targets in ("labels", "shares"):
            size = picked(size_of_classes, names)
            how = {**op(name), "ulps": 8, "magnitude": size, "shapes": ROWS}
            yield Case(f"{name} of {targets}", ("softmax_crossentropy",), logits(targets), **how)
    for name in (
        "sigmoid_binary_crossentropy",
        "binary_crossentropy_from_logits",
        "binary_crossentropy_from_logits_backward",
    ):
        names = {"sigmoid": ("p", "loss", "dz")}.get(name[:7], ("dz",) if name.endswith("backward") else ("loss",))
        how = {**op(name), "ulps": 6, "magnitude": picked(size_of_questions, names)}
        yield Case(name, ("sigmoid_crossentropy",), answers, **how)
    for name, names in (("squared_error", ("loss",)), ("squared_error_backward", ("dp",))):
        how = {**op(name), "ulps": 6, "magnitude": picked(of_squares, names)}
        yield Case(name, ("squared_error",), normal(2, 7.0), **how)


# -- counts

COUNTS = {"ulps": 0, "shapes": [*ROWS, (97, 100)]}


def predicted(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Few different numbers, and some that are none."""
    return random.choice([0.1, 0.2, 0.7, -np.inf, np.nan], shape, p=[0.3, 0.3, 0.3, 0.09, 0.01])


def columns_of_the_largest(targets: str) -> Callable[..., Inputs]:
    """Most targets are right: NaN is the largest, and of equal ones the first counts, in targets, too."""

    def inputs(random: np.random.Generator, shape: tuple[int, ...]) -> Inputs:
        p = predicted(random, shape)
        labels = np.where(random.uniform(size=shape[0]) < 0.8, p.argmax(axis=1), random.integers(0, shape[1], shape[0]))
        if targets == "labels":
            return p, labels
        behind = (np.arange(shape[1]) >= labels[:, None]) & (random.uniform(size=shape) < 0.2)
        largest = random.choice([0.7, np.nan], (shape[0], 1))
        return p, np.where(behind | (np.arange(shape[1]) == labels[:, None]), largest, 0.5)

    return inputs


def counts() -> Iterator[Case]:
    for targets in ("labels", "shares"):
        name = "categorical_matches"
        yield Case(f"{name} of {targets}", ("class_matches",), columns_of_the_largest(targets), **op(name), **COUNTS)
    for name, limit in (("binary_matches", 0.15), ("binary_matches", 0.75), ("tolerance_matches", 0.05)):
        inputs = lambda random, shape, limit=limit: (*(predicted(random, shape) for _ in "py"), limit)  # noqa: E731
        yield Case(f"{name} at {limit}", ("element_matches",), inputs, **op(name), **COUNTS)


# -- penalties, norms, sums


def steps_of_several_rates(random: np.random.Generator, shape: tuple[int, ...]) -> Inputs:
    """Rates of 0, 1 and in between; where the rate is 0, a step to what is no number."""
    rates = random.choice([0.0, 0.5, 1.0, 2.0], shape)
    w, stepped = random.standard_normal((2, *shape))
    return w, np.where(rates > 0, stepped, np.nan), rates


def others() -> Iterator[Case]:
    # a thread adds up to 1009 / 32 terms in the tested type
    for name in ("l1", "l2"):
        how = {"ulps": 16, "shapes": SIZES}
        yield Case(name, ("sum_of_powers",), normal(1, 0.3), **op(name), magnitude=result_of(name), **how)
        back = f"{name}_backward"
        size = lambda dw, w, rate: np.abs(dw) + 2 * rate * (np.abs(w) + 1)  # noqa: E731
        yield Case(back, ("penalty_backward",), normal(2, 0.3), **op(back), ulps=2, magnitude=size, shapes=SIZES)
    for limit in (0.5, 1e4):
        yield Case(
            f"clip_norm at {limit}",
            ("sum_of_powers", "clip_norm"),
            normal(1, limit),
            **op("clip_norm"),
            ulps=16,
            magnitude=lambda g, limit: np.abs(REFERENCE.clip_norm(g, limit)),
            shapes=SIZES,
        )
    yield Case("clip_value", ("clip_value",), normal(1, 0.7), **op("clip_value"), ulps=1, magnitude=lambda g, c: c)
    yield Case("clone", ("duplicate",), normal(1), **op("clone"), shapes=SIZES)
    size = lambda w, stepped, rates: np.abs(w) + rates * np.nan_to_num(np.abs(w) + np.abs(stepped))  # noqa: E731
    yield Case("move", ("move_by_rates",), steps_of_several_rates, **op("move"), ulps=2, magnitude=size, shapes=SIZES)
    size = lambda a, w, ema: np.abs(a) + np.abs(w)  # noqa: E731
    yield Case("average", ("average",), normal(2, 0.9), **op("average"), ulps=2, magnitude=size, shapes=SIZES)
    yield Case("add", ("add",), normal(2), **op("add"), shapes=SIZES)
    yield Case(
        "linear_bias_gradient",
        ("bias_activation_backward",),
        normal(1),
        **op("linear_bias_gradient"),
        ulps=8,
        magnitude=lambda dy: np.abs(dy).sum(axis=0),
    )
    for kind in ("f4", "f8", "i4", "i8"):
        yield Case(
            f"take_rows of {kind}",
            ("gather",),
            lambda random, shape, kind=kind: (
                random.integers(0, 1000, (50, shape[1])).astype(kind),
                random.integers(0, 50, shape[0]),
            ),
            bind=Copied,
            expected=lambda x, index: REFERENCE.take_rows(x, index),
        )


class Copied(Link):
    """Rows of any type; what the case compares is of the tested one."""

    def __init__(self, machine: HostMachine, x: Any, index: Any, *, out: Any) -> None:
        self.machine, self.result = machine, out
        self._rows = np.full((len(index), *x.shape[1:]), -1).astype(x.dtype)
        self._link = kernel(machine, "take_rows")(x, index, out=self._rows)
        assert isinstance(self._link, Launch)

    @property
    def parts(self) -> list[Link]:
        return [self._link]

    def __call__(self) -> Any:
        self._rows[...] = -1
        self._link()
        self.result[...] = self._rows
        return self.result


# -- updates

UPDATES: dict[str, tuple[int, tuple[float, ...]]] = {
    # slots, and numbers in the op's order
    "sgd": (0, (0.1,)),
    "momentum": (1, (0.1, 0.9)),
    "nesterov": (1, (0.1, 0.9)),
    "adagrad": (1, (0.1, 1e-7)),
    "rmsprop": (1, (0.1, 0.9, 1e-7)),
    "lion": (1, (0.01, 0.9, 0.99)),
    "adam": (2, (0.01, 0.9, 0.999, 1e-7, 1 - 0.9**3, 1 - 0.999**3)),
}
LENGTHS = [(n,) for n in (*range(1, 10), 31, 33, 97, 1000, 1009)]
DECAY = 0.05


def weights_and_slots(slots: int, numbers: tuple[float, ...]) -> Callable[..., Inputs]:
    def inputs(random: np.random.Generator, shape: tuple[int, ...]) -> Inputs:
        w, g = random.standard_normal((2, *shape))
        return (w, g, *random.uniform(0.1, 1.0, (slots, *shape)), *numbers)

    return inputs


def size_of_update(name: str) -> Callable[..., Any]:
    """A step is no larger than 1; a slot is made of itself and of a gradient."""
    slots, _ = UPDATES[name]

    def magnitude(w: np.ndarray, g: np.ndarray, *rest: Any) -> Any:
        sizes = (np.abs(w) + np.abs(g) + 1, *(np.abs(s) + np.abs(g) + g * g for s in rest[:slots]))
        return sizes if slots else sizes[0]

    return magnitude


def decaying(name: str) -> Case:
    """The same kernel, with w ← w - ηλw before."""
    slots, numbers = UPDATES[name]

    def bind(machine: HostMachine, *inputs: Any, out: Any) -> Link:
        link = kernel(machine, name)(*inputs, out=out)
        assert isinstance(link, Launch)
        link.arguments["decay"] = DECAY
        return link

    def expected(w: np.ndarray, *rest: Any) -> Any:
        w, *rest = wide((w, *rest))
        return getattr(REFERENCE, name)(REFERENCE.decay_weights(w, numbers[0], DECAY), *rest)

    how = {"ulps": 5, "magnitude": size_of_update(name), "shapes": LENGTHS, "again": False}
    return Case(f"{name} with decay", (name,), weights_and_slots(slots, numbers), bind, expected, **how)


def updates() -> Iterator[Case]:
    for name, (slots, numbers) in UPDATES.items():
        how = {"ulps": 4, "magnitude": size_of_update(name), "shapes": LENGTHS, "again": False}
        yield Case(name, (name,), weights_and_slots(slots, numbers), **op(name), **how)
        yield decaying(name)
    decay = {**op("decay_weights"), "ulps": 2, "magnitude": lambda w, *n: np.abs(w), "shapes": LENGTHS, "again": False}
    yield Case("decay_weights", ("decay_weights",), normal(1, 0.1, 0.01), **decay)


CASES = {case.name: case for make in (activations, softmaxes, losses, counts, others, updates) for case in make()}
cases = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
dtypes = pytest.mark.parametrize("dtype", DTYPES)


# -- the tests


@dtypes
@cases
def test_a_kernel_does_what_the_reference_does(case, dtype):
    for threads, grid in LAUNCHES:
        machine = Watched(threads=threads)
        for shape in case.shapes:
            check(case, machine, dtype, shape, grid)
        assert machine.launched == set(case.kernels)


IN_SHORT = {
    "activation": "mish of x + b, with z",
    "activation_backward": "gelu_backward",
    "bias_activation_backward": "column sums of tanh, with dx",
    "softmax": "log_softmax",
    "softmax_backward": "softmax_backward",
    "softmax_crossentropy": "softmax_crossentropy of shares: p, loss, dz, matches",
    "class_matches": "categorical_matches of shares",
    "element_matches": "binary_matches at 0.15",
    "sigmoid_crossentropy": "sigmoid_crossentropy: p, loss, dz, matches, 0.5",
    "squared_error": "squared_error: loss, dp",
    "sum_of_powers": "l2",
    "penalty_backward": "l1_backward",
    "clip_norm": "clip_norm at 0.5",
    "clip_value": "clip_value",
    "duplicate": "clone",
    "move_by_rates": "move",
    "average": "average",
    "add": "add",
    "gather": "take_rows of f8",
    "decay_weights": "decay_weights",
    **{name: f"{name} with decay" for name in UPDATES},
}
"""A case of each kernel, that of the most results."""


@dtypes
@pytest.mark.parametrize("name", IN_SHORT)
def test_in_short(name, dtype):
    """Each kernel once: under a sanitizer there is no time for more."""
    case, machine = CASES[IN_SHORT[name]], Watched(threads=64)
    for size, shape in ((33, (5, 40)), (201, (67, 3))):
        for grid in (2048, 1):
            check(case, machine, dtype, (size,) if len(case.shapes[0]) == 1 else shape, grid)
    assert name in machine.launched


def test_in_short_draws_and_rows():
    check_mask(HostMachine(), Rng(1).stream(3).skip(2), 1009)
    check_rows(HostMachine(), ("f4", "i8", "f8"), 31, 1)


def test_every_kernel_has_a_case():
    here = {"dropout", "publish"}  # tested below
    everything = set(signatures(SOURCE.read_text()))
    assert {name for case in CASES.values() for name in case.kernels} | here == everything
    assert IN_SHORT.keys() | here == everything


def test_activations_are_numbered_as_in_the_source():
    body = SOURCE.read_text().split("enum Activation {")[1].split("}")[0]
    assert tuple(name.strip().lower() for name in body.split(",")) == ACTIVATIONS


@dtypes
def test_signatures_are_those_of_the_compiler(dtype):
    """The launcher reads the source; the compiler knows."""
    scalars = {"int": np.int32, "integer": np.int64, "word": np.uint64, "double": np.float64}
    machine = HostMachine()
    for name, parameters in signatures(SOURCE.read_text()).items():
        read = tuple(np.uint64 if kind.endswith("*") else scalars[kind] for kind, _ in parameters)
        assert machine.kernel(name, dtype).types == read, name


def test_a_grid_covers_its_elements_up_to_a_limit():
    assert [blocks_for(size, 64) for size in (0, 1, 64, 65, 64 * 2048, 64 * 2048 + 1)] == [1, 1, 1, 2, 2048, 2048]


@dtypes
def test_more_elements_than_the_largest_grid_has_threads(dtype):
    machine = Watched(threads=32)
    for name in ("sigmoid", "adam", "l2", "squared_error"):
        case = CASES[name]
        case = replace(case, ulps=4 * case.ulps)  # a sum of more terms
        check(case, machine, dtype, (2 * 32 * 2048 + 7,), 2048)


@dtypes
@pytest.mark.parametrize("name", [*UPDATES, "decay_weights"])
def test_updates_of_arrays_that_are_not_aligned(name, dtype):
    """Each of the arrays may begin anywhere; the rest of 4 is left over at the end."""
    case, machine = CASES[name], HostMachine()
    random = np.random.default_rng(0)
    for size in (1, 3, 4, 5, 8, 33, 1009):
        values = case.inputs(random, (size,))
        arrays = sum(isinstance(a, np.ndarray) for a in values)
        wanted = as_tuple(case.expected(*(laid(a, dtype) for a in values)))
        for shifts in product((0, 1, 2), repeat=arrays):
            placed = tuple(laid(a, dtype, s) for a, s in zip(values, (*shifts, *[0] * len(values)), strict=False))
            own = (placed[0], *placed[2:arrays])  # in place: all but the gradient
            case.bind(machine, *placed, out=own if len(own) > 1 else own[0])()
            sizes = as_tuple(case.magnitude(*wide(tuple(laid(a, dtype) for a in values))))
            for one, other, magnitude in zip(own, wanted, sizes, strict=True):
                assert_near(one, other, case.ulps, magnitude, f"{name}, {size} elements, shifts {shifts}")
                assert np.isnan(margins(one)).all()


@dtypes
@pytest.mark.parametrize("name", ACTIVATIONS[1:])
def test_activations_in_place(name, dtype):
    """An elementwise kernel may write where it reads."""
    random, machine = np.random.default_rng(0), HostMachine()
    for op_name in (name, f"{name}_backward"):
        values = tuple(laid(a, dtype) for a in CASES[op_name].inputs(random, (1009,)))
        wanted = kernel(machine, op_name)(*values)().copy()
        kernel(machine, op_name)(*values, out=values[0])()
        np.testing.assert_array_equal(values[0], wanted)


# -- the edges

EDGES = [0.0, 1e-45, 1e-40, 1e-30, 1e-3, 0.5, 1.0, 3.0, 20.0, 90.0, 800.0, 1e10, 1e30, np.inf]
EDGES = np.array([*EDGES, *(-edge for edge in EDGES), np.nan])


def assert_alike(found: np.ndarray, wanted: np.ndarray, ulps: float, magnitude: Any, where: str) -> None:
    """NaN where NaN is expected, infinities of the same sign, and numbers that are near."""
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted), err_msg=where)
    infinite = np.isinf(wanted)
    np.testing.assert_array_equal(found[infinite], wanted[infinite], err_msg=where)
    rest = np.isfinite(wanted)
    size = np.nan_to_num(np.broadcast_to(magnitude, wanted.shape)[rest], nan=0, posinf=0)
    tiny = np.finfo(found.dtype).tiny / np.finfo(found.dtype).eps  # below it the reference may end at 0, or go on
    assert_near(found[rest], wanted[rest].astype("f8"), ulps, size + tiny, where)


@dtypes
@pytest.mark.parametrize("name", ACTIVATIONS[1:])
def test_activations_at_the_edges(name, dtype):
    """As the reference in the same type has it, for every pair of a gradient and what was kept."""
    numbers, machine = NUMBERS.get(name, ()), HostMachine()
    with np.errstate(all="ignore"):
        x = EDGES.astype(dtype)
        y = getattr(REFERENCE, name)(x, *numbers)
        found = kernel(machine, name)(x, *numbers)()
        assert_alike(found, y, 16, np.abs(y), f"{name} of {x}")
        dy, kept = (a.copy() for a in np.meshgrid(x, x if name in BY_INPUT else y))
        wanted = getattr(REFERENCE, f"{name}_backward")(dy, kept, *numbers)
        found = kernel(machine, f"{name}_backward")(dy, kept, *numbers)()
        assert_alike(found, wanted, 16, np.abs(wanted) + np.abs(dy), f"{name}_backward")


def rows_at_the_edges(dtype: str) -> np.ndarray:
    """A number of ordinary rows that one edge, or two, stand in."""
    rows = np.random.default_rng(0).standard_normal((len(EDGES) ** 2, 5))
    rows[:, 1], rows[:, 3] = (a.reshape(-1) for a in np.meshgrid(EDGES, EDGES))
    with np.errstate(over="ignore", under="ignore"):
        return rows.astype(dtype)


@dtypes
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_at_the_edges(name, dtype):
    machine, z = HostMachine(), rows_at_the_edges(dtype)
    with np.errstate(all="ignore"):
        y = getattr(REFERENCE, name)(z)
        assert_alike(kernel(machine, name)(z)(), y, 16, np.abs(y) + 1, name)
        dy = z[::-1].copy()
        wanted = getattr(REFERENCE, f"{name}_backward")(dy, y)
        largest = np.nan_to_num(np.abs(dy), posinf=0).max(axis=1, keepdims=True)
        assert_alike(kernel(machine, f"{name}_backward")(dy, y)(), wanted, 16, largest, f"{name}_backward")


@dtypes
@pytest.mark.parametrize("targets", ["labels", "shares"])
def test_classes_at_the_edges(targets, dtype):
    """Row by row: a loss that has no limit is NaN, and would hide the others. NaN is the largest, as argmax has it."""
    z = rows_at_the_edges(dtype)
    for row in range(len(z)):
        own = z[row : row + 1].copy()
        y = np.array([row % 5]) if targets == "labels" else np.eye(5, dtype=dtype)[[row % 5]] * 0.75
        with np.errstate(all="ignore"):
            p, loss, dz = REFERENCE.softmax_categorical_crossentropy(own, y, 1.0)
        out = tuple(np.full_like(a, np.nan) for a in (p, loss, dz, loss))
        bind = chosen("softmax_categorical_crossentropy", ("p", "loss", "dz", "matches"))
        found = bind(HostMachine(), own, y, 1.0, out=out)()
        for one, other in zip(found, (p, np.asarray(loss), dz), strict=False):
            assert_alike(one, other, 16, np.abs(other) + 1, f"of {own}, {y}")
        assert found[3] == REFERENCE.categorical_matches(p, y)


@dtypes
@pytest.mark.parametrize("label", [-1, 5, 2**40])
def test_a_label_that_is_out_of_range_makes_no_number(label, dtype):
    """It reads no memory of others, and the loss shows it."""
    z = np.ones((3, 5), dtype)
    loss = kernel(HostMachine(), "categorical_crossentropy_from_logits")(z, np.array([0, label, 4]), 3.0)()
    assert np.isnan(loss)


@dtypes
def test_questions_at_the_edges(dtype):
    with np.errstate(all="ignore"):
        z = EDGES.astype(dtype)
    for y in (0.0, 1.0, 0.25, 1e-40):
        with np.errstate(all="ignore"):
            targets = np.full_like(z, y)
            fused = kernel(HostMachine(), "sigmoid_binary_crossentropy")
            for place in range(z.size):
                one, other = z[place : place + 1].copy(), targets[:1].copy()
                wanted = REFERENCE.sigmoid_binary_crossentropy(one, other, 3.0)
                found = fused(one, other, 3.0)()
                for a, b in zip(found, wanted, strict=True):
                    assert_alike(a, np.asarray(b), 16, np.abs(b) + 1, f"of {one}, {other}")


@dtypes
@pytest.mark.parametrize("name", ["add", "squared_error_backward", "l1_backward", "l2_backward"])
def test_arithmetic_at_the_edges(name, dtype):
    with np.errstate(all="ignore"):
        a, b = (part.astype(dtype) for part in np.meshgrid(EDGES, EDGES))
        more = () if name == "add" else (3.0,)
        wanted = getattr(REFERENCE, name)(a, b, *more)
        found = kernel(HostMachine(), name)(a, b, *more)()
        assert_alike(found, wanted, 4, np.abs(wanted), name)


@dtypes
@pytest.mark.parametrize("name", ["l1", "l2", "clip_norm", "squared_error"])
def test_sums_at_the_edges(name, dtype):
    """One edge among ordinary numbers."""
    for edge in EDGES:
        with np.errstate(all="ignore"):
            w = np.array([1.0, edge, 2.0]).astype(dtype)
            inputs = (w, 3.0) if name != "squared_error" else (w, np.ones_like(w), 3.0)
            wanted = np.asarray(getattr(REFERENCE, name)(*inputs))
            found = kernel(HostMachine(), name)(*inputs)()
        assert_alike(found, wanted, 8, np.abs(wanted) + 1, f"{name} of {w}")


@dtypes
@pytest.mark.parametrize("name", UPDATES)
def test_updates_at_the_edges(name, dtype):
    """For every pair of a weight and a gradient."""
    slots, numbers = UPDATES[name]
    with np.errstate(all="ignore"):
        w, g = (part.astype(dtype).reshape(-1) for part in np.meshgrid(EDGES, EDGES))
        inputs = (w, g, *(np.full_like(w, 0.5) for _ in range(slots)), *numbers)
        wanted = as_tuple(getattr(REFERENCE, name)(*inputs))
        found = as_tuple(kernel(HostMachine(), name)(*inputs)())
        for one, other in zip(found, wanted, strict=True):
            assert_alike(one, other, 8, np.abs(other) + 1, name)


# -- dropout

SEEDS = (0, 1, 2**32, 2**63 + 5, 2**64 - 1)
ADDRESSES = [  # purpose, layer, step, item
    (3, 0, 0, 0),
    (3, 1, 1, 0),
    (3, 7, 12_345, 2),
    (3, 2**32 - 1, 2**32, 1),
    (5, 3, 2**52 + 1, 2**40 + 3),
]


def check_mask(machine: HostMachine, stream: Any, size: int, rate: float = 0.4) -> None:
    x = np.arange(1, size + 1).astype("f4")
    y = np.full(size, np.nan, dtype="f4")
    kernel(machine, "dropout")(x, rate, stream, out=y)()
    np.testing.assert_array_equal(y != 0, stream.keep(x.shape, rate), err_msg=f"{stream}, {size} elements")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("address", ADDRESSES)
def test_dropout_masks_are_those_of_numpy(seed, address):
    """Bit for bit, from any word of a stream on."""
    purpose, layer, step, item = address
    start = Rng(seed, layer).stream(purpose, step=step, item=item)
    for threads in (32, 96):
        machine = HostMachine(threads=threads)
        for size, offset in product((*range(1, 10), 31, 97, 1009), (0, 1, 2, 3, 4, 5, 1023, 2**40 + 6)):
            check_mask(machine, start.skip(offset), size)


@dtypes
@pytest.mark.parametrize("rate", [0.0, 1e-3, 0.25, 0.5, 0.9, 1 - 2.0**-40])
def test_what_dropout_keeps_is_scaled(rate, dtype):
    stream = Rng(3, 2).stream(3, step=9)
    for grid, shape in product(GRIDS, MATRICES):
        x = laid(np.random.default_rng(1).standard_normal(shape), dtype)
        x.flat[:: max(2, x.size // 3)] = np.inf  # what is dropped is 0, whatever it was
        y = laid(np.full(shape, np.nan), dtype)
        in_few_blocks(kernel(HostMachine(), "dropout")(x, rate, stream, out=y), grid)()
        wanted = REFERENCE.dropout(*wide((x,)), rate, stream)
        kept = stream.keep(shape, rate)
        np.testing.assert_array_equal(y == 0, ~kept)
        np.testing.assert_allclose(y, wanted, rtol=2 * np.finfo(dtype).eps)
        assert np.isnan(margins(y)).all()


# -- rows, and the agenda


def check_rows(machine: HostMachine, kinds: tuple[str | None, ...], count: int, start: int, grid: int = 2048) -> None:
    """Each array has rows of a width of its own."""
    random = np.random.default_rng(0)
    sources = [
        None if kind is None else random.integers(0, 99, (60, *width)).astype(kind)
        for kind, width in zip(kinds, ((3,), (), (2, 5)), strict=False)
    ]
    order = random.integers(0, 60, 200)
    rows = [None if s is None else np.full((count, *s.shape[1:]), -1).astype(s.dtype) for s in sources]
    arguments = gather_arguments(sources, rows, order, Number(start), count)
    units = sum(arguments[f"{name}_units"] for name in "abc")
    blocks = min(grid, blocks_for(count * units, machine.threads))
    Launch(machine, "gather", "float32", arguments, blocks=blocks, result=None)()
    for source, found in zip(sources, rows, strict=True):
        if source is not None:
            np.testing.assert_array_equal(found, source[order[start : start + count]])


@pytest.mark.parametrize(
    "kinds", [("f4",), ("f8",), ("i8", "f4"), ("f4", "i8", "f8"), ("f8", None, "f4"), ("f4", "i4", None)]
)
@pytest.mark.parametrize("threads", THREADS)
def test_rows_of_several_arrays(kinds, threads):
    """From any place of the order on, which the agenda tells."""
    machine = HostMachine(threads=threads)
    for count, start, grid in product((1, 2, 31, 97), (0, 1, 50), GRIDS):
        check_rows(machine, kinds, count, start, grid)


@dtypes
@pytest.mark.parametrize("count", range(7))
def test_results_are_published_in_the_row_of_the_step(count, dtype):
    """And each step reads the numbers of its own row, without the host."""
    machine = HostMachine()
    rates = Number(0.5, lambda steps: 0.5 / (1 + steps))
    agenda = Agenda(machine, [Number(3.0), rates], results=count, dtype=dtype, rows=8)
    w, g = np.zeros(5, dtype), np.ones(5, dtype)
    values = [np.zeros((), dtype) for _ in range(count)]
    step = kernel(machine, "sgd")(w, g, rates, out=w).run(agenda, {})
    ends = dict.fromkeys("abcdef") | dict(zip("abcdef", values, strict=False)) | {"count": count}
    publish = Launch(machine, "publish", dtype, ends, blocks=1, result=None).run(agenda, {})
    agenda.prepare()
    wanted, rows = 0.0, []
    for number in range(5):
        for place, value in enumerate(values):
            value[...] = 10 * number + place
        step()
        publish()
        rows.append(agenda.advance())
        wanted -= 0.5 / (1 + number)
        np.testing.assert_allclose(w, wanted, rtol=8 * np.finfo(dtype).eps)
    assert agenda.words[0] == 5
    assert machine.counts["upload"] == 1
    for number, row in enumerate(rows):
        assert count == 0 or row.tolist() == [10 * number + place for place in range(count)]


def check_corrections(machine: HostMachine, dtype: str) -> None:
    """Three columns that all change, in three steps."""
    random = np.random.default_rng(0)
    numbers = [
        Number(f(0), f) for f in (lambda t: 0.1 / (t + 1), lambda t: 1 - 0.9 ** (t + 1), lambda t: 1 - 0.99 ** (t + 1))
    ]
    w, g, m, v = (laid(a, dtype) for a in (*random.standard_normal((2, 33)), np.zeros(33), np.zeros(33)))
    wanted = tuple(a.astype("f8") for a in (w, m, v))
    link = kernel(machine, "adam")(w, g, m, v, numbers[0], 0.9, 0.99, 1e-7, *numbers[1:], out=(w, m, v))
    agenda = Agenda(machine, link.columns, rows=4)
    run = link.run(agenda, {})
    agenda.prepare()
    for t in range(3):
        run()
        agenda.words[0] += 1
        rate, *corrections = (number.ahead(t) for number in numbers)
        slots = (wanted[0], g.astype("f8"), *wanted[1:])
        wanted = REFERENCE.adam(*slots, rate, 0.9, 0.99, 1e-7, *corrections)
    for found, other in zip((w, m, v), wanted, strict=True):
        np.testing.assert_allclose(found, other, rtol=0, atol=16 * np.finfo(dtype).eps)


@dtypes
def test_adam_reads_its_corrections_from_the_agenda(dtype):
    check_corrections(HostMachine(), dtype)
