"""Chapter 16 of *Neural Networks from Scratch*: binary logistic regression on the spiral, digit for digit."""

import importlib
from pathlib import Path

import pytest
from numpy.lib.introspect import opt_func_info

pytest.importorskip("matplotlib")

EXAMPLES = Path(__file__).parents[2] / "examples"
LINES = """
epoch: 0, acc: 0.500, loss: 0.693 (data_loss: 0.693, reg_loss: 0.000), lr: 0.001
epoch: 100, acc: 0.630, loss: 0.674 (data_loss: 0.673, reg_loss: 0.001), lr: 0.0009999505024501287
epoch: 200, acc: 0.625, loss: 0.669 (data_loss: 0.668, reg_loss: 0.001), lr: 0.0009999005098992651
epoch: 300, acc: 0.645, loss: 0.665 (data_loss: 0.663, reg_loss: 0.002), lr: 0.000999850522346909
epoch: 400, acc: 0.650, loss: 0.659 (data_loss: 0.657, reg_loss: 0.002), lr: 0.0009998005397923115
epoch: 500, acc: 0.675, loss: 0.648 (data_loss: 0.644, reg_loss: 0.004), lr: 0.0009997505622347225
epoch: 1500, acc: 0.810, loss: 0.502 (data_loss: 0.464, reg_loss: 0.038), lr: 0.0009992510613295335
epoch: 4500, acc: 0.905, loss: 0.363 (data_loss: 0.305, reg_loss: 0.058), lr: 0.0009977555488927658
""".strip().splitlines()
"""As the book prints them."""


@pytest.fixture
def run(monkeypatch, tmp_path):
    """A function that runs the example and gives its printed lines: ``run(backend, epochs)``."""
    monkeypatch.syspath_prepend(EXAMPLES)
    example = importlib.import_module("binary_logistic_regression_book")
    return lambda backend, epochs: example.run(backend, tmp_path / "picture.png", epochs)


def test_all_epochs_on_numpy(run):
    """The digits are those of NumPy's exponential for AVX2 and AVX-512, which agree; others round otherwise."""
    used = opt_func_info(func_name="^exp$", signature="float32")["exp"]["ff"]["current"]
    if used.startswith("baseline"):
        pytest.skip(f"NumPy's exponential is the one of {used} here: its last bits differ")
    lines = run("numpy", 10_001)
    assert set(LINES) <= set(lines)
    assert len(lines) == 102
    assert lines[-2].startswith("epoch: 10000, acc: 0.945, loss: 0.260 (data_loss: 0.204, reg_loss: 0.056), ")
    assert lines[-1] == "validation, acc: 0.920, loss: 0.237"  # on a second draw of the same stream


def test_first_epochs_on_every_backend(run, backend):
    """Roundings are each library's own. In PyTorch's and JAX's, a sample ends on the other side of a ReLU at epoch 107,
    which the third decimal shows from epoch 300 on.
    """
    assert run(backend, 300)[:-1] == LINES[:3]


def test_end_on_every_backend(run, backend):
    """The run is chaotic from epoch 600 on, but it learns wherever it goes."""
    if "no_float64" in str(backend.device):
        pytest.skip("ten thousand epochs: in float32, the strict namespace's devices round alike")
    line = run(backend, 10_001)[-2]
    assert line.startswith("epoch: 10000, ")
    assert 0.85 <= float(line.split("acc: ")[1].split(",")[0]) <= 1.0
