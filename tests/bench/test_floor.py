"""The floor: exactly the products of a step, and values that stay numbers."""

from dataclasses import replace

import numpy as np
import pytest

from nnxp.bench import WORKLOADS, _floor, book
from nnxp.bench.workloads import named

SMALLEST_NORMAL = np.finfo(np.float32).tiny


SMALL = replace(WORKLOADS["W1"], sizes=(2, 4, 3, 5), batch=6)


@pytest.fixture
def products(monkeypatch):
    """The factors and buffers of the products that a floor is made of."""
    seen = []

    def spy(a, b, out):
        seen.append((a, b, out))
        return original(a, b, out)

    original = _floor.product
    monkeypatch.setattr(_floor, "product", spy)
    return seen


FORWARD = [
    ((128, 784), (784, 128), (128, 128)),
    ((128, 128), (128, 128), (128, 128)),
    ((128, 128), (128, 10), (128, 10)),
]
BACKWARD = [
    ((784, 128), (128, 128), (784, 128)),  # dw, and no dx in the first layer
    ((128, 128), (128, 128), (128, 128)),
    ((128, 128), (128, 128), (128, 128)),
    ((128, 128), (128, 10), (128, 10)),
    ((128, 10), (10, 128), (128, 128)),
]


@pytest.mark.parametrize(("what", "expected"), [("step", FORWARD + BACKWARD), ("predict", FORWARD)])
def test_products_of_a_step(what, expected, products):
    floor = _floor.Floor(named("W2", what))
    assert sorted((a.shape, b.shape, out.shape) for a, b, out in products) == sorted(expected)
    assert len(floor.products) == len(expected)


@pytest.mark.parametrize("inner", [1, 5])
def test_a_product_is_a_product(inner, random):
    a, b, out = random.standard_normal((4, inner)), random.standard_normal((inner, 3)), np.empty((4, 3))
    _floor.product(a, b, out)()
    np.testing.assert_allclose(out, a @ b, rtol=1e-12)


def test_each_product_comes_after_those_it_needs(products):
    """Else a step would multiply what the step before left behind, and not find it in the cache."""
    floor = _floor.Floor(SMALL)
    floor.train(1)
    assert len(products) == 8
    for a, b, out in products:
        np.testing.assert_allclose(out, a @ b, rtol=1e-5)  # as float32 rounds


def test_one_pass_over_parameters_gradients_and_moments(monkeypatch):
    monkeypatch.setattr(_floor, "CHUNK", 10)
    floor = _floor.Floor(SMALL)
    assert [len(chunk[0]) for chunk in floor.chunks] == [10, 10, 10, 10, 7]
    before = [np.concatenate(parts) for parts in zip(*floor.chunks, strict=True)]
    assert [len(flat) for flat in before] == [(2 + 1) * 4 + (4 + 1) * 3 + (3 + 1) * 5] * 4
    floor.train(1)
    p, g, m, v = (np.concatenate(parts) for parts in zip(*floor.chunks, strict=True))
    np.testing.assert_array_equal(m, before[2] + g)
    np.testing.assert_array_equal(v, before[3] + g)
    np.testing.assert_array_equal(p, before[0] + m)


def test_parameters_and_gradients_lie_side_by_side():
    """Weights are followed by their biases; where weights lie, so do their gradients."""
    floor = _floor.Floor(SMALL)
    p, g = (np.concatenate(parts) for parts in list(zip(*floor.chunks, strict=True))[:2])
    floor.train(1)
    changed = g != np.concatenate([chunk[1] for chunk in floor.chunks])
    start = 0
    for w, b in SMALL.weights():
        np.testing.assert_array_equal(p[start : start + w.size], w.reshape(-1))
        assert changed[start : start + w.size].all()
        assert not changed[start + w.size : start + w.size + b.size].any()
        start += w.size + b.size


@pytest.mark.parametrize("name", ["W1", "W4"])
def test_values_stay_numbers(name):
    """After more steps than a round has, nothing is infinite, and nothing is denormal, which would be slow."""
    floor = _floor.Floor(WORKLOADS[name])
    floor.train(3000)
    for chunk in floor.chunks:
        for flat in chunk:
            assert np.isfinite(flat).all()
            assert np.abs(flat).max() < 10
            assert (np.abs(flat[flat != 0]) >= SMALLEST_NORMAL).all()
            assert np.mean(flat == 0) < 0.01


def test_it_learns_nothing():
    assert _floor.Floor(WORKLOADS["W1"]).losses(20) == []
    assert len(book.Book(WORKLOADS["W1"]).losses(3)) == 3
