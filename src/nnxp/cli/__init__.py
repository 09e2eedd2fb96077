"""The ``nnxp`` command."""

from nnxp.cli._main import main

__all__ = ["main"]
