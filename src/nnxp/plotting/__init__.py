"""Pictures of a network at work: its curves, its decision regions, its fit, its answers, its speed.

Each function returns a Matplotlib ``Figure`` and leaves no state behind: nothing is shown, no display is needed, no
default is changed. Arrays are host arrays.
"""

from nnxp.plotting._benchmark import benchmark
from nnxp.plotting._curves import history, lines, loss_and_accuracy
from nnxp.plotting._files import check, save
from nnxp.plotting._images import image_row, report
from nnxp.plotting._plane import decision_boundaries, decision_boundary
from nnxp.plotting._regression import animate_regression, regression_fit

__all__ = [
    "animate_regression",
    "benchmark",
    "check",
    "decision_boundaries",
    "decision_boundary",
    "history",
    "image_row",
    "lines",
    "loss_and_accuracy",
    "regression_fit",
    "report",
    "save",
]
