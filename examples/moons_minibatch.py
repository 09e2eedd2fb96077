"""(d) Mini-batches: 128 of the 200 samples at a time, drawn without replacement.

A batch's gradient is a noisy, cheaper estimate of the full one. Look at the table: the loss of the mini-batches jumps,
and ends about as low as with full batches; the two boundaries are nearly the same.
"""

from pathlib import Path

import numpy as np

from _moons import PRINT_EVERY, STEPS, accuracy, moons, network, reported_loss, train
from _shared import command, save, table
from nnxp import plotting

BATCH = 128


def run(backend: str, picture: Path, epochs: int) -> float:
    """Train on batches and, for comparison, on everything; print, draw; the share that is right."""
    x, y = moons()
    whole, batched = network((2, 3, 2), backend), network((2, 3, 2), backend)
    generator, reports = np.random.default_rng(0), []
    asarray = batched.backend.asarray
    for step in range(epochs):
        rows = generator.choice(len(y), BATCH, replace=False)
        batched.train_step(asarray(x[rows]), asarray(y[rows]))
        if step % PRINT_EVERY == 0:
            reports.append((step, reported_loss(batched, x, y)))
    full = train(whole, x, y, epochs)
    rows = [(step, loss, other) for (step, loss), (_, other) in zip(reports, full, strict=True)]
    table(("iteration", f"loss, {BATCH} a batch", "loss, all"), rows)
    right = accuracy(batched, x, y)
    print(f"{right:.1%} of {len(y)} samples are right")
    predicts = {f"{BATCH} samples a step": batched.predict, "all 200 samples a step": whole.predict}
    save(plotting.decision_boundaries(predicts, x, y), picture)
    return right


if __name__ == "__main__":
    command(run, __doc__, picture="moons_minibatch.png", epochs=STEPS)
