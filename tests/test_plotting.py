"""Pictures: what is drawn, from the figure's own objects; no pixel is compared."""

import os
import subprocess
import sys

import numpy as np
import pytest

from nnxp import plotting
from nnxp.errors import (
    ConfigurationError,
    DataError,
    DtypeError,
    FileNotWritable,
    MissingDependencyError,
    ShapeError,
)
from nnxp.plotting import _plane, _regression, _style

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg  # only where it is there

HISTORY = {
    "loss": [0.9, 0.5, 0.4],
    "data_loss": [0.8, 0.4, 0.3],
    "accuracy": [0.6, 0.7, 0.9],
    "val_loss": [1.0, 0.6, 0.5],
    "val_accuracy": [0.5, 0.6, 0.8],
}
IMAGES = np.linspace(0, 1, 4 * 64).reshape(4, 8, 8, 1)


def curves(axes):
    return {line.get_label(): line.get_ydata().tolist() for line in axes.get_lines()}


def texts(figure):
    return [axes.get_xlabel() for axes in figure.axes if axes.images]


def softmax(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


class TestHistory:
    def test_losses_left_and_other_metrics_right(self):
        figure = plotting.history(HISTORY, title="Digits")
        left, right = figure.axes
        assert curves(left) == {
            "training loss": [0.9, 0.5, 0.4],
            "training data loss": [0.8, 0.4, 0.3],
            "validation loss": [1.0, 0.6, 0.5],
        }
        assert curves(right) == {"training accuracy": [0.6, 0.7, 0.9], "validation accuracy": [0.5, 0.6, 0.8]}
        assert left.get_lines()[0].get_xdata().tolist() == [1, 2, 3]
        assert figure.get_suptitle() == "Digits"
        assert (left.get_title(loc="left"), right.get_title(loc="left")) == ("loss", "accuracy")

    def test_parts_have_colours_and_metrics_have_lines(self):
        left, right = plotting.history(HISTORY).axes
        style = {line.get_label(): (line.get_color(), line.get_linestyle()) for line in left.get_lines()}
        assert style["training loss"] == (_style.BLUE, "-")
        assert style["training data loss"] == (_style.BLUE, "--")
        assert style["validation loss"] == (_style.VERMILION, "-")
        assert right.get_lines()[1].get_color() == _style.VERMILION

    def test_one_panel_without_metrics(self):
        (axes,) = plotting.history({"loss": [2.0, 1.0], "data_loss": [2.0, 1.0], "val_loss": []}).axes
        assert list(curves(axes)) == ["training loss"]

    @pytest.mark.parametrize("matrix", [[[1, 0], [0, 2]], np.eye(2)], ids=["lists", "array"])
    def test_matrices_are_left_out(self, matrix):
        right = plotting.history(HISTORY | {"confusion_matrix": [matrix] * 3, "val_confusion_matrix": []}).axes[1]
        assert list(curves(right)) == ["training accuracy", "validation accuracy"]

    @pytest.mark.parametrize(
        ("values", "scale"),
        [([1.0, 0.011], "linear"), ([1.0, 0.009], "log"), ([1.0, 0.0], "linear"), ([500.0, -1.0], "linear")],
    )
    def test_scale_of_the_loss(self, values, scale):
        left, right = plotting.history({"loss": values, "accuracy": [0.001, 1.0]}).axes
        assert left.get_yscale() == scale
        assert right.get_yscale() == "linear"

    def test_one_epoch_is_a_marker(self):
        once, _ = plotting.history({name: values[:1] for name, values in HISTORY.items()}).axes
        assert {line.get_marker() for line in once.get_lines()} == {"o"}
        thrice, _ = plotting.history(HISTORY).axes
        assert {line.get_marker() for line in thrice.get_lines()} == {"None"}

    @pytest.mark.parametrize("history", [{}, {"loss": []}])
    def test_nothing_to_draw(self, history):
        with pytest.raises(DataError, match="no finished epoch"):
            plotting.history(history)


class TestDecisionBoundary:
    X = np.array([(-1.0, 0.0), (1.0, 0.0), (0.0, 2.0)])

    def test_regions_and_points(self):
        asked = []

        def predict(points):
            asked.append(points)
            return softmax(points @ np.array([[-9.0, 9.0, 0.0], [0.0, 0.0, 9.0]]))

        figure = plotting.decision_boundary(predict, self.X, [0, 1, 2], resolution=50, class_names=["a", "b", "c"])
        (axes,) = figure.axes
        assert [points.shape for points in asked] == [(2500, 2)]
        assert (asked[0].min(0) < self.X.min(0)).all()
        assert (asked[0].max(0) > self.X.max(0)).all()
        scatter = {points.get_label(): points.get_offsets().tolist() for points in axes.collections[-3:]}
        assert scatter == {"a": [[-1, 0]], "b": [[1, 0]], "c": [[0, 2]]}
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "c"]
        tints, image = _plane._tints(3), axes.images[0].get_array()
        for corner, tint in (((0, 0), tints[0]), ((0, -1), tints[1]), ((-1, 25), tints[2])):
            np.testing.assert_allclose(image[corner], tint, atol=0.01)

    def test_one_output_is_the_probability_of_class_1(self):
        figure = plotting.decision_boundary(lambda p: (p[:, :1] > 0) * 1.0, self.X, [[0], [1], [1]], resolution=9)
        image = figure.axes[0].images[0].get_array()
        np.testing.assert_allclose(image[4, 0], _plane._tints(2)[0])
        np.testing.assert_allclose(image[4, -1], _plane._tints(2)[1])
        assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["0", "1"]

    def test_the_boundary_is_where_the_lead_changes(self):
        shift = lambda p: softmax(np.stack([0 * p[:, 0], p[:, 0] - 0.25], axis=1))  # noqa: E731
        figure = plotting.decision_boundary(shift, self.X, [0, 1, 1], resolution=60)
        boundary = np.concatenate([path.vertices for path in figure.axes[0].collections[0].get_paths()])
        np.testing.assert_allclose(boundary[:, 0], 0.25, atol=0.01)

    def test_many_classes_and_a_class_that_is_nowhere(self, tmp_path):
        x = np.random.default_rng(0).normal(size=(40, 2))
        figure = plotting.decision_boundary(lambda p: np.eye(10)[np.zeros(len(p), int)], x, np.arange(40) % 10)
        styles = {
            (p.get_facecolor().tobytes(), p.get_paths()[0].vertices.tobytes()) for p in figure.axes[0].collections
        }
        assert len(styles) == 10
        plotting.save(figure, tmp_path / "many.png")

    @pytest.mark.parametrize(
        ("predict", "error", "message"),
        [
            (lambda p: np.zeros(len(p)), ShapeError, r"returned shape \(16,\), expected \(16, classes\) or \(16, 1\)"),
            (lambda p: np.zeros((3, 2)), ShapeError, r"returned shape \(3, 2\)"),
            (lambda p: np.tile([-1.0, 3.0], (len(p), 1)), DataError, "values from -1 to 3, expected probabilities"),
            (lambda p: np.full((len(p), 2), np.nan), DataError, "expected probabilities"),
        ],
    )
    def test_what_predict_returns_is_checked(self, predict, error, message):
        with pytest.raises(error, match=message):
            plotting.decision_boundary(predict, self.X, [0, 1, 1], resolution=4)

    def test_data_is_checked(self):
        with pytest.raises(ShapeError, match=r"expected x of shape \(N, 2\) and N labels, got \(3, 3\) and \(3,\)"):
            plotting.decision_boundary(softmax, np.zeros((3, 3)), [0, 1, 2])
        with pytest.raises(DataError, match=r"y must be classes 0, 1, .* got float64 of shape \(3,\)"):
            plotting.decision_boundary(softmax, self.X, [0.5, 1, 1])
        with pytest.raises(ConfigurationError, match="resolution must be a whole number of at least 1, got 0"):
            plotting.decision_boundary(softmax, self.X, [0, 1, 1], resolution=0)


