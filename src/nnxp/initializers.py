r"""Initial values, drawn on the host in float64 from a generator that is handed in, then cast and moved.

====================================================  =============================================================
`Zeros`, `Constant`                                   no draw: for biases
`Normal`, `TruncatedNormal`, `Uniform`                a spread of your own
`GlorotUniform`, `GlorotNormal`                       the variance 2 / (I + O): for Tanh, Sigmoid and Softmax
`HeUniform`, `HeNormal`                               the variance 2 / I: in front of a ReLU
`LeCunUniform`, `LeCunNormal`                         the variance 1 / I: keeps that of the inputs; for SELU
`Orthogonal`                                          keeps lengths: for deep chains
====================================================  =============================================================

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
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "LeCunNormal",
    "LeCunUniform",
    "Normal",
    "Orthogonal",
    "TruncatedNormal",
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
class Constant(Initializer):
    """The same ``value`` everywhere. For biases: units whose weights are all the same never learn to differ."""

    value: float

    def __post_init__(self) -> None:
        _check.finite("Constant", "value", self.value)

    def sample(self, shape: Shape, generator: "np.random.Generator") -> Array:
        return np.full(shape, float(self.value))


@dataclass(frozen=True)
class Normal(Initializer):
    r"""$s \cdot N(0, 1)$; the book *Neural Networks from Scratch* starts with s = 0.01."""

    scale: float = 0.01

    def __post_init__(self) -> None:
        _check.positive("Normal", "scale", self.scale)

    def sample(self, shape: Shape, generator: "np.random.Generator") -> Array:
        return self.scale * generator.standard_normal(shape)


@dataclass(frozen=True)
class TruncatedNormal(Initializer):
    r"""$s \cdot N(0, 1)$ without its tails: what lies beyond $\pm 2 s$ is drawn again.

    The ``scale`` s is that of the whole normal distribution. Without tails the standard deviation is
    $\sqrt{1 - 4 \varphi(2) / (2 \Phi(2) - 1)}\, s = 0.8796\, s$. Keras's class of this name means the same; PyTorch's
    ``trunc_normal_`` has its bounds at ±2, whatever the scale.
    """

    scale: float = 0.01

    def __post_init__(self) -> None:
        _check.positive("TruncatedNormal", "scale", self.scale)

    def sample(self, shape: Shape, generator: "np.random.Generator") -> Array:
        values = np.asarray(generator.standard_normal(shape))
        while (tails := np.abs(values) > 2).any():
            values[tails] = generator.standard_normal(np.count_nonzero(tails))
        return self.scale * values


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


@dataclass(frozen=True)
class LeCunUniform(Initializer):
    r"""Uniform in $\pm\sqrt{3 / I}$. Source: LeCun et al., *Efficient BackProp* (1998), section 4.6."""

    def sample(self, shape: Shape, generator: "np.random.Generator") -> Array:
        return _uniform(sqrt(3 / fans(shape)[0]), shape, generator)


@dataclass(frozen=True)
class LeCunNormal(Initializer):
    r"""$N(0, 1 / I)$, for layers in front of a SELU. Keras's class of this name cuts the tails off.

    Source: LeCun et al., *Efficient BackProp* (1998), section 4.6; Klambauer et al., *Self-Normalizing Neural
    Networks* (NeurIPS 2017), section 2.
    """

    def sample(self, shape: Shape, generator: "np.random.Generator") -> Array:
        return sqrt(1 / fans(shape)[0]) * generator.standard_normal(shape)


@dataclass(frozen=True)
class Orthogonal(Initializer):
    r"""A random orthogonal matrix times ``gain`` g: $w^T w = g^2 \mathbb{1}$, or $w w^T = g^2 \mathbb{1}$ where w is
    wider than high.

    A longer shape is taken as the matrix of its leading axes by its last one. The matrix is Q of the QR decomposition
    of normal draws; with the signs that make R's diagonal positive, all orthogonal matrices are equally likely.

    The decomposition is LAPACK's, on the host: the same on every backend, but the last bits are those of this machine's
    library.

    Source: Saxe, McClelland & Ganguli, *Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks* (ICLR 2014); the signs: Mezzadri, *How to generate random matrices from the classical compact groups*
    (Notices of the AMS, 2007).
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        _check.positive("Orthogonal", "gain", self.gain)

    def sample(self, shape: Shape, generator: "np.random.Generator") -> Array:
        rows, columns = prod(shape[:-1]), prod(shape[-1:])
        q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.where(np.diagonal(r) < 0, -self.gain, self.gain)
        return np.ascontiguousarray(q if rows >= columns else q.T).reshape(shape)


def _uniform(limit: float, shape: Shape, generator: "np.random.Generator") -> Array:
    return generator.uniform(-limit, limit, shape)
