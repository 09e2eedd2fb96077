"""Each erratum of docs/errata.md: the wrong result from a small replica of the source, the right one from nnxp.

The figures of the page stand in the tests as they stand there; the last tests hold the two against each other.
"""

import ast
import importlib
import pickle
import re
from math import log
from pathlib import Path

import numpy as np
import pytest

import nnxp
import nnxp.compat.nnfs as nnfs
from nnxp import layers, losses, optimizers, regularizers
from nnxp.compat.nnfs import (
    Accuracy_Categorical,
    Activation_ReLU,
    Activation_Sigmoid,
    Activation_Softmax,
    Layer_Dense,
    Layer_Dropout,
    Loss_BinaryCrossentropy,
    Loss_CategoricalCrossentropy,
    Loss_MeanAbsoluteError,
    Loss_MeanSquaredError,
    Model,
    Optimizer_Adam,
    Optimizer_RMSprop,
    Optimizer_SGD,
    spiral_data,
)
from nnxp.errors import DataError, FileFormatError, ShapeError
from nnxp.gradcheck import numerical_gradient

PAGE = Path(__file__).parents[1] / "docs" / "errata.md"


@pytest.fixture(autouse=True)
def numpy_before_and_after():
    """Other tests find NumPy chosen."""
    nnfs.init()
    yield
    nnfs.init()


def host(a):
    return np.asarray(a).tolist()


def compat_gradient(loss, p, y):
    loss.backward(np.float32(p), y)
    return loss.dinputs


def native(*network, loss, optimizer=None, metrics=()):
    model = nnxp.Model(network, loss=loss, optimizer=optimizer or optimizers.SGD(0.1), metrics=metrics)
    model.build((2,))
    return model


class Watch(layers.Layer):
    """A layer of nnxp that keeps what it sees."""

    def __init__(self):
        self.seen = []

    def forward(self, x, *, training=False):
        self.seen.append(x.copy())
        return x

    def backward(self, dy):
        return dy


class BookWatch:
    """The same, as the book's classes have it."""

    def __init__(self):
        self.seen = []

    def forward(self, inputs, training):
        self.seen.append(inputs.copy())
        self.output = inputs

    def backward(self, dvalues):
        self.dinputs = dvalues

    def predictions(self, outputs):
        return outputs


# -- the book


def test_e01_sign_of_the_absolute_error():
    def source(p, y):
        return np.sign(y - p) / p.size

    p, y = np.array([[3.0]]), np.array([[1.0]])
    assert abs(p - 0.5 * source(p, y) - y) == 2.5  # gradient -1.0: the step leads away
    assert source(p, y) == -1.0
    for gradient in (compat_gradient(Loss_MeanAbsoluteError(), p, y), losses.MeanAbsoluteError().gradient(p, y)):
        assert gradient == 1.0
        assert abs(p - 0.5 * gradient - y) == 1.5


def test_e02_softmax_backward_in_a_loop():
    def source(dvalues, output):
        dinputs = np.empty_like(dvalues)  # whole numbers, where the gradient came as whole numbers
        for index, (y, g) in enumerate(zip(output, dvalues, strict=True)):
            dinputs[index] = (np.diag(y) - np.outer(y, y)) @ g
        return dinputs

    y, g = np.float32([[0.5, 0.25, 0.25]]), np.array([[1, 0, 0]])
    assert host(source(g, y)) == [[0, 0, 0]]
    expected = [[0.25, -0.125, -0.125]]
    np.testing.assert_allclose(source(g.astype(float), y), expected)
    activation = Activation_Softmax()
    activation.forward(np.log(y))
    activation.backward(g)
    np.testing.assert_allclose(activation.dinputs, expected, rtol=1e-6)  # y itself is rounded
    assert host(nnxp.get_backend("numpy").ops.softmax_backward(np.float32(g), y)) == expected


