"""Binary logistic regression: one output that says how likely "yes" is, and several of them side by side.

The network 2 → 64 → 1 ends in p = σ(z) = 1 / (1 + e⁻ᶻ), the probability of class 1, and is trained on the loss
−(y·log p + (1 − y)·log(1 − p)) + λ·(‖W₁‖² + ‖b₁‖²) with λ = 5e-4. The answer is "yes" where p > 0.5. Look at the
picture: the white line, where p = 0.5, tries to follow the arms of the spiral. A second draw of the data, which the
network has not seen, shows how much of that is true of all such spirals. The weights begin near 0, as in the book
*Neural Networks from Scratch*, and from there the run is chaotic: the seed, the processor and the order of sums decide
whether three quarters or 96% of the samples end up on the right side.

Softmax outputs compete: one class, and only one, is right. Sigmoid outputs do not, so a network can answer several
questions about one sample at once: here, whether a point is on arm 1, and whether it is in the right half.
"""

from pathlib import Path

import numpy as np

import nnxp
from _shared import command, save, table
from nnxp import data, initializers, layers, losses, optimizers, plotting, regularizers, schedules

LEARNING_RATE = schedules.InverseTimeDecay(0.001, 5e-7)


def run(backend: str | nnxp.Backend, picture: Path, epochs: int) -> list[tuple]:
    """Train, print, draw; the table's rows."""
    x, y = data.spiral(100, 2, seed=1)
    model = network(1, backend)
    history = model.fit(x, y[:, None], epochs=epochs, progress="off")
    rows = []
    for epoch in range(0, epochs, max(epochs // 10, 1)):
        accuracy, loss, data_loss = (history[name][epoch] for name in ("accuracy", "loss", "data_loss"))
        rows.append((epoch, accuracy, loss, data_loss, loss - data_loss, LEARNING_RATE(epoch)))
    table(("epoch", "accuracy", "loss", "data loss", "penalty", "learning rate"), rows)

    unseen = data.spiral(100, 2, seed=2)
    validation = model.evaluate(unseen.x, unseen.y[:, None])
    print(f"validation: accuracy {validation['accuracy']:.3f}, loss {validation['data_loss']:.3f}")
    title = f"Binary logistic regression: {model.evaluate(x, y[:, None])['accuracy']:.1%} are right"
    save(plotting.decision_boundary(model.predict, x, y, title=title), picture)

    answers = np.stack([y == 1, x[:, 0] > 0], axis=1)
    both = network(2, backend)
    both.fit(x, answers, epochs=epochs, progress="off")
    arm, half = np.mean((both.predict(x) > 0.5) == answers, axis=0)
    print(f"two outputs at once: on arm 1? {arm:.1%} are right; in the right half? {half:.1%} are right")
    return rows


def network(outputs: int, backend: str | nnxp.Backend) -> nnxp.Model:
    """64 hidden neurons, and a sigmoid for each question."""
    penalty, start = regularizers.L2(5e-4), initializers.Normal(0.01)
    return nnxp.Model(
        [
            layers.Dense(64, weight_regularizer=penalty, bias_regularizer=penalty, weight_initializer=start),
            layers.ReLU(),
            layers.Dense(outputs, weight_initializer=start),
            layers.Sigmoid(),
        ],
        loss=losses.BinaryCrossentropy(),
        optimizer=optimizers.Adam(LEARNING_RATE),
        metrics=["accuracy"],
        backend=backend,
    )


if __name__ == "__main__":
    command(run, __doc__, picture="binary_logistic_regression.png", epochs=10_001)
