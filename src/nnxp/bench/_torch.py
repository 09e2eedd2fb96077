"""PyTorch, with its fused Adam: eager and compiled."""

import os
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from nnxp._types import Array
from nnxp.bench._base import Stepwise
from nnxp.bench.workloads import Workload

__all__ = ["Torch"]


class Torch(Stepwise):
    """One call is one training step.

    The L2 penalty is Adam's ``weight_decay`` of the first layer, the fastest way that PyTorch has: its gradient is 2λw
    as everywhere else. Its value is then nobody's by-product, so `penalty` computes it for the check of the losses.
    """

    def __init__(self, workload: Workload, compiled: bool = False) -> None:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
        self.x, self.y = (torch.from_numpy(array) for array in workload.data())
        self.l2, self.classifies = workload.l2, workload.classifies
        self.loss = _compiled_loss if compiled else _loss
        modules: list[Any] = []
        for w, b in workload.weights():
            modules += [_linear(w, b), nn.ReLU()]
        self.network = nn.Sequential(*modules[:-1])
        self.first = list(modules[0].parameters())
        groups = [
            {"params": self.first, "weight_decay": 2 * workload.l2},
            {"params": [p for module in modules[1:] for p in module.parameters()]},
        ]
        self.optimizer = torch.optim.Adam(groups, lr=workload.learning_rate, eps=1e-7, fused=True)

    def step(self) -> Any:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.network, self.x, self.y, self.classifies)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def penalty(self) -> float:
        return self.l2 * sum(float(p.detach().square().sum()) for p in self.first)


def _linear(w: Array, b: Array) -> Any:
    dense = nn.Linear(*w.shape)
    with torch.no_grad():
        dense.weight.copy_(torch.from_numpy(w).T)
        dense.bias.copy_(torch.from_numpy(b))
    return dense


def _loss(network: Any, x: Any, y: Any, classifies: bool) -> Any:
    return functional.cross_entropy(network(x), y) if classifies else functional.mse_loss(network(x), y)


_compiled_loss = torch.compile(_loss, dynamic=False)
