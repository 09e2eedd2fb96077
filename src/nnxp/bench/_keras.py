"""Keras 3 on JAX: its ``fit``, per step."""

from functools import cache
from typing import Any

import keras
import numpy as np

from nnxp.bench._epochs import Epochwise
from nnxp.bench.workloads import Workload

__all__ = ["Keras"]


class Keras(Epochwise):
    """A `keras.Sequential`, compiled and fitted."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.network = _network(workload)
        _restart(self.network, workload)

    def losses(self, steps: int) -> list[float]:
        return [float(loss) for loss in self.fit(self.x, self.y, steps).history["loss"]]

    def fit(self, x: Any, y: Any, epochs: int) -> Any:
        return self.network.fit(x, y, batch_size=self.batch, epochs=epochs, shuffle=self.shuffles, verbose=0)


@cache
def _network(workload: Workload) -> Any:
    """Compiled once: a new one at every round would spend the round compiling."""
    network = keras.Sequential([keras.Input(workload.sizes[:1])])
    penalty = keras.regularizers.L2(workload.l2) if workload.l2 else None
    for size in workload.sizes[1:]:
        network.add(keras.layers.Dense(size, "relu", kernel_regularizer=penalty, bias_regularizer=penalty))
        penalty = None
    network.layers[-1].activation = keras.activations.linear
    network.compile(
        optimizer=keras.optimizers.Adam(workload.learning_rate, epsilon=1e-7),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True) if workload.classifies else "mse",
    )
    return network


def _restart(network: Any, workload: Workload) -> None:
    """The first weights, and an Adam that has seen nothing."""
    for layer, weights in zip(network.layers, workload.weights(), strict=True):
        layer.set_weights(weights)
    optimizer = network.optimizer
    for variable in optimizer.variables:
        if variable is not optimizer.learning_rate:
            variable.assign(np.zeros(variable.shape))
