"""nnxp through its public names: a `Model` as a user writes it."""

import numpy as np

from nnxp._types import Array
from nnxp.backend import Backend, get_backend
from nnxp.bench._base import Contender
from nnxp.bench.workloads import Workload
from nnxp.layers import Dense, Layer, ReLU, Softmax
from nnxp.losses import CategoricalCrossentropy, MeanSquaredError
from nnxp.optimizers import Adam
from nnxp.regularizers import L2
from nnxp.training import History, Model

__all__ = ["Nnxp"]


class Nnxp(Contender):
    """The workload on NumPy with one of its tables of kernels."""

    def __init__(self, workload: Workload, kernels: str = "numpy") -> None:
        self.model = _model(workload, get_backend("numpy", kernels=kernels))
        self.x, self.y = workload.data()
        self.workload = workload

    def losses(self, steps: int) -> list[float]:
        match self.workload.what:
            case "fit":
                return list(self._fit(epochs=steps, batch_size=None)["loss"])
            case "predict":
                return [_loss(self.model.predict(self.x), self.y)]
            case "evaluate":
                return [self.model.evaluate(self.x, self.y)["data_loss"]]
        return [float(self.model.train_step(self.x, self.y)) for _ in range(steps)]

    def train(self, steps: int) -> None:
        match self.workload.what:
            case "fit":
                batches = self.workload.batches
                self._fit(epochs=steps // batches, batch_size=self.workload.batch if batches > 1 else None)
            case "predict":
                for _ in range(steps):
                    self.model.predict(self.x)
            case "evaluate":
                for _ in range(steps):
                    self.model.evaluate(self.x, self.y)
            case _:
                for _ in range(steps):
                    self.model.train_step(self.x, self.y)

    def _fit(self, epochs: int, batch_size: int | None) -> History:
        return self.model.fit(self.x, self.y, epochs=epochs, batch_size=batch_size, progress="off")


def _model(workload: Workload, backend: Backend) -> Model:
    chain: list[Layer] = []
    penalty = L2(workload.l2) if workload.l2 else None
    for size in workload.sizes[1:]:
        chain += [Dense(size, weight_regularizer=penalty, bias_regularizer=penalty), ReLU()]
        penalty = None
    chain[-1:] = [Softmax()] if workload.classifies else []
    model = Model(
        chain,
        loss=CategoricalCrossentropy() if workload.classifies else MeanSquaredError(),
        optimizer=Adam(learning_rate=workload.learning_rate),
        backend=backend,
    )
    model.build(workload.sizes[:1])
    dense = [layer for layer in model.layers if isinstance(layer, Dense)]
    for layer, (w, b) in zip(dense, workload.weights(), strict=True):
        layer.weights, layer.biases = w, b
    return model


def _loss(prediction: Array, y: Array) -> float:
    """The loss of a prediction, by its formula."""
    if y.ndim == 1:
        return float(-np.log(prediction[np.arange(len(y)), y]).mean())
    return float(((prediction - y) ** 2).mean())
