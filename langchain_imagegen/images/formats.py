"""The layouts of picture formats, as far as needed for format, pixel size and completeness.

Each format is a generator that asks for bytes and is sent them, so that the same code reads files and streams.
Nothing is decoded here, and nothing of this package is imported.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from functools import partial
from typing import Literal, NamedTuple, TypeAlias


class Found(NamedTuple):
    """What is known so far: the format by its extension, and pixels."""

    extension: str
    width: int | None = None
    height: int | None = None


class MalformedError(Exception):
    """The bytes contradict the format that they began with, or begin as no format at all."""


Steps: TypeAlias = Generator["int | Found", bytes, None]
"""It yields how many bytes it wants next (negative: to skip; 0: whatever is there) and is sent them, yields
`Found` when it knows more, returns when the picture is whole, and raises `MalformedError` on nonsense.
"""

ANY = 0
PIECE = 64 * 1024
"""The most that `ANY` gives at once."""

_BRANDS = {b"avif": "avif", b"avis": "avif", b"mif1": "heif", b"msf1": "heif"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "heic"
)
_big = partial(int.from_bytes, byteorder="big")
_little = partial(int.from_bytes, byteorder="little")
_LARGEST_HEADER = 1024 * 1024
_MOST_PARTS = 50_000  # chunks, segments or boxes; an encoder writes some thousands at most
_MOST_BLOCKS = 400_000  # blocks of GIF data, of up to 255 bytes each


def _skip(count: int) -> Steps:
    if count > 0:
        yield -count


def picture() -> Steps:
    """Read a picture in the format that its first bytes announce."""
    magic = yield 4
    if magic == b"\x89PNG":
        yield from _png()
    elif magic[:3] == b"\xff\xd8\xff":
        yield from _jpeg(magic[3:])
    elif magic == b"RIFF":
        yield from _webp()
    elif magic == b"GIF8":
        yield from _gif()
    elif magic in (b"II*\0", b"MM\0*"):
        yield from _tiff("little" if magic[:1] == b"I" else "big")
    elif magic[:2] == b"BM":
        yield from _bmp(magic)
    elif magic[:2] == b"\0\0":
        yield from _heif(_big(magic))
    elif magic.startswith(b"\xef\xbb\xbf<") or magic.lstrip()[:1] in (b"<", b""):
        yield from _svg(magic)
    else:
        raise MalformedError


def _png() -> Steps:
    if (yield 4) != b"\r\n\x1a\n":
        raise MalformedError
    yield Found("png")
    for _ in range(_MOST_PARTS):
        head = yield 8
        length, kind = _big(head[:4]), head[4:]
        if kind == b"IHDR" and length >= 8:
            size = yield 8
            length -= 8
            yield Found("png", _big(size[:4]), _big(size[4:]))
        yield from _skip(length + 4)
        if kind == b"IEND":
            return
    raise MalformedError(f"more than {_MOST_PARTS} chunks")


def _jpeg(marker: bytes) -> Steps:
    yield Found("jpg")
    for _ in range(_MOST_PARTS):
        marker = yield from _past_fill(marker)
        length = _big((yield 2)) - 2
        if 0xC0 <= marker[0] <= 0xCF and marker[0] not in (0xC4, 0xC8, 0xCC) and length >= 5:
            frame = yield 5
            length -= 5
            yield Found("jpg", _big(frame[3:]), _big(frame[1:3]))
        yield from _skip(length)
        if marker == b"\xda":
            break
        marker = yield 2
        if marker[:1] != b"\xff":
            raise MalformedError("no marker where a segment should begin")
        marker = marker[1:]
    else:
        raise MalformedError(f"more than {_MOST_PARTS} segments")
    seen = b""
    while b"\xff\xd9" not in seen:
        seen = seen[-1:] + (yield ANY)


def _past_fill(marker: bytes) -> Generator[int | Found, bytes, bytes]:
    """Return the marker behind fill bytes; more of them than an encoder writes are an error."""
    for _ in range(1024):
        if marker != b"\xff":
            return marker
        marker = yield 1
    raise MalformedError("nothing but fill bytes where a segment should begin")


def _webp() -> Steps:
    head = yield 8
    if head[4:] != b"WEBP":
        raise MalformedError
    yield Found("webp")
    left = _little(head[:4]) - 4
    kind = yield 4
    chunk = yield 9 if kind == b"VP8L" else 14
    width, height = _webp_size(kind, chunk[4:])
    yield Found("webp", width, height)
    yield from _skip(left - 4 - len(chunk))


def _webp_size(kind: bytes, data: bytes) -> tuple[int | None, int | None]:
    """Return width and height from the first bytes of a VP8X, VP8L or VP8 chunk (WebP container specification)."""
    if kind == b"VP8X":
        return _little(data[4:7]) + 1, _little(data[7:10]) + 1
    if kind == b"VP8L" and data[0] == 0x2F:
        bits = _little(data[1:5])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        return _little(data[6:8]) & 0x3FFF, _little(data[8:10]) & 0x3FFF
    return None, None


def _gif() -> Steps:
    version = yield 2
    if version not in (b"7a", b"9a"):
        raise MalformedError
    yield Found("gif")
    screen = yield 7
    yield Found("gif", _little(screen[:2]), _little(screen[2:4]))
    yield from _skip(_color_table(screen[4]))
    left = _MOST_BLOCKS
    while (kind := (yield 1)) != b";":
        if kind == b",":
            frame = yield 9
            yield from _skip(_color_table(frame[8]))
        elif kind != b"!":
            raise MalformedError("no block where one should begin")
        yield -1
        left -= 1
        while left and (length := (yield 1)[0]):
            yield -length
            left -= 1
        if not left:
            raise MalformedError(f"more than {_MOST_BLOCKS} blocks of data")


def _color_table(flags: int) -> int:
    """Return the length of the color table that a GIF's packed field announces."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _bmp(magic: bytes) -> Steps:
    """Read the file header, which has the length of the file, and the pixel size behind it."""
    head = magic + (yield 14)
    length, header = _little(head[2:6]), _little(head[14:18])
    if header not in (12, 40, 52, 56, 64, 108, 124):
        raise MalformedError
    yield Found("bmp")
    size = yield 4 if header == 12 else 8
    half = len(size) // 2
    height = int.from_bytes(size[half:], "little", signed=True)  # below zero where the rows run from the top
    yield Found("bmp", _little(size[:half]), abs(height))
    yield from _skip(length - 18 - len(size))


