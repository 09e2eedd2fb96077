"""The book's ``Model``: it chains layers, trains them and prints what the book prints."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

from nnxp import _check
from nnxp._types import Array
from nnxp.compat.nnfs import _files
from nnxp.compat.nnfs._accuracy import as_it_is
from nnxp.compat.nnfs._activations import Activation_Softmax
from nnxp.compat.nnfs._arithmetic import current, own
from nnxp.compat.nnfs._batches import batches, reshuffled
from nnxp.compat.nnfs._layers import Layer_Input
from nnxp.compat.nnfs._losses import (
    Activation_Softmax_Loss_CategoricalCrossentropy,
    Loss_CategoricalCrossentropy,
)
from nnxp.errors import ConfigurationError, DataError, OrderError, ShapeError

__all__ = ["Model"]


class Model:
    """``add`` layers, ``set`` loss, optimizer, accuracy, ``finalize``, ``train``; ``predict``, ``save``, ``load``."""

    def __init__(self) -> None:
        self.layers: list[Any] = []
        self.trainable_layers: list[Any] = []
        self.loss: Any = None
        self.optimizer: Any = None
        self.accuracy: Any = None
        self.input_layer: Any = None
        self.output_layer_activation: Any = None
        self._head: Activation_Softmax_Loss_CategoricalCrossentropy | None = None

    def add(self, layer: Any) -> None:
        """Put a layer or an activation behind the others."""
        self.layers.append(_able("layer", layer, "add"))
        self.input_layer = None  # finalize again

    def set(self, *, loss: Any = None, optimizer: Any = None, accuracy: Any = None) -> None:
        """Take these; what is not given stays. Their order and ``finalize``'s do not matter."""
        for name, value in (("loss", loss), ("optimizer", optimizer), ("accuracy", accuracy)):
            if value is not None:
                setattr(self, name, _able(name, value, "set"))
        if self.input_layer is not None:
            self.finalize()

    def finalize(self) -> None:
        """Connect the layers; any number of them, with or without a loss."""
        if not self.layers:
            raise ConfigurationError("Model.finalize: there are no layers; add one first.")
        self.input_layer = Layer_Input()
        chain = [self.input_layer, *self.layers, self.loss]
        for before, layer, after in zip(chain, chain[1:], chain[2:], strict=False):
            layer.prev, layer.next = before, after
        self.output_layer_activation = self.layers[-1]
        self.trainable_layers = [layer for layer in self.layers if hasattr(layer, "weights")]
        self._head = None
        if self.loss is not None:
            self.loss.remember_trainable_layers(self.trainable_layers)
            if isinstance(self.layers[-1], Activation_Softmax) and isinstance(self.loss, Loss_CategoricalCrossentropy):
                self._head = Activation_Softmax_Loss_CategoricalCrossentropy()

    # -- training

    def train(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int | None = None,
        print_every: int = 1,
        validation_data: tuple[Any, Any] | None = None,
    ) -> None:
        """Train, and print as the book's chapters do.

        Without ``batch_size``, an update takes all samples; every ``print_every`` epochs give one line, and the
        validation one at the end (chapter 18). With it, every ``print_every`` steps give a line, and each epoch ends
        with lines for training and validation (from chapter 19 on); the samples are shuffled between epochs, with the
        legacy stream, so the first epoch is in the given order.
        """
        epochs, print_every = (
            _check.positive_int("Model.train", name, n)
            for name, n in (("epochs", epochs), ("print_every", print_every))
        )
        self._need("train", "loss", "optimizer", "accuracy")
        X, y = _data("Model.train", X, y)
        batches(1, batch_size)  # a wrong size is told before training, and so is wrong validation data
        if validation_data is not None:
            validation_data = _pair(validation_data)
        self.accuracy.init(y)
        if validation_data is not None:
            self._score(*validation_data, batch_size)  # a wrong row is told now, not after the last epoch
            self._new_pass()
        for epoch in range(1, epochs + 1):
            if batch_size is None:
                line = self._step(X, y)
                if not epoch % print_every:
                    print(f"epoch: {epoch}, {line}")
                continue
            print(f"epoch: {epoch}")
            self._epoch(X, y, batch_size, print_every)
            X, y = reshuffled(X, y)
            if validation_data is not None:
                self._validate(*validation_data, batch_size)
        if batch_size is None and validation_data is not None:
            self._validate(*validation_data, None)

    def evaluate(self, X: Any, y: Any, *, batch_size: int | None = None) -> None:
        """Print accuracy and loss of these samples, without penalties."""
        self._need("evaluate", "loss", "accuracy")
        self._validate(*_data("Model.evaluate", X, y), batch_size)

    def predict(self, X: Any, *, batch_size: int | None = None) -> Array:
        """The output of the last layer."""
        X = _features("Model.predict", X)
        outputs = [self.forward(X[part, ...], training=False) for part in batches(X.shape[0], batch_size)]
        return outputs[0] if len(outputs) == 1 else current().xp.concat(outputs)

    def forward(self, X: Any, training: bool) -> Array:
        """Run all layers; returns the last one's output."""
        entry = self._finalized().input_layer
        entry.forward(X, training)
        output = entry.output
        for layer in self.layers:
            layer.forward(output, training)
            output = layer.output
        return output

    def backward(self, output: Array, y: Any) -> None:
        """Run all layers backward; each has its ``dinputs`` then."""
        layers = self.layers
        if self._head is not None:
            self._head.backward(output, y)
            layers[-1].dinputs = dvalues = self._head.dinputs
            layers = layers[:-1]
        else:
            self.loss.backward(output, y)
            dvalues = self.loss.dinputs
        for layer in reversed(layers):
            layer.backward(dvalues)
            dvalues = layer.dinputs

    def _validate(self, X: Array, y: Array, batch_size: int | None) -> None:
        """`evaluate`, of data that was checked."""
        self._new_pass()
        self._score(X, y, batch_size)
        loss, accuracy = self.loss.calculate_accumulated(), self.accuracy.calculate_accumulated()
        print(f"validation, acc: {accuracy:.3f}, loss: {loss:.3f}")

    def _score(self, X: Array, y: Array, batch_size: int | None) -> None:
        """Count the loss and the accuracy of these samples."""
        for part in batches(X.shape[0], batch_size):
            output = self.forward(X[part, ...], training=False)
            self.loss.calculate(output, y[part, ...])
            self.accuracy.calculate(self.output_layer_activation.predictions(output), y[part, ...])

    def _epoch(self, X: Array, y: Array, batch_size: int, print_every: int) -> None:
        self._new_pass()
        parts = batches(X.shape[0], batch_size)
        for step, part in enumerate(parts):
            line = self._step(X[part, ...], y[part, ...])
            if not step % print_every or step == len(parts) - 1:
                print(f"step: {step}, {line}")
        data, penalty = self.loss.calculate_accumulated(include_regularization=True)
        print(f"training, {self._line(self.accuracy.calculate_accumulated(), data, penalty)}")

    def _step(self, X: Array, y: Array) -> str:
        """One update; returns what it was like before."""
        output = self.forward(X, training=True)
        data, penalty = self.loss.calculate(output, y, include_regularization=True)
        accuracy = self.accuracy.calculate(self.output_layer_activation.predictions(output), y)
        self.backward(output, y)
        self.optimizer.pre_update_params()
        for layer in self.trainable_layers:
            self.optimizer.update_params(layer)
        self.optimizer.post_update_params()
        return self._line(accuracy, data, penalty)

    def _line(self, accuracy: float, data: Any, penalty: Any) -> str:
        losses = f"{data + penalty:.3f} (data_loss: {data:.3f}, reg_loss: {penalty:.3f})"
        return f"acc: {accuracy:.3f}, loss: {losses}, lr: {self.optimizer.current_learning_rate}"

    def _new_pass(self) -> None:
        self.loss.new_pass()
        self.accuracy.new_pass()

    def _need(self, method: str, *names: str) -> None:
        missing = [name for name in names if getattr(self, name) is None]
        if missing:
            raise OrderError(f"Model.{method} needs {', '.join(missing)}: call set({missing[0]}=...) first.")
        last = self._finalized().output_layer_activation
        if "accuracy" in names and not callable(getattr(last, "predictions", None)):
            what = type(last).__name__
            raise ConfigurationError(f"Model.{method}: {what} has no predictions(); end with add(Activation_Linear()).")

    # -- parameters and files

    def get_parameters(self) -> list[tuple[Array, Array]]:
        """Weights and biases of each layer that has them."""
        return [layer.get_parameters() for layer in self._finalized().trainable_layers]

    def set_parameters(self, parameters: Sequence[tuple[Any, Any]]) -> None:
        """Take what `get_parameters` gave: all of it or, on any error, nothing."""
        layers = self._finalized().trainable_layers
        pairs = parameters if isinstance(parameters, list | tuple) else ()
        if [len(pair) for pair in pairs if isinstance(pair, list | tuple)] != [2] * len(layers):
            raise ConfigurationError(
                f"Model.set_parameters expected a list of (weights, biases) for {len(layers)} layers, got "
                f"{type(parameters).__name__} with {len(pairs)} items; use what get_parameters() gives."
            )
        kept = [layer.get_parameters() for layer in layers]
        try:
            for layer, pair in zip(layers, pairs, strict=True):
                layer.set_parameters(*pair)
        except Exception:
            for layer, pair in zip(layers, kept, strict=True):
                layer.set_parameters(*pair)
            raise

    def save_parameters(self, path: str | PathLike[str]) -> None:
        """Write weights and biases, in nnxp's file format."""
        _files.save_parameters(self._finalized(), path)

    def load_parameters(self, path: str | PathLike[str]) -> None:
        """Take weights and biases from a file that `save_parameters` or `save` wrote."""
        self.set_parameters(_files.load_parameters(path))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the whole model, with what the optimizer remembers, as a file that `nnxp.load` reads too.

        Training goes on from it bit for bit, unless features or targets are float64: what the optimizer remembers of
        them in float64 is rounded to float32 in the file.
        """
        self._need("save", "loss", "optimizer")
        _files.save(self, path)

    @staticmethod
    def load(path: str | PathLike[str]) -> "Model":
        """Read a model that `save`, or nnxp's own `Model.save`, wrote."""
        model = Model()
        _files.load_into(model, path)
        return model

    def _finalized(self) -> "Model":
        if self.input_layer is None:
            self.finalize()
        return self


