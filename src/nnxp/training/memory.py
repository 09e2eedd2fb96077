"""When memory runs out: what was needed, what is free, and how many samples fit."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from math import prod
from typing import Any, Concatenate, ParamSpec, TypeVar

from nnxp import _check
from nnxp._types import Array
from nnxp.backend import Backend
from nnxp.errors import OutOfMemoryError
from nnxp.optimizers import GradientOptimizer

__all__ = ["Need", "array_bytes", "explained", "of_bytes"]

P = ParamSpec("P")
R = TypeVar("R")

_USABLE = 0.9
"""The share of the free bytes that an advice counts on: blocks are rounded up, and there are gaps between them."""

_ADVICE = {
    "fit": "fit(…, batch_size={fits})",
    "train_step": "hand train_step {fits} samples at a time",
    "loss_and_gradients": "hand loss_and_gradients {fits} samples at a time",
    "evaluate": "evaluate(…, batch_size={fits})",
    "predict": "predict(…, batch_size={fits})",
}
_UPDATES = ("fit", "train_step")


@dataclass(frozen=True)
class Need:
    """What a batch takes: bytes of the values between layers, and of the features, targets and weights."""

    rows: int
    values: int
    batch: int

    @property
    def of_sample(self) -> float:
        """Bytes of one sample."""
        return (self.values + self.batch) / self.rows

    def fits(self, free: int | None) -> int:
        """A number of samples that so many free bytes hold: a power of two, and less than there were; perhaps 0."""
        most = self.rows // 2
        if free is not None:
            most = min(most, int(_USABLE * free / max(self.of_sample, 1)))
        return 1 << (most.bit_length() - 1) if most > 0 else 0


def explained(what: str = "") -> Callable[[Callable[Concatenate[Any, P], R]], Callable[Concatenate[Any, P], R]]:
    """A method of the model that explains a lack of memory; ``what`` is what takes it, where that is not a batch."""

    def wrap(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
        @wraps(method)
        def call(model: Any, /, *arguments: P.args, **options: P.kwargs) -> R:
            try:
                return method(model, *arguments, **options)
            except Exception as error:
                _explain(error, model, method.__name__, what)
                raise

        return call

    return wrap


def _explain(error: Exception, model: Any, method: str, what: str) -> None:
    """Raise an `OutOfMemoryError` in the place of a library's own; do nothing about any other error."""
    backend: Backend = model.backend
    lack = None if isinstance(error, OutOfMemoryError) else backend.adapter.shortage(error)
    if lack is None:
        return
    # The frames hold arrays, and a notebook holds the last error for ever.
    importlib.import_module("traceback").clear_frames(error.__traceback__)
    need = None if what or not model.built else model.engine.forget()
    state = None if lack.on_host and backend.adapter.apart else backend.adapter.memory(backend.device)
    place = "the host" if lack.on_host else str(backend.device)
    asked = f"{of_bytes(lack.asked)} were asked for" if lack.asked else "a block was asked for"
    there = "" if state is None else f", and {of_bytes(state[0])} of {of_bytes(state[1])} are free"
    fits = need.fits(None if state is None else state[0]) if need else 0
    if method in _UPDATES:
        fits *= model.optimizer.accumulate  # of which the need is a part's
    told = _what_helps(model, method, need, fits) if need else f"It was for {what or 'a value of the step'}."
    back = " The model is as it was after its last finished epoch." if method == "fit" and model.built else ""
    message = f"{'Model' if what else method}: memory ran out on {place}: {asked}{there}. {told}{back}"
    raise OutOfMemoryError(message, batch_size=fits or None) from error


def _what_helps(model: Any, method: str, need: Need, fits: int) -> str:
    """The need of a batch, or of a part of it, and what to type."""
    parts = f"{of_bytes(need.values)} of values between layers, {of_bytes(need.batch)} of data"
    batch = f"{need.rows} samples take about {of_bytes(need.values + need.batch)} ({parts})"
    if not fits:
        return f"{batch}, and not even one will fit: free other arrays, or make the network smaller."
    advice = f"about {fits} should fit: {_ADVICE[method].format(fits=fits)}"
    if method in _UPDATES and isinstance(model.optimizer, GradientOptimizer):
        times = -(-need.rows * model.optimizer.accumulate**2 // fits)
        advice += f", or, for the same updates, optimizers.{type(model.optimizer).__name__}(…, accumulate={times})"
    return f"{batch}, so {of_bytes(need.of_sample)} each; {advice}."


def array_bytes(backend: Backend, *arrays: Array | None) -> int:
    """Bytes of arrays of a backend."""
    return sum(prod(_check.shape(a)) * _itemsize(backend, a.dtype) for a in arrays if a is not None)


def _itemsize(backend: Backend, dtype: Any) -> int:
    xp = backend.xp
    if xp.isdtype(dtype, "bool"):
        return 1
    return int((xp.finfo if backend.is_floating(dtype) else xp.iinfo)(dtype).bits) // 8


def of_bytes(count: float) -> str:
    """A number of bytes for a person: 1536 is ``"1.5 KiB"``."""
    units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while count >= 1024 and len(units) > 1:
        count, _ = count / 1024, units.pop(0)
    return f"{count:.0f} {units[0]}" if units[0] == "bytes" or count >= 100 else f"{count:.3g} {units[0]}"
