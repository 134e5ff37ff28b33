"""Where the pictures of an answer go while they arrive: into memory, into the store, or nowhere if they are known.

Fed by the decoder; what an answer is, and which picture is wanted, is not known here.
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
"""Bytes of a picture that wait, at most, before they are hashed and written to a disk; to memory they go at once."""


class Mending(Sink):
    """A sink that keeps what the strict decoder refuses, and decodes it in the looser forms that gateways write."""

    def __init__(self) -> None:
        self.mended = False
        self._refused: list[bytes] = []

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
    """A picture kept in memory: a partial, which the caller gets as bytes."""

    def __init__(self, store: ImageStore) -> None:
        super().__init__()
        self._store = store
        self._pieces: list[bytes] = []
        self._error: str | None = None
        self._blob: Blob | None = None

    @property
    def flawed(self) -> bool:
        """Whether it is known to be no whole picture."""
        return self._error is not None

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._pieces.append(data)

    def close(self, error: str | None = None) -> None:
        """The end of the data."""
        self._error = self._mend(error)
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

    def work(self) -> None:
        """Nothing waits."""

    def blob(self) -> Blob:
        """The picture, put into the store."""
        if self._blob is None:
            self._blob = self._store.put(self.data())
        return self._blob

    def discard(self) -> None:
        """Forget the bytes."""
        self._pieces.clear()


class Written(Mending):
    """A picture that goes into the store piece by piece, where it has no name before it is whole.

    What touches the disk is done by `work` and `blob`; whoever feeds the sink asks it for work after each piece.
    """

    def __init__(self, store: ImageStore, expected: int = 0) -> None:
        super().__init__()
        self._writer = store.writer(expected)
        self._waiting: list[bytes] = []
        self._held = self._taken = 0
        self._error: str | None = None
        self._blob: Blob | None = None

    @property
    def flawed(self) -> bool:
        """Whether it is known to be no whole picture."""
        return self._error is not None

    def write(self, data: bytes) -> None:
        """Take the next bytes; where nothing goes to a disk, they are hashed at once."""
        self._waiting.append(data)
        self._held += len(data)
        if not self._writer.on_disk:
            self._take()()

    def close(self, error: str | None = None) -> None:
        """The end of the data."""
        self._error = self._error or self._mend(error)

    def read(self, start: int, stop: int) -> bytes:
        """Some of the bytes, wherever they are by now."""
        there = self._writer.read(start, min(stop, self._taken)) if start < self._taken else b""
        waiting = memoryview(b"".join(self._waiting))
        return there + waiting[max(start - self._taken, 0) : max(stop - self._taken, 0)]

    def work(self) -> Callable[[], None] | None:
        """What is to be hashed and written now: one piece after the other, in any thread; `None` if little waits."""
        return self._take() if self._held >= AT_A_TIME else None

    def blob(self) -> Blob:
        """The picture, now under its final name.

        Raises:
            CorruptImageError: the data is no whole picture.
            ImageStoreError: it cannot be written.
        """
        if self._blob is None:
            self._take()()
            if self._error:
                raise corrupt(self._error)
            self._blob = self._writer.commit()
        return self._blob

    def discard(self) -> None:
        """Remove what was written and not committed."""
        if self._blob is None:
            self._writer.abort()

    def _take(self) -> Callable[[], None]:
        waiting, self._waiting = self._waiting, []
        self._taken += self._held
        self._held = 0
        return partial(self._put, waiting)

    def _put(self, waiting: list[bytes]) -> None:
        """After the first fault the rest is left aside."""
        if waiting and self._error is None:
            try:
                self._writer.write(b"".join(waiting))
            except CorruptImageError as error:
                self._error = str(error)


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

    @property
    def flawed(self) -> bool:
        """True if it is known to be no whole picture."""
        return (self._own or self._original).flawed

    @property
    def mended(self) -> bool:
        """True if the picture stood in an odd form."""
        return self._own is not None and self._own.mended

    def write(self, data: bytes) -> None:
        """Take the next bytes of a picture that differs."""
        assert self._own is not None
        self._own.write(data)

    def spill(self, text: bytes) -> None:
        """It goes on behind the copy, with what is no base64."""
        if self._own is None:
            self._part()
        assert self._own is not None
        self._own.spill(text)

    def close(self, error: str | None = None) -> None:
        """The end of the data; a copy that is whole may lack its closing quote."""
        if self._own is None and (self._original.flawed or self._original.read(self._same, self._same + 1)):
            self._part()  # it breaks off, or is the beginning of the other one
        if self._own is not None:
            self._own.close(error)

    def work(self) -> Callable[[], None] | None:
        """What of its own is to be written now."""
        return self._own.work() if self._own else None

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
