"""PyTorch on the same weights and data, in float64: layers, losses, optimizers, and whole networks in training."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp import layers, losses, regularizers
from nnxp.ops.record import run
from nnxp.optimizers import SGD, Adagrad, Adam, Optimizer, RMSprop
from nnxp.schedules import InverseTimeDecay

torch = pytest.importorskip("torch")
functional = torch.nn.functional

TOLERANCE = 1e-10
"""Relative, to the largest element. Both sides round float64 at 1e-16; twenty steps of a small network multiply that by
a few thousand at most, and a different formula shows in the first digits."""


@pytest.fixture(params=["reference", "numpy"])
def backend(request) -> nnxp.Backend:
    """The specification and the kernels."""
    return nnxp.get_backend("numpy", dtype="float64", kernels=request.param)


def tensor(a: Any, *, gradient: bool = False) -> Any:
    return torch.tensor(np.asarray(a), requires_grad=gradient)


def assert_agrees(found: Any, expected: Any, name: str = "") -> None:
    found, expected = np.asarray(found), expected.detach().numpy()
    assert found.dtype == expected.dtype == np.float64
    assert found.shape == expected.shape, name
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max(), err_msg=name)


# -- layers

LAYERS: dict[str, tuple[Callable[[], layers.Layer], tuple[int, ...], Callable[..., Any]]] = {
    "dense": (lambda: layers.Dense(4), (5, 3), lambda x, w, b: functional.linear(x, w.T, b)),
    "relu": (layers.ReLU, (5, 3), torch.relu),
    "sigmoid": (layers.Sigmoid, (5, 3), torch.sigmoid),
    "tanh": (layers.Tanh, (5, 3), torch.tanh),
    "softmax": (layers.Softmax, (5, 3), lambda x: torch.softmax(x, dim=-1)),
    "linear": (layers.Linear, (5, 3), lambda x: 1 * x),
    "flatten": (layers.Flatten, (5, 2, 3, 4), lambda x: torch.flatten(x, start_dim=1)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, backend, random):
    make, shape, peer = LAYERS[name]
    layer = make()
    layer.build(shape[1:], backend)
    for parameter in layer.parameters():
        setattr(layer, parameter, random.standard_normal(layer.parameters()[parameter].shape))
    x = 2 * random.standard_normal(shape)
    points = [tensor(a, gradient=True) for a in (x, *layer.parameters().values())]

    y = layer.forward(x, training=True)
    expected = peer(*points)
    assert_agrees(y, expected, "y")

    dy = random.standard_normal(y.shape)
    dx = layer.backward(dy)
    expected.backward(tensor(dy))
    for found, point, what in zip((dx, *layer.gradients().values()), points, ("x", "weights", "biases"), strict=False):
        assert_agrees(found, point.grad, what)


def test_dropout(backend, random):
    """PyTorch draws another mask; with ours as the mask, output and gradient are those of its formula."""
    layer = layers.Dropout(0.3)
    layer.build((50,), backend)
    x, dy = random.standard_normal((2, 20, 50))
    y = layer.forward(x, training=True)
    point, mask = tensor(x, gradient=True), tensor((y != 0).astype(float))
    expected = point * mask / 0.7
    expected.backward(tensor(dy))
    assert_agrees(y, expected)
    assert_agrees(layer.backward(dy), point.grad)
    share = torch.nn.functional.dropout(torch.ones(20, 50), 0.3).ne(0).double().mean().item()
    assert abs((y != 0).mean() - share) < 0.1  # the rate is the share dropped, there as here; 1000 elements, s = 0.014


# -- losses


def labels(random):
    return random.integers(0, 4, 6)


def soft(random):
    y = random.uniform(0.0, 1.0, (6, 4))
    return y / y.sum(axis=1, keepdims=True)


def shares(random):
    return random.uniform(0.0, 1.0, (6, 4))


def real(random):
    return random.standard_normal((6, 4))


def nll(p: Any, y: Any, reduction: str) -> Any:
    """PyTorch takes logarithms of probabilities here, and averages over samples."""
    return functional.nll_loss(torch.log(p), y, reduction=reduction)


def expected_nll(p: Any, y: Any, reduction: str) -> Any:
    total = -(y * torch.log(p)).sum()
    return total / (len(p) if reduction == "mean" else 1)


LOSSES: dict[str, tuple[Any, dict[str, Any], Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    # loss, its options, predictions, targets, PyTorch's
    "mse": (losses.MeanSquaredError, {}, real, real, functional.mse_loss),
    "mae": (losses.MeanAbsoluteError, {}, real, real, functional.l1_loss),
    "bce": (losses.BinaryCrossentropy, {}, shares, shares, functional.binary_cross_entropy),
    "bce of logits": (
        losses.BinaryCrossentropy,
        {"from_logits": True},
        lambda random: 10 * real(random),
        shares,
        functional.binary_cross_entropy_with_logits,
    ),
    "cce of indices": (losses.CategoricalCrossentropy, {}, soft, labels, nll),
    "cce of rows": (losses.CategoricalCrossentropy, {}, soft, soft, expected_nll),
    "cce of logits and indices": (
        losses.CategoricalCrossentropy,
        {"from_logits": True},
        lambda random: 10 * real(random),
        labels,
        functional.cross_entropy,
    ),
    "cce of logits and rows": (
        losses.CategoricalCrossentropy,
        {"from_logits": True},
        lambda random: 10 * real(random),
        soft,
        functional.cross_entropy,
    ),
}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_loss(name, reduction, random):
    make, options, predictions, targets, peer = LOSSES[name]
    loss = make(reduction=reduction, **options)
    p, y = predictions(random), targets(random)
    point = tensor(p, gradient=True)
    expected = peer(point, tensor(y), reduction=reduction)
    expected.backward()
    assert_agrees(loss.value(p, y), expected, "value")
    assert_agrees(loss.gradient(p, y), point.grad, "gradient")


@pytest.mark.parametrize(
    ("penalty", "peer"),
    [(regularizers.L1(0.3), lambda w: 0.3 * w.abs().sum()), (regularizers.L2(0.3), lambda w: 0.3 * (w**2).sum())],
    ids=["L1", "L2"],
)
def test_penalty(penalty, peer, backend, random):
    w = random.standard_normal((4, 3))
    w[0, 0] = 0.0  # both take 0 as the subgradient of |w| at 0
    values = {"w": w, "dw": np.zeros_like(w), "rate": 0.3}
    run([penalty.value_record(), penalty.gradient_record()], values, backend.ops)
    point = tensor(w, gradient=True)
    expected = peer(point)
    expected.backward()
    assert_agrees(values["penalty"], expected)
    assert_agrees(values["dw"], point.grad)


# -- optimizers

OPTIMIZERS: dict[str, tuple[Optimizer, Callable[..., Any]]] = {
    "sgd": (SGD(0.1), lambda parameters: torch.optim.SGD(parameters, lr=0.1)),
    "momentum": (SGD(0.1, momentum=0.9), lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9)),
    "nesterov": (
        SGD(0.1, momentum=0.9, nesterov=True),
        lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True),
    ),
    "adagrad": (Adagrad(0.05), lambda parameters: torch.optim.Adagrad(parameters, lr=0.05, eps=1e-7)),
    "rmsprop": (RMSprop(0.01), lambda parameters: torch.optim.RMSprop(parameters, lr=0.01, alpha=0.9, eps=1e-7)),
    "adam": (Adam(0.01), lambda parameters: torch.optim.Adam(parameters, lr=0.01, eps=1e-7)),
    "adam, other betas": (
        Adam(0.01, beta_1=0.5, beta_2=0.9, epsilon=1e-3),
        lambda parameters: torch.optim.Adam(parameters, lr=0.01, betas=(0.5, 0.9), eps=1e-3),
    ),
}


class Updates:
    """An optimizer on one array."""

    def __init__(self, optimizer: Optimizer, backend: nnxp.Backend, w: np.ndarray) -> None:
        self.optimizer, self.backend, self.step = optimizer, backend, 0
        self.state = {"w": w, **{name: np.zeros_like(w) for name in optimizer.slots}}

    def update(self, g: np.ndarray) -> None:
        values = self.state | {"g": g} | self.optimizer.scalars(self.step)
        run(self.optimizer.records(), values, self.backend.ops)
        self.state = {name: values[name] for name in self.state}
        self.step += 1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name, backend, random):
    """Twenty updates by the same gradients. At a constant rate, η outside the momentum (theirs) or inside are one."""
    optimizer, make = OPTIMIZERS[name]
    w = random.standard_normal(50)
    mine, weight = Updates(optimizer, backend, w), tensor(w, gradient=True)
    peer = make([weight])
    for step in range(20):
        g = random.standard_normal(50)
        mine.update(g)
        weight.grad = tensor(g)
        peer.step()
        assert_agrees(mine.state["w"], weight, f"update {step}")


def test_momentum_under_a_schedule_is_another_rule(backend):
    """After two updates by g, theirs has moved by η₀g + η₁(μg + g), ours by η₀g + μη₀g + η₁g."""
    decay, mu, g = InverseTimeDecay(0.1, 1.0), 0.9, np.array([2.0])
    mine, weight = Updates(SGD(decay, momentum=mu), backend, np.array([1.0])), tensor([1.0], gradient=True)
    peer = torch.optim.SGD([weight], lr=0.1, momentum=mu)
    for step in range(2):
        peer.param_groups[0]["lr"] = decay(step)
        weight.grad = tensor(g)
        peer.step()
        mine.update(g)
    assert_agrees(mine.state["w"] + (decay(0) - decay(1)) * mu * g, weight)


@pytest.mark.parametrize(
    ("optimizer", "clip"),
    [
        (SGD(0.1, clip_norm=0.5), lambda w: torch.nn.utils.clip_grad_norm_([w], 0.5)),
        (SGD(0.1, clip_value=0.5), lambda w: torch.nn.utils.clip_grad_value_([w], 0.5)),
    ],
    ids=["norm", "value"],
)
def test_clipping(optimizer, clip, backend, random):
    """PyTorch adds 1e-6 to the norm that it divides by: relative 1e-6 / 7, for fifty elements of order one."""
    w, g = random.standard_normal((2, 50))
    mine, weight = Updates(optimizer, backend, w), tensor(w, gradient=True)
    mine.update(g)
    weight.grad = tensor(g)
    clip(weight)
    torch.optim.SGD([weight], lr=0.1).step()
    np.testing.assert_allclose(mine.state["w"] - w, weight.detach().numpy() - w, rtol=3e-7)


# -- networks

NETWORKS: dict[str, tuple[list[Callable[[], layers.Layer]], list[Callable[..., Any]], Any, Any, Any]] = {
    # layers, PyTorch's steps ("dense" takes its weights), loss, PyTorch's loss, targets
    "classes": (
        [lambda: layers.Dense(8), layers.Tanh, lambda: layers.Dense(4), layers.Softmax],
        ["dense", torch.tanh, "dense"],
        losses.CategoricalCrossentropy(),
        functional.cross_entropy,
        lambda random: random.integers(0, 4, 30),
    ),
    "classes in rows, summed": (
        [lambda: layers.Dense(8), layers.Sigmoid, lambda: layers.Dense(4)],
        ["dense", torch.sigmoid, "dense"],
        losses.CategoricalCrossentropy(from_logits=True, reduction="sum"),
        lambda z, y: functional.cross_entropy(z, y, reduction="sum"),
        lambda random: random.dirichlet(np.ones(4), 30),
    ),
    "two yes-or-no outputs": (
        [lambda: layers.Dense(8), layers.ReLU, lambda: layers.Dense(2), layers.Sigmoid],
        ["dense", torch.relu, "dense"],
        losses.BinaryCrossentropy(),
        functional.binary_cross_entropy_with_logits,
        lambda random: random.integers(0, 2, (30, 2)).astype(float),
    ),
    "regression": (
        [lambda: layers.Dense(8), layers.Tanh, lambda: layers.Dense(6), layers.ReLU, lambda: layers.Dense(1)],
        ["dense", torch.tanh, "dense", torch.relu, "dense"],
        losses.MeanSquaredError(),
        functional.mse_loss,
        lambda random: random.standard_normal((30, 1)),
    ),
}


@pytest.mark.parametrize("optimizer_name", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"])
@pytest.mark.parametrize("name", NETWORKS)
def test_twenty_training_steps(name, optimizer_name, backend, random):
    """Losses and all parameters, after every step; the model goes its planned way."""
    makers, steps, loss, peer_loss, targets = NETWORKS[name]
    optimizer, make_peer = OPTIMIZERS[optimizer_name]
    model = nnxp.Model([make() for make in makers], loss=loss, optimizer=optimizer, backend=backend)
    model.build((3,))
    x, y = random.standard_normal((30, 3)), targets(random)
    parameters = {key: tensor(a, gradient=True) for key, a in model.state_dict().items()}
    peer = make_peer(list(parameters.values()))
    for step in range(20):
        peer.zero_grad()
        expected = peer_loss(forward(steps, parameters, tensor(x)), tensor(y))
        expected.backward()
        peer.step()
        assert_agrees(model.train_step(x, y), expected, f"loss of step {step}")
        for key, found in model.state_dict().items():
            assert_agrees(found, parameters[key], f"{key} after step {step}")


def forward(steps: list[Any], parameters: dict[str, Any], x: Any) -> Any:
    """The network in PyTorch: each "dense" takes the next weights and biases."""
    arrays = iter(parameters.values())
    for step in steps:
        x = x @ next(arrays) + next(arrays) if step == "dense" else step(x)
    return x


def test_penalties_in_training(backend, random):
    """Loss with penalty, and its gradients, on weights and biases."""
    model = nnxp.Model(
        [
            layers.Dense(8, weight_regularizer=regularizers.L2(0.01), bias_regularizer=regularizers.L1(0.02)),
            layers.Tanh(),
            layers.Dense(4, weight_regularizer=regularizers.L1(0.03)),
            layers.Softmax(),
        ],
        loss=losses.CategoricalCrossentropy(),
        optimizer=SGD(0.1),
        backend=backend,
    )
    model.build((3,))
    x, y = random.standard_normal((30, 3)), random.integers(0, 4, 30)
    parameters = {key: tensor(a, gradient=True) for key, a in model.state_dict().items()}
    w0, b0, w1, _ = parameters.values()
    for step in range(5):
        expected = functional.cross_entropy(forward(["dense", torch.tanh, "dense"], parameters, tensor(x)), tensor(y))
        expected = expected + 0.01 * (w0**2).sum() + 0.02 * b0.abs().sum() + 0.03 * w1.abs().sum()
        gradients = torch.autograd.grad(expected, list(parameters.values()))
        loss, found = model.loss_and_gradients(x, y)
        assert_agrees(loss, expected, f"loss of step {step}")
        for (key, gradient), wanted in zip(found.items(), gradients, strict=True):
            assert_agrees(gradient, wanted, f"{key} in step {step}")
        model.train_step(x, y)
        with torch.no_grad():
            for point, gradient in zip(parameters.values(), gradients, strict=True):
                point -= 0.1 * gradient
