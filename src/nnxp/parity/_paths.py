"""Step by step: each backend on its own path, beside a yardstick of how far rounding alone leads."""

import numpy as np

from nnxp._types import Array, Arrays
from nnxp.parity._measure import distance
from nnxp.parity._report import ValueParity

__all__ = ["LOSS", "Path", "Yardstick"]

LOSS = "loss"
"""A loss stands beside the parameters, under this key."""

_LEAST = 16
"""ε that a path may always lie away: a loss of few roundings moves in steps of one."""


class Yardstick:
    """How far a path may lie from the standard's: as far as a jolted one has been, up to this step.

    Distances are root mean squares, in units of a size: a tensor's own root mean square or that of all parameters,
    whichever is larger (a bias that is nearly zero may be all rounding); for the loss, the largest so far.
    """

    def __init__(self, eps: float) -> None:
        self.loss = self.parameters = _LEAST * eps
        self._sizes: dict[str, float] = {}

    def look(self, standard: Arrays) -> None:
        """Take the sizes of the standard after another step."""
        parameters = [np.ravel(array) for key, array in standard.items() if key != LOSS]
        network = _rms(np.concatenate(parameters)) if parameters else 0.0
        for key, array in standard.items():
            self._sizes[key] = max(_rms(array), self._sizes.get(LOSS, 0.0) if key == LOSS else network)

    def widen(self, standard: Arrays, jolted: Arrays) -> None:
        """Reach as far as this jolted run."""
        for key, array in standard.items():
            apart = self._apart(key, array, jolted[key])
            if key == LOSS:
                self.loss = max(self.loss, apart)
            else:
                self.parameters = max(self.parameters, apart)

    def share(self, key: str, a: Array, b: Array) -> float:
        """The distance of a and b, as a share of what is allowed."""
        apart, reach = self._apart(key, a, b), self.loss if key == LOSS else self.parameters
        return apart / reach if apart and np.isfinite(reach) else 0.0

    def _apart(self, key: str, a: Array, b: Array) -> float:
        apart = _rms(distance(a, b))
        return apart / self._sizes[key] if apart else 0.0


class Path:
    """One backend's run beside the standard's: the worst of each value, and the first that went too far."""

    def __init__(self) -> None:
        self.worst: dict[str, ValueParity] = {}
        self.first: ValueParity | None = None

    def begin(self, standard: Arrays, own: Arrays) -> None:
        """Compare the initial parameters, which must be equal to the last bit."""
        for key, array in standard.items():
            self._note(key, 0, array, own[key], 0.0 if np.array_equal(array, own[key]) else np.inf)

    def add(self, step: int, standard: Arrays, own: Arrays, yardstick: Yardstick) -> None:
        """Compare loss and parameters after a step."""
        for key, array in standard.items():
            self._note(key, step, array, own[key], yardstick.share(key, array, own[key]))

    def _note(self, key: str, step: int, a: Array, b: Array, share: float) -> None:
        if key in self.worst and share <= self.worst[key].share:
            return
        apart = distance(a, b)
        largest, size = float(np.max(apart, initial=0.0)), float(np.linalg.norm(a))
        relative = float(np.linalg.norm(apart)) / size if size else (np.inf if largest else 0.0)
        spacing = float(np.spacing(np.max(np.abs(a), initial=np.finfo(a.dtype).smallest_normal)))
        self.worst[key] = ValueParity(key, step, share, largest, relative, largest / spacing)
        if self.first is None and share > 1:
            self.first = self.worst[key]


def _rms(a: Array) -> float:
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.mean(np.square(a, dtype=np.float64)))) if a.size else 0.0
