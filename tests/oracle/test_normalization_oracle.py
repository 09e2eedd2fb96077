"""PyTorch on the same features, in float64: normalization layers, running statistics, and embeddings."""

from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp.layers import BatchNorm, Dense, Embedding, Flatten, LayerNorm, RMSNorm, Softmax, Tanh
from nnxp.losses import CategoricalCrossentropy, MeanSquaredError
from nnxp.optimizers import SGD

torch = pytest.importorskip("torch")
functional = torch.nn.functional

TOLERANCE = 1e-10
"""Relative, to the largest element: float64 on both sides, and a few steps."""

SHAPES = [(6, 3), (4, 5, 3), (2, 3, 4, 3)]
MOMENTUM, EPSILON = 0.8, 0.01


@pytest.fixture(params=["reference", "numpy"])
def backend(request) -> nnxp.Backend:
    return nnxp.get_backend("numpy", dtype="float64", kernels=request.param)


def tensor(a: Any, *, gradient: bool = False) -> Any:
    return torch.tensor(np.asarray(a), requires_grad=gradient)


def assert_agrees(found: Any, expected: Any, name: str = "") -> None:
    found, expected = np.asarray(found), expected.detach().numpy()
    assert found.dtype == expected.dtype == np.float64
    assert found.shape == expected.shape, name
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max(), err_msg=name)


def channels_first(x: Any) -> Any:
    """PyTorch has channels behind the batch, and takes more axes than four as lines."""
    return torch.movedim(x, -1, 1)


def built(layer: nnxp.layers.Layer, shape: tuple[int, ...], backend: nnxp.Backend, random: Any) -> Any:
    """The layer with parameters that are neither ones nor zeros."""
    layer.build(shape[1:], backend)
    for name, array in layer.parameters().items():
        setattr(layer, name, random.uniform(0.5, 1.5, array.shape))
    return layer


