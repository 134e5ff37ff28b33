"""Which picture format some bytes are, of how many pixels, and whether they are whole.

Nothing here decodes a picture or opens a file; `formats` describes the formats. File names and headers may be wrong, so
every other module relies on this one.
"""

from __future__ import annotations

from dataclasses import dataclass

from langchain_imagegen.images.formats import PIECE, Found, MalformedError, Steps, picture

MIME_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "svg": "image/svg+xml",
    "avif": "image/avif",
    "heic": "image/heic",
    "heif": "image/heif",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
}
"""File extension (no dot, lower case) to MIME type."""

EXTENSIONS = {mime: extension for extension, mime in MIME_TYPES.items() if extension != "jpeg"} | {"image/jpg": "jpg"}
"""MIME type to the one extension that files get; `image/jpg` is a common misspelling of `image/jpeg`."""

_END = {
    "image/png": "no IEND chunk",
    "image/jpeg": "no EOI marker",
    "image/webp": "fewer bytes than its RIFF header promises",
    "image/gif": "no trailer",
    "image/svg+xml": "no closing tag",
    "image/bmp": "fewer bytes than its header promises",
    "image/tiff": "its directory is not complete",
}


@dataclass(frozen=True)
class Media:
    """What a picture is; `width` and `height` in stored pixels, before EXIF rotation, `None` if not known."""

    mime_type: str
    extension: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Blob:
    """Bytes of a picture that lie in a store; the facts are read from them."""

    sha256: str
    size_bytes: int
    mime_type: str
    width: int | None
    height: int | None


class Sniffer:
    """Format, pixel size and completeness of one picture, read while its bytes pass by.

    It keeps a header at most. Feed the head to know `.media`, and everything to know `.problem()`.
    """

    def __init__(self) -> None:
        self.media: Media | None = None
        self.size = 0
        self._head = b""
        self._kept = bytearray()
        self._flaw: str | None = None
        self._steps: Steps | None = picture()
        self._wanted = 0
        self._resume(None)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Read the next bytes, in pieces of any length."""
        self.size += len(data)
        rest = memoryview(data)
        if len(self._head) < 16:
            self._head += bytes(rest[: 16 - len(self._head)])
        while rest and self._steps is not None:
            rest = self._skip(rest) if self._wanted < 0 else self._collect(rest)

    def problem(self) -> str | None:
        """Return why the bytes are not a whole picture, or None if they are. Bytes after its end are allowed."""
        if not self.size:
            return "it is empty"
        if self.media is None:
            return f"it is not a picture in a known format; it begins with {self._head!r}"
        name = self.media.mime_type.removeprefix("image/").removesuffix("+xml").upper()
        if self._flaw:
            return f"the {name} is damaged: {self._flaw}"
        if self._steps is not None:
            end = _END.get(self.media.mime_type, "a box is not complete")
            return f"the {name} breaks off after {self.size} bytes: {end}"
        return None

    def _skip(self, data: memoryview) -> memoryview:
        used = min(-self._wanted, len(data))
        self._wanted += used
        if not self._wanted:
            self._resume(b"")
        return data[used:]

    def _collect(self, data: memoryview) -> memoryview:
        used = self._wanted - len(self._kept) if self._wanted else PIECE
        self._kept += data[:used]
        if len(self._kept) >= self._wanted:
            piece, self._kept = bytes(self._kept), bytearray()
            self._resume(piece)
        return data[used:]

    def _resume(self, data: bytes | None) -> None:
        if self._steps is None:
            return
        try:
            step = self._steps.send(data)  # type: ignore[arg-type]  # a generator is started with None
            while isinstance(step, Found):
                self.media = Media(MIME_TYPES[step.extension], *step)
                step = next(self._steps)
            self._wanted = step
        except StopIteration:
            self._steps = None
        except MalformedError as error:
            self._steps, self._flaw = None, str(error)


def sniff(head: bytes) -> Media | None:
    """Return the format and, as far as `head` reaches, the pixel size; return None for no known format."""
    sniffer = Sniffer()
    sniffer.feed(head)
    return sniffer.media
