"""What is checked, as one kind of thing: a number that depends on tensors, and what backward says of its slopes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnxp import _check
from nnxp._types import Array, Arrays, Shape
from nnxp._values import numbers
from nnxp.backend import Backend, get_backend, to_host
from nnxp.errors import DtypeError, NotBuiltError, ShapeError
from nnxp.gradcheck._held import HeldLayer, as_it_was
from nnxp.layers import Layer, RecordedLayer
from nnxp.losses import Loss
from nnxp.training import Model

__all__ = ["Problem", "layer_problem", "loss_problem", "model_problem"]

_ROWS = 4
_CLASSES = 3
_SHIFT = 0.1
"""Parameters are moved by up to so much."""

Random = np.random.Generator


@dataclass(frozen=True)
class Problem:
    """All on the host, in float64."""

    points: Arrays
    value: Callable[[Arrays], float]
    gradients: Mapping[str, Array | None]
    """By backward, at the points; only these tensors are checked."""
    scale: float
    """The order of the terms of the value, which its rounding is relative to."""


@contextmanager
def layer_problem(
    layer: Layer, x: Any, input_shape: Shape | None, backend: str | Backend | None, random: Random, training: bool
) -> Iterator[Problem]:
    """$\\sum u \\cdot y$ with a random u, by x and by all parameters; the layer is put back in the end."""
    backend = in_float64(backend or _backend_of(layer) or "numpy")
    given = None if x is None else _features(x)
    shape = layer.input_shape or input_shape or ((_CLASSES,) if given is None else given.shape[1:])
    x = away_from_zero(random, (_ROWS, *shape)) if given is None else given
    with as_it_was(layer):
        try:
            held = HeldLayer(layer, shape, backend, training=training)
            points = {"x": x, **{key: _moved(array, random) for key, array in held.parameters.items()}}
            y = held.forward(points)
        except ShapeError as error:
            error.add_note(f"check gave it samples of shape {x.shape[1:]}; if it takes others, give x or input_shape")
            raise
        upstream = random.standard_normal(y.shape)
        gradients = held.backward(upstream)
        if x.dtype.kind != "f":
            gradients.pop("x")  # indices have no neighbours to move to
        yield Problem(
            points,
            lambda points: float(np.sum(upstream * held.forward(points))),
            gradients,
            scale=float(np.sum(np.abs(upstream * y))),
        )


@contextmanager
def loss_problem(loss: Loss, y_pred: Any, y: Any, backend: str | Backend | None, random: Random) -> Iterator[Problem]:
    """The loss's value by the predictions."""
    backend = in_float64(backend or "numpy")
    point = _predictions(loss, random) if y_pred is None else _features(y_pred).astype(np.float64)
    y = _targets(loss, point, random) if y is None else y

    def value(points: Arrays) -> float:
        return float(loss.value(backend.asarray(points["y_pred"].copy()), y))

    points = {"y_pred": point}
    gradient = backend.to_numpy(loss.gradient(backend.asarray(point.copy()), y))
    yield Problem(points, value, {"y_pred": gradient}, scale=abs(value(points)))


@contextmanager
def model_problem(
    model: Model, x: Any, y: Any, input_shape: Shape | None, random: Random, training: bool
) -> Iterator[Problem]:
    """The model's loss by all parameters; the model is put back in the end."""
    name = model.backend.name
    if _check.dtype_name(model.backend.dtype) != "float64":
        raise DtypeError(
            f"check expected a model in float64, got {_check.dtype_name(model.backend.dtype)}, in which differences "
            "say little: make it with Model(…, dtype='float64'), or move it with "
            f"model.to(nnxp.get_backend({name!r}, dtype='float64'))."
        )
    if not model.built:
        if x is None and input_shape is None:
            raise NotBuiltError(
                "check: the model has no parameters yet; call build(input_shape), or give x or input_shape."
            )
        model.build(_check.shape(_features(x))[1:] if input_shape is None else input_shape)
    x = away_from_zero(random, (_ROWS, *model.input_shape)) if x is None else x
    if y is None:
        y = _targets(model.loss, random.standard_normal((_features(x).shape[0], *model.output_shape)), random)
    engine = model.engine
    kept, state = engine.snapshot(), model.state_dict()

    def loss_and_gradients(points: Arrays) -> tuple[float, Arrays]:
        engine.load_state(state | points)
        loss, gradients = model.loss_and_gradients(x, y, training=training)
        return float(loss), gradients

    try:
        points = {key: _moved(state[key], random) for key in engine.parameters}
        loss, gradients = loss_and_gradients(points)
        yield Problem(points, lambda points: loss_and_gradients(points)[0], gradients, scale=abs(loss))
    finally:
        engine.restore(kept)


def in_float64(backend: str | Backend) -> Backend:
    """The backend of a name, or the same one in float64."""
    if not isinstance(backend, Backend):
        return get_backend(backend, dtype="float64")
    if _check.dtype_name(backend.dtype) == "float64":
        return backend
    same = get_backend(backend.xp, dtype="float64", device=backend.device, kernels=backend.kernels)
    return replace(same, name=backend.name, rng=backend.rng)


def away_from_zero(random: Random, shape: Shape) -> Array:
    """Values of both signs, none nearer to 0 than 0.2, where most kinks are."""
    return random.choice([-1.0, 1.0], shape) * random.uniform(0.2, 1.5, shape)


def _moved(array: Array, random: Random) -> Array:
    return array + random.uniform(-_SHIFT, _SHIFT, array.shape)


def _features(x: Any) -> Array:
    """A host copy: floats as float64, indices as they are."""
    host = np.array(to_host(numbers("check", "x", x)))
    return host.astype(np.float64) if host.dtype.kind == "f" else host


def _backend_of(layer: Layer) -> Backend | None:
    """The backend that a layer was built on, as far as its leaves say."""
    leaves = (leaf for _, leaf in layer.leaves() if isinstance(leaf, RecordedLayer))
    return next((leaf._backend for leaf in leaves if leaf._backend is not None), None)


def _predictions(loss: Loss, random: Random) -> Array:
    """Probabilities for a crossentropy of probabilities; for all else any numbers."""
    shape = (_ROWS, _CLASSES)
    if loss.targets != "real" and not getattr(loss, "from_logits", True):
        return random.uniform(0.1, 0.9, shape)
    return random.standard_normal(shape)


def _targets(loss: Loss, y_pred: Array, random: Random) -> Array:
    """Targets of the loss's kind; real ones keep away from the predictions."""
    if loss.targets == "classes":
        return random.integers(0, y_pred.shape[-1], y_pred.shape[:-1])
    if loss.targets == "binary":
        return random.uniform(0.1, 0.9, y_pred.shape)
    return y_pred + away_from_zero(random, y_pred.shape)
