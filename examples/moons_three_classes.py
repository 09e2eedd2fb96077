"""(h) Three classes: a third moon below the second, and nothing changes but the number of outputs.

Softmax and cross-entropy take any number of classes: 2 → 5 → 3, on mini-batches of 128.
"""

from pathlib import Path

import numpy as np

from _moons import network, show
from _shared import command, table
from nnxp import data


def run(backend: str, picture: Path, epochs: int) -> float:
    """Train, print, draw; the share that is right."""
    x, y = three_moons()
    model = network((2, 5, 3), backend)
    history = model.fit(x, y, epochs=epochs, batch_size=128, progress="off")
    shown = sorted({1, *range(max(epochs // 5, 1), epochs + 1, max(epochs // 5, 1)), epochs})
    table(
        ("epoch", "loss", "accuracy"), [(n, history["loss"][n - 1] / len(y), history["accuracy"][n - 1]) for n in shown]
    )
    return show(model, x, y, "Three moons", picture)


def three_moons(samples: int = 300, noise: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """The two moons, and the first one again beneath the second."""
    x, y = data.moons(samples * 2 // 3, noise=noise, seed=0)
    third = data.moons(samples * 2 // 3, noise=noise, seed=1).x[: samples // 3] + np.array([0.0, -1.7])
    return np.concatenate([x, third]), np.concatenate([y, np.full(len(third), 2)])


if __name__ == "__main__":
    command(run, __doc__, picture="moons_three_classes.png", epochs=500)
