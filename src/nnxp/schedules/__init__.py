"""Schedules: the learning rate as a function of the step, which counts updates from 0.

An optimizer takes one in place of its rate: ``SGD(CosineDecay(0.1, steps=1000))``. A schedule is immutable and
remembers nothing, so that training resumes with the rate that it would have had. Steps are updates, not epochs: an
epoch has as many as it has batches. Beyond its last step a schedule stays where it ended.

============================================  ========================================================================
`Constant`, `PiecewiseConstant`, `StepDecay`  rates that stay for a while
`InverseTimeDecay`, `ExponentialDecay`        rates that fall forever
`PolynomialDecay`, `CosineDecay`              rates that fall to an end
`CosineRestarts`, `OneCycle`                  rates that rise again
`LinearWarmup`                                a rise in front of any of them
============================================  ========================================================================

Lowering the rate when a loss no longer falls is the work of a callback: such a rate is no function of the step.
"""

from nnxp.schedules._base import Schedule
from nnxp.schedules.cosines import CosineDecay, CosineRestarts, OneCycle
from nnxp.schedules.decays import (
    Constant,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstant,
    PolynomialDecay,
    StepDecay,
)
from nnxp.schedules.warmup import LinearWarmup

__all__ = [
    "Constant",
    "CosineDecay",
    "CosineRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LinearWarmup",
    "OneCycle",
    "PiecewiseConstant",
    "PolynomialDecay",
    "Schedule",
    "StepDecay",
]
