"""(e) Annealing: the learning rate falls as 0.01 / (1 + 0.01·t), on the network of (b).

Large steps at first, small ones later: the loss falls smoothly to the end, and further than with the fixed rate of (b),
whose steps jump over the minimum.
"""

from pathlib import Path

from _moons import STEPS, accuracy, moons, network, train
from _shared import command, save, table
from nnxp import plotting, schedules


def run(backend: str, picture: Path, epochs: int) -> list[tuple[int, float]]:
    """Train, print, draw; the table's rows."""
    x, y = moons()
    model = network((2, 3, 2), backend, learning_rate=schedules.InverseTimeDecay(0.01, 0.01))
    rows = train(model, x, y, epochs)
    table(("iteration", "loss"), rows)
    right = accuracy(model, x, y)
    print(f"{right:.1%} of {len(y)} samples are right")
    title = f"Annealed: {right:.1%} are right"
    save(plotting.decision_boundary(model.predict, x, y, title=title), picture)
    return rows


if __name__ == "__main__":
    command(run, __doc__, picture="moons_annealing.png", epochs=STEPS)
