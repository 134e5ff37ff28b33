"""The image store of one call, which loses no picture: what no store takes stays in memory until the call ends."""

from __future__ import annotations

from typing import Any

from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.images.sniffing import Blob
from langchain_imagegen.storage.store import ImageStore
from langchain_imagegen.storage.writer import BlobWriter, OnFailure


class CallStore(ImageStore):
    """An image store that keeps in memory the pictures of one call that cannot be written, and reads them from there.

    The images of a failed call can be bound to it. Unbound images are not looked for in it.
    """

    def __init__(self, store: ImageStore) -> None:
        vars(self).update(vars(store))
        self._store = store
        self._kept: dict[str, tuple[Blob, bytes]] = {}
        self._error: ImageStoreError | None = None
        self._warnings: dict[str, None] = {}

    def writer(self, expected: int = 0, *, on_failure: OnFailure | None = None) -> BlobWriter:
        """Return a writer whose `commit` keeps the picture in memory if the store fails."""
        return super().writer(expected, on_failure=on_failure or self._write_again_or_keep)

    def why_unsaved(self, sha256: str) -> ImageStoreError | None:
        """Return why a picture is in memory alone; None for every other picture."""
        return self._error if sha256 in self._kept else None

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
            raise self._unsaved(bound, unsaved) from self._error
        return bound

    def _unsaved(self, result: ImageResult, unsaved: int) -> ImageStoreError:
        drawn, id = len(result.images), result.response_id if result.image.stored is not False else None
        what = "the picture was" if drawn == 1 else f"{unsaved} of {drawn} pictures were"
        where = f", and the service keeps it as response {id!r} (ImageGenerator.resume fetches it)" if id else ""
        error = ImageStoreError(
            f"{what} drawn and cannot be stored: {self._error}. Nothing is lost: error.result.image.save(path) writes "
            f"the picture elsewhere, error.result has all of this call{where}",
            location=self.location,
            result=result,
        )
        error.response_id = id
        return error

    def get(self, sha256: str, mime_type: str | None = None) -> bytes:
        """Return the bytes from memory or else from the store."""
        return self._kept[sha256][1] if sha256 in self._kept else super().get(sha256, mime_type)

    def blob(self, sha256: str, mime_type: str | None = None) -> Blob:
        """Return what a picture is, in memory or else in the store."""
        return self._kept[sha256][0] if sha256 in self._kept else super().blob(sha256, mime_type)

    def url(self, sha256: str, mime_type: str, *, expires: int = 3600) -> str:
        """Return a link to a picture in the store.

        Raises:
            ImageStoreError: the picture is in memory alone, or the store gives no links.
        """
        if sha256 in self._kept:
            raise ImageStoreError("a picture that could not be stored has no link: save it elsewhere first")
        return super().url(sha256, mime_type, expires=expires)

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._kept or super().__contains__(sha256)

    def __getstate__(self) -> dict[str, Any]:
        return {"store": self._store, "kept": self._kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        CallStore.__init__(self, state["store"])
        self._kept.update(state["kept"])

    def _write_again_or_keep(self, blob: Blob, data: bytes, error: ImageStoreError) -> None:
        try:
            warning = self.write_again(blob, data, error)
        except ImageStoreError as failed:
            self._kept[blob.sha256] = blob, data
            self._error = failed
        else:
            self._warnings |= {warning: None} if warning else {}
