"""What ``nnxp train`` does with each data set: its splits, a network that suits it, and how to draw the result.

The digits' hyper-parameters were chosen on the validation split.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nnxp import data, plotting, regularizers
from nnxp._types import Array
from nnxp.backend import Backend
from nnxp.data import Scaling, Splits, Table
from nnxp.errors import DataError
from nnxp.layers import Dense, Dropout, Flatten, Layer, ReLU, Softmax
from nnxp.losses import CategoricalCrossentropy, Loss, MeanSquaredError
from nnxp.optimizers import Adam
from nnxp.training import Model

__all__ = ["FROM_FOLDERS", "NAMED", "Recipe", "of_name", "of_table", "read_table", "some"]

_IMAGES_SHOWN = 12
_WRONG_SHOWN = 3
_MANY_CLASSES = 50
_NAMES_SHOWN = 5
_FEWEST_ROWS = 10
_TOY_EPOCHS = 200


@dataclass(frozen=True)
class Recipe:
    """Everything about one training but the backend."""

    name: str
    task: str
    """What is learned, for the first line that a person reads."""
    splits: Splits
    layers: Sequence[Layer]
    loss: Loss
    learning_rate: float
    epochs: int
    batch_size: int
    draw: Callable[[Model, Splits], Any]
    input_scaling: Scaling | None = None
    class_names: tuple[str, ...] | None = None
    target_scaling: Scaling | None = None
    """Regression on a file learns scaled targets; `unscale` puts the scale into the last layer afterwards."""

    def model(self, backend: Backend) -> Model:
        """A new model for this data."""
        return Model(
            self.layers,
            loss=self.loss,
            optimizer=Adam(self.learning_rate),
            metrics=["accuracy"] if self.loss.targets == "classes" else [],
            backend=backend,
            input_scaling=self.input_scaling,
            class_names=self.class_names,
        )

    def targets(self, y: Array) -> Array:
        """Targets as the network learns them."""
        return y if self.target_scaling is None else self.target_scaling.apply(y)

    def unscale(self, model: Model) -> None:
        """Let the last layer, and so the model, predict in the data's own unit."""
        if self.target_scaling is None:
            return
        last, scaling = self.layers[-1], self.target_scaling
        assert isinstance(last, Dense)
        to_numpy = model.backend.to_numpy
        last.weights = to_numpy(last.weights) / scaling.factor
        last.biases = to_numpy(last.biases) / scaling.factor + scaling.offset
        model.optimizer = model.optimizer  # its memory is of the other unit


def _digits(seed: int) -> Recipe:
    return Recipe(
        name="digits",
        task="10 classes of images of 8 by 8",
        splits=data.digits(),
        layers=[Flatten(), Dropout(0.1), Dense(512), ReLU(), Dropout(0.5), Dense(10), Softmax()],
        loss=CategoricalCrossentropy(),
        learning_rate=1e-3,
        epochs=150,
        batch_size=32,
        draw=partial(_draw_images, "Handwritten digits"),
    )


def _mnist(folder: str | None, progress: str) -> Recipe:
    return _family("mnist", "images", data.mnist(folder, progress=progress), "Handwritten digits")


def _fashion_mnist(folder: str | None, progress: str) -> Recipe:
    splits = data.fashion_mnist(folder, progress=progress)
    return _family("fashion-mnist", "images of clothing", splits, "Articles of clothing", data.FASHION_CLASSES)


def _family(name: str, images: str, splits: Splits, title: str, class_names: tuple[str, ...] | None = None) -> Recipe:
    return Recipe(
        name=name,
        task=f"10 classes of {images} of 28 by 28",
        splits=splits,
        layers=[Flatten(), Dropout(0.1), Dense(512), ReLU(), Dropout(0.5), Dense(10), Softmax()],
        loss=CategoricalCrossentropy(),
        learning_rate=1e-3,
        epochs=20,
        batch_size=128,
        draw=partial(_draw_images, title),
        class_names=class_names,
    )


def _spiral(seed: int) -> Recipe:
    x, y = data.spiral(300, 3, seed=seed)
    decay = regularizers.L2(1e-4)
    hidden: list[Layer] = [Dense(64, weight_regularizer=decay), ReLU(), Dense(64, weight_regularizer=decay), ReLU()]
    return _toy(
        "spiral",
        "3 classes in the plane",
        data.split(x, y, seed=seed),
        [*hidden, Dense(3), Softmax()],
        CategoricalCrossentropy(),
    )


def _moons(seed: int) -> Recipe:
    x, y = data.moons(600, seed=seed)
    layers = [Dense(32), ReLU(), Dense(2), Softmax()]
    return _toy("moons", "2 classes in the plane", data.split(x, y, seed=seed), layers, CategoricalCrossentropy())


def _sine(seed: int) -> Recipe:
    x, y = data.sine(1000)
    layers = [Dense(64), ReLU(), Dense(64), ReLU(), Dense(1)]
    splits = data.split(x, y, seed=seed)
    return _toy("sine", "regression of sin(2 pi x)", splits, layers, MeanSquaredError(), draw=_draw_regression)


def _toy(
    name: str,
    task: str,
    splits: Splits,
    layers: Sequence[Layer],
    loss: Loss,
    draw: Callable[[Model, Splits], Any] | None = None,
) -> Recipe:
    return Recipe(
        name=name,
        task=task,
        splits=splits,
        layers=layers,
        loss=loss,
        learning_rate=5e-3,
        epochs=_TOY_EPOCHS,
        batch_size=64,
        draw=draw or _draw_plane,
    )


