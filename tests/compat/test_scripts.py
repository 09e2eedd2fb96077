"""Whole scripts, as a reader has them: the class definitions are gone, and only the import lines are changed.

Each runs in a process of its own. The lines that it prints are held against the same training written out in plain
float64 NumPy, from the same draws.
"""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import nnxp

EARLY = """
import numpy as np
import nnxp.compat.nnfs as nnfs
from nnfs.datasets import spiral_data
from nnxp.compat.nnfs import *

nnfs.init()
X, y = spiral_data(samples=100, classes=3)
hidden = Layer_Dense(2, 64)
relu = Activation_ReLU()
last = Layer_Dense(64, 3)
loss_activation = Activation_Softmax_Loss_CategoricalCrossentropy()
optimizer = Optimizer_SGD(decay=1e-3, momentum=0.9)

for epoch in range(101):
    hidden.forward(X)
    relu.forward(hidden.output)
    last.forward(relu.output)
    loss = loss_activation.forward(last.output, y)
    guesses = np.argmax(loss_activation.output, axis=1)
    if len(y.shape) == 2:
        y = np.argmax(y, axis=1)
    accuracy = np.mean(guesses == y)
    if not epoch % 50:
        print(f"epoch: {epoch}, acc: {accuracy:.3f}, loss: {loss:.3f}, lr: {optimizer.current_learning_rate}")
    loss_activation.backward(loss_activation.output, y)
    last.backward(loss_activation.dinputs)
    relu.backward(last.dinputs)
    hidden.backward(relu.dinputs)
    optimizer.pre_update_params()
    optimizer.update_params(hidden)
    optimizer.update_params(last)
    optimizer.post_update_params()
print(hidden.dweights.shape, last.dbiases.shape, hidden.dweights.dtype)
"""

CATEGORICAL = """
import numpy as np
import nnxp.compat.nnfs as nnfs
from nnfs.datasets import spiral_data
from nnxp.compat.nnfs import *

nnfs.init()
X, y = spiral_data(samples=100, classes=3)
X_test, y_test = spiral_data(samples=100, classes=3)

model = Model()
model.add(Layer_Dense(2, 32, weight_regularizer_l2=5e-4, bias_regularizer_l2=5e-4))
model.add(Activation_ReLU())
model.add(Layer_Dropout(0.1))
model.add(Layer_Dense(32, 3))
model.add(Activation_Softmax())
model.set(
    loss=Loss_CategoricalCrossentropy(),
    optimizer=Optimizer_Adam(learning_rate=0.05, decay=5e-5),
    accuracy=Accuracy_Categorical(),
)
model.finalize()
model.train(X, y, validation_data=(X_test, y_test), epochs=2, batch_size=128, print_every=1)
model.evaluate(X_test, y_test)

model.save_parameters("spiral.parms")
model.save("spiral.model")
again = Model.load("spiral.model")
again.evaluate(X_test, y_test)
again.load_parameters("spiral.parms")
again.evaluate(X_test, y_test, batch_size=64)
confidences = again.predict(X_test[:5])
print(confidences.shape, again.output_layer_activation.predictions(confidences).shape)
"""

BINARY = """
import numpy as np
import nnxp.compat.nnfs as nnfs
from nnfs.datasets import spiral_data
from nnxp.compat.nnfs import *

nnfs.init()
X, y = spiral_data(samples=100, classes=2)
X_test, y_test = spiral_data(samples=100, classes=2)
y = y.reshape(-1, 1)
y_test = y_test.reshape(-1, 1)

model = Model()
model.add(Layer_Dense(2, 64, weight_regularizer_l2=5e-4, bias_regularizer_l2=5e-4))
model.add(Activation_ReLU())
model.add(Layer_Dense(64, 1))
model.add(Activation_Sigmoid())
model.set(
    loss=Loss_BinaryCrossentropy(),
    optimizer=Optimizer_Adam(decay=5e-7),
    accuracy=Accuracy_Categorical(binary=True),
)
model.finalize()
model.train(X, y, validation_data=(X_test, y_test), epochs=301, print_every=100)
"""

REGRESSION = """
import nnxp.compat.nnfs as nnfs
from nnfs.datasets import sine_data
from nnxp.compat.nnfs import *

nnfs.init()
X, y = sine_data()
model = Model()
model.add(Layer_Dense(1, 16))
model.add(Activation_ReLU())
model.add(Layer_Dense(16, 1))
model.add(Activation_Linear())
model.set(loss=Loss_MeanSquaredError(), optimizer=Optimizer_Adam(learning_rate=0.005), accuracy=Accuracy_Regression())
model.finalize()
model.train(X, y, epochs=20, print_every=10)
"""