def test_labels_that_the_network_does_not_know():
    half = lambda p: np.full((len(p), 1), 0.5)  # noqa: E731
    with pytest.raises(DataError, match="predict knows 2 classes, expected labels 0 to 1, got 2"):
        plotting.decision_boundary(half, TestDecisionBoundary.X, [0, 1, 2])


class TestDecisionBoundaries:
    X, Y = np.array([(-1.0, 0.0), (1.0, 0.0), (0.0, 2.0)]), [0, 1, 1]

    def test_one_picture_for_each_name(self):
        half = lambda p: np.full((len(p), 1), 0.5)  # noqa: E731
        right = lambda p: (p[:, :1] > 0) * 1.0  # noqa: E731
        names = {"half": half, "right": right, "again": right, "last": half}
        figure = plotting.decision_boundaries(names, self.X, self.Y, columns=3, resolution=9, title="Four")
        shown = [axes.get_title() for axes in figure.axes if axes.images]
        assert (shown, len(figure.axes)) == (["half", "right", "again", "last"], 6)
        assert figure.get_suptitle() == "Four"
        images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
        np.testing.assert_allclose(images[1][4, 0], _plane._tints(2)[0])
        np.testing.assert_array_equal(images[1], images[2])
        assert not np.array_equal(images[0], images[1])
        for axes in figure.axes[:4]:
            assert sum(len(points.get_offsets()) for points in axes.collections[-2:]) == 3

    def test_fewer_names_than_columns(self):
        figure = plotting.decision_boundaries({"a": lambda p: np.full((len(p), 1), 0.5)}, self.X, self.Y, columns=5)
        assert len(figure.axes) == 1

    @pytest.mark.parametrize(
        ("predicts", "x", "error", "message"),
        [
            ({}, X, ConfigurationError, "expected at least one predict, got none"),
            (
                {"a": abs},
                X[:, :1],
                ShapeError,
                r"decision_boundaries expected x of shape \(N, 2\) and N labels, got \(3, 1",
            ),
            ({"a": lambda p: p}, X, DataError, "expected probabilities"),
        ],
    )
    def test_errors(self, predicts, x, error, message):
        with pytest.raises(error, match=message):
            plotting.decision_boundaries(predicts, x, self.Y)


