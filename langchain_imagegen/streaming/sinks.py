"""Sinks for the pictures of an answer: memory, the image store, or a comparison with a picture that arrived before.

The decoder feeds them. Nothing here knows what an answer is or which picture is wanted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from langchain_imagegen.errors import CorruptImageError
from langchain_imagegen.images.sniffing import Blob
from langchain_imagegen.storage.store import ImageStore
from langchain_imagegen.streaming.decoder import BREAKS_OFF, Sink, decode

AT_A_TIME = 1 << 17
"""Bytes of a picture that are buffered before they are hashed and written to a disk; memory is written at once."""


class Mending(Sink):
    """A sink that keeps what the strict decoder refuses, and decodes it in the looser forms that gateways write."""

    def __init__(self) -> None:
        self.mended = False
        self._refused: list[bytes] = []
        self._error: str | None = None

    @property
    def flawed(self) -> bool:
        """Return True if the data is known not to be a whole picture."""
        return self._error is not None

    def spill(self, text: bytes) -> None:
        """Keep the rest of a text that is not plain base64."""
        self._refused.append(text)

    def _mend(self, error: str | None) -> str | None:
        """Write what was refused if it is base64 after all; return the error that stays."""
        text, self._refused = b"".join(self._refused), []
        if not error or not text or error.startswith(BREAKS_OFF):
            return error
        try:
            data = decode(json.loads(b'"%b"' % text, strict=False))
        except (ValueError, CorruptImageError):
            return error
        self.write(data)
        self.mended = True
        return None


class Held(Mending):
    """Keeps a partial picture in memory, since the caller gets it as bytes."""

    def __init__(self, store: ImageStore) -> None:
        super().__init__()
        self._store = store
        self._pieces: list[bytes] = []
        self._blob: Blob | None = None

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._pieces.append(data)

    def close(self, error: str | None = None) -> None:
        """End the data."""
        self._error = self._mend(error)
        self._pieces[:] = [b"".join(self._pieces)]

    def data(self) -> bytes:
        """Return the bytes.

        Raises:
            CorruptImageError: the base64 was invalid or broke off.
        """
        if self._error:
            raise corrupt(self._error)
        return b"".join(self._pieces)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`."""
        return b"".join(self._pieces)[start:stop]

    def work(self) -> None:
        """Return None: memory needs no writing."""

    def blob(self) -> Blob:
        """Put the picture into the store and return where it lies."""
        if self._blob is None:
            self._blob = self._store.put(self.data())
        return self._blob

    def discard(self) -> None:
        """Drop the bytes."""
        self._pieces.clear()


class Written(Mending):
    """Writes a picture into the store piece by piece; it gets its name there when it is whole.

    Only `work` and `blob` touch the disk. The caller asks for `work` after each piece that it feeds.
    """

    def __init__(self, store: ImageStore, expected: int = 0) -> None:
        super().__init__()
        self._writer = store.writer(expected)
        self._waiting: list[bytes] = []
        self._held = self._taken = 0
        self._blob: Blob | None = None

    def write(self, data: bytes) -> None:
        """Take the next bytes; a store that is not on a disk gets them at once."""
        self._waiting.append(data)
        self._held += len(data)
        if not self._writer.on_disk:
            self._take()()

    def close(self, error: str | None = None) -> None:
        """End the data."""
        self._error = self._error or self._mend(error)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`, written or still buffered."""
        there = self._writer.read(start, min(stop, self._taken)) if start < self._taken else b""
        waiting = memoryview(b"".join(self._waiting))
        return there + waiting[max(start - self._taken, 0) : max(stop - self._taken, 0)]

    def work(self) -> Callable[[], None] | None:
        """Return the pending hash-and-write step as a callable, or None while less than one piece is buffered."""
        return self._take() if self._held >= AT_A_TIME else None

    def blob(self) -> Blob:
        """Write the rest, give the picture its final name and return where it lies.

        Raises:
            CorruptImageError: the data is not a whole picture.
            ImageStoreError: it cannot be written.
        """
        if self._blob is None:
            self._take()()
            if self._error:
                raise corrupt(self._error)
            self._blob = self._writer.commit()
        return self._blob

    def discard(self) -> None:
        """Remove what was written, unless the picture has its final name."""
        if self._blob is None:
            self._writer.abort()

    def _take(self) -> Callable[[], None]:
        waiting, self._waiting = self._waiting, []
        self._taken += self._held
        self._held = 0
        return partial(self._put, waiting)

    def _put(self, waiting: list[bytes]) -> None:
        """Write the bytes; after the first error, drop them."""
        if waiting and self._error is None:
            try:
                self._writer.write(b"".join(waiting))
            except CorruptImageError as error:
                self._error = str(error)


class Repeated(Sink):
    """Compares a picture with one that arrived before and is likely the same.

    Its base64 is compared with what that one's bytes give; only from the first difference on is it decoded.
    """

    def __init__(self, original: Held | Written, store: ImageStore) -> None:
        from pybase64 import b64encode

        self._original = original
        self._store = store
        self._encode = b64encode
        self._same = 0
        self._own: Written | None = None

    def known(self, text: memoryview) -> bool:
        """Return True while the picture equals the original."""
        if self._own is not None:
            return False
        data = self._original.read(self._same, self._same + len(text) // 4 * 3)
        if self._encode(data) != bytes(text):
            self._copy_original()
            return False
        self._same += len(data)
        return True

    @property
    def flawed(self) -> bool:
        """Return True if the data is known not to be a whole picture."""
        return (self._own or self._original).flawed

    @property
    def mended(self) -> bool:
        """Return True if the picture came in a looser form of base64."""
        return self._own is not None and self._own.mended

    def write(self, data: bytes) -> None:
        """Take the next bytes of a picture that differs."""
        assert self._own is not None
        self._own.write(data)

    def spill(self, text: bytes) -> None:
        """Take text that is not plain base64; the picture is then no copy."""
        if self._own is None:
            self._copy_original()
        assert self._own is not None
        self._own.spill(text)

    def close(self, error: str | None = None) -> None:
        """End the data; a whole copy may lack its closing quote."""
        if self._own is None and (self._original.flawed or self._original.read(self._same, self._same + 1)):
            self._copy_original()  # it breaks off, or is the beginning of the other one
        if self._own is not None:
            self._own.close(error)

    def work(self) -> Callable[[], None] | None:
        """Return the pending write of a picture that differs."""
        return self._own.work() if self._own else None

    def blob(self) -> Blob:
        """Return where the picture lies, which may be the original.

        Raises:
            CorruptImageError: the data is not a whole picture.
        """
        return (self._own or self._original).blob()

    def discard(self) -> None:
        """Remove what was written of a picture that differs."""
        if self._own is not None:
            self._own.discard()

    def _copy_original(self) -> None:
        self._own = Written(self._store)
        for start in range(0, self._same, AT_A_TIME):
            self._own.write(self._original.read(start, min(start + AT_A_TIME, self._same)))


def corrupt(reason: str) -> CorruptImageError:
    """Return the error for data that is not a picture."""
    return CorruptImageError(f"the picture's data is corrupt: {reason}; nothing was saved, ask for the picture again")
