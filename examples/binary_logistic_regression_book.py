"""Chapter 16 of *Neural Networks from Scratch* with the book's own classes: the same lines, digit for digit.

The network and the loss are those of ``binary_logistic_regression.py``; the data, the initial weights and the order of
operations are the book's, so on NumPy each line comes out as printed there (the run is chaotic: on other backends the
lines part after a few hundred epochs, and it learns all the same). Validation is a second draw from the same stream.
"""

from pathlib import Path

import numpy as np

import nnxp
import nnxp.compat.nnfs as nnfs
from _book import forward, train
from _shared import command, save
from nnxp import plotting
from nnxp.compat.nnfs import (
    Accuracy_Categorical,
    Activation_ReLU,
    Activation_Sigmoid,
    Layer_Dense,
    Loss_BinaryCrossentropy,
    Optimizer_Adam,
    spiral_data,
)


def run(backend: str | nnxp.Backend, picture: Path, epochs: int) -> list[str]:
    """Train, print, draw; the printed lines."""
    backend = nnxp.get_backend(backend)
    nnfs.init(backend)
    X, y = spiral_data(samples=100, classes=2)
    layers = [
        Layer_Dense(2, 64, weight_regularizer_l2=5e-4, bias_regularizer_l2=5e-4),
        Activation_ReLU(),
        Layer_Dense(64, 1),
        Activation_Sigmoid(),
    ]
    loss, accuracy = Loss_BinaryCrossentropy(), Accuracy_Categorical(binary=True)
    lines = train(layers, loss, Optimizer_Adam(decay=5e-7), accuracy.calculate, X, y[:, None], epochs)

    X_test, y_test = spiral_data(samples=100, classes=2)
    output = forward(layers, X_test)
    right = accuracy.calculate(layers[-1].predictions(output), y_test[:, None])
    lines.append(f"validation, acc: {right:.3f}, loss: {loss.calculate(output, y_test[:, None]):.3f}")
    print(lines[-1])

    def predict(points: np.ndarray) -> np.ndarray:
        return backend.to_numpy(forward(layers, points))

    X, y = backend.to_numpy(X), backend.to_numpy(y)
    title = f"The book's network after {epochs:,} epochs"
    save(plotting.decision_boundary(predict, X, y, title=title), picture)
    return lines


if __name__ == "__main__":
    command(run, __doc__, picture="binary_logistic_regression_book.png", epochs=10_001)