_MADE: Mapping[str, Callable[[int], Recipe]] = {"digits": _digits, "spiral": _spiral, "moons": _moons, "sine": _sine}
_READ: Mapping[str, Callable[[str | None, str], Recipe]] = {"mnist": _mnist, "fashion-mnist": _fashion_mnist}

FROM_FOLDERS = tuple(_READ)
"""The data sets that a user's folder may hold; without one, they are downloaded."""
NAMED = (*_MADE, *_READ)
"""The data sets that have a name."""


def of_name(name: str, seed: int, folder: str | None = None, progress: str = "auto") -> Recipe:
    """The recipe of a data set that has a name. Its data is made, read or downloaded now."""
    return _READ[name](folder, progress) if name in _READ else _MADE[name](seed)


# -- a user's own table


def read_table(path: str) -> Table:
    """A CSV or NPZ file, by its suffix."""
    readers = {".csv": data.load_csv, ".npz": data.load_npz}
    suffix = Path(path).suffix.lower()
    if suffix not in readers:
        names = ", ".join(NAMED)
        raise DataError(f"Data must be one of {names}, or a file that ends in .csv or .npz; got {path!r}.")
    return readers[suffix](path)


def of_table(path: str, seed: int, task: str) -> Recipe:
    """A recipe for a file. The task "auto" is classes for names and for up to 50 different whole numbers."""
    table = read_table(path)
    if len(table.y) < _FEWEST_ROWS:
        raise DataError(
            f"{path} holds {len(table.y)} samples; training, validation and test need {_FEWEST_ROWS} at least."
        )
    classes = None if task == "regression" and table.class_names is None else _as_classes(table, task)
    if classes is None:
        return _regression(Path(path).stem, table, seed)
    labels, names = classes
    splits = data.split(table.x, labels, seed=seed)
    return Recipe(
        name=Path(path).stem,
        task=f"{len(names)} classes ({some(names)}) from {table.x[0].size} features",
        splits=splits,
        layers=[*_flat(table.x), Dense(64), ReLU(), Dense(len(names)), Softmax()],
        loss=CategoricalCrossentropy(),
        learning_rate=2e-3,
        epochs=100,
        batch_size=32,
        draw=_draw_plane if table.x.shape[1:] == (2,) else _draw_history,
        input_scaling=Scaling.standard(splits.train.x),
        class_names=names,
    )


def _regression(name: str, table: Table, seed: int) -> Recipe:
    y = table.y.astype(np.float64).reshape(len(table.y), -1)
    splits = data.split(table.x, y, seed=seed)
    return Recipe(
        name=name,
        task=f"regression of {y.shape[1]} number{'s' * (y.shape[1] > 1)} from {table.x[0].size} features",
        splits=splits,
        layers=[*_flat(table.x), Dense(64), ReLU(), Dense(64), ReLU(), Dense(y.shape[1])],
        loss=MeanSquaredError(),
        learning_rate=2e-3,
        epochs=200,
        batch_size=32,
        draw=_draw_regression if table.x.shape[1:] == (1,) else _draw_history,
        input_scaling=Scaling.standard(splits.train.x),
        target_scaling=Scaling.standard(splits.train.y),
    )


def _flat(x: Array) -> list[Layer]:
    return [Flatten()] if x.ndim > 2 else []


def some(names: Sequence[str]) -> str:
    """A few of the names."""
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown}, and {len(names) - _NAMES_SHOWN} more"


def _as_classes(table: Table, task: str) -> tuple[Array, tuple[str, ...]] | None:
    """Labels from 0 and the classes' names; None for a regression."""
    if table.class_names is not None:
        return table.y, table.class_names
    if table.y.ndim != 1 or table.y.dtype.kind not in "iu":
        if task == "classes":
            raise DataError("The targets are not whole numbers or names, so they are no classes; leave --task out.")
        return None
    found, labels = np.unique(table.y, return_inverse=True)
    if len(found) > _MANY_CLASSES and task != "classes":
        return None
    return labels.astype(np.int64), tuple(map(str, found))


# -- pictures


def _draw_images(what: str, model: Model, splits: Splits) -> Any:
    x, y = splits.test
    predictions = model.predict(x).argmax(axis=1)
    wrong = np.flatnonzero(predictions != y)[:_WRONG_SHOWN]
    first = np.setdiff1d(np.arange(len(y)), wrong)[: _IMAGES_SHOWN - len(wrong)]
    shown = np.sort(np.concatenate([first, wrong]))
    accuracy = float((predictions == y).mean())
    title = f"{what}: {accuracy:.1%} of {len(y)} test images are right"
    names = model.class_names
    return plotting.report(model.history, x[shown], y[shown], predictions[shown], class_names=names, title=title)


def _draw_plane(model: Model, splits: Splits) -> Any:
    x, y = splits.test
    right = float((model.predict(x).argmax(axis=1) == y).mean())
    title = f"{right:.1%} of {len(y)} test samples are right"
    return plotting.decision_boundary(model.predict, x, y, class_names=model.class_names, title=title)


def _draw_regression(model: Model, splits: Splits) -> Any:
    x, y = splits.test
    prediction = model.predict(x)
    error = float(np.sqrt(np.mean((prediction - y) ** 2)))
    title = f"{len(y)} test samples, root mean squared error {error:.3g}"
    return plotting.regression_fit(x, y, prediction, title=title)


def _draw_history(model: Model, splits: Splits) -> Any:
    return plotting.history(model.history)
