"""`Shelf`: pictures by digest in one place, written whole and checked when read. It knows no other place."""

from __future__ import annotations

import hashlib
import io
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TypeVar, cast

from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.images.sniffing import EXTENSIONS, Blob, Media, sniff
from langchain_imagegen.storage import pruning
from langchain_imagegen.storage.backends import Place
from langchain_imagegen.storage.keys import DIGEST, name_of, valid_digest
from langchain_imagegen.storage.stored_picture import PictureFile, StoredPicture, identity_of, inspect
from langchain_imagegen.storage.writer import BlobWriter, OnFailure

_REMEMBERED = 128  # facts about so many of the latest pictures are kept, for `blob` and `open`

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Shelf:
    """The pictures in one place, in `<first two digits>/<digest>.<extension>`.

    Args:
        place: A folder or a bucket.
        max_bytes: Larger pictures are refused.
    """

    def __init__(self, place: Place, max_bytes: int) -> None:
        self.place = place
        self.known_writable = False
        self._max_bytes = max_bytes
        self._recent: dict[str, Blob] = {}
        self._checked: dict[str, tuple[tuple[int, ...], Media]] = {}
        self._changing = threading.Lock()

    def check_writable(self) -> None:
        """Write a little and remove it.

        Raises:
            ImageStoreError: the place cannot be written.
        """
        self.place.check_writable()
        self.known_writable = True

    def writer(self, on_failure: OnFailure, expected: int = 0) -> BlobWriter:
        """Return a writer of one picture; see `ImageStore.writer`."""
        return BlobWriter(self.place, self._max_bytes, self._remember, on_failure, expected)

    def write(self, blob: Blob, data: bytes) -> None:
        """Write a picture whose bytes were checked before.

        Raises:
            ImageStoreError: it cannot be written, and the place counts as not writable until a write succeeds.
        """
        self.known_writable = False
        upload = self.place.upload(len(data))
        try:
            upload.write(data)
            upload.commit(name_of(blob.sha256, blob.mime_type), blob.mime_type)
        finally:
            upload.discard()
        self._remember(blob)

    def get(self, sha256: str, mime_type: str | None = None) -> bytes:
        """Return the bytes with this digest, checked.

        Raises:
            ImageStoreError: they are not here, or are not what they were.
        """
        data = self._look_up(valid_digest(sha256), mime_type, self.place.read)
        if data is None:
            raise ImageStoreError(
                f"no image {sha256} in {self.place.label}: it was deleted, pruned or written to another "
                "store; pass that one as image_store=",
                location=self.place.location,
            )
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ImageStoreError(
                f"the image {sha256} in {self.place.label} was changed or cut after it was written; "
                "put the original again or draw it anew",
                location=self.place.location,
            )
        return data

    def blob(self, sha256: str, mime_type: str | None = None) -> Blob:
        """Return facts about a picture: at once if it was written here lately, otherwise read from its bytes.

        Raises:
            ImageStoreError: as `get`.
        """
        blob = self._recent.get(sha256)
        if blob is None:
            data = self.get(sha256, mime_type)
            media = sniff(data) or Media(mime_type or "application/octet-stream", "bin")
            blob = Blob(sha256, len(data), media.mime_type, media.width, media.height)
        return blob

    def open(self, sha256: str, mime_type: str | None = None) -> StoredPicture | None:
        """Return a picture to read in pieces; None if it is not here, was changed, or its bytes are no picture.

        All bytes are checked here, but for a file that was checked before and has not been touched since.

        Raises:
            ImageStoreError: the place cannot be read.
        """
        file = cast("PictureFile | None", self._look_up(valid_digest(sha256), mime_type, self.place.open))
        if file is None:
            return None
        try:
            identity, (known, media) = identity_of(file), self._checked.get(sha256, (None, None))
            if identity is None or identity != known:
                digest, media = inspect(file)
                media = media if digest == sha256 else None
            if media is None:
                logger.warning("%s has other bytes than a picture with the digest %s", self.place.label, sha256)
                file.close()
                return None
            if identity is not None:
                self._keep(self._checked, sha256, (identity, media))
            return StoredPicture(media, self.place, file, file.seek(0, io.SEEK_END))
        except OSError as error:
            file.close()
            raise ImageStoreError(f"{self.place.label} cannot be read: {error.strerror}") from error

    def __contains__(self, sha256: object) -> bool:
        if not isinstance(sha256, str) or not DIGEST.fullmatch(sha256):
            return False
        return self.place.find(sha256[:2], sha256) is not None

    def surely_has(self, sha256: str) -> bool:
        """Return True if a picture was written here lately or is found; False also if the place cannot be asked."""
        try:
            return sha256 in self._recent or sha256 in self
        except ImageStoreError:
            return False

    def sign(self, name: str, expires: int) -> str:
        """Return a link to a key that works for `expires` seconds.

        Raises:
            ImageStoreError: the place signs no links.
        """
        link = self.place.sign(name, expires)
        if link is None:
            raise ImageStoreError(
                f"{self.place.label} cannot sign links; pass ImageStore(…, "
                "public_url='https://…/{name}') if a server shows its files, or use one that signs, such as s3://",
                location=self.place.location,
            )
        return link

    def delete(self, sha256: str) -> bool:
        """Remove a picture; return False if it was not here."""
        self._recent.pop(sha256, None)
        return pruning.delete(self.place, sha256)

    def prune(self, kept: set[str], older_than: timedelta | None) -> Iterator[str]:
        """Remove pictures and yield their digests; see `ImageStore.prune`."""
        for sha256 in pruning.prune(self.place, kept, older_than):
            self._recent.pop(sha256, None)
            yield sha256

    def _remember(self, blob: Blob) -> None:
        self.known_writable = True
        self._keep(self._recent, blob.sha256, blob)

    def _keep(self, latest: dict[str, T], sha256: str, fact: T) -> None:
        """Add a fact to the latest ones; the oldest goes."""
        with self._changing:
            latest[sha256] = fact
            if len(latest) > _REMEMBERED:
                del latest[next(iter(latest))]

    def _look_up(self, sha256: str, mime_type: str | None, read: Callable[[str], T | None]) -> T | None:
        """Return what `read` gives for the key of a picture, or None if there is no such picture."""
        if mime_type in EXTENSIONS:
            data = read(name_of(sha256, mime_type))
            if data is not None:
                return data
        found = self.place.find(sha256[:2], sha256)
        return read(found) if found else None
