"""PyTorch's activations in float64, forward and backward, from the middle to the tails."""

import numpy as np
import pytest

import nnxp
from nnxp import layers

torch = pytest.importorskip("torch")
functional = torch.nn.functional

TOLERANCE = 1e-10
"""Relative to each element, or to 1e-3 for smaller ones: both sides round at 1e-16, and PyTorch's erf cancels where
Φ is small."""

PEERS = {
    "ReLU": (layers.ReLU, functional.relu),
    "LeakyReLU": (layers.LeakyReLU, functional.leaky_relu),
    "LeakyReLU(0.3)": (lambda: layers.LeakyReLU(0.3), lambda x: functional.leaky_relu(x, 0.3)),
    "ELU": (layers.ELU, functional.elu),
    "ELU(0.7)": (lambda: layers.ELU(0.7), lambda x: functional.elu(x, 0.7)),
    "SELU": (layers.SELU, functional.selu),
    "Sigmoid": (layers.Sigmoid, torch.sigmoid),
    # not functional.hardsigmoid, whose backward has 1/6 in float32, also for float64
    "HardSigmoid": (layers.HardSigmoid, lambda x: functional.relu6(x + 3) / 6),
    "Tanh": (layers.Tanh, torch.tanh),
    "HardTanh": (layers.HardTanh, functional.hardtanh),
    "Softsign": (layers.Softsign, functional.softsign),
    "Softplus": (layers.Softplus, lambda x: functional.softplus(x, threshold=40)),  # beyond 20 it would be x
    "SiLU": (layers.SiLU, functional.silu),
    "Mish": (layers.Mish, functional.mish),
    "GELU": (layers.GELU, functional.gelu),
    "GELUTanh": (layers.GELUTanh, lambda x: functional.gelu(x, approximate="tanh")),
    "Softmax": (layers.Softmax, lambda x: functional.softmax(x, dim=-1)),
    "LogSoftmax": (layers.LogSoftmax, lambda x: functional.log_softmax(x, dim=-1)),
}


@pytest.fixture(params=["reference", "numpy"])
def backend(request) -> nnxp.Backend:
    """The specification and the kernels."""
    return nnxp.get_backend("numpy", dtype="float64", kernels=request.param)


def assert_agrees(found, expected):
    expected = expected.detach().numpy()
    assert found.dtype == expected.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=1e-3 * TOLERANCE)


@pytest.mark.parametrize("size", [1.0, 6.0])
@pytest.mark.parametrize("name", PEERS)
def test_forward_and_backward(name, size, backend, random):
    make, peer = PEERS[name]
    layer = make()
    layer.build((7,), backend)
    x, dy = size * random.standard_normal((40, 7)), random.standard_normal((40, 7))
    point = torch.tensor(x, requires_grad=True)
    expected = peer(point)
    expected.backward(torch.tensor(dy))
    assert_agrees(layer.forward(x, training=True), expected)
    assert_agrees(layer.backward(dy), point.grad)


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "ELU", "SELU", "HardSigmoid", "HardTanh", "Softsign", "GELU"])
def test_at_kinks(name, backend):
    """The same derivative is chosen."""
    make, peer = PEERS[name]
    x = np.array([[0.0, 1.0, -1.0, 3.0, -3.0]])
    layer = make()
    layer.build((5,), backend)
    point = torch.tensor(x, requires_grad=True)
    expected = peer(point)
    expected.backward(torch.ones(1, 5, dtype=torch.float64))
    assert_agrees(layer.forward(x, training=True), expected)
    assert_agrees(layer.backward(np.ones((1, 5))), point.grad)


def test_hardsigmoid(backend, random):
    """By its own name: the same values, and slopes to float32's 1/6."""
    layer = layers.HardSigmoid()
    layer.build((7,), backend)
    x = 3 * random.standard_normal((40, 7))
    point = torch.tensor(x, requires_grad=True)
    expected = functional.hardsigmoid(point)
    expected.sum().backward()
    assert_agrees(layer.forward(x, training=True), expected)
    np.testing.assert_allclose(layer.backward(np.ones_like(x)), point.grad.numpy(), rtol=1e-7)


def test_every_activation_has_a_peer():
    """PyTorch has no step; Linear is the identity."""
    made = {type(make()) for make, _ in PEERS.values()}
    assert made | {layers.Step, layers.Linear} == {
        getattr(layers.activations, name) for name in layers.activations.__all__
    }
