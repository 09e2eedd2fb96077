"""What the README shows is what a reader gets."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

import nnxp
from nnxp.cli import main
from nnxp.errors import BackendError, GradientError
from nnxp.ops.cuda.host import compiler

TEXT = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
ACCURACY = float(re.search(r"test accuracy (\d+\.\d)%", TEXT)[1]) / 100
BOOK = """
X, y = nnfs.datasets.spiral_data(samples=100, classes=3)
dense = Layer_Dense(2, 3)
softmax = Activation_Softmax()
dense.forward(X)
softmax.forward(dense.output)
outputs = softmax.output
"""
# Another BLAS adds in another order, and 150 epochs let that grow: four of the 359 test images either way.
OTHER_MACHINES = 4 / 359


def test_the_python_version_gives_what_the_command_gives(capsys):
    code, _, _, _ = CODE
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert float(re.search(r"'accuracy': ([0-9.]+)", printed)[1]) == pytest.approx(ACCURACY, abs=OTHER_MACHINES)


def test_the_network_shown_reads_images():
    _, code, _, _ = CODE
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    train, _, test = nnxp.data.digits()
    loss, optimizer = nnxp.losses.CategoricalCrossentropy(), nnxp.optimizers.AdamW(0.005)
    model = nnxp.Model(names["network"], loss=loss, optimizer=optimizer, metrics=["accuracy"])
    model.fit(*train, epochs=2, batch_size=32, progress="off")
    assert model.evaluate(*test)["accuracy"] > 0.9


def test_the_mistake_shown_is_caught_in_the_words_shown():
    _, _, code, _ = CODE
    with pytest.raises(GradientError) as caught:
        exec(compile(code, "README.md", "exec"), {})
    shown = re.search(r"^GradientError: (.*?)```", TEXT, flags=re.MULTILINE | re.DOTALL)[1]
    assert str(caught.value) == " ".join(shown.split())


def test_a_script_of_the_book_runs_below_the_lines_shown():
    _, _, _, head = CODE
    names: dict[str, object] = {}
    exec(compile(head + BOOK, "README.md", "exec"), names)
    assert names["outputs"].shape == (300, 3)


def _has_compiler():
    try:
        return bool(compiler())
    except BackendError:
        return False


def test_the_commands_work_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = re.search(r"&& nnxp (train .*)", TEXT)[1]
    others = [line for line in re.findall(r"^\$ nnxp ([^|\n]*)", TEXT, flags=re.MULTILINE) if "cupy" not in line]
    assert len(others) == 5
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for command in (first, *others):
            if "numpy/cuda" not in command or _has_compiler():
                assert main(shlex.split(command)) == 0
    shown = float(re.search(r"test accuracy (\d+\.\d)%", printed.getvalue())[1]) / 100
    assert shown == pytest.approx(ACCURACY, abs=OTHER_MACHINES)
    for heading in re.findall(r"^(?:op by op|step by step),.*", TEXT, flags=re.MULTILINE):
        assert heading in printed.getvalue().splitlines()
    assert {path.name for path in tmp_path.iterdir()} == {"digits.png", "digits.safetensors"}