def test_e03_gradient_at_probability_zero():
    def source(p, y):
        with np.errstate(all="ignore"):
            return -np.eye(2)[y] / p / len(p)

    p = np.array([[0.0, 1.0]])
    assert host(source(p, [0])) == [[-np.inf, -0.0]]
    assert np.isnan(source(p, [1])[0, 0])
    for gradient in (
        compat_gradient(Loss_CategoricalCrossentropy(), p, [0]),
        losses.CategoricalCrossentropy().gradient(p, [0]),
    ):
        np.testing.assert_allclose(gradient, [[-1e7, 0.0]], rtol=1e-6)
    logits = np.float32([[-200.0, 200.0]])
    assert host(losses.CategoricalCrossentropy(from_logits=True).gradient(logits, [0])) == [[-1.0, 1.0]]
    model = Model()
    model.add(Activation_Softmax())
    model.set(loss=Loss_CategoricalCrossentropy())
    model.backward(model.forward(logits, training=True), np.array([0]))
    assert host(model.layers[0].dinputs) == [[-1.0, 1.0]]


def test_e04_float64_from_masks_and_identity_matrices():
    x, p = np.ones((4, 3), dtype=np.float32), np.full((2, 3), 1 / 3, dtype=np.float32)
    mask = np.random.binomial(1, 0.5, size=x.shape) / 0.5
    assert (x * mask).dtype == "float64"
    assert (-np.eye(3)[[0, 1]] / p).dtype == "float64"
    dropout = Layer_Dropout(0.5)
    dropout.forward(x)
    dropout.backward(x)
    found = [dropout.output, dropout.dinputs, compat_gradient(Loss_CategoricalCrossentropy(), p, [0, 1])]
    model = native(layers.Dropout(0.5), layers.Dense(3), layers.Softmax(), loss=losses.CategoricalCrossentropy())
    loss, gradients = model.loss_and_gradients(x[:, :2], [0, 1, 2, 0])
    assert {a.dtype.name for a in (*found, loss, *gradients.values(), model.predict(x[:, :2]))} == {"float32"}


def test_e05_slope_of_an_l1_penalty_at_zero():
    def source(w):
        slope = np.ones_like(w)
        slope[w < 0] = -1
        return slope

    zero = np.zeros((1, 1))
    moved = zero - 1.0 * 0.01 * source(zero)
    assert moved == -0.01
    assert 0.01 * abs(moved) == 0.0001  # the penalty was 0 and has risen
    layer = Layer_Dense(1, 1, weight_regularizer_l1=0.01)
    layer.set_parameters(zero, zero)
    layer.forward(zero)
    layer.backward(zero)
    assert layer.dweights == 0.0
    model = native(layers.Dense(1, bias_regularizer=regularizers.L1(0.01)), loss=losses.MeanSquaredError())
    assert model.loss_and_gradients(np.zeros((1, 2)), zero)[1]["0.biases"] == 0.0


def test_e06_accuracy_above_one():
    predictions = y = np.array([[1, 0], [0, 1], [1, 1]])
    accumulated_sum, accumulated_count = np.sum(predictions == y), len(predictions == y)
    assert accumulated_sum / accumulated_count == 2.0
    accuracy = Accuracy_Categorical(binary=True)
    accuracy.calculate(predictions, y)
    assert accuracy.calculate_accumulated() == 1.0
    model = native(layers.Linear(), loss=losses.BinaryCrossentropy(), metrics=["accuracy"])
    assert model.evaluate(predictions.astype(np.float32), y)["accuracy"] == 1.0


def test_e07_a_row_beside_a_column():
    predictions, y = np.array([[1], [0], [1], [0]]), np.array([1, 0, 1, 0])
    assert (predictions == y).shape == (4, 4)
    assert np.mean(predictions == y) == 0.5  # all four are right
    with pytest.raises(ShapeError, match=r"use y.reshape\(-1, 1\)"):
        Accuracy_Categorical(binary=True).calculate(predictions, y)
    assert Accuracy_Categorical(binary=True).calculate(predictions, y[:, None]) == 1.0
    p = np.float32([[0.75], [0.25], [0.75], [0.25]])
    wrong = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    assert round(float(wrong), 4) == 0.837
    for call in (Loss_BinaryCrossentropy().calculate, losses.BinaryCrossentropy().value):
        with pytest.raises(ShapeError, match=r"use y\[:, None\]"):
            call(p, y)
        assert round(float(call(p, y[:, None])), 4) == 0.2877
    assert round(-log(0.75), 4) == 0.2877


