"""Whether the service takes a picture as it is, read from its bytes alone; nothing is decoded."""

from __future__ import annotations

import struct

from langchain_imagegen.images.pillow import LARGEST_SENT
from langchain_imagegen.images.sniffing import sniff

ROTATED = "EXIF-rotated"
"""The one reason that a service may do without: it takes the picture, and perhaps shows it lying on its side."""

_FOREIGN = {"image/bmp": "BMP", "image/tiff": "TIFF", "image/heic": "HEIC", "image/heif": "HEIF", "image/avif": "AVIF"}
_ORIENTATION = 0x0112
_HEAD = 1_000_000  # bytes in which headers stand


def unfit_because(data: bytes) -> str | None:
    """Return why the service does not take a picture as it is; return None where it does, or where nobody knows."""
    media = sniff(data[:_HEAD])
    kind = media.mime_type if media else ""
    if kind in _FOREIGN:
        return _FOREIGN[kind]
    if len(data) > LARGEST_SENT:
        return f"over {LARGEST_SENT // 1_000_000} MB"
    if kind == "image/jpeg":
        return _unfit_jpeg(data)
    if kind == "image/png" and data[24:25] == b"\x10":
        return "16 bits a channel"
    return ROTATED if kind in ("image/png", "image/webp") and _is_rotated(_exif_of(data, kind)) else None


def lacks_alpha(data: bytes) -> bool:
    """Return True if a picture certainly has no alpha channel and no transparent color, by its header."""
    media = sniff(data[:_HEAD])
    kind = media.mime_type if media else ""
    if kind == "image/png":
        return data[25:26] in (b"\x00", b"\x02", b"\x03") and not _has_transparent_color(data)
    if kind == "image/webp":  # a lossless one (VP8L) tells only a hint
        return data[12:16] == b"VP8 " or (data[12:16] == b"VP8X" and not data[20] & 0x10)
    return kind == "image/jpeg"


def _has_transparent_color(png: bytes) -> bool:
    """Return True if a PNG has a tRNS chunk before its pixels."""
    at = 8
    while at + 8 <= len(png) and (name := png[at + 4 : at + 8]) != b"IDAT":
        if name == b"tRNS":
            return True
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    return False


def _unfit_jpeg(data: bytes) -> str | None:
    """Walk through the segments before the first scan."""
    at, rotated = 2, False
    while data[at : at + 1] == b"\xff" and at < len(data) - 4:
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + length]
        if marker == 0xE2 and segment.startswith(b"MPF\0"):
            return "MPO"
        if marker == 0xE1 and segment.startswith(b"Exif\0\0"):
            rotated = _is_rotated(segment[6:])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and segment[5:6] == b"\x04":
            return "CMYK"
        if marker == 0xDA or length < 2:
            break
        at += 2 + length
    return ROTATED if rotated else None


def _exif_of(data: bytes, kind: str) -> bytes:
    name = b"eXIf" if kind == "image/png" else b"EXIF"
    at = data.find(name)
    if at < 0:
        return b""
    start = at + (4 if kind == "image/png" else 8)
    return data[start : start + _HEAD].removeprefix(b"Exif\0\0")


def _is_rotated(exif: bytes) -> bool:
    """Return True if an EXIF block holds an orientation other than upright."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 14:
        return False
    (start,) = struct.unpack_from(f"{order}I", exif, 4)
    if start + 2 > len(exif):
        return False
    (count,) = struct.unpack_from(f"{order}H", exif, start)
    for at in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, at)
        if tag == _ORIENTATION:
            return bool(2 <= value <= 8)
    return False
