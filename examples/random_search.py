"""Learning without a gradient: change all weights at random, and keep what is better.

A network 2 → H → 3 sorts the points of a spiral into three classes. Random search tries w + 0.05·N(0, 1) for every
weight and bias at each step, and keeps it where the loss fell. Adam makes as many steps from the same initial weights,
and knows from the gradient which way is down. (A step of the search costs two forward passes, the candidate's and the
best one's on the same batch; a step of Adam costs one forward and one backward.)

Look at the picture. With three hidden neurons neither gets far: 21 parameters are too few for a spiral. With 64 there
are 387, which Adam puts to use; but a random change of 387 numbers at once is hardly ever a better one, so the search
gains little from them. Networks have millions: that is why one wants the gradient.
"""

from pathlib import Path

import nnxp
from _shared import command, save, table
from nnxp import data, layers, losses, optimizers, plotting

HIDDEN = (3, 64)


def run(backend: str | nnxp.Backend, picture: Path, epochs: int) -> list[tuple[int, float, float]]:
    """Search, train, print, draw; the improvements that the search of the small network found."""
    x, y = data.spiral(100, 3)
    rivals = {"random search": optimizers.RandomSearch(scale=0.05), "Adam": optimizers.Adam(0.02)}
    models = {(h, name): network(h, rival, backend) for h in HIDDEN for name, rival in rivals.items()}
    found = {key: model.fit(x, y, epochs=epochs, progress="off") for key, model in models.items()}

    rows = improvements(found[3, "random search"])
    table(("iteration", "loss", "accuracy"), rows)
    print(f"{len(rows) - 1} of {epochs - 1:,} random steps were improvements")
    finals = [(*key, history["loss"][-1], history["accuracy"][-1]) for key, history in found.items()]
    table(("hidden", "learning by", "loss", "accuracy"), finals)
    curves = {f"{h} hidden neurons, {name}": history["loss"] for (h, name), history in found.items()}
    title = f"{epochs:,} steps with and without the gradient"
    save(plotting.lines(range(epochs), curves, xlabel="iteration", ylabel="loss", log=True, title=title), picture)
    return rows


def network(hidden: int, optimizer: optimizers.Optimizer, backend: str | nnxp.Backend) -> nnxp.Model:
    """Some hidden neurons, three classes."""
    return nnxp.Model(
        [layers.Dense(hidden), layers.ReLU(), layers.Dense(3), layers.Softmax()],
        loss=losses.CategoricalCrossentropy(),
        optimizer=optimizer,
        metrics=["accuracy"],
        backend=backend,
    )


def improvements(history: nnxp.History) -> list[tuple[int, float, float]]:
    """Iteration, loss and accuracy where the loss is lower than ever before; the first row is the start.

    The loss of a step is the one before its update: that of the best parameters so far.
    """
    rows = []
    for iteration, (loss, accuracy) in enumerate(zip(history["loss"], history["accuracy"], strict=True)):
        if not rows or loss < rows[-1][1]:
            rows.append((iteration, loss, accuracy))
    return rows


if __name__ == "__main__":
    command(run, __doc__, picture="random_search.png", epochs=10_000)
