"""PyTorch's optimizers and limits by the same gradients, in float64; Lion by its paper's algorithm, written plainly."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp import optimizers
from nnxp.ops.record import run
from nnxp.optimizers import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, GradientOptimizer, Lion, NAdam, RMSprop
from nnxp.schedules import InverseTimeDecay

torch = pytest.importorskip("torch")

STEPS, SIZE = 20, 50
TOLERANCE = 1e-10
"""Relative, to the largest element; both sides round float64 twenty times, at 1e-16 of numbers near 1."""


@pytest.fixture(autouse=True)
def _doubles() -> Iterator[None]:
    """PyTorch keeps NAdam's product of momentums in its default type."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(usual)


@pytest.fixture(params=["reference", "numpy", "numba"])
def backend(request) -> nnxp.Backend:
    """The specification and the kernels."""
    try:
        return nnxp.get_backend("numpy", dtype="float64", kernels=request.param)
    except nnxp.errors.BackendError as error:
        pytest.skip(str(error))


class Updates:
    """An optimizer on one array."""

    def __init__(self, optimizer: GradientOptimizer, backend: nnxp.Backend, w: np.ndarray) -> None:
        self.optimizer, self.backend, self.step = optimizer, backend, 0
        self.state = {"w": w, **{name: np.zeros_like(w) for name in optimizer.memory}}

    def update(self, g: np.ndarray) -> np.ndarray:
        values = self.state | {"g": g, "bounds": ((0, g.size),)} | self.optimizer.scalars(self.step)
        run(self.optimizer.records(), values, self.backend.ops)
        self.state = {name: values[name] for name in self.state}
        self.step += 1
        return self.state["w"]


class Peer:
    """PyTorch's on the same array."""

    def __init__(self, make: Callable[[Any], Any], w: np.ndarray) -> None:
        self.weight = torch.tensor(w, requires_grad=True)
        self.optimizer = make([self.weight])

    def update(self, g: np.ndarray, rate: float | None = None) -> np.ndarray:
        if rate is not None:
            self.optimizer.param_groups[0]["lr"] = rate
        self.weight.grad = torch.tensor(g)
        self.optimizer.step()
        return self.weight.detach().numpy()


def gradients(random: np.random.Generator, steps: int = STEPS) -> np.ndarray:
    """Of several sizes, from 1e-3 to 10."""
    return random.standard_normal((steps, SIZE)) * 10.0 ** random.uniform(-3, 1, SIZE)


def assert_agrees(found: Any, expected: Any, what: str = "") -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max(), err_msg=what)


AGREE: dict[str, tuple[GradientOptimizer, Callable[[Any], Any]]] = {
    "sgd": (SGD(0.1), lambda w: torch.optim.SGD(w, lr=0.1)),
    "momentum": (SGD(0.1, momentum=0.9), lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9)),
    "nesterov": (
        SGD(0.1, momentum=0.9, nesterov=True),
        lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9, nesterov=True),
    ),
    "adagrad": (Adagrad(0.05), lambda w: torch.optim.Adagrad(w, lr=0.05, eps=1e-7)),
    "adadelta": (Adadelta(), lambda w: torch.optim.Adadelta(w, lr=1.0, rho=0.95, eps=1e-6)),
    "adadelta, other numbers": (
        Adadelta(0.5, rho=0.8, epsilon=1e-3),
        lambda w: torch.optim.Adadelta(w, lr=0.5, rho=0.8, eps=1e-3),
    ),
    "rmsprop": (RMSprop(0.01), lambda w: torch.optim.RMSprop(w, lr=0.01, alpha=0.9, eps=1e-7)),
    "adam": (Adam(0.01), lambda w: torch.optim.Adam(w, lr=0.01, eps=1e-7)),
    "adamw": (AdamW(0.01), lambda w: torch.optim.AdamW(w, lr=0.01, eps=1e-7, weight_decay=0.01)),
    "adamw, other numbers": (
        AdamW(0.1, beta_1=0.5, beta_2=0.9, epsilon=1e-3, weight_decay=0.5),
        lambda w: torch.optim.AdamW(w, lr=0.1, betas=(0.5, 0.9), eps=1e-3, weight_decay=0.5),
    ),
    # an ε that neither side feels: they add it at different places
    "adamax": (Adamax(0.01, epsilon=1e-30), lambda w: torch.optim.Adamax(w, lr=0.01, eps=1e-30)),
    "adamax, other numbers": (
        Adamax(0.1, beta_1=0.5, beta_2=0.8, epsilon=1e-30),
        lambda w: torch.optim.Adamax(w, lr=0.1, betas=(0.5, 0.8), eps=1e-30),
    ),
    "nadam": (NAdam(0.01), lambda w: torch.optim.NAdam(w, lr=0.01, eps=1e-7)),
    "nadam, other numbers": (
        NAdam(0.1, beta_1=0.5, beta_2=0.9, epsilon=1e-3, momentum_decay=0.5),
        lambda w: torch.optim.NAdam(w, lr=0.1, betas=(0.5, 0.9), eps=1e-3, momentum_decay=0.5),
    ),
}


@pytest.mark.parametrize("name", AGREE)
def test_twenty_updates(name, backend, random):
    optimizer, make = AGREE[name]
    w = random.standard_normal(SIZE)
    mine, peer = Updates(optimizer, backend, w), Peer(make, w)
    for step, g in enumerate(gradients(random)):
        assert_agrees(mine.update(g), peer.update(g), f"update {step}")


