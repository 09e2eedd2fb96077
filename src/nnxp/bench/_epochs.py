"""Contenders that are trained by a call for whole epochs."""

from abc import abstractmethod
from typing import Any

import numpy as np

from nnxp.bench._base import Contender
from nnxp.bench.workloads import Workload

__all__ = ["Epochwise"]

MOST_STEPS = 100
MOST_BYTES = 2**24


class Epochwise(Contender):
    """Where one batch is trained on again and again, an epoch has many copies of it, which share what it costs."""

    def __init__(self, workload: Workload) -> None:
        self.batch = workload.batch
        self.shuffles = workload.what == "fit"
        self.x, self.y = workload.data()
        copies = 1 if self.shuffles else min(MOST_STEPS, max(1, MOST_BYTES // self.x.nbytes))
        self.epoch = np.concatenate([self.x] * copies), np.concatenate([self.y] * copies)
        self.steps_of_epoch = copies * workload.steps_at_once

    @abstractmethod
    def fit(self, x: Any, y: Any, epochs: int) -> Any:
        """Train on so many epochs, in batches; shuffled if `shuffles`."""

    def train(self, steps: int) -> None:
        epochs, rest = divmod(steps, self.steps_of_epoch)
        x, y = self.epoch
        if epochs:
            self.fit(x, y, epochs)
        if rest:
            self.fit(x[: rest * self.batch], y[: rest * self.batch], 1)
