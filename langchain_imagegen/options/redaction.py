"""Placeholders for values in traces and error messages, which must not hold bytes, base64 or long texts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

_BASE64_KEYS = frozenset({"base64", "b64_json", "data", "result"})


_LONGEST_TEXT = 256


def stand_in(value: Any) -> Any:
    """Return a value as small JSON for a trace: names stay, and a picture becomes `<bytes 2.0 MB>`."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{type(value).__name__} {_amount(memoryview(value).nbytes)}>"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {str(key): _payload(key, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [stand_in(item) for item in value]
    return _object(value)


def _text(value: str) -> str:
    if value.startswith("data:"):
        return f"<{value[:40].partition(';')[0].partition(',')[0]} {_amount(len(value))}>"
    if len(value) > _LONGEST_TEXT and "://" not in value[:16]:
        return f"<str {_amount(len(value))}>"
    return value


def _payload(key: object, value: Any) -> Any:
    if key in _BASE64_KEYS and isinstance(value, str):
        return f"<base64 {_amount(len(value))}>"
    return stand_in(value)


def _object(value: Any) -> Any:
    """Return a path or handle in full, a result as the handles of its images, and anything else as its type."""
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    if isinstance(handle := getattr(value, "handle", None), str):
        return handle
    if isinstance(images := getattr(value, "images", None), (list, tuple)):
        return stand_in(images)
    if isinstance(shapes := getattr(value, "shapes", None), tuple):  # a region, which is plain data
        return value.model_dump(mode="json") if shapes else None
    return f"<{type(value).__name__}>"


def _amount(size: int) -> str:
    if size < 1_000:
        return f"{size} B"
    return f"{size / 1e3:.0f} kB" if size < 1_000_000 else f"{size / 1e6:.1f} MB"
