r"""Convolution of images: every window is a row, so a convolution is a product with a matrix, and so are its gradients.

As everywhere in neural networks it is the cross-correlation: the weights are not turned around. Letters: see `windows`.
"""

from math import prod

from nnxp._types import Array, Namespace
from nnxp.ops.reference.linear import linear, matmul
from nnxp.ops.reference.windows import Padding, fold, unfold

__all__ = ["conv2d", "conv2d_bias_gradient", "conv2d_input_gradient", "conv2d_weight_gradient"]


def conv2d(xp: Namespace, x: Array, weights: Array, biases: Array, strides: tuple[int, int], padding: Padding) -> Array:
    r"""``x[B,H,W,C], weights[kh,kw,C,O], biases[O] -> y[B,h,w,O]``:
    $y_{brso} = \sum_{ijc} p_{brsijc}\, w_{ijco} + b_o$ with $p$ = unfold(x).
    """
    p = unfold(xp, x, weights.shape[:2], strides, padding)
    y = linear(xp, _rows(xp, p), _rows(xp, weights), biases)
    return xp.reshape(y, (*p.shape[:3], weights.shape[3]))


def conv2d_bias_gradient(xp: Namespace, dy: Array) -> Array:
    r"""``dy[B,h,w,O] -> db[O]``: $\partial L/\partial b_o = \sum_{brs} dy_{brso}$."""
    return xp.sum(dy, axis=(0, 1, 2))


def conv2d_weight_gradient(
    xp: Namespace, x: Array, dy: Array, window: tuple[int, int], strides: tuple[int, int], padding: Padding
) -> Array:
    r"""``x[B,H,W,C], dy[B,h,w,O] -> dw[kh,kw,C,O]``:
    $\partial L/\partial w_{ijco} = \sum_{brs} p_{brsijc}\, dy_{brso}$. The window is (kh, kw).
    """
    p = unfold(xp, x, window, strides, padding)
    dw = matmul(xp, _rows(xp, p).T, _rows(xp, dy))
    return xp.reshape(dw, (*p.shape[3:], dy.shape[3]))


def conv2d_input_gradient(
    xp: Namespace, dy: Array, weights: Array, size: tuple[int, int], strides: tuple[int, int], padding: Padding
) -> Array:
    r"""``dy[B,h,w,O], weights[kh,kw,C,O] -> dx[B,H,W,C]``:
    $\partial L/\partial x$ = fold(dp) with $dp_{brsijc} = \sum_o dy_{brso}\, w_{ijco}$. The size is (H, W).
    """
    dp = matmul(xp, _rows(xp, dy), _rows(xp, weights).T)
    return fold(xp, xp.reshape(dp, (*dy.shape[:3], *weights.shape[:3])), size, strides, padding)


def _rows(xp: Namespace, a: Array) -> Array:
    """A matrix: of windows B·h·w rows, of weights kh·kw·C, and of dy B·h·w."""
    return xp.reshape(a, (prod(a.shape[:3]), prod(a.shape[3:])))
