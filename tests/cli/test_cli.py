"""The command, called as a person calls it."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nnxp
from nnxp.cli import main
from nnxp.layers import Dense, Sigmoid, Softmax
from nnxp.losses import BinaryCrossentropy, CategoricalCrossentropy
from nnxp.optimizers import Adam

QUICK = ["--epochs", "2", "--progress", "off"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NNXP_BACKEND", raising=False)


def last_json(text: str) -> dict:
    return json.loads(text.strip().splitlines()[-1])


def test_train_evaluate_predict_agree(capsys):
    assert main(["train", "digits", *QUICK, "--save", "m.safetensors", "--plot", "p.png", "--json"]) == 0
    trained = last_json(capsys.readouterr().out)
    assert main(["evaluate", "m.safetensors", "digits", "--json"]) == 0
    evaluated = last_json(capsys.readouterr().out)
    assert main(["predict", "m.safetensors", "digits", "--json"]) == 0
    text = capsys.readouterr().out
    rows = last_json(text)["predictions"]
    assert trained["test"]["accuracy"] == evaluated["accuracy"] > 0.5
    assert evaluated["samples"] == len(rows) == 359
    assert np.mean([row["class"] == row["target"] for row in rows]) == evaluated["accuracy"]
    assert text.splitlines()[0].split("\t") == ["row", "class", "probability", "target"]
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")


def test_digits_reach_97_percent(capsys):
    accuracies = []
    for seed in range(5):
        assert main(["train", "digits", "--progress", "off", "--seed", str(seed), "--json"]) == 0
        accuracies.append(last_json(capsys.readouterr().out)["test"]["accuracy"])
    assert np.median(accuracies) >= 0.97


def test_every_metric_is_json(capsys):
    """A matrix is a list of lists, and what is no number is null."""
    model = nnxp.Model(
        [Dense(3, input_size=2), Softmax()],
        loss=CategoricalCrossentropy(),
        optimizer=Adam(),
        metrics=["accuracy", "confusion_matrix", "f1"],
    )
    model.save("three.safetensors")
    Path("three.csv").write_text("a,b,label\n" + "1,2,0\n3,4,1\n5,7,2\n")
    assert main(["evaluate", "three.safetensors", "three.csv", "--json"]) == 0
    read = last_json(capsys.readouterr().out)
    assert np.sum(read["confusion_matrix"], axis=1).tolist() == [1, 1, 1]
    assert 0 <= read["f1"] <= 1

    model = nnxp.Model(
        [Dense(1, input_size=2), Sigmoid()], loss=BinaryCrossentropy(), optimizer=Adam(), metrics=["auc"]
    )
    model.save("yes.safetensors")
    np.savez("yes.npz", x=np.eye(2, dtype="float32"), y=np.ones(2))
    assert main(["evaluate", "yes.safetensors", "yes.npz", "--json"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(line, parse_constant=pytest.fail)["auc"] is None  # NaN is no JSON


@pytest.mark.parametrize("data", ["spiral", "moons", "sine"])
@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_toy_sets_draw_their_picture(data, suffix):
    assert main(["train", data, *QUICK, "--plot", f"p.{suffix}"]) == 0
    assert Path(f"p.{suffix}").stat().st_size > 1000


def test_the_same_seed_gives_the_same_file():
    for name in ("a", "b"):
        assert main(["train", "moons", *QUICK, "--seed", "3", "--save", name]) == 0
    assert Path("a").read_bytes() == Path("b").read_bytes()


def test_backend_and_dtype(backend, capsys):
    name = backend.name
    assert main(["train", "moons", *QUICK, "--backend", name, "--save", "m"]) == 0
    assert f"; {name}, float32" in capsys.readouterr().out
    assert main(["evaluate", "m", "moons", "--dtype", "float64"]) == 0


def test_environment_chooses_the_backend(monkeypatch, capsys):
    monkeypatch.setenv("NNXP_BACKEND", "array_api_strict")
    assert main(["train", "moons", *QUICK]) == 0
    assert "array_api_strict" in capsys.readouterr().out


class TestFiles:
    def write_csv(self, path: str = "flowers.csv", rows: int = 120) -> None:
        rng = np.random.default_rng(0)
        names = np.array(["iris", "rose", "tulip"])[np.arange(rows) % 3]
        features = rng.normal(size=(rows, 4)) * 0.3 + np.arange(rows)[:, None] % 3 * 100 + 1000
        lines = [",".join([*(f"{v:.6f}" for v in row), name]) for row, name in zip(features, names, strict=True)]
        Path(path).write_text("\n".join(["a,b,c,d,flower", *lines]) + "\n")

    def test_csv_with_names(self, capsys):
        self.write_csv()
        assert (
            main(["train", "flowers.csv", "--epochs", "30", "--progress", "off", "--save", "m", "--plot", "p.svg"]) == 0
        )
        assert "test accuracy 100.0%" in capsys.readouterr().out
        model = nnxp.load("m")
        assert model.class_names == ("iris", "rose", "tulip")
        assert model.input_scaling is not None
        assert main(["evaluate", "m", "flowers.csv"]) == 0
        assert "accuracy 100.0% (120 of 120)" in capsys.readouterr().out

    def test_predict_takes_a_file_with_or_without_targets(self, capsys):
        self.write_csv()
        main(["train", "flowers.csv", "--epochs", "30", "--progress", "off", "--save", "m"])
        lines = Path("flowers.csv").read_text().splitlines()
        Path("questions.csv").write_text("\n".join(line.rsplit(",", 1)[0] for line in lines))
        capsys.readouterr()
        assert main(["predict", "m", "flowers.csv"]) == 0
        rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        assert [row[1] for row in rows[1:4]] == [row[3] for row in rows[1:4]] == ["iris", "rose", "tulip"]
        assert main(["predict", "m", "questions.csv"]) == 0
        assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()[1:4]] == ["iris", "rose", "tulip"]

    def test_labels_that_do_not_start_at_zero(self, capsys):
        rng = np.random.default_rng(0)
        y = np.repeat([3, 7], 40)
        np.savez("t.npz", x=rng.normal(size=(80, 2)) + y[:, None], y=y)
        assert main(["train", "t.npz", "--epochs", "20", "--progress", "off", "--save", "m"]) == 0
        assert nnxp.load("m").class_names == ("3", "7")
        assert main(["evaluate", "m", "t.npz"]) == 0

    def test_unknown_class(self, capsys):
        self.write_csv()
        main(["train", "flowers.csv", *QUICK, "--save", "m"])
        Path("flowers.csv").write_text(Path("flowers.csv").read_text().replace("rose", "dahlia"))
        assert main(["evaluate", "m", "flowers.csv"]) == 1
        assert "does not know the classes dahlia; it knows iris, rose, tulip." in capsys.readouterr().err

    def test_regression_predicts_in_the_unit_of_the_file(self, capsys):
        x = np.random.default_rng(0).uniform(-1, 1, size=(200, 2))
        np.savez("houses.npz", x=x, y=250_000 + 90_000 * x[:, :1] - 30_000 * x[:, 1:])
        assert main(["train", "houses.npz", "--progress", "off", "--save", "m", "--json"]) == 0
        text = capsys.readouterr().out
        assert "regression of 1 number from 2 features" in text
        test = last_json(text)["test"]
        assert "accuracy" not in test
        assert test["rmse"] == pytest.approx(test["loss"] ** 0.5, rel=1e-3)
        assert 0.99 < test["r2"] <= 1
        assert test["rmse"] == pytest.approx(54_000 * (1 - test["r2"]) ** 0.5, rel=0.3)  # std(y) is about 55,000
        assert abs(nnxp.load("m").predict([[0.5, 0.5]])[0, 0] - 280_000) < 3_000
        assert main(["predict", "m", "houses.npz"]) == 0
        rows = np.array([line.split("\t") for line in capsys.readouterr().out.splitlines()[1:]], dtype=float)
        assert rows.shape == (200, 3)
        assert np.abs(rows[:, 1] - rows[:, 2]).max() < 10_000

    def test_task(self, capsys):
        lines = [f"{row},{row % 7}" for row in range(60)]
        Path("t.csv").write_text("\n".join(lines))
        assert main(["train", "t.csv", *QUICK]) == 0
        assert "7 classes (0, 1, 2, 3, 4, and 2 more) from 1 features" in capsys.readouterr().out
        assert main(["train", "t.csv", *QUICK, "--task", "regression"]) == 0
        assert "regression of 1 number" in capsys.readouterr().out
        Path("t.csv").write_text("\n".join(line + ".5" for line in lines))
        assert main(["train", "t.csv", *QUICK, "--task", "classes"]) == 1
        assert "they are no classes" in capsys.readouterr().err

    def test_too_few_rows(self, capsys):
        Path("one.csv").write_text("1,2,a")
        assert main(["train", "one.csv"]) == 1
        assert "one.csv holds 1 samples; training, validation and test need 10 at least." in capsys.readouterr().err

    def test_a_sigmoid_answers_yes_or_no(self, capsys):
        x = np.array([[-3.0], [-2.0], [2.0], [3.0]])
        y = np.array([[0.0], [0.0], [1.0], [1.0]])
        model = nnxp.Model([Dense(1), Sigmoid()], loss=BinaryCrossentropy(), optimizer=Adam(0.1))
        model.fit(x, y, epochs=100, progress="off")
        model.save("m")
        np.savez("t.npz", x=x, y=y)
        assert main(["predict", "m", "t.npz"]) == 0
        header, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
        assert header == ["row", "class", "probability", "target"]
        assert [row[1] for row in rows] == ["0", "0", "1", "1"]


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ["train", "nope"],
                r"DataError: Data must be one of digits, spiral, moons, sine, mnist, fashion-mnist, or a file",
            ),
            (["train", "nope.csv"], r"FileNotFound: .*nope\.csv"),
            (["train", "digits", "--backend", "nope"], r"no backend 'nope'\. Usable here: numpy"),
            (["train", "digits", "--plot", "p.gif"], r"p\.gif ends in '\.gif'; a picture is saved as \.png"),
            (["train", "digits", "--save", "no/such/m"], r"FileNotWritable: no/such/m cannot be written"),
            (["train", "digits", "--seed", "-1"], r"seed must be a whole number of at least 0, got -1"),
            (["evaluate", "nope", "digits"], r"FileNotFound: There is no file nope"),
        ],
    )
    def test_one_line_and_status_1(self, arguments, message, capsys):
        assert main(arguments) == 1
        captured = capsys.readouterr()
        assert re.search(message, captured.err)
        assert captured.err.count("\n") == 1
        assert not any(Path().iterdir())

    def test_model_and_data_that_do_not_fit(self, capsys):
        main(["train", "moons", *QUICK, "--save", "m"])
        assert main(["evaluate", "m", "digits"]) == 1
        error = "nnxp: ShapeError: The data has 64 features a sample, the model was trained on 2.\n"
        assert capsys.readouterr().err == error

    @pytest.mark.parametrize("arguments", [[], ["nope"], ["train"], ["train", "digits", "--epochs", "0"]])
    def test_wrong_usage_is_status_2(self, arguments, capsys):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        assert "usage: nnxp" in capsys.readouterr().err


def command(*arguments: str, **options: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "nnxp", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(nnxp.__file__).parents[1])},
        **options,
    )


class TestInterrupt:
    @pytest.mark.parametrize("save", [True, False])
    def test_ctrl_c_says_what_was_saved(self, save):
        process = command("train", "moons", "--epochs", "1000000", "--progress", "lines", *(["--save", "m"] * save))
        assert process.stderr is not None
        assert process.stderr.readline().startswith("epoch")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in errors
        if save:
            epoch = int(re.search(r"as it was after epoch (\d+) of 1000000 was saved to m\.", errors)[1])
            model = nnxp.load("m")
            assert model.step == epoch * -(-360 // 64)
        else:
            assert "Nothing was saved" in errors


def test_a_reader_that_stops_early_is_no_error(tmp_path):
    main(["train", "digits", *QUICK, "--save", "m"])
    process = command("predict", "m", "digits")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


def test_doctor_names_every_backend_and_extra(capsys):
    assert main(["doctor", "--json"]) == 0
    text = capsys.readouterr().out
    findings = last_json(text)
    assert findings["backends"].keys() == {"numpy", "cupy", "torch", "jax", "array_api_strict"}
    assert findings["backends"]["numpy"] == "ready; ten training steps agree with the reference"
    for states in (findings["backends"], findings["extras"]):
        for state in states.values():
            assert state.startswith("ready") or "pip install" in state or "driver" in state
    assert all(f"  {name}" in text for name in findings["backends"])


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"nnxp {nnxp.__version__}\n"
