"""MNIST and its sister on the command line, with small files of the same format."""

import json
import re
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nnxp
from nnxp.cli import main
from nnxp.data import FASHION_CLASSES
from nnxp.data._mnist import MNIST

FOLDER = ["--data-folder", "files"]
QUICK = ["--epochs", "3", "--progress", "off"]
DATA = ["mnist", "fashion-mnist"]


def write_idx(path: Path, array: np.ndarray) -> None:
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of images whose class is where they are bright; a cache that is empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NNXP_BACKEND", raising=False)
    monkeypatch.setenv("NNXP_DATA", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    Path("files").mkdir()
    for name, rows in (("train", 600), ("t10k", 100)):
        labels = np.arange(rows, dtype=np.uint8) % 10
        images = random.integers(0, 100, size=(rows, 28, 28), dtype=np.uint8)
        images[np.arange(rows), 2 * labels] = 255
        write_idx(Path("files", f"{name}-images-idx3-ubyte"), images)
        write_idx(Path("files", f"{name}-labels-idx1-ubyte"), labels)


def last_json(text: str) -> dict:
    return json.loads(text.strip().splitlines()[-1])


@pytest.mark.parametrize("data", DATA)
def test_train_evaluate_predict_agree(data, capsys):
    assert main(["train", data, *FOLDER, *QUICK, "--save", "m", "--plot", "p.png", "--json"]) == 0
    text = capsys.readouterr().out
    trained = last_json(text)
    assert text.startswith(f"{data}: 10 classes of images")
    assert "Flatten, Dropout(0.1), Dense(512), ReLU, Dropout(0.5), Dense(10), Softmax\n500 train, 100 valid" in text
    assert main(["evaluate", "m", data, *FOLDER, "--json"]) == 0
    evaluated = last_json(capsys.readouterr().out)
    assert main(["predict", "m", data, *FOLDER, "--json"]) == 0
    rows = last_json(capsys.readouterr().out)["predictions"]
    assert trained["test"]["accuracy"] == evaluated["accuracy"] > 0.9
    assert evaluated["samples"] == len(rows) == 100
    assert np.mean([row["class"] == row["target"] for row in rows]) == evaluated["accuracy"]
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    assert not Path("cache").exists()


def test_clothes_have_names(capsys):
    assert main(["train", "fashion-mnist", *FOLDER, *QUICK, "--save", "m"]) == 0
    assert nnxp.load("m").class_names == FASHION_CLASSES
    capsys.readouterr()
    assert main(["predict", "m", "fashion-mnist", *FOLDER]) == 0
    targets = [line.split("\t")[3] for line in capsys.readouterr().out.splitlines()[1:]]
    assert targets == [*FASHION_CLASSES] * 10


def test_the_cache_is_the_default(monkeypatch, capsys):
    mirror = "http://127.0.0.1:1/"
    monkeypatch.setattr("nnxp.data._mnist.MNIST", replace(MNIST, mirrors=(mirror,)))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert main(["train", "mnist", *QUICK]) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert re.match(rf"nnxp: DownloadError: mnist: no mirror gave train-images-idx3-ubyte\.gz: {mirror} \(", error)
    assert f"{Path('cache', 'mnist').absolute()}, or say which folder has them: " in error


def test_a_result_that_cannot_be_written_is_said_before_the_download(capsys):
    assert main(["train", "mnist", "--save", "no/such/m"]) == 1
    assert "FileNotWritable: no/such/m cannot be written" in capsys.readouterr().err
    assert not Path("cache").exists()


def test_other_data_asks_nobody(capsys):
    assert main(["train", "moons", *QUICK]) == 0
    assert not Path("cache").exists()


@pytest.mark.parametrize("data", DATA)
def test_files_that_are_not_there(data, capsys):
    Path("files", "t10k-labels-idx1-ubyte").unlink()
    assert main(["train", data, *FOLDER]) == 1
    error = capsys.readouterr().err
    assert error.startswith("nnxp: FileNotFound: files lacks t10k-labels-idx1-ubyte; expected train-images-idx3-ubyte,")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["train", "digits"], ["train", "t.csv"], ["evaluate", "m", "moons"], ["predict", "m", "t.npz"]]
)
def test_a_folder_for_other_data_is_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, *FOLDER])
    error = capsys.readouterr().err
    assert f"usage: nnxp {arguments[0]}" in error
    assert f"argument --data-folder: only mnist and fashion-mnist have one, not {arguments[-1]!r}" in error


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_help_names_data_and_option(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "moons, sine, mnist, fashion-mnist, or a file: FILE.csv" in text
    assert "--data-folder DIR where the files of mnist or fashion-mnist are" in text
