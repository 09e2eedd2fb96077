"""1,797 handwritten digits that come with the package, so that a network can be trained right after installing.

``DIGITS.md``, next to this file, names their source and licence.
"""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnxp.data._splits import Split, Splits, deal
from nnxp.errors import FileFormatError

__all__ = ["SHA256", "digits"]

SHA256 = "6f801551877abf69fbf3711373bb642a18dc933430a3385cd6febc235225ea6f"
"""Of ``digits.npz`` as ``tools/make_digits.py`` wrote it."""


def digits() -> Splits:
    """The digits 0 to 9 as images, in three fixed parts. x[N, 8, 8, 1] float32 in [0, 1], y[N] int64.

    The parts are the same for everybody, whatever the seed and the versions, so that results can be compared. Each row
    has a key, the SHA-256 of its 64 pixel bytes followed by its index as 4 bytes, high byte first. By the first 8 bytes
    of the key, the lowest fifth (rounded) of each class is for validation, the next fifth for testing, the rest for
    training; within a part, the rows are in the order of the next 8 bytes. Writers are not kept apart: the source does
    not name them. Each call returns fresh arrays.

    Raises ``FileFormatError`` when the packaged file is not the one that was shipped.

    Source: E. Alpaydin and C. Kaynak (1998), https://doi.org/10.24432/C50P49.
    """
    import hashlib  # like the resources below: importing nnxp should not wait for it

    pixels, labels = _packaged()
    keys = [hashlib.sha256(image.tobytes() + i.to_bytes(4, "big")).digest() for i, image in enumerate(pixels)]
    draw, order, *_ = np.argsort(np.frombuffer(b"".join(keys), dtype=">u8").reshape(-1, 4).T, axis=1, kind="stable")
    x, y = pixels[..., None].astype(np.float32) / np.float32(16), labels.astype(np.int64)
    parts = deal(draw, order, (np.flatnonzero(y == k) for k in range(10)), (0.2, 0.2))
    return Splits(*(Split(x[rows], y[rows]) for rows in parts))


def _packaged() -> tuple[NDArray[Any], NDArray[Any]]:
    """The arrays of ``digits.npz``: values 0 to 16 and labels, all bytes."""
    import hashlib
    from importlib.resources import files

    path = files("nnxp.data") / "digits.npz"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read ({error}); reinstall nnxp.") from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise FileFormatError(f"{path} is damaged: its SHA-256 is {found}, expected {SHA256}; reinstall nnxp.")
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        return arrays["x"], arrays["y"]