def test_e08_state_on_the_layer():
    class Source:
        pass

    def rmsprop(layer):
        if not hasattr(layer, "weight_cache"):
            layer.weight_cache = 0.0
        layer.weight_cache = 0.9 * layer.weight_cache + 0.1

    def adam(layer):
        if not hasattr(layer, "weight_cache"):
            layer.weight_momentums = layer.weight_cache = 0.0
        layer.weight_momentums = 0.9 * layer.weight_momentums + 0.1

    def momentum(layer):
        if not hasattr(layer, "weight_momentums"):
            layer.weight_momentums = 0.0
        layer.weight_momentums = 0.9 * layer.weight_momentums - 0.01  # for a gradient of 1 and a rate of 0.01
        return layer.weight_momentums

    layer = Source()
    rmsprop(layer)
    with pytest.raises(AttributeError, match="weight_momentums"):
        adam(layer)
    layer = Source()
    adam(layer)
    assert round(momentum(layer), 12) == 0.08  # uphill, and eight times as far
    assert momentum(Source()) == -0.01

    dense, first = Layer_Dense(1, 1), Optimizer_RMSprop()
    dense.dweights, dense.dbiases = np.ones((1, 1)), np.ones((1, 1))
    first.update_params(dense)
    Optimizer_Adam().update_params(dense)
    before = dense.weights
    Optimizer_SGD(learning_rate=0.01, momentum=0.9).update_params(dense)
    np.testing.assert_allclose(dense.weights - before, -0.01, rtol=1e-5)  # a difference of float32 weights

    model = native(layers.Dense(1), loss=losses.MeanSquaredError(), optimizer=optimizers.RMSprop())
    for optimizer in (optimizers.Adam(), optimizers.SGD(0.01, momentum=0.9)):
        model.train_step(np.ones((1, 2), dtype=np.float32), [[100.0]])
        model.optimizer = optimizer
    _, gradients = model.loss_and_gradients(np.ones((1, 2), dtype=np.float32), [[100.0]])
    before = model.state_dict()["0.weights"]
    model.train_step(np.ones((1, 2), dtype=np.float32), [[100.0]])
    np.testing.assert_allclose(model.state_dict()["0.weights"] - before, -0.01 * gradients["0.weights"], rtol=1e-5)


def test_e09_models_of_one_layer():
    class Source:
        def __init__(self, count):
            self.layers = list(range(count))

        def finalize(self):
            last = len(self.layers) - 1
            return [self.layers[i + 1] if i == 0 or i < last else self.loss for i in range(last + 1)]

    with pytest.raises(IndexError):
        Source(1).finalize()
    with pytest.raises(AttributeError, match="loss"):
        Source(2).finalize()
    model = Model()
    model.add(Layer_Dense(2, 3))
    model.finalize()
    assert model.predict(np.zeros((5, 2))).shape == (5, 3)
    assert native(layers.Dense(3), loss=losses.MeanSquaredError()).predict(np.zeros((5, 2))).shape == (5, 3)


def test_e10_a_label_of_minus_one():
    p = np.array([[0.5, 0.25, 0.25]])
    assert round(float(-np.log(p[range(1), [-1]])[0]), 4) == 1.3863  # the last class's
    for call in (Loss_CategoricalCrossentropy().calculate, losses.CategoricalCrossentropy().value):
        with pytest.raises(DataError, match=r"expected class indices y in 0..2 \(3 outputs\), got -1 at y\[0\]"):
            call(p, [-1])


