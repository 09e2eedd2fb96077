"""What is timed: four small networks with their data and first weights, as host arrays drawn from a seed."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Workload:
    """A chain of dense layers with ReLU between them, trained with Adam on one batch."""

    name: str
    title: str
    sizes: tuple[int, ...]
    batch: int
    kind: str  # "spiral", "images" or "sine"
    l2: float = 0.0  # on the weights and biases of the first layer
    learning_rate: float = 1e-3
    seed: int = 0

    @property
    def classifies(self) -> bool:
        """Whether the head is softmax with cross-entropy; else it is linear with the squared error."""
        return self.kind != "sine"

    def data(self, dtype="float32"):
        """Inputs and targets of the batch. Both are random, so that no kernel meets a run of zeros."""
        rng = np.random.default_rng([self.seed, 1])
        x, y = _DATA[self.kind](rng, self.batch, self.sizes[0], self.sizes[-1])
        return np.ascontiguousarray(x, dtype=dtype), y if self.classifies else np.ascontiguousarray(y, dtype=dtype)

    def weights(self, dtype="float32"):
        """Weights (inputs, outputs) and biases of each layer: He's normal draw, small biases."""
        rng = np.random.default_rng([self.seed, 2])
        layers = []
        for i, o in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            w, b = rng.standard_normal((i, o)) * np.sqrt(2 / i), rng.standard_normal(o) * 0.01
            layers.append((w.astype(dtype), b.astype(dtype)))
        return layers


def _spiral(rng, samples, inputs, classes):
    """Points on the arms of a spiral, one arm for each class."""
    y = np.arange(samples) % classes
    radius = rng.uniform(0, 1, samples)
    angle = 4 * radius + 4 * y + rng.normal(0, 0.2, samples)
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1), y


def _images(rng, samples, inputs, classes):
    """A noisy pattern for each class, with brightnesses in [0, 1)."""
    y = rng.integers(0, classes, samples)
    patterns = rng.uniform(0, 0.5, (classes, inputs))
    return patterns[y] + rng.uniform(0, 0.5, (samples, inputs)), y


def _sine(rng, samples, inputs, outputs):
    """One period of a sine, with a little noise."""
    x = rng.uniform(0, 1, (samples, inputs))
    return x, np.sin(2 * np.pi * x) + rng.normal(0, 0.05, (samples, outputs))


_DATA = {"spiral": _spiral, "images": _images, "sine": _sine}

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("W1", "spiral", (2, 64, 3), 300, "spiral", l2=5e-4),
        Workload("W2", "mnist-like", (784, 128, 128, 10), 128, "images"),
        # Faster learning would be chaotic: float32 and float64 part within a few steps.
        Workload("W3", "wide", (1024, 4096, 4096, 1000), 256, "images", learning_rate=3e-5),
        Workload("W4", "regression", (1, 64, 64, 1), 1000, "sine"),
    )
}
