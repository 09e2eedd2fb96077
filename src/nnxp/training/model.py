"""The model: layers with a loss and an optimizer, built on a backend, trained on data."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from nnxp import _check, metrics
from nnxp._targets import sample_weights
from nnxp._types import Array, Arrays, Shape
from nnxp.backend import Backend, Rng, backend_of, get_backend
from nnxp.data import Scaling
from nnxp.errors import ConfigurationError, DataError, DtypeError, NnxpError, NotBuiltError, ShapeError
from nnxp.layers import Dense, Layer, Sequential
from nnxp.losses import Loss
from nnxp.metrics import Metric
from nnxp.optimizers import Optimizer
from nnxp.training.average import averaged
from nnxp.training.callbacks import Callback
from nnxp.training.door import Door, check_values, convert_features, warn_of_transfer
from nnxp.training.engine import GRADIENTS, PREDICT, STILL_GRADIENTS, Engine
from nnxp.training.history import History
from nnxp.training.loop import Fit, evaluate, slices
from nnxp.training.memory import explained
from nnxp.training.parts import Data
from nnxp.training.progress import ProgressKind, open_progress
from nnxp.training.summary import Summary

if TYPE_CHECKING:
    from nnxp.training.profile import Profile

__all__ = ["Model", "load"]


class Model:
    """A chain of layers that can be trained, asked and saved.

    >>> from nnxp import layers, losses, optimizers
    >>> network = [layers.Dense(8), layers.Tanh(), layers.Dense(2), layers.Softmax()]
    >>> model = Model(network, loss=losses.CategoricalCrossentropy(), optimizer=optimizers.Adam(0.05))
    >>> x, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0]
    >>> history = model.fit(x, y, epochs=200, progress="off")
    >>> history["loss"][-1] < 0.1
    True
    >>> model.predict(x).argmax(axis=1).tolist()
    [0, 1, 1, 0]
    >>> sorted(model.state_dict())
    ['0.biases', '0.weights', '2.biases', '2.weights']

    Parameters
    ----------
    layers
        Objects of `nnxp.layers` or of your own, each in one model only.
    loss, optimizer
        Objects of `nnxp.losses` and `nnxp.optimizers`. A final Softmax or Sigmoid with its cross-entropy is computed
        from the head's input, so it neither overflows nor clips.
    metrics
        Objects of `nnxp.metrics` or their names, such as ``"accuracy"``.
    backend
        A name (see `nnxp.available_backends`) or a `nnxp.Backend`.
    dtype, seed
        Instead of the backend's own (for a name: float32 and 0).
    input_scaling
        Applied to all features at the door, and saved with the model.
    class_names
        What the outputs are called, in order; saved with the model.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        loss: Loss,
        optimizer: Optimizer,
        metrics: Sequence[str | Metric] = (),
        backend: str | Backend = "numpy",
        dtype: str | None = None,
        seed: int | None = None,
        input_scaling: Scaling | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self._loss: Loss = _expect("loss", loss, Loss, "losses.CategoricalCrossentropy()")
        self._optimizer: Optimizer = _expect("optimizer", optimizer, Optimizer, "optimizers.Adam()")
        self.backend = _backend(backend, dtype, seed)
        self.metrics = self._metrics = _resolve(metrics, loss)
        self.input_scaling: Scaling | None = (
            None
            if input_scaling is None
            else _expect("input_scaling", input_scaling, Scaling, "data.Scaling(0, 1 / 255)")
        )
        self.class_names = None if class_names is None else tuple(map(str, class_names))
        self.history = History()
        self.stop_training = False
        self.root = Sequential(layers)
        _check_free(self.root)
        _check_first(self.root)
        _check_head(self.root, loss)
        self._engine: Engine | None = None
        self._warned = self._told_of_transfer = False
        self._door = Door()
        first = self._first
        if isinstance(first, Dense) and first.input_size is not None:
            self.build((first.input_size,))
        for _, leaf in self.root.leaves():
            leaf.in_model = True

    # -- structure

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, as given."""
        return self.root.layers

    @property
    def loss(self) -> Loss:
        """The loss, which decides what targets are."""
        return self._loss

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer. A new one may be assigned: it starts afresh, with its own memory and its own step 0."""
        return self._engine.optimizer if self._engine else self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        optimizer = _expect("optimizer", optimizer, Optimizer, "optimizers.Adam()")
        if self._engine is not None:
            self._engine.require_own_parameters("optimizer")
            self._engine.use(optimizer)
        self._optimizer = optimizer

    @property
    def learning_rate(self) -> float | None:
        """The learning rate of the next update, with `learning_rate_factor`; None for RandomSearch, which has none."""
        return self.engine.learning_rate()

    @property
    def learning_rate_factor(self) -> float:
        """A positive factor on the optimizer's learning rate, or on its schedule's: 1, unless it was assigned.

        It is saved with the model; a new optimizer begins with 1.
        """
        return self.engine.rate_factor

    @learning_rate_factor.setter
    def learning_rate_factor(self, factor: float) -> None:
        factor = _check.positive("Model", "learning_rate_factor", factor)
        if self.engine.learning_rate() is None:
            raise ConfigurationError(f"Model: {type(self.optimizer).__name__} has no learning rate to multiply.")
        self.engine.rate_factor = factor

    @property
    def built(self) -> bool:
        """Whether the parameters exist."""
        return self._engine is not None

    @property
    def engine(self) -> Engine:
        """The arena, the plans and the update behind the model; there once it is built."""
        if self._engine is None:
            raise NotBuiltError(
                "The model has no parameters yet: call build(input_shape), train it, or give the first layer "
                "input_size."
            )
        return self._engine

    @property
    def input_shape(self) -> Shape:
        """The shape of one sample."""
        return self.engine.input_shape

    @property
    def output_shape(self) -> Shape:
        """The shape of one prediction."""
        return self.engine.output_shape

    @property
    def step(self) -> int:
        """How many updates were made."""
        return self._engine.step if self._engine else 0

    @explained("the parameters, their gradients and the optimizer's memory")
    def build(self, input_shape: Sequence[int]) -> None:
        """Make the parameters for samples of this shape, without the batch axis; does nothing when they are there."""
        if not isinstance(input_shape, Sequence) or isinstance(input_shape, str):
            raise ConfigurationError(f"Model: input_shape must be a tuple such as (784,), got {input_shape!r}.")
        shape = tuple(_check.positive_int("Model", "every size in input_shape", size) for size in input_shape)
        if self._engine is None:
            with _layers_kept(self.root):
                engine = Engine(self.root, self.loss, self.optimizer, self.backend, shape)
                _check_names(self.class_names, engine.output_shape)
            self._engine = engine
        elif shape != self._engine.input_shape:
            raise ShapeError(
                f"The model is built for samples of shape {self._engine.input_shape}, got {shape}; make a new "
                "model for it."
            )

    def summary(self) -> Summary:
        """A table of the layers with output shapes and parameter counts: ``print(model.summary())``."""
        return Summary.of(self.engine.root, self.backend, self.loss, self.optimizer)

    def profile(self, x: Any, y: Any, *, seconds: float = 1.0) -> "Profile":
        """Where the time of a training step on this batch goes: ``print(model.profile(x, y))``.

        For each op of the plan: time, floating-point operations, bytes, and its floor, which is the bare product, or
        for an update one pass over what it reads and writes; other ops have none. Ops are timed one at a time, for
        about ``seconds`` in all; the model is left as it was.
        """
        from nnxp.training.profile import profile  # the training of a model needs none of what it imports

        seconds = _check.positive("profile", "seconds", seconds)
        x, y = self._batch(x, y)
        if not self.optimizer.needs_gradient:
            raise ConfigurationError(f"profile: {type(self.optimizer).__name__} has no step of gradients to look into.")
        return profile(self.engine, x, y, seconds=seconds)

    def __repr__(self) -> str:
        inner = ", ".join(str(layer) for layer in self.layers)
        return f"Model([{inner}], loss={self.loss}, optimizer={self.optimizer}, backend={self.backend.name!r})"

    # -- training

    @explained()
    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int | None = None,
        sample_weight: Any = None,
        validation_data: tuple[Any, ...] | None = None,
        shuffle: bool = True,
        callbacks: Sequence[Callback] = (),
        progress: ProgressKind = "auto",
        graph: bool = True,
    ) -> History:
        """Train, and return the history: one number an epoch of ``loss``, ``data_loss``, each metric, and ``val_…``.

        Parameters
        ----------
        x, y
            Features ``(N, …)`` and targets, host or device arrays.
        epochs
            How often to go through the data.
        batch_size
            Samples an update; None takes all at once, in the given order. A smaller last batch is used as it is.
        sample_weight
            How much each sample counts in the loss, ``(N,)``; metrics count all samples alike.
        validation_data
            ``(x, y)`` or ``(x, y, sample_weight)``, evaluated after each epoch.
        shuffle
            Whether to draw a new order of the samples for each epoch.
        callbacks, progress
            See `nnxp.callbacks`; ``"auto"`` is a bar in a terminal and lines elsewhere, on standard error.
        graph
            On a GPU a whole training step is captured as a CUDA graph, and then is a single launch: the same results,
            to the bit. False launches its kernels one by one, from here on. Elsewhere it makes no difference.

        Raises
        ------
        TrainingError
            The loss or a parameter is no longer finite. The model is put back to its last finished epoch.
        KeyboardInterrupt
            Ctrl-C: the running update is finished, and the model is put back to its last finished epoch.
        """
        epochs = _check.positive_int("fit", "epochs", epochs)
        batch_size = None if batch_size is None else _check.positive_int("fit", "batch_size", batch_size)
        callbacks = _callbacks(callbacks)
        if self._engine is not None:
            self._engine.require_own_parameters("fit")
        with self._unbuilt_by_bad_data():
            data = self._data(x, y, sample_weight)
            validation = None if validation_data is None else self._data(*_validation(validation_data))
        self.metrics = tuple(metric.fitted(self.backend.to_numpy(data[1])) for metric in self._metrics)
        self.engine.graph = _check.flag("fit", "graph", graph)
        fit = Fit(self, self.engine, self.metrics, data, validation, epochs, batch_size, shuffle, callbacks)
        self.history = fit.history
        return fit.run(open_progress(progress, epochs, len(slices(data[0].shape[0], batch_size))))

    @explained()
    def train_step(self, x: Any, y: Any, *, sample_weight: Any = None) -> Array:
        """One update on one batch; returns the loss before it, a 0-d array on the device.

        The model holds on to the batch until it gets another one.
        """
        if sample_weight is not None:
            batch = self._weighted_batch(x, y, sample_weight)
            return self.engine.train(*batch)["loss"]
        if self._engine is None or not self._door.knows(x, y):
            x, y = self._batch(x, y)
        return self.engine.train(x, y)["loss"]

    @explained()
    def loss_and_gradients(
        self, x: Any, y: Any, *, sample_weight: Any = None, training: bool = True
    ) -> tuple[Array, Arrays]:
        """The loss, and host copies of its derivatives by each parameter (``"0.weights"``); changes nothing.

        Parameters that the optimizer's ``rates`` freeze have none. With ``training=True`` Dropout drops what the next
        `train_step` will drop.
        """
        batch = self._weighted_batch(x, y, sample_weight)
        engine = self.engine
        remembered = engine.remembered()
        results = engine.run(GRADIENTS if training else STILL_GRADIENTS, *batch)
        engine.remember(remembered)
        gradients = {key: array for key, array in engine.gradients.items() if key not in engine.frozen}
        return results["loss"], {key: self.backend.to_numpy(array) for key, array in gradients.items()}

    def averaged(self) -> AbstractContextManager[None]:
        """``with model.averaged(): …``: inside, the parameters are their moving average (an optimizer's ``ema=``).

        `evaluate`, `predict`, `save` and `state_dict` then see the average of all updates, each weighted with
        (1 - β)·β^age and all divided by the weights' sum, so the zeros that it began with do not count. At the end, and
        after any error, the trained parameters are back. What layers remember (running means) is not averaged.

        Raises
        ------
        ConfigurationError
            The optimizer keeps no average.
        OrderError
            There was no update yet; or, inside, the model is trained or changed.
        """
        return averaged(self.engine)

    # -- asking

    @explained()
    def evaluate(self, x: Any, y: Any, *, sample_weight: Any = None, batch_size: int | None = None) -> dict[str, Any]:
        """``loss`` (with penalties), ``data_loss`` (without) and the metrics, as floats; a confusion matrix is an
        array."""
        data = self._data(x, y, sample_weight)
        fitted = [metric.fitted(self.backend.to_numpy(data[1])) for metric in self.metrics]
        return evaluate(self.engine, fitted, data, _batch_size("evaluate", batch_size))

    @explained()
    def predict(self, x: Any, *, batch_size: int | None = None) -> Array:
        """The output of the last layer: a new array in the model's dtype, in x's library and on x's device."""
        engine = self.engine  # an unbuilt model says so before its data is looked at
        features = self._features(x, values=True)
        result = self._outputs(engine, features, slices(features.shape[0], _batch_size("predict", batch_size)))
        if features is x:
            return result
        home = backend_of(x, dtype=self.backend.dtype)
        return result if home.owns(result) else home.asarray(self.backend.to_numpy(result))

    def _outputs(self, engine: Engine, features: Array, parts: Sequence[slice]) -> Array:
        """The predictions for all parts, in an array of their own."""
        xp = self.backend.xp
        outputs = (engine.run(PREDICT, features[part, ...])["y_pred"] for part in parts)
        if self.backend.writable:
            shape = (features.shape[0], *engine.output_shape)
            result = xp.empty(shape, dtype=self.backend.dtype, device=self.backend.device)
            for part, output in zip(parts, outputs, strict=True):
                result[part, ...] = output
        else:
            result = xp.concat([xp.asarray(output, copy=True) for output in outputs])
        engine.release(PREDICT)
        return result

    # -- state

    def state_dict(self) -> Arrays:
        """Host copies of what the layers hold, by position: ``{"0.weights": …, "0.biases": …}``."""
        return self.engine.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a `state_dict`: all of it, cast to the model's dtype, or, on any error, nothing."""
        engine = self.engine
        engine.require_own_parameters("load_state_dict")
        current = engine.state()
        if state.keys() != current.keys():
            missing, unknown = sorted(current.keys() - state.keys()), sorted(state.keys() - current.keys())
            raise DataError(f"load_state_dict: keys missing: {missing}; keys the model does not have: {unknown}.")
        arrays = {key: self._host_state(key, value) for key, value in state.items()}
        for key, array in arrays.items():
            if array.shape != current[key].shape or array.dtype.kind not in "fiub":
                raise ShapeError(
                    f"load_state_dict: {key} must be real numbers of shape {current[key].shape}, "
                    f"got {array.dtype} of shape {array.shape}."
                )
        engine.load_state(arrays)

    def _host_state(self, key: str, value: Any) -> Array:
        try:
            return self.backend.to_numpy(value)
        except (TypeError, ValueError) as error:
            why = _check.one_line(error)
            raise DtypeError(
                f"load_state_dict: {key} must be an array of numbers, got {type(value).__name__}; {why}"
            ) from error

    @explained("the parameters and the optimizer's memory on the new device; the model stays where it was")
    def to(self, backend: str | Backend) -> "Model":
        """Move parameters, optimizer state and seed to another backend, in place; returns the model.

        A name keeps the model's dtype; a `Backend` object brings its own.
        """
        dtype = None if isinstance(backend, Backend) else _check.dtype_name(self.backend.dtype)
        moved = _backend(backend, dtype, self.backend.rng.seed)
        if self._engine is not None:
            old = self._engine
            old.require_own_parameters("to")
            state, slots = old.state(), old.slot_state()
            with _layers_kept(self.root):
                engine = Engine(self.root, self.loss, self.optimizer, moved, old.input_shape)
                engine.load_state(state)
                engine.load_slot_state(slots)
            engine.step, engine.optimizer_start = old.step, old.optimizer_start
            engine.rate_factor, engine.graph, engine.planned = old.rate_factor, old.graph, old.planned
            self._engine = engine
        self.backend, self._door = moved, Door()
        return self

    def save(self, path: str | PathLike[str]) -> None:
        """Write a safetensors file with everything that `nnxp.load` needs to resume bit for bit; never half a file."""
        from nnxp.serialization import save

        save(self, path)

    # -- the door

    @property
    def _first(self) -> Layer:
        return next(leaf for _, leaf in self.root.leaves())

    @explained("x, of which all is moved to the device at once; hand over parts of it")
    def _features(self, x: Any, *, values: bool) -> Array:
        if self._engine is not None and self._door.knows(x):
            features = x
        else:
            self._tell_of_transfer("x", x)
            first, scaling = self._first, self.input_scaling
            features, converted = convert_features(x, first, self.backend, scaling, warn=not self._warned)
            self._warned |= converted
            if features is x and self._engine is not None:
                self._door.remember(x)
        if values:
            check_values(features, self._first, self.backend)
        if self._engine is None:
            self.build(_check.shape(features)[1:])
        return features

    def _tell_of_transfer(self, name: str, a: Any) -> None:
        """Say once that arrays travel to the model's device."""
        if not self._told_of_transfer:
            self._told_of_transfer = warn_of_transfer(name, a, self.backend)

    @explained("y, of which all is moved to the device at once; hand over parts of it")
    def _targets(self, y: Any, samples: int, *, values: bool) -> Array:
        self._tell_of_transfer("y", y)
        return self.loss.check(y, (samples, *self.output_shape), self.backend, values=values)

    def _data(self, x: Any, y: Any, sample_weight: Any) -> Data:
        """A data set, checked to the last value."""
        with self._unbuilt_by_bad_data():
            features = self._features(x, values=True)
            targets = self._targets(y, features.shape[0], values=True)
            return features, targets, self._weights(sample_weight, features.shape[0])

    def _batch(self, x: Any, y: Any) -> tuple[Array, Array]:
        """A batch: its values are checked when the model meets its shape for the first time."""
        with self._unbuilt_by_bad_data():
            features = self._features(x, values=False)
            targets = self._targets(y, features.shape[0], values=False)
            if not self.engine.seen(features, targets):
                check_values(features, self._first, self.backend)
                self._targets(targets, features.shape[0], values=True)
            if features is x and targets is y:
                self._door.remember(x, y)
            return features, targets

    def _weighted_batch(self, x: Any, y: Any, sample_weight: Any) -> Data:
        """A batch with perhaps a weight for each sample, whose values are checked each time."""
        with self._unbuilt_by_bad_data():
            x, y = self._batch(x, y)
            return x, y, self._weights(sample_weight, x.shape[0])

    def _weights(self, weights: Any, samples: int) -> Array | None:
        self._tell_of_transfer("sample_weight", weights)
        return None if weights is None else sample_weights(weights, samples, self.backend, values=True)

    @contextmanager
    def _unbuilt_by_bad_data(self) -> Iterator[None]:
        """Data that is refused must not decide the model's shape."""
        if self._engine is not None:
            yield
            return
        try:
            with _layers_kept(self.root):
                yield
        except NnxpError:
            self._engine = None
            raise


