"""A picture on its way into a place: hashed, checked and written as it passes, named by what it turned out to be."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from langchain_imagegen.errors import CorruptImageError, ImageStoreError
from langchain_imagegen.images.sniffing import EXTENSIONS, Blob, Media, Sniffer
from langchain_imagegen.storage.backends import Place


class BlobWriter:
    """A picture on its way into a store, hashed and checked as it passes; nothing is there until `commit`.

    Use it in a `with` statement, which aborts unless committed: after an error what was written can still be read.
    For one thread.
    """

    def __init__(self, place: Place, max_bytes: int, committed: Callable[[Blob], None], expected: int = 0) -> None:
        self._upload = place.upload(min(expected, max_bytes))
        self._committed = committed
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._sniffer = Sniffer()
        self._max_bytes = max_bytes
        self._using = threading.Lock()  # a cancelled task aborts while its thread still writes
        self._aborted = False

    @property
    def on_disk(self) -> bool:
        """True if `write` waits for a disk; otherwise only `commit` waits, for a disk or a network."""
        return self._upload.on_disk

    @property
    def media(self) -> Media | None:
        """The format and size of the picture, as soon as its header was written."""
        return self._sniffer.media

    @property
    def sha256(self) -> str:
        """The digest of what was written so far; bytes in memory are hashed when it is asked for."""
        self._hash_in_memory()
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Write the next bytes.

        Raises:
            CorruptImageError: The picture is larger than the store allows.
            ImageStoreError: They cannot be written, say because the disk is full.
        """
        if self._sniffer.size + len(data) > self._max_bytes:
            raise CorruptImageError(
                f"an image is larger than max_bytes={self._max_bytes}; ImageStore(max_bytes=…) allows more"
            )
        with self._using:
            if not self._aborted:
                if self.on_disk:
                    self._hash.update(data)
                self._sniffer.feed(data)
                self._upload.write(data)

    def read(self, start: int, stop: int) -> bytes:
        """Return some of the bytes that were written; not after a `commit` that succeeded.

        Raises:
            ImageStoreError: They cannot be read back.
        """
        with self._using:
            return bytes(self._upload.read(start, stop))

    def commit(self) -> Blob:
        """Store the picture under its digest and return what it is.

        Raises:
            CorruptImageError: What was written is no picture, or only a part of one.
            ImageStoreError: It cannot be written.
        """
        problem, media = self._sniffer.problem(), self._sniffer.media
        if problem or media is None:
            raise CorruptImageError(f"what should be an image cannot be read as one: {problem}")
        sha256 = self.sha256
        with self._using:
            self._upload.commit(name_of(sha256, media.mime_type), media.mime_type)
        blob = Blob(sha256, self._sniffer.size, media.mime_type, media.width, media.height)
        self._committed(blob)
        return blob

    def abort(self) -> None:
        """Remove what was written and ignore further writes; a no-op after `commit`."""
        with self._using:
            self._aborted = True
            self._upload.discard()

    def _hash_in_memory(self) -> None:
        """Hash all at once at the end, in a thread, so that an event loop can serve other pictures meanwhile."""
        if not self.on_disk:
            with self._using, memoryview(self._upload.read(self._hashed, self._sniffer.size)) as new:
                self._hash.update(new)
                self._hashed += len(new)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


def name_of(sha256: str, mime_type: str | None) -> str:
    """Return the key of a picture in a place.

    Raises:
        ImageStoreError: It is no type of picture that stores know.
    """
    extension = EXTENSIONS.get(mime_type or "")
    if extension is None:
        raise ImageStoreError(f"{str(mime_type)[:40]!r} is no image type of this store: {', '.join(EXTENSIONS)}")
    return f"{sha256[:2]}/{sha256}.{extension}"
