"""What the golden runs share."""

from collections.abc import Iterator

import pytest

import nnxp.compat.nnfs as nnfs


@pytest.fixture(autouse=True)
def numpy_afterwards() -> Iterator[None]:
    """Other tests find NumPy chosen."""
    yield
    nnfs.init("numpy")
