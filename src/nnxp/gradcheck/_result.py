"""What a check found, as a table."""

from dataclasses import dataclass

from nnxp._types import Shape
from nnxp.errors import GradientError

__all__ = ["GradientCheck", "TensorCheck"]


@dataclass(frozen=True)
class TensorCheck:
    """One tensor: its gradient by backward beside that by differences."""

    name: str
    shape: Shape
    error: float
    """‖analytic - numeric‖ / (‖analytic‖ + ‖numeric‖); infinite where the two cannot be compared."""
    note: str = ""
    """``"zero"`` where both gradients are; for a wrong one, what to look for."""
    left_out: int = 0
    """How many elements were at a kink."""
    index: tuple[int, ...] | None = None
    """Where analytic and numeric differ most."""
    analytic: float = 0.0
    numeric: float = 0.0

    @property
    def largest(self) -> str:
        """The largest difference, as text."""
        if self.index is None:
            return ""
        return f"{abs(self.analytic - self.numeric):.1e} at {list(self.index)}"


@dataclass(frozen=True, repr=False)
class GradientCheck:
    """The errors of all tensors: ``print`` it for a table."""

    target: str
    tensors: tuple[TensorCheck, ...]
    tolerance: float

    @property
    def errors(self) -> dict[str, float]:
        """The error of each tensor, by name."""
        return {tensor.name: tensor.error for tensor in self.tensors}

    @property
    def worst(self) -> TensorCheck:
        """The tensor with the largest error."""
        return max(self.tensors, key=lambda tensor: tensor.error)

    @property
    def ok(self) -> bool:
        """Whether no error is above the tolerance."""
        return self.worst.error <= self.tolerance

    def raise_if_wrong(self) -> None:
        """Raise GradientError for the worst tensor, unless all are right."""
        worst = self.worst
        if self.ok:
            return
        where = "" if worst.index is None else f" The largest difference is at {worst.name}{list(worst.index)}: "
        where += where and f"backward gives {worst.analytic:.6g}, differences {worst.numeric:.6g}."
        raise GradientError(
            f"{self.target}: the gradient by {worst.name} has an error of {worst.error:.3g}, above the tolerance of "
            f"{self.tolerance:g}.{where} {worst.note}."
        )

    def __str__(self) -> str:
        rows = [("tensor", "shape", "error", "largest difference", "left out", "")]
        rows += [
            (t.name, str(t.shape), f"{t.error:.1e}", t.largest, str(t.left_out or ""), t.note) for t in self.tensors
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        verdict = "right" if self.ok else "WRONG"
        return "\n".join(
            [f"{self.target}: {verdict}, worst error {self.worst.error:.1e}, tolerance {self.tolerance:g}", *table]
        )

    __repr__ = __str__
