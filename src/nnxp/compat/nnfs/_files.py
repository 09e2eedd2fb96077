"""The book's models as nnxp's files: a file that the one writes, the other reads. Never a pickle.

A model is written as the `nnxp.Model` that it amounts to, with the optimizer's memory and count, so training goes on
where it was.
"""

from os import PathLike
from typing import Any

from nnxp import _check, initializers, layers, losses, metrics, optimizers, regularizers, schedules
from nnxp._types import Array
from nnxp.backend import get_backend
from nnxp.compat.nnfs._accuracy import Accuracy, Accuracy_Categorical, Accuracy_Regression
from nnxp.compat.nnfs._activations import (
    Activation_Linear,
    Activation_ReLU,
    Activation_Sigmoid,
    Activation_Softmax,
)
from nnxp.compat.nnfs._arithmetic import current
from nnxp.compat.nnfs._layers import Layer_Dense, Layer_Dropout
from nnxp.compat.nnfs._losses import (
    Loss,
    Loss_BinaryCrossentropy,
    Loss_CategoricalCrossentropy,
    Loss_MeanAbsoluteError,
    Loss_MeanSquaredError,
)
from nnxp.compat.nnfs._optimizers import (
    Optimizer,
    Optimizer_Adagrad,
    Optimizer_Adam,
    Optimizer_RMSprop,
    Optimizer_SGD,
)
from nnxp.errors import ConfigurationError, FileFormatError
from nnxp.training import Model, load

__all__ = ["load_into", "load_parameters", "save", "save_parameters"]

_ACTIVATIONS: dict[type, type[layers.Layer]] = {
    Activation_Linear: layers.Linear,
    Activation_ReLU: layers.ReLU,
    Activation_Sigmoid: layers.Sigmoid,
    Activation_Softmax: layers.Softmax,
}
_LOSSES: dict[type[Loss], type[losses.Loss]] = {
    Loss_BinaryCrossentropy: losses.BinaryCrossentropy,
    Loss_CategoricalCrossentropy: losses.CategoricalCrossentropy,
    Loss_MeanAbsoluteError: losses.MeanAbsoluteError,
    Loss_MeanSquaredError: losses.MeanSquaredError,
}
_OPTIMIZERS: dict[type[Optimizer], tuple[type[optimizers.GradientOptimizer], tuple[str, ...]]] = {
    Optimizer_Adagrad: (optimizers.Adagrad, ("epsilon",)),
    Optimizer_Adam: (optimizers.Adam, ("epsilon", "beta_1", "beta_2")),
    Optimizer_RMSprop: (optimizers.RMSprop, ("epsilon", "rho")),
    Optimizer_SGD: (optimizers.SGD, ("momentum",)),
}


def save(model: Any, path: str | PathLike[str]) -> None:
    """Write all of a model."""
    written = _written(model, _loss(model.loss), _optimizer(model.optimizer), _metrics(model.accuracy))
    written.engine.load_slot_state(_slots(model, written))
    written.engine.step = model.optimizer.iterations
    written.save(path)


def save_parameters(model: Any, path: str | PathLike[str]) -> None:
    """Write weights and biases; the loss and the optimizer in the file mean nothing."""
    _written(model, losses.MeanSquaredError(), optimizers.SGD(), []).save(path)


def load_parameters(path: str | PathLike[str]) -> list[tuple[Array, Array]]:
    """Weights and biases of a file, layer by layer."""
    return [_parameters(layer) for layer in load(path).layers if isinstance(layer, layers.Dense)]


