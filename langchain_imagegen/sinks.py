"""Where the pictures of an answer go while they arrive: into memory, into the store, or nowhere if they are known.

Fed by the decoder; what an answer is, and which picture is wanted, is not known here.
"""

from __future__ import annotations

from langchain_imagegen.decoding import Sink
from langchain_imagegen.errors import CorruptImageError
from langchain_imagegen.media import Blob
from langchain_imagegen.store import ImageStore


class Held(Sink):
    """A picture kept in memory: a partial, which the caller gets as bytes."""

    def __init__(self, store: ImageStore) -> None:
        self.data = bytearray()
        self._store = store
        self._error: str | None = None

    write = property(lambda self: self.data.extend)

    def close(self, error: str | None = None) -> None:
        """The end of the data."""
        self._error = error

    def read(self) -> bytes:
        """The bytes.

        Raises:
            CorruptImageError: they were no base64, or broke off.
        """
        if self._error:
            raise corrupt(self._error)
        return bytes(self.data)

    def blob(self) -> Blob:
        """The picture, put into the store."""
        return self._store.put(self.read())

    def discard(self) -> None:
        """Forget the bytes."""


class Written(Sink):
    """A picture that goes chunk by chunk into the store, where it has no name before it is whole."""

    def __init__(self, store: ImageStore) -> None:
        self._writer = store.writer()
        self._error: str | None = None
        self._blob: Blob | None = None

    def write(self, data: bytes) -> None:
        """Take the next bytes; after the first fault the rest is left aside."""
        if self._error is None:
            try:
                self._writer.write(data)
            except CorruptImageError as error:
                self._error = str(error)

    def close(self, error: str | None = None) -> None:
        """The end of the data."""
        self._error = self._error or error

    def blob(self) -> Blob:
        """The picture, now under its final name.

        Raises:
            CorruptImageError: the data is no whole picture.
        """
        if self._error:
            raise corrupt(self._error)
        if self._blob is None:
            self._blob = self._writer.commit()
        return self._blob

    def discard(self) -> None:
        """Remove what was written and not committed."""
        if self._blob is None:
            self._writer.abort()


def corrupt(reason: str) -> CorruptImageError:
    """The error for a picture whose data came, and is none."""
    return CorruptImageError(f"the picture's data is corrupt: {reason}; nothing was saved, ask for the picture again")
