"""What all tests of the book's classes share."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import nnxp.compat.nnfs as nnfs
from nnxp.backend import Backend


@pytest.fixture(autouse=True)
def numpy_afterwards() -> Iterator[None]:
    """Other tests find NumPy chosen."""
    yield
    nnfs.init("numpy")


@pytest.fixture
def begun(backend: Backend) -> Backend:
    """The tested library, after ``nnfs.init`` on it."""
    nnfs.init(backend)
    return backend


@pytest.fixture
def equal(begun: Backend) -> Callable[..., None]:
    """``equal(found, expected)``: found lies on the backend, in float32, and has these values.

    The expected values are float64. A product of four terms and a few operations after it err by a few roundings of
    6e-8, of numbers of order one.
    """

    def check(found: object, expected: object, *, rtol: float = 2e-6, atol: float = 1e-6) -> None:
        assert begun.owns(found)
        assert found.dtype == begun.dtype  # type: ignore[attr-defined]
        host = begun.to_numpy(found)
        assert host.shape == np.shape(expected)
        np.testing.assert_allclose(host, expected, rtol=rtol, atol=atol)

    return check
