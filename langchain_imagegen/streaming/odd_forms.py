"""The forms in which gateways wrap a picture: data URLs, lists, objects, byte values, web addresses.

The extractor takes a plain base64 string out before JSON is read; this is for what it leaves.
"""

from __future__ import annotations

from collections.abc import Mapping

from langchain_imagegen.errors import CorruptImageError
from langchain_imagegen.streaming.decoder import decode
from langchain_imagegen.streaming.extractor import picture_number

_KEYS = ("b64_json", "result", "base64", "data", "image_base64", "image", "image_url", "url")
_DEEPEST = 4


class Address(str):
    """The web address of a picture."""

    __slots__ = ()


def find_picture(value: object, depth: int = 0) -> int | bytes | Address | None:
    """Return the picture in a JSON value: its number in the extractor, its bytes or its address; `None` without one.

    Raises:
        CorruptImageError: a text is there that is neither base64 nor an address.
    """
    number = picture_number(value)
    if number is not None:
        return number
    if isinstance(value, str):
        return _read_text(value.strip())
    if depth == _DEEPEST:
        return None
    if isinstance(value, list):
        if value and all(type(byte) is int and 0 <= byte <= 255 for byte in value):
            return bytes(value)
        return _first(value, depth)
    if isinstance(value, Mapping):
        return _first([value[key] for key in _KEYS if key in value], depth)
    return None


def _first(values: list[object], depth: int) -> int | bytes | Address | None:
    problem: CorruptImageError | None = None
    for value in values:
        try:
            found = find_picture(value, depth + 1)
        except CorruptImageError as error:
            problem = error
        else:
            if found is not None:
                return found
    if problem:
        raise problem
    return None


def _read_text(text: str) -> bytes | Address | None:
    if text[:5].lower() == "data:":
        return decode(text.partition(",")[2])
    if text[:8].lower() == "https://" or text[:7].lower() == "http://":
        return Address(text)
    return decode(text) if text else None
