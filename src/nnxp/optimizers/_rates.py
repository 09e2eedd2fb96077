"""Multipliers of the learning rate, by a parameter's key or by the path of what it is in."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from nnxp import _check
from nnxp.errors import ConfigurationError

__all__ = ["Rates"]


class Rates(Mapping[str, float]):
    """``{"0": 0.1, "2.weights": 0}``: immutable, and equal to any mapping with the same entries.

    ``"2"`` is the layer at position 2 with all that is in it, ``"2.weights"`` a parameter of it. Where several entries
    are about one parameter, the longest counts; where none is, the multiplier is 1.
    """

    def __init__(self, owner: str, rates: Any) -> None:
        if not isinstance(rates, Mapping):
            raise ConfigurationError(f'{owner}: rates must be a mapping such as {{"0.weights": 0.1}}, got {rates!r}.')
        for path in rates:
            if not isinstance(path, str):
                raise ConfigurationError(f'{owner}: rates must have text for keys, such as "0", got {path!r}.')
        self._rates = {path: _check.non_negative(owner, f"rates[{path!r}]", rates[path]) for path in sorted(rates)}

    def of(self, key: str) -> float:
        """The multiplier of a parameter."""
        found = [path for path in self if _is_in(key, path)]
        return self[max(found, key=len)] if found else 1.0

    def check(self, owner: str, keys: Collection[str]) -> None:
        """Raise where an entry is about none of these parameters."""
        for path in self:
            if not any(_is_in(key, path) for key in keys):
                raise ConfigurationError(
                    f"{owner}: rates has an entry {path!r}, and the network has no such parameter or layer; its "
                    f"parameters are {', '.join(keys) or 'none'}."
                )

    def __getitem__(self, path: str) -> float:
        return self._rates[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rates)

    def __len__(self) -> int:
        return len(self._rates)

    def __hash__(self) -> int:
        return hash(tuple(self._rates.items()))

    def __repr__(self) -> str:
        return repr(self._rates)


def _is_in(key: str, path: str) -> bool:
    return key == path or key.startswith(path + ".")
