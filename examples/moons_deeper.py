"""(f) One more layer: 2 → 3 → 3 → 2 with tanh, annealed as in (e).

The reported penalty still covers the first two weight matrices only, as in the tutorial's exercise; the gradient has
the penalty of all three.
"""

from pathlib import Path

from _moons import STEPS, accuracy, moons, network, train
from _shared import command, save, table
from nnxp import plotting, schedules


def run(backend: str, picture: Path, epochs: int) -> list[tuple[int, float]]:
    """Train, print, draw; the table's rows."""
    x, y = moons()
    model = network((2, 3, 3, 2), backend, learning_rate=schedules.InverseTimeDecay(0.01, 0.01))
    rows = train(model, x, y, epochs)
    table(("iteration", "loss"), rows)
    right = accuracy(model, x, y)
    print(f"{right:.1%} of {len(y)} samples are right")
    title = f"Two hidden layers of 3: {right:.1%} are right"
    save(plotting.decision_boundary(model.predict, x, y, title=title), picture)
    return rows


if __name__ == "__main__":
    command(run, __doc__, picture="moons_deeper.png", epochs=STEPS)