def load_into(model: Any, path: str | PathLike[str]) -> None:
    """Make an empty model what the file holds."""
    read = load(path)
    for layer in read.layers:
        model.add(_book_layer(layer, path))
    loss, optimizer = _of_nnxp(_LOSSES, read.loss, path)(), _book_optimizer(read.optimizer, path)
    accuracy = _book_accuracy(read.metrics)
    unsaid: list[tuple[str, Any, Any]] = [("input_scaling", read.input_scaling, None)]
    unsaid += [("loss", read.loss, _loss(loss)), ("optimizer", read.optimizer, _optimizer(optimizer))]
    if accuracy is not None:
        unsaid.append(("metrics", list(read.metrics), _metrics(accuracy)))
    for name, found, sayable in unsaid:
        if found != sayable:
            raise FileFormatError(f"{path} has {name} {found}, which the book's classes lack; read it with nnxp.load.")
    model.set(loss=loss, optimizer=optimizer, accuracy=accuracy)
    model.finalize()
    optimizer.iterations = read.step - read.engine.optimizer_start
    slots = read.engine.slot_state()
    for dense, index in _dense(model):
        for name in ("weights", "biases"):
            arrays = (slots[slot][f"{index}.{name}"] for slot in optimizer.slots)
            shaped = tuple(_shaped(current().asarray(a), getattr(dense, name)) for a in arrays)
            optimizer.memory.setdefault(dense, {})[name] = shaped


# -- from the book's objects to nnxp's


def _written(model: Any, loss: losses.Loss, optimizer: optimizers.Optimizer, accuracy: list[metrics.Metric]) -> Model:
    dense = _dense(model)
    if not dense:
        raise ConfigurationError("Model.save: there is no Layer_Dense, so there is nothing to save.")
    backend = get_backend("numpy", dtype=_check.dtype_name(current().dtype))
    chain = [_nnxp_layer(layer) for layer in model.layers]
    written = Model(chain, loss=loss, optimizer=optimizer, metrics=accuracy, backend=backend)
    written.build((_check.shape(dense[0][0].weights)[0],))
    to_numpy, state = current().to_numpy, {}
    for layer, index in dense:
        state[f"{index}.weights"] = to_numpy(layer.weights)
        state[f"{index}.biases"] = to_numpy(layer.biases).reshape(-1)
    written.load_state_dict(state)
    return written


def _dense(model: Any) -> list[tuple[Layer_Dense, int]]:
    """The layers with parameters, and their places in the chain."""
    return [(layer, index) for index, layer in enumerate(model.layers) if isinstance(layer, Layer_Dense)]


def _slots(model: Any, written: Model) -> dict[str, dict[str, Array]]:
    """What the optimizer remembers, by slot and key; of layers that it has not met, zeros."""
    optimizer, state = model.optimizer, written.engine.slot_state()
    for layer, index in _dense(model):
        for name, arrays in optimizer.memory.get(layer, {}).items():
            for slot, array in zip(optimizer.slots, arrays, strict=True):
                key = f"{index}.{name}"
                state[slot][key] = current().to_numpy(array).reshape(state[slot][key].shape)
    return state


def _nnxp_layer(layer: Any) -> layers.Layer:
    if type(layer) is Layer_Dense:
        return layers.Dense(
            _check.shape(layer.weights)[1],
            weight_regularizer=_regularizer(layer.weight_regularizer_l1, layer.weight_regularizer_l2),
            bias_regularizer=_regularizer(layer.bias_regularizer_l1, layer.bias_regularizer_l2),
            weight_initializer=initializers.Normal(0.01),
        )
    if type(layer) is Layer_Dropout:
        return layers.Dropout(layer.dropped)
    activation: layers.Layer = _counterpart(_ACTIVATIONS, layer)()
    return activation


def _regularizer(l1: float, l2: float) -> regularizers.Regularizer | None:
    if l1 and l2:
        return regularizers.L1L2(l1, l2)
    return regularizers.L1(l1) if l1 else regularizers.L2(l2) if l2 else None


def _loss(loss: Any) -> losses.Loss:
    counterpart: losses.Loss = _counterpart(_LOSSES, loss)()
    return counterpart


