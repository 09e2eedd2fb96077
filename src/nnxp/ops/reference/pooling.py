r"""Pooling: each window of an image as one number, channel by channel. Letters: see `windows`.

Margins are no part of the image: they are never the largest, and are not counted in an average (as in Keras; PyTorch
counts them as zeros, unless it is told ``count_include_pad=False``).
"""

from math import inf, prod

from nnxp._types import Array, Namespace, Shape
from nnxp.ops.reference.windows import Padding, fold, inside, unfold

__all__ = [
    "average_pool2d",
    "average_pool2d_backward",
    "global_average_pool",
    "global_average_pool_backward",
    "max_pool2d",
    "max_pool2d_backward",
]


def max_pool2d(xp: Namespace, x: Array, window: tuple[int, int], strides: tuple[int, int], padding: Padding) -> Array:
    r"""``x[B,H,W,C] -> y[B,h,w,C]``: $y = \max_{ij} p_{brsijc}$ with $p$ = unfold(x), $-\infty$ in the margins."""
    return xp.max(unfold(xp, x, window, strides, padding, -inf), axis=(3, 4))


def max_pool2d_backward(
    xp: Namespace,
    dy: Array,
    x: Array,
    y: Array,
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
) -> Array:
    r"""``dy[B,h,w,C], x[B,H,W,C], y[B,h,w,C] -> dx[B,H,W,C]``: dx = fold(dp), where $dp_{brsijc} = dy_{brsc}$ at the
    largest element of the window, the first in the order of rows (as in PyTorch) where several are, and 0 elsewhere. In
    a window with NaN none is the largest.
    """
    p = unfold(xp, x, window, strides, padding, -inf)
    dy, y = dy[:, :, :, None, None, :], y[:, :, :, None, None, :]
    largest = (p == y) & (inside(xp, x, x.shape[1:3], window, strides, padding) > 0)
    flat = (*p.shape[:3], window[0] * window[1], p.shape[5])
    first = xp.argmax(xp.astype(xp.reshape(largest, flat), xp.int8), axis=3, keepdims=True)
    places = xp.reshape(xp.arange(flat[3], dtype=first.dtype, device=x.device), (1, 1, 1, *window, 1))
    dp = xp.where(largest & (places == first[:, :, :, None, :, :]), dy, xp.zeros_like(dy))
    return fold(xp, dp, x.shape[1:3], strides, padding)


def average_pool2d(
    xp: Namespace, x: Array, window: tuple[int, int], strides: tuple[int, int], padding: Padding
) -> Array:
    r"""``x[B,H,W,C] -> y[B,h,w,C]``: $y = \sum_{ij} p_{brsijc} / n_{rs}$ with $p$ = unfold(x), where $n_{rs}$ elements
    of the window are on the image.
    """
    count = xp.sum(inside(xp, x, x.shape[1:3], window, strides, padding), axis=(3, 4))
    return xp.sum(unfold(xp, x, window, strides, padding), axis=(3, 4)) / count


def average_pool2d_backward(
    xp: Namespace, dy: Array, size: tuple[int, int], window: tuple[int, int], strides: tuple[int, int], padding: Padding
) -> Array:
    r"""``dy[B,h,w,C] -> dx[B,H,W,C]``: dx = fold(dp) with $dp_{brsijc} = dy_{brsc} / n_{rs}$. The size is (H, W)."""
    count = xp.sum(inside(xp, dy, size, window, strides, padding), axis=(3, 4))
    dp = (dy / count)[:, :, :, None, None, :]
    dp = xp.broadcast_to(dp, (*dy.shape[:3], *window, dy.shape[3]))
    return fold(xp, dp, size, strides, padding)


def global_average_pool(xp: Namespace, x: Array) -> Array:
    r"""``x[B,…,C] -> y[B,C]``: $y$ is the mean of $x$ over all axes between the batch and the channels."""
    return xp.mean(x, axis=tuple(range(1, x.ndim - 1)))


def global_average_pool_backward(xp: Namespace, dy: Array, size: Shape) -> Array:
    r"""``dy[B,C] -> dx[B,*size,C]``: $dx = dy / n$ at each of the $n$ places."""
    share = xp.reshape(dy / prod(size), (dy.shape[0], *(1 for _ in size), dy.shape[1]))
    return xp.tile(share, (1, *size, 1))
