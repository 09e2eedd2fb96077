"""What all examples share: the command line, the printed table, the saved picture."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from nnxp import plotting
from nnxp.errors import NnxpError

__all__ = ["command", "save", "table"]


def command(
    run: Callable[..., None],
    description: str | None,
    *,
    picture: str,
    epochs: int | None = None,
    **more: dict[str, Any],
) -> None:
    """Run an example from its command line: ``run(backend, picture, epochs, …)``, the last where it has them.

    ``more`` are further options by name, with what ``add_argument`` takes.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--backend", default="numpy", help="numpy, cupy, torch, jax, … (default: numpy)")
    parser.add_argument("--picture", type=Path, default=Path(picture), help=f"where the picture goes ({picture})")
    if epochs is not None:
        parser.add_argument("--epochs", type=_count, default=epochs, help=f"how long to train ({epochs:,})")
    for name, options in more.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **options)
    options = vars(parser.parse_args())
    try:
        plotting.check(options["picture"])  # before the work, not after it
        run(**options)
    except NnxpError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing was saved")
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _count(text: str) -> int:
    """A whole number of at least 1."""
    number = text.replace(",", "")
    if not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(number)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under the names of their columns: floats with six decimals, the rest as it is."""
    lines = [list(columns)] + [[f"{v:.6f}" if isinstance(v, float) else str(v) for v in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def save(figure: Any, path: Path) -> None:
    """Save a picture and say where it is."""
    plotting.save(figure, path)
    print(f"picture: {path}")
