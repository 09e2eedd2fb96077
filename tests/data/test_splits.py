"""Splits: every row in exactly one part, classes in proportion, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnxp.data import moons, split
from nnxp.data._random import words
from nnxp.errors import ConfigurationError, DataError, DtypeError, ShapeError

PINNED = [[9, 5, 10, 8, 4, 2, 11, 1], [3, 7], [6, 0]]


def rows(n: int) -> np.ndarray:
    """Features that say which row they are."""
    return np.arange(n, dtype=np.float64)[:, None]


@given(
    labels=st.lists(st.integers(-2, 6), min_size=3, max_size=80),
    validation=st.floats(0, 0.49),
    test=st.floats(0, 0.49),
    seed=st.integers(0, 2**70),
)
def test_every_row_is_in_exactly_one_part(labels, validation, test, seed):
    y = np.array(labels)
    parts = split(rows(len(y)), y, validation=validation, test=test, seed=seed)
    found = np.concatenate([part.x[:, 0] for part in parts]).astype(int)
    np.testing.assert_array_equal(np.sort(found), np.arange(len(y)))
    for part in parts:
        np.testing.assert_array_equal(part.y, y[part.x[:, 0].astype(int)])
    assert len(parts.train.y) > 0
    assert (len(parts.validation.y) > 0) == (validation > 0)
    assert (len(parts.test.y) > 0) == (test > 0)


@given(labels=st.lists(st.integers(0, 5), min_size=3, max_size=60))
def test_classes_of_three_are_in_every_part(labels):
    y = np.array(labels)
    parts = split(rows(len(y)), y, validation=0.05, test=0.9)
    for label in np.unique(y):
        if (y == label).sum() >= 3:
            assert all(label in part.y for part in parts)


def test_classes_keep_their_proportions():
    y = np.repeat([0, 1, 2], [100, 50, 10])
    parts = split(rows(160), y, validation=0.3, test=0.1)
    counts = [np.bincount(part.y).tolist() for part in parts]
    assert counts == [[60, 30, 6], [30, 15, 3], [10, 5, 1]]


def test_without_stratification_proportions_vary():
    y = np.repeat([0, 1], [100, 100])
    counts = {tuple(np.bincount(split(rows(200), y, seed=seed, stratify=False).test.y)) for seed in range(8)}
    assert len(counts) > 1
    assert all(sum(pair) == 40 for pair in counts)


@pytest.mark.parametrize("y", [np.linspace(0, 1, 20), np.arange(20)[:, None], np.arange(20)])
def test_targets_without_classes_are_split_by_share(y):
    parts = split(rows(20), y, validation=0.1, test=0.25)
    assert [len(part.y) for part in parts] == [13, 2, 5]
    assert parts.train.y.shape[1:] == y.shape[1:]


def test_the_parts_of_a_seed_never_change():
    parts = split(rows(12), np.repeat([0, 1], 6), seed=7)
    assert [part.x[:, 0].astype(int).tolist() for part in parts] == PINNED


def test_seeds_differ():
    first, second, again = (split(rows(50), np.zeros(50), seed=seed).train.x for seed in (1, 2, 1))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)


def test_parts_are_shuffled_through_the_classes():
    """A part that began with one class would be a bad first batch, and a bad sample to show."""
    x, y = rows(2000), np.repeat(np.arange(10), 200)
    classes = [len(set(part.y[:20])) for seed in range(20) for part in split(x, y, seed=seed)]
    assert np.mean(classes) == pytest.approx(10 * (1 - 0.9**20), abs=0.4)


def test_the_split_is_independent_of_the_noise_of_the_same_seed():
    assert words("split", 0).random_raw() != words("moons", 0).random_raw()
    clean = moons(4000, noise=0.0).x
    noise = np.abs(moons(4000, noise=1.0, seed=0).x - clean)
    parts = split(noise, np.zeros(4000), seed=0)
    assert abs(parts.train.x.mean() - parts.test.x.mean()) < 0.05


def test_images_and_lists_are_accepted_and_copied():
    images, labels = np.zeros((9, 2, 2, 1), dtype=np.float32), [0, 1, 2] * 3
    parts = split(images, labels)
    assert [part.x.shape for part in parts] == [(3, 2, 2, 1)] * 3
    assert parts.train.x.dtype == np.float32
    parts.train.x[...] = 1
    assert images.sum() == 0


def test_a_share_of_zero_is_an_empty_part():
    parts = split(rows(10), np.zeros(10), validation=0, test=0.5)
    assert [len(part.x) for part in parts] == [5, 0, 5]
    assert parts.validation.x.shape == (0, 1)


def test_text_labels_are_stratified_on_request():
    y = np.array(["a", "b"] * 10)
    parts = split(rows(20), y, stratify=True)
    assert sorted(parts.test.y) == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"validation": 1.0}, ConfigurationError, r"validation must be a number in \[0, 1\), got 1\.0"),
        ({"test": -0.1}, ConfigurationError, r"test must be a number in \[0, 1\), got -0\.1"),
        ({"validation": 0.5, "test": 0.5}, ConfigurationError, r"leave rows to train on, got 0\.5 \+ 0\.5 = 1"),
        ({"seed": -1}, ConfigurationError, "seed must be a whole number of at least 0, got -1"),
        ({"y": np.zeros(9)}, ShapeError, "got 10 rows of x and 9 of y"),
        ({"x": np.float64(3)}, ShapeError, "expected x with one row per sample, got a single float64"),
        ({"x": [[1], [1, 2]]}, DtypeError, "could not read x as a NumPy array"),
        (
            {"y": np.linspace(0, 1, 10), "stratify": True},
            ConfigurationError,
            r"got y of shape \(10,\) and type float64",
        ),
        (
            {"y": np.zeros((10, 1), int), "stratify": True},
            ConfigurationError,
            r"labels of shape \(N,\).*stratify=False",
        ),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        split(**({"x": rows(10), "y": np.arange(10) % 2} | arguments))


def test_too_few_rows():
    with pytest.raises(DataError, match="needs at least 3 rows for 3 parts, got 2"):
        split(rows(2), [0, 1])
    assert [len(part.x) for part in split(rows(2), [0, 1], validation=0)] == [1, 0, 1]