def load(
    path: str | PathLike[str],
    *,
    backend: str | Backend = "numpy",
    custom_objects: Mapping[str, Any] | None = None,
) -> Model:
    """Read a model that `Model.save` wrote, on any backend.

    ``custom_objects`` maps the names of layers (and losses, …) of your own to their classes, and those of functions to
    the functions; nothing else than these and nnxp's own classes is ever made from a file.
    """
    from nnxp.serialization import load

    return load(path, backend=backend, custom_objects=custom_objects or {})


def _backend(backend: str | Backend, dtype: str | None, seed: int | None) -> Backend:
    if not isinstance(backend, Backend):
        return get_backend(backend, dtype=dtype or "float32", seed=seed or 0)
    if dtype is not None and dtype != _check.dtype_name(backend.dtype):
        same = get_backend(
            backend.xp, dtype=dtype, device=backend.device, kernels=backend.kernels, precision=backend.precision
        )
        backend = replace(same, name=backend.name, rng=backend.rng)
    return backend if seed is None else replace(backend, rng=Rng(seed))


def _expect(name: str, value: Any, kind: type, example: str) -> Any:
    if not isinstance(value, kind):
        got = f"the class {value.__name__}" if isinstance(value, type) else repr(value)
        raise ConfigurationError(f"Model: {name} must be an object such as {example}, got {got}.")
    return value


