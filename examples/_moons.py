"""The network of the two-moons tutorial and its exercises, which the scripts ``moons_*.py`` share.

Source: Denny Britz, *Implementing a neural network from scratch* (2015). Everything is float64. The tutorial *sums* the
gradient over the samples, so ``reduction="sum"``; its penalty of 0.005·‖W‖² on each weight matrix has the gradient
0.01·W; and the loss that it prints is divided by the number of samples.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import nnxp
from _shared import save
from nnxp import Backend, layers, losses, optimizers, plotting, regularizers
from nnxp.errors import MissingDependencyError
from nnxp.layers import Layer

PENALTY = 0.005
PRINT_EVERY = 1000
STEPS = 20_000


def moons(samples: int = 200, noise: float = 0.20) -> tuple[np.ndarray, np.ndarray]:
    """The tutorial's draw: scikit-learn's moons under NumPy's legacy seed 0."""
    try:
        from sklearn.datasets import make_moons
    except ImportError as error:
        raise MissingDependencyError('scikit-learn is not installed; pip install "nnxp[examples]"') from error
    x, y = make_moons(samples, noise=noise, random_state=0)
    return x, y.astype(np.int64)


def network(
    sizes: Sequence[int],
    backend: str | Backend,
    *,
    activation: type[Layer] = layers.Tanh,
    learning_rate: float | nnxp.schedules.Schedule = 0.01,
) -> nnxp.Model:
    """Dense layers of these sizes with an activation between them and softmax at the end, in float64.

    The initial weights are N(0, 1)/√fan-in, drawn layer by layer after the legacy seed 0; biases begin at 0.
    """
    decay = regularizers.L2(PENALTY)
    chain: list[Layer] = []
    for size in sizes[1:]:
        chain += [layers.Dense(size, weight_regularizer=decay), activation()]
    chain[-1] = layers.Softmax()
    model = nnxp.Model(
        chain,
        loss=losses.CategoricalCrossentropy(reduction="sum"),
        optimizer=optimizers.SGD(learning_rate),
        metrics=["accuracy"],
        backend=backend,
        dtype="float64",
    )
    model.build(sizes[:1])
    legacy = np.random.RandomState(0)
    state = model.state_dict()
    for key, array in state.items():
        if key.endswith("weights"):
            state[key] = legacy.randn(*array.shape) / np.sqrt(array.shape[0])
    model.load_state_dict(state)
    return model


def train(model: nnxp.Model, x: np.ndarray, y: np.ndarray, steps: int) -> list[tuple[int, float]]:
    """Full-batch steps; the reported loss after the update of steps 0, 1000, 2000, …"""
    x, y = model.backend.asarray(x), model.backend.asarray(y)
    reports = []
    for step in range(steps):
        model.train_step(x, y)
        if step % PRINT_EVERY == 0:
            reports.append((step, reported_loss(model, x, y)))
    return reports


def reported_loss(model: nnxp.Model, x: np.ndarray, y: np.ndarray) -> float:
    """(Σ cross-entropy + 0.005·(‖W₁‖² + ‖W₂‖²)) / N: the tutorial's penalty knows the first two matrices, however many
    there are.
    """
    weights = [w for key, w in model.state_dict().items() if key.endswith("weights")]
    penalty = PENALTY * sum(float((w * w).sum()) for w in weights[:2])
    return (model.evaluate(x, y)["data_loss"] + penalty) / y.shape[0]


def accuracy(model: nnxp.Model, x: np.ndarray, y: np.ndarray) -> float:
    """The share of samples on the right side."""
    return model.evaluate(x, y)["accuracy"]


def show(model: nnxp.Model, x: np.ndarray, y: np.ndarray, what: str, picture: Path) -> float:
    """Print the share of samples that are right, and draw the decision boundary with it in the title."""
    right = accuracy(model, x, y)
    print(f"{right:.1%} of {len(y)} samples are right")
    save(plotting.decision_boundary(model.predict, x, y, title=f"{what}: {right:.1%} are right"), picture)
    return right
