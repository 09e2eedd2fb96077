"""JAX: a jitted step with donated buffers, one step a call or many."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gpu_bench.base import Contender, Task

__all__ = ["Jax"]

PRECISIONS = {"float32": "highest", "tf32": "TF32_TF32_F32", "bf16": "BF16_BF16_F32"}
"""What products are made in, where it is left to nobody's default; parameters and activations are float32."""


class Jax(Contender):
    """``chunk`` is the number of steps in a call. Without events, the host waits and its clock tells the time."""

    def __init__(self, task: Task, *, chunk: int = 1) -> None:
        dry_tf32 = task.dry and task.precision == "tf32"  # which CPUs have not
        jax.config.update("jax_default_matmul_precision", "highest" if dry_tf32 else PRECISIONS[task.precision])
        self.task, self.chunk = task, chunk
        self.x, self.y = (jnp.asarray(array) for array in task.data())
        self.update = partial(_updates, learning_rate=task.workload.learning_rate, count=chunk)
        self.state: Any = None
        self.read: list[float] = []

    def reset(self) -> None:
        self.state = None
        parameters = [jnp.array(array) for array in self.task.weights()]
        m, v = ([jnp.zeros_like(p) for p in parameters] for _ in range(2))
        self.state = (parameters, m, v, jnp.zeros((), jnp.float32))

    def step(self) -> Any:
        self.state, losses = self.update(self.state, self.x, self.y)
        return losses[0]

    def losses(self, steps: int) -> list[float]:
        self.reset()
        found: list[float] = []
        while len(found) < steps:
            self.state, losses = self.update(self.state, self.x, self.y)
            found += map(float, losses)
        return found[:steps]

    def train(self, steps: int) -> None:
        for _ in range(steps // self.chunk):
            self.step()

    def synchronize(self) -> None:
        jax.block_until_ready(self.state)

    def peak_bytes(self) -> int | None:
        return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def _loss(parameters: Any, x: Any, y: Any) -> Any:
    for i in range(0, len(parameters) - 2, 2):
        x = jnp.maximum(x @ parameters[i] + parameters[i + 1], 0)
    z = x @ parameters[-2] + parameters[-1]
    return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1).mean()


@partial(jax.jit, donate_argnums=0, static_argnames=("learning_rate", "count"))
def _updates(state: Any, x: Any, y: Any, *, learning_rate: float, count: int) -> Any:
    def update(state: Any, _: Any) -> Any:
        parameters, m, v, t = state
        loss, g = jax.value_and_grad(_loss)(parameters, x, y)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, v, g)
        rate, correction = learning_rate / (1 - 0.9**t), 1 / (1 - 0.999**t)
        parameters = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v * correction) + 1e-7), parameters, m, v)
        return (parameters, m, v, t), loss

    if count == 1:
        state, loss = update(state, None)
        return state, loss[None]
    return jax.lax.scan(update, state, None, length=count)