def test_e11_no_shuffle():
    X, y = np.arange(12, dtype=np.float32).reshape(6, 2), np.repeat([0, 1, 2], 2)
    source = [[y[step * 2 : step * 2 + 2].tolist() for step in range(3)] for _ in range(2)]
    assert source == [[[0, 0], [1, 1], [2, 2]]] * 2  # sorted data: one class a batch, and the same batches for ever

    watch, model = BookWatch(), Model()
    model.add(watch)
    model.set(loss=Loss_MeanSquaredError(), optimizer=Optimizer_SGD(), accuracy=Accuracy_Categorical())
    model.train(X, X, epochs=3, batch_size=2)
    eye = Watch()
    native(eye, loss=losses.MeanSquaredError()).fit(X, X, epochs=3, batch_size=2, progress="off")
    for seen in (watch.seen, eye.seen):
        epochs = [np.concatenate(seen[i : i + 3])[:, 0].tolist() for i in range(0, 9, 3)]
        assert all(sorted(rows) == X[:, 0].tolist() for rows in epochs)
        assert epochs[1] not in (epochs[0], epochs[2])


def test_e12_pickle(tmp_path):
    trace, path = tmp_path / "created by the file", tmp_path / "model"

    class Stranger:
        def __reduce__(self):
            return Path.touch, (trace,)

    path.write_bytes(pickle.dumps(Stranger()))
    assert len(path.read_bytes()) < 1000
    for read in (Model.load, Model().load_parameters, nnxp.load):
        with pytest.raises(FileFormatError, match="is not a whole safetensors file"):
            read(path)
    assert not trace.exists()
    pickle.loads(path.read_bytes())
    assert trace.exists()


# -- from one neuron to a network


