"""IDX files: every type of the format, a user's folder of them, and what is said about a file that is not whole."""

import gzip
import struct
import tracemalloc
from functools import partial

import numpy as np
import pytest

from nnxp.data import FASHION_CLASSES, fashion_mnist, load_idx, mnist
from nnxp.errors import ConfigurationError, FileFormatError, FileNotFound

TYPES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
NAMES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]

# Without the time of day, which would name the tests differently in each process.
packed = partial(gzip.compress, mtime=0)


def header(*shape: int, code: int = 0x08) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape)


def idx(array: np.ndarray) -> bytes:
    array = np.asarray(array)
    return header(*array.shape, code=TYPES[array.dtype.name]) + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def write(tmp_path):
    def write(content: bytes, name: str = "data-idx"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


class TestLoad:
    @pytest.mark.parametrize("dtype", TYPES)
    @pytest.mark.parametrize("pack", [bytes, packed])
    def test_every_type_in_native_order(self, write, dtype, pack, random):
        array = (random.normal(size=(3, 1, 5)) * 100).astype(dtype)
        found = load_idx(write(pack(idx(array))))
        np.testing.assert_array_equal(found, array)
        assert found.dtype == np.dtype(dtype)
        assert found.dtype.isnative
        found[...] = 0

    def test_the_high_byte_comes_first(self, write):
        assert load_idx(str(write(header(2, code=0x0B) + b"\x01\x02\xff\xfe"))).tolist() == [258, -2]

    def test_the_content_says_whether_it_is_compressed(self, write):
        assert load_idx(write(idx(np.arange(3, dtype=np.uint8)), "data.gz")).tolist() == [0, 1, 2]

    def test_an_empty_array(self, write):
        assert load_idx(write(header(0, 4))).shape == (0, 4)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", r"is not an IDX file: it starts with the bytes \(none\), expected two zero bytes"),
            (b"\0\0\x08", "is not an IDX file: it starts with the bytes 00 00 08"),
            (b"<html>", "is not an IDX file: it starts with the bytes 3c 68 74 6d, .*get the file again"),
            (b"\0\0\x0a\1\0\0\0\1\0", "elements of type 0x0a in 1 dimensions, expected one of the types 0x08, 0x09"),
            (b"\0\0\x08\0", "type 0x08 in 0 dimensions, expected .* at least 1 dimension"),
            (header(3, 4)[:-1], "ends within its header of 2 dimensions"),
            (header(2, 3) + bytes(5), r"declares uint8 of shape \(2, 3\), 6 bytes, and 5 bytes follow; get the file"),
            (header(2, 3) + bytes(7), r"declares uint8 of shape \(2, 3\), 6 bytes, and more bytes follow"),
            (header(3, code=0x0E) + bytes(23), r"float64 of shape \(3,\), 24 bytes, and 23 bytes follow"),
            (header(*[2**32 - 1] * 4) + bytes(9), "and 9 bytes follow"),
            (header(*[1] * 99) + bytes(1), "which no array can have"),
            (packed(header(9) + bytes(9))[:-9], "is damaged .*get the file again"),
            (packed(header(9) + bytes(9))[:-5] + b"\1" * 5, r"is damaged \(CRC check failed"),
            (b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 9, "is damaged"),
            (b"\x1f\x8bzip", "is damaged"),
            (packed(header(9) + bytes(8)), "9 bytes, and 8 bytes follow"),
            (packed(header(9) + bytes(10)), "9 bytes, and more bytes follow"),
            (packed(header(9) + bytes(9)) + b"x", r"is damaged \(Not a gzipped file"),
        ],
    )
    def test_errors(self, write, content, message):
        path = write(content)
        with pytest.raises(FileFormatError, match=message) as caught:
            load_idx(path)
        assert str(caught.value).startswith(f"{path} ")

    @pytest.mark.parametrize(
        "content",
        [
            header(2**31, 2**10) + bytes(100),
            packed(header(2**31, 2**10) + bytes(100)),
            packed(header(100) + bytes(2**24)),
        ],
        ids=["forged header", "forged header in gzip", "gzip bomb"],
    )
    def test_no_more_memory_is_taken_than_is_there(self, write, content):
        path = write(content)
        tracemalloc.start()
        try:
            with pytest.raises(FileFormatError, match="is not whole"):
                load_idx(path)
            assert tracemalloc.get_traced_memory()[1] < 2**22
        finally:
            tracemalloc.stop()

    def test_a_path_that_is_no_file(self, tmp_path):
        with pytest.raises(FileNotFound, match="nope does not exist; check the path"):
            load_idx(tmp_path / "nope")
        with pytest.raises(FileFormatError, match="is a folder; name a file in it"):
            load_idx(tmp_path)


def arrays(train: int = 12, test: int = 4) -> list[np.ndarray]:
    random = np.random.default_rng(1)
    return [
        array
        for rows in (train, test)
        for array in (
            random.integers(0, 256, size=(rows, 28, 28), dtype=np.uint8),
            random.integers(0, 10, size=rows, dtype=np.uint8),
        )
    ]