def _resolve(names: Sequence[str | Metric], loss: Loss) -> tuple[Metric, ...]:
    if isinstance(names, str):
        raise ConfigurationError(f"Model: metrics must be a list, got {names!r}; write metrics=[{names!r}].")
    resolved = tuple(metrics.resolve(metric, loss) for metric in names)
    if len({metric.name for metric in resolved}) < len(resolved):
        raise ConfigurationError(f"Model: two metrics have one name: {[metric.name for metric in resolved]}.")
    return resolved


def _check_free(root: Sequential) -> None:
    for _, leaf in root.leaves():
        if leaf.in_model:
            raise ConfigurationError(f"{leaf} belongs to another model already; make a new layer for each model.")


def _check_first(root: Sequential) -> None:
    """Refuse a layer of indices behind one that reads real numbers: the door would make real numbers of them."""
    first, *others = (leaf for _, leaf in root.leaves())
    late = next((leaf for leaf in others if leaf.index_limit is not None), None)
    if late is not None and first.index_limit is None:
        raise ConfigurationError(f"Model: {late} reads indices, but x goes to {first} first; put {late} first.")


def _check_head(root: Sequential, loss: Loss) -> None:
    """Refuse a cross-entropy of probabilities behind a layer that makes none: its loss would fall, and mean nothing."""
    last: Layer = root
    for _, leaf in root.leaves():
        last = last if leaf.makes == "its input" else leaf
    if last.makes == "probabilities" and loss.reads_logits:
        raise ConfigurationError(
            f"Model: {type(loss).__name__}(from_logits=True) expects logits, and the network ends in {last}: leave one "
            "of the two away."
        )
    if loss.head is not None and last.makes == "scores":
        kind = type(loss).__name__
        raise ConfigurationError(
            f"Model: {kind} expects probabilities, and the network ends in {last}: put {loss.head}() behind it, or use "
            f"{kind}(from_logits=True)."
        )


