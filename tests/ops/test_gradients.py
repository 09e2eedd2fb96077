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
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    Lambda,
    LayerNorm,
    Linear,
    MaxPool2D,
    ReLU,
    Reshape,
    Residual,
    RMSNorm,
    Sequential,
    Sigmoid,
    Softmax,
    Step,
    Tanh,
)
from nnxp.ops import Ops
from nnxp.ops.record import run
from nnxp.ops.reference.activations import softmax, softmax_backward

ONE_BY_ONE = True

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
    return random.choice([-1.0, 1.0], shape) * np.where(np.abs(size - 1) < 0.1, size + 0.2, size)


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


def loss(
    name: str, points: Callable[..., list[np.ndarray]], targets: Callable[..., Any], divisor: float, *options: float
) -> Case:
    return Case(
        f"{name}-{targets.__name__}-{divisor:g}",
        points=points,
        constant=targets,
        forward=lambda ops, y, p: getattr(ops, name)(p, y, *options, divisor),
        backward=lambda ops, y, dy, p: (dy * getattr(ops, name + "_backward")(p, y, *options, divisor),),
    )


def weighted_loss(
    name: str, points: Callable[..., list[np.ndarray]], targets: Callable[..., Any], *options: float
) -> Case:
    """Rows, weighted and added up: the gradients by the predictions and by the weights."""
    return Case(
        f"{name}-{targets.__name__}-weighted",
        points=lambda random: [*points(random), random.uniform(0.5, 2.0, 4)],
        constant=targets,
        forward=lambda ops, y, p, w: ops.weighted_sum(getattr(ops, name + "_rows")(p, y, *options), w, 3.0),
        backward=lambda ops, y, dy, p, w: (
            ops.scale_rows(dy * getattr(ops, name + "_backward")(p, y, *options, 3.0), w),
            dy * getattr(ops, name + "_rows")(p, y, *options) / 3.0,
        ),
    )


