"""(f) One more layer: 2 → 3 → 3 → 2 with tanh, annealed as in (e).

The reported penalty still covers the first two weight matrices only, as in the tutorial's exercise; the gradient has
the penalty of all three.
"""

from pathlib import Path

from _moons import STEPS, moons, network, show, train
from _shared import command, table
from nnxp import schedules


def run(backend: str, picture: Path, epochs: int) -> list[tuple[int, float]]:
    """Train, print, draw; the table's rows."""
    x, y = moons()
    model = network((2, 3, 3, 2), backend, learning_rate=schedules.InverseTimeDecay(0.01, 0.01))
    rows = train(model, x, y, epochs)
    table(("iteration", "loss"), rows)
    show(model, x, y, "Two hidden layers of 3", picture)
    return rows


if __name__ == "__main__":
    command(run, __doc__, picture="moons_deeper.png", epochs=STEPS)