def check(layer: Any, x: Any, dy: Any, expected: Any, points: list[Any], *, training: bool) -> None:
    """Output and all gradients, of x and of the parameters in their order."""
    assert_agrees(layer.forward(x, training=training), expected, "y")
    expected.backward(tensor(dy))
    dx = layer.backward(dy)
    for found, point, name in zip(
        (dx, *layer.gradients().values()), points, ("x", "scale", "offset")[: len(points)], strict=True
    ):
        assert_agrees(found, point.grad, name)


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm(shape, backend, random):
    """Some steps of training and one outside of it. PyTorch keeps 1 - momentum, and its running variance divides by
    n - 1: of each batch, n / (n - 1) times ours."""
    layer = built(BatchNorm(momentum=MOMENTUM, epsilon=EPSILON), shape, backend, random)
    n = int(np.prod(shape[:-1]))
    running = {"mean": torch.zeros(3).double(), "var": torch.ones(3).double()}
    theirs = torch.ones(3).double()  # their variance, put together from ours
    for _ in range(3):
        x, dy = random.standard_normal((2, *shape)) + 1
        points = [tensor(a, gradient=True) for a in (x, *layer.parameters().values())]
        expected = functional.batch_norm(
            channels_first(points[0]),
            running["mean"],
            running["var"],
            *points[1:],
            training=True,
            momentum=1 - MOMENTUM,
            eps=EPSILON,
        )
        before = tensor(layer.buffers()["running_var"].copy())
        check(layer, x, dy, torch.movedim(expected, 1, -1), points, training=True)
        assert_agrees(layer.buffers()["running_mean"], running["mean"], "running mean")
        batch = (tensor(layer.buffers()["running_var"].copy()) - MOMENTUM * before) / (1 - MOMENTUM)
        theirs = MOMENTUM * theirs + (1 - MOMENTUM) * batch * n / (n - 1)
        assert_agrees(theirs.numpy(), running["var"], "running variance")
    ours = tensor(layer.buffers()["running_var"].copy())
    x, dy = random.standard_normal((2, *shape))
    points = [tensor(a, gradient=True) for a in (x, *layer.parameters().values())]
    expected = functional.batch_norm(
        channels_first(points[0]), running["mean"], ours, *points[1:], training=False, eps=EPSILON
    )
    check(layer, x, dy, torch.movedim(expected, 1, -1), points, training=False)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_layer_norm(shape, training, backend, random):
    layer = built(LayerNorm(epsilon=EPSILON), shape, backend, random)
    x, dy = random.standard_normal((2, *shape)) + 1
    points = [tensor(a, gradient=True) for a in (x, *layer.parameters().values())]
    check(layer, x, dy, functional.layer_norm(points[0], (3,), *points[1:], eps=EPSILON), points, training=training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_rms_norm(shape, training, backend, random):
    layer = built(RMSNorm(epsilon=EPSILON), shape, backend, random)
    x, dy = random.standard_normal((2, *shape)) + 1
    points = [tensor(a, gradient=True) for a in (x, *layer.parameters().values())]
    check(layer, x, dy, functional.rms_norm(points[0], (3,), points[1], eps=EPSILON), points, training=training)


@pytest.mark.parametrize(
    ("layer", "peer"),
    [
        (BatchNorm(), lambda: torch.nn.BatchNorm1d(3)),
        (LayerNorm(), lambda: torch.nn.LayerNorm(3)),
    ],
    ids=["BatchNorm", "LayerNorm"],
)
def test_defaults_are_those_of_pytorch(layer, peer, backend, random):
    """ε, the first parameters, and the momentum seen from the other side."""
    layer.build((3,), backend)
    x = random.standard_normal((6, 3))
    theirs = peer().double()
    assert_agrees(layer.forward(x, training=True), theirs(tensor(x)))
    for name, buffer in layer.buffers().items():
        if name == "running_mean":
            assert_agrees(buffer, theirs.running_mean)


@pytest.mark.parametrize("shape", [(6,), (6, 4), (2, 3, 4)])
def test_embedding(shape, backend, random):
    layer = built(Embedding(7, 3), shape, backend, random)
    x, dy = random.integers(0, 7, shape), random.standard_normal((*shape, 3))
    weights = tensor(layer.weights.copy(), gradient=True)
    expected = functional.embedding(tensor(x), weights)
    expected.backward(tensor(dy))
    assert_agrees(layer.forward(x, training=True), expected)
    layer.backward(dy)
    assert_agrees(layer.gradients()["weights"], weights.grad)


def test_ten_steps_of_a_network_with_norms(backend, random):
    """A planned model beside PyTorch's modules: losses, parameters, running means; then both outside of training."""
    model = nnxp.Model(
        [Dense(8), BatchNorm(), Tanh(), Dense(6), LayerNorm(), Dense(2), RMSNorm(epsilon=EPSILON)],
        loss=MeanSquaredError(),
        optimizer=SGD(0.1, momentum=0.9),
        backend=backend,
    )
    model.build((3,))
    nn = torch.nn
    norm = nn.BatchNorm1d(8)
    peer = nn.Sequential(
        nn.Linear(3, 8), norm, nn.Tanh(), nn.Linear(8, 6), nn.LayerNorm(6), nn.Linear(6, 2), nn.RMSNorm(2, eps=EPSILON)
    ).double()
    parameters = [key for key in model.state_dict() if "running" not in key]
    for key, theirs in zip(parameters, peer.parameters(), strict=True):
        ours = model.state_dict()[key]
        theirs.data = tensor(ours.T.copy() if key.endswith("weights") else ours)
    optimizer = torch.optim.SGD(peer.parameters(), lr=0.1, momentum=0.9)
    x, y = random.standard_normal((20, 3)), random.standard_normal((20, 2))
    for step in range(10):
        optimizer.zero_grad()
        loss = functional.mse_loss(peer(tensor(x)), tensor(y))
        loss.backward()
        optimizer.step()
        assert_agrees(model.train_step(x, y), loss, f"loss of step {step}")
        for key, theirs in zip(parameters, peer.parameters(), strict=True):
            found = model.state_dict()[key]
            if key != "0.biases":  # a norm takes them away again: their gradient is roundings alone
                assert_agrees(found.T if key.endswith("weights") else found, theirs, f"{key} after step {step}")
    state = model.state_dict()
    assert_agrees(state["1.running_mean"], norm.running_mean)
    assert_agrees((state["1.running_var"] - 0.9**10) * 20 / 19 + 0.9**10, norm.running_var)
    norm.running_var = tensor(state["1.running_var"])
    assert_agrees(model.predict(x), peer.eval()(tensor(x)))


def test_ten_steps_of_words(backend, random):
    model = nnxp.Model(
        [Embedding(9, 4), Flatten(), Dense(3), Softmax()],
        loss=CategoricalCrossentropy(label_smoothing=0.1),
        optimizer=SGD(0.5),
        backend=backend,
    )
    model.build((5,))
    nn = torch.nn
    peer = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3)).double()
    state = model.state_dict()
    for theirs, ours in zip(peer.parameters(), state.values(), strict=True):
        theirs.data = tensor(ours.T.copy() if theirs.shape == ours.T.shape != ours.shape else ours)
    optimizer = torch.optim.SGD(peer.parameters(), lr=0.5)
    x, y = random.integers(0, 9, (20, 5)), random.integers(0, 3, 20)
    for step in range(10):
        optimizer.zero_grad()
        loss = functional.cross_entropy(peer(tensor(x)), tensor(y), label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        assert_agrees(model.train_step(x, y), loss, f"loss of step {step}")
        assert_agrees(model.state_dict()["0.weights"], peer[0].weight, f"table after step {step}")
