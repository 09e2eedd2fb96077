"""The same training step in eager PyTorch, with its fused Adam."""

import torch
from torch import nn
from torch.nn import functional


class Torch:
    """One call is one training step.

    The L2 penalty is Adam's ``weight_decay`` of the first layer, the fastest way that PyTorch has: its gradient is 2λw
    as everywhere else. Its value is then nobody's by-product, so ``penalty`` computes it for the check of the losses.
    """

    def __init__(self, workload, x, y, weights):
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)
        self.l2 = workload.l2
        modules = []
        for w, b in weights:
            dense = nn.Linear(*w.shape)
            with torch.no_grad():
                dense.weight.copy_(torch.from_numpy(w).T)
                dense.bias.copy_(torch.from_numpy(b))
            modules += [dense, nn.ReLU()]
        self.first = modules[0]
        self.network = nn.Sequential(*modules[:-1])
        self.loss = functional.cross_entropy if workload.classifies else functional.mse_loss
        groups = [
            {"params": modules[0].parameters(), "weight_decay": 2 * workload.l2},
            {"params": [p for module in modules[1:] for p in module.parameters()]},
        ]
        self.optimizer = torch.optim.Adam(groups, lr=workload.learning_rate, eps=1e-7, fused=True)

    def step(self):
        """One update on the batch; the loss on the data before it."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.network(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def penalty(self):
        """λ‖w‖² over the first layer's weights and biases."""
        return self.l2 * sum(p.square().sum() for p in self.first.parameters())