@pytest.mark.parametrize("name", [name for name in AGREE if name not in ("momentum", "nesterov")])
def test_twenty_updates_under_a_schedule(name, backend, random):
    """But for momentum, where the rate stands inside the velocity here and outside of it there."""
    optimizer, make = AGREE[name]
    decay = InverseTimeDecay(float(optimizer.learning_rate), 0.3)
    w = random.standard_normal(SIZE)
    mine, peer = Updates(replace(optimizer, learning_rate=decay), backend, w), Peer(make, w)
    for step, g in enumerate(gradients(random)):
        assert_agrees(mine.update(g), peer.update(g, decay(step)), f"update {step}")


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_under_a_schedule_is_another_rule(nesterov, backend):
    """By hand, after two updates by g: theirs has gone η₀g + η₁(μg + g), ours η₀g + μη₀g + η₁g, or a step ahead."""
    decay, mu, g = InverseTimeDecay(0.1, 1.0), 0.9, np.array([2.0])
    mine = Updates(SGD(decay, momentum=mu, nesterov=nesterov), backend, np.array([1.0]))
    peer = Peer(lambda w: torch.optim.SGD(w, lr=0.1, momentum=mu, nesterov=nesterov), np.array([1.0]))
    for step in range(2):
        ours, theirs = mine.update(g), peer.update(g, decay(step))
    apart = (decay(0) - decay(1)) * mu * g
    assert_agrees(theirs - ours, mu * apart if nesterov else apart)


def test_the_epsilon_of_adamax_stands_elsewhere(backend):
    """Theirs is in the maximum, max(β₂u, |g| + ε), ours is beside it: after a large gradient only ours is felt."""
    epsilon, rate = 0.5, 0.1
    mine = Updates(Adamax(rate, beta_1=0.0, beta_2=0.9, epsilon=epsilon), backend, np.array([0.0]))
    peer = Peer(lambda w: torch.optim.Adamax(w, lr=rate, betas=(0.0, 0.9), eps=epsilon), np.array([0.0]))
    large, small = np.array([10.0]), np.array([1.0])
    for one in (mine, peer):
        one.update(large)
    first = -rate * 10 / 10.5  # both
    assert_agrees(mine.update(small), [first - rate / (0.9 * 10 + 0.5)])
    assert_agrees(peer.update(small), [first - rate / (0.9 * 10.5)])


def test_the_product_of_momentums_has_more_digits_here(backend, random):
    """In float32, PyTorch's default, it keeps the product in float32: relative 1e-7, where ours is a float64."""
    torch.set_default_dtype(torch.float32)
    w, g = random.standard_normal(SIZE), random.standard_normal(SIZE)
    mine, peer = Updates(NAdam(0.01, epsilon=1e-7), backend, w), Peer(AGREE["nadam"][1], w)
    for _ in range(STEPS):
        ours, theirs = mine.update(g), peer.update(g)
    assert 0 < np.abs(ours - theirs).max() < 1e-6


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_lion_by_its_paper(weight_decay, backend, random):
    """Algorithm 2 of Chen et al. (2023), line by line."""
    beta_1, beta_2, eta = 0.9, 0.99, 0.01
    theta = random.standard_normal(SIZE)
    mine = Updates(Lion(eta, beta_1=beta_1, beta_2=beta_2, weight_decay=weight_decay), backend, theta)
    m = np.zeros(SIZE)
    for g in gradients(random):
        c = beta_1 * m + (1 - beta_1) * g
        theta = theta - eta * (np.sign(c) + weight_decay * theta)
        m = beta_2 * m + (1 - beta_2) * g
        assert_agrees(mine.update(g), theta)
        assert_agrees(mine.state["first_moment"], m)


# -- limits, in a model

LIMITS: dict[str, tuple[dict[str, float], Callable[[list[Any]], Any]]] = {
    "value": ({"clip_value": 0.05}, lambda ws: torch.nn.utils.clip_grad_value_(ws, 0.05)),
    "norm": ({"clip_norm": 0.1}, lambda ws: torch.nn.utils.clip_grad_norm_(ws, 0.1)),
    "norm, not reached": ({"clip_norm": 100.0}, lambda ws: torch.nn.utils.clip_grad_norm_(ws, 100.0)),
    "parameter's norm": (
        {"clip_parameter_norm": 0.1},
        lambda ws: [torch.nn.utils.clip_grad_norm_([w], 0.1) for w in ws],
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits(name, backend, random):
    """PyTorch adds 1e-6 to the norm that it divides by, here of at least 0.1: relative 1e-5."""
    options, limit = LIMITS[name]
    model = nnxp.Model(
        [nnxp.layers.Dense(5), nnxp.layers.Tanh(), nnxp.layers.Dense(2)],
        loss=nnxp.losses.MeanSquaredError(),
        optimizer=SGD(0.1, **options),
        backend=backend,
    )
    model.build((3,))
    x, y = random.standard_normal((9, 3)), random.standard_normal((9, 2))
    before, (_, found) = model.state_dict(), model.loss_and_gradients(x, y)
    weights = {key: torch.tensor(w, requires_grad=True) for key, w in before.items()}
    for key, weight in weights.items():
        weight.grad = torch.tensor(found[key])
    limit(list(weights.values()))
    torch.optim.SGD(list(weights.values()), lr=0.1).step()
    model.train_step(x, y)
    for key, w in model.state_dict().items():
        expected = weights[key].detach().numpy() - before[key]
        np.testing.assert_allclose(w - before[key], expected, rtol=1e-12 if "value" in name else 2e-5, atol=1e-15)


def test_every_optimizer_by_gradient_is_here():
    public = {getattr(optimizers, name) for name in optimizers.__all__} - {GradientOptimizer}
    here = {type(optimizer) for optimizer, _ in AGREE.values()} | {Lion}
    assert here == {kind for kind in public if issubclass(kind, GradientOptimizer)}
