"""Where thumbnails lie in a place, and that none outlives its picture. How one is made is not known here.

A thumbnail is a WebP under `thumbnails/<digest of the picture>.<width>.webp`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from langchain_imagegen.images.sniffing import Sniffer
from langchain_imagegen.storage.backends import Place

FOLDER = "thumbnails"
MOST_WIDTHS = 32
"""A picture has at most so many thumbnails."""

_KEY = re.compile(rf"{FOLDER}/([0-9a-f]{{64}})\.\d+\.webp")


def name_of(sha256: str, width: int) -> str:
    """Return the key of the thumbnail of a picture that is `width` pixels wide."""
    return f"{FOLDER}/{sha256}.{width}.webp"


def read(place: Place, sha256: str, width: int) -> bytes | None:
    """Return a thumbnail, or None if there is no whole one."""
    data = place.read(name_of(sha256, width))
    return data if data and is_whole(data) else None


def write(place: Place, sha256: str, width: int, data: bytes) -> bool:
    """Write a thumbnail; return False, and write none, if its picture has gone meanwhile."""
    key = name_of(sha256, width)
    place.write(key, data, "image/webp")
    if place.find(sha256[:2], sha256) is None:
        place.remove(key)
        return False
    return True


def is_whole(data: bytes) -> bool:
    """Return True if the bytes are a whole WebP."""
    sniffer = Sniffer()
    sniffer.feed(data)
    return not sniffer.problem() and sniffer.media is not None and sniffer.media.extension == "webp"


def delete(place: Place, sha256: str) -> None:
    """Remove the thumbnails of a picture, which must have been removed before: else new ones may be written."""
    for _ in range(MOST_WIDTHS):
        key = place.find(FOLDER, sha256)
        if key is None:
            return
        place.remove(key)


def prune(place: Place, listing: Iterable[tuple[str, float]], pictures: Collection[str]) -> None:
    """Remove the thumbnails whose pictures are gone.

    Args:
        place: Where they lie.
        listing: Its keys.
        pictures: The digests of the pictures that are left.
    """
    for key, _ in listing:
        found = _KEY.fullmatch(key)
        if found and found[1] not in pictures:
            place.remove(key)
