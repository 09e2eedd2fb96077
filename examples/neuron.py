"""A neuron: y = f(w·x + b). It weighs its inputs, adds a bias, and an activation f makes the output of the sum z.

The weights and the bias of this one are drawn uniformly from [−1, 1]. The table shows its output with several
activations: the perceptron's step (0 for z ≤ 0, else 1), two of nnxp's, and two that are written here. Any function can
be one, if its derivative is known as a function of the output: σ′ = σ·(1 − σ) for the sigmoid, (1 − |y|)² for softsign.

A perceptron parts the plane by the straight line w·x + b = 0. Look at the picture: with w = (1, 1) and b = −1.5, only
the corner (1, 1) is on the far side of the line, so the perceptron is the logical "and" of its inputs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import nnxp
from _shared import command, save, table
from nnxp import initializers, layers, plotting
from nnxp.gradcheck import numerical_gradient

INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
AND = np.array([0, 0, 0, 1])


class Activation(layers.Layer):
    """Any function as a layer: y = f(x), with its derivative as a function of y."""

    def __init__(self, f: Callable[[Any], Any], derivative: Callable[[Any], Any]) -> None:
        self.f, self.derivative = f, derivative

    def forward(self, x: Any, *, training: bool = False) -> Any:
        self.y = self.f(x)
        return self.y

    def backward(self, dy: Any) -> Any:
        return dy * self.derivative(self.y)


def run(backend: str | nnxp.Backend, picture: Path) -> list[tuple]:
    """Show the outputs, check the derivatives, draw; the rows of the first table."""
    backend = nnxp.get_backend(backend)
    xp, x = backend.xp, backend.asarray(INPUTS)
    neuron = dense(backend)
    weights, bias = (backend.to_numpy(array) for array in (neuron.weights, neuron.biases))
    print(f"w = ({weights[0, 0]:.6f}, {weights[1, 0]:.6f}), b = {bias[0]:.6f}")
    activations = {
        "step": layers.Step(),
        "sigmoid": layers.Sigmoid(),
        "ReLU": layers.ReLU(),
        "own sigmoid": Activation(lambda z: 1 / (1 + xp.exp(-z)), lambda y: y * (1 - y)),
        "softsign": Activation(lambda z: z / (1 + abs(z)), lambda y: (1 - abs(y)) ** 2),
    }
    z = neuron.forward(x)
    columns = [z]
    for activation in activations.values():
        activation.build((1,), backend)
        columns.append(activation.forward(z))
    rows = [tuple(row) for row in backend.to_numpy(xp.concat([x, *columns], axis=1)).tolist()]
    table(("x0", "x1", "w·x + b", *activations), rows)
    for name in ("own sigmoid", "softsign"):
        check(name, activations[name], z, backend)
    draw(backend, picture)
    return rows


def dense(backend: nnxp.Backend) -> layers.Dense:
    """A neuron with two inputs, without its activation."""
    uniform = initializers.Uniform(-1, 1)
    neuron = layers.Dense(1, weight_initializer=uniform, bias_initializer=uniform)
    neuron.build((2,), backend)
    return neuron


def check(name: str, activation: Activation, z: Any, backend: nnxp.Backend) -> None:
    """Hold the derivative that was given against differences of the function."""
    activation.forward(z)
    given = activation.backward(backend.xp.ones_like(z))
    differences = numerical_gradient(lambda z: backend.xp.sum(activation.f(z)), z)
    error = float(backend.xp.max(abs(given - differences)))
    print(f"{name}: the derivative that was given differs from differences by {error:.1e} at most")


def draw(backend: nnxp.Backend, picture: Path) -> None:
    """The line of the perceptron that says "and"."""
    perceptron, step = dense(backend), layers.Step()
    step.build((1,), backend)
    perceptron.weights, perceptron.biases = [[1.0], [1.0]], [-1.5]

    def answer(points: np.ndarray) -> np.ndarray:
        return backend.to_numpy(step.forward(perceptron.forward(backend.asarray(points))))

    print(f"and: {answer(INPUTS)[:, 0].astype(int).tolist()}, expected {AND.tolist()}")
    title = 'The perceptron w = (1, 1), b = −1.5 says "and"'
    save(plotting.decision_boundary(answer, INPUTS, AND, resolution=400, title=title), picture)


if __name__ == "__main__":
    command(run, __doc__, picture="neuron.png")
