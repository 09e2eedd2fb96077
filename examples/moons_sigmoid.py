"""(g) The four layers of (f) with sigmoid in the place of tanh.

A sigmoid's slope is at most 1/4, so less of the gradient reaches the first layer: look how much later the loss falls.
The boundary is much the same in the end.
"""

from pathlib import Path

from _moons import STEPS, accuracy, moons, network, train
from _shared import command, save, table
from nnxp import layers, plotting, schedules


def run(backend: str, picture: Path, epochs: int) -> list[tuple[int, float]]:
    """Train both, print, draw; the table's rows."""
    x, y = moons()
    annealed = schedules.InverseTimeDecay(0.01, 0.01)
    models = {
        kind.__name__.lower(): network((2, 3, 3, 2), backend, activation=kind, learning_rate=annealed)
        for kind in (layers.Sigmoid, layers.Tanh)
    }
    reports = {name: train(model, x, y, epochs) for name, model in models.items()}
    rows = [(step, loss, other) for (step, loss), (_, other) in zip(*reports.values(), strict=True)]
    table(("iteration", *reports), rows)
    right = accuracy(models["sigmoid"], x, y)
    print(f"{right:.1%} of {len(y)} samples are right with sigmoid")
    predicts = {f"{name}, {accuracy(model, x, y):.1%}": model.predict for name, model in models.items()}
    save(plotting.decision_boundaries(predicts, x, y), picture)
    return reports["sigmoid"]


if __name__ == "__main__":
    command(run, __doc__, picture="moons_sigmoid.png", epochs=STEPS)
