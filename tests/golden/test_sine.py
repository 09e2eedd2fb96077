"""Chapter 17 of *Neural Networks from Scratch*: five runs on the sine, with the book's figures."""

import importlib
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

EXAMPLES = Path(__file__).parents[2] / "examples"
LAST = {
    "1": "epoch: 10000, acc: 0.004, loss: 0.145 (data_loss: 0.145, reg_loss: 0.000), lr: 0.001",
    "2": "epoch: 10000, acc: 0.620, loss: 0.031 (data_loss: 0.031, reg_loss: 0.000), lr: 0.001",
    "3": "epoch: 10000, acc: 0.564, loss: 0.031 (data_loss: 0.031, reg_loss: 0.000), lr: 0.0009091735612328393",
}
EARLY = {"1": 0.346, "2": 0.187, "3": 0.061}
"""The loss at epoch 100; libraries without float64 come near it."""


@pytest.fixture
def run(monkeypatch, tmp_path):
    """A function that runs the example: ``run(backend, epochs, number)``."""
    monkeypatch.syspath_prepend(EXAMPLES)
    example = importlib.import_module("sine_book")
    return lambda backend, epochs, number: example.run(backend, tmp_path / "picture.png", epochs, number)


@pytest.mark.parametrize("number", LAST)
def test_all_epochs_on_numpy(run, number):
    assert run("numpy", 10_001, number)[number][-1] == LAST[number]


@pytest.mark.parametrize("number", ["4", "5"])
def test_other_initial_weights_learn_it(run, number):
    """As the book's do in 10,000 epochs; a fifth of them is enough for a loss of 0.000."""
    assert "(data_loss: 0.000, reg_loss: 0.000)" in run("numpy", 2001, number)[number][-1]


def test_first_epochs_on_every_backend(run, backend):
    lines = run(backend, 101, "all")
    assert all(printed[-1].startswith("epoch: 100, ") for printed in lines.values())
    found = {number: float(lines[number][-1].split("loss: ")[1].split()[0]) for number in EARLY}
    assert found == pytest.approx(EARLY, rel=0.05)
