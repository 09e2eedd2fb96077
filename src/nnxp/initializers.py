r"""Initial values, drawn on the host in float64 from a generator that is handed in, then cast and moved.

Fans: a weight of shape (inputs, outputs) has fan-in I and fan-out O; for a longer shape, the leading axes multiply
both.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf, prod, sqrt

import numpy as np

from nnxp import _check
from nnxp._types import Array, Shape
from nnxp.errors import ConfigurationError

__all__ = [
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "Normal",
    "Ones",
    "Uniform",
    "Zeros",
    "fans",
]


def fans(shape: Shape) -> tuple[int, int]:
    """``(fan_in, fan_out)`` of a weight.

    >>> fans((784, 128))
    (784, 128)
    >>> fans((3, 3, 16, 32))
    (144, 288)
    """
    if len(shape) < 2:
        return prod(shape), prod(shape)
    field = prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


class Initializer(ABC):
    """Immutable configuration; `sample` draws."""

    @abstractmethod
    def sample(self, shape: Shape, generator: "np.random.Generator") -> Array:
        """A new host array of float64."""


@dataclass(frozen=True)
class Zeros(Initializer):
    """All zeros: what biases start from."""

    def sample(self, shape: Shape, generator: "np.random.Generator") -> Array:
        return np.zeros(shape)


@dataclass(frozen=True)
class Ones(Initializer):
    """All ones: what scales start from."""

    def sample(self, shape: Shape, generator: "np.random.Generator") -> Array:
        return np.ones(shape)


@dataclass(frozen=True)
class Normal(Initializer):
    r"""$s \cdot N(0, 1)$; the book *Neural Networks from Scratch* starts with s = 0.01."""

    scale: float = 0.01

    def __post_init__(self) -> None:
        _check.positive("Normal", "scale", self.scale)

    def sample(self, shape: Shape, generator: "np.random.Generator") -> Array:
        return self.scale * generator.standard_normal(shape)


@dataclass(frozen=True)
class Uniform(Initializer):
    """Uniform in [low, high)."""

    low: float = -0.05
    high: float = 0.05

    def __post_init__(self) -> None:
        low, high = _check.finite("Uniform", "low", self.low), _check.finite("Uniform", "high", self.high)
        if not 0 < high - low < inf:
            raise ConfigurationError(
                f"Uniform: low must be below high, by a finite distance, got {self.low!r} and {self.high!r}."
            )

    def sample(self, shape: Shape, generator: "np.random.Generator") -> Array:
        return generator.uniform(self.low, self.high, shape)


@dataclass(frozen=True)
class GlorotUniform(Initializer):
    r"""Uniform in $\pm\sqrt{6 / (I + O)}$. Source: Glorot & Bengio (AISTATS 2010), equation 16."""

    def sample(self, shape: Shape, generator: "np.random.Generator") -> Array:
        return _uniform(sqrt(6 / sum(fans(shape))), shape, generator)


@dataclass(frozen=True)
class GlorotNormal(Initializer):
    r"""$N(0, 2 / (I + O))$. Source: Glorot & Bengio (AISTATS 2010)."""

    def sample(self, shape: Shape, generator: "np.random.Generator") -> Array:
        return sqrt(2 / sum(fans(shape))) * generator.standard_normal(shape)


@dataclass(frozen=True)
class HeUniform(Initializer):
    r"""Uniform in $\pm\sqrt{6 / I}$. Source: He et al. (ICCV 2015)."""

    def sample(self, shape: Shape, generator: "np.random.Generator") -> Array:
        return _uniform(sqrt(6 / fans(shape)[0]), shape, generator)


@dataclass(frozen=True)
class HeNormal(Initializer):
    r"""$N(0, 2 / I)$, for layers in front of a ReLU. Source: He et al. (ICCV 2015), equation 10."""

    def sample(self, shape: Shape, generator: "np.random.Generator") -> Array:
        return sqrt(2 / fans(shape)[0]) * generator.standard_normal(shape)


def _uniform(limit: float, shape: Shape, generator: "np.random.Generator") -> Array:
    return generator.uniform(-limit, limit, shape)