@pytest.fixture
def folder(tmp_path):
    """A function that writes the four files, with other content for some of them, and returns their folder."""

    def write(changes: dict[str, bytes] | None = None, *, train: int = 12):
        contents = dict(zip(NAMES, map(idx, arrays(train)), strict=True)) | (changes or {})
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
        return tmp_path

    return write


class TestFolder:
    def test_parts(self, folder):
        x, y, x_test, y_test = arrays()
        parts = mnist(folder())
        expected = [(x[:10], y[:10]), (x[10:], y[10:]), (x_test, y_test)]
        for part, (images, labels) in zip(parts, expected, strict=True):
            np.testing.assert_array_equal(part.x, images[..., None].astype(np.float32) / np.float32(255))
            np.testing.assert_array_equal(part.y, labels)
            assert (part.x.dtype, part.y.dtype) == (np.float32, np.int64)
        assert parts.train.x.min() == 0
        assert parts.train.x.max() == 1

    @pytest.mark.parametrize(("train", "validation"), [(2, 1), (6, 1), (13, 2), (600, 100)])
    def test_the_last_sixth_is_for_validation(self, folder, train, validation):
        parts = fashion_mnist(str(folder(train=train)))
        assert [len(part.y) for part in parts] == [train - validation, validation, 4]
        np.testing.assert_array_equal(parts.validation.y, arrays(train)[1][-validation:])

    def test_arrays_are_fresh_and_writable(self, folder):
        first = mnist(folder())
        for array in (array for part in first for array in part):
            array[...] = 7
        assert mnist(folder()).train.x.max() == 1
        assert not any(np.shares_memory(a, b) for a in first.train for b in first.validation)

    def test_names_with_a_dot_and_compressed_ones(self, folder):
        expected, path = mnist(folder()), folder()
        for k, name in enumerate(NAMES):
            content = (path / name).read_bytes()
            (path / name).unlink()
            name = name.replace("-idx", ".idx") if k % 2 else name
            (path / (name + ".gz" * (k > 1))).write_bytes(packed(content) if k > 1 else content)
        for part, same in zip(mnist(path), expected, strict=True):
            np.testing.assert_array_equal(part.x, same.x)
            np.testing.assert_array_equal(part.y, same.y)

    def test_a_folder_of_the_name_of_a_file_is_passed_over(self, folder):
        path = folder()
        (path / NAMES[0]).rename(path / "train-images.idx3-ubyte")
        (path / NAMES[0]).mkdir()
        assert len(mnist(path).train.y) == 10

    def test_missing_files_are_listed(self, folder):
        path = folder()
        (path / NAMES[1]).unlink()
        (path / NAMES[2]).unlink()
        message = (
            rf"lacks {NAMES[1]}, {NAMES[2]}; expected {', '.join(NAMES)}, each also with \.idx for -idx and with \.gz "
            r"at its end\. Without a folder, mnist is downloaded\."
        )
        with pytest.raises(FileNotFound, match=message) as caught:
            mnist(path)
        assert str(path) in str(caught.value)

    def test_a_folder_that_is_none(self, tmp_path):
        with pytest.raises(FileNotFound, match=r"nope is not a folder; expected .*fashion-mnist is downloaded"):
            fashion_mnist(tmp_path / "nope")

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            (
                NAMES[0],
                idx(arrays()[1]),
                r"holds uint8 of shape \(12,\), expected images: uint8 of shape \(N, 28, 28\)",
            ),
            (
                NAMES[3],
                idx(arrays()[0]),
                r"holds uint8 of shape \(12, 28, 28\), expected labels: uint8 of shape \(N,\)",
            ),
            (NAMES[2], idx(np.zeros((4, 32, 32), np.uint8)), r"of shape \(4, 32, 32\), .*load_idx reads arrays of any"),
            (NAMES[1], idx(np.zeros(12, np.int32)), r"holds int32 of shape \(12,\), expected labels"),
            (NAMES[0], header(0, 28, 28), "holds no samples, expected one image at least"),
            (NAMES[3], header(0), "holds no samples, expected one label at least"),
            (
                NAMES[1],
                idx(np.zeros(11, np.uint8)),
                r"holds 12 images and .*labels-idx1-ubyte 11 labels, expected as many",
            ),
            (NAMES[3], idx(np.array([3, 9, 10, 12], np.uint8)), "label 2 is 10, expected 0 to 9; number the classes"),
            (NAMES[0], idx(arrays()[0])[:-1], "9,408 bytes, and 9,407 bytes follow"),
        ],
    )
    def test_files_that_do_not_fit(self, folder, name, content, message):
        path = folder({name: content})
        with pytest.raises(FileFormatError, match=message) as caught:
            mnist(path)
        assert str(path / name) in str(caught.value)

    def test_one_image_cannot_be_split(self, folder):
        with pytest.raises(FileFormatError, match="holds 1 image; training and validation need 2 at least"):
            mnist(folder(train=1))

    def test_progress_is_checked(self, folder):
        with pytest.raises(ConfigurationError, match=r"mnist: progress must be one of 'auto', .* got 'loud'"):
            mnist(folder(), progress="loud")


def test_classes_of_fashion_mnist():
    assert len(set(FASHION_CLASSES)) == 10
    assert (FASHION_CLASSES[0], FASHION_CLASSES[9]) == ("T-shirt/top", "Ankle boot")
