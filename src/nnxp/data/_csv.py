"""Comma-separated text: numbers in all columns, the target in the last."""

import csv
from array import array
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nnxp._check import one_line
from nnxp.data._table import Table, class_labels, unreadable
from nnxp.errors import FileFormatError

__all__ = ["csv_features", "load_csv"]


class Columns(NamedTuple):
    """The samples of a file: features [N, features], the text of each target, and the line each sample stands on."""

    x: NDArray[np.float64]
    targets: list[str]
    lines: list[int]


def load_csv(path: str | Path) -> Table:
    """A text file of comma-separated values in UTF-8: one sample per line, its target in the last column.

    x[N, features] is float64. The text of the targets decides what they are: whole numbers are labels, int64 [N];
    numbers of which at least one has a fractional part are regression targets, float64 [N, 1]; other text is class
    names, and label k is the k-th of them in sorted order.

    The first line is a header when none of its features is a number, or when it numbers the features 0, 1, 2, ... and
    its target alone is not a number.

    Raises ``FileNotFound``, or ``FileFormatError`` with the line and column of what cannot be read.
    """
    path = Path(path)
    columns = _read(path, targets=1)
    if _has_numbered_header(columns):
        columns = Columns(columns.x[1:], columns.targets[1:], columns.lines[1:])
    _check_finite(path, columns)
    return Table(columns.x, *_targets(path, columns))


def csv_features(path: Path) -> NDArray[np.float64]:
    """A text file of features alone, [N, features]; its first line is a header when it has no number."""
    columns = _read(path, targets=0)
    _check_finite(path, columns)
    return columns.x


def _read(path: Path, *, targets: int) -> Columns:
    """The numbers go into one buffer as they come: keeping their texts would take ten times the memory."""
    values, texts, lines, width = array("d"), list[str](), list[int](), 0
    for line, fields in _records(path):
        features, last = fields[: len(fields) - targets], fields[len(fields) - targets :]
        is_first, width = not width, len(features)
        if not features:
            raise FileFormatError(
                f"{path}, line {line}: 1 column, expected features and then a target, with commas between."
            )
        if is_first and all(_number(text) is None for text in features):
            continue
        values.extend(_numbers(path, line, features))
        texts.extend(text.strip() for text in last)
        lines.append(line)
    if not lines:
        raise FileFormatError(f"{path} {'has a header only' if width else 'is empty'}; expected one sample per line.")
    return Columns(np.array(values).reshape(len(lines), width), texts, lines)


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not blank, and the line it ends on. All have the same number of fields."""
    line, first = 0, None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for fields in reader:
                line = reader.line_num
                if not any(text.strip() for text in fields):
                    continue
                first = first or (line, len(fields))
                if len(fields) != first[1]:
                    found, expected = len(fields), f"{first[1]} as on line {first[0]}"
                    raise FileFormatError(f"{path}, line {line}: found {found} columns, expected {expected}.")
                yield line, fields
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not UTF-8 text ({one_line(error)}); save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise FileFormatError(f"{path}, after line {line}: {one_line(error)}; check the quotes.") from error


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _numbers(path: Path, line: int, fields: list[str]) -> list[float]:
    try:
        return list(map(float, fields))
    except ValueError as error:
        column = next(k for k, text in enumerate(fields) if _number(text) is None)
        hint = "; line 1 is a header only if none of its features is a number" if line == 1 else ""
        raise FileFormatError(
            f"{path}, line {line}, column {column + 1}: expected a number, got {_shown(fields[column])}{hint}; "
            "fill in what is missing, and encode text as numbers."
        ) from error


def _check_finite(path: Path, columns: Columns) -> None:
    finite = np.isfinite(columns.x)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        where = f"{path}, line {columns.lines[row]}, column {column + 1}"
        raise FileFormatError(f"{where}: expected a finite number, got {columns.x[row, column]}.")


def _has_numbered_header(columns: Columns) -> bool:
    x, (first, *others), _ = columns
    numbered = bool(others) and np.array_equal(x[0], np.arange(x.shape[1]))
    return numbered and _number(first) is None and all(_number(text) is not None for text in others)


def _targets(path: Path, columns: Columns) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    numbers = [_number(text) for text in columns.targets]
    _check_targets(path, columns, numbers)
    if None in numbers:
        return class_labels(columns.targets)
    y = np.array(numbers, dtype=np.float64)
    # Above 2**53 a float64 does not tell whole numbers apart.
    whole = np.array_equal(y, np.floor(y)) and np.abs(y).max() < 2**53
    return (y.astype(np.int64) if whole else y[:, None]), None


def _check_targets(path: Path, columns: Columns, numbers: list[float | None]) -> None:
    """No target is missing; they are names, or they are finite numbers."""
    fractions = [text for text, number in zip(columns.targets, numbers, strict=True) if number and number % 1]
    all_numbers = None not in numbers
    for line, text, number in zip(columns.lines, columns.targets, numbers, strict=True):
        where = f"{path}, line {line}, column {columns.x.shape[1] + 1}"
        if not text:
            raise FileFormatError(f"{where}: the target is missing.")
        if number is None and fractions:
            raise FileFormatError(
                f"{where}: expected a number as target, as {fractions[0]} is one, got {_shown(text)}."
            )
        if all_numbers and number is not None and not isfinite(number):
            raise FileFormatError(f"{where}: expected a finite number as target, got {_shown(text)}.")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
