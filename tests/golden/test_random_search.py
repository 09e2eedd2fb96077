"""Chapter 6 of *Neural Networks from Scratch*: random search on the spiral, 71 improvements."""

import importlib
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

EXAMPLES = Path(__file__).parents[2] / "examples"
THIRD, MORE = 100 / 300, 109 / 300
FIRST = [
    (0, 1.1008677, THIRD),
    (1, 1.0994315, THIRD),
    (2, 1.0991219, THIRD),
    (3, 1.0986339, THIRD),
    (4, 1.0986199, THIRD),
    (5, 1.0984716, MORE),
    (18, 1.0983391, THIRD),
    (27, 1.0982698, THIRD),
]
"""Iteration, loss, accuracy."""
NEXT = (31, 1.0982264)
TWO_ULP = 2.5e-7
"""Two units in the last place of float32 above 1: exponentials round differently with other instruction sets."""


@pytest.fixture
def search(monkeypatch, tmp_path):
    """A function that runs the example: ``search(backend, iterations)``."""
    monkeypatch.syspath_prepend(EXAMPLES)
    example = importlib.import_module("random_search_book")
    return lambda backend, iterations: example.run(backend, tmp_path / "picture.png", iterations)


def check(found):
    assert [row[0] for row in found[: len(FIRST)]] == [row[0] for row in FIRST]
    assert [row[2] for row in found[: len(FIRST)]] == [row[2] for row in FIRST]
    losses = [loss for _, loss, _ in [*FIRST, (*NEXT, None)]]
    assert [row[1] for row in found[: len(losses)]] == pytest.approx(losses, rel=0, abs=TWO_ULP)
    assert found[len(FIRST)][0] == NEXT[0]


def test_all_iterations_on_numpy(search, capsys):
    found = search("numpy", 10_000)
    check(found)
    assert len(found) == 71
    assert found[-1][0] == 5415
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("New set of weights found, iteration: 0 loss: 1.1008")
    assert "71 improvements" in lines


def test_draws_are_rounded_first(search):
    """The digits above hardly feel it, but the book's package does so."""
    assert importlib.import_module("random_search_book").normal((2, 3)).dtype == "float32"


def test_first_iterations_on_every_backend(search, backend):
    check(search(backend, 32))
