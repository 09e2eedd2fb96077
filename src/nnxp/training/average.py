"""The moving average of the parameters in their place, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from nnxp._types import Array
from nnxp.errors import ConfigurationError, OrderError
from nnxp.optimizers import GradientOptimizer
from nnxp.training.engine import Engine

__all__ = ["averaged"]


@contextmanager
def averaged(engine: Engine) -> Iterator[None]:
    """Inside, the parameters are their average; afterwards, and after any error, they are what they were."""
    engine.require_own_parameters("averaged")
    average, kept = _average(engine), engine.parameters.copy()
    engine.replace_parameters(average)
    engine.averaged = True
    try:
        yield
    finally:
        engine.averaged = False
        engine.replace_parameters(kept)


def _average(engine: Engine) -> Array:
    r"""The average a after n updates, freed of the zeros that it began with: $a / (1 - \beta^n)$."""
    optimizer, updates = engine.optimizer, engine.step - engine.optimizer_start
    if not isinstance(optimizer, GradientOptimizer) or optimizer.ema is None:
        raise ConfigurationError(
            f"averaged: {type(optimizer).__name__} keeps no average of the parameters; train with one that does, such "
            "as Adam(ema=0.999)."
        )
    if not updates:
        raise OrderError("averaged: there was no update yet, so there is nothing to average; train the model first.")
    return engine.slots["average"].flat / (1 - float(optimizer.ema) ** updates)