def _optimizer(optimizer: Any) -> optimizers.GradientOptimizer:
    kind, names = _counterpart(_OPTIMIZERS, optimizer)
    rate: Any = optimizer.learning_rate
    if optimizer.decay:
        rate = schedules.InverseTimeDecay(rate, optimizer.decay)
    counterpart: optimizers.GradientOptimizer = kind(rate, **{name: getattr(optimizer, name) for name in names})
    return counterpart


def _metrics(accuracy: Any) -> list[metrics.Metric]:
    if isinstance(accuracy, Accuracy_Categorical):
        return [metrics.BinaryAccuracy() if accuracy.binary else metrics.CategoricalAccuracy()]
    return [metrics.RegressionAccuracy(accuracy.precision)] if isinstance(accuracy, Accuracy_Regression) else []


def _counterpart(table: dict[Any, Any], thing: Any) -> Any:
    if type(thing) not in table:
        raise ConfigurationError(
            f"Model.save: a file cannot hold {type(thing).__name__}: it holds the book's own classes only. Keep what "
            "get_parameters() gives instead."
        )
    return table[type(thing)]


# -- from nnxp's objects to the book's


def _parameters(layer: layers.Dense) -> tuple[Array, Array]:
    weights, biases = (current().asarray(getattr(layer, name)) for name in ("weights", "biases"))
    return weights, current().xp.reshape(biases, (1, -1))


def _book_layer(layer: layers.Layer, path: Any) -> Any:
    if isinstance(layer, layers.Dropout):
        return Layer_Dropout(layer.rate)
    if not isinstance(layer, layers.Dense):
        return _of_nnxp(_ACTIVATIONS, layer, path)()
    rates = [*_rates(layer.weight_regularizer), *_rates(layer.bias_regularizer)]
    book = Layer_Dense.__new__(Layer_Dense)  # its constructor would draw weights, and move the legacy stream
    book.weights, book.biases = _parameters(layer)
    book.weight_regularizer_l1, book.weight_regularizer_l2, book.bias_regularizer_l1, book.bias_regularizer_l2 = rates
    return book


def _rates(regularizer: regularizers.Regularizer | None) -> tuple[float, float]:
    penalties = () if regularizer is None else regularizer.penalties()
    l1 = sum(penalty.rate for penalty in penalties if isinstance(penalty, regularizers.L1))
    return l1, sum(penalty.rate for penalty in penalties if isinstance(penalty, regularizers.L2))


def _book_optimizer(optimizer: optimizers.Optimizer, path: Any) -> Optimizer:
    kinds = {book: kind for book, (kind, _) in _OPTIMIZERS.items()}
    book = _of_nnxp(kinds, optimizer, path)
    rate: Any = getattr(optimizer, "learning_rate", None)
    decay = 0.0
    if isinstance(rate, schedules.InverseTimeDecay):
        rate, decay = rate.learning_rate, rate.decay
    if not isinstance(rate, int | float):
        raise FileFormatError(f"{path}: the book's optimizers have no schedule like {rate!r}; use nnxp.load.")
    names = _OPTIMIZERS[book][1]
    return book(learning_rate=rate, decay=decay, **{name: getattr(optimizer, name) for name in names})  # type: ignore[no-any-return]


def _book_accuracy(found: tuple[metrics.Metric, ...]) -> Accuracy | None:
    for metric in found:
        if isinstance(metric, metrics.RegressionAccuracy):
            accuracy = Accuracy_Regression()
            accuracy.precision = metric.tolerance
            return accuracy
        if isinstance(metric, metrics.CategoricalAccuracy | metrics.BinaryAccuracy):
            return Accuracy_Categorical(binary=isinstance(metric, metrics.BinaryAccuracy))
    return None


def _of_nnxp(table: dict[Any, Any], thing: Any, path: Any) -> Any:
    for book, kind in table.items():
        if type(thing) is kind:
            return book
    raise FileFormatError(f"{path} holds {thing}, for which the book has no class; read it with nnxp.load.")


def _shaped(array: Array, like: Array) -> Array:
    return current().xp.reshape(array, _check.shape(like))
