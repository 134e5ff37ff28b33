"""What the body of an answer is: JSON, an event stream or neither, read from its bytes, since proxies mislabel it."""

from __future__ import annotations

from collections.abc import Mapping

BLANK = b" \t\r\n\0\xef\xbb\xbf"
EVENT_STREAM = "text/event-stream"
_EVENT_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_LONGEST_BLANK = 4096
_SHOWN = 200


def is_stream(text: bytes, content_type: str) -> bool | None:
    """Return whether an answer is an event stream, by its first bytes; `None` if more of them are needed."""
    begins = text.lstrip(BLANK)[:8]
    if begins.startswith((b"{", b"[", b"<")):
        return False
    if begins.startswith(_EVENT_FIELDS):
        return True
    if any(field.startswith(begins) for field in _EVENT_FIELDS) and len(text) < _LONGEST_BLANK:
        return None
    return content_type == EVENT_STREAM


def length(headers: Mapping[str, str]) -> int:
    """Return how many bytes are to come; 0 if the headers do not say, or the body is compressed."""
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() and not headers.get("content-encoding") else 0


def not_json(content_type: str, text: bytes) -> str:
    """Return the message about a body that is no JSON."""
    begins = text[:_SHOWN].decode(errors="replace").strip()
    return (
        f"the answer is {content_type or 'of no type'} and no JSON, it begins {begins!r}; "
        "check base_url: it should end in /v1 and point at the API, not at a website or a proxy's login"
    )
