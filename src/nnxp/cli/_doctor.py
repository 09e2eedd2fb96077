"""``nnxp doctor``: what works here, and the line to type where something does not."""

import importlib.metadata
import importlib.util
import os
import platform
from typing import Any

import numpy as np

from nnxp import __version__, available_backends, get_backend
from nnxp.cli import _cuda
from nnxp.layers import Dense, Softmax, Tanh
from nnxp.losses import CategoricalCrossentropy
from nnxp.optimizers import Adam
from nnxp.training import Model

__all__ = ["examine", "print_report"]

_EXTRAS = {"plot": "matplotlib", "fast": "numba", "data": "pooch"}
_PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_AGREES = 1e-5
"""Relative difference that ten float32 updates may show between two backends; sums are added in other orders."""


def examine() -> dict[str, Any]:
    """The findings, as plain data."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "nnxp": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "environment": {name: os.environ[name] for name in _PINS if name in os.environ},
        "backends": {name: _try(name, state) for name, state in available_backends().items()},
        "cuda": _cuda.examine(),
        "extras": {extra: _extra(extra, module) for extra, module in _EXTRAS.items()},
    }


def print_report(findings: dict[str, Any]) -> None:
    """The findings, for a person."""
    print(f"nnxp {findings['nnxp']}, Python {findings['python']}, {findings['platform']}")
    print(f"NumPy {findings['numpy']} with {findings['blas']}")
    for name, value in findings["environment"].items():
        print(f"  {name}={value} is set: it changes the speed and the last digits of matrix products")
    _print_states("backends", findings["backends"])
    _cuda.print_section(findings["cuda"])
    _print_states("extras", findings["extras"])


def _print_states(heading: str, states: dict[str, str]) -> None:
    print(f"{heading}:")
    width = max(map(len, states))
    for name, state in states.items():
        print(f"  {name:<{width}}  {state}")


def _extra(extra: str, module: str) -> str:
    if importlib.util.find_spec(module) is None:
        return f'not installed; pip install "nnxp[{extra}]"'
    return f"ready ({module} {importlib.metadata.version(module)})"


def _try(name: str, state: str) -> str:
    """Train ten steps on a ready backend, and hold the loss against NumPy's reference."""
    if state != "ready":
        return state
    try:
        loss, expected = _loss(name), _loss("numpy", kernels="reference")
    except Exception as error:  # whatever a broken installation raises is the finding
        return f"broken: {type(error).__name__}: {error}"
    if abs(loss - expected) > _AGREES * expected:
        return f"ready, but ten training steps give loss {loss:.7f} instead of {expected:.7f}; please report this"
    return "ready; ten training steps agree with the reference"


def _loss(name: str, **options: Any) -> float:
    model = Model(
        [Dense(8, input_size=4), Tanh(), Dense(3), Softmax()],
        loss=CategoricalCrossentropy(),
        optimizer=Adam(0.01),
        backend=get_backend(name, **options),
    )
    x = np.sin(np.arange(48.0)).reshape(12, 4)
    y = np.arange(12) % 3
    for _ in range(10):
        loss = model.train_step(x, y)
    return float(loss)
