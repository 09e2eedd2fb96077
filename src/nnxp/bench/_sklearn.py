"""scikit-learn's multilayer perceptron: epochs of its training, per step."""

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from nnxp.bench._epochs import Epochwise
from nnxp.bench.workloads import Workload

__all__ = ["Sklearn"]


class Sklearn(Epochwise):
    """``partial_fit`` is one epoch of ``fit``; it goes on from given weights, and from a batch that lacks some classes.

    Without penalties: scikit-learn's ``alpha`` is one for all layers, and not for biases. Its squared error is half of
    ours, which Adam divides out again, but for epsilon: that is halved too.
    """

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.workload = workload
        kind = MLPClassifier if workload.classifies else MLPRegressor
        self.network: Any = kind(
            hidden_layer_sizes=workload.sizes[1:-1],
            alpha=0.0,
            epsilon=1e-7 if workload.classifies else 0.5e-7,
            learning_rate_init=workload.learning_rate,
            batch_size=workload.batch,
            shuffle=self.shuffles,
            n_iter_no_change=10**9,
        )
        self._start_from_first_weights()

    def _start_from_first_weights(self) -> None:
        """Let one step make everything, then take its weights, its Adam and its loss away."""
        known = {"classes": np.arange(self.workload.sizes[-1])} if self.workload.classifies else {}
        self.network.partial_fit(self.x[: self.batch], self.y[: self.batch].squeeze(), **known)
        weights, biases = zip(*self.workload.weights(), strict=True)
        self.network.coefs_, self.network.intercepts_ = list(weights), list(biases)
        self.network.loss_curve_ = []
        del self.network._optimizer

    def losses(self, steps: int) -> list[float]:
        self.fit(self.x, self.y, steps)
        scale = 1 if self.workload.classifies else 2
        return [scale * float(loss) for loss in self.network.loss_curve_]

    def fit(self, x: Any, y: Any, epochs: int) -> None:
        for _ in range(epochs):
            self.network.partial_fit(x, y.squeeze())
