"""(e) Annealing: the learning rate falls as 0.01 / (1 + 0.01·t), on the network of (b).

Large steps at first, small ones later: the loss falls smoothly to the end, and further than with the fixed rate of (b),
whose steps jump over the minimum.
"""

from pathlib import Path

from _moons import STEPS, moons, network, show, train
from _shared import command, table
from nnxp import schedules


def run(backend: str, picture: Path, epochs: int) -> list[tuple[int, float]]:
    """Train, print, draw; the table's rows."""
    x, y = moons()
    model = network((2, 3, 2), backend, learning_rate=schedules.InverseTimeDecay(0.01, 0.01))
    rows = train(model, x, y, epochs)
    table(("iteration", "loss"), rows)
    show(model, x, y, "Annealed", picture)
    return rows


if __name__ == "__main__":
    command(run, __doc__, picture="moons_annealing.png", epochs=STEPS)
