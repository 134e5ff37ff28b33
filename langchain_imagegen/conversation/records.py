"""Records of images that others wrote: what can be used of them.

Clients can post messages and state, and other versions write records too. So a record is checked before it is used: an
optional field that cannot be read is dropped, and a value that is no record is passed over. Both are logged.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from pydantic import ValidationError

from langchain_imagegen.images.image import GeneratedImage, is_record
from langchain_imagegen.images.sniffing import EXTENSIONS

Record = dict[str, Any]

ID_LISTS = ("parents", "companion_ids", "dead_rungs", "partials")
"""The fields that hold lists of words: merging two records keeps the words of both."""

FORGOTTEN = "forgotten"
"""Key of a trace: what the channel keeps in place of the record of an image that was forgotten."""

TOKENS = "tokens"
"""The field that says what the response that drew an image took."""

_IDENTITY = ("id", "provider", "sha256")
_LOG = logging.getLogger(__name__)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TEXTS = frozenset({
    "provider", "prompt", "revised_prompt", "action", "size", "quality", "background", "output_format", "image_model",
    "response_id", "handle",
})  # fmt: skip
_WORDS = {"origin": {"model", "user", "tool"}, "dead_rungs": {"call_id", "response_id", "bytes"}}


def clean_record(value: object) -> Record | None:
    """Return the usable part of a record as a new dict; return None, and log it, if `value` is no record.

    This is a quick check of types, made for thousands of records at once; `read_record` makes the full one.
    """
    if not isinstance(value, Mapping) or not is_record(value) or not _has_identity(value):
        pass_over("a value that is no record of an image", value)
        return None
    record = {name: kept for name, field in value.items() if (kept := _clean(name, field)) is not None}
    if len(record) < len(value) and (odd := [name for name in value if name not in record and value[name] is not None]):
        _LOG.warning("dropped fields of the record of image %.40r that cannot be read: %.200s", value["id"], odd)
    return record


def read_record(value: object) -> GeneratedImage | None:
    """Return the image that a record describes; return None, and log it, if `value` is no record."""
    record = clean_record(value)
    if record is None:
        return None
    try:
        return GeneratedImage.model_validate(record)
    except ValidationError as error:
        odd = {problem["loc"][0] for problem in error.errors(include_url=False, include_input=False) if problem["loc"]}
    _LOG.warning("dropped fields of the record of image %.40r that cannot be read: %.200s", record["id"], sorted(odd))
    try:
        return GeneratedImage.model_validate({name: field for name, field in record.items() if name not in odd})
    except ValidationError:
        pass_over("a record that cannot be read", value)
        return None


def trace_of(record: Mapping[str, Any]) -> Record:
    """Return what stays of the record of a forgotten image: enough to know it again and what it cost, no more."""
    tokens = record.get(TOKENS)
    names = (*_IDENTITY, "image_model") if isinstance(tokens, Mapping) else _IDENTITY
    kept = {name: record[name] for name in names if isinstance(record.get(name), str)}
    return {**kept, **({TOKENS: dict(tokens)} if isinstance(tokens, Mapping) else {}), FORGOTTEN: True}


def is_upload(record: Mapping[str, Any]) -> bool:
    """Return True if a record is of a picture that a user or a tool brought: its id is the digest of its bytes."""
    return record.get("origin") in ("user", "tool") and record["id"] == f"sha256:{record['sha256']}"


def is_trace(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Return True if a value is the trace of a forgotten image."""
    return isinstance(value, Mapping) and value.get(FORGOTTEN) is True and isinstance(value.get("id"), str)


def clean_records(values: Iterable[object]) -> Iterator[Record]:
    """Yield the usable part of each record; pass over what is none."""
    return (record for value in values if (record := clean_record(value)) is not None)


def pass_over(what: str, value: object) -> None:
    """Log that something in a message or state is not used: its type alone, since it may hold anything."""
    keys = sorted(map(str, value))[:8] if isinstance(value, Mapping) else ""
    _LOG.warning("passed over %s: %s %.120s", what, type(value).__name__, keys)


def valid_text(text: str) -> str:
    """Return the text with U+FFFD in place of each lone surrogate, which neither JSON nor a checkpoint can hold."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _has_identity(value: Mapping[str, Any]) -> bool:
    id, digest, size, mime_type = (value[name] for name in ("id", "sha256", "size_bytes", "mime_type"))
    return (
        isinstance(id, str)
        and bool(id)
        and id == valid_text(id)
        and isinstance(digest, str)
        and _DIGEST.fullmatch(digest) is not None
        and isinstance(size, int)
        and isinstance(mime_type, str)
        and mime_type in EXTENSIONS
    )


def _clean(name: object, field: object) -> Any:
    """Return the field as a record can hold it, or None to drop it."""
    if field is None or not isinstance(name, str):
        return None
    if name in ID_LISTS:
        return _words(name, field)
    if name in _WORDS:
        return field if isinstance(field, str) and field in _WORDS[name] else None
    if name == TOKENS:
        return field if isinstance(field, Mapping) else None
    if name in _TEXTS:
        return valid_text(field) if isinstance(field, str) else None
    return valid_text(field) if isinstance(field, str) else field


def _words(name: str, field: object) -> list[str] | None:
    if not isinstance(field, (list, tuple)):
        return None
    known = _WORDS.get(name)
    words = [word for word in field if isinstance(word, str) and (known is None or word in known)]
    return [valid_text(word) for word in words] if words or not field else None
