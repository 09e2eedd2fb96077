"""A user's files: what is read, and what is said about a file that cannot be."""

import zipfile
from contextlib import suppress

import numpy as np
import pytest

from nnxp.data import Table, load_csv, load_features, load_npz
from nnxp.errors import FileFormatError, FileNotFound


@pytest.fixture
def text(tmp_path):
    def write(content: str | bytes, name: str = "data.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def npz(tmp_path):
    def write(**arrays):
        np.savez_compressed(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return write


def check(table: Table, x, y, class_names=None):
    np.testing.assert_array_equal(table.x, x)
    np.testing.assert_array_equal(table.y, y)
    assert table.class_names == class_names


X = [[1.5, -2.0], [3.0, 4e-1], [0.0, 6.0]]


class TestCsv:
    @pytest.mark.parametrize(
        "content",
        [
            "1.5,-2,2\n3,4e-1,0\n0,6,2\n",
            "width,height,class\n1.5,-2,2\n3,4e-1,0\n0,6,2",
            "\ufeff1.5,-2,2\n3,4e-1,0\n0,6,2\n",
            "\ufeffwidth,height,class\r\n1.5, -2 ,2\r\n\r\n3,4e-1,0\r\n0,6,2\r\n,,\r\n",
            '"width","height, in m","class"\n"1.5","-2","2"\n3,4e-1,0\n0,6,2\n',
            "0,1,class\n1.5,-2,2\n3,4e-1,0\n0,6,2\n",
            "1.5,-2,2.0\n3,4e-1,0.0\n0,6,2e0\n",
        ],
        ids=["plain", "header", "bom", "bom and blank lines", "quotes", "numbered header", "whole floats"],
    )
    def test_labels(self, text, content):
        table = load_csv(text(content))
        check(table, X, [2, 0, 2])
        assert table.x.dtype == np.float64
        assert table.y.dtype == np.int64

    def test_class_names_are_sorted(self, text):
        table = load_csv(text("a,b,kind\n1.5,-2, setosa\n3,.4,iris\n0,6,setosa \n"))
        check(table, X, [1, 0, 1], ("iris", "setosa"))
        assert table.y.dtype == np.int64

    def test_numbers_and_text_are_names(self, text):
        check(load_csv(text("1,7\n2,none\n3,10\n")), [[1], [2], [3]], [1, 2, 0], ("10", "7", "none"))

    def test_a_fraction_makes_a_regression(self, text):
        table = load_csv(text("1,2\n2,2.5\n3,-1\n"))
        check(table, [[1], [2], [3]], [[2], [2.5], [-1]])
        assert table.y.dtype == np.float64

    def test_numbers_too_large_for_labels_are_targets(self, text):
        check(load_csv(text("1,1e300\n2,2\n")), [[1], [2]], [[1e300], [2]])

    def test_one_sample(self, text):
        check(load_csv(str(text("1,2,3"))), [[1, 2]], [3])

    def test_a_first_sample_that_counts_is_not_a_header(self, text):
        check(load_csv(text("0,1,a\n2,3,b\n")), [[0, 1], [2, 3]], [0, 1], ("a", "b"))
        check(load_csv(text("5,6,a\n2,3,0\n")), [[5, 6], [2, 3]], [1, 0], ("0", "a"))
        check(load_csv(text("0,1,5\n2,3,6\n")), [[0, 1], [2, 3]], [5, 6])

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "is empty; expected one sample per line"),
            ("\n \n,,\n", "is empty"),
            ("a,b,c\n", "has a header only; expected one sample per line"),
            ("1\n2\n", "line 1: 1 column, expected features and then a target"),
            ("1;2;3\n4;5;6\n", "line 1: 1 column.*commas"),
            ("1,2,0\n1,2\n", "line 2: found 2 columns, expected 3 as on line 1"),
            ("a,b,c\n\n1,2,0\n1,2,3,0\n", "line 4: found 4 columns, expected 3 as on line 1"),
            ("1,2,0\n1,two,0\n", "line 2, column 2: expected a number, got 'two'"),
            ("1,2,0\n,2,0\n", "line 2, column 1: expected a number, got ''"),
            ("a,2,0\n1,2,0\n", "line 1, column 1: expected a number, got 'a'; line 1 is a header only if none"),
            ("a,b,y\n1,2,0\n1,nan,0\n", "line 3, column 2: expected a finite number, got nan"),
            ("1,2,0\n-inf,2,0\n", "line 2, column 1: expected a finite number, got -inf"),
            ("1,2,0\n1,2,\n", "line 2, column 3: the target is missing"),
            ("1,2,0.5\n1,2,n/a\n", "line 2, column 3: expected a number as target, as 0.5 is one, got 'n/a'"),
            ("1,2,0.5\n1,2,nan\n", "line 2, column 3: expected a finite number as target, got 'nan'"),
            ('1,2,0\n1,"2,0\n', "after line 1: unexpected end of data; check the quotes"),
            ("1,2,0\n1," + "x" * 99 + ",0\n", r"got 'x{37}\.\.\.'"),
            ("1,2,\u00e9\n".encode("latin-1"), "is not UTF-8 text .*save it as CSV in UTF-8"),
            ("1,2,0\n".encode("utf-16"), "is not UTF-8 text"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not UTF-8 text"),
            (b"\0\1\2\3,\0\n\0\0", "line 2: found 1 columns, expected 2"),
        ],
    )
    def test_errors(self, text, content, message):
        path = text(content)
        with pytest.raises(FileFormatError, match=message) as caught:
            load_csv(path)
        assert str(path) in str(caught.value)


