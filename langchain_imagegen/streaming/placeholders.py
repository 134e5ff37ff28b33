"""The token that stands for a picture where its base64 would be: base64 of `imagegen:<sha256>:<mime type>`.

It decodes as base64 but is not a picture, so that opening it as one fails at once. It holds the digest alone; the
image store knows where the bytes are.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

from langchain_imagegen.images.sniffing import EXTENSIONS

_TOKEN = re.compile(rb"imagegen:([0-9a-f]{64}):([a-z+/]+)")
_BEGINS = base64.b64encode(b"imagegen:").decode()
_LONGEST = 160


class Token(NamedTuple):
    """A picture by its digest; `store.get(*token)` gives its bytes."""

    sha256: str
    mime_type: str


def write_token(sha256: str, mime_type: str) -> str:
    """Return the token of a picture."""
    return base64.b64encode(f"imagegen:{sha256}:{mime_type}".encode()).decode()


def read_token(text: object) -> Token | None:
    """Return the picture whose token `text` is, `None` for any other value."""
    if not isinstance(text, str) or not text.startswith(_BEGINS) or len(text) > _LONGEST:
        return None
    try:
        found = _TOKEN.fullmatch(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return None
    if found is None or found[2].decode() not in EXTENSIONS:
        return None
    return Token(found[1].decode(), found[2].decode())
