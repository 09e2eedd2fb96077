"""Who takes part."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

__all__ = ["ENTRIES", "Entry"]


@dataclass(frozen=True)
class Entry:
    """A contender by name."""

    name: str
    path: str
    """``module:class``, imported in its own process."""
    modules: tuple[str, ...]
    """What must be there on a GPU; a dry run needs no CuPy."""
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = False
    """Whether each network needs a new process, because its allocator keeps its peak and its memory."""
    alone: bool = False
    """Whether it times algorithms while it is built, so that nobody else may work at that time."""
    asked: bool = True
    """Whether it takes part without being asked for by name."""
    only: tuple[str, ...] = ()
    """The workloads that it is made for; none: all."""
    note: str = ""

    def missing(self, dry: bool) -> str:
        """Why it cannot take part, as far as one sees without importing; empty where nothing is in its way."""
        absent = [name for name in self.modules if not (dry and name == "cupy") and find_spec(name) is None]
        return f"not installed: {', '.join(absent)}" if absent else ""


NNXP, TORCH, JAX = "gpu_bench.with_nnxp", "gpu_bench.with_torch", "gpu_bench.with_jax"
JAX_MEMORY = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
SMALL = ("W2", "W3")

ENTRIES = (
    Entry("nnxp", f"{NNXP}:Nnxp", ("cupy",), alone=True, note="Model.train_step, captured as one graph"),
    Entry(
        "torch-graph",
        f"{TORCH}:Torch",
        ("torch",),
        {"graph": True},
        note="the whole step in one CUDA graph, fused Adam (capturable)",
    ),
    Entry("jax", f"{JAX}:Jax", ("jax",), environment=JAX_MEMORY, fresh=True, note="one jitted step, donated buffers"),
    Entry(
        "torch-compiled",
        f"{TORCH}:Torch",
        ("torch",),
        {"mode": "reduce-overhead"},
        note="torch.compile(mode='reduce-overhead') of network and loss; fused Adam",
    ),
    Entry("nnxp-eager", f"{NNXP}:Nnxp", ("cupy",), {"graph": False}, alone=True, note="the same kernels one by one"),
    Entry("torch", f"{TORCH}:Torch", ("torch",), note="eager, fused Adam"),
    Entry(
        "jax-scan",
        f"{JAX}:Jax",
        ("jax",),
        {"chunk": 20},
        environment=JAX_MEMORY,
        fresh=True,
        only=SMALL,
        note="20 steps in one call, which no loop with data of its own has",
    ),
    Entry(
        "nnxp-gather",
        f"{NNXP}:NnxpGather",
        ("cupy",),
        alone=True,
        only=SMALL,
        note="as fit does it: each batch gathered within the graph",
    ),
    Entry(
        "torch-max-autotune",
        f"{TORCH}:Torch",
        ("torch",),
        {"graph": True, "mode": "max-autotune-no-cudagraphs"},
        alone=True,
        asked=False,
        note="compiled, then the whole step in one CUDA graph; minutes of tuning",
    ),
    Entry(
        "nnxp-reference",
        f"{NNXP}:Nnxp",
        ("cupy",),
        {"graph": False, "kernels": "reference"},
        asked=False,
        note="the generic path on CuPy",
    ),
)
"""The order in which they share a GPU's memory: those that are to be compared stand together."""
