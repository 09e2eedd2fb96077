"""The packaged digits: what they are, that they are whole, and that their parts are the same for everybody."""

import hashlib
from importlib.resources import files

import numpy as np
import pytest

from nnxp.data import digits
from nnxp.data._digits import SHA256
from nnxp.errors import FileFormatError

FIRST = [
    [5, 6, 1, 1, 3, 3, 8, 0, 6, 8, 9, 5],
    [8, 5, 1, 9, 7, 6, 4, 6, 3, 9, 1, 4],
    [1, 6, 7, 3, 9, 1, 9, 1, 5, 5, 5, 3],
]
CONTENT = "051b2c9777eb454b624ceafe8905b8c4a94bb852b827ec02c18dae1c15391766"

PER_CLASS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_shapes_types_and_range():
    for part in digits():
        assert part.x.shape == (len(part.y), 8, 8, 1)
        assert part.x.dtype == np.float32
        assert part.y.dtype == np.int64
        assert part.x.min() == 0
        assert part.x.max() == 1
        np.testing.assert_array_equal(part.x * 16, np.round(part.x * 16))


def test_classes_are_split_60_20_20():
    counts = np.array([np.bincount(part.y) for part in digits()])
    np.testing.assert_array_equal(counts.sum(axis=0), PER_CLASS)
    fifth = [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    np.testing.assert_array_equal(counts[1:], [fifth, fifth])
    assert [len(part.y) for part in digits()] == [1079, 359, 359]


def test_parts_share_no_image():
    images = np.concatenate([part.x.reshape(-1, 64) for part in digits()])
    assert len(np.unique(images, axis=0)) == 1797


def test_parts_never_change():
    parts = digits()
    assert [part.y[:12].tolist() for part in parts] == FIRST
    content = b"".join((part.x * 16).astype(np.uint8).tobytes() + part.y.astype(np.uint8).tobytes() for part in parts)
    assert hashlib.sha256(content).hexdigest() == CONTENT


def test_arrays_are_fresh_and_writable():
    digits().train.x[...] = 7
    digits().test.y[...] = 7
    assert digits().train.x.max() == 1
    assert np.unique(digits().test.y).tolist() == list(range(10))


def test_a_damaged_file_is_refused(tmp_path, monkeypatch):
    content = bytearray((files("nnxp.data") / "digits.npz").read_bytes())
    content[2000] ^= 1
    (tmp_path / "digits.npz").write_bytes(content)
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    with pytest.raises(FileFormatError, match=rf"digits\.npz is damaged: its SHA-256 is \w+, expected {SHA256}"):
        digits()


def test_a_missing_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    with pytest.raises(FileFormatError, match=r"digits\.npz cannot be read .*reinstall nnxp"):
        digits()


def test_the_note_names_source_licence_and_hash():
    note = (files("nnxp.data") / "DIGITS.md").read_text(encoding="utf-8")
    for text in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0", SHA256, "1,797"):
        assert text in note


def test_the_file_is_small():
    assert len((files("nnxp.data") / "digits.npz").read_bytes()) < 100_000


def test_against_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    source = datasets.load_digits()
    with np.load(str(files("nnxp.data") / "digits.npz"), allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["x"], source.images)
        np.testing.assert_array_equal(stored["y"], source.target)
    label = {image.tobytes(): y for image, y in zip(source.images, source.target, strict=True)}
    for part in digits():
        for image, y in zip(part.x, part.y, strict=True):
            assert label[(image[..., 0] * 16).astype(np.float64).tobytes()] == y