@contextmanager
def _layers_kept(root: Sequential) -> Iterator[None]:
    """On any error, put the layers' attributes back: a build that fails half way leaves nothing half built."""
    kept = [(leaf, dict(vars(leaf))) for _, leaf in root.leaves()]
    try:
        yield
    except BaseException:
        for leaf, attributes in kept:
            vars(leaf).clear()
            vars(leaf).update(attributes)
        raise


def _check_names(names: tuple[str, ...] | None, output_shape: Shape) -> None:
    if names is not None and (len(names),) != output_shape:
        raise ConfigurationError(
            f"Model: {len(names)} class_names for outputs of shape {output_shape}; name each output."
        )


def _validation(data: Any) -> tuple[Any, Any, Any]:
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise ConfigurationError(
            f"fit: validation_data must be (x, y) or (x, y, sample_weight), got {type(data).__name__}."
        )
    return data[0], data[1], data[2] if len(data) == 3 else None


def _callbacks(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    given = tuple(callbacks) if isinstance(callbacks, list | tuple) else (callbacks,)
    for callback in given:
        if not isinstance(callback, Callback):
            raise ConfigurationError(
                f"fit: callbacks must be a list of objects that derive from nnxp.callbacks.Callback, got {callback!r}."
            )
    return given


def _batch_size(owner: str, batch_size: int | None) -> int | None:
    return None if batch_size is None else _check.positive_int(owner, "batch_size", batch_size)
