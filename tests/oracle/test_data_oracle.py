"""The packaged data against its sources."""

import numpy as np
import pytest

from nnxp.data import digits, moons

pytest.importorskip("sklearn")

from sklearn.datasets import load_digits, make_moons  # only where it is installed


def rows(images: np.ndarray, labels: np.ndarray) -> list[bytes]:
    """Each image with its label as bytes, sorted: equal lists are equal multisets."""
    return sorted(image.tobytes() + bytes([label]) for image, label in zip(images, labels, strict=True))


def test_digits_are_those_of_scikit_learn():
    """All 1,797, each as often and with the same label; the order and the parts are ours. Pixels 0…16 became 0…1."""
    source, parts = load_digits(), digits()
    x = np.concatenate([part.x for part in parts])[..., 0] * 16
    y = np.concatenate([part.y for part in parts])
    np.testing.assert_array_equal(x, np.round(x))
    expected = rows(source.images.astype(np.uint8), source.target)
    assert rows(x.astype(np.uint8), y) == expected
    assert len(expected) == 1797


@pytest.mark.parametrize("samples", [2, 3, 200, 201])
def test_moons_without_noise_are_those_of_scikit_learn(samples):
    x, y = moons(samples, noise=0.0)
    expected_x, expected_y = make_moons(samples, shuffle=False, noise=None)
    np.testing.assert_allclose(x, expected_x, atol=1e-15)  # cos and sin of the same angles
    np.testing.assert_array_equal(y, expected_y)
