"""Chapter 17 of *Neural Networks from Scratch* with the book's own classes: five runs on the sine.

1. One hidden layer of 64 neurons, Adam as it is: loss 0.145, accuracy 0.004 at epoch 10,000.
2. Two hidden layers of 64: 0.031, 0.620.
3. Two, with a learning rate of 0.01 that decays by 1e-3: 0.031, 0.564.
4. Two, with a learning rate of 0.005 that decays by 1e-3, and weights from 0.1·N(0, 1) instead of 0.01·N(0, 1):
   0.000.
5. The same with Glorot's weights, uniform in ±√(6/(inputs + neurons)): 0.000.

Accuracy is the share of predictions closer to the sine than std(y)/250. On NumPy the lines of the first three are the
book's, digit for digit. Look at the picture: one layer bends only twice; runs 2 and 3, which lie on each other, leave
the left third flat; runs 4 and 5 lie on the sine. What is wrong there is neither the network nor the optimizer, but how
the weights begin: see ``sine_initialization.py``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import nnxp
import nnxp.compat.nnfs as nnfs
from _book import forward, train
from _shared import command, save
from nnxp import plotting
from nnxp.compat.nnfs import (
    Activation_Linear,
    Activation_ReLU,
    Layer_Dense,
    Loss_MeanSquaredError,
    Optimizer_Adam,
    sine_data,
)

RUNS = {
    "1": ("one hidden layer of 64", 1, {}),
    "2": ("two hidden layers of 64", 2, {}),
    "3": ("two, learning rate 0.01, decay 1e-3", 2, {"learning_rate": 0.01, "decay": 1e-3}),
    "4": ("two, weights 0.1 · N(0, 1)", 2, {"learning_rate": 0.005, "decay": 1e-3}),
    "5": ("two, Glorot's weights", 2, {"learning_rate": 0.005, "decay": 1e-3}),
}


def times_ten(inputs: int, neurons: int) -> np.ndarray:
    """The book's next draw, scaled by 0.1 in the place of 0.01."""
    return np.float32(0.1) * np.random.randn(inputs, neurons).astype(np.float32)


def glorot(inputs: int, neurons: int) -> np.ndarray:
    """A uniform draw from the same stream."""
    limit = np.sqrt(6 / (inputs + neurons))
    return np.random.uniform(-limit, limit, (inputs, neurons)).astype(np.float32)


STARTS = {"4": times_ten, "5": glorot}


def run(backend: str | nnxp.Backend, picture: Path, epochs: int, only: str = "all") -> dict[str, list[str]]:
    """Train, print, draw; the printed lines of each run."""
    backend = nnxp.get_backend(backend)
    lines, curves = {}, {}
    for number in RUNS if only == "all" else [only]:
        name, hidden, options = RUNS[number]
        print(f"\nrun {number}: {name}")
        start = STARTS.get(number)
        lines[number], x, y, prediction = learn(backend, hidden, Optimizer_Adam(**options), epochs, start)
        curves |= {"sine": y, f"{number}: {name}": prediction}
    save(plotting.lines(x, curves, title=f"Chapter 17, after {epochs:,} epochs"), picture)
    return lines


def learn(
    backend: nnxp.Backend,
    hidden: int,
    optimizer: Optimizer_Adam,
    epochs: int,
    start: Callable[[int, int], np.ndarray] | None,
) -> tuple[list[str], Any, Any, Any]:
    """The printed lines of one run, the data, and the prediction in the end; ``start`` draws other weights."""
    nnfs.init(backend)
    X, y = sine_data()
    layers = []
    for inputs in (1, 64)[:hidden]:
        layers += [Layer_Dense(inputs, 64), Activation_ReLU()]
    layers += [Layer_Dense(64, 1), Activation_Linear()]
    if start is not None:
        nnfs.init(backend)  # the stream from its beginning, as if the layers had drawn these
        for layer in layers[::2]:
            weights, biases = layer.get_parameters()
            layer.set_parameters(start(*weights.shape), biases)
    targets = backend.to_numpy(y)
    precision = np.std(targets) / 250

    def accuracy(predictions: Any, y: Any) -> float:
        return np.mean(np.absolute(backend.to_numpy(predictions) - targets) < precision)

    lines = train(layers, Loss_MeanSquaredError(), optimizer, accuracy, X, y, epochs)
    return lines, backend.to_numpy(X), targets, backend.to_numpy(forward(layers, X))


if __name__ == "__main__":
    only = {"choices": (*RUNS, "all"), "default": "all", "help": "which of the five (all)"}
    command(run, __doc__, picture="sine_book.png", epochs=10_001, only=only)
