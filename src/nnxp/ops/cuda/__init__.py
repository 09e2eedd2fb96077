"""CUDA kernels: a training step in few launches, captured as one graph.

The kernels are one source (``kernels.cuh``), the products are cublasLt's (`gemm`). What runs them is a *machine*: a GPU
through CuPy (`device`), or, to prove and to read them without a GPU, the same source compiled for the host (`host`).
Ops without a kernel are the reference's, on CuPy arrays.
"""

from dataclasses import replace

from nnxp.ops import Ops
from nnxp.ops.cuda.kernels import kernels
from nnxp.ops.cuda.launch import Machine
from nnxp.ops.cuda.step import StepLinker

__all__ = ["table"]


def table(reference: Ops, machine: Machine) -> Ops:
    """The reference with a machine's kernels in place of its entries."""
    return replace(reference.replace(**kernels(machine, reference)), linker=StepLinker(machine))
