"""The scripts in examples/: each runs on every backend, prints what it says, and draws a picture."""

import importlib
import inspect
import runpy
import struct
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import nnxp.compat.nnfs as nnfs
from nnxp.errors import BackendError, ConfigurationError

Image = pytest.importorskip("PIL.Image")  # matplotlib brings it

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("[!_]*.py"))
TABLES = {
    "binary_logistic_regression": "epoch accuracy loss data loss penalty learning rate",
    "derivative": "x forward central exact",
    "layer": "step loss",
    "network": "epoch training loss validation accuracy",
    "neuron": "x0 x1 w·x + b step sigmoid ReLU own sigmoid softsign",
    "random_search": "iteration loss accuracy",
    "sine": "epoch loss accuracy",
    "sine_initialization": "initial weights seed loss accuracy",
}
BOOK = [
    "epoch: 0, acc: 0.500, loss: 0.693 (data_loss: 0.693, reg_loss: 0.000), lr: 0.001",
    "epoch: 100, acc: 0.630, loss: 0.674 (data_loss: 0.673, reg_loss: 0.001), lr: 0.0009999505024501287",
]


@pytest.fixture
def example(monkeypatch):
    """A function that imports an example."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module


@pytest.fixture
def tiny_mnist(tmp_path):
    """A folder with files like those of MNIST, and images whose class is where they are bright."""
    random = np.random.default_rng(0)
    for part, rows in (("train", 600), ("t10k", 100)):
        labels = np.arange(rows, dtype=np.uint8) % 10
        images = random.integers(0, 100, size=(rows, 28, 28), dtype=np.uint8)
        images[np.arange(rows), 2 * labels] = 255
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (tmp_path / f"{part}-{name}-ubyte").write_bytes(header + array.tobytes())
    return tmp_path


@pytest.fixture(autouse=True)
def leave_the_arithmetic_alone():
    """Other tests find NumPy chosen."""
    yield
    nnfs.init("numpy")


def looks_like_a_picture(path, kind="PNG"):
    """Whether a file is an image of a sensible size with something on it."""
    with Image.open(path) as image:
        width, height = image.size
        colours = image.convert("RGB").getcolors(maxcolors=2**20)
        return image.format == kind and width >= 500 and height >= 150 and len(colours) > 3


def short(run):
    """What makes a run short, where there is something to shorten."""
    return {"epochs": 3} if "epochs" in inspect.signature(run).parameters else {}


@pytest.mark.parametrize("script", SCRIPTS)
def test_runs_on_every_backend(script, backend, example, tmp_path, capsys):
    if script.startswith("moons"):
        pytest.importorskip("sklearn")
    if script == "digits_convolution" and backend.name == "jax":
        pytest.skip("JAX compiles each op of it by itself, for a minute; test_image_layers.py has smaller ones")
    run, picture = example(script).run, tmp_path / "picture.png"
    try:
        result = run(backend, picture, **short(run))
    except BackendError as error:
        if "has no float64" not in str(error):
            raise
        pytest.skip(str(error))
    lines = capsys.readouterr().out.splitlines()
    assert f"picture: {picture}" in lines
    assert looks_like_a_picture(picture)
    if script in TABLES:
        start = [" ".join(line.split()) for line in lines].index(TABLES[script])
        rows = lines[start + 1 :]
        for row in result if script != "derivative" else result[:2]:
            first = row if isinstance(row, float) else row[0]
            shown = f"{first:.6f}" if isinstance(first, float) else str(first)
            assert shown in rows.pop(0)


@pytest.mark.parametrize("script", SCRIPTS)
class TestCommandLine:
    @pytest.fixture(autouse=True)
    def elsewhere(self, monkeypatch, tmp_path):
        """Where a picture that should not have been drawn does no harm."""
        monkeypatch.chdir(tmp_path)

    def test_help_says_what_it_shows(self, script, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", [script, "--help"])
        assert call(script, monkeypatch) == 0
        shown = " ".join(capsys.readouterr().out.split())
        first = (EXAMPLES / f"{script}.py").read_text(encoding="utf-8").splitlines()[0]
        assert first.startswith('"""')
        assert first.strip('"') in shown
        assert "--backend" in shown
        assert f"where the picture goes ({script}.png)" in shown

    def test_a_backend_that_is_not_there(self, script, monkeypatch):
        if script.startswith("moons"):
            pytest.importorskip("sklearn")
        monkeypatch.setattr(sys, "argv", [script, "--backend", "abacus"])
        assert str(call(script, monkeypatch)).startswith("BackendError: There is no backend 'abacus'. Usable here: ")

    def test_an_unknown_option(self, script, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", [script, "--bakcend", "numpy"])
        assert call(script, monkeypatch) == 2
        assert "--bakcend" in capsys.readouterr().err


def call(script, monkeypatch):
    """The exit code of a script, run as from a shell."""
    monkeypatch.syspath_prepend(EXAMPLES)
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(EXAMPLES / f"{script}.py"), run_name="__main__")
    return caught.value.code


