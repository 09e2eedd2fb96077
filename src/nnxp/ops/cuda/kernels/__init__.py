"""What each op is in kernels: binders, in families. Where arrays are not as the kernels need them, the reference is."""

from nnxp.ops import Kernel, Ops
from nnxp.ops.cuda.kernels.activations import ACTIVATIONS, Activations
from nnxp.ops.cuda.kernels.base import Family
from nnxp.ops.cuda.kernels.lines import Lines, column_sums
from nnxp.ops.cuda.kernels.losses import Counts, Losses, Penalties
from nnxp.ops.cuda.kernels.rows import Rows, gather_arguments, has_whole_units
from nnxp.ops.cuda.kernels.updates import Updates
from nnxp.ops.cuda.launch import Machine

__all__ = ["ACTIVATIONS", "column_sums", "gather_arguments", "has_whole_units", "kernels"]

_FAMILIES: tuple[type[Family], ...] = (Lines, Activations, Losses, Counts, Penalties, Rows, Updates)


def kernels(machine: Machine, reference: Ops) -> dict[str, Kernel]:
    """Every kernel of a machine by the name of its op."""
    return {name: kernel for family in _FAMILIES for name, kernel in family(machine, reference).all().items()}
