"""(a) The baseline: logistic regression, which can only draw a straight line between the two moons.

Its probability of class 1 is σ(w·x + b): one dense layer with one output. Look at the picture: the line leaves the tips
of both moons on the wrong side, whatever the weights are.
"""

from pathlib import Path

import nnxp
from _moons import moons, show
from _shared import command, table
from nnxp import layers, losses, optimizers


def run(backend: str, picture: Path, epochs: int) -> None:
    """Train, print, draw."""
    x, y = moons()
    model = nnxp.Model(
        [layers.Dense(1), layers.Sigmoid()],
        loss=losses.BinaryCrossentropy(),
        optimizer=optimizers.SGD(1.0),
        metrics=["accuracy"],
        backend=backend,
    )
    history = model.fit(x, y[:, None], epochs=epochs, progress="off")
    shown = sorted({1, *range(max(epochs // 5, 1), epochs + 1, max(epochs // 5, 1)), epochs})
    table(("epoch", "loss", "accuracy"), [(n, history["loss"][n - 1], history["accuracy"][n - 1]) for n in shown])
    show(model, x, y[:, None], "Logistic regression", picture)


if __name__ == "__main__":
    command(run, __doc__, picture="moons_baseline.png", epochs=500)
