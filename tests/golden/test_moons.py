"""The two-moons tutorial and its exercises: float64 tables to all six digits, on every backend that has float64."""

import importlib
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

NETWORK = [0.432387, 0.068947]
ANNEALED = """
    0.432387 0.081007 0.075384 0.073729 0.072895 0.072376 0.072013 0.071742 0.071530 0.071357
    0.071214 0.071092 0.070986 0.070894 0.070812 0.070739 0.070673 0.070613 0.070559 0.070509
"""
DEEPER = """
    0.471144 0.065453 0.063970 0.063321 0.062937 0.062673 0.062476 0.062319 0.062190 0.062081
    0.061986 0.061902 0.061827 0.061760 0.061698 0.061641 0.061589 0.061540 0.061494 0.061451
"""
SIGMOID = [0.685280, 0.221651]


@pytest.fixture
def double(make_backend):
    """The tested backend in float64; skipped where it has none."""
    return make_backend(dtype="float64")


@pytest.fixture
def example(monkeypatch):
    """A function that imports an example."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module


def losses(rows):
    assert [step for step, _ in rows] == list(range(0, 20_000, 1000))
    return [f"{loss:.6f}" for _, loss in rows]


def test_network(double, example, tmp_path):
    """(b) It ends by jumping between two values, step by step; which one is reported, rounding decides."""
    found = losses(example("moons_network").run(double, tmp_path / "b.png", 20_000))
    assert found[:2] == [f"{loss:.6f}" for loss in NETWORK]
    assert found[-1][:6] in ("0.0713", "0.0707", "0.0708")


def test_annealing(double, example, tmp_path):
    """(e)"""
    assert losses(example("moons_annealing").run(double, tmp_path / "e.png", 20_000)) == ANNEALED.split()


def test_deeper(double, example, tmp_path):
    """(f)"""
    if double.name in ("array_api_strict", "torch"):
        pytest.skip("twenty thousand epochs: the annealed run shows that it rounds as NumPy does")
    assert losses(example("moons_deeper").run(double, tmp_path / "f.png", 20_000)) == DEEPER.split()


def test_sigmoid(double, example):
    """(g) Its first two lines are known."""
    moons, layers = example("_moons"), importlib.import_module("nnxp.layers")
    annealed = importlib.import_module("nnxp.schedules").InverseTimeDecay(0.01, 0.01)
    model = moons.network((2, 3, 3, 2), double, activation=layers.Sigmoid, learning_rate=annealed)
    rows = moons.train(model, *moons.moons(), 1001)
    assert [f"{loss:.6f}" for _, loss in rows] == [f"{loss:.6f}" for loss in SIGMOID]


@pytest.mark.parametrize(("name", "epochs"), [("moons_minibatch", 3000), ("moons_three_classes", 300)])
def test_most_are_right(name, epochs, double, example, tmp_path):
    """(d) and (h)"""
    assert example(name).run(double, tmp_path / "picture.png", epochs) >= 0.95
