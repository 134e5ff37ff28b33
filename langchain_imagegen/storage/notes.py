"""Small texts beside the pictures of an image store: under keys that are written once, or in folders of notes.

The ledger has rules of its own for its folder; see `ledger`.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterable, Iterator

from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.storage.backends import Place
from langchain_imagegen.storage.keys import name_of_note
from langchain_imagegen.storage.shelf import Shelf

_NAME = re.compile(r"[\w-][\w.-]{0,200}")
_SETTLED = 2.0  # seconds: a younger note may be written again without a later time, which S3 gives in whole seconds


class Notes:
    """The notes of one folder. A note is written whole or not at all; of two writers at once, the last one stays.

    Args:
        place: Where the image store keeps its files.
        folder: The folder of the notes, in the place.
    """

    def __init__(self, place: Place, folder: str) -> None:
        self._place, self._folder = place, folder
        self._read: dict[tuple[str, float], bytes] = {}
        self._reading = threading.Lock()

    def names(self) -> dict[str, float]:
        """Return the names of all notes, in alphabetical order, with the time at which each was written.

        Raises:
            ImageStoreError: The place cannot be listed.
        """
        start = f"{self._folder}/"
        listing = self._place.listing(self._folder)
        return dict(sorted((key.removeprefix(start), written) for key, written in listing if key.startswith(start)))

    def read(self, name: str) -> bytes | None:
        """Return a note, or None."""
        return self._place.read(self._key(name))

    def read_all(self, names: Iterable[tuple[str, float]]) -> Iterator[tuple[str, bytes]]:
        """Yield notes with their names. A note that was read before and not written since is not read again.

        Args:
            names: Items of `names()`.
        """
        wanted = list(names)
        with self._reading:
            known = dict(self._read)
        missing = [note for note in wanted if note not in known]
        found = self._place.read_several([self._key(name) for name, _ in missing])
        known.update({note: data for note in missing if (data := found.get(self._key(note[0]))) is not None})
        settled = time.time() - _SETTLED
        with self._reading:
            self._read.update({note: data for note, data in known.items() if note[1] < settled})
        yield from ((note[0], known[note]) for note in wanted if note in known)

    def write(self, name: str, data: bytes) -> None:
        """Write a note, in place of an earlier one.

        Raises:
            ImageStoreError: The place cannot be written.
        """
        self._place.write(self._key(name), data, "application/json")

    def remove(self, name: str) -> None:
        """Remove a note if it is there."""
        self._place.remove(self._key(name))

    def _key(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ImageStoreError(f"{name[:40]!r} cannot be the name of a note")
        return f"{self._folder}/{name}"


class KeepsNotes:
    """What an image store does about texts. They are in the store's own place alone, never in its fallback."""

    _shelf: Shelf

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write a note under `key`, any text. Of several writers exactly one gets True."""
        return self._shelf.place.create(name_of_note(key), data)

    def read_key(self, key: str) -> bytes | None:
        """Return what was written under `key`, or None."""
        return self._shelf.place.read(name_of_note(key))

    def notes(self, folder: str) -> Notes:
        """Return the notes of a folder."""
        return Notes(self._shelf.place, folder)

    async def aput_if_absent(self, key: str, data: bytes) -> bool:
        """Async twin of `put_if_absent`."""
        return await asyncio.to_thread(self.put_if_absent, key, data)

    async def aread_key(self, key: str) -> bytes | None:
        """Async twin of `read_key`."""
        return await asyncio.to_thread(self.read_key, key)