_METHODS = {
    "layer": ("forward", "backward"),
    "loss": ("calculate", "calculate_accumulated", "backward", "new_pass", "remember_trainable_layers"),
    "optimizer": ("pre_update_params", "update_params", "post_update_params"),
    "accuracy": ("calculate", "calculate_accumulated", "init", "new_pass"),
}
"""What a model calls; a script's own class may have them too."""


def _able(name: str, value: Any, method: str) -> Any:
    if isinstance(value, type):
        raise ConfigurationError(f"Model.{method}: {name} is the class {value.__name__}; call it: {value.__name__}().")
    missing = ", ".join(needed for needed in _METHODS[name] if not callable(getattr(value, needed, None)))
    if missing:
        raise ConfigurationError(f"Model.{method}: {name} {value!r} lacks the methods {missing}.")
    return value


def _features(owner: str, X: Any) -> Array:
    X = own(owner, "X", X)
    if X.ndim == 0 or X.shape[0] == 0:
        raise DataError(f"{owner} expected at least one row in X, got shape {_check.shape(X)}.")
    if not bool(current().xp.all(current().xp.isfinite(X))):
        raise DataError(f"{owner} expected finite values in X, got NaN or infinity; drop those rows or fill them in.")
    return X


def _data(owner: str, X: Any, y: Any) -> tuple[Array, Array]:
    X, y = _features(owner, X), as_it_is(owner, "y", y)
    if y.ndim == 0 or y.shape[0] != X.shape[0]:
        got = _check.shape(y)
        raise ShapeError(f"{owner} expected one row of y for each of the {X.shape[0]} rows of X, got shape {got}.")
    return X, y


def _pair(validation_data: Any) -> tuple[Array, Array]:
    if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
        what = type(validation_data).__name__
        raise ConfigurationError(f"Model.train expected validation_data to be a pair (X, y), got a {what}.")
    return _data("validation_data", *validation_data)