def test_the_gallery_names_every_script():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [script for script in SCRIPTS if f"{script}.py" not in page] == []


# -- what they show is so


def test_slopes(example, tmp_path):
    rows = example("derivative").run("numpy", tmp_path / "a.png")
    assert [row[:2] for row in rows[:2]] == [("1.0", "4.0001999999987845"), ("2.0", "8.000199999998785")]
    partial, chain, neuron = rows[2:4], rows[4], rows[5:]
    assert [found for _, found, _ in partial] == pytest.approx([exact for *_, exact in partial], abs=1e-6)
    assert chain[2:] == pytest.approx((48, 48), rel=1e-6)
    assert [name for name, *_ in neuron] == ["x0", "x1", "x2", "w0", "w1", "w2", "b"]
    assert [found for _, _, found in neuron] == pytest.approx([by_hand for _, by_hand, _ in neuron], abs=1e-6)


def test_a_neuron(backend, example, tmp_path, capsys):
    rows = example("neuron").run(backend, tmp_path / "a.png")
    for x0, x1, z, step, sigmoid, relu, own, softsign in rows:
        weights = [rows[2][2] - rows[0][2], rows[1][2] - rows[0][2]]
        assert all(-1 <= w <= 1 for w in weights)
        assert z == pytest.approx(weights[0] * x0 + weights[1] * x1 + rows[0][2], abs=1e-6)
        assert (step, relu) == (float(z > 0), max(z, 0.0))
        assert own == pytest.approx(sigmoid, abs=1e-6)
        assert sigmoid == pytest.approx(1 / (1 + np.exp(-z)), abs=1e-6)
        assert softsign == pytest.approx(z / (1 + abs(z)), abs=1e-6)
    shown = capsys.readouterr().out
    assert "and: [0, 0, 0, 1], expected" in shown
    assert shown.count("e-05 at most") + shown.count("e-06 at most") == 2


def test_a_layer_finds_the_weights(backend, example, tmp_path, capsys):
    losses = example("layer").run(backend, tmp_path / "a.png", 200)
    assert len(losses) == 200
    assert losses[0] > 1
    assert losses[-1] < 1e-4
    assert "100 samples as a batch and one at a time: outputs differ by " in capsys.readouterr().out


def test_the_batch_of_a_layer_is_its_rows(backend, example):
    layer, initializers = example("layer"), importlib.import_module("nnxp.initializers")
    dense = importlib.import_module("nnxp.layers").Dense(2, weight_initializer=initializers.Normal(1.0))
    dense.build((3,), backend)
    x = np.random.default_rng(0).standard_normal((5, 3))
    rows = np.concatenate([backend.to_numpy(dense.forward(backend.asarray(row[None]))) for row in x])
    np.testing.assert_allclose(backend.to_numpy(dense.forward(backend.asarray(x))), rows, atol=1e-6)
    before = backend.to_numpy(dense.weights)
    dense.backward(backend.asarray(np.ones((5, 2))))
    layer.optimize(dense, 0.5)
    np.testing.assert_allclose(backend.to_numpy(dense.weights), before - 0.5 * x.T @ np.ones((5, 2)), atol=1e-5)


def test_random_search_only_improves(backend, example, tmp_path):
    rows = example("random_search").run(backend, tmp_path / "a.png", 60)
    assert rows[0][0] == 0
    assert len(rows) > 10
    assert all(later[0] > row[0] and later[1] < row[1] for row, later in pairwise(rows))


