"""What is timed: small networks with their data and first weights, as host arrays drawn from a seed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnxp._check import choice
from nnxp._types import Array

__all__ = ["WHAT", "WORKLOADS", "Workload", "named"]

WHAT = {
    "step": "one training step on a batch",
    "fit": "a step of fit over all batches",
    "predict": "the outputs of a batch",
    "evaluate": "the loss of a batch",
}
"""What can be timed, in words."""


@dataclass(frozen=True)
class Workload:
    """A chain of dense layers with ReLU between them, trained with Adam."""

    name: str
    title: str
    sizes: tuple[int, ...]
    batch: int
    kind: str  # "spiral", "images" or "sine"
    l2: float = 0.0  # on the weights and biases of the first layer
    learning_rate: float = 1e-3
    seed: int = 0
    batches: int = 1  # of the data set that "fit" goes through
    rounds: int = 21  # unless they are asked for
    what: str = "step"

    @property
    def key(self) -> str:
        """The name in a report."""
        return self.name if self.what == "step" else f"{self.name} {self.what}"

    @property
    def classifies(self) -> bool:
        """Whether the head is softmax with cross-entropy; else it is linear with the squared error."""
        return self.kind != "sine"

    @property
    def samples(self) -> int:
        """How many samples `data` has."""
        return self.batch * self.steps_at_once

    @property
    def steps_at_once(self) -> int:
        """The fewest steps that can be timed: those of an epoch in fit, else one."""
        return self.batches if self.what == "fit" else 1

    def whole(self, steps: int) -> int:
        """The steps of whole epochs, of one at least."""
        return -(-steps // self.steps_at_once) * self.steps_at_once

    @property
    def one_batch(self) -> "Workload":
        """The same with one batch for data, so that everybody sees the same samples at each step."""
        return replace(self, batches=1)

    def data(self) -> tuple[Array, Array]:
        """Inputs and targets. Both are random, so that no kernel meets a run of zeros."""
        rng = np.random.default_rng([self.seed, 1])
        x, y = _DATA[self.kind](rng, self.samples, self.sizes[0], self.sizes[-1])
        return np.ascontiguousarray(x, np.float32), y if self.classifies else np.ascontiguousarray(y, np.float32)

    def weights(self) -> Iterator[tuple[Array, Array]]:
        """Weights (inputs, outputs) and biases of each layer: He's normal draw, small biases.

        They are drawn when they are asked for and kept by nobody, so that the memory of a contender is its own.
        """
        rng = np.random.default_rng([self.seed, 2])
        for i, o in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            w = rng.standard_normal((i, o), dtype=np.float32)
            w *= np.float32((2 / i) ** 0.5)
            yield w, rng.standard_normal(o, dtype=np.float32) * np.float32(0.01)


Draw = Callable[[np.random.Generator, int, int, int], tuple[Array, Array]]


def _spiral(rng: np.random.Generator, samples: int, inputs: int, classes: int) -> tuple[Array, Array]:
    """Points on the arms of a spiral, one arm for each class."""
    y = np.arange(samples) % classes
    radius = rng.uniform(0, 1, samples)
    angle = 4 * radius + 4 * y + rng.normal(0, 0.2, samples)
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1), y


def _images(rng: np.random.Generator, samples: int, inputs: int, classes: int) -> tuple[Array, Array]:
    """A noisy pattern for each class, with brightnesses in [0, 1)."""
    y = rng.integers(0, classes, samples)
    patterns = rng.random((classes, inputs), np.float32)
    x = rng.random((samples, inputs), np.float32)
    x += patterns[y]
    x *= np.float32(0.5)
    return x, y


def _sine(rng: np.random.Generator, samples: int, inputs: int, outputs: int) -> tuple[Array, Array]:
    """One period of a sine, with a little noise."""
    x = rng.uniform(0, 1, (samples, inputs))
    return x, np.sin(2 * np.pi * x) + rng.normal(0, 0.05, (samples, outputs))


_DATA: dict[str, Draw] = {"spiral": _spiral, "images": _images, "sine": _sine}

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("W1", "spiral", (2, 64, 3), 300, "spiral", l2=5e-4),
        # Faster learning would be chaotic: float32 and float64 part within a few steps.
        Workload("W2", "mnist-like", (784, 128, 128, 10), 128, "images", learning_rate=1e-4, batches=16),
        Workload("W3", "wide", (1024, 4096, 4096, 1000), 256, "images", learning_rate=3e-5, batches=4, rounds=7),
        Workload("W4", "regression", (1, 64, 64, 1), 1000, "sine"),
    )
}


def named(name: Any, what: Any = "step") -> Workload:
    """The workload with this name, for what is to be timed."""
    name = choice("bench", "a workload", name, WORKLOADS)
    return replace(WORKLOADS[name], what=choice("bench", "what", what, WHAT))
