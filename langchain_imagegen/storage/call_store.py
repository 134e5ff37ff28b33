"""The image store of one call, which loses no picture: what no store takes stays in memory until the call ends."""

from __future__ import annotations

from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.images.sniffing import Blob
from langchain_imagegen.storage.store import ImageStore
from langchain_imagegen.storage.writer import BlobWriter


class CallStore:
    """Puts the pictures of one call into the image store, and keeps those in memory that cannot be written there.

    It reads as a store does, so that the images of a failed call can be bound to it.
    """

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._kept: dict[str, bytes] = {}
        self._error: ImageStoreError | None = None
        self._warnings: dict[str, None] = {}

    def put(self, data: bytes) -> Blob:
        """Store a picture, or keep it in memory, and return what it is.

        Raises:
            CorruptImageError: `data` is no picture, only a part of one, or larger than the store allows.
        """
        with self.writer(len(data)) as writer:
            writer.write(data)
            return writer.commit()

    def writer(self, expected: int = 0) -> BlobWriter:
        """Return a writer whose `commit` keeps the picture in memory if the store fails."""
        return self._store.writer(expected, on_failure=self._write_again_or_keep)

    def deliver(self, result: ImageResult) -> ImageResult:
        """Return the result of the call with its pictures bound to the store, and a warning if the fallback has some.

        Raises:
            ImageStoreError: one of them could not be stored; the error has the result with all bytes.
        """
        unsaved = sum(image.sha256 in self._kept for image in result.images)
        store = self if unsaved else self._store
        images, warnings = tuple(image.bind(store) for image in result.images), (*result.warnings, *self._warnings)
        bound = result.model_copy(update={"images": images, "warnings": warnings})
        if unsaved:
            raise ImageStoreError(
                f"{self._reason(bound, unsaved)}. Nothing is lost: error.result.image.save(path) writes the picture "
                f"elsewhere, error.result has all of this call{_response_of(bound)}",
                location=self._store.location,
                result=bound,
            ) from self._error
        return bound

    def get(self, sha256: str, mime_type: str | None = None) -> bytes:
        """Return the bytes from memory or else from the store.

        Raises:
            ImageStoreError: neither has them.
        """
        return self._kept[sha256] if sha256 in self._kept else self._store.get(sha256, mime_type)

    def url(self, sha256: str, mime_type: str, *, expires: int = 3600) -> str:
        """Return a link to a picture in the store.

        Raises:
            ImageStoreError: the picture is in memory alone, or the store gives no links.
        """
        if sha256 in self._kept:
            raise ImageStoreError("a picture that could not be stored has no link: save it elsewhere first")
        return self._store.url(sha256, mime_type, expires=expires)

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._kept or sha256 in self._store

    def _write_again_or_keep(self, blob: Blob, data: bytes, error: ImageStoreError) -> None:
        try:
            warning = self._store.write_again(blob, data, error)
        except ImageStoreError as failed:
            self._kept[blob.sha256] = data
            self._error = failed
        else:
            self._warnings |= {warning: None} if warning else {}

    def _reason(self, result: ImageResult, unsaved: int) -> str:
        what = "the picture was" if len(result.images) == 1 else f"{unsaved} of {len(result.images)} pictures were"
        return f"{what} drawn and cannot be stored: {self._error}"


def _response_of(result: ImageResult) -> str:
    """Return where else a developer finds the pictures, if the service keeps them."""
    if result.response_id is None or result.image.stored is False:
        return ""
    return f", and the service keeps it as response {result.response_id!r}"