def _tiff(order: Literal["little", "big"]) -> Steps:
    """Read the first directory, wherever it is; the strips of pixels are not checked."""
    yield Found("tiff")
    start = int.from_bytes((yield 4), order)
    yield from _skip(start - 8)
    count = int.from_bytes((yield 2), order)
    size: dict[int, int] = {}
    for _ in range(count):
        entry = yield 12
        tag, kind = (int.from_bytes(entry[at : at + 2], order) for at in (0, 2))
        if tag in (256, 257):
            size[tag] = int.from_bytes(entry[8:10] if kind == 3 else entry[8:12], order)
    yield Found("tiff", size.get(256), size.get(257))


def _heif(length: int) -> Steps:
    """ISO base media: `ftyp` names the format, the largest `ispe` in `meta` the size (others are tiles)."""
    kind = yield 4
    if kind != b"ftyp" or not 16 <= length <= _LARGEST_HEADER:
        raise MalformedError
    ftyp = yield length - 8
    brands = [ftyp[:4], *(ftyp[at : at + 4] for at in range(8, len(ftyp), 4))]
    known = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    if not known:
        raise MalformedError
    extension = next((name for name in known if name != "heif"), "heif")
    yield Found(extension)
    missing = {b"meta", b"mdat"}
    for _ in range(_MOST_PARTS):
        if not missing:
            return
        head = yield 8
        length, kind = _big(head[:4]) - 8, head[4:]
        if length == -7:
            length = _big((yield 8)) - 16
        if kind == b"meta" and 0 < length <= _LARGEST_HEADER:
            meta = yield length
            width, height = _largest_extent(meta)
            yield Found(extension, width, height)
            if b"idat" in meta:
                return  # small pictures live in here and need no mdat
        elif length < 0:
            return  # a box of length 0 reaches to the end of the file, wherever that is
        else:
            yield from _skip(length)
        missing.discard(b"meta" if kind == b"moov" else kind)
    raise MalformedError(f"more than {_MOST_PARTS} boxes")


def _largest_extent(meta: bytes) -> tuple[int | None, int | None]:
    boxes = re.findall(rb"ispe.{4}(.{4})(.{4})", meta, re.DOTALL)
    extents = [(_big(width), _big(height)) for width, height in boxes]
    return max(extents, key=lambda extent: extent[0] * extent[1], default=(None, None))


_SVG_PROLOG = re.compile(
    r"\ufeff|\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[[^\]]*\]\s*)?>", re.DOTALL | re.IGNORECASE
)
_SVG_ROOT = re.compile(r"<(?:[\w.-]+:)?svg(?=[\s/>])([^>\"']*(?:\"[^\"]*\"[^>\"']*|'[^']*'[^>\"']*)*)>")
_SVG_UNFINISHED = re.compile(r"<[\w.:-]*$|<(?:[\w.-]+:)?svg\s|<[?!]|$")
_SVG_LENGTH = r"\s{}\s*=\s*[\"']\s*\+?(\d{{1,9}}(?:\.\d*)?)\s*(?:px)?\s*[\"']"
_SVG_VIEWBOX = re.compile(
    r"\sviewBox\s*=\s*[\"']\s*[^\s,\"']+[\s,]+[^\s,\"']+[\s,]+(\d{1,9}(?:\.\d*)?)[\s,]+(\d{1,9}(?:\.\d*)?)(?![\d.])"
)


def _svg(head: bytes) -> Steps:
    root = None
    while root is None:
        if len(head) > PIECE:
            raise MalformedError
        head += yield ANY
        root = _svg_root(head.decode(errors="replace")) if b">" in head else None
    width, height = _svg_size(root[1])
    yield Found("svg", width, height)
    if root[1].endswith("/"):
        return
    while not re.search(rb"</(?:[\w.-]+:)?svg\s*>", head):
        head = head[-64:] + (yield ANY)


def _svg_root(text: str) -> re.Match[str] | None:
    """Return the start tag of the root element; return None while it may still come."""
    at = 0
    while prolog := _SVG_PROLOG.match(text, at):
        at = prolog.end()
    root = _SVG_ROOT.match(text, at)
    if not root and not _SVG_UNFINISHED.match(text, at):
        raise MalformedError
    return root


def _svg_size(attributes: str) -> tuple[int | None, int | None]:
    """Return `width` and `height` where both are in pixels, otherwise the size of the viewBox."""
    lengths = [re.search(_SVG_LENGTH.format(name), attributes) for name in ("width", "height")]
    if lengths[0] and lengths[1]:
        return round(float(lengths[0][1])), round(float(lengths[1][1]))
    box = _SVG_VIEWBOX.search(attributes)
    return (round(float(box[1])), round(float(box[2]))) if box else (None, None)