def normalization(name: str, *shape: int) -> Case:
    """Of x, scale and, where there is one, offset; for "fixed_norm", mean and variance are given."""
    size, offsets = shape[-1], 0 if name == "rms_norm" else 1

    def moments(random):
        return np.stack([random.standard_normal(size), random.uniform(0.5, 2.0, size)])

    def given(constant):
        return (constant[0, ...], constant[1, ...]) if name == "fixed_norm" else ()

    def backward(ops, constant, dy, x, scale, *offset):
        made = ops.batch_norm(x, scale, *offset, 0.1)[1:] if name == "batch_norm" else given(constant)
        return getattr(ops, name + "_backward")(dy, x, *made, scale, 0.1)

    def forward(ops, constant, x, *parameters):
        y = getattr(ops, name)(x, *given(constant), *parameters, 0.1)
        return y[0] if name == "batch_norm" else y

    return Case(
        f"{name}-{len(shape)}d",
        points=lambda random: [random.standard_normal(s) for s in (shape, *[(size,)] * (1 + offsets))],
        constant=moments,
        forward=forward,
        backward=backward,
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


def off_the_margin(random):
    """Predictions between and outside of the hinges at -1 and 1, none nearer than 0.2."""
    size = random.choice([0.5, 1.5], (4, 3)) + random.uniform(-0.3, 0.3, (4, 3))
    return [random.choice([-1.0, 1.0], (4, 3)) * size]


def answers(random):
    return random.integers(0, 2, (4, 3)).astype(float)


NEW = [
    # losses with sample weights: name, predictions, targets, options
    ("squared_error", near, (distant,), ()),
    ("absolute_error", near, (distant,), ()),
    ("categorical_crossentropy", probabilities, (labels, soft), ()),
    ("categorical_crossentropy_from_logits", logits, (labels, weighted), ()),
    ("binary_crossentropy", probabilities, (shares,), ()),
    ("binary_crossentropy_from_logits", logits, (shares,), ()),
    ("weighted_binary_crossentropy", probabilities, (shares,), (2.5,)),
    ("weighted_binary_crossentropy_from_logits", logits, (shares, answers), (2.5,)),
    ("kl_divergence", probabilities, (labels, soft), ()),
    ("kl_divergence_from_logits", logits, (labels, soft, weighted), ()),
    ("huber", near, (distant, answers), (0.7,)),
    ("log_cosh", near, (distant, answers), ()),
    ("hinge", off_the_margin, (answers,), ()),
]


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
    *[
        loss(name, points, targets, divisor, *options)
        for divisor in (4.0, 1.0)
        for name, points, kinds, options in NEW[6:]
        for targets in kinds
    ],
    *[weighted_loss(name, points, kinds[0], *options) for name, points, kinds, options in NEW],
    *[
        normalization(name, *shape)
        for name in ("batch_norm", "fixed_norm", "layer_norm", "rms_norm")
        for shape in ((4, 3), (2, 3, 3), (2, 2, 1, 3))
    ],
    Case(
        "embedding",
        points=lambda random: [random.standard_normal((5, 2))],
        constant=lambda random: np.array([[0, 3, 3], [1, 0, 3]]),  # one index twice in a sample, and two of nobody
        forward=lambda ops, x, w: ops.embedding(x, w),
        backward=lambda ops, x, dy, w: (ops.embedding_gradient(dy, x, w),),
    ),
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
    wanted |= {"softmax_categorical_crossentropy", "sigmoid_binary_crossentropy", "scale_rows"}
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
    "BatchNorm": (lambda: BatchNorm(epsilon=0.1), (4, 3)),
    "BatchNorm of an image": (BatchNorm, (1, 2, 3, 2)),
    "LayerNorm of rows": (lambda: LayerNorm(epsilon=0.1), (2, 3, 4)),
    "RMSNorm of images": (RMSNorm, (2, 2, 1, 3)),
    "Sequential": (
        lambda: Sequential(
            [
                Flatten(),
                Sequential([Dense(4), Tanh(), Dropout(0.3)]),
                Sequential([Sequential([Dense(3), Sigmoid(), BatchNorm()]), Dense(3), RMSNorm(), Softmax()]),
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


@pytest.mark.parametrize("x", [[1, 0, 1], [[2, 2, 0], [1, 2, 2]], [[[4]], [[4]]]], ids=["1d", "2d", "3d"])
def test_embedding(x, backend, random):
    """By the weights; indices, repeated in a sample or not, have a gradient of zeros."""
    weights, indices = random.standard_normal((5, 3)), backend.asarray(np.array(x))
    layer = Embedding(5, 3)
    layer.build(tuple(indices.shape[1:]), backend)

    def forward(weights: np.ndarray) -> np.ndarray:
        layer.weights = weights
        return backend.to_numpy(layer.forward(indices, training=True))

    upstream = random.standard_normal(forward(weights).shape)
    (expected,) = numerical_gradients(lambda w: np.sum(upstream * forward(w)), [weights])
    forward(weights)
    dx = layer.backward(backend.asarray(upstream))
    assert_same_gradient(backend.to_numpy(layer.gradients()["weights"]), expected, "weights")
    assert dx.dtype == backend.dtype
    np.testing.assert_array_equal(backend.to_numpy(dx), np.zeros(np.shape(x)))
    with pytest.raises(OrderError, match="call forward"):
        layer.backward(backend.asarray(upstream))


@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 3), (1, 1, 1, 3)])
def test_batch_norm_of_one_value_is_flat(shape, backend, random):
    """A value is its own mean: it has no influence, and only the offset has."""
    layer = BatchNorm()
    layer.build(shape[1:], backend)
    layer.offset = [1.0, 2.0, 3.0]
    upstream = random.standard_normal(shape)
    y = layer.forward(backend.asarray(random.standard_normal(shape)), training=True)
    dx = layer.backward(backend.asarray(upstream))
    np.testing.assert_array_equal(backend.to_numpy(y).ravel(), [1, 2, 3])
    np.testing.assert_allclose(backend.to_numpy(dx), np.zeros(shape), rtol=0, atol=1e-12)  # of parts of about 300
    gradients = {name: backend.to_numpy(a) for name, a in layer.gradients().items()}
    np.testing.assert_array_equal(gradients["scale"], [0, 0, 0])
    np.testing.assert_allclose(gradients["offset"], upstream.ravel(), rtol=1e-15)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 3), (2, 2, 1, 3)])
