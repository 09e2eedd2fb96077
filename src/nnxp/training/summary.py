"""A network as a table."""

from dataclasses import dataclass
from math import prod

from nnxp import _check
from nnxp.backend import Backend
from nnxp.layers import Layer
from nnxp.losses import Loss
from nnxp.optimizers import Optimizer

__all__ = ["Summary"]


@dataclass(frozen=True)
class Summary:
    """Shows itself as text, in a notebook and in ``print``."""

    rows: tuple[tuple[str, str, str, int], ...]
    """Path, layer, output shape and parameter count of each leaf."""
    footer: str

    @classmethod
    def of(cls, root: Layer, backend: Backend, loss: Loss, optimizer: Optimizer) -> "Summary":
        """The summary of a built network."""
        rows = []
        for path, leaf in root.leaves():
            count = sum(prod(_check.shape(array)) for array in leaf.parameters().values())
            output = "" if leaf.output_shape is None else str(("batch", *leaf.output_shape)).replace("'", "")
            rows.append((path, str(leaf), output, count))
        footer = (
            f"{backend.name} on {backend.device}, {_check.dtype_name(backend.dtype)}, kernels {backend.kernels}; "
            f"{type(loss).__name__}, {type(optimizer).__name__}"
        )
        return cls(tuple(rows), footer)

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(row[3] for row in self.rows)

    def __str__(self) -> str:
        table = [("", "layer", "output", "parameters"), *((p, n, o, f"{c:,}") for p, n, o, c in self.rows)]
        widths = [max(len(row[column]) for row in table) for column in range(4)]
        lines = [
            "  ".join((a.ljust(widths[0]), b.ljust(widths[1]), c.ljust(widths[2]), d.rjust(widths[3]))).rstrip()
            for a, b, c, d in table
        ]
        rule = "-" * max(map(len, lines))
        total = f"{self.parameters:,} parameters"
        return "\n".join([lines[0], rule, *lines[1:], rule, total, self.footer])

    __repr__ = __str__
