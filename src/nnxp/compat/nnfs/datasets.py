"""The book's three data sets, drawn from NumPy's legacy stream as the book's package draws them.

Normal draws are rounded to float32 before they are used, and so are the coordinates that are made of them, because the
book's package changes NumPy's default type; features are float64 arrays, labels uint8. `nnxp.data` has the same sets
with a seed of their own.
"""

from typing import Any

import numpy as np

from nnxp._check import positive_int
from nnxp._types import Array
from nnxp.compat.nnfs._arithmetic import current, own
from nnxp.errors import ConfigurationError

__all__ = ["sine_data", "spiral_data", "vertical_data"]


def spiral_data(samples: int, classes: int) -> tuple[Array, Array]:
    """Arms of a spiral: ``X[samples·classes, 2]``, ``y[samples·classes]``.

    Source: the course notes of CS231n (Stanford), as in the book's package.
    """
    samples, classes = _sizes("spiral_data", samples, classes)
    arms = []
    for k in range(classes):
        r = np.linspace(0.0, 1, samples)
        t = np.linspace(k * 4, (k + 1) * 4, samples) + normal(samples) * 0.2
        arms.append(np.stack([r * np.sin(t * 2.5), r * np.cos(t * 2.5)], axis=1))
    return _rounded(arms), _labels(samples, classes)


def vertical_data(samples: int, classes: int) -> tuple[Array, Array]:
    """Clouds side by side: ``X[samples·classes, 2]``, ``y[samples·classes]``."""
    samples, classes = _sizes("vertical_data", samples, classes)
    clouds = [np.stack([normal(samples) * 0.1 + k / 3, normal(samples) * 0.1 + 0.5], axis=1) for k in range(classes)]
    return _rounded(clouds), _labels(samples, classes)


def sine_data(samples: int = 1000) -> tuple[Array, Array]:
    """One period of a sine: ``X[samples, 1]`` = i / samples, ``y[samples, 1]`` = sin 2πX."""
    samples = positive_int("sine_data", "samples", samples)
    x = np.arange(samples).reshape(-1, 1) / samples
    return own("sine_data", "X", x), own("sine_data", "y", np.sin(2 * np.pi * x))


def normal(*shape: int) -> Any:
    """The next draws of the legacy stream, rounded to float32."""
    return np.random.randn(*shape).astype(np.float32)


def _sizes(owner: str, samples: int, classes: int) -> tuple[int, int]:
    samples, classes = positive_int(owner, "samples", samples), positive_int(owner, "classes", classes)
    if classes > 256:
        raise ConfigurationError(f"{owner}: classes must be at most 256, as labels are uint8, got {classes}.")
    return samples, classes


def _rounded(parts: list[Any]) -> Array:
    return own("data", "X", np.concatenate(parts).astype(np.float32).astype(np.float64))


def _labels(samples: int, classes: int) -> Array:
    return current().asarray(np.repeat(np.arange(classes, dtype=np.uint8), samples))
