"""Those who need nothing but NumPy and scikit-learn compute what the book's code computes in float64."""

from dataclasses import replace

import numpy as np
import pytest

from nnxp.bench import CONTENDERS, WORKLOADS
from nnxp.bench._epochs import Epochwise
from nnxp.bench._nnxp import Nnxp
from nnxp.bench.book import Book
from nnxp.bench.contenders import chosen
from nnxp.bench.workloads import named
from nnxp.errors import ConfigurationError

STEPS = 20
FLOAT32 = 2e-5
"""Relative: twenty steps in single precision."""


def exact(workload, **options):
    return Book(replace(workload, what="step"), dtype="float64", **options).losses(STEPS)


@pytest.mark.parametrize("name", ["W1", "W2", "W4"])
class TestLosses:
    def test_book(self, name):
        losses = Book(WORKLOADS[name]).losses(STEPS)
        np.testing.assert_allclose(losses, exact(WORKLOADS[name]), rtol=FLOAT32)
        assert losses[-1] < losses[0]

    @pytest.mark.parametrize("kernels", ["numpy", "reference"])
    def test_nnxp(self, name, kernels):
        np.testing.assert_allclose(Nnxp(WORKLOADS[name], kernels).losses(STEPS), exact(WORKLOADS[name]), rtol=FLOAT32)

    def test_nnxp_fit(self, name):
        workload = named(name, "fit").one_batch
        np.testing.assert_allclose(Nnxp(workload).losses(STEPS), exact(workload), rtol=FLOAT32)

    @pytest.mark.parametrize("what", ["predict", "evaluate"])
    def test_nnxp_asked(self, name, what):
        workload = named(name, what)
        first = exact(replace(workload, l2=0.0))[0]
        assert Nnxp(workload).losses(STEPS) == [pytest.approx(first, rel=FLOAT32)]

    def test_sklearn(self, name):
        pytest.importorskip("sklearn")
        from nnxp.bench._sklearn import Sklearn

        workload = replace(WORKLOADS[name], l2=0.0)
        expected = exact(workload, early_epsilon=True)
        np.testing.assert_allclose(Sklearn(workload).losses(STEPS), expected, rtol=FLOAT32)


def test_the_two_forms_of_adam_differ():
    late, early = exact(WORKLOADS["W4"]), exact(WORKLOADS["W4"], early_epsilon=True)
    assert late[0] == early[0]
    assert abs(late[-1] / early[-1] - 1) > 5 * FLOAT32


@pytest.mark.parametrize("what", ["step", "fit", "predict", "evaluate"])
def test_nnxp_trains_as_many_steps_as_it_is_told(what):
    contender = Nnxp(named("W2", what))
    contender.train(32)
    assert contender.model.step == (32 if what in ("step", "fit") else 0)


def test_the_book_goes_through_all_batches(monkeypatch):
    contender = Book(named("W2", "fit"))
    seen = []
    monkeypatch.setattr(contender, "update", lambda x, y: seen.append((x[0, 0], len(y))))
    contender.train(32)
    assert {length for _, length in seen} == {128}
    assert [first for first, _ in seen[:16]] == contender.x[::128, 0].tolist()
    assert seen[:16] == seen[16:]


class Counting(Epochwise):
    """Notes what it is told to fit."""

    def losses(self, steps):
        return []

    def fit(self, x, y, epochs):
        self.fitted = [*getattr(self, "fitted", []), (len(x) // self.batch, len(y) // self.batch, epochs)]


@pytest.mark.parametrize(
    ("name", "what", "steps", "expected"),
    [
        ("W1", "step", 250, [(100, 100, 2), (50, 50, 1)]),
        ("W1", "step", 5, [(5, 5, 1)]),
        ("W2", "step", 41, [(41, 41, 1)]),
        ("W2", "fit", 32, [(16, 16, 2)]),
        ("W1", "fit", 7, [(1, 1, 7)]),
    ],
)
def test_epochs_of_copies(name, what, steps, expected):
    contender = Counting(named(name, what))
    contender.train(steps)
    assert contender.fitted == expected
    assert contender.shuffles == (what == "fit")


class TestChosen:
    def test_all_few_and_named(self):
        names = [entry.name for entry in CONTENDERS]
        assert [entry.name for entry in chosen(None)] == names
        assert names[:5] == ["floor", "book", "nnxp", "nnxp numba", "nnxp reference"]
        few = ["floor", "book", "nnxp", "nnxp numba", "torch", "jax", "sklearn"]
        assert [entry.name for entry in chosen(None, swept="step")] == few
        assert [entry.name for entry in chosen(None, swept="fit")] == [*few, "keras"]
        assert [entry.name for entry in chosen(["nnxp", "floor"])] == ["floor", "nnxp"]

    def test_unknown(self):
        with pytest.raises(ConfigurationError, match="no contender 'caffe'; there are 'floor', 'book'"):
            chosen(["nnxp", "caffe"])