class TestNpz:
    def test_labels_become_int64_and_features_stay(self, npz):
        images = np.arange(24, dtype=np.uint8).reshape(3, 2, 4, 1)
        table = load_npz(npz(x=images, y=np.array([0, 2, 1], dtype=np.uint8)))
        check(table, images, [0, 2, 1])
        assert (table.x.dtype, table.y.dtype) == (np.uint8, np.int64)

    def test_names(self, npz):
        check(load_npz(npz(x=X, y=["dog", "cat", "dog"])), X, [1, 0, 1], ("cat", "dog"))

    @pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 2)])
    def test_real_targets_are_columns(self, npz, shape):
        table = load_npz(npz(x=X, y=np.ones(shape, dtype=np.float32)))
        assert table.y.shape == ((3, 1) if shape == (3,) else shape)
        assert table.y.dtype == np.float32

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"x": X}, r"has no array 'y' \(found: 'x'\)"),
            ({"features": X, "y": [1]}, r"has no array 'x' \(found: 'features', 'y'\)"),
            ({}, r"has no array 'x' \(found: none\)"),
            ({"x": X, "y": [0, 1]}, r"x has shape \(3, 2\) and y has shape \(2,\); expected as many rows"),
            ({"x": X, "y": 1}, r"y has shape \(\); expected as many rows"),
            ({"x": [1.0, 2.0], "y": [0, 1]}, r"x has shape \(2,\), expected \(rows, features\)"),
            ({"x": np.zeros((0, 3)), "y": []}, r"x has shape \(0, 3\), expected"),
            ({"x": [["a", "b"]], "y": [0]}, "x holds <U1, expected real numbers"),
            ({"x": [[1j]], "y": [0]}, "x holds complex128"),
            ({"x": [[1.0]], "y": [1j]}, "y holds complex128, expected labels"),
            ({"x": [[1.0]], "y": [["a"]]}, r"y holds <U1, expected labels, class names of shape \(N,\)"),
            ({"x": np.array([[None]]), "y": [0]}, "x is an array of Python objects; store numbers or text"),
            ({"x": X, "y": np.array([0, {}, "a"], dtype=object)}, "y is an array of Python objects"),
        ],
    )
    def test_errors(self, npz, arrays, message):
        path = npz(**arrays)
        with pytest.raises(FileFormatError, match=message) as caught:
            load_npz(path)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize(
        "content", [b"", b"\x93NUMPY\1\0v\0{}", b"\x80\x04N.", b"a,b\n1,2\n", b"PK\3\4" + b"\0" * 60]
    )
    def test_not_an_archive(self, text, content):
        with pytest.raises(FileFormatError, match=r"data\.npz is not an NPZ archive; write it with np\.savez"):
            load_npz(text(content, "data.npz"))

    def test_not_arrays(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
            archive.writestr("x.npy", "hello")
            archive.writestr("y.npy", b"\x80\x04N.")
        with pytest.raises(FileFormatError, match="x is not a NumPy array"):
            load_npz(tmp_path / "data.npz")

    def test_a_flipped_bit_is_found(self, npz):
        path = npz(x=np.random.default_rng(0).random((40, 30)), y=np.zeros(40, int))
        content = bytearray(path.read_bytes())
        content[3000] ^= 16
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=r"data\.npz: x cannot be read \(.+\)"):
            load_npz(path)


class TestFeatures:
    def test_csv(self, text):
        np.testing.assert_array_equal(load_features(text("a,b\n1,2\n3,4\n")), [[1, 2], [3, 4]])
        np.testing.assert_array_equal(load_features(text("1\n3\n", "DATA.CSV")), [[1], [3]])

    def test_npz(self, npz):
        np.testing.assert_array_equal(load_features(npz(x=X)), X)
        np.testing.assert_array_equal(load_features(npz(x=X, y=[0, 1, 2])), X)

    def test_errors(self, text, npz):
        with pytest.raises(FileFormatError, match="line 2, column 2: expected a finite number, got inf"):
            load_features(text("1,2\n3,inf\n"))
        with pytest.raises(FileFormatError, match="has a header only"):
            load_features(text("a,b\n"))
        with pytest.raises(FileFormatError, match="has no array 'x'"):
            load_features(npz(y=[1]))
        with pytest.raises(FileFormatError, match=r"ends in '\.txt', expected a file that ends in \.npz or \.csv"):
            load_features(text("1,2", "data.txt"))


@pytest.mark.parametrize(
    ("load", "name"), [(load_csv, "a.csv"), (load_npz, "a.npz"), (load_features, "a.csv"), (load_features, "a.npz")]
)
class TestPaths:
    def test_missing(self, load, name, tmp_path):
        with pytest.raises(FileNotFound, match=rf"{name} does not exist; check the path"):
            load(tmp_path / name)

    def test_folder(self, load, name, tmp_path):
        (tmp_path / name).mkdir()
        with pytest.raises(FileFormatError, match=rf"{name} is a folder"):
            load(tmp_path / name)


@pytest.mark.parametrize("seed", range(60))
def test_damaged_files_give_a_table_or_an_error_of_ours(seed, npz, text):
    """No byte that changes, and no cut, may end in an error that a caller does not expect."""
    generator = np.random.default_rng(seed)
    sound = npz(x=generator.random((6, 3)), y=np.arange(6)).read_bytes()
    for content, name, load in ((sound, "a.npz", load_npz), (b"a,b,c\n1,2.5,x\n3,4,y\n", "a.csv", load_csv)):
        damaged = bytearray(content)
        for place in generator.integers(len(damaged), size=generator.integers(1, 4)):
            damaged[place] = generator.integers(256)
        path = text(bytes(damaged[: generator.integers(1, len(damaged) + 1)] if seed % 3 == 0 else damaged), name)
        with suppress(FileFormatError):
            assert isinstance(load(path), Table)
