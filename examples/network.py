"""A network of sigmoid layers that reads handwritten digits, trained in mini-batches.

Flatten → 64 → 32 → 10, a sigmoid behind each layer; labels are one-hot rows, and the class is the largest output.
``--loss squared`` is Σₖ (pₖ − yₖ)², summed over the ten outputs; ``--loss crossentropy`` is the binary cross-entropy of
each output, summed likewise. The table has the mean over samples. Look at the picture: as the loss (left axis) falls,
the accuracy (right axis) rises, first fast, then hardly: the last images are the hard ones.

The tutorial that this follows divides its *printed* loss by the batch, but not its *gradient*. The same here is
``reduction="sum"``: the gradient is a sum over the 30 samples of a batch, so a learning rate has 30 times the effect
that it would have with a mean. Its 1e-3 is meant for the 1,667 batches an epoch of MNIST, and is the default there; the
small digits have 36, and the default for them is 0.1. Initial weights are Glorot's: the tutorial's N(0, 1) saturates
the sigmoids and learns more slowly.
"""

from pathlib import Path

import numpy as np

import nnxp
from _shared import command, save, table
from nnxp import layers, losses, metrics, optimizers, plotting
from nnxp.data import FASHION_CLASSES, Splits, digits, fashion_mnist, mnist
from nnxp.errors import ConfigurationError

LOSSES = {"squared": losses.MeanSquaredError, "crossentropy": losses.BinaryCrossentropy}
LEARNING_RATES = {"digits": 0.1, "mnist": 1e-3, "fashion-mnist": 1e-3}
ONE_HOT = np.eye(10)


def run(
    backend: str | nnxp.Backend,
    picture: Path,
    epochs: int,
    loss: str = "squared",
    learning_rate: float | None = None,
    data: str = "digits",
    data_folder: Path | None = None,
    images: Path | None = None,
) -> list[tuple[int, float, float]]:
    """Train, print, draw the curves and some test images; the table's rows."""
    images = images or picture.with_stem(f"{picture.stem}_images")
    plotting.check(images)
    train, validation, test = load(data, data_folder)
    model = network(loss, LEARNING_RATES[data] if learning_rate is None else learning_rate, backend)
    known = (validation.x, ONE_HOT[validation.y])
    history = model.fit(train.x, ONE_HOT[train.y], epochs=epochs, batch_size=30, validation_data=known, progress="off")
    mean_loss = [total / len(train.y) for total in history["loss"]]
    rows = list(zip(range(1, epochs + 1), mean_loss, history["val_accuracy"], strict=True))
    table(("epoch", "training loss", "validation accuracy"), rows)
    curves = {"loss": mean_loss, "val_accuracy": history["val_accuracy"]}
    save(plotting.loss_and_accuracy(curves, title=f"{data}, {loss} loss: {rows[-1][2]:.1%} are right"), picture)

    print(f"test accuracy: {model.evaluate(test.x, ONE_HOT[test.y])['accuracy']:.1%} of {len(test.y):,}")
    names = FASHION_CLASSES if data == "fashion-mnist" else tuple("0123456789")
    some, labels = test.x[:12], test.y[:12]
    outputs = model.predict(some)
    print(f"the first test image is read as {names[outputs[0].argmax()]}, and it is {names[labels[0]]}")
    save(plotting.image_row(some, labels, outputs, class_names=names, title="What the network reads"), images)
    return rows


def load(data: str, folder: Path | None) -> Splits:
    """Training, validation and test images; the large sets are downloaded where no folder has their files."""
    if data == "digits":
        if folder is not None:
            raise ConfigurationError("The digits come with nnxp; --data-folder is for mnist and fashion-mnist.")
        return digits()
    return {"mnist": mnist, "fashion-mnist": fashion_mnist}[data](folder)


def network(loss: str, learning_rate: float, backend: str | nnxp.Backend) -> nnxp.Model:
    """64 and 32 hidden neurons, ten outputs, sigmoids everywhere."""
    chain: list[layers.Layer] = [layers.Flatten()]
    for neurons in (64, 32, 10):
        chain += [layers.Dense(neurons), layers.Sigmoid()]
    return nnxp.Model(
        chain,
        loss=LOSSES[loss](reduction="sum"),
        optimizer=optimizers.SGD(learning_rate),
        metrics=[metrics.CategoricalAccuracy()],
        backend=backend,
    )


if __name__ == "__main__":
    command(
        run,
        __doc__,
        picture="network.png",
        epochs=50,
        loss={"choices": LOSSES, "default": "squared", "help": "what is minimized (squared)"},
        learning_rate={"type": float, "help": "of the summed gradient (0.1 for digits, 0.001 for the others)"},
        data={"choices": LEARNING_RATES, "default": "digits", "help": "which images (digits)"},
        data_folder={"type": Path, "metavar": "DIR", "help": "where the files of mnist or fashion-mnist are"},
        images={"type": Path, "metavar": "FILE", "help": "the test images (network_images.png, by the picture)"},
    )