class TestLines:
    def test_curves_and_points(self):
        curves = {"f": [1.0, 4.0, 9.0], "tangent": [[1], [3], [5]]}
        (axes,) = plotting.lines([1, 2, 3], curves, points=[(2, 4)], xlabel="t", ylabel="f(t)", title="T").axes
        drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
        assert drawn["f"] == [[1, 1], [2, 4], [3, 9]]
        assert drawn["tangent"] == [[1, 1], [2, 3], [3, 5]]
        assert [[2, 4]] in drawn.values()
        assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("t", "f(t)", "linear")
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["f", "tangent"]

    def test_logarithmic(self):
        assert plotting.lines([1, 2], {"f": [1, 1000]}, log=True).axes[0].get_yscale() == "log"

    def test_many_curves_can_be_told_apart(self):
        (axes,) = plotting.lines([1, 2], {str(k): [k, k] for k in range(12)}).axes
        assert len({(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}) == 12

    def test_lengths_differ(self):
        with pytest.raises(ShapeError, match="lines expected 2 values of 'f', as many as x has, got 3"):
            plotting.lines([1, 2], {"f": [1, 2, 3]})


class TestLossAndAccuracy:
    def test_two_axes(self):
        left, right = plotting.loss_and_accuracy(HISTORY).axes
        assert [line.get_xydata().tolist() for line in left.get_lines()] == [[[1, 0.9], [2, 0.5], [3, 0.4]]]
        assert [line.get_xydata().tolist() for line in right.get_lines()] == [[[1, 0.5], [2, 0.6], [3, 0.8]]]
        assert (left.get_ylabel(), right.get_ylabel()) == ("training loss", "validation accuracy")
        assert left.get_lines()[0].get_color() != right.get_lines()[0].get_color()

    def test_other_names(self):
        left, right = plotting.loss_and_accuracy(HISTORY, loss="val_loss", accuracy="accuracy").axes
        assert (left.get_ylabel(), right.get_ylabel()) == ("validation loss", "training accuracy")

    def test_missing(self):
        with pytest.raises(ConfigurationError, match=r"the history has no 'val_accuracy'; it has \['loss'\]"):
            plotting.loss_and_accuracy({"loss": [1.0]})


class TestAnimateRegression:
    X, Y = np.arange(4.0), np.array([0.0, 1.0, 0.0, -1.0])

    def test_a_frame_for_each_prediction(self, tmp_path):
        from PIL import Image

        frames = [("epoch 0", self.Y * 0), ("epoch 1", self.Y / 2), ("epoch 2", self.Y[:, None])]
        plotting.animate_regression(tmp_path / "fit.gif", self.X, self.Y, frames, milliseconds=50)
        with Image.open(tmp_path / "fit.gif") as image:
            assert (image.format, image.n_frames) == ("GIF", 3)
            durations, pixels = [], []
            for frame in range(3):
                image.seek(frame)
                durations.append(image.info["duration"])
                pixels.append(np.asarray(image.convert("RGB")))
        assert durations == [50, 50, 2000]
        assert not np.array_equal(pixels[0], pixels[1])
        assert not np.array_equal(pixels[1], pixels[2])

    def test_a_wild_prediction_does_not_move_the_axes(self, tmp_path):
        """The first guesses of a network can be far off: the data stays in sight, at its place."""
        limits = {_regression.still(self.X, self.Y, "t", y).axes[0].get_ylim() for y in (self.Y, self.Y + 1e6)}
        assert limits == {(-1.3, 1.3)}

    @pytest.mark.parametrize(
        ("name", "frames", "message"),
        [
            ("fit.gif", [], "expected at least one frame"),
            ("fit.png", [("a", Y)], "ends in '.png'; an animation is saved as .gif"),
        ],
    )
    def test_errors(self, name, frames, message, tmp_path):
        with pytest.raises(ConfigurationError, match=message):
            plotting.animate_regression(tmp_path / name, self.X, self.Y, frames)
        assert not list(tmp_path.iterdir())

    def test_a_bad_frame_leaves_the_old_file(self, tmp_path):
        (tmp_path / "fit.gif").write_bytes(b"old")
        with pytest.raises(ShapeError, match="same length, got 4, 4 and 3"):
            plotting.animate_regression(tmp_path / "fit.gif", self.X, self.Y, [("a", self.Y), ("b", self.Y[:3])])
        assert (tmp_path / "fit.gif").read_bytes() == b"old"

    def test_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotWritable):
            plotting.animate_regression(tmp_path / "no" / "fit.gif", self.X, self.Y, [("a", self.Y)])


