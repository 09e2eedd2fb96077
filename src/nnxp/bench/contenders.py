"""Who takes part, in the order of every table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from nnxp.bench._base import Contender
from nnxp.bench.workloads import Workload
from nnxp.errors import ConfigurationError

__all__ = ["CONTENDERS", "Entry", "chosen"]


@dataclass(frozen=True)
class Entry:
    """A contender by name: what is imported for it, in which surroundings, and what it is compared with."""

    name: str
    path: str
    """``module:class``, imported in the contender's own process only."""
    module: str = "numpy"
    """What must be there."""
    package: str = "numpy"
    """What to install for it."""
    does: tuple[str, ...] = ("step",)
    """What it can be timed at; see `WHAT`."""
    swept: tuple[str, ...] = ("step", "fit")
    """What it is swept at, unless others are asked for; those swept at steps make a quick look."""
    penalised: bool = True
    """Whether it can have an L2 penalty on one layer. If not, neither has the run that it is compared with."""
    early_epsilon: bool = False
    """Whether it is compared with the other form of Adam."""
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def make(self, workload: Workload) -> Contender:
        """Import it and build it."""
        module, _, name = self.path.partition(":")
        made: Contender = getattr(import_module(module), name)(workload, **self.options)
        return made

    def missing(self) -> str | None:
        """Why it cannot take part, as far as one sees without importing it."""
        return f"not installed; pip install {self.package}" if find_spec(self.module) is None else None


_ALL = ("step", "fit", "predict", "evaluate")
_EPSILON = "its Adam corrects moments after adding epsilon: checked against a run that does so too"
_NO_L2 = "no L2 for one layer alone: trains and is checked without"

CONTENDERS = (
    Entry("floor", "nnxp.bench._floor:Floor", does=_ALL),
    Entry("book", "nnxp.bench.book:Book", does=("step", "fit")),
    Entry("nnxp", "nnxp.bench._nnxp:Nnxp", does=_ALL, options={"kernels": "numpy"}),
    Entry("nnxp numba", "nnxp.bench._nnxp:Nnxp", "numba", '"nnxp[fast]"', does=_ALL, options={"kernels": "numba"}),
    Entry("nnxp reference", "nnxp.bench._nnxp:Nnxp", does=_ALL, swept=(), options={"kernels": "reference"}),
    Entry("torch", "nnxp.bench._torch:Torch", "torch", "torch", note="eager, with the fused Adam"),
    Entry(
        "torch compiled",
        "nnxp.bench._torch:Torch",
        "torch",
        "torch",
        swept=(),
        options={"compiled": True},
        note="torch.compile of network and loss; the same Adam",
    ),
    Entry(
        "jax",
        "nnxp.bench._jax:Jax",
        "jax",
        "jax",
        environment={"JAX_PLATFORMS": "cpu"},
        note="one jitted step with donated buffers, Adam written by hand",
    ),
    Entry(
        "sklearn",
        "nnxp.bench._sklearn:Sklearn",
        "sklearn",
        "scikit-learn",
        does=("step", "fit"),
        penalised=False,
        early_epsilon=True,
        note=f"whole epochs, per step; {_NO_L2}; {_EPSILON}",
    ),
    Entry(
        "keras",
        "nnxp.bench._keras:Keras",
        "keras",
        "keras jax",
        does=("step", "fit"),
        swept=("fit",),
        early_epsilon=True,
        environment={"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        note=f"fit on JAX, whole epochs, per step; {_EPSILON}",
    ),
    Entry(
        "thinc",
        "nnxp.bench._thinc:Thinc",
        "thinc",
        "thinc",
        swept=(),
        penalised=False,
        early_epsilon=True,
        note=f"{_NO_L2}; {_EPSILON}",
    ),
)


def chosen(
    names: Iterable[str] | None, known: Iterable[Entry] = CONTENDERS, *, swept: str | None = None
) -> tuple[Entry, ...]:
    """The contenders with these names; without names all, or those that are ``swept`` at something."""
    entries = {entry.name: entry for entry in known}
    if names is None:
        return tuple(entry for entry in entries.values() if swept is None or swept in entry.swept)
    wanted = set(names)
    if unknown := sorted(wanted - entries.keys()):
        there = ", ".join(map(repr, entries))
        raise ConfigurationError(f"bench: there is no contender {unknown[0]!r}; there are {there}.")
    return tuple(entry for entry in entries.values() if entry.name in wanted)
