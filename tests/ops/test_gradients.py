"""Every backward against central differences in float64, with a random upstream, over all inputs and parameters."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp import layers, losses, regularizers
from nnxp.backend import Purpose, Rng
from nnxp.errors import OrderError
from nnxp.gradcheck import GradientCheck, check
from nnxp.layers import (
    AveragePool2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    Lambda,
    Linear,
    MaxPool2D,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    Step,
    Tanh,
)
from nnxp.ops import Ops
from nnxp.ops.record import run
from nnxp.ops.reference.activations import softmax, softmax_backward

STEP = 6e-6
"""The cube root of float64's eps: there the error of central differences, about h² + eps / h, is least."""
TOLERANCE = 1e-7
"""Relative; at `STEP` the difference itself errs by about 1e-10 of a result of order one, and a wrong backward by 1."""
STREAM = Rng(seed=1).stream(Purpose.DROPOUT, step=3)


@pytest.fixture
def backend(make_backend):
    """Differences need float64; where there is none, the test is skipped."""
    return make_backend(dtype="float64")


def numerical_gradients(f: Callable[..., float], points: list[np.ndarray]) -> list[np.ndarray]:
    """The derivative of a number f(*points) by every element of every point."""
    gradients = []
    for point in points:
        gradient = np.zeros_like(point)
        for index in np.ndindex(point.shape):
            there = point[index]
            point[index] = there + STEP
            above = f(*points)
            point[index] = there - STEP
            below = f(*points)
            point[index] = there
            gradient[index] = (above - below) / (2 * STEP)
        gradients.append(gradient)
    return gradients


def assert_same_gradient(analytic: np.ndarray, numerical: np.ndarray, name: object) -> None:
    assert analytic.shape == numerical.shape, name
    size = np.linalg.norm(analytic) + np.linalg.norm(numerical)
    assert size > 0, f"{name}: a gradient that is zero proves nothing"
    assert np.linalg.norm(analytic - numerical) / size <= TOLERANCE, name


def assert_says_something(result: GradientCheck) -> None:
    """Every element was compared, and no gradient was zero."""
    assert [(tensor.note, tensor.left_out) for tensor in result.tensors] == [("", 0)] * len(result.tensors)


