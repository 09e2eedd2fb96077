"""What a person sees while a network trains: a bar in a terminal, plain lines elsewhere, or nothing."""

import sys
from collections.abc import Mapping
from math import ceil
from types import TracebackType
from typing import Any, Literal

from nnxp import _check

__all__ = ["Progress", "ProgressKind", "open_progress"]

ProgressKind = Literal["auto", "bar", "lines", "off"]
_BAR = "{desc} |{bar:14}| {elapsed}<{remaining}{postfix}"
"""Narrow enough that the numbers behind it are seen in 80 columns."""
_LINES = 10
"""About how many lines a training prints, however many epochs it has."""


class Progress:
    """Says nothing: the kind ``"off"``, and what the others derive from."""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def batch_done(self) -> None:
        """One update was made."""

    def epoch_done(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Epoch ``epoch`` (from 0) ended with these numbers."""


class _Bar(Progress):
    def __init__(self, epochs: int, batches: int) -> None:
        from tqdm import tqdm

        self._bar: Any = tqdm(total=epochs * batches, desc=f"epoch 1/{epochs}", bar_format=_BAR, dynamic_ncols=True)
        self._epochs = epochs

    def __exit__(self, *_: Any) -> None:
        self._bar.close()

    def batch_done(self) -> None:
        self._bar.update()

    def epoch_done(self, epoch: int, logs: Mapping[str, Any]) -> None:
        following = min(epoch + 2, self._epochs)
        self._bar.set_description_str(f"epoch {following}/{self._epochs}", refresh=False)
        self._bar.set_postfix_str(_in_short(logs), refresh=epoch + 1 == self._epochs)


class _Lines(Progress):
    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._every = ceil(epochs / _LINES)

    def epoch_done(self, epoch: int, logs: Mapping[str, Any]) -> None:
        done = epoch + 1
        if done == 1 or done % self._every == 0 or done == self._epochs:
            print(
                f"epoch {done:>{len(str(self._epochs))}}/{self._epochs}  {_summary(logs)}", file=sys.stderr, flush=True
            )


def open_progress(kind: str, epochs: int, batches: int) -> Progress:
    """The progress of one training, to be used in a ``with`` statement; it goes to standard error."""
    _check.choice("fit", "progress", kind, ("auto", "bar", "lines", "off"))
    if kind == "auto":
        kind = "bar" if sys.stderr.isatty() else "lines"
    if kind == "bar":
        return _Bar(epochs, batches)
    return _Lines(epochs) if kind == "lines" else Progress()


def _in_short(logs: Mapping[str, Any]) -> str:
    """The loss, and each metric once: on the validation data, if there are any."""
    metrics = [name for name in _numbers(logs) if not name.endswith("loss")]
    shown = [name for name in metrics if "val_" + name not in logs]
    return "  ".join(f"{name} {logs[name]:.4f}" for name in ["loss", *(shown or ["val_loss"] * ("val_loss" in logs))])


def _summary(logs: Mapping[str, Any]) -> str:
    shown = [name for name in _numbers(logs) if not name.endswith("data_loss")]
    return "  ".join(f"{name} {logs[name]:.4f}" for name in shown)


def _numbers(logs: Mapping[str, Any]) -> list[str]:
    """The names of what is a number; a matrix has no place in a line."""
    return [name for name, value in logs.items() if not getattr(value, "ndim", 0)]
