"""(b) Three hidden neurons part the two moons that no straight line can part.

A network 2 → 3 → 2 with tanh and softmax, trained by plain gradient descent: 20,000 full-batch steps with learning rate
0.01. The loss is printed after steps 0, 1000, 2000, … Its steps are too large to come to rest: in the end the loss
jumps between 0.0708 and 0.0713 from one step to the next, and rounding decides which of the two is printed. Annealing,
in (e), is the cure.
"""

from pathlib import Path

from _moons import STEPS, moons, network, show, train
from _shared import command, table


def run(backend: str, picture: Path, epochs: int) -> list[tuple[int, float]]:
    """Train, print, draw; the table's rows."""
    x, y = moons()
    model = network((2, 3, 2), backend)
    rows = train(model, x, y, epochs)
    table(("iteration", "loss"), rows)
    show(model, x, y, "Three hidden neurons", picture)
    return rows


if __name__ == "__main__":
    command(run, __doc__, picture="moons_network.png", epochs=STEPS)
