"""The HTTP answers for pictures: their headers, and bodies that are sent in pieces."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from langchain_imagegen.storage.stored_picture import PIECE, StoredPicture

YEAR = 365 * 24 * 60 * 60  # seconds; a digest never names other bytes

SAFE = {
    "x-content-type-options": "nosniff",
    # No script of an SVG runs and nothing is loaded from elsewhere, when the address is opened as a page.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; sandbox",
    "referrer-policy": "no-referrer",  # a signed address is not told to other sites
}
"""Headers of every answer."""

_NO_NAME = re.compile(r"[^\w .()-]+|^[. ]+")
_LONGEST_NAME = 100


def not_found() -> Response:
    """Return the one answer for a picture that is not here, was never here, or must not be read."""
    return _plain("Not Found", 404)


def not_available() -> Response:
    """Return the answer while the store cannot be read."""
    return _plain("Service Unavailable", 503)


def not_a_width(value: str) -> Response:
    """Return the answer to a `w` that is no number."""
    return _plain(f"w={value[:20]} is no width in pixels", 400)


def not_satisfiable(size: int, headers: Mapping[str, str]) -> Response:
    """Return the answer to a range that the picture does not have."""
    kept = {name: value for name, value in headers.items() if name not in ("content-type", "content-disposition")}
    return Response(status_code=416, headers={**kept, "content-range": f"bytes */{size}"})


def not_modified(headers: Mapping[str, str]) -> Response:
    """Return the answer for a client that has the picture."""
    kept = {name: value for name, value in headers.items() if not name.startswith("content-")}
    return Response(status_code=304, headers=kept)


def _plain(text: str, status: int) -> Response:
    return PlainTextResponse(text, status, headers={**SAFE, "cache-control": "no-store"})


def download_of(name: str, sha256: str, extension: str) -> str:
    """Return the header that makes a browser save a picture instead of showing it.

    Args:
        name: What the file is called; empty for the beginning of its digest. Its extension is that of the bytes.
        sha256: The digest of the picture.
        extension: The extension that its bytes have.
    """
    stem = _NO_NAME.sub("_", name).removesuffix(f".{extension}")[:_LONGEST_NAME].strip(" .")
    stem = stem or f"image-{sha256[:12]}"
    plain = stem.encode("ascii", "replace").decode().replace("?", "_")
    extended = "" if plain == stem else f"; filename*=UTF-8''{quote(f'{stem}.{extension}')}"
    return f'attachment; filename="{plain}.{extension}"{extended}'


class PictureResponse(StreamingResponse):
    """Some bytes of an open picture, read in pieces by threads; the picture is closed at the end.

    Args:
        picture: The picture.
        part: The first byte, and one behind the last; None for all bytes.
        headers: All headers but those that tell the length and part.
    """

    def __init__(self, picture: StoredPicture, part: tuple[int, int] | None, headers: Mapping[str, str]) -> None:
        start, stop = part or (0, picture.size_bytes)
        told = {**headers, "content-length": str(stop - start)}
        if part:
            told["content-range"] = f"bytes {start}-{stop - 1}/{picture.size_bytes}"
        super().__init__(self._pieces(start, stop), 206 if part else 200, told)
        self._picture = picture

    async def _pieces(self, start: int, stop: int) -> AsyncIterator[bytes]:
        for position in range(start, stop, PIECE):
            yield await run_in_threadpool(self._picture.read, position, min(position + PIECE, stop))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the bytes."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._picture.close()
