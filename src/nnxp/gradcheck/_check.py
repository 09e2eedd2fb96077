"""The check itself."""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from nnxp import _check
from nnxp._types import Array, Shape
from nnxp.backend import Backend
from nnxp.errors import ConfigurationError, GradientError
from nnxp.gradcheck._compare import ROUNDING, compare
from nnxp.gradcheck._problems import Problem, layer_problem, loss_problem, model_problem
from nnxp.gradcheck._result import GradientCheck, TensorCheck
from nnxp.layers import Layer
from nnxp.losses import Loss
from nnxp.training import Model

__all__ = ["check"]


def check(
    target: Layer | Loss | Model,
    x: Any = None,
    y: Any = None,
    *,
    input_shape: Shape | None = None,
    backend: str | Backend | None = None,
    seed: int = 0,
    tolerance: float = 1e-7,
    training: bool = True,
    raises: bool = True,
) -> GradientCheck:
    r"""Hold a layer's, a loss's or a model's gradients against differences: see `nnxp.gradcheck` for the method.

    A layer of your own, with one parameter:

    >>> from nnxp import layers
    >>> class Scale(layers.Layer):
    ...     def build(self, input_shape, backend):
    ...         self.xp = backend.xp
    ...         self.factor = self.xp.ones(input_shape, dtype=backend.dtype, device=backend.device)
    ...         return input_shape
    ...
    ...     def forward(self, x, *, training=False):
    ...         self.x = x
    ...         return x * self.factor
    ...
    ...     def backward(self, dy):
    ...         self.d_factor = self.xp.sum(dy * self.x, axis=0)
    ...         return dy * self.factor
    ...
    ...     def parameters(self):
    ...         return {"factor": self.factor}
    ...
    ...     def gradients(self):
    ...         return {"factor": self.d_factor}
    >>> check(Scale(), input_shape=(2,))
    Scale(): right, worst error ..., tolerance 1e-07
    tensor  shape   error    largest difference  left out
    x       (4, 2)  ...
    factor  (2,)    ...

    The same with a mean in place of the sum:

    >>> class Wrong(Scale):
    ...     def backward(self, dy):
    ...         self.d_factor = self.xp.mean(dy * self.x, axis=0)
    ...         return dy * self.factor
    >>> check(Wrong(), input_shape=(2,))
    Traceback (most recent call last):
    nnxp.errors.GradientError: Wrong(): the gradient by factor has an error of 0.6, above the tolerance of 1e-07. ...
    It is 0.25 times the right one everywhere: look for a factor, or a mean in place of a sum.

    Parameters
    ----------
    target
        A layer, built or not (it is built anew in float64; two functions can be checked as a `nnxp.layers.Lambda`), a
        loss, or a model in float64. It is left as it was (a model without parameters is built).
    x
        The inputs ``(B, …)``; for a loss the predictions. By default they are drawn. Integers are taken as indices: no
        gradient by them is asked for.
    y
        The targets of a loss or a model; by default they are drawn.
    input_shape
        The shape of one sample, where x is not given and the layer is not built; (3,) by default.
    backend
        Where a layer or a loss is checked: a name or a `nnxp.Backend`. By default a layer's own, or NumPy.
    seed
        Of everything that is drawn.
    tolerance
        The largest error that is right.
    training
        Whether layers behave as in training.
    raises
        Whether to raise for a wrong gradient; otherwise the result says so.

    Raises
    ------
    GradientError
        A gradient is wrong. The message names the tensor and the element, and what to look for.
    """
    _check.positive("check", "tolerance", tolerance)
    random = np.random.default_rng(_check.non_negative_int("check", "seed", seed))
    problem: AbstractContextManager[Problem]
    if isinstance(target, Layer):
        _refuse("y", y, "a layer; its outputs get a random upstream gradient")
        name, problem = str(target), layer_problem(target, x, input_shape, backend, random, training)
    elif isinstance(target, Loss):
        _refuse("input_shape", input_shape, "a loss; give x, the predictions")
        name, problem = str(target), loss_problem(target, x, y, backend, random)
    elif isinstance(target, Model):
        _refuse("backend", backend, "a model, which has its own; use model.to(backend)")
        name, problem = (
            f"Model of {len(target.layers)} layers",
            model_problem(target, x, y, input_shape, random, training),
        )
    else:
        raise ConfigurationError(f"check expected a layer, a loss or a model, got {target!r}.")
    with problem as stated:
        result = GradientCheck(name, _compared(name, stated, tolerance), tolerance)
    if raises:
        result.raise_if_wrong()
    return result


def _compared(name: str, problem: Problem, tolerance: float) -> tuple[TensorCheck, ...]:
    points, value = problem.points, problem.value
    if not problem.gradients:
        raise ConfigurationError(f"check: {name} has no parameters, and x is of whole numbers: nothing has a gradient.")
    first, second = value(points), value(points)
    if not np.isfinite(first):
        raise GradientError(f"{name}: its value is {first!r} at the point of the check; give another x.")
    if not abs(first - second) <= ROUNDING * problem.scale:
        raise GradientError(
            f"{name}: its value was {first!r} and then {second!r} at one point, so differences say nothing: let what "
            "it draws depend on a seed alone, or check it with training=False."
        )
    tensors = []
    for key, gradient in problem.gradients.items():

        def alone(at: Array, key: str = key) -> float:
            return value(points | {key: at})

        if gradient is None:
            tensors.append(TensorCheck(key, points[key].shape, np.inf, "Backward did not make one"))
        else:
            tensors.append(compare(key, gradient, alone, points[key], scale=problem.scale, tolerance=tolerance))
    return tuple(tensors)


def _refuse(name: str, value: Any, why: str) -> None:
    if value is not None:
        raise ConfigurationError(f"check: {name} makes no sense for {why}.")
