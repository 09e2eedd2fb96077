"""Convolutions and poolings against loops over every index, in float64: all kernels, strides, paddings and sizes.

The loops know nothing of matrices or of slices; margins are elements that are not there. A gradient is what the loops
say: each product in the forward pass gives one term to each gradient.
"""

from itertools import product

import numpy as np
import pytest

import nnxp
from nnxp.ops.reference.windows import fold, grid, inside, unfold

SIZES = [(5, 4), (7, 7), (1, 6)]
WINDOWS = [(1, 1), (2, 2), (3, 3), (3, 2), (1, 3)]
PADDINGS = ["valid", "same", (1, 1), (0, 2)]
GEOMETRIES = [
    (size, window, strides, padding)
    for size, window, strides, padding in product(SIZES, WINDOWS, [(1, 1), (2, 2), (3, 3), (1, 2), (3, 1)], PADDINGS)
    if min(count for count, *_ in grid(size, window, strides, padding)) > 0
]
TOLERANCE = 1e-12
"""Sums of at most some hundred products of order one, in float64."""

everywhere = pytest.mark.parametrize("kernels", ["reference", "numpy"])


@pytest.fixture
def ops(kernels):
    return nnxp.get_backend("numpy", dtype="float64", kernels=kernels).ops


def margin(length, window, stride, padding):
    """How many windows there are, and where the first one begins: from the words of TensorFlow's documentation."""
    if padding == "valid":
        return len(range(0, length - window + 1, stride)), 0
    if padding == "same":
        count = len(range(0, length, stride))
        rest = length % stride
        added = max(window - stride, 0) if rest == 0 else max(window - rest, 0)
        return count, added // 2
    return len(range(-padding, length + padding - window + 1, stride)), padding


def positions(size, window, strides, padding):
    """Output place, place in the window and pixel, for every pixel that some window sees."""
    paddings = (padding, padding) if isinstance(padding, str) else padding
    (h, top), (w, left) = (margin(*axis) for axis in zip(size, window, strides, paddings, strict=True))
    for r, s, i, j in product(range(h), range(w), range(window[0]), range(window[1])):
        row, column = r * strides[0] + i - top, s * strides[1] + j - left
        if 0 <= row < size[0] and 0 <= column < size[1]:
            yield (r, s), (i, j), (row, column)


def grid_of(size, window, strides, padding):
    paddings = (padding, padding) if isinstance(padding, str) else padding
    return tuple(margin(*axis)[0] for axis in zip(size, window, strides, paddings, strict=True))


def assert_close(found, expected, geometry):
    assert found.shape == expected.shape, geometry
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE, err_msg=str(geometry))


@everywhere
def test_convolution(ops, random):
    for geometry in GEOMETRIES:
        size, window, strides, padding = geometry
        x, w, b = (random.standard_normal(shape) for shape in ((2, *size, 2), (*window, 2, 3), (3,)))
        dy = random.standard_normal((2, *grid_of(*geometry), 3))
        y, dx, dw, db = np.zeros_like(dy) + b, np.zeros_like(x), np.zeros_like(w), np.zeros_like(b)
        for n, o in product(range(2), range(3)):
            db[o] += dy[n, ..., o].sum()
            for (place, inner, pixel), c in product(positions(*geometry), range(2)):
                y[(n, *place, o)] += x[(n, *pixel, c)] * w[(*inner, c, o)]
                dx[(n, *pixel, c)] += dy[(n, *place, o)] * w[(*inner, c, o)]
                dw[(*inner, c, o)] += dy[(n, *place, o)] * x[(n, *pixel, c)]
        assert_close(ops.conv2d(x, w, b, strides, padding), y, geometry)
        assert_close(ops.conv2d_bias_gradient(dy), db, geometry)
        assert_close(ops.conv2d_weight_gradient(x, dy, window, strides, padding), dw, geometry)
        assert_close(ops.conv2d_input_gradient(dy, w, size, strides, padding), dx, geometry)


