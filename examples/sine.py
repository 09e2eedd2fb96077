"""Regression: a network learns one period of a sine from 1,000 points.

Dense layers with ReLU between them, and a linear output, make a function of straight pieces. The loss is the mean of
(p − y)², or of |p − y| with ``--loss absolute``, whose gradient is as large near the target as far from it, so that the
fit never comes to rest at a constant learning rate. "Accuracy" is the share of predictions closer to the sine than
std(y)/250. Look at the picture: the line lies on the points. ``--animation sine.gif`` shows how it got there: first the
slope in the middle, then one bend after the other. With ``--hidden 64`` there is one layer, and the bends come slowly.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import nnxp
from _shared import command, save, table
from nnxp import callbacks, data, initializers, layers, losses, optimizers, plotting

LOSSES = {"squared": losses.MeanSquaredError, "absolute": losses.MeanAbsoluteError}


def run(
    backend: str | nnxp.Backend,
    picture: Path,
    epochs: int,
    loss: str = "squared",
    hidden: Sequence[int] = (64, 64),
    animation: Path | None = None,
) -> list[tuple[int, float, float]]:
    """Train, print, draw; the table's rows."""
    if animation:
        plotting.check(animation, animation=True)  # before the work, not after it
    x, y = data.sine()
    model = network(hidden, LOSSES[loss](), initializers.Normal(0.1), backend)
    frames = Frames(x, epochs)
    history = model.fit(x, y, epochs=epochs, callbacks=[frames] if animation else [], progress="off")
    rows = [(n, history["loss"][n], history["accuracy"][n]) for n in range(0, epochs, max(epochs // 10, 1))]
    final = model.evaluate(x, y)
    rows.append((epochs, final["loss"], final["accuracy"]))
    table(("epoch", "loss", "accuracy"), rows)
    title = f"A sine after {epochs:,} epochs: loss {final['loss']:.1e}"
    save(plotting.regression_fit(x, y, model.predict(x), title=title), picture)
    if animation:
        plotting.animate_regression(animation, x, y, frames.frames)
        print(f"animation: {animation}")
    return rows


def network(
    hidden: Sequence[int],
    loss: losses.Loss,
    start: initializers.Initializer,
    backend: str | nnxp.Backend,
    *,
    learning_rate: float = 0.005,
    seed: int | None = None,
) -> nnxp.Model:
    """Hidden layers with ReLU, a linear output, Adam; all weights begin with ``start``."""
    chain: list[layers.Layer] = []
    for neurons in hidden:
        chain += [layers.Dense(neurons, weight_initializer=start), layers.ReLU()]
    chain += [layers.Dense(1, weight_initializer=start), layers.Linear()]
    adam = optimizers.Adam(learning_rate)
    return nnxp.Model(chain, loss=loss, optimizer=adam, metrics=["accuracy"], backend=backend, seed=seed)


class Frames(callbacks.Callback):
    """Predictions after up to 60 of the epochs, more of them early on, when they change most."""

    def __init__(self, x: np.ndarray, epochs: int) -> None:
        self.x, self.frames = x, []
        self.wanted = {round(root**3) for root in np.linspace(1, epochs ** (1 / 3), 60)}

    def on_epoch_end(self, model: Any, epoch: int, logs: Mapping[str, float]) -> None:
        if epoch + 1 in self.wanted:
            self.frames.append((f"epoch {epoch + 1:,}", model.predict(self.x)))


if __name__ == "__main__":
    command(
        run,
        __doc__,
        picture="sine.png",
        epochs=2000,
        loss={"choices": LOSSES, "default": "squared", "help": "what is minimized (squared)"},
        hidden={"type": int, "nargs": "+", "default": (64, 64), "help": "the sizes of the hidden layers (64 64)"},
        animation={"type": Path, "metavar": "FILE.gif", "help": "also write the fit while it learns"},
    )
