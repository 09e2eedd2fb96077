"""A fully connected layer by itself: forward, backward, and a step downhill.

Forward: z = x·W + b, y = tanh z, for a whole batch x[B, I] at once: row by row the same as one sample at a time.
Backward: from dL/dy come dL/dz = dL/dy·(1 − y²), then dL/dW = xᵀ·dL/dz and dL/db = Σ dL/dz, which the layer keeps, and
dL/dx = dL/dz·Wᵀ, which it hands to the layer before it. A step: W ← W − ε·dL/dW, b ← b − ε·dL/db.

The targets come from a layer with known weights. Look at the table: from standard-normal weights, the steps find the
ones that made the targets. Look at the picture: in the end, the loss is a straight line on a logarithmic scale, so that
each step takes off the same share of it.
"""

from pathlib import Path
from typing import Any

import numpy as np

import nnxp
from _shared import command, save, table
from nnxp import initializers, layers, losses, plotting

WEIGHTS, BIASES = np.array([[1.0, -0.5], [-1.5, 0.5], [0.5, 1.0]]), np.array([0.5, -0.5])


def run(backend: str | nnxp.Backend, picture: Path, epochs: int, epsilon: float = 0.5) -> list[float]:
    """Learn, print, draw; the losses."""
    backend = nnxp.get_backend(backend)
    samples = np.random.default_rng(0).standard_normal((100, 3))
    x, target = backend.asarray(samples), backend.asarray(np.tanh(samples @ WEIGHTS + BIASES))
    normal = initializers.Normal(1.0)
    dense, tanh = layers.Dense(2, weight_initializer=normal, bias_initializer=normal), layers.Tanh()
    tanh.build(dense.build((3,), backend), backend)
    check_batch(dense, x, backend)

    loss = losses.MeanSquaredError()
    history = []
    for _ in range(epochs):
        y = tanh.forward(dense.forward(x))
        history.append(float(loss.value(y, target)))
        dense.backward(tanh.backward(loss.gradient(y, target)))  # also returns dL/dx
        optimize(dense, epsilon)

    table(("step", "loss"), [(step, history[step]) for step in range(0, epochs, max(epochs // 8, 1))])
    table(("parameter", "learned", "true"), compare(backend.to_numpy(dense.weights), backend.to_numpy(dense.biases)))
    title = f"One layer, {epochs} steps of gradient descent"
    save(plotting.lines(range(epochs), {"loss": history}, xlabel="step", ylabel="loss", log=True, title=title), picture)
    return history


def compare(weights: np.ndarray, biases: np.ndarray) -> list[tuple]:
    """Each parameter next to the one that made the targets."""
    rows = [(f"W[{i},{j}]", float(weights[i, j]), float(true)) for (i, j), true in np.ndenumerate(WEIGHTS)]
    return rows + [(f"b[{j}]", float(biases[j]), float(true)) for j, true in enumerate(BIASES)]


def optimize(layer: layers.Dense, epsilon: float) -> None:
    """A step against the gradient that the last backward left."""
    gradients = layer.gradients()
    layer.weights = layer.weights - epsilon * gradients["weights"]
    layer.biases = layer.biases - epsilon * gradients["biases"]


def check_batch(layer: layers.Dense, x: Any, backend: nnxp.Backend) -> None:
    """Hold a batch against its samples one at a time."""
    one_by_one = [layer.forward(x[row : row + 1, ...]) for row in range(x.shape[0])]
    difference = float(backend.xp.max(abs(layer.forward(x) - backend.xp.concat(one_by_one))))
    print(f"{x.shape[0]} samples as a batch and one at a time: outputs differ by {difference:.1e} at most")


if __name__ == "__main__":
    epsilon = {"type": float, "default": 0.5, "help": "how far to step against the gradient (0.5)"}
    command(run, __doc__, picture="layer.png", epochs=200, epsilon=epsilon)
