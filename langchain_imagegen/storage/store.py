"""`ImageStore`: pictures by the SHA-256 of their bytes, in a folder or a bucket, with a fallback if one is named.

No bytes are stored under a digest they do not have, none are handed out unchecked, and no name from outside
becomes a path. Which pictures a conversation has is not known here, nor how a place writes its files.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_imagegen.errors import ImageGenerationError, ImageStoreError, OptionError
from langchain_imagegen.images.lookup import find_unbound_in
from langchain_imagegen.images.sniffing import Blob
from langchain_imagegen.storage import keys, locations
from langchain_imagegen.storage.backends import place_at
from langchain_imagegen.storage.notes import KeepsNotes
from langchain_imagegen.storage.pruning import Deleted, Kept, check_limits, digests_of, digests_to_delete
from langchain_imagegen.storage.public_urls import LinkSigner, PublicUrls
from langchain_imagegen.storage.shelf import Shelf
from langchain_imagegen.storage.uncopied import Uncopied
from langchain_imagegen.storage.writer import BlobWriter, OnFailure

if TYPE_CHECKING:
    from langchain_imagegen.storage.ledger import Ledger

T = TypeVar("T")

logger = logging.getLogger(__name__)


class ImageStore(KeepsNotes, Uncopied):
    """Pictures by digest, in `<first two digits>/<digest>.<extension>`, written whole, checked when read.

    Safe for threads, and for processes that share a folder or bucket. Pickling keeps neither the storage options nor
    the secret of the signer: another process takes them from its own environment.

    Args:
        url: A folder, or any URL that fsspec knows: `memory://`, `s3://bucket/path`, `gs://…`, `az://…`.
            `None` is what the environment variable `LANGCHAIN_IMAGEGEN_STORE` says, else a private folder.
        public_url: How a browser reaches the pictures: a template with `{name}` (the path in the store),
            or `{sha256}` and `{ext}`.
        url_signer: Signs these addresses, for `web.images_app` at `public_url`; see `web.UrlSigner`.
        max_bytes: Larger pictures are refused.
        fallback: A second store, or its URL, for pictures that cannot be written to the first after two tries.
            Pictures are read from either; notes (`put_if_absent`) are in the first alone.
        storage_options: For fsspec's driver, say `key`, `secret`, `endpoint_url`. They are shown nowhere.

    Raises:
        ImageStoreError: No driver for such a URL is installed.
    """

    def __init__(
        self,
        url: str | os.PathLike[str] | None = None,
        *,
        public_url: str | None = None,
        url_signer: LinkSigner | None = None,
        max_bytes: int = 64 * 1024 * 1024,
        fallback: ImageStore | str | os.PathLike[str] | None = None,
        **storage_options: Any,
    ) -> None:
        self._url = os.fspath(url) if url is not None else None
        self._urls = PublicUrls(public_url, url_signer)
        self._max_bytes = max_bytes
        chosen = self._url or locations.location_from_environment()
        place = place_at(chosen, storage_options) if chosen else place_at(locations.user_folder(), {}, mode=0o700)
        self._shelf = Shelf(place, max_bytes)
        self._is_users_folder = not chosen
        self._fallback = store_at(fallback)
        self._scopes: tuple[str, ...] = ()
        locations.register(self)

    @property
    def location(self) -> str:
        """The folder or URL, without credentials."""
        return self._shelf.place.location

    @property
    def max_bytes(self) -> int:
        """The size of the largest picture that the store takes."""
        return self._max_bytes

    @property
    def url_signer(self) -> LinkSigner | None:
        """What signs the addresses of the pictures."""
        return self._urls.signer

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that lead from the place to this store, the outermost first; see `scoped`."""
        return self._scopes

    @property
    def shelves(self) -> tuple[Shelf, ...]:
        """Where pictures are read from: here, then in the fallback."""
        return (self._shelf, *(self._fallback.shelves if self._fallback is not None else ()))

    @property
    def known_writable(self) -> bool:
        """True if the last write here or in the fallback has succeeded, so that `check_writable` returns at once."""
        return self._shelf.known_writable or (self._fallback is not None and self._fallback.known_writable)

    def check_writable(self) -> None:
        """Write a little and remove it, unless a write has succeeded before: a paid picture must find its place.

        Raises:
            ImageStoreError: neither the store nor its fallback can be written.
        """
        if self.known_writable:
            return
        try:
            self._shelf.check_writable()
        except ImageStoreError as error:
            if self._fallback is not None:
                self._use(self._fallback.check_writable, error)
            elif self._is_users_folder:
                raise ImageStoreError(f"{error}; {locations.NAME_ANOTHER}", location=self.location) from error
            else:
                raise

    def put(self, data: bytes) -> Blob:
        """Store a picture and return what it is. A write that fails is tried once more, then in the fallback.

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
        return self._shelf.writer(on_failure or self.write_again, expected)

    def write_again(self, blob: Blob, data: bytes, error: ImageStoreError) -> str | None:
        """Write a whole picture once more after the first try has failed with `error`, then into the fallback.

        Returns:
            A warning if the picture is in the fallback, else None.

        Raises:
            ImageStoreError: It cannot be written. The store is then tried before the next picture is paid for.
        """
        try:
            self._shelf.write(blob, data)
        except ImageStoreError as again:
            if self._fallback is None:
                raise again from error
            return self._use(partial(self._fallback.put, data), again)
        return None

    def get(self, sha256: str, mime_type: str | None = None) -> bytes:
        """Return the bytes with this digest, checked; a known `mime_type` saves a look-up.

        Raises:
            ImageStoreError: They are not here, or are not what they were, and the fallback has not got them.
        """
        return self._read(lambda store: store.get(sha256, mime_type))

    def blob(self, sha256: str, mime_type: str | None = None) -> Blob:
        """Return what a picture is: at once if this object stored it lately, otherwise read from its bytes.

        Raises:
            ImageStoreError: As `get`.
        """
        return self._read(lambda store: store.blob(sha256, mime_type))

    def __contains__(self, sha256: object) -> bool:
        try:
            here = sha256 in self._shelf
        except ImageStoreError:
            if self._fallback is None or sha256 not in self._fallback:
                raise
            return True
        return here or (self._fallback is not None and sha256 in self._fallback)

    def ledger(self, keep: timedelta) -> Ledger:
        """Return the ledger of paid calls, whose notes lie beside the pictures; it remembers a picture for `keep`."""
        from langchain_imagegen.storage.ledger import Ledger

        return Ledger(self._shelf.place, keep, self._fallback.ledger(keep) if self._fallback else None)

    def url(self, sha256: str, mime_type: str, *, expires: int = 3600) -> str:
        """Return a link to a picture for a browser: the public one, or one signed for `expires` seconds.

        Whether the picture exists is not checked, but a fallback has links of its own, unless a signer makes them.
        """
        name = keys.name_of(keys.valid_digest(sha256), mime_type)
        fallback = self._fallback if self.url_signer is None else None
        if fallback is not None and not self._shelf.surely_has(sha256) and sha256 in fallback:
            return fallback.url(sha256, mime_type, expires=expires)
        return self._urls.of(name, self._scopes, expires) or self._shelf.sign(name, expires)

    def scoped(self, scope: str) -> ImageStore:
        """Return a store under a prefix of this place, such as one for each tenant.

        Nothing leads out of it: no digest, handle, record, key or signed link. What it holds is seen neither by this
        store, whose `prune` leaves it alone, nor by other scopes. Unbound images are never looked for in it.

        Args:
            scope: Any text but an empty or very long one, such as a tenant's id; the folder is named after it.
        """
        scoped = object.__new__(type(self))
        fallback = self._fallback.scoped(scope) if self._fallback is not None else None
        vars(scoped).update({**vars(self), **self._within(scope), "_fallback": fallback})
        return scoped

    def delete(self, image: Deleted) -> bool:
        """Remove the bytes of an image, and of the copy that was made to be sent; also from the fallback.

        Other images with the same bytes lose them too, and ledger and library forget them; edits of them stay.
        Messages, states, sheets of experiments and the service keep what they have: see `ImageMemory.forget`,
        `ImageGenerator.delete_remote` and `Sheet.delete`.

        Args:
            image: An image or a digest.

        Returns:
            False if there was nothing to remove.

        Raises:
            OptionError: It is neither.
        """
        digests = digests_to_delete(image)
        removed = [shelf.delete(sha256) for shelf in self.shelves for sha256 in digests]
        return any(removed)

    def prune(self, *, keep: Kept = (), older_than: timedelta | None = None) -> list[str]:
        """Remove pictures and leftovers of killed writers, and return the digests of the removed pictures.

        The fallback is pruned too; scoped stores are not. A picture that is put again counts as new. Without
        `older_than`, one that is written meanwhile may go. The ledger's notes stay until they expire, 30 days after
        they were written at the earliest: a step that runs again fetches a pruned picture, but not a deleted one.

        Args:
            keep: What stays: digests, images, results, memories (`ImageMemory`, with the sources and copies that edits
                need), or a list of these.
            older_than: Only pictures written longer ago than this go.

        Raises:
            OptionError: Neither is given, which would remove every picture; `keep` holds what names no bytes, such as
                a handle; or `older_than` is no `timedelta`.
        """
        kept = digests_of(keep)
        check_limits(kept, older_than)
        return list(dict.fromkeys(sha256 for shelf in self.shelves for sha256 in shelf.prune(kept, older_than)))

    async def aput(self, data: bytes) -> Blob:
        """Async twin of `put`."""
        return await asyncio.to_thread(self.put, data)

    async def aget(self, sha256: str, mime_type: str | None = None) -> bytes:
        """Async twin of `get`."""
        return await asyncio.to_thread(self.get, sha256, mime_type)

    async def aurl(self, sha256: str, mime_type: str, *, expires: int = 3600) -> str:
        """Async twin of `url`."""
        return await asyncio.to_thread(self.url, sha256, mime_type, expires=expires)

    async def adelete(self, image: Deleted) -> bool:
        """Async twin of `delete`."""
        return await asyncio.to_thread(self.delete, image)

    async def aprune(self, *, keep: Kept = (), older_than: timedelta | None = None) -> list[str]:
        """Async twin of `prune`."""
        return await asyncio.to_thread(self.prune, keep=keep, older_than=older_than)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ImageStore) or self._shelf.place.url != other._shelf.place.url:
            return False
        return self._fallback == other._fallback

    def __hash__(self) -> int:
        return hash(self._shelf.place.url)

    def __repr__(self) -> str:
        fallback = f", fallback={self._fallback!r}" if self._fallback is not None else ""
        return f"ImageStore({self.location!r}{fallback})"

    def __getstate__(self) -> dict[str, Any]:
        urls = {"public_url": self._urls.template, "url_signer": self._urls.signer}
        state = {"url": self._url, **urls, "max_bytes": self._max_bytes}
        return {**state, "fallback": self._fallback, "scopes": self._scopes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        ImageStore.__init__(self, **{name: value for name, value in state.items() if name != "scopes"})
        for scope in state.get("scopes", ()):
            vars(self).update(self._within(scope))
            locations.unregister(self)

    def _within(self, scope: str) -> dict[str, Any]:
        """Return the attributes by which a store in a scope of this one differs, but for its fallback."""
        shelf = Shelf(self._shelf.place.below(keys.name_of_scope(scope)), self._max_bytes)
        return {"_shelf": shelf, "_scopes": (*self._scopes, scope)}

    def _read(self, read: Callable[[Shelf | ImageStore], T]) -> T:
        """Read here or, if that fails, from the fallback."""
        try:
            return read(self._shelf)
        except ImageStoreError:
            if self._fallback is not None:
                with suppress(ImageStoreError):
                    return read(self._fallback)
            raise

    def _use(self, fallback: Callable[[], object], error: ImageStoreError) -> str:
        """Write into the fallback, since this store failed with `error`; return a warning."""
        try:
            fallback()
        except ImageGenerationError as second:
            raise ImageStoreError(f"{error}; nor can its fallback: {second}", location=self.location) from error
        warning = f"the fallback of the image store is used, since {error}"
        logger.warning(warning)
        return warning


def store_at(place: ImageStore | str | os.PathLike[str] | None) -> ImageStore | None:
    """Return a store, which may be given as its folder or URL; None stays None.

    Raises:
        OptionError: It is anything else.
    """
    if place is None or isinstance(place, ImageStore):
        return place
    if isinstance(place, (str, os.PathLike)):
        return ImageStore(place)
    raise OptionError(
        f"image_store={place!r:.40}: give an ImageStore, a folder, or a URL such as 's3://bucket/pictures'"
    )


def default_store() -> ImageStore:
    """Return the store that is used where none is named: one per process and value of `LANGCHAIN_IMAGEGEN_STORE`."""
    return locations.default_store(ImageStore)


find_unbound_in(partial(locations.stores_at_hand, ImageStore))