def away(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Values of both signs, none nearer than 0.1 to 0 or ±1: no step crosses a kink there."""
    size = random.uniform(0.2, 1.5, shape)
    return random.choice([-1.0, 1.0], shape) * np.where(np.abs(size - 1) < 0.1, 1.2, size)


def labels(random):
    return random.integers(0, 3, 4)


def one_hot(random):
    return np.eye(3)[labels(random)]


def soft(random):
    """Probabilities, one of them 0."""
    y = random.uniform(0.1, 1.0, (4, 3))
    y[0, 1] = 0
    return y / y.sum(axis=1, keepdims=True)


def weighted(random):
    """Rows that do not sum to 1, as a weighted sample has them."""
    return random.uniform(0.1, 1.0, (4, 3))


# -- ops


@dataclass(frozen=True)
class Case:
    """A function of float arrays, and its backward: the upstream and the same arrays to a gradient for each."""

    name: str
    points: Callable[[np.random.Generator], list[np.ndarray]]
    forward: Callable[..., Any]
    backward: Callable[..., tuple[Any, ...]]
    constant: Callable[[np.random.Generator], Any] = lambda random: None


def activation(name: str, shape: tuple[int, ...], *numbers: float, reads: str = "y", size: float = 1.0) -> Case:
    """``reads`` says whether the backward takes the output or the input, ``size`` how far inputs go from 0."""

    def forward(ops: Any, constant: None, x: Any) -> Any:
        return getattr(ops, name)(x, *numbers)

    def backward(ops: Any, constant: None, dy: Any, x: Any) -> tuple[Any]:
        read = x if reads == "x" else forward(ops, constant, x)
        return (getattr(ops, name + "_backward")(dy, read, *numbers),)

    return Case(f"{name}-{len(shape)}d", lambda random: [size * away(random, *shape)], forward, backward)


def loss(name: str, points: Callable[..., list[np.ndarray]], targets: Callable[..., Any], divisor: float) -> Case:
    return Case(
        f"{name}-{targets.__name__}-{divisor:g}",
        points=points,
        constant=targets,
        forward=lambda ops, y, p: getattr(ops, name)(p, y, divisor),
        backward=lambda ops, y, dy, p: (dy * getattr(ops, name + "_backward")(p, y, divisor),),
    )


def fused(name: str, targets: Callable[..., Any], divisor: float) -> Case:
    """One op with (p, loss, dz): the gradient is of the loss."""
    return Case(
        f"{name}-{targets.__name__}-{divisor:g}",
        points=logits,
        constant=targets,
        forward=lambda ops, y, z: getattr(ops, name)(z, y, divisor)[1],
        backward=lambda ops, y, dy, z: (dy * getattr(ops, name)(z, y, divisor)[2],),
    )


def penalty(name: str) -> Case:
    """The backward adds to a gradient that is there; what it adds is checked."""
    return Case(
        name,
        points=lambda random: [away(random, 3, 2)],
        constant=lambda random: random.standard_normal((3, 2)),
        forward=lambda ops, there, w: getattr(ops, name)(w, 0.3),
        backward=lambda ops, there, dy, w: (dy * (getattr(ops, name + "_backward")(there, w, 0.3) - there),),
    )


def convolution(strides: tuple[int, int], padding: Any) -> Case:
    return Case(
        f"conv2d-{strides}-{padding}",
        points=lambda random: [random.standard_normal(shape) for shape in ((2, 4, 3, 2), (2, 3, 2, 2), (2,))],
        forward=lambda ops, y, x, w, b: ops.conv2d(x, w, b, strides, padding),
        backward=lambda ops, y, dy, x, w, b: (
            ops.conv2d_input_gradient(dy, w, (4, 3), strides, padding),
            ops.conv2d_weight_gradient(x, dy, (2, 3), strides, padding),
            ops.conv2d_bias_gradient(dy),
        ),
    )


def pooling(name: str, strides: tuple[int, int], padding: Any) -> Case:
    """The largest element is ahead by more than a step. Max pooling reads x and y, and averaging the size of x."""
    how = ((2, 3), strides, padding)

    def backward(ops: Ops, y: Any, dy: Any, x: Any) -> tuple[Any, ...]:
        if name == "average_pool2d":
            return (ops.average_pool2d_backward(dy, (4, 3), *how),)
        return (ops.max_pool2d_backward(dy, x, ops.max_pool2d(x, *how), *how),)

    return Case(
        f"{name}-{strides}-{padding}",
        points=lambda random: [random.permutation(np.arange(48.0)).reshape((2, 4, 3, 2)) / 16],
        forward=lambda ops, y, x: getattr(ops, name)(x, *how),
        backward=backward,
    )


def logits(random):
    return [random.standard_normal((4, 3))]


def probabilities(random):
    return [random.uniform(0.1, 0.9, (4, 3))]


def shares(random):
    return random.uniform(0.0, 1.0, (4, 3))


def distant(random):
    """Targets that predictions of `near` stay 0.2 away from."""
    return 2 * np.where(random.uniform(size=(4, 3)) < 0.5, -1.0, 1.0)


def near(random):
    return [random.uniform(-1.5, 1.5, (4, 3))]


CASES = [
    *[
        case
        for shape in ((4, 3), (2, 3, 4))
        for case in (
            *[activation(name, shape) for name in ("relu", "selu", "sigmoid", "tanh", "softplus")],
            *[activation(name, shape) for name in ("softmax", "log_softmax")],
            *[activation(name, shape, reads="x") for name in ("softsign", "silu", "mish", "gelu", "gelu_tanh")],
            activation("leaky_relu", shape, 0.3),
            activation("elu", shape, 0.7),
            activation("hard_sigmoid", shape, size=3.0),  # its kinks are at ±3
            activation("hard_tanh", shape),
        )
    ],
    *[activation(name, (9,), reads="x", size=6.0) for name in ("softsign", "silu", "mish", "gelu", "gelu_tanh")],
    Case(
        "linear",
        points=lambda random: [random.standard_normal(shape) for shape in ((4, 3), (3, 2), (2,))],
        forward=lambda ops, y, x, w, b: ops.linear(x, w, b),
        backward=lambda ops, y, dy, x, w, b: (
            ops.linear_input_gradient(dy, w),
            ops.linear_weight_gradient(x, dy),
            ops.linear_bias_gradient(dy),
        ),
    ),
    Case(
        "reshape",
        points=lambda random: [random.standard_normal((2, 3, 2))],
        forward=lambda ops, y, x: ops.reshape(x, (6,)),
        backward=lambda ops, y, dy, x: (ops.reshape(dy, (3, 2)),),
    ),
    *[
        case
        for strides, padding in (((1, 1), "same"), ((2, 1), "valid"), ((1, 2), (1, 2)))
        for case in (
            convolution(strides, padding),
            pooling("max_pool2d", strides, padding),
            pooling("average_pool2d", strides, padding),
        )
    ],
    Case(
        "global_average_pool",
        points=lambda random: [random.standard_normal((2, 3, 2, 4))],
        forward=lambda ops, y, x: ops.global_average_pool(x),
        backward=lambda ops, y, dy, x: (ops.global_average_pool_backward(dy, (3, 2)),),
    ),
    Case(
        "dropout",
        points=lambda random: [random.standard_normal((4, 5))],
        forward=lambda ops, y, x: ops.dropout(x, 0.4, STREAM),
        backward=lambda ops, y, dy, x: (ops.dropout(dy, 0.4, STREAM),),
    ),
    *[
        loss(name, points, targets, divisor)
        for divisor in (4.0, 1.0)
        for name, points, kinds in (
            ("squared_error", near, (distant,)),
            ("absolute_error", near, (distant,)),
            ("categorical_crossentropy", probabilities, (labels, one_hot, soft, weighted)),
            ("categorical_crossentropy_from_logits", logits, (labels, one_hot, soft, weighted)),
            ("binary_crossentropy", probabilities, (shares,)),
            ("binary_crossentropy_from_logits", logits, (shares,)),
        )
        for targets in kinds
    ],
    *[
        fused(name, targets, divisor)
        for divisor in (4.0, 1.0)
        for name, kinds in (
            ("softmax_categorical_crossentropy", (labels, one_hot, soft, weighted)),
            ("sigmoid_binary_crossentropy", (shares,)),
        )
        for targets in kinds
    ],
    penalty("l1"),
    penalty("l2"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_op(case, backend, random):
    ops, points = backend.ops, case.points(random)
    constant = case.constant(random)
    constant = None if constant is None else backend.asarray(constant)

    def forward(*arrays: np.ndarray) -> np.ndarray:
        return backend.to_numpy(case.forward(ops, constant, *map(backend.asarray, arrays)))

    upstream = random.standard_normal(forward(*points).shape)
    gradients = case.backward(ops, constant, backend.asarray(upstream), *map(backend.asarray, points))
    expected = numerical_gradients(lambda *arrays: np.sum(upstream * forward(*arrays)), points)
    for index, (analytic, numerical) in enumerate(zip(gradients, expected, strict=True)):
        assert_same_gradient(backend.to_numpy(analytic), numerical, (case.name, index))


def test_every_backward_has_a_case(random):
    """Ops that record that they were called; all that return a gradient must be."""
    called: set[str] = set()

    def recorded(name: str, op: Any) -> Any:
        def call(*arguments: Any) -> Any:
            called.add(name)
            return op(*arguments)

        return call

    ops = nnxp.get_backend("numpy", dtype="float64").ops
    names = [field.name for field in fields(Ops) if field.name != "honours"]
    ops = replace(ops, **{name: recorded(name, getattr(ops, name)) for name in names})
    for case in CASES:
        points, constant = case.points(random), case.constant(random)
        case.backward(ops, constant, np.ones_like(case.forward(ops, constant, *points)), *points)
    wanted = {name for name in names if name.endswith(("_backward", "_gradient"))}
    wanted |= {"softmax_categorical_crossentropy", "sigmoid_binary_crossentropy"}
    wanted -= {"step_backward"}  # test_step_is_flat
    assert len(wanted) > 15
    assert wanted <= called


# -- layers

LAYERS: dict[str, tuple[Callable[[], layers.Layer], tuple[int, ...]]] = {
    "Dense": (lambda: Dense(3), (4, 2)),
    "Dense of one input": (lambda: Dense(3), (4, 1)),
    "Dense of one sample": (lambda: Dense(3), (1, 2)),
    "ReLU": (ReLU, (4, 3)),
    "Sigmoid": (Sigmoid, (4, 3)),
    "Tanh": (Tanh, (4, 3)),
    "Softmax": (Softmax, (4, 3)),
    "LeakyReLU": (lambda: layers.LeakyReLU(0.3), (4, 3)),
    "ELU": (lambda: layers.ELU(0.7), (4, 3)),
    "SELU": (layers.SELU, (4, 3)),
    "HardSigmoid": (layers.HardSigmoid, (4, 3)),
    "HardTanh": (layers.HardTanh, (4, 3)),
    "Softsign": (layers.Softsign, (4, 3)),
    "Softplus": (layers.Softplus, (4, 3)),
    "SiLU": (layers.SiLU, (4, 3)),
    "Mish": (layers.Mish, (4, 3)),
    "GELU": (layers.GELU, (4, 3)),
    "GELUTanh": (layers.GELUTanh, (4, 3)),
    "LogSoftmax": (layers.LogSoftmax, (4, 3)),
    "Linear": (Linear, (4, 3)),
    "Dropout": (lambda: Dropout(0.4), (4, 5)),
    "Dropout of nothing": (lambda: Dropout(0.0), (4, 5)),
    "Flatten": (Flatten, (2, 3, 2, 1)),
    "Reshape": (lambda: Reshape((3, -1)), (2, 4, 3)),
    "Conv2D": (lambda: Conv2D(3, 2), (2, 3, 4, 2)),
    "Conv2D with strides": (lambda: Conv2D(2, (3, 2), strides=2, padding="same"), (2, 3, 4, 2)),
    "Conv2D with margins": (lambda: Conv2D(2, 2, strides=(2, 1), padding=(1, 2)), (2, 3, 4, 2)),
    "MaxPool2D": (MaxPool2D, (2, 4, 5, 2)),
    "MaxPool2D that overlaps": (lambda: MaxPool2D((3, 2), strides=1, padding="same"), (2, 4, 3, 2)),
    "AveragePool2D": (AveragePool2D, (2, 4, 5, 2)),
    "AveragePool2D that overlaps": (lambda: AveragePool2D((3, 2), strides=1, padding="same"), (2, 4, 3, 2)),
    "GlobalAveragePool1D": (GlobalAveragePool1D, (2, 4, 3)),
    "GlobalAveragePool2D": (GlobalAveragePool2D, (2, 4, 3, 2)),
    "a network of images": (
        lambda: Sequential(
            [
                Conv2D(2, 3, padding="same"),
                Tanh(),
                MaxPool2D(),
                Conv2D(3, 2),
                Sigmoid(),
                GlobalAveragePool2D(),
                Reshape((3, 1)),
                Flatten(),
                Dense(2),
            ]
        ),
        (2, 5, 4, 1),
    ),
    "Sequential": (
        lambda: Sequential(
            [
                Flatten(),
                Sequential([Dense(4), Tanh(), Dropout(0.3)]),
                Sequential([Sequential([Dense(3), Sigmoid()]), Dense(3), Softmax()]),
            ]
        ),
        (3, 2, 2),
    ),
    "Residual": (lambda: Residual([Dense(4), Tanh(), Dropout(0.3), Residual(Dense(4)), Dense(3)]), (4, 3)),
    "Lambda of x": (lambda: Lambda(lambda xp, x: xp.sin(x), lambda xp, dy, x: dy * xp.cos(x)), (4, 3)),
    "Lambda of y": (lambda: Lambda(softmax, softmax_backward, reads="y"), (4, 3)),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, training, backend, random):
    make, shape = LAYERS[name]
    layer = make()
    result = check(layer, away(random, *shape), backend=backend, training=training, tolerance=TOLERANCE)
    layer.build(shape[1:], backend)
    assert list(result.errors) == ["x", *layer.parameters()]
    assert_says_something(result)


def test_step_is_flat(backend, random):
    """Away from its threshold the gradient is truly zero."""
    result = check(Step(), away(random, 4, 3), backend=backend)
    assert [(tensor.error, tensor.note, tensor.left_out) for tensor in result.tensors] == [(0.0, "zero", 0)]


def test_every_layer_has_a_case():
    """A layer that is not here is one whose backward nobody has checked."""
    public = {
        kind.__name__
        for kind in (getattr(layers, name) for name in layers.__all__)
        if isinstance(kind, type) and kind not in (layers.Layer, layers.RecordedLayer, Step)
    }
    made = [make() for make, _ in LAYERS.values()]
    assert public <= {type(part).__name__ for layer in made for part in (layer, *(leaf for _, leaf in layer.leaves()))}


def test_backward_takes_one_forward(backend):
    layer = Tanh()
    layer.build((2,), backend)
    one = backend.asarray(np.ones((1, 2)))
    with pytest.raises(OrderError, match="call forward"):
        layer.backward(one)
    layer.forward(one)
    layer.backward(one)
    with pytest.raises(OrderError, match="call forward"):
        layer.backward(one)


# -- losses and penalties as objects

LOSSES = {
    "mse": (losses.MeanSquaredError, {}, near, distant),
    "mae": (losses.MeanAbsoluteError, {}, near, distant),
    "bce": (losses.BinaryCrossentropy, {}, probabilities, shares),
    "bce of logits": (losses.BinaryCrossentropy, {"from_logits": True}, logits, shares),
    **{
        f"cce, {targets.__name__}": (losses.CategoricalCrossentropy, {}, probabilities, targets)
        for targets in (labels, one_hot, soft)
    },
    **{
        f"cce of logits, {targets.__name__}": (losses.CategoricalCrossentropy, {"from_logits": True}, logits, targets)
        for targets in (labels, one_hot, soft)
    },
}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_loss(name, reduction, backend, random):
    make, options, predictions, targets = LOSSES[name]
    loss = make(reduction=reduction, **options)
    (point,), y = predictions(random), targets(random)
    assert_says_something(check(loss, point, y, backend=backend, tolerance=TOLERANCE))


@pytest.mark.parametrize("penalty", [regularizers.L1(0.3), regularizers.L2(0.3)], ids=str)
def test_regularizer(penalty, backend, random):
    points, there = [away(random, 3, 2)], random.standard_normal((3, 2))

    def value(w: np.ndarray) -> float:
        values = {"w": backend.asarray(w), "rate": penalty.rate}
        run([penalty.value_record()], values, backend.ops)
        return float(values["penalty"])

    values = {"w": backend.asarray(points[0]), "dw": backend.asarray(there), "rate": penalty.rate}
    run([penalty.gradient_record()], values, backend.ops)
    (expected,) = numerical_gradients(value, points)
    assert_same_gradient(backend.to_numpy(values["dw"]) - there, expected, penalty)
