"""How a network's weights begin can decide whether it learns.

A network with two hidden layers of 64 learns a sine from four kinds of random weights: N(0, 1) times 0.01, or times
0.1; Glorot's, uniform in ±√(6/(I + O)); He's, N(0, 2/I), for a layer with I inputs and O outputs. Signals and gradients
pass a layer with ReLU multiplied by about √(I/2) times the standard deviation of its weights: in the middle layer, by
0.06 for 0.01·N(0, 1), 0.6 for 0.1·N(0, 1), 0.7 for Glorot, and 1 for He.

Look at the picture: from 0.01 the loss stays at 0.031, where part of the sine is still a straight line and no ReLU is
left to bend it; Adam, with its usual rate of 0.001, is no help. The table has three draws of each kind. Chance has a
say: now and then 0.01 goes well, and He's weights, large behind the single input, can end in a straight line, too.
"""

from pathlib import Path

import nnxp
from _shared import command, save, table
from nnxp import data, initializers, losses, plotting
from sine import network

STARTS = {
    "0.01 · N(0, 1)": initializers.Normal(0.01),
    "0.1 · N(0, 1)": initializers.Normal(0.1),
    "Glorot uniform": initializers.GlorotUniform(),
    "He normal": initializers.HeNormal(),
}
SEEDS = (0, 1, 2)


def run(backend: str | nnxp.Backend, picture: Path, epochs: int) -> list[tuple]:
    """Train from each kind of weights, print, draw; the table's rows."""
    x, y = data.sine()
    curves, rows = {}, []
    for name, start in STARTS.items():
        for seed in SEEDS:
            model = network((64, 64), losses.MeanSquaredError(), start, backend, learning_rate=0.001, seed=seed)
            history = model.fit(x, y, epochs=epochs, progress="off")
            final = model.evaluate(x, y)
            rows.append((name, seed, final["loss"], final["accuracy"]))
            curves.setdefault(name, history["loss"])
    table(("initial weights", "seed", "loss", "accuracy"), rows)
    title = f"The same network from different initial weights (seed {SEEDS[0]})"
    save(plotting.lines(range(epochs), curves, xlabel="epoch", ylabel="loss", log=True, title=title), picture)
    return rows


if __name__ == "__main__":
    command(run, __doc__, picture="sine_initialization.png", epochs=2000)
