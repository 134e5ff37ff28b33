"""What `prune` and `delete` remove from one place, and which digests the things name that stay."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Protocol, TypeAlias, runtime_checkable

from langchain_imagegen.errors import OptionError
from langchain_imagegen.images.image import digests_in
from langchain_imagegen.images.sniffing import EXTENSIONS
from langchain_imagegen.storage import thumbnails
from langchain_imagegen.storage.backends import Place
from langchain_imagegen.storage.keys import DIGEST, LIBRARY, digest_in, digest_in_entry


@runtime_checkable
class NamesDigests(Protocol):
    """An image, a result or a memory: it knows the digests of all bytes that it needs."""

    def digests(self) -> Iterable[str]:
        """Return the digests."""


@runtime_checkable
class HasDigest(NamesDigests, Protocol):
    """One image."""

    @property
    def sha256(self) -> str:
        """The digest of its bytes."""


Deleted: TypeAlias = "str | HasDigest"
"""An image or a digest."""

Kept: TypeAlias = "str | NamesDigests | Mapping[str, object] | Iterable[str | NamesDigests | Mapping[str, object]]"
"""A digest, an image, a result, a memory, a record, a state's channel of records, or several of these."""


def digests_of(kept: Kept) -> set[str]:
    """Return the digests that something names.

    Raises:
        OptionError: it is or holds anything else, such as a handle, whose picture would be removed.
    """
    return set(_digests_of(kept))


def _digests_of(kept: object) -> Iterator[str]:
    if isinstance(kept, str) and DIGEST.fullmatch(kept):
        yield kept
    elif isinstance(kept, NamesDigests):
        yield from kept.digests()
    elif isinstance(kept, Mapping) and kept.get("forgotten") is True:
        return  # the trace of an image that a memory was told to forget
    elif isinstance(kept, Mapping) and "sha256" in kept:
        yield from digests_in(kept)
    elif isinstance(kept, Mapping):
        yield from (digest for record in kept.values() for digest in _digests_of(record))
    elif isinstance(kept, Iterable) and not isinstance(kept, (str, bytes)):
        yield from (digest for each in kept for digest in _digests_of(each))
    else:
        raise OptionError(
            f"keep holds {str(kept)[:40]!r}, which names no bytes: give digests (image.sha256), images, results, or "
            "ImageMemory objects"
        )


def digests_to_delete(image: Deleted) -> list[str]:
    """Return the digests of an image's bytes, or the digest that was given.

    Raises:
        OptionError: it is neither, such as a handle or a result of several images with their sources.
    """
    if isinstance(image, str) and DIGEST.fullmatch(image):
        return [image]
    if isinstance(image, HasDigest):
        return list(image.digests())
    raise OptionError(
        f"delete({str(image)[:40]!r}) names no bytes: give an image (result.image, memory['last']) or its sha256"
    )


def check_limits(kept: set[str], older_than: timedelta | None) -> None:
    """Raise an error unless something limits what is removed.

    Raises:
        OptionError: nothing does, or the age is no `timedelta`.
    """
    if not kept and older_than is None:
        raise OptionError(
            "prune() without keep and older_than would remove every image; "
            "pass older_than=timedelta(0) if that is meant"
        )
    if older_than is not None and not isinstance(older_than, timedelta):
        raise OptionError(
            f"older_than={str(older_than)[:40]} is no timedelta: for days give older_than=timedelta(days=…)"
        )


def prune(place: Place, kept: set[str], older_than: timedelta | None) -> Iterator[str]:
    """Remove pictures with their thumbnails, leftovers of killed writers and expired notes; yield the digests."""
    from langchain_imagegen.storage.ledger import Ledger

    place.sweep()
    removed: set[str] = set()
    before = time.time() - older_than.total_seconds() if older_than is not None else float("inf")
    left = set()
    for key, written in (listing := list(place.listing())):
        sha256 = digest_in(key)
        if sha256 and sha256 not in kept and written <= before:
            place.remove(key)
            removed.add(sha256)
            yield sha256
        elif sha256:
            left.add(sha256)
    thumbnails.prune(place, listing, left)
    Ledger(place, timedelta(0)).sweep(listing)
    _remove_entries(place, removed, (key for key, _ in listing))


def delete(place: Place, sha256: str) -> bool:
    """Remove a picture, its thumbnails, and what ledger and library have of it; return False if it was not there."""
    from langchain_imagegen.storage.forgetting import forget

    forget(place, sha256)
    _remove_entries(place, {sha256}, (key for key, _ in place.listing(LIBRARY)))
    removed = False
    for _ in EXTENSIONS:
        key = place.find(sha256[:2], sha256)
        if key is None:
            break
        place.remove(key)
        removed = True
    thumbnails.delete(place, sha256)
    return removed


def _remove_entries(place: Place, removed: Collection[str], keys: Iterable[str]) -> None:
    """Remove the library's entries of pictures that were removed."""
    for key in keys:
        if digest_in_entry(key) in removed:
            place.remove(key)
