"""What a derivative is, by numbers: a slope, partial derivatives, and the chain rule.

1. The slope of f(x) = 2x² at x is the limit of (f(x + δ) − f(x)) / δ for δ → 0. With δ = 1e-4, this forward difference
   is wrong by 2δ; the central difference (f(x + δ) − f(x − δ)) / 2δ is exact for a parabola, but for rounding. The
   truth is 4x. Look at the picture: a tangent touches the curve, and has its slope.
2. A function of several variables has a partial derivative by each: move one, hold the others.
3. The chain rule: the derivative of f(g(x)) is f′(g(x))·g′(x). It is all of backpropagation: a neuron ReLU(w·x + b) is
   a chain of functions, and its derivatives by w, x and b are products along the chain.

A difference of two nearly equal numbers loses digits, so everything here is float64 where the backend has it (JAX: with
the environment variable JAX_ENABLE_X64=1); in float32 only three digits are left.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import nnxp
from _shared import command, save, table
from nnxp import plotting
from nnxp.errors import BackendError
from nnxp.gradcheck import numerical_gradient

DELTA = 1e-4


def run(backend: str | nnxp.Backend, picture: Path) -> list[tuple]:
    """Differentiate, print, draw; the rows of all tables."""
    backend = double(backend)
    rows = slopes(backend) + partial_derivatives(backend) + chain_rule(backend) + neuron(backend)
    draw(picture)
    return rows


def double(backend: str | nnxp.Backend) -> nnxp.Backend:
    """The backend in float64; as it is where it has none."""
    backend = nnxp.get_backend(backend)
    try:
        return nnxp.get_backend(backend.xp, device=backend.device, dtype="float64")
    except BackendError:
        return backend


def parabola(x: Any) -> Any:
    """2x²."""
    return 2 * x**2


def derivative(f: Callable[[Any], Any], x: Any, method: str = "central") -> float:
    """The derivative of f at x by differences."""
    return float(numerical_gradient(f, x, delta=DELTA, method=method))


def slopes(backend: nnxp.Backend) -> list[tuple]:
    """The slope of the parabola at 1 and at 2."""
    rows = []
    for x in (1.0, 2.0):
        differences = [derivative(parabola, backend.asarray(x), method) for method in ("forward", "central")]
        rows.append((str(x), *map(repr, differences), repr(4 * x)))
    table(("x", "forward", "central", "exact"), rows)
    return rows


def partial_derivatives(backend: nnxp.Backend) -> list[tuple]:
    """f(x, y) = x²y + 3y at (2, 3): ∂f/∂x = 2xy and ∂f/∂y = x² + 3."""
    by_x, by_y = numerical_gradient(lambda p: p[0] ** 2 * p[1] + 3 * p[1], backend.asarray([2.0, 3.0]), delta=DELTA)
    rows = [("x", float(by_x), 12.0), ("y", float(by_y), 7.0)]
    print("\nx²y + 3y at (2, 3), by each variable")
    table(("by", "central", "exact"), rows)
    return rows


def chain_rule(backend: nnxp.Backend) -> list[tuple]:
    """f(g(x)) with f(u) = u³ and g(x) = 2x² at x = 1: f′(g(x))·g′(x) = 3·2²·4 = 48."""
    x = backend.asarray(1.0)
    whole = derivative(lambda x: parabola(x) ** 3, x)
    outer, inner = derivative(lambda u: u**3, parabola(x)), derivative(parabola, x)
    rows = [(outer, inner, outer * inner, whole)]
    print("\n(2x²)³ at 1: the product of the derivatives, and the derivative of the whole")
    table(("f'(g(x))", "g'(x)", "product", "whole"), rows)
    return rows


def neuron(backend: nnxp.Backend) -> list[tuple]:
    """y = ReLU(z), z = w·x + b: dy/dz = 1 where z > 0, else 0; ∂z/∂w = x, ∂z/∂x = w, ∂z/∂b = 1."""
    x, w, b = (backend.asarray(values) for values in ([1.0, -2.0, 3.0], [-3.0, -1.0, 2.0], 1.0))

    def output(x: Any, w: Any, b: Any) -> Any:
        return backend.ops.relu(backend.xp.sum(w * x) + b)

    dz = 1.0 if float(backend.xp.sum(w * x) + b) > 0 else 0.0
    by_hand = (w * dz, x * dz, backend.asarray(dz))
    by_differences = (
        numerical_gradient(lambda x: output(x, w, b), x, delta=DELTA),
        numerical_gradient(lambda w: output(x, w, b), w, delta=DELTA),
        numerical_gradient(lambda b: output(x, w, b), b, delta=DELTA),
    )
    rows = []
    for name, *gradients in zip("xwb", by_hand, by_differences, strict=True):
        hand, differences = (np.atleast_1d(backend.to_numpy(gradient)).tolist() for gradient in gradients)
        names = [f"{name}{k}" for k in range(len(hand))] if len(hand) > 1 else [name]
        rows += zip(names, hand, differences, strict=True)
    print("\na neuron ReLU(w·x + b)")
    table(("by", "chain rule", "central"), rows)
    return rows


def draw(picture: Path) -> None:
    """The parabola, and its tangents near the points where they touch it."""
    x = np.linspace(-0.5, 3.0, 351)
    curves, points = {"2x²": parabola(x)}, [(1.0, 2.0), (2.0, 8.0)]
    for at, height in points:
        tangent = height + 4 * at * (x - at)
        curves[f"tangent at {at:g}, slope {4 * at:g}"] = np.where(abs(x - at) <= 0.8, tangent, np.nan)
    save(plotting.lines(x, curves, points=points, title="A derivative is the slope of the tangent"), picture)


if __name__ == "__main__":
    command(run, __doc__, picture="derivative.png")
