"""Sinks for the pictures of an answer: memory, the image store, or a comparison with a picture that arrived earlier.

The decoder feeds them. Which picture of an answer is wanted is decided elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from langchain_imagegen.errors import CorruptImageError
from langchain_imagegen.images.sniffing import Blob
from langchain_imagegen.storage.writer import Receiver
from langchain_imagegen.streaming.decoder import BREAKS_OFF, Sink, decode

WRITE_SIZE = 1 << 17
"""Bytes that are buffered before they are hashed and written to disk; a store in memory gets them immediately."""


class LenientSink(Sink):
    """A sink that keeps text which the strict decoder rejects, and decodes it in the looser forms that gateways use.

    `repaired` is True if that succeeded.
    """

    def __init__(self) -> None:
        self.repaired = False
        self._rejected: list[bytes] = []
        self._error: str | None = None

    @property
    def flawed(self) -> bool:
        """Return True if the data is known not to be a complete picture."""
        return self._error is not None

    def spill(self, text: bytes) -> None:
        """Keep text that is not strict base64."""
        self._rejected.append(text)

    def _repair(self, error: str | None) -> str | None:
        """Write the rejected text if it is base64 in a looser form, and return the error that remains."""
        text, self._rejected = b"".join(self._rejected), []
        if not error or not text or error.startswith(BREAKS_OFF):
            return error
        try:
            data = decode(json.loads(b'"%b"' % text, strict=False))
        except (ValueError, CorruptImageError):
            return error
        self.write(data)
        self.repaired = True
        return None


class MemorySink(LenientSink):
    """Keeps a partial picture in memory, because the caller gets it as bytes."""

    def __init__(self, store: Receiver) -> None:
        super().__init__()
        self._store = store
        self._pieces: list[bytes] = []
        self._blob: Blob | None = None

    def write(self, data: bytes) -> None:
        """Append the next bytes."""
        self._pieces.append(data)

    def close(self, error: str | None = None) -> None:
        """End the picture."""
        self._error = self._repair(error)
        self._pieces[:] = [b"".join(self._pieces)]

    def data(self) -> bytes:
        """Return the bytes.

        Raises:
            CorruptImageError: the base64 was invalid or truncated.
        """
        if self._error:
            raise corrupt_image_error(self._error)
        return b"".join(self._pieces)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`."""
        return b"".join(self._pieces)[start:stop]

    def work(self) -> None:
        """Return None, since nothing has to be written."""

    def blob(self) -> Blob:
        """Put the picture into the store and return its blob."""
        if self._blob is None:
            self._blob = self._store.put(self.data())
        return self._blob

    def discard(self) -> None:
        """Drop the bytes."""
        self._pieces.clear()


class StoreSink(LenientSink):
    """Writes a picture into the store piece by piece, under its final name once it is complete.

    Only `work` and `blob` access the disk. Call `work` after each piece that is fed.
    """

    def __init__(self, store: Receiver, expected: int = 0) -> None:
        super().__init__()
        self._writer = store.writer(expected)
        self._buffer: list[bytes] = []
        self._buffered = self._handed_over = 0
        self._blob: Blob | None = None

    def write(self, data: bytes) -> None:
        """Buffer the next bytes; a store that is not on disk gets them immediately."""
        self._buffer.append(data)
        self._buffered += len(data)
        if not self._writer.on_disk:
            self._take_buffer()()

    def close(self, error: str | None = None) -> None:
        """End the picture."""
        self._error = self._error or self._repair(error)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`, whether written or still buffered."""
        offset = self._handed_over
        written = self._writer.read(start, min(stop, offset)) if start < offset else b""
        buffered = memoryview(b"".join(self._buffer))
        return written + buffered[max(start - offset, 0) : max(stop - offset, 0)]

    def work(self) -> Callable[[], None] | None:
        """Return the pending hash-and-write step as a callable, or None while less than `WRITE_SIZE` is buffered."""
        return self._take_buffer() if self._buffered >= WRITE_SIZE else None

    def blob(self) -> Blob:
        """Write the rest, give the picture its final name and return its blob.

        Raises:
            CorruptImageError: the data is not a complete picture.
            ImageStoreError: the store cannot be written.
        """
        if self._blob is None:
            self._take_buffer()()
            if self._error:
                raise corrupt_image_error(self._error)
            self._blob = self._writer.commit()
        return self._blob

    def discard(self) -> None:
        """Remove what was written, unless the picture already has its final name."""
        if self._blob is None:
            self._writer.abort()

    def _take_buffer(self) -> Callable[[], None]:
        """Empty the buffer, and return a callable that writes its bytes."""
        pieces, self._buffer = self._buffer, []
        self._handed_over += self._buffered
        self._buffered = 0
        return partial(self._write_pieces, pieces)

    def _write_pieces(self, pieces: list[bytes]) -> None:
        """Write the bytes; after the first error, drop them."""
        if pieces and self._error is None:
            try:
                self._writer.write(b"".join(pieces))
            except CorruptImageError as error:
                self._error = str(error)


class DuplicateSink(Sink):
    """Compares a picture with an earlier one, the original, which is probably the same.

    It encodes the original's bytes and compares the result with the incoming base64. From the first difference on,
    the picture is decoded and stored on its own.
    """

    def __init__(self, original: MemorySink | StoreSink, store: Receiver) -> None:
        from pybase64 import b64encode

        self._original = original
        self._store = store
        self._encode = b64encode
        self._same = 0
        self._own: StoreSink | None = None

    def known(self, text: memoryview) -> bool:
        """Return True while the text equals the original's base64."""
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
        """Return True if the data is known not to be a complete picture."""
        return (self._own or self._original).flawed

    @property
    def repaired(self) -> bool:
        """Return True if the picture arrived in a looser form of base64."""
        return self._own is not None and self._own.repaired

    def write(self, data: bytes) -> None:
        """Write the next bytes of a picture that differs from the original."""
        assert self._own is not None
        self._own.write(data)

    def spill(self, text: bytes) -> None:
        """Keep text that is not strict base64, by which the picture differs from the original."""
        if self._own is None:
            self._copy_original()
        assert self._own is not None
        self._own.spill(text)

    def close(self, error: str | None = None) -> None:
        """End the picture; a complete duplicate may lack its closing quote."""
        if self._own is None and (self._original.flawed or self._original.read(self._same, self._same + 1)):
            self._copy_original()  # it is truncated, or equals only the start of the original
        if self._own is not None:
            self._own.close(error)

    def work(self) -> Callable[[], None] | None:
        """Return the pending write of a picture that differs from the original."""
        return self._own.work() if self._own else None

    def blob(self) -> Blob:
        """Return the picture's blob, which is the original's if they are equal.

        Raises:
            CorruptImageError: the data is not a complete picture.
        """
        return (self._own or self._original).blob()

    def discard(self) -> None:
        """Remove what was written of a picture that differs from the original."""
        if self._own is not None:
            self._own.discard()

    def _copy_original(self) -> None:
        """Start a sink for this picture with the bytes that it shares with the original."""
        self._own = StoreSink(self._store)
        for start in range(0, self._same, WRITE_SIZE):
            self._own.write(self._original.read(start, min(start + WRITE_SIZE, self._same)))


def corrupt_image_error(reason: str) -> CorruptImageError:
    """Return the error for data that is not a picture."""
    return CorruptImageError(f"the picture's data is corrupt: {reason}; nothing was saved, ask for the picture again")