def test_the_spiral_is_learned_on_numpy(example, tmp_path, capsys):
    rows = example("binary_logistic_regression").run("numpy", tmp_path / "a.png", 5_001)
    epoch, accuracy, loss, data_loss, penalty, rate = rows[-1]
    assert (epoch, rate) == (5_000, pytest.approx(0.001 / (1 + 5e-7 * 5_000)))
    assert accuracy > 0.8  # the run is chaotic
    assert penalty > 0.01
    assert loss == pytest.approx(data_loss + penalty)
    assert "two outputs at once: on arm 1? " in capsys.readouterr().out


def test_chapter_16_begins_as_in_the_book(backend, example, tmp_path):
    lines = example("binary_logistic_regression_book").run(backend, tmp_path / "a.png", 101)
    assert lines[:-1] == BOOK
    assert lines[-1].startswith("validation, acc: ")


@pytest.mark.parametrize("loss", ["squared", "crossentropy"])
def test_digits_are_learned_on_numpy(example, tmp_path, capsys, loss):
    rows = example("network").run("numpy", tmp_path / "a.png", 20, loss)
    assert [epoch for epoch, *_ in rows] == list(range(1, 21))
    assert 0.5 < rows[0][1] < 10  # a mean over samples
    assert rows[-1][1] < 0.5 * rows[0][1]
    assert rows[-1][2] > 0.9
    assert "the first test image is read as 1, and it is 1" in capsys.readouterr().out
    assert looks_like_a_picture(tmp_path / "a_images.png")


@pytest.mark.parametrize("data", ["mnist", "fashion-mnist"])
def test_a_network_reads_a_folder(backend, example, tmp_path, tiny_mnist, capsys, data):
    images = tmp_path / "b.png"
    example("network").run(backend, tmp_path / "a.png", 2, data=data, data_folder=tiny_mnist, images=images)
    name = "0" if data == "mnist" else "T-shirt/top"
    assert f"and it is {name}\n" in capsys.readouterr().out
    assert looks_like_a_picture(images)


def test_the_digits_have_no_folder(example, tmp_path):
    with pytest.raises(ConfigurationError, match="--data-folder is for mnist and fashion-mnist"):
        example("network").run("numpy", tmp_path / "a.png", 1, data_folder=tmp_path)


def test_the_sine_is_learned_on_numpy(example, tmp_path, capsys):
    rows = example("sine").run("numpy", tmp_path / "a.png", 400, animation=tmp_path / "a.gif")
    assert rows[-1][0] == 400
    assert rows[-1][1] < 2e-3
    assert looks_like_a_picture(tmp_path / "a.gif", "GIF")
    with Image.open(tmp_path / "a.gif") as animation:
        assert 40 <= animation.n_frames <= 60
    assert (tmp_path / "a.gif").stat().st_size < 500_000
    assert f"animation: {tmp_path / 'a.gif'}" in capsys.readouterr().out


def test_other_losses_and_sizes_of_the_sine(backend, example, tmp_path):
    rows = example("sine").run(backend, tmp_path / "a.png", 30, "absolute", (8,))
    assert rows[-1][1] < rows[0][1]


def test_initial_weights_decide_on_numpy(example, tmp_path):
    """0.1 and Glorot learn each time, 0.01 does not; what He does is left open."""
    rows = example("sine_initialization").run("numpy", tmp_path / "a.png", 2000)
    worst = {}
    for name, _, loss, _ in rows:
        worst[name] = max(loss, worst.get(name, 0.0))
    assert worst["0.01 · N(0, 1)"] == pytest.approx(0.031, abs=0.002)
    assert worst["0.1 · N(0, 1)"] < 5e-4
    assert worst["Glorot uniform"] < 5e-4


def test_convolutions_read_the_digits(example, tmp_path, capsys):
    """Of the fixed test part, by the median of five seeds."""
    run = example("digits_convolution").run
    accuracies = [run("numpy", tmp_path / "digits.png", epochs=15, seed=seed) for seed in range(5)]
    assert np.median(accuracies) >= 0.985
    assert f"test accuracy: {accuracies[-1]:.1%} of 359" in capsys.readouterr().out


def test_a_mean_of_words_tells_the_topic(backend, example, tmp_path, capsys):
    """Chance is a third; texts with few words of their topic cannot be told."""
    assert example("text").run(backend, tmp_path / "text.png", epochs=15) >= 0.95
    assert "is about" in capsys.readouterr().out
