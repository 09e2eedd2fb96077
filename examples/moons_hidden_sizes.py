"""(c) How many hidden neurons are enough: 1, 2, 3, 4, 5, 20 and 50, trained in the same way.

The boundary is made of as many bends as there are hidden tanh neurons. Look at the grid: one neuron is the straight
line again, three follow the moons, and from five on the line bends around single samples. That two are right less often
than one is no contradiction: the loss is lower, and it is the loss that is trained.
"""

from pathlib import Path

from _moons import STEPS, accuracy, moons, network, reported_loss, train
from _shared import command, save, table
from nnxp import plotting

SIZES = (1, 2, 3, 4, 5, 20, 50)


def run(backend: str, picture: Path, epochs: int) -> None:
    """Train a network of each size, print, draw the grid."""
    x, y = moons()
    models = {size: network((2, size, 2), backend) for size in SIZES}
    rows = []
    for size, model in models.items():
        train(model, x, y, epochs)
        rows.append((size, reported_loss(model, x, y), accuracy(model, x, y)))
    table(("hidden", "loss", "accuracy"), rows)
    names = {f"{size} hidden: {right:.1%}": models[size].predict for size, _, right in rows}
    save(plotting.decision_boundaries(names, x, y, columns=4), picture)


if __name__ == "__main__":
    command(run, __doc__, picture="moons_hidden_sizes.png", epochs=STEPS)