def test_batch_norm_by_its_running_statistics(shape, backend, random):
    """Outside of training, with statistics that are not those of a new layer."""
    points = [random.standard_normal(shape), random.uniform(0.5, 2.0, 3), random.standard_normal(3)]
    layer = BatchNorm()
    layer.build(shape[1:], backend)
    layer.load_buffers(
        {"running_mean": backend.asarray([3.0, -1.0, 0.5]), "running_var": backend.asarray([4.0, 9, 0.1])}
    )

    def forward(x: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
        layer.scale, layer.offset = scale, offset
        return backend.to_numpy(layer.forward(backend.asarray(x)))

    upstream = random.standard_normal(shape)
    expected = numerical_gradients(lambda *arrays: np.sum(upstream * forward(*arrays)), points)
    forward(*points)
    gradients = [layer.backward(backend.asarray(upstream)), *layer.gradients().values()]
    for name, analytic, numerical in zip(("x", "scale", "offset"), gradients, expected, strict=True):
        assert_same_gradient(backend.to_numpy(analytic), numerical, name)


def test_every_layer_has_a_case():
    """A layer that is not here is one whose backward nobody has checked."""
    public = {
        kind.__name__
        for kind in (getattr(layers, name) for name in layers.__all__)
        if isinstance(kind, type) and kind not in (layers.Layer, layers.RecordedLayer, Step, Embedding)
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
    **{
        f"{kind}, {what}": (losses.CategoricalCrossentropy, options | {"from_logits": of_logits}, predictions, targets)
        for kind, of_logits, predictions in (("cce", False, probabilities), ("cce of logits", True, logits))
        for what, options, targets in (
            ("smooth", {"label_smoothing": 0.2}, labels),
            ("class weights", {"class_weights": [0.5, 0.0, 3.0]}, soft),
            ("both", {"label_smoothing": 0.2, "class_weights": [0.5, 2.0, 3.0]}, labels),
        )
    },
    **{
        f"kl, {targets.__name__}": (losses.KLDivergence, {"from_logits": of_logits}, predictions, targets)
        for of_logits, predictions, targets in ((False, probabilities, labels), (True, logits, soft))
    },
    "bce, positive": (losses.BinaryCrossentropy, {"positive_weight": 2.5}, probabilities, shares),
    "bce of logits, positives": (
        losses.BinaryCrossentropy,
        {"from_logits": True, "positive_weight": [2.5, 0.0, 1.0]},
        logits,
        answers,
    ),
    "huber": (losses.Huber, {"delta": 0.7}, near, answers),
    "log cosh": (losses.LogCosh, {}, near, answers),
    "hinge": (losses.Hinge, {}, off_the_margin, answers),
}


@pytest.mark.parametrize(("reduction", "weights"), [("mean", None), ("sum", None), ("mean", [0.5, 2.0, 0.0, 1.0])])
@pytest.mark.parametrize("name", LOSSES)
def test_loss(name, reduction, weights, backend, random):
    make, options, predictions, targets = LOSSES[name]
    loss = make(reduction=reduction, **options)
    points, y = predictions(random), backend.asarray(targets(random))
    gradient = loss.gradient(backend.asarray(points[0]), y, sample_weight=weights)
    (expected,) = numerical_gradients(lambda p: float(loss.value(backend.asarray(p), y, sample_weight=weights)), points)
    assert_same_gradient(backend.to_numpy(gradient), expected, name)
    if weights is None:
        assert_says_something(check(loss, points[0], y, backend=backend, tolerance=TOLERANCE))


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
