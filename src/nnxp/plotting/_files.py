"""Figures as files."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from nnxp._files import replacement
from nnxp.errors import ConfigurationError, FileNotWritable, MissingDependencyError
from nnxp.plotting._style import INSTALL

if TYPE_CHECKING:
    from matplotlib.figure import Figure


__all__ = ["check", "save"]

DPI = 150
PICTURES, ANIMATIONS = ("png", "pdf", "svg"), ("gif",)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, PDF or SVG, by the suffix of ``path``; a file that stood there is replaced as a whole.

    Raises ``ConfigurationError`` for another suffix, ``FileNotWritable`` where the file cannot be written.
    """
    kind = check(path)
    with replacement(path) as file:
        figure.savefig(file, format=kind, dpi=DPI)


def check(path: str | Path, *, animation: bool = False) -> str:
    """The format that `save`, or `animate_regression`, will write to ``path``.

    Raises at once what they would raise after the work is done.
    """
    if find_spec("matplotlib") is None:
        raise MissingDependencyError(INSTALL)
    suffix = Path(path).suffix
    kind = suffix.lower().removeprefix(".")
    if animation and kind not in ANIMATIONS:
        raise ConfigurationError(f"{path} ends in {suffix!r}; an animation is saved as .gif.")
    if not animation and kind not in PICTURES:
        raise ConfigurationError(f"{path} ends in {suffix!r}; a picture is saved as .png, .pdf or .svg.")
    if not Path(path).absolute().parent.is_dir():
        raise FileNotWritable(f"{path} could not be written: there is no folder {Path(path).parent}; make it first.")
    return kind
