r"""Lines and planes: ``y = x·w + b``, and the three gradients that follow from it.

Letters, here and in all of `nnxp.ops`: B batch, I inputs, O outputs, K classes.
"""

from nnxp._types import Array, Namespace, Shape

__all__ = [
    "add",
    "linear",
    "linear_bias_gradient",
    "linear_input_gradient",
    "linear_weight_gradient",
    "matmul",
    "reshape",
]


def matmul(xp: Namespace, a: Array, b: Array) -> Array:
    r"""``a[B,I], b[I,O] -> y[B,O]``: $y = a b$.

    With a column of ones in a and the biases under the weights in b, this is `linear`, and its weight gradient brings
    the bias gradient as its last row.
    """
    if a.shape[1] == 1 and a.dtype == b.dtype:
        return a * b  # sums of one term: libraries are slow at such products
    return xp.matmul(a, b)


def linear(xp: Namespace, x: Array, w: Array, b: Array) -> Array:
    r"""``x[B,I], w[I,O], b[O] -> y[B,O]``: $y = x w + b$."""
    return matmul(xp, x, w) + b


def linear_bias_gradient(xp: Namespace, dy: Array) -> Array:
    r"""``dy[B,O] -> db[O]``: $\partial L/\partial b_o = \sum_b dy_{bo}$."""
    return xp.sum(dy, axis=0)


def linear_weight_gradient(xp: Namespace, x: Array, dy: Array) -> Array:
    r"""``x[B,I], dy[B,O] -> dw[I,O]``: $\partial L/\partial w = x^\top dy$."""
    return matmul(xp, x.T, dy)


def linear_input_gradient(xp: Namespace, dy: Array, w: Array) -> Array:
    r"""``dy[B,O], w[I,O] -> dx[B,I]``: $\partial L/\partial x = dy\, w^\top$."""
    return matmul(xp, dy, w.T)


def reshape(xp: Namespace, x: Array, shape: Shape) -> Array:
    """``x[B,…] -> y[B,*shape]``: the same numbers in another shape; its backward is the reshape back."""
    return xp.reshape(x, (x.shape[0], *shape))


def add(xp: Namespace, a: Array, b: Array) -> Array:
    """``a + b``, of one shape."""
    return a + b
