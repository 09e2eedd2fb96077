"""``nnxp parity``, called as a person calls it."""

import json
from dataclasses import replace

import numpy as np
import pytest

import nnxp.ops.numpy
from nnxp.cli import main


@pytest.fixture
def wrong_relu(monkeypatch):
    """NumPy's kernels with a ReLU that leaks."""
    right = nnxp.ops.numpy.table

    def table(ops):
        made = right(ops)
        kernels = {name: kernel for name, kernel in made.kernels.items() if name != "relu"}
        return replace(
            made, kernels=kernels, honours=made.honours - {"relu"}, relu=lambda x, out=None: np.maximum(x, 0.01 * x)
        )

    monkeypatch.setattr(nnxp.ops.numpy, "table", table)


@pytest.mark.parametrize("model", ["spiral", "moons", "sine", "digits"])
def test_the_same(model, capsys):
    command = ["parity", "numpy", "numpy/numpy", "array_api_strict", "--model", model, "--steps", "2", "--json"]
    assert main(command) == 0
    printed = capsys.readouterr()
    *lines, last = printed.out.splitlines()
    assert lines[0].startswith(f"{model}: ")
    assert lines[2] == f"2 steps of {32 if model == 'digits' else 64} samples, float32, seed 0"
    assert lines[-2].startswith("numpy/numpy is the same as numpy: op by op within 0.")
    assert lines[-1] == "array_api_strict is the same as numpy, to the last bit of 2 steps."
    assert max(map(len, lines[:-2])) <= 100
    assert printed.err == ""
    report = json.loads(last)
    assert (report["ok"], report["standard"], report["steps"]) == (True, "numpy", 2)
    assert [c["backend"] for c in report["comparisons"]] == ["numpy/numpy", "array_api_strict"]


def test_another_op(wrong_relu, capsys):
    command = ["parity", "numpy", "array_api_strict", "numpy/numpy", "--dtype", "float64", "--seed", "4", "--json"]
    assert main([*command, "--steps", "1"]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("nnxp: numpy/numpy parts from numpy in step 1, where relu makes 1.y = -0.")
    assert printed.err.count("\n") == 1
    assert "array_api_strict is the same as numpy" in printed.out
    report = json.loads(printed.out.splitlines()[-1])
    assert [c["ok"] for c in report["comparisons"]] == [True, False]
    assert report["comparisons"][1]["first_op"]["op"] == "relu"


def test_a_backend_that_cannot_be_used(capsys):
    assert main(["parity", "numpy", "array_api_strict/cuda"]) == 1
    assert capsys.readouterr().err == (
        "nnxp: BackendError: Backend 'array_api_strict' has no kernels 'cuda' here; it has: reference.\n"
    )


def test_one_backend_is_not_enough(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["parity", "numpy"])
    assert stop.value.code == 2
    assert "the following arguments are required: B" in capsys.readouterr().err
