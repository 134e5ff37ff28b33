"""A picture on its way into a place: hashed, checked and written as it passes, named by what it turned out to be."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from langchain_imagegen.errors import CorruptImageError, ImageStoreError
from langchain_imagegen.images.sniffing import Blob, Media, Sniffer
from langchain_imagegen.storage.backends import Place
from langchain_imagegen.storage.keys import name_of

OnFailure = Callable[[Blob, bytes, ImageStoreError], object]
"""What is done with a whole picture that could not be written, and why it could not; it raises if nothing helps."""


class Receiver(Protocol):
    """What takes pictures in: an image store, or the store of one call."""

    def put(self, data: bytes) -> Blob:
        """Store a picture and return what it is."""

    def writer(self, expected: int = 0) -> BlobWriter:
        """Return a writer that stores a picture while it arrives."""


class BlobWriter:
    """A picture on its way into a store, hashed and checked as it passes; nothing is there until `commit`.

    If the store fails on the way, nothing is raised and nothing is lost: what was written is read back, the rest stays
    in memory, and `commit` hands the whole picture to `on_failure`.

    Use it in a `with` statement, which aborts unless committed: after an error what was written can still be read.
    For one thread.
    """

    def __init__(
        self,
        place: Place,
        max_bytes: int,
        on_success: Callable[[Blob], None],
        on_failure: OnFailure,
        expected: int = 0,
    ) -> None:
        self._upload = place.upload(min(expected, max_bytes))
        self._on_success, self._on_failure = on_success, on_failure
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._sniffer = Sniffer()
        self._max_bytes = max_bytes
        self._using = threading.Lock()  # a cancelled task aborts while its thread still writes
        self._aborted = False
        self._uploaded = 0
        self._unwritten: bytes | bytearray = bytearray()
        self._error: ImageStoreError | None = None

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
        """Write the next bytes; if the store fails, keep them in memory.

        Raises:
            CorruptImageError: The picture is larger than the store allows.
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
                self._upload_or_keep(data)

    def read(self, start: int, stop: int) -> bytes:
        """Return some of the bytes that were written; not after a `commit` that succeeded.

        Raises:
            ImageStoreError: They cannot be read back.
        """
        with self._using:
            return self._read(start, stop)

    def commit(self) -> Blob:
        """Store the picture under its digest and return what it is.

        Raises:
            CorruptImageError: What was written is no picture, or only a part of one.
            ImageStoreError: It cannot be written, and `on_failure` found no other place for it.
        """
        problem, media = self._sniffer.problem(), self._sniffer.media
        if problem or media is None:
            raise CorruptImageError(f"what should be an image cannot be read as one: {problem}")
        blob = Blob(self.sha256, self._sniffer.size, media.mime_type, media.width, media.height)
        with self._using:
            error = self._error or self._commit_upload(blob)
            data = self._take_back(blob, error) if error else b""
        if error:
            self._on_failure(blob, data, error)
        else:
            self._on_success(blob)
        return blob

    def abort(self) -> None:
        """Remove what was written and ignore further writes; a no-op after `commit`."""
        with self._using:
            self._aborted = True
            self._upload.discard()

    def _upload_or_keep(self, data: bytes) -> None:
        if self._error is None:
            try:
                self._upload.write(data)
            except ImageStoreError as error:
                self._error = error
            else:
                self._uploaded += len(data)
                return
        self._unwritten += data

    def _commit_upload(self, blob: Blob) -> ImageStoreError | None:
        """Give the picture its name in the place; return the error if that fails."""
        try:
            self._upload.commit(name_of(blob.sha256, blob.mime_type), blob.mime_type)
        except ImageStoreError as error:
            return error
        return None

    def _take_back(self, blob: Blob, error: ImageStoreError) -> bytes:
        """Return the bytes of a picture that could not be written, and free the room that they take in the place."""
        try:
            data = self._read(0, blob.size_bytes)
        except ImageStoreError:
            data = b""
        if hashlib.sha256(data).hexdigest() != blob.sha256:
            raise ImageStoreError(
                f"{error}; what was written of the picture before cannot be read back", location=error.location
            ) from error
        self._upload.discard()
        self._uploaded, self._unwritten, self._error = 0, data, error
        return data

    def _read(self, start: int, stop: int) -> bytes:
        there = self._upload.read(start, min(stop, self._uploaded)) if start < self._uploaded else b""
        kept = self._unwritten[max(start - self._uploaded, 0) : max(stop - self._uploaded, 0)]
        return bytes(there) + kept if kept else bytes(there)

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
