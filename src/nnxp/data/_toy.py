"""Data sets small enough to draw: their shape is known, so one sees what a network has learned."""

import numpy as np
from numpy.typing import NDArray

from nnxp._check import non_negative, positive_int
from nnxp.data._random import words
from nnxp.data._splits import Split

__all__ = ["moons", "sine", "spiral", "vertical"]


def spiral(samples: int = 100, classes: int = 3, *, noise: float = 0.2, seed: int = 0) -> Split:
    """Arms of a spiral, one per class: no straight line parts them. x[samples * classes, 2], y[samples * classes].

    With r from 0 to 1 along the arm of class c, and n ~ N(0, 1):

        t = 4(c + r) + noise * n,    x = r (sin 2.5t, cos 2.5t)

    Source: the course notes of CS231n, Stanford; in this form, Kinsley and Kukiela, Neural Networks from Scratch.
    """
    samples, classes = positive_int("spiral", "samples", samples), positive_int("spiral", "classes", classes)
    normal = _normal("spiral", seed, noise, (classes, samples))
    r = np.linspace(0.0, 1.0, samples)
    t = 4.0 * (np.arange(classes)[:, None] + r) + normal
    x = np.stack([r * np.sin(2.5 * t), r * np.cos(2.5 * t)], axis=-1)
    return Split(x.reshape(-1, 2), _labels(classes, samples))


def moons(samples: int = 200, *, noise: float = 0.2, seed: int = 0) -> Split:
    """Two half circles that reach into each other. x[samples, 2], y[samples] in {0, 1}, class 0 first.

    With a from 0 to pi along each: class 0 is (cos a, sin a), class 1 is (1 - cos a, 1/2 - sin a); noise * N(0, 1) is
    added to each coordinate. For an odd number of samples, class 1 has one more.

    Source: scikit-learn, ``make_moons``.
    """
    samples = positive_int("moons", "samples", samples)
    normal = _normal("moons", seed, noise, (samples, 2))
    upper, lower = np.linspace(0.0, np.pi, samples // 2), np.linspace(0.0, np.pi, samples - samples // 2)
    outer = np.stack([np.cos(upper), np.sin(upper)], axis=-1)
    inner = np.stack([1.0 - np.cos(lower), 0.5 - np.sin(lower)], axis=-1)
    y = np.repeat(np.arange(2, dtype=np.int64), [len(outer), len(inner)])
    return Split(np.concatenate([outer, inner]) + normal, y)


def sine(samples: int = 1000) -> Split:
    """One period of a sine, for regression: x = i / samples, y = sin 2 pi x. x[samples, 1], y[samples, 1].

    Source: Kinsley and Kukiela, Neural Networks from Scratch.
    """
    samples = positive_int("sine", "samples", samples)
    x = np.arange(samples, dtype=np.float64)[:, None] / samples
    return Split(x, np.sin(2.0 * np.pi * x))


def vertical(samples: int = 100, classes: int = 3, *, noise: float = 0.1, seed: int = 0) -> Split:
    """Vertical bands side by side, the easiest of the four. x[samples * classes, 2], y[samples * classes].

    Class c is a cloud around (c / 3, 1/2), with noise * N(0, 1) in each coordinate.

    Source: Kinsley and Kukiela, Neural Networks from Scratch.
    """
    samples, classes = positive_int("vertical", "samples", samples), positive_int("vertical", "classes", classes)
    y = _labels(classes, samples)
    centres = np.stack([y / 3.0, np.full(len(y), 0.5)], axis=-1)
    return Split(centres + _normal("vertical", seed, noise, centres.shape), y)


def _labels(classes: int, samples: int) -> NDArray[np.int64]:
    return np.repeat(np.arange(classes, dtype=np.int64), samples)


def _normal(owner: str, seed: int, noise: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
    generator = np.random.Generator(words(owner, seed))
    return non_negative(owner, "noise", noise) * generator.standard_normal(shape)
