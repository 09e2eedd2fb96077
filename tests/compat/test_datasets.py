"""The data sets, against the formulas of the book's package with its float32 roundings, on the same stream."""

import numpy as np
import pytest

import nnxp.compat.nnfs as nnfs
from nnxp.compat.nnfs import datasets, sine_data, spiral_data, vertical_data
from nnxp.errors import ConfigurationError


def normal32(stream, n):
    """The book's package rounds every normal draw to float32."""
    return stream.randn(n).astype(np.float32)


def spiral(samples, classes, seed=0):
    stream, arms = np.random.RandomState(seed), []
    for k in range(classes):
        radius = np.linspace(0, 1, samples)
        angle = 2.5 * (np.linspace(4 * k, 4 * k + 4, samples) + 0.2 * normal32(stream, samples))
        arms.append(np.column_stack([radius * np.sin(angle), radius * np.cos(angle)]))
    return np.concatenate(arms)


def vertical(samples, classes, seed=0):
    stream, clouds = np.random.RandomState(seed), []
    for k in range(classes):
        first = 0.1 * normal32(stream, samples) + k / 3
        clouds.append(np.column_stack([first, 0.1 * normal32(stream, samples) + 0.5]))
    return np.concatenate(clouds)


@pytest.mark.parametrize("samples", [1, 2, 100])
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize(("make", "formula"), [(spiral_data, spiral), (vertical_data, vertical)])
def test_values(make, formula, samples, classes):
    """One float32 rounding of numbers below 1.5; the formula's own order of products may differ by another."""
    nnfs.init()
    X, y = make(samples=samples, classes=classes)
    assert X.dtype == np.float64
    np.testing.assert_array_equal(X, X.astype(np.float32))  # the coordinates were rounded, and are float64 again
    np.testing.assert_allclose(X, formula(samples, classes), rtol=0, atol=2e-7)
    assert y.dtype == np.uint8
    np.testing.assert_array_equal(y, np.repeat(np.arange(classes), samples))


def test_draws_are_rounded_before_use():
    """Without that, the angles err by 10·0.2·2⁻²⁴ and more coordinates than a handful round elsewhere."""
    nnfs.init()
    X, _ = spiral_data(1000, 3)
    assert np.mean(spiral(1000, 3).astype(np.float32) == X) > 0.99


@pytest.mark.parametrize("make", [spiral_data, vertical_data])
def test_every_call_draws_anew(make):
    nnfs.init()
    first, second = make(10, 3)[0], make(10, 3)[0]
    assert not np.any(first[1:10] == second[1:10])
    nnfs.init()
    np.testing.assert_array_equal(make(10, 3)[0], first)


def test_sine():
    state = np.random.get_state()[2]
    X, y = sine_data()
    assert X.shape == y.shape == (1000, 1)
    assert X.dtype == y.dtype == np.float64
    np.testing.assert_array_equal(X[:, 0], [i / 1000 for i in range(1000)])
    np.testing.assert_array_equal(y, np.sin(2 * np.pi * X))
    assert np.random.get_state()[2] == state  # it draws nothing
    assert sine_data(samples=10)[0].shape == (10, 1)


def test_lie_on_the_backend(begun):
    for X, y in (spiral_data(4, 2), vertical_data(4, 2), sine_data(4)):
        assert begun.owns(X)
        assert begun.owns(y)


def test_the_module_has_them():
    assert sorted(datasets.__all__) == ["sine_data", "spiral_data", "vertical_data"]
    assert nnfs.datasets is datasets


@pytest.mark.parametrize("make", [spiral_data, vertical_data])
@pytest.mark.parametrize("bad", [0, -3, 2.5, "10", None, True])
def test_bad_sizes(make, bad):
    name = make.__name__
    with pytest.raises(ConfigurationError, match=rf"{name}: samples must be a whole number of at least 1, got {bad!r}"):
        make(bad, 3)
    with pytest.raises(ConfigurationError, match=rf"{name}: classes must be a whole number of at least 1, got {bad!r}"):
        make(3, bad)


def test_more_classes_than_labels():
    with pytest.raises(
        ConfigurationError, match="spiral_data: classes must be at most 256, as labels are uint8, got 300"
    ):
        spiral_data(1, 300)


def test_a_sine_without_points():
    with pytest.raises(ConfigurationError, match="sine_data: samples must be a whole number of at least 1, got 0"):
        sine_data(0)