def run(code, folder):
    """What a script prints; whatever it writes to the error stream, warnings too, is a failure."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"PYTHONPATH": str(Path(nnxp.__file__).parents[1])},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def figures(line):
    """The names and numbers of a line: {'epoch': 0.0, 'acc': 0.36, …}."""
    return {name: float(number) for name, number in re.findall(r"(\w+): ([\d.e-]+)", line)}


# -- the same in plain NumPy, float64


def spiral(stream, classes):
    arms = []
    for k in range(classes):
        r, noise = np.linspace(0, 1, 100), 0.2 * stream.randn(100).astype(np.float32)
        t = 2.5 * (np.linspace(4 * k, 4 * k + 4, 100) + noise)
        arms.append(np.stack([r * np.sin(t), r * np.cos(t)], axis=1).astype(np.float32))
    return np.concatenate(arms).astype(float), np.repeat(np.arange(classes), 100)


def start(stream, *sizes):
    """Weights and biases between layers of these sizes."""
    return [a for i, o in pairwise(sizes) for a in (0.01 * stream.randn(i, o), np.zeros((1, o)))]


def network(parameters, X, end, mask=1.0):
    """Dense, ReLU, mask, Dense, end; returns the hidden values and the output."""
    w1, b1, w2, b2 = parameters
    hidden = np.maximum(X @ w1 + b1, 0) * mask
    return hidden, end(hidden @ w2 + b2)


def gradients(parameters, X, hidden, dz, mask=1.0, l2=0.0):
    w1, b1, w2, _ = parameters
    dh = dz @ w2.T * mask * (hidden > 0)
    sums = dh.sum(axis=0, keepdims=True), dz.sum(axis=0, keepdims=True)
    return [X.T @ dh + 2 * l2 * w1, sums[0] + 2 * l2 * b1, hidden.T @ dz, sums[1]]


def adam(parameters, slopes, memory, t, rate):
    for i, g in enumerate(slopes):
        m, v = memory.get(i, (0, 0))
        memory[i] = m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        step = rate * (m / (1 - 0.9 ** (t + 1))) / (np.sqrt(v / (1 - 0.999 ** (t + 1))) + 1e-7)
        parameters[i] = parameters[i] - step


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def surprise(p, y):
    return -np.log(p[np.arange(len(y)), y]).mean()


def accuracy(p, y):
    return (p.argmax(axis=1) == y).mean()


# -- a figure of three decimals, half a unit of rounding, and one prediction in a hundred that float32 turns over
LOSS, SHARE = 1.5e-3, 1.1e-2


def test_an_early_chapter(tmp_path):
    """Layer by layer: spiral, three classes, momentum and decay."""
    lines = run(EARLY, tmp_path)
    assert lines[-1] == "(2, 64) (1, 3) float32"
    stream = np.random.RandomState(0)
    X, y = spiral(stream, 3)
    parameters, velocity, shown = start(stream, 2, 64, 3), [0, 0, 0, 0], []
    for epoch in range(101):
        rate = 1 / (1 + 1e-3 * epoch)
        hidden, p = network(parameters, X, softmax)
        if not epoch % 50:
            # printed before the update, so with the rate of the one before
            shown.append((epoch, accuracy(p, y), surprise(p, y), 1 / (1 + 1e-3 * max(epoch - 1, 0))))
        for i, g in enumerate(gradients(parameters, X, hidden, (p - np.eye(3)[y]) / len(y))):
            velocity[i] = 0.9 * velocity[i] - rate * g
            parameters[i] = parameters[i] + velocity[i]
    assert len(lines) == len(shown) + 1
    for line, (epoch, share, loss, rate) in zip(lines, shown, strict=False):
        assert re.fullmatch(rf"epoch: {epoch}, acc: \d\.\d{{3}}, loss: \d\.\d{{3}}, lr: [\d.]+", line)
        found = figures(line)
        # the three probabilities are nearly one third still, so rounding turns over more rows than later on
        assert found["acc"] == pytest.approx(share, abs=3 * SHARE)
        assert found["loss"] == pytest.approx(loss, abs=LOSS)
        assert found["lr"] == pytest.approx(rate, rel=1e-12)
    assert figures(lines[0])["loss"] == 1.099  # log 3: it knows nothing yet
    assert figures(lines[-2])["loss"] < 1.08


def test_a_model_with_batches(tmp_path):
    """Batches of 128, dropout, penalties, validation, evaluation, both kinds of files."""
    lines = run(CATEGORICAL, tmp_path)
    number = r"\d+\.\d{3}"
    figure = rf"acc: {number}, loss: {number} \(data_loss: {number}, reg_loss: {number}\), lr: [\d.e-]+"
    validation = rf"validation, acc: {number}, loss: {number}"
    epoch = [f"step: {step}, {figure}" for step in range(3)] + [f"training, {figure}", validation]
    expected = ["epoch: 1", *epoch, "epoch: 2", *epoch, *[validation] * 3, r"\(5, 3\) \(5,\)"]
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), line
    assert len(set(lines[11:15])) == 1  # the last validation, the evaluation, and both after reading: one and the same

    stream = np.random.RandomState(0)
    X, y = spiral(stream, 3)
    X_test, y_test = spiral(stream, 3)
    parameters, memory, t, l2 = start(stream, 2, 32, 3), {}, 0, 5e-4
    for block in (lines[1:6], lines[7:12]):
        total, right = 0.0, 0.0
        for step, part in enumerate((slice(0, 128), slice(128, 256), slice(256, 300))):
            rows, labels = X[part], y[part]
            mask = stream.binomial(1, 0.9, size=(len(rows), 32)) / 0.9
            hidden, p = network(parameters, rows, softmax, mask)
            penalty = l2 * sum((a**2).sum() for a in parameters[:2])
            found, rate = figures(block[step]), 0.05 / (1 + 5e-5 * t)
            assert found["data_loss"] == pytest.approx(surprise(p, labels), abs=LOSS)
            assert found["reg_loss"] == pytest.approx(penalty, abs=LOSS)
            assert found["acc"] == pytest.approx(accuracy(p, labels), abs=3 * SHARE)  # of 44 rows, one is 0.023
            assert found["lr"] == pytest.approx(rate, rel=1e-12)
            total, right = total + surprise(p, labels) * len(rows), right + accuracy(p, labels) * len(rows)
            dz = (p - np.eye(3)[labels]) / len(rows)
            adam(parameters, gradients(parameters, rows, hidden, dz, mask, l2), memory, t, rate)
            t += 1
        assert figures(block[3])["data_loss"] == pytest.approx(total / 300, abs=LOSS)
        assert figures(block[3])["acc"] == pytest.approx(right / 300, abs=SHARE)
        _, p = network(parameters, X_test, softmax)
        assert figures(block[4])["loss"] == pytest.approx(surprise(p, y_test), abs=LOSS)
        assert figures(block[4])["acc"] == pytest.approx(accuracy(p, y_test), abs=SHARE)
        order = stream.permutation(300)
        X, y = X[order], y[order]


def test_a_model_of_the_binary_chapter(tmp_path):
    """Full batches, and one validation at the end."""
    lines = run(BINARY, tmp_path)
    stream = np.random.RandomState(0)
    X, y = spiral(stream, 2)
    X_test, y_test = spiral(stream, 2)
    parameters, memory = start(stream, 2, 64, 1), {}
    shown = {}
    for epoch in range(1, 302):
        hidden, p = network(parameters, X, sigmoid)
        if not epoch % 100:
            shown[epoch] = surprise(np.hstack([1 - p, p]), y), ((p[:, 0] > 0.5) == y).mean()
        rate = 0.001 / (1 + 5e-7 * (epoch - 1))
        adam(parameters, gradients(parameters, X, hidden, (p - y[:, None]) / 200, l2=5e-4), memory, epoch - 1, rate)
    assert len(lines) == 4
    for line, (epoch, (loss, share)) in zip(lines[:3], shown.items(), strict=True):
        found = figures(line)
        assert found["epoch"] == epoch
        assert found["data_loss"] == pytest.approx(loss, abs=LOSS)
        assert found["acc"] == pytest.approx(share, abs=SHARE)
        assert found["lr"] == pytest.approx(0.001 / (1 + 5e-7 * (epoch - 1)), rel=1e-12)
        assert found["loss"] == pytest.approx(found["data_loss"] + found["reg_loss"], abs=1e-3)
    _, p = network(parameters, X_test, sigmoid)
    assert figures(lines[3])["loss"] == pytest.approx(surprise(np.hstack([1 - p, p]), y_test), abs=LOSS)
    assert lines[3].startswith("validation, acc: 0.")


def test_a_model_of_the_regression_chapter(tmp_path):
    lines = run(REGRESSION, tmp_path)
    stream = np.random.RandomState(0)
    X = np.arange(1000)[:, None] / 1000
    y = np.sin(2 * np.pi * X)
    parameters, memory, shown = start(stream, 1, 16, 1), {}, []
    for epoch in range(1, 21):
        hidden, p = network(parameters, X, lambda z: z)
        if not epoch % 10:
            shown.append((((p - y) ** 2).mean(), (abs(p - y) < y.std() / 250).mean()))
        adam(parameters, gradients(parameters, X, hidden, 2 * (p - y) / 1000), memory, epoch - 1, 0.005)
    assert len(lines) == 2
    for line, (loss, share) in zip(lines, shown, strict=True):
        assert figures(line)["loss"] == pytest.approx(loss, abs=LOSS)
        assert figures(line)["acc"] == pytest.approx(share, abs=SHARE)