def pooled():
    """Geometries in which every window has a part of the image."""
    for size, window, strides, padding in GEOMETRIES:
        if isinstance(padding, str) or all(m < k for m, k in zip(padding, window, strict=True)):
            yield size, window, strides, padding


@everywhere
def test_max_pooling(ops, random):
    """Small whole numbers, so that most windows have several largest elements; and none above 0, where the margins of
    a convolution would win."""
    for geometry in pooled():
        size, window, strides, padding = geometry
        x = random.integers(-4, 0, (2, *size, 2)).astype(float)
        dy = random.standard_normal((2, *grid_of(*geometry), 2))
        y, dx = np.full_like(dy, -np.inf), np.zeros_like(x)
        first = {}
        for n, c in product(range(2), range(2)):
            for place, _, pixel in positions(*geometry):
                if x[(n, *pixel, c)] > y[(n, *place, c)]:
                    y[(n, *place, c)] = x[(n, *pixel, c)]
                    first[n, place, c] = pixel
        for (n, place, c), pixel in first.items():
            dx[(n, *pixel, c)] += dy[(n, *place, c)]
        found = ops.max_pool2d(x, window, strides, padding)
        np.testing.assert_array_equal(found, y, err_msg=str(geometry))
        assert_close(ops.max_pool2d_backward(dy, x, found, window, strides, padding), dx, geometry)


@everywhere
def test_average_pooling(ops, random):
    for geometry in pooled():
        size, window, strides, padding = geometry
        x = random.standard_normal((2, *size, 2))
        dy = random.standard_normal((2, *grid_of(*geometry), 2))
        y, dx, count = np.zeros_like(dy), np.zeros_like(x), np.zeros(dy.shape[1:3])
        for place, _, pixel in positions(*geometry):
            count[place] += 1
            y[(slice(None), *place)] += x[(slice(None), *pixel)]
        y /= count[:, :, None]
        for place, _, pixel in positions(*geometry):
            dx[(slice(None), *pixel)] += dy[(slice(None), *place)] / count[place]
        assert_close(ops.average_pool2d(x, window, strides, padding), y, geometry)
        assert_close(ops.average_pool2d_backward(dy, size, window, strides, padding), dx, geometry)


def test_fold_is_the_transpose_of_unfold(random):
    for size, window, strides, padding in GEOMETRIES:
        x = random.standard_normal((2, *size, 2))
        p = unfold(np, x, window, strides, padding)
        q = random.standard_normal(p.shape)
        assert p.shape == (2, *grid_of(size, window, strides, padding), *window, 2)
        assert np.sum(p * q) == pytest.approx(np.sum(x * fold(np, q, size, strides, padding)))
        assert inside(np, x, size, window, strides, padding).sum() == sum(
            1 for _ in positions(size, window, strides, padding)
        )


# -- many samples: the kernels take a piece of the batch at a time


@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
@pytest.mark.parametrize("pixels", [9, 40])
def test_pieces_of_a_batch(strides, pixels, random):
    """Three pieces and a ragged one; and samples that are larger than a piece, one by one."""
    samples = 50 if pixels == 9 else 2
    specification, kernels = (nnxp.get_backend("numpy", dtype="float64", kernels=k).ops for k in ("reference", "numpy"))
    x, w, b = (random.standard_normal(shape) for shape in ((samples, pixels, pixels, 12), (3, 3, 12, 4), (4,)))
    how = strides, "same"
    y = specification.conv2d(x, w, b, *how)
    np.testing.assert_allclose(kernels.conv2d(x, w, b, *how), y, rtol=0, atol=1e-11)
    for op, arguments in (
        ("conv2d_weight_gradient", (x, y, (3, 3), *how)),
        ("conv2d_input_gradient", (y, w, (pixels, pixels), *how)),
        ("max_pool2d", (x, (3, 3), *how)),
        ("average_pool2d", (x, (3, 3), *how)),
        ("average_pool2d_backward", (y, (pixels, pixels), (3, 3), *how)),
    ):
        expected = getattr(specification, op)(*arguments)
        size = np.abs(expected).max()
        np.testing.assert_allclose(getattr(kernels, op)(*arguments), expected, rtol=0, atol=1e-13 * size, err_msg=op)


