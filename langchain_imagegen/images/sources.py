"""The bytes of pictures that users hold: files, file objects, Pillow images, numpy arrays and base64 text.

Nothing is stored here, and neither Pillow nor numpy is imported: their objects are known by their methods.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
import struct
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from langchain_imagegen.errors import CorruptImageError, UnknownImageError
from langchain_imagegen.images.sniffing import sniff

LONGEST_SHOWN = 40  # characters of a value in an error

_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]{24,}=*\s*")
_URL_SAFE = str.maketrans("-_", "+/")
_FILE_URL = re.compile(r"file:/+(?:localhost/)?", re.IGNORECASE)


def shown(value: object) -> str:
    """Return a value for an error message: quoted, at most 40 characters of it."""
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…")


def read_path(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a regular file. A path that begins with `~` or `file://` is read as meant.

    The error names the file without its folder; the whole path is in the error's cause.

    Raises:
        UnknownImageError: there is no such file, it cannot be read, or it is a folder, pipe or device.
        CorruptImageError: the file is empty or larger than `max_bytes`.
    """
    name = shown(path.name or str(path))
    try:
        target = _target(path)
        size = _regular_size(target, name, max_bytes)
        descriptor = os.open(target, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise UnknownImageError(f"the image {name} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the path
        raise UnknownImageError(f"{name} is no path of a file: {shown(error)}") from error


def _target(path: Path) -> Path:
    text = str(path)
    if _FILE_URL.match(text):
        return Path("/" + unquote(_FILE_URL.sub("", text, count=1)))
    try:
        return path.expanduser()
    except RuntimeError as error:  # no home folder for `~user`
        raise UnknownImageError(f"{shown(path.name)} is no path of a file: {shown(error)}") from error


def _regular_size(path: Path, name: str, max_bytes: int) -> int:
    """Return a file's size. A pipe or device is refused before it is opened, since reading one may never end."""
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise UnknownImageError(f"the image {name} cannot be read: Is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise UnknownImageError(f"the image {name} cannot be read: it is no regular file but a pipe, socket or device")
    if not found.st_size:  # so are the files of /proc, some of which wait for ever
        raise CorruptImageError(f"the image {name} is empty")
    if found.st_size > max_bytes:
        raise CorruptImageError(f"the image {name} is {found.st_size} bytes: {_allowed(max_bytes)}")
    return found.st_size


def read_file_object(file: Any, max_bytes: int) -> bytes:
    """Return what an open file holds, from its beginning where it can seek.

    Raises:
        UnknownImageError: it is closed, not readable or opened as text.
        CorruptImageError: it is empty or holds more than `max_bytes`.
    """
    name = f"the file object {shown(os.path.basename(str(getattr(file, 'name', '') or type(file).__name__)))}"  # noqa: PTH119 - a name may be a number
    try:
        if getattr(file, "seekable", bool)():
            file.seek(0)
        data = file.read(max_bytes + 1)
    except Exception as error:  # it is the caller's object and may raise anything
        raise UnknownImageError(f"{name} cannot be read: {shown(error)}") from error
    if not isinstance(data, (bytes, bytearray, memoryview)):
        if hasattr(data, "close"):
            data.close()  # a coroutine that nobody awaits
        raise UnknownImageError(f"{name} gives {type(data).__name__}, not bytes: open it with 'rb'")
    if not data:
        raise CorruptImageError(f"{name} is empty")
    if len(data) > max_bytes:
        raise CorruptImageError(f"{name} holds too much: {_allowed(max_bytes)}")
    return bytes(data)


def _allowed(max_bytes: int) -> str:
    return f"an image may have max_bytes={max_bytes}; ImageStore(max_bytes=…) allows more"


def is_pillow(value: object) -> bool:
    """Return True for a Pillow image."""
    return hasattr(value, "save") and hasattr(value, "getbands")


def is_file_object(value: object) -> bool:
    """Return True for an open file, or whatever else can be read like one."""
    return callable(getattr(value, "read", None))


def is_array(value: object) -> bool:
    """Return True for a numpy array, or whatever else shows its memory as one does."""
    return isinstance(getattr(value, "__array_interface__", None), dict) and hasattr(value, "tobytes")


def png_of_array(array: Any) -> bytes:
    """Return an array of height x width, or height x width x 1, 2, 3 or 4, as a PNG.

    Raises:
        CorruptImageError: it has another type or shape; a float array is not guessed at.
    """
    kind, shape = array.__array_interface__["typestr"], tuple(array.__array_interface__["shape"])
    channels = shape[2] if len(shape) == 3 else 1
    if kind != "|u1" or len(shape) not in (2, 3) or channels not in (1, 2, 3, 4) or 0 in shape:
        raise CorruptImageError(
            f"an array of type {kind!r} and shape {shape} is no picture: give uint8 of height x width, or "
            "height x width x 3 (RGB) or 4 (RGBA); for values from 0 to 1: (array * 255).astype('uint8')"
        )
    height, width = shape[:2]
    pixels, row = array.tobytes(), width * channels
    lines = b"".join(b"\0" + pixels[start : start + row] for start in range(0, len(pixels), row))
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines, 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def picture_in_base64(text: str) -> bytes | None:
    """Return the bytes of base64 text that begins as a known picture; return None for any other text.

    Line breaks, URL-safe letters and missing padding are accepted.

    Raises:
        CorruptImageError: it begins as a picture and is no whole base64.
    """
    if len(text) < 32 or not _BASE64.fullmatch(text[:64]):
        return None
    head = _decoded("".join(text[:256].split()).translate(_URL_SAFE)[:128])
    if head is None or sniff(head) is None:
        return None
    data = _decoded("".join(text.split()).translate(_URL_SAFE))
    if data is None:
        raise CorruptImageError(f"the base64 text {shown(text)} begins as a picture and is damaged or cut")
    return data


def _decoded(text: str) -> bytes | None:
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
