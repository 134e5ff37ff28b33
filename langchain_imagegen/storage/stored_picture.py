"""`StoredPicture`: a picture of a store that is read in pieces, checked before its first piece is handed out."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable
from typing import Protocol, Self, TypeAlias

from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.images.sniffing import Media, Sniffer
from langchain_imagegen.storage.backends import Place

PictureFile: TypeAlias = "io.FileIO | io.BytesIO"
"""The bytes of a picture, on disk or in memory."""

PIECE = 256 * 1024
"""How many bytes are read at a time, so that a picture from a folder needs no memory of its size."""


class StoredPicture:
    """A picture that is open for reading; close it after use, or use it in a `with` statement.

    Args:
        media: Its format and pixel size, read from its bytes.
        place: Where it lies.
        file: Its bytes.
        size: How many there are.
    """

    def __init__(self, media: Media, place: Place, file: PictureFile, size: int) -> None:
        self.media, self.place, self.size_bytes = media, place, size
        self._file = file

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes from `start` to before `stop`, or to the end.

        Raises:
            ImageStoreError: the file was cut while it is open.
        """
        stop = self.size_bytes if stop is None else stop
        self._file.seek(start)
        pieces, missing = [], stop - start
        while missing and (piece := self._file.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        if missing:
            raise ImageStoreError("a picture was cut while it was read", location=self.place.location)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Opener(Protocol):
    """Opens pictures of one place, as `Shelf` does."""

    def open(self, sha256: str, mime_type: str | None = None) -> StoredPicture | None:
        """Return a picture, or None if the place has none with this digest."""


def open_stored(shelves: Iterable[Opener], sha256: str, mime_type: str | None = None) -> StoredPicture | None:
    """Return a picture from the first shelf that has it, or None; a known `mime_type` saves a look-up.

    Raises:
        ImageStoreError: no shelf has it, and one of them cannot be read.
    """
    errors = []
    for shelf in shelves:
        try:
            picture = shelf.open(sha256, mime_type)
        except ImageStoreError as error:
            errors.append(error)
        else:
            if picture is not None:
                return picture
    if errors:
        raise errors[0]
    return None


def inspect(file: PictureFile) -> tuple[str, Media | None]:
    """Return the digest of a file's bytes, and what the picture is; no `Media` if they are not a whole picture."""
    digest, sniffer, buffer = hashlib.sha256(), Sniffer(), memoryview(bytearray(PIECE))
    while count := file.readinto(buffer):
        digest.update(buffer[:count])
        sniffer.feed(buffer[:count])
    return digest.hexdigest(), None if sniffer.problem() else sniffer.media


def identity_of(file: PictureFile) -> tuple[int, ...] | None:
    """Return what changes whenever a file's bytes change, even if its times are set back; None for bytes in memory."""
    if isinstance(file, io.BytesIO):
        return None
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
