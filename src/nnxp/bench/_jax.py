"""JAX: one compiled step with donated buffers."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nnxp.bench._base import Stepwise
from nnxp.bench.workloads import Workload

__all__ = ["Jax"]


class Jax(Stepwise):
    """One call is one training step; calls return early, and `train` waits once, at the end."""

    def __init__(self, workload: Workload) -> None:
        self.x, self.y = (jnp.array(array) for array in workload.data())
        parameters = [(jnp.array(w), jnp.array(b)) for w, b in workload.weights()]
        m, v = (jax.tree.map(jnp.zeros_like, parameters) for _ in range(2))
        self.state: Any = (parameters, m, v, jnp.zeros((), jnp.float32))
        self.update = partial(
            _update, l2=workload.l2, learning_rate=workload.learning_rate, classifies=workload.classifies
        )

    def step(self) -> Any:
        self.state, loss = self.update(self.state, self.x, self.y)
        return loss

    def train(self, steps: int) -> None:
        super().train(steps)
        jax.block_until_ready(self.state)


def _loss(parameters: Any, x: Any, y: Any, l2: float, classifies: bool) -> Any:
    for w, b in parameters[:-1]:
        x = jnp.maximum(x @ w + b, 0)
    w, b = parameters[-1]
    z = x @ w + b
    if classifies:
        loss = -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1).mean()
    else:
        loss = ((z - y) ** 2).mean()
    return loss + l2 * sum((p**2).sum() for p in parameters[0]) if l2 else loss


@partial(jax.jit, donate_argnums=0, static_argnames=("l2", "learning_rate", "classifies"))
def _update(state: Any, x: Any, y: Any, *, l2: float, learning_rate: float, classifies: bool) -> Any:
    parameters, m, v, t = state
    loss, g = jax.value_and_grad(_loss)(parameters, x, y, l2, classifies)
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, v, g)
    rate, correction = learning_rate / (1 - 0.9**t), 1 / (1 - 0.999**t)
    parameters = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v * correction) + 1e-7), parameters, m, v)
    return (parameters, m, v, t), loss
