"""Thumbnails of stored pictures: made once, in one of a few widths, and kept in the store beside their pictures."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from langchain_imagegen.errors import ImageStoreError, OptionError
from langchain_imagegen.images.pillow import thumbnail_of
from langchain_imagegen.images.sniffing import Media
from langchain_imagegen.storage import thumbnails
from langchain_imagegen.storage.stored_picture import StoredPicture

WIDTHS = (160, 320, 640, 1280)

MOST_PIXELS = 50_000_000
"""Larger pictures get no thumbnail: to decode one takes up to 4 bytes a pixel."""

AT_ONCE = 2
"""How many thumbnails an app makes at the same time."""

logger = logging.getLogger(__name__)


class GoneError(Exception):
    """The picture was deleted while its thumbnail was made."""


class Thumbnails:
    """Makes thumbnails in threads of its own, so that the other requests need not wait for them.

    Args:
        widths: The widths in pixels, of which the next larger one is taken.

    Raises:
        OptionError: A width is no positive number, or there are more than `storage.thumbnails.MOST_WIDTHS`.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        self._widths = sorted(set(widths))
        most = thumbnails.MOST_WIDTHS
        if not all(isinstance(width, int) and width > 0 for width in self._widths) or len(self._widths) > most:
            raise OptionError(f"widths={tuple(widths)!r} must be at most {most} positive numbers of pixels")
        self._makers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="thumbnails")

    def width_for(self, asked: int, media: Media) -> int | None:
        """Return the width that a thumbnail gets; None where the picture itself is sent.

        That is so if the picture is not wider, is an SVG, which has every size, or has too many pixels.
        """
        wanted = next((width for width in self._widths if width >= asked), self._widths[-1] if self._widths else None)
        pixels = (media.width or 0) * (media.height or 0)
        if wanted is None or not 0 < pixels <= MOST_PIXELS or media.extension == "svg":
            return None
        return wanted if wanted < (media.width or 0) else None

    async def make(self, picture: StoredPicture, sha256: str, width: int) -> StoredPicture | None:
        """Return a thumbnail from the store, or a new one; None if Pillow cannot make one.

        Raises:
            ImageStoreError: The picture cannot be read.
            GoneError: It was deleted meanwhile.
        """
        return await asyncio.get_running_loop().run_in_executor(self._makers, _make, picture, sha256, width)


def _make(picture: StoredPicture, sha256: str, width: int) -> StoredPicture | None:
    data = _kept(picture, sha256, width)
    if data is None:
        data = thumbnail_of(picture.read(), width)
        if data is None:
            return None
        _keep(picture, sha256, width, data)
    return StoredPicture(Media("image/webp", "webp"), picture.place, io.BytesIO(data), len(data))


def _kept(picture: StoredPicture, sha256: str, width: int) -> bytes | None:
    try:
        return thumbnails.read(picture.place, sha256, width)
    except ImageStoreError:
        return None


def _keep(picture: StoredPicture, sha256: str, width: int, data: bytes) -> None:
    """Keep a thumbnail in the store; one that cannot be written is made again for the next request."""
    try:
        exists = thumbnails.write(picture.place, sha256, width, data)
    except ImageStoreError as error:
        logger.warning("a thumbnail is not kept: %s", error)
        return
    if not exists:
        raise GoneError