class TestRegressionFit:
    def test_the_line_runs_from_left_to_right(self):
        figure = plotting.regression_fit(np.array([[3.0], [1.0], [2.0]]), [30.0, 10.0, 20.0], [[33.0], [11.0], [22.0]])
        data, line = figure.axes[0].get_lines()
        assert (data.get_xdata().tolist(), data.get_ydata().tolist()) == ([3, 1, 2], [30, 10, 20])
        assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([1, 2, 3], [11, 22, 33])
        assert data.get_linestyle() == "None"

    def test_errors(self):
        with pytest.raises(
            ShapeError, match=r"one number for each point: expected x of shape \(N,\) or \(N, 1\), got \(3, 2\)"
        ):
            plotting.regression_fit(np.zeros((3, 2)), [1, 2, 3], [1, 2, 3])
        with pytest.raises(ShapeError, match="same length, got 3, 3 and 2"):
            plotting.regression_fit([1, 2, 3], [1, 2, 3], [1, 2])


class TestImageRow:
    def test_wrong_predictions_are_red_and_name_the_truth(self):
        figure = plotting.image_row(IMAGES, [3, 1, 0, 2], [3, 7, 0, 2])
        assert texts(figure) == ["3", "7, is 1", "0", "2"]
        right, wrong = figure.axes[:2]
        assert wrong.xaxis.label.get_color() == _style.RED
        assert right.xaxis.label.get_color() == _style.INK
        red, grey = wrong.spines["top"], right.spines["top"]
        assert red.get_edgecolor() != grey.get_edgecolor()
        assert red.get_linewidth() > grey.get_linewidth()

    def test_images_share_one_scale(self):
        figure = plotting.image_row(IMAGES[..., 0], [0] * 4, [0] * 4)
        for k, axes in enumerate(figure.axes):
            assert axes.images[0].get_clim() == (0, 1)
            np.testing.assert_array_equal(axes.images[0].get_array(), IMAGES[k, ..., 0])

    def test_names_and_probabilities(self):
        p = np.eye(3)[[0, 1, 2, 0]] * 0.6 + 0.1
        figure = plotting.image_row(IMAGES, [0, 1, 1, 0], p, class_names=["Coat", "Bag", "Ankle boot and more"])
        assert texts(figure) == ["Coat", "Bag", "Ankle boot and more,\nis Bag", "Coat"]

    @pytest.mark.parametrize(("n", "rows", "columns"), [(1, 1, 1), (12, 1, 12), (13, 2, 7), (30, 3, 10)])
    def test_long_rows_are_broken(self, n, rows, columns):
        figure = plotting.image_row(np.zeros((n, 8, 8)), [0] * n, [0] * n)
        grid = figure.axes[0].get_gridspec()
        assert (grid.nrows, grid.ncols) == (rows, columns)
        assert len(texts(figure)) == n

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ((np.zeros((4, 64)), [0] * 4, [0] * 4), ShapeError, r"images of shape \(N, H, W\) .*got \(4, 64\)"),
            ((IMAGES[:0], [], []), ShapeError, r"got \(0, 8, 8\)"),
            ((IMAGES, [0] * 4, [0] * 3), ShapeError, "as many labels and predictions as images, got 4, 4 and 3"),
            ((IMAGES, [0] * 4, [-1] * 4), DataError, "predictions must be classes 0, 1"),
            ((IMAGES, ["a"] * 4, [0] * 4), DtypeError, "labels must hold real numbers, got <U1"),
            ((IMAGES, [[0], [1, 2]], [0] * 4), DtypeError, "labels is not an array on the host"),
        ],
    )
    def test_errors(self, arguments, error, message):
        with pytest.raises(error, match=message):
            plotting.image_row(*arguments)