# -- special values, on every backend


def test_ties_go_to_the_first(backend, array):
    x = array([[[[1.0], [3.0], [0.0]], [[3.0], [3.0], [0.0]], [[0.0], [0.0], [-1.0]]]])
    how = (2, 2), (2, 2), "same"
    y = backend.ops.max_pool2d(x, *how)
    dx = backend.ops.max_pool2d_backward(array([[[[1.0], [2.0]], [[3.0], [4.0]]]]), x, y, *how)
    np.testing.assert_array_equal(backend.to_numpy(y)[0, :, :, 0], [[3, 0], [0, -1]])
    np.testing.assert_array_equal(backend.to_numpy(dx)[0, :, :, 0], [[0, 1, 2], [0, 0, 0], [3, 0, 4]])


def test_margins_never_count(backend, array):
    """A window of -∞ has a largest element, on the image; and so has an infinite gradient a place to go."""
    how = (2, 2), (1, 1), (1, 1)
    x = array(np.full((1, 2, 2, 1), -np.inf))
    y = backend.ops.max_pool2d(x, *how)
    dx = backend.ops.max_pool2d_backward(array(np.ones((1, 3, 3, 1))), x, y, *how)
    np.testing.assert_array_equal(backend.to_numpy(y), np.full((1, 3, 3, 1), -np.inf))
    np.testing.assert_array_equal(backend.to_numpy(dx)[0, :, :, 0], [[4, 2], [2, 1]])
    ones = array(np.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(backend.to_numpy(backend.ops.average_pool2d(ones, *how)), np.ones((1, 3, 3, 1)))


@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
def test_extreme_values(strides, backend, array):
    x = array([[[[1e30], [-1e30]], [[np.inf], [-np.inf]]]])
    how = (2, 2), strides, "valid"
    y = backend.ops.max_pool2d(x, *how)
    dy = array([[[[-np.inf]]]])
    dx = backend.ops.max_pool2d_backward(dy, x, y, *how)
    np.testing.assert_array_equal(backend.to_numpy(y).ravel(), [np.inf])
    np.testing.assert_array_equal(backend.to_numpy(dx).ravel(), [0, 0, -np.inf, 0])


def test_nan_is_not_hidden(backend, array):
    x = array([[[[np.nan], [1.0]], [[2.0], [3.0]]]])
    assert np.isnan(backend.to_numpy(backend.ops.max_pool2d(x, (2, 2), (2, 2), "valid"))).all()


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_empty_and_small_batches(batch, backend, array, random):
    """Shapes and types alone, which is what a plan asks an empty batch for."""
    ops = backend.ops
    x, w, b = (array(random.standard_normal(shape)) for shape in ((batch, 5, 4, 2), (3, 2, 2, 3), (3,)))
    dy, dp = (array(random.standard_normal((batch, 3, 2, channels))) for channels in (3, 2))
    how = (2, 2), "same"
    y = ops.max_pool2d(x, (2, 2), *how)
    for found, shape in (
        (ops.conv2d(x, w, b, *how), (batch, 3, 2, 3)),
        (ops.conv2d_bias_gradient(dy), (3,)),
        (ops.conv2d_weight_gradient(x, dy, (3, 2), *how), (3, 2, 2, 3)),
        (ops.conv2d_input_gradient(dy, w, (5, 4), *how), (batch, 5, 4, 2)),
        (y, (batch, 3, 2, 2)),
        (ops.max_pool2d_backward(dp, x, y, (2, 2), *how), (batch, 5, 4, 2)),
        (ops.average_pool2d(x, (2, 2), *how), (batch, 3, 2, 2)),
        (ops.average_pool2d_backward(dp, (5, 4), (2, 2), *how), (batch, 5, 4, 2)),
        (ops.global_average_pool(x), (batch, 2)),
        (ops.global_average_pool_backward(dp[:, 0, 0, :], (5, 4)), (batch, 5, 4, 2)),
    ):
        assert tuple(found.shape) == shape
        assert found.dtype == backend.dtype
