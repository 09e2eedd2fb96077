"""``nnxp parity``: whether several backends compute the same, as tables and one line for each."""

import argparse
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nnxp.backend import Backend
from nnxp.cli._recipes import of_name
from nnxp.training import Model

if TYPE_CHECKING:
    from nnxp.parity import Parity

__all__ = ["add_options", "run"]

MODELS = ("spiral", "moons", "sine", "digits")
"""The recipes whose data needs no download."""


def add_options(parser: argparse.ArgumentParser, positive: Callable[[str], int]) -> None:
    """The command line."""
    what = "numpy, cupy, torch, jax, …, with the reference kernels, or NAME/KERNELS such as numpy/numba"
    parser.add_argument("standard", metavar="A", help=f"the backend that the others are held against: {what}")
    parser.add_argument("others", metavar="B", nargs="+", help="one or more to compare with it")
    parser.add_argument("--model", choices=MODELS, default="spiral", help="what to train (default: spiral)")
    parser.add_argument("--steps", type=positive, metavar="N", default=10, help="updates (default: 10)")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default: float32")
    parser.add_argument("--seed", type=int, default=0, help="of data, initial weights and masks (default 0)")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Compare and show. The status is 1 if a backend parts from the first one."""
    from nnxp import parity

    recipe = of_name(options.model, options.seed)

    def factory(backend: Backend) -> Model:
        return replace(recipe, layers=deepcopy(recipe.layers)).model(backend)

    x, y = recipe.splits.train
    result = parity.compare(
        factory,
        x,
        y,
        backends=(options.standard, *options.others),
        steps=options.steps,
        dtype=options.dtype,
        seed=options.seed,
        batch_size=recipe.batch_size,
    )
    print(f"{recipe.name}: {recipe.task}")
    print(", ".join(str(layer).removesuffix("()") for layer in recipe.layers))
    print(f"{options.steps} steps of {result.batch} samples, {options.dtype}, seed {options.seed}\n")
    print(result.tables, end="\n\n")
    _print_verdicts(result)
    options.status = 0 if result.ok else 1
    return result.as_dict()


def _print_verdicts(result: "Parity") -> None:
    """Those that part go to standard error, as errors do."""
    for comparison, verdict in zip(result.comparisons, result.verdicts, strict=True):
        if comparison.ok:
            print(verdict)
        else:
            sys.stdout.flush()
            print(f"nnxp: {verdict}", file=sys.stderr)
