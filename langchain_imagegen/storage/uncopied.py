"""`Uncopied`: base of objects that hold connections or secrets, of which no second one is wanted."""

from __future__ import annotations

from typing import Any, Self


class Uncopied:
    """An object whose copies, deep ones too, are the object itself; pickles are made as its class says."""

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self
