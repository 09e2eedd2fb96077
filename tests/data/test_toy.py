"""Toy data: the formulas point by point, labels, noise, seeds."""

import math

import numpy as np
import pytest

from nnxp.data import moons, sine, spiral, vertical
from nnxp.errors import ConfigurationError

NOISY = [spiral, moons, vertical]


def test_spiral_without_noise_is_the_formula():
    x, y = spiral(5, 3, noise=0)
    for c in range(3):
        for j in range(5):
            r = j / 4
            t = 4 * c + 4 * r
            expected = (r * math.sin(2.5 * t), r * math.cos(2.5 * t))
            assert x[5 * c + j] == pytest.approx(expected, abs=1e-12)
            assert y[5 * c + j] == c


def test_noise_turns_the_spiral_and_keeps_its_radii():
    x, _ = spiral(50, 2, noise=0.7, seed=3)
    np.testing.assert_allclose(np.hypot(*x.T), np.tile(np.linspace(0, 1, 50), 2), atol=1e-12)
    assert np.abs(x - spiral(50, 2, noise=0).x).max() > 0.5


def test_moons_without_noise_are_two_half_circles():
    x, y = moons(6, noise=0)
    np.testing.assert_allclose(x, [(1, 0), (0, 1), (-1, 0), (0, 0.5), (1, -0.5), (2, 0.5)], atol=1e-12)
    assert y.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("samples", [200, 7])
def test_moons_against_scikit_learn(samples):
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.make_moons(samples, shuffle=False, noise=None)
    ours = moons(samples, noise=0)
    np.testing.assert_allclose(ours.x, x, atol=1e-15)
    np.testing.assert_array_equal(ours.y, y)


def test_sine():
    x, y = sine(8)
    half = math.sqrt(0.5)
    np.testing.assert_array_equal(x[:, 0], np.arange(8) / 8)
    np.testing.assert_allclose(y[:, 0], [0, half, 1, half, 0, -half, -1, -half], atol=1e-15)
    assert x.shape == y.shape == (8, 1)
    assert sine().x.shape == (1000, 1)
    assert y.dtype == np.float64


def test_vertical_bands():
    x, y = vertical(4000, 4, noise=0.1, seed=1)
    for c in range(4):
        band = x[y == c]
        np.testing.assert_allclose(band.mean(axis=0), (c / 3, 0.5), atol=0.01)
        np.testing.assert_allclose(band.std(axis=0), 0.1, rtol=0.05)
    np.testing.assert_array_equal(vertical(2, 2, noise=0).x, [(0, 0.5), (0, 0.5), (1 / 3, 0.5), (1 / 3, 0.5)])


def test_noise_of_the_moons_is_normal():
    noise = (moons(20_000, noise=0.5).x - moons(20_000, noise=0).x) / 0.5
    assert abs(noise.mean()) < 0.02
    assert noise.std() == pytest.approx(1, abs=0.02)
    assert np.mean(np.abs(noise) < 1) == pytest.approx(0.6827, abs=0.01)
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.03


def test_noise_of_the_spiral_is_in_the_angle():
    x, y = spiral(20_000, 2, noise=0.1)
    r = np.tile(np.linspace(0, 1, 20_000), 2)
    turn = np.exp(1j * 2.5 * 4 * (y + r)).conj() * (x[:, 1] + 1j * x[:, 0])
    angle = np.angle(turn[r > 0]) / 2.5
    assert angle.std() == pytest.approx(0.1, rel=0.03)
    assert abs(angle.mean()) < 0.002


@pytest.mark.parametrize("make", NOISY)
def test_types_and_sizes(make):
    x, y = make()
    assert x.dtype == np.float64
    assert y.dtype == np.int64
    assert x.shape == (len(y), 2)
    assert y.shape == ({moons: 200}.get(make, 300),)
    assert (np.diff(y) >= 0).all()
    assert len(set(np.bincount(y))) == 1


@pytest.mark.parametrize("make", NOISY)
def test_a_seed_is_all_the_randomness(make):
    state = np.random.get_state()[1].copy()
    first, second, again = make(seed=5).x, make(seed=6).x, make(seed=5).x
    np.testing.assert_array_equal(first, again)
    assert not np.isclose(first, second).all()
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_data_sets_of_one_seed_have_different_noise():
    centres = np.stack([np.repeat(np.arange(2), 100) / 3, np.full(200, 0.5)], axis=-1)
    noise = [moons(200, noise=1).x - moons(200, noise=0).x, vertical(100, 2, noise=1).x - centres]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spiral(0), "spiral: samples must be a whole number of at least 1, got 0"),
        (lambda: spiral(10, 2.5), "spiral: classes must be a whole number of at least 1, got 2.5"),
        (lambda: moons(noise=-0.1), "moons: noise must be a number of at least 0, got -0.1"),
        (lambda: moons(noise=math.nan), "moons: noise must be a number of at least 0, got nan"),
        (lambda: sine("9"), "sine: samples must be a whole number of at least 1, got '9'"),
        (lambda: vertical(seed=-1), "vertical: seed must be a whole number of at least 0, got -1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ConfigurationError, match=message):
        call()
