"""PyTorch on the same images, in float64: convolutions and poolings, forward and backward. Its images are NCHW."""

from itertools import product
from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp.layers import AveragePool2D, Conv2D, GlobalAveragePool2D, Layer, MaxPool2D

torch = pytest.importorskip("torch")
functional = torch.nn.functional

TOLERANCE = 1e-10
"""Relative, to the largest element: both sides add some hundred products in float64."""

STRIDES = [1, 2, 3, (2, 1)]
WINDOWS = [1, 2, 3, (3, 2), (1, 4)]


@pytest.fixture(params=["reference", "numpy"])
def backend(request) -> nnxp.Backend:
    """The specification and the kernels."""
    return nnxp.get_backend("numpy", dtype="float64", kernels=request.param)


def tensor(a: Any) -> Any:
    """Images as PyTorch has them; whatever is no image as it is."""
    a = np.asarray(a)
    return torch.tensor(a.transpose(0, 3, 1, 2).copy() if a.ndim == 4 else a, requires_grad=True)


def assert_agrees(found: Any, expected: Any, where: Any) -> None:
    expected = expected.detach().numpy()
    expected = expected.transpose(0, 2, 3, 1) if expected.ndim == 4 else expected
    assert found.dtype == expected.dtype == np.float64
    assert found.shape == expected.shape, where
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max(), err_msg=str(where))


def agree(layer: Layer, x: np.ndarray, peer: Any, backend: nnxp.Backend, random: Any, where: Any) -> None:
    """The layer against a function of its input and its parameters: the result and every gradient."""
    layer.build(x.shape[1:], backend)
    for name, value in layer.parameters().items():
        setattr(layer, name, random.standard_normal(value.shape))
    points = [tensor(x)]
    for name, value in layer.parameters().items():  # weights[kh,kw,C,O] are O, C, kh, kw there
        there = value.transpose(3, 2, 0, 1).copy() if name == "weights" else value.copy()
        points.append(torch.tensor(there, requires_grad=True))
    y, expected = layer.forward(x, training=True), peer(*points)
    assert_agrees(y, expected, where)
    dy = random.standard_normal(y.shape)
    dx = layer.backward(dy)
    expected.backward(tensor(dy).detach())
    assert_agrees(dx, points[0].grad, where)
    for gradient, point in zip(layer.gradients().values(), points[1:], strict=True):
        back = point.grad.permute(2, 3, 1, 0) if point.ndim == 4 else point.grad
        np.testing.assert_allclose(gradient, back, rtol=0, atol=TOLERANCE * np.abs(gradient).max(), err_msg=str(where))


def as_pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


@pytest.mark.parametrize("padding", [0, 1, (2, 1)])
def test_convolution(padding, backend, random):
    x = random.standard_normal((3, 8, 7, 2))
    for window, strides in product(WINDOWS, STRIDES):

        def peer(x: Any, w: Any, b: Any, strides: Any = strides) -> Any:
            return functional.conv2d(x, w, b, stride=strides, padding=padding)

        layer = Conv2D(4, window, strides=strides, padding=padding)
        agree(layer, x, peer, backend, random, (window, strides))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_same_convolution(backend, random):
    """PyTorch has it for strides of 1 alone. An even window: the larger margin is at the end, there as here."""
    x = random.standard_normal((3, 8, 7, 2))
    for window in [*WINDOWS, 4]:
        layer = Conv2D(4, window, padding="same")
        agree(layer, x, lambda x, w, b: functional.conv2d(x, w, b, padding="same"), backend, random, window)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("ties", [False, True])
def test_max_pooling(padding, ties, backend, random):
    x = random.standard_normal((3, 8, 7, 2))
    x = np.round(x) if ties else x
    for window, strides in product([2, 3, (3, 2), (2, 4)], STRIDES):
        layer = MaxPool2D(window, strides=strides, padding=padding)

        def peer(x: Any, window: Any = window, strides: Any = strides) -> Any:
            return functional.max_pool2d(x, window, strides, padding)

        agree(layer, x, peer, backend, random, (window, strides))


@pytest.mark.parametrize("padding", [0, 1])
def test_average_pooling(padding, backend, random):
    """With the margins left out of the count."""
    x = random.standard_normal((3, 8, 7, 2))
    for window, strides in product([2, 3, (3, 2), (2, 4)], STRIDES):
        layer = AveragePool2D(window, strides=strides, padding=padding)

        def peer(x: Any, window: Any = window, strides: Any = strides) -> Any:
            return functional.avg_pool2d(x, window, strides, padding, count_include_pad=False)

        agree(layer, x, peer, backend, random, (window, strides))


def test_global_average_pooling(backend, random):
    x = random.standard_normal((3, 8, 7, 2))
    agree(GlobalAveragePool2D(), x, lambda x: x.mean(dim=(2, 3)), backend, random, "global")
