"""Where the pictures of an answer go while they arrive: into memory, into the store, or nowhere if they are known.

Fed by the decoder; what an answer is, and which picture is wanted, is not known here.
"""

from __future__ import annotations

from langchain_imagegen.decoding import Sink
from langchain_imagegen.errors import CorruptImageError
from langchain_imagegen.media import Blob
from langchain_imagegen.store import ImageStore

AT_A_TIME = 1 << 18
"""Bytes of a picture that wait in memory before they are hashed and written."""


class Held(Sink):
    """A picture kept in memory: a partial, which the caller gets as bytes."""

    due = False

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._pieces: list[bytes] = []
        self._error: str | None = None
        self._blob: Blob | None = None

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._pieces.append(data)

    def close(self, error: str | None = None) -> None:
        """The end of the data."""
        self._error = error
        self._pieces[:] = [b"".join(self._pieces)]

    def data(self) -> bytes:
        """The bytes.

        Raises:
            CorruptImageError: they were no base64, or broke off.
        """
        if self._error:
            raise corrupt(self._error)
        return b"".join(self._pieces)

    def read(self, start: int, stop: int) -> bytes:
        """Some of the bytes."""
        return b"".join(self._pieces)[start:stop]

    def flush(self) -> None:
        """Nothing waits."""

    def blob(self) -> Blob:
        """The picture, put into the store."""
        if self._blob is None:
            self._blob = self._store.put(self.data())
        return self._blob

    def discard(self) -> None:
        """Forget the bytes."""
        self._pieces.clear()


class Written(Sink):
    """A picture that goes into the store piece by piece, where it has no name before it is whole.

    What touches the disk is `flush` and `blob`; whoever feeds it calls `flush` when it is `due`.
    """

    def __init__(self, store: ImageStore) -> None:
        self._writer = store.writer()
        self._waiting: list[bytes] = []
        self._held = self._written = 0
        self._error: str | None = None
        self._blob: Blob | None = None

    @property
    def due(self) -> bool:
        """Whether enough waits to be written."""
        return self._held >= AT_A_TIME

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._waiting.append(data)
        self._held += len(data)

    def close(self, error: str | None = None) -> None:
        """The end of the data."""
        self._error = self._error or error

    def read(self, start: int, stop: int) -> bytes:
        """Some of the bytes, wherever they are by now."""
        there = self._writer.read(start, min(stop, self._written)) if start < self._written else b""
        waiting = memoryview(b"".join(self._waiting))
        return there + waiting[max(start - self._written, 0) : max(stop - self._written, 0)]

    def flush(self) -> None:
        """Hash and write what waits; after the first fault the rest is left aside.

        Raises:
            ImageStoreError: it cannot be written.
        """
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._written += self._held
        self._held = 0
        if data and self._error is None:
            try:
                self._writer.write(data)
            except CorruptImageError as error:
                self._error = str(error)

    def blob(self) -> Blob:
        """The picture, now under its final name.

        Raises:
            CorruptImageError: the data is no whole picture.
        """
        if self._blob is None:
            self.flush()
            if self._error:
                raise corrupt(self._error)
            self._blob = self._writer.commit()
        return self._blob

    def discard(self) -> None:
        """Remove what was written and not committed."""
        if self._blob is None:
            self._writer.abort()


class Repeated(Sink):
    """A picture that is likely one which has arrived before.

    Its base64 is compared with what that one's bytes give; only from the first difference on is it decoded.
    """

    def __init__(self, original: Held | Written, store: ImageStore) -> None:
        from pybase64 import b64encode

        self._original = original
        self._store = store
        self._encode = b64encode
        self._same = 0
        self._own: Written | None = None

    @property
    def due(self) -> bool:
        """Whether enough of its own waits to be written."""
        return self._own is not None and self._own.due

    def known(self, text: memoryview) -> bool:
        """Whether the picture is still the same as the original."""
        if self._own is not None:
            return False
        data = self._original.read(self._same, self._same + len(text) // 4 * 3)
        if self._encode(data) != bytes(text):
            self._part()
            return False
        self._same += len(data)
        return True

    def write(self, data: bytes) -> None:
        """Take the next bytes of a picture that differs."""
        assert self._own is not None
        self._own.write(data)

    def close(self, error: str | None = None) -> None:
        """The end of the data."""
        if self._own is None and self._original.read(self._same, self._same + 1):
            self._part()  # it breaks off, or is the beginning of the other one
        if self._own is not None:
            self._own.close(error)

    def flush(self) -> None:
        """Write what waits of its own."""
        if self._own is not None:
            self._own.flush()

    def blob(self) -> Blob:
        """The picture, which may be the original.

        Raises:
            CorruptImageError: the data is no whole picture.
        """
        return (self._own or self._original).blob()

    def discard(self) -> None:
        """Remove what was written of its own."""
        if self._own is not None:
            self._own.discard()

    def _part(self) -> None:
        self._own = Written(self._store)
        for start in range(0, self._same, AT_A_TIME):
            self._own.write(self._original.read(start, min(start + AT_A_TIME, self._same)))


def corrupt(reason: str) -> CorruptImageError:
    """The error for a picture whose data came, and is none."""
    return CorruptImageError(f"the picture's data is corrupt: {reason}; nothing was saved, ask for the picture again")
