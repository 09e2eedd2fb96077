"""Neighbours of a step that are cheaper as one.

It works on bound links: where one writes a buffer and the next one works in place on that buffer, nobody else can see
what was there in between, so one link may do both.
"""

from collections.abc import Sequence

from nnxp.ops.cuda.launch import Link, Machine

__all__ = ["fuse"]


def fuse(links: Sequence[Link], machine: Machine) -> list[Link]:
    """The same work in fewer links."""
    return list(links)
