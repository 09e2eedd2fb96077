"""Thinc, with its own Adam."""

from typing import Any

import numpy as np
from thinc.api import Adam, Linear, Relu, Softmax, chain

from nnxp.bench._base import Contender
from nnxp.bench.workloads import Workload

__all__ = ["Thinc"]


class Thinc(Contender):
    """One call is one training step: forward, the loss's gradient, backward, update; no penalties."""

    def __init__(self, workload: Workload) -> None:
        self.x, labels = workload.data()
        self.y = np.eye(workload.sizes[-1], dtype=np.float32)[labels] if workload.classifies else labels
        self.classifies = workload.classifies
        head = Softmax if workload.classifies else Linear
        layers: list[Any] = [Relu(o, i) for i, o in zip(workload.sizes[:-2], workload.sizes[1:-1], strict=True)]
        layers.append(head(*workload.sizes[:-3:-1]))
        self.network = chain(*layers)
        self.network.initialize(self.x, self.y)
        for layer, (w, b) in zip(layers, workload.weights(), strict=True):
            layer.set_param("W", np.ascontiguousarray(w.T))
            layer.set_param("b", b)
        # Thinc clips gradients and decays weights unless it is told not to.
        self.optimizer = Adam(workload.learning_rate, eps=1e-7, L2=0.0, grad_clip=0.0)

    def step(self) -> Any:
        """One update; the outputs before it."""
        prediction, backward = self.network.begin_update(self.x)
        gradient = (prediction - self.y) / np.float32(len(prediction))
        backward(gradient if self.classifies else 2 * gradient / prediction.shape[1])
        self.network.finish_update(self.optimizer)
        return prediction

    def losses(self, steps: int) -> list[float]:
        losses = []
        for _ in range(steps):
            prediction = self.step().astype(np.float64)
            each = -(self.y * np.log(prediction)).sum(axis=1) if self.classifies else (prediction - self.y) ** 2
            losses.append(float(each.mean()))
        return losses

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
