"""Windows over images: what convolutions and poolings read, and where their gradients go.

Letters, here and in `convolution` and `pooling`: an image is ``x[B,H,W,C]`` (batch, height, width, channels); a window
is kh · kw pixels; h · w windows fit on an image.

Padding is ``"valid"`` (none), ``"same"`` (h = ⌈H / stride⌉, as in TensorFlow and Keras: where the margins cannot be
equal, the one at the end is larger by one), or a pair of numbers: so many rows above and below, and columns left and
right.
"""

from nnxp._types import Array, Namespace, Shape

__all__ = ["Padding", "fold", "grid", "inside", "unfold"]

Padding = str | tuple[int, int]


def grid(
    size: Shape, window: tuple[int, int], strides: tuple[int, int], padding: Padding
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """For both axes of images of ``size`` (H, W): the number of windows, and the margins before and after.

    >>> grid((8, 5), (3, 2), (1, 2), "valid")
    ((6, 0, 0), (2, 0, 0))
    >>> grid((8, 5), (3, 2), (1, 2), "same")
    ((8, 1, 1), (3, 0, 1))
    """
    rows, columns = (padding, padding) if isinstance(padding, str) else padding
    return _axis(size[0], window[0], strides[0], rows), _axis(size[1], window[1], strides[1], columns)


def _axis(length: int, window: int, stride: int, padding: str | int) -> tuple[int, int, int]:
    if padding == "same":
        count = -(-length // stride)
        margins = max((count - 1) * stride + window - length, 0)
        return count, margins // 2, margins - margins // 2
    margin = 0 if isinstance(padding, str) else padding
    return (length + 2 * margin - window) // stride + 1, margin, margin


def unfold(
    xp: Namespace,
    x: Array,
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
    fill: float = 0.0,
) -> Array:
    """``x[B,H,W,C] -> p[B,h,w,kh,kw,C]``: p[b,r,s,i,j,c] = x[b, r·stride + i - margin, s·stride + j - margin, c].

    Outside of the image stands ``fill``.
    """
    (h, top, bottom), (w, left, right) = grid(x.shape[1:3], window, strides, padding)
    x = _pad(xp, _pad(xp, x, 1, top, bottom, fill), 2, left, right, fill)
    (down, along), (kh, kw) = strides, window
    places = [
        x[:, i : i + (h - 1) * down + 1 : down, j : j + (w - 1) * along + 1 : along, :]
        for i in range(kh)
        for j in range(kw)
    ]
    return xp.reshape(xp.stack(places, axis=3), (x.shape[0], h, w, kh, kw, x.shape[3]))


def fold(xp: Namespace, p: Array, size: tuple[int, int], strides: tuple[int, int], padding: Padding) -> Array:
    """``p[B,h,w,kh,kw,C] -> x[B,H,W,C]``: every window is added where `unfold` took it from, with which it is
    transposed: Σ fold(p)·x = Σ p·unfold(x). What lies outside of the image is dropped.
    """
    kh, kw = p.shape[3:5]
    (_, top, bottom), (_, left, right) = grid(size, (kh, kw), strides, padding)
    p = _add_places(xp, [p[:, :, :, :, j, :] for j in range(kw)], 2, strides[1], left + size[1] + right)
    x = _add_places(xp, [p[:, :, :, i, :] for i in range(kh)], 1, strides[0], top + size[0] + bottom)
    return x[:, top : top + size[0], left : left + size[1], :]


def inside(
    xp: Namespace, like: Array, size: Shape, window: tuple[int, int], strides: tuple[int, int], padding: Padding
) -> Array:
    """``p[1,h,w,kh,kw,1]``: 1 where a window's place is on an image of this size (H, W), 0 in the margins."""
    return unfold(xp, xp.ones((1, *size, 1), dtype=like.dtype, device=like.device), window, strides, padding)


def _add_places(xp: Namespace, parts: list[Array], axis: int, stride: int, length: int) -> Array:
    """The sum of parts: the elements of part i lie at i, i + stride, i + 2·stride, … of an axis of that length."""
    total = _spread(xp, parts[0], axis, 0, stride, length)
    for place, part in enumerate(parts[1:], 1):
        total = total + _spread(xp, part, axis, place, stride, length)
    return total


def _spread(xp: Namespace, a: Array, axis: int, start: int, stride: int, length: int) -> Array:
    count = a.shape[axis]
    if stride > 1:
        apart = xp.stack([a, *[xp.zeros_like(a)] * (stride - 1)], axis=axis + 1)
        apart = xp.reshape(apart, (*a.shape[:axis], count * stride, *a.shape[axis + 1 :]))
        a = apart[(slice(None),) * axis + (slice(0, (count - 1) * stride + 1), ...)]
    return _pad(xp, a, axis, start, length - start - a.shape[axis], 0.0)


def _pad(xp: Namespace, a: Array, axis: int, before: int, after: int, fill: float) -> Array:
    def margin(width: int) -> list[Array]:
        shape = (*a.shape[:axis], width, *a.shape[axis + 1 :])
        return [xp.full(shape, fill, dtype=a.dtype, device=a.device)] if width else []

    parts = [*margin(before), a, *margin(after)]
    return xp.concat(parts, axis=axis) if len(parts) > 1 else a
