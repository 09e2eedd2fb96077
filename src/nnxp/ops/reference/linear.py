r"""Lines and planes: ``y = x·w + b``, and the three gradients that follow from it.

Letters, here and in all of `nnxp.ops`: B batch, I inputs, O outputs, K classes.
"""

from nnxp._types import Array, Namespace, Shape

__all__ = ["add", "linear", "linear_bias_gradient", "linear_input_gradient", "linear_weight_gradient", "reshape"]


def linear(xp: Namespace, x: Array, w: Array, b: Array) -> Array:
    r"""``x[B,I], w[I,O], b[O] -> y[B,O]``: $y = x w + b$."""
    return xp.matmul(x, w) + b


def linear_bias_gradient(xp: Namespace, dy: Array) -> Array:
    r"""``dy[B,O] -> db[O]``: $\partial L/\partial b_o = \sum_b dy_{bo}$."""
    return xp.sum(dy, axis=0)


def linear_weight_gradient(xp: Namespace, x: Array, dy: Array) -> Array:
    r"""``x[B,I], dy[B,O] -> dw[I,O]``: $\partial L/\partial w = x^\top dy$."""
    return xp.matmul(x.T, dy)


def linear_input_gradient(xp: Namespace, dy: Array, w: Array) -> Array:
    r"""``dy[B,O], w[I,O] -> dx[B,I]``: $\partial L/\partial x = dy\, w^\top$."""
    return xp.matmul(dy, w.T)


def reshape(xp: Namespace, x: Array, shape: Shape) -> Array:
    """``x[B,…] -> y[B,*shape]``: the same numbers in another shape; its backward is the reshape back."""
    return xp.reshape(x, (x.shape[0], *shape))


def add(xp: Namespace, a: Array, b: Array) -> Array:
    """``a + b``, of one shape."""
    return a + b
