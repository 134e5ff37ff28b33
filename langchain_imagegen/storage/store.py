"""`ImageStore`: pictures by the SHA-256 of their bytes, in a folder or a bucket.

No bytes are stored under a digest they do not have, none are handed out unchecked, and no name from outside
becomes a path. Which pictures a conversation has is not known here, nor how a place writes its files.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
import weakref
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from langchain_imagegen.errors import ImageStoreError, OptionError
from langchain_imagegen.images.lookup import find_unbound_in
from langchain_imagegen.images.sniffing import EXTENSIONS, Blob, Media, sniff
from langchain_imagegen.storage.backends import Place, place_at
from langchain_imagegen.storage.keys import DIGEST, digest_in, name_of, name_of_note, valid_digest, valid_template
from langchain_imagegen.storage.writer import BlobWriter, OnFailure

if TYPE_CHECKING:
    from langchain_imagegen.storage.ledger import Ledger

ENVIRONMENT_VARIABLE = "LANGCHAIN_IMAGEGEN_STORE"

_NAME_ANOTHER = (
    f"set the environment variable {ENVIRONMENT_VARIABLE} to a folder or URL, or pass image_store=ImageStore(…)"
)
_REMEMBERED = 128  # what so many of the latest pictures are, for `blob`

_lock = threading.Lock()
_opened: weakref.WeakValueDictionary[int, ImageStore] = weakref.WeakValueDictionary()
_defaults: dict[str | None, ImageStore] = {}


class ImageStore:
    """Pictures by digest, in `<first two digits>/<digest>.<extension>`, written whole, checked when read.

    Safe for threads, and for processes that share a folder or bucket. Pickling keeps the URL and the public
    URL, not the storage options: another process takes its credentials from its own environment.

    Args:
        url: A folder, or any URL that fsspec knows: `memory://`, `s3://bucket/path`, `gs://…`, `az://…`.
            `None` is what the environment variable `LANGCHAIN_IMAGEGEN_STORE` says, else a private folder.
        public_url: How a browser reaches the pictures: a template with `{name}` (the path in the store),
            or `{sha256}` and `{ext}`.
        max_bytes: Larger pictures are refused.
        storage_options: For fsspec's driver, say `key`, `secret`, `endpoint_url`. They are shown nowhere.

    Raises:
        ImageStoreError: No driver for such a URL is installed.
    """

    def __init__(
        self,
        url: str | os.PathLike[str] | None = None,
        *,
        public_url: str | None = None,
        max_bytes: int = 64 * 1024 * 1024,
        **storage_options: Any,
    ) -> None:
        self._url = os.fspath(url) if url is not None else None
        self._public_url = valid_template(public_url)
        self._max_bytes = max_bytes
        chosen = self._url or os.environ.get(ENVIRONMENT_VARIABLE)
        self._place: Place = place_at(chosen, storage_options) if chosen else place_at(_user_folder(), {}, mode=0o700)
        self._is_users_folder = not chosen
        self._known_writable = False
        self._stored: dict[str, Blob] = {}
        with _lock:
            _opened[id(self)] = self

    @property
    def location(self) -> str:
        """The folder or URL, without credentials."""
        return self._place.location

    @property
    def max_bytes(self) -> int:
        """The size of the largest picture that the store takes."""
        return self._max_bytes

    @property
    def known_writable(self) -> bool:
        """True once a write has succeeded, so that `check_writable` returns at once."""
        return self._known_writable

    def check_writable(self) -> None:
        """Write a little and remove it, unless a write has succeeded before: a paid picture must find its place.

        Raises:
            ImageStoreError: the store cannot be written.
        """
        if self._known_writable:
            return
        try:
            self._place.check_writable()
        except ImageStoreError as error:
            if not self._is_users_folder:
                raise
            raise ImageStoreError(f"{error}; {_NAME_ANOTHER}", location=self.location) from error
        self._known_writable = True

    def put(self, data: bytes) -> Blob:
        """Store a picture and return what it is. A write that fails is tried once more.

        Raises:
            CorruptImageError: `data` is no picture, only a part of one, or larger than `max_bytes`.
            ImageStoreError: It cannot be written.
        """
        with self.writer(len(data)) as writer:
            writer.write(data)
            return writer.commit()

    def writer(self, expected: int = 0, *, on_failure: OnFailure | None = None) -> BlobWriter:
        """Return a writer that stores a picture while it arrives; a folder does not hold it in memory.

        Args:
            expected: How many bytes there may be; more or fewer do no harm.
            on_failure: What is done with a whole picture that could not be written; `None`: `write_again`.
        """
        return BlobWriter(self._place, self._max_bytes, self._remember, on_failure or self.write_again, expected)

    def write_again(self, blob: Blob, data: bytes, error: ImageStoreError) -> None:
        """Write a whole picture once more after the first try has failed with `error`.

        Raises:
            ImageStoreError: It cannot be written. The store is then tried before the next picture is paid for.
        """
        self._known_writable = False
        upload = self._place.upload(len(data))
        try:
            upload.write(data)
            upload.commit(name_of(blob.sha256, blob.mime_type), blob.mime_type)
        except ImageStoreError as again:
            raise again from error
        finally:
            upload.discard()
        self._remember(blob)

    def get(self, sha256: str, mime_type: str | None = None) -> bytes:
        """Return the bytes with this digest, checked; a known `mime_type` saves a look-up.

        Raises:
            ImageStoreError: They are not here, or are not what they were.
        """
        data = self._read(valid_digest(sha256), mime_type)
        if data is None:
            raise ImageStoreError(
                f"no image {sha256} in {self._place.label}: it was pruned or written to another "
                "store; pass that one as image_store=",
                location=self.location,
            )
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ImageStoreError(
                f"the image {sha256} in {self._place.label} was changed or cut after it was written; "
                "put the original again or draw it anew",
                location=self.location,
            )
        return data

    def blob(self, sha256: str, mime_type: str | None = None) -> Blob:
        """Return what a picture is: at once if this object stored it lately, otherwise read from its bytes.

        Raises:
            ImageStoreError: As `get`.
        """
        blob = self._stored.get(sha256)
        if blob is None:
            data = self.get(sha256, mime_type)
            media = sniff(data) or Media(mime_type or "application/octet-stream", "bin")
            blob = Blob(sha256, len(data), media.mime_type, media.width, media.height)
        return blob

    def __contains__(self, sha256: object) -> bool:
        if not isinstance(sha256, str) or not DIGEST.fullmatch(sha256):
            return False
        return self._place.find(sha256[:2], sha256) is not None

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write a note under `key`, any text. Of several writers exactly one gets True."""
        return self._place.create(name_of_note(key), data)

    def read_key(self, key: str) -> bytes | None:
        """Return what was written under `key`, or None."""
        return self._place.read(name_of_note(key))

    def ledger(self, keep: timedelta) -> Ledger:
        """Return the ledger of paid calls, whose notes lie beside the pictures; it remembers a picture for `keep`."""
        from langchain_imagegen.storage.ledger import Ledger

        return Ledger(self._place, keep)

    def url(self, sha256: str, mime_type: str, *, expires: int = 3600) -> str:
        """Return a link to a picture for a browser: the public one, or one signed for `expires` seconds.

        Whether the picture exists is not checked.
        """
        name = name_of(valid_digest(sha256), mime_type)
        if self._public_url:
            return self._public_url.format(name=name, sha256=sha256, ext=name.rpartition(".")[2])
        link = self._place.sign(name, expires)
        if link is None:
            raise ImageStoreError(
                f"{self._place.label} cannot sign links; pass ImageStore(…, "
                "public_url='https://…/{name}') if a server shows its files, or use one that signs, such as s3://",
                location=self.location,
            )
        return link

    def prune(self, *, keep: Collection[str] = (), older_than: timedelta | None = None) -> list[str]:
        """Remove pictures and leftovers of killed writers, and return the digests of the removed pictures.

        A picture that is put again counts as new. Without `older_than`, one that is written meanwhile may go. Expired
        notes of the ledger go too, 30 days after they were written at the earliest.

        Args:
            keep: Digests that stay.
            older_than: Only pictures written longer ago than this go.

        Raises:
            OptionError: Neither is given, which would remove every picture; or `older_than` is no `timedelta`.
        """
        if not keep and older_than is None:
            raise OptionError(
                "prune() without keep and older_than would remove every image; "
                "pass older_than=timedelta(0) if that is meant"
            )
        if older_than is not None and not isinstance(older_than, timedelta):
            raise OptionError(
                f"older_than={str(older_than)[:40]} is no timedelta: for days give older_than=timedelta(days=…)"
            )
        self._place.sweep()
        before = time.time() - older_than.total_seconds() if older_than is not None else float("inf")
        kept, removed = set(keep), []
        for key, written in (listing := list(self._place.listing())):
            sha256 = digest_in(key)
            if sha256 and sha256 not in kept and written <= before:
                self._place.remove(key)
                self._stored.pop(sha256, None)
                removed.append(sha256)
        self.ledger(timedelta(0)).sweep(listing)
        return removed

    async def aput(self, data: bytes) -> Blob:
        """Async twin of `put`."""
        return await asyncio.to_thread(self.put, data)

    async def aget(self, sha256: str, mime_type: str | None = None) -> bytes:
        """Async twin of `get`."""
        return await asyncio.to_thread(self.get, sha256, mime_type)

    async def aput_if_absent(self, key: str, data: bytes) -> bool:
        """Async twin of `put_if_absent`."""
        return await asyncio.to_thread(self.put_if_absent, key, data)

    async def aread_key(self, key: str) -> bytes | None:
        """Async twin of `read_key`."""
        return await asyncio.to_thread(self.read_key, key)

    async def aurl(self, sha256: str, mime_type: str, *, expires: int = 3600) -> str:
        """Async twin of `url`."""
        return await asyncio.to_thread(self.url, sha256, mime_type, expires=expires)

    async def aprune(self, *, keep: Collection[str] = (), older_than: timedelta | None = None) -> list[str]:
        """Async twin of `prune`."""
        return await asyncio.to_thread(self.prune, keep=keep, older_than=older_than)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageStore) and self._place.url == other._place.url

    def __hash__(self) -> int:
        return hash(self._place.url)

    def __repr__(self) -> str:
        return f"ImageStore({self.location!r})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self._url, "public_url": self._public_url, "max_bytes": self._max_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        ImageStore.__init__(self, **state)

    def _remember(self, blob: Blob) -> None:
        self._known_writable = True
        with _lock:
            self._stored[blob.sha256] = blob
            if len(self._stored) > _REMEMBERED:
                del self._stored[next(iter(self._stored))]

    def _read(self, sha256: str, mime_type: str | None) -> bytes | None:
        if mime_type in EXTENSIONS:
            data = self._place.read(name_of(sha256, mime_type))
            if data is not None:
                return data
        found = self._place.find(sha256[:2], sha256)
        return self._place.read(found) if found else None


def default_store() -> ImageStore:
    """Return the store that is used where none is named: one per process and value of `LANGCHAIN_IMAGEGEN_STORE`."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE) or None
    store = _defaults.get(chosen)
    if store is None:
        store = _defaults.setdefault(chosen, ImageStore())
    return store


def opened_stores() -> list[ImageStore]:
    """Return the stores of this process that are still in use, in the order of opening."""
    with _lock:
        return list(_opened.values())


def _at_hand() -> list[ImageStore]:
    """Return the stores in which an unbound image is looked for: the opened ones and the default one."""
    with suppress(ImageStoreError):  # without a home folder there is none
        default_store()
    return opened_stores()


find_unbound_in(_at_hand)


def _user_folder() -> str:
    from platformdirs import user_data_path

    try:
        return str((user_data_path("langchain_imagegen", appauthor=False) / "images").expanduser())
    except RuntimeError as error:  # an unknown user without HOME, as in containers
        raise ImageStoreError(f"there is no home folder to keep images in: {_NAME_ANOTHER}") from error