def test_e13_a_gradient_that_is_not_the_loss_s():
    def value(p, y):
        return np.sum((p - y) ** 2) / len(p)

    def gradient(p, y):
        return 2 * (p - y)

    random = np.random.RandomState(0)
    p, y = random.randn(30, 10), random.randn(30, 10)
    true = numerical_gradient(lambda p: value(p, y), p)
    np.testing.assert_allclose(gradient(p, y) / true, 30, rtol=1e-6)  # as many as the batch has samples

    mean, total = losses.MeanSquaredError(), losses.MeanSquaredError(reduction="sum")
    for loss in (mean, total):
        found = numerical_gradient(lambda p, loss=loss: loss.value(p, y), p)
        np.testing.assert_allclose(loss.gradient(p, y), found, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(total.gradient(p, y), gradient(p, y), rtol=1e-6)  # trains as the tutorial does
    nnfs.init(default_dtype="float64")
    book = Loss_MeanSquaredError()
    book.backward(p, y)
    np.testing.assert_allclose(
        book.dinputs, numerical_gradient(lambda p: book.calculate(p, y), p), rtol=1e-6, atol=1e-8
    )


# -- two moons


def test_e14_a_rate_that_depends_on_the_number_of_samples():
    def gradient(X, p, y):
        return X.T @ (p - np.eye(2)[y])

    random = np.random.RandomState(0)
    X, y = random.randn(200, 3), random.randint(2, size=200)
    twice = np.concatenate([X, X]), np.concatenate([y, y])
    W = random.randn(3, 2)

    def probabilities(W, X):
        e = np.exp(X @ W)
        return e / e.sum(axis=1, keepdims=True)

    def reported(W, X, y):
        return -np.log(probabilities(W, X)[range(len(y)), y]).sum() / len(y)

    once = gradient(X, probabilities(W, X), y)
    np.testing.assert_allclose(once / numerical_gradient(lambda W: reported(W, X, y), W), 200, rtol=1e-6)
    np.testing.assert_allclose(gradient(twice[0], probabilities(W, twice[0]), twice[1]) / once, 2, rtol=1e-12)
    assert reported(W, X, y) == pytest.approx(reported(W, *twice))

    def nnxp_gradient(reduction, X, y):
        loss = losses.CategoricalCrossentropy(from_logits=True, reduction=reduction)
        return X.T @ loss.gradient(X @ W, y)

    np.testing.assert_allclose(nnxp_gradient("sum", X, y), once, rtol=1e-10)  # trains as the tutorial does
    np.testing.assert_allclose(nnxp_gradient("mean", X, y), once / 200, rtol=1e-10)
    np.testing.assert_allclose(nnxp_gradient("mean", *twice), nnxp_gradient("mean", X, y), rtol=1e-10)
    nnfs.init(default_dtype="float64")
    both = nnfs.Activation_Softmax_Loss_CategoricalCrossentropy()
    for features, labels in ((X, y), twice):
        both.forward(features @ W, labels)
        both.backward(both.output, labels)
        np.testing.assert_allclose(features.T @ both.dinputs, once / 200, rtol=1e-10)


def test_e15_a_penalty_without_the_last_layer():
    matrices = [np.ones((2, 3)), np.ones((3, 3)), np.ones((3, 2))]
    squares = [np.sum(W**2) for W in matrices]
    wrong, right = 0.005 * sum(squares[:2]) / 200, 0.005 * sum(squares) / 200
    assert (round(wrong, 9), round(right, 9)) == (0.000375, 0.000525)

    dense = [Layer_Dense(*W.shape, weight_regularizer_l2=0.005) for W in matrices]
    for layer, W in zip(dense, matrices, strict=True):
        layer.weights = W
    loss = Loss_CategoricalCrossentropy()
    loss.remember_trainable_layers(dense)
    assert loss.regularization_loss() / 200 == pytest.approx(0.000525)

    network = [layers.Dense(W.shape[1], weight_regularizer=regularizers.L2(0.005)) for W in matrices]
    model = native(*network, loss=losses.MeanSquaredError())
    for layer in network:
        layer.weights = np.ones(layer.weights.shape)
    found = model.evaluate(np.zeros((1, 2)), np.zeros((1, 2)))
    assert (found["loss"] - found["data_loss"]) / 200 == pytest.approx(0.000525)


# -- what a derivative is


def test_e16_forward_differences():
    def f(x):
        return 2 * x**2

    at, delta = 1.0, 1e-4
    slope = (f(at + delta) - f(at)) / ((at + delta) - at)
    assert slope == 4.0001999999987845
    assert float(numerical_gradient(f, at, delta=delta, method="forward")) == 4.0001999999987845
    assert (f(at + 1e-15) - f(at)) / 1e-15 == 4.440892098500626  # with a small delta, rounding alone is left
    assert abs(float(numerical_gradient(f, at)) - 4) < 1e-10
    assert abs(float(numerical_gradient(f, at, delta=delta)) - 4) < 1e-11
    with pytest.raises(DataError, match="delta = 1e-17 does not move x"):
        numerical_gradient(f, at, delta=1e-17)


# -- several sources


def test_e17_exponentials_that_overflow():
    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    def softmax(z):
        return np.exp(z) / np.sum(np.exp(z), axis=1, keepdims=True)

    z = np.array([[800.0, 0.0]])
    with pytest.warns(RuntimeWarning, match="overflow encountered in exp"):
        sigmoid(-z)
    with np.errstate(all="ignore"):
        assert np.isnan(softmax(z)[0, 0])
    ops = nnxp.get_backend("numpy", dtype="float64").ops
    assert host(ops.softmax(z)) == [[1.0, 0.0]]
    assert 0 <= ops.sigmoid(-z)[0, 0] < 1e-300
    for activation, expected in ((Activation_Softmax(), [[1.0, 0.0]]), (Activation_Sigmoid(), [[1.0, 0.5]])):
        activation.forward(z)
        assert host(activation.output) == expected


def test_e18_sums_in_float32():
    big, one = np.float32(1e8), np.float32(1)
    assert (big + one) - big == 0.0
    assert (big - big) + one == 1.0

    class Reordered(Optimizer_Adam):
        """Adam with its division and its product in the other order."""

        def update(self, w, g, m, v):
            t = self.iterations + 1
            m, v = self.beta_1 * m + (1 - self.beta_1) * g, self.beta_2 * v + (1 - self.beta_2) * (g * g)
            step = m / (1 - self.beta_1**t) / (np.sqrt(v / (1 - self.beta_2**t)) + self.epsilon)
            return w - self.current_learning_rate * step, m, v

    book, other = logistic(Optimizer_Adam(decay=5e-7)), logistic(Reordered(decay=5e-7))
    assert book[0] == other[0] == "0.693"
    assert book[:6] == other[:6]  # as far as epoch 500
    assert book[15] == "0.502"
    assert other[15] != "0.502"


def logistic(optimizer):
    """Chapter 16, 1,501 epochs: the loss at every hundredth."""
    nnfs.init()
    X, y = spiral_data(samples=100, classes=2)
    y = y.reshape(-1, 1)
    hidden = Layer_Dense(2, 64, weight_regularizer_l2=5e-4, bias_regularizer_l2=5e-4)
    chain = [hidden, Activation_ReLU(), Layer_Dense(64, 1), Activation_Sigmoid()]
    loss, shown = Loss_BinaryCrossentropy(), []
    for epoch in range(1501):
        output = X
        for layer in chain:
            layer.forward(output)
            output = layer.output
        if not epoch % 100:
            shown.append(f"{loss.calculate(output, y) + loss.regularization_loss(hidden):.3f}")
        loss.backward(output, y)
        dvalues = loss.dinputs
        for layer in reversed(chain):
            layer.backward(dvalues)
            dvalues = layer.dinputs
        optimizer.pre_update_params()
        for layer in (hidden, chain[2]):
            optimizer.update_params(layer)
        optimizer.post_update_params()
    return shown


def test_e19_steps_over_a_minimum(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "examples")
    tutorial = importlib.import_module("_moons")
    x, y = tutorial.moons()
    model = tutorial.network((2, 3, 2), "numpy")
    tutorial.train(model, x, y, 20_000)
    reported = []
    for _ in range(4):
        model.train_step(x, y)
        reported.append(f"{tutorial.reported_loss(model, x, y):.4f}")
    assert reported in (["0.0708", "0.0713"] * 2, ["0.0713", "0.0708"] * 2)
    model.optimizer = nnxp.optimizers.SGD(0.005)
    tutorial.train(model, x, y, 20_000)
    assert f"{tutorial.reported_loss(model, x, y):.4f}" == "0.0678"


# -- the page


def sources():
    """The text of each test above, by its name."""
    text = Path(__file__).read_text(encoding="utf-8")
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    return {n.name: ast.get_source_segment(text, n) for n in nodes if re.match(r"test_e\d\d_", n.name)}


def entries():
    """The page's entries, by the name of their test."""
    _, *parts = re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.search(r"tests/test_errata.py::(test_\w+)", part)[1]: part for part in parts}


def test_every_entry_has_its_test_and_every_test_its_entry():
    assert list(entries()) == list(sources())
    for number, (name, entry) in enumerate(entries().items(), start=1):
        assert name.startswith(f"test_e{number:02}_")
        assert entry.startswith(f"E{number:02} ")
        for part in ("**Where.**", "**Source.**", "**Wrong.**", "**Right.**", "**nnxp.**", "**Test.**"):
            assert entry.count(part) == 1, (name, part)


def test_the_table_lists_the_entries():
    rows = re.findall(r"^\| \[(E\d\d)\]\(#(\S+)\) \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    titles = [entry.splitlines()[0] for entry in entries().values()]
    assert [row[0] for row in rows] == [title[:3] for title in titles]
    anchors = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
    assert [row[1] for row in rows] == anchors


def test_the_figures_of_the_page_are_those_of_the_tests():
    for name, entry in entries().items():
        results = re.search(r"\*\*Wrong\.\*\*.*?(?=\*\*nnxp\.\*\*)", entry, flags=re.DOTALL)[0]
        code = " ".join(re.findall(r"`([^`]*)`", results))
        for figure in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?", code):
            assert re.search(rf"(?<![\w.]){re.escape(figure)}(?![\w.])", sources()[name]), (name, figure)
