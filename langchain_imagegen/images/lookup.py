"""Where an image finds its bytes: the store that was bound to it, else one of those at hand.

The one seam between values, which open nothing, and stores, which know nothing of values.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol
from weakref import WeakKeyDictionary

from langchain_imagegen.errors import ImageStoreError

REST = 10.0  # seconds


class ByteStore(Protocol):
    """What an image needs of a store: its bytes by their digest."""

    def __contains__(self, sha256: str) -> bool: ...

    def get(self, sha256: str, mime_type: str | None = None) -> bytes:
        """Return the bytes, checked."""

    def url(self, sha256: str, mime_type: str, *, expires: int = 3600) -> str:
        """Return a link to the picture."""


def _none() -> Iterable[ByteStore]:
    return ()


_at_hand: Callable[[], Iterable[ByteStore]] = _none
_resting: WeakKeyDictionary[ByteStore, tuple[float, str]] = WeakKeyDictionary()


def find_unbound_in(stores: Callable[[], Iterable[ByteStore]]) -> None:
    """Set the stores in which unbound images look for their bytes; `storage.store` calls this on import."""
    global _at_hand  # noqa: PLW0603 - set once, by the module that opens stores
    _at_hand = stores


def store_with(sha256: str) -> tuple[ByteStore | None, list[str]]:
    """Return the first store at hand that has these bytes, and why stores before it could not be asked.

    A store that could not be asked is skipped for `REST` seconds: its driver may take as long to give up, and a view
    of a thousand images asks a thousand times.
    """
    unasked: list[str] = []
    for store in _at_hand():
        until, reason = _resting.get(store, (0.0, ""))
        if time.monotonic() < until:
            unasked.append(reason)
            continue
        try:
            if sha256 in store:
                return store, unasked
        except ImageStoreError as error:
            unasked.append(str(error))
            _resting[store] = time.monotonic() + REST, str(error)
    return None, unasked
