"""The order of a conversation's images: that in which they were asked for, whichever is finished first."""

from __future__ import annotations

import threading
from bisect import bisect_right


class CallOrder(list[str]):
    """Ids of images in the order of the calls that drew them."""

    def __init__(self) -> None:
        super().__init__()
        self._places: list[int] = []
        self._reserved = 0
        self._changing = threading.Lock()

    def reserve(self) -> int:
        """Return a place behind all that were reserved before, for a call that begins."""
        with self._changing:
            self._reserved += 1
            return self._reserved

    def put(self, id: str, place: int | None = None) -> None:
        """Add an id at its call's place; without one, at the end."""
        with self._changing:
            if place is None:
                self._reserved = place = self._reserved + 1
            index = bisect_right(self._places, place)
            self._places.insert(index, place)
            self.insert(index, id)

    def drop(self, id: str) -> None:
        """Take an id out; the others keep their order."""
        with self._changing:
            index = self.index(id)
            del self._places[index]
            del self[index]