def test_report_is_the_curves_above_the_images(tmp_path):
    figure = plotting.report(HISTORY, IMAGES, [3, 1, 0, 2], [3, 7, 0, 2], class_names="abcd", title="97 %")
    plotting.save(figure, tmp_path / "report.png")
    left, right, *images = figure.axes
    assert "validation loss" in curves(left)
    assert "validation accuracy" in curves(right)
    assert texts(figure) == ["d", "7, is b", "a", "c"]
    bottom = min(axes.get_window_extent().y0 for axes in (left, right))
    assert bottom > max(axes.get_window_extent().y1 for axes in images)
    assert figure.get_suptitle() == "97 %"


@pytest.mark.parametrize("draw", [plotting.image_row, lambda *a, **k: plotting.report(HISTORY, *a, **k)])
def test_long_names_have_room(draw):
    """No caption leaves the picture or touches another, or an image."""
    names = ["T-shirt/top", "Ankle boot", "Pullover"]
    labels = np.arange(12) % 3
    figure = draw(np.tile(IMAGES, (3, 1, 1, 1)), labels, (labels + 1) % 3, class_names=names, title="Clothes")
    FigureCanvasAgg(figure).draw()
    shown = [axes for axes in figure.axes if axes.images]
    captions = [axes.xaxis.label.get_window_extent() for axes in shown]
    boxes = captions + [axes.get_window_extent() for axes in shown]
    for caption in captions:
        assert figure.bbox.x0 <= caption.x0 < caption.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= caption.y0
        assert caption.count_overlaps([box for box in boxes if box is not caption]) == 0


