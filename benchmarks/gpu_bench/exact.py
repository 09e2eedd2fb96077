"""The losses of the first steps in float64, by the formulas alone: no layers, no plan, nothing of nnxp's."""

from collections.abc import Sequence
from typing import Any

__all__ = ["exact_losses"]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


def exact_losses(xp: Any, x: Any, y: Any, weights: Sequence[Any], *, learning_rate: float, steps: int) -> list[float]:
    """``weights`` are w, b, w, b, …; ``xp`` is NumPy, or CuPy for what NumPy would take minutes for.

    p = softmax z, loss = mean -log p[y], dz = (p - one-hot y) / B, Adam with its corrections (Kingma and Ba, 2015).
    """
    x, y = xp.asarray(x, dtype=xp.float64), xp.asarray(y)
    w = [xp.array(array, dtype=xp.float64) for array in weights]
    m, v = [xp.zeros_like(array) for array in w], [xp.zeros_like(array) for array in w]
    rows, losses = xp.arange(len(y)), []
    for step in range(1, steps + 1):
        a = [x]
        for i in range(0, len(w) - 2, 2):
            a.append(xp.maximum(a[-1] @ w[i] + w[i + 1], 0))
        z = a[-1] @ w[-2] + w[-1]
        z -= z.max(axis=1, keepdims=True)
        log_p = z - xp.log(xp.exp(z).sum(axis=1, keepdims=True))
        losses.append(float(-log_p[rows, y].mean()))
        dz = xp.exp(log_p)
        dz[rows, y] -= 1
        dz /= len(y)
        for i in reversed(range(0, len(w), 2)):
            gradients = a[i // 2].T @ dz, dz.sum(axis=0)
            if i:
                dz = (dz @ w[i].T) * (a[i // 2] > 0)
            for k, g in zip((i, i + 1), gradients, strict=True):
                _adam(xp, w[k], g, m[k], v[k], learning_rate, step)
    return losses


def _adam(xp: Any, w: Any, g: Any, m: Any, v: Any, learning_rate: float, step: int) -> None:
    m *= BETA_1
    m += (1 - BETA_1) * g
    v *= BETA_2
    v += (1 - BETA_2) * g * g
    w -= learning_rate * (m / (1 - BETA_1**step)) / (xp.sqrt(v / (1 - BETA_2**step)) + EPSILON)