class TestSave:
    @pytest.mark.parametrize(
        ("suffix", "magic"), [(".png", b"\x89PNG"), (".PNG", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")]
    )
    def test_formats(self, tmp_path, suffix, magic):
        path = tmp_path / f"curve{suffix}"
        plotting.save(plotting.history(HISTORY), str(path))
        assert path.read_bytes().startswith(magic)
        assert os.listdir(tmp_path) == [path.name]

    def test_width(self, tmp_path):
        plotting.save(plotting.history(HISTORY), tmp_path / "a.png")
        assert int.from_bytes((tmp_path / "a.png").read_bytes()[16:20], "big") == 1500

    @pytest.mark.parametrize("name", ["curve.jpg", "curve", "curve.png.txt"])
    def test_another_suffix(self, tmp_path, name):
        with pytest.raises(ConfigurationError, match=r"a picture is saved as \.png, \.pdf or \.svg"):
            plotting.save(plotting.history(HISTORY), tmp_path / name)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    def test_a_failed_save_leaves_the_old_file(self, tmp_path, error):
        class Broken:
            def savefig(self, file, **_):
                file.write(b"half")
                raise error

        path = tmp_path / "curve.png"
        path.write_bytes(b"old")
        expected = FileNotWritable if isinstance(error, OSError) else KeyboardInterrupt
        message = r"curve\.png could not be written: No space left on device" if expected is FileNotWritable else None
        with pytest.raises(expected, match=message):
            plotting.save(Broken(), path)
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["curve.png"]

    def test_the_old_file_is_replaced_as_a_whole(self, tmp_path):
        """Who has the old file open reads it to its end."""
        path = tmp_path / "curve.svg"
        path.write_bytes(b"old")
        with path.open("rb") as reader:
            plotting.save(plotting.history(HISTORY), path)
            assert reader.read() == b"old"
        assert path.read_bytes().startswith(b"<?xml")

    def test_missing_folder(self, tmp_path):
        with pytest.raises(
            FileNotWritable, match=r"none.curve\.png could not be written: there is no folder .*none; make it"
        ):
            plotting.save(plotting.history(HISTORY), tmp_path / "none" / "curve.png")

    def test_a_folder_of_that_name(self, tmp_path):
        (tmp_path / "curve.png").mkdir()
        with pytest.raises(FileNotWritable, match=r"curve\.png could not be written"):
            plotting.save(plotting.history(HISTORY), tmp_path / "curve.png")
        assert os.listdir(tmp_path) == ["curve.png"]


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r'matplotlib is not installed; pip install "nnxp\[plot\]"'):
        plotting.history(HISTORY)


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_loads_no_optional_package():
    assert (
        python("import sys, nnxp.plotting, nnxp.data; print({'matplotlib', 'sklearn', 'cupy'} & set(sys.modules))")
        == "set()"
    )


def test_no_state_of_matplotlib_is_touched():
    """Without pyplot there is no window, no list of open figures and no backend to choose."""
    code = """
import sys, io, matplotlib, numpy as np
from nnxp import plotting
defaults = lambda: {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}
before = defaults()
for figure in (
    plotting.report({"loss": [2, 1], "accuracy": [0, 1]}, np.zeros((2, 8, 8)), [0, 1], [0, 0], title="t"),
    plotting.decision_boundary(lambda p: 1 / (1 + np.exp(-p[:, :1])), [[-1, 0], [1, 0]], [0, 1], resolution=9),
    plotting.regression_fit([1, 2], [1, 2], [1, 2]),
):
    figure.savefig(io.BytesIO(), format="png")
print("matplotlib.pyplot" in sys.modules, defaults() == before)
"""
    assert python(code) == "False True"


def test_many_classes_leave_room_for_the_plane(tmp_path):
    x = np.random.default_rng(0).normal(size=(62, 2)) * (300, 2)
    y = np.arange(62) % 31
    figure = plotting.decision_boundary(lambda points: np.eye(31)[np.arange(len(points)) % 31], x, y, resolution=40)
    plotting.save(figure, tmp_path / "many.png")  # a collapsed layout is a warning, and so an error here
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend.get_title().get_text() == "12 of 31 classes"
    assert len(legend.get_texts()) == 12
    assert axes.get_position().height > 0.7
