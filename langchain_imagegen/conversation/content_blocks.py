"""Content blocks of messages: which of them are pictures and where their bytes are, and what text they hold.

The blocks of LangChain (both versions), OpenAI (both APIs), Anthropic, Google, Amazon Bedrock, MCP and Vercel are read.
Pure: nothing is fetched or opened here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_imagegen.conversation.records import clean_record, valid_text
from langchain_imagegen.errors import CorruptImageError, UnknownImageError
from langchain_imagegen.images.image import GeneratedImage, is_record
from langchain_imagegen.streaming.decoder import decode

REFERENCE = "imagegen_reference"
"""`type` of the block that stands in a message for a picture whose bytes are in the image store."""

CALL = "image_generation_call"
PICTURES = frozenset({"image", "image_url", "input_image", "computer_screenshot", REFERENCE})
"""Types of blocks that always mean a picture; blocks of other types may hold one too."""

TEXTS = frozenset({"text", "input_text", "output_text"})

_INNER = ("source", "image", "image_url", "inline_data", "inlineData", "file_data", "fileData", "file", "resource")
_DATA = ("base64", "data", "b64_json", "bytes", "blob", "image", "file_data")
_ADDRESS = ("url", "image_url", "file_uri", "fileUri", "uri")
_TYPE = ("mime_type", "mimeType", "media_type", "mediaType", "format")
_DEPTH = 4  # of blocks within blocks
_FORMATS = frozenset({"png", "jpeg", "jpg", "webp", "gif"})


@dataclass(frozen=True)
class Pointer:
    """A picture named by exactly one of these: base64 text, a web address, a file id, a call id, a record."""

    base64: str | None = None
    url: str | None = None
    file_id: str | None = None
    call_id: str | None = None
    record: Mapping[str, Any] | None = None

    def decode(self) -> bytes:
        """Return the bytes behind `base64`.

        Raises:
            CorruptImageError: it is not base64.
        """
        return decode(self.base64 or "")


def reference_block(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the block that stands for a picture whose bytes are in the image store."""
    return {"type": "non_standard", "value": {"type": REFERENCE, "record": dict(record)}}


def read_block(block: object) -> Pointer | None:
    """Return where the picture of a content block is; return None for a block without a picture.

    Raises:
        CorruptImageError: a data URL that is not base64.
    """
    block = _unwrapped(block)
    if not isinstance(block, Mapping):
        return None
    kind = block.get("type")
    if kind == REFERENCE:
        record = clean_record(block.get("record"))
        return Pointer(record=record) if record else None
    if kind == CALL:
        return Pointer(call_id=block["id"]) if _is_text(block.get("id")) else None
    return _pointer(block, 0) if is_picture(block) else None


def require_block(block: object) -> Pointer | None:
    """Return where the picture of a content block is; return None for a block that is none.

    Raises:
        UnknownImageError: the block is a picture, and nothing in it says where.
        CorruptImageError: a data URL that is not base64.
    """
    pointer = read_block(block)
    if pointer is None and is_picture(block):
        inner = _unwrapped(block)
        keys = ", ".join(sorted(map(str, inner)))[:80] if isinstance(inner, Mapping) else ""
        raise UnknownImageError(
            f"an image block with the keys {keys} holds no picture that can be read: give its bytes as 'base64', its "
            "address as 'url', or a 'file_id'"
        )
    return pointer


def is_picture(block: object) -> bool:
    """True if a content block is meant as a picture, whether it can be read or not."""
    block = _unwrapped(block)
    if not isinstance(block, Mapping):
        return False
    kind, types = block.get("type"), [*_types(block, 0)]
    if _is_text(kind) and kind in PICTURES:
        return True
    if _is_text(kind) and kind in TEXTS:
        return False
    if any(name.startswith("image/") for name in types):
        return True
    return kind is None and isinstance(block.get("image"), Mapping) and any(name in _FORMATS for name in types)


def of_url(url: str) -> Pointer:
    """Return a pointer to a web address or to the base64 of a data URL.

    Raises:
        CorruptImageError: a data URL that is not base64.
    """
    if url[:5].lower() != "data:":
        return Pointer(url=url)
    head, _, data = url.partition(",")
    if not head.lower().endswith(";base64"):
        raise CorruptImageError(f"a data URL of a picture must be base64, this one begins {url[:40]!r}")
    return Pointer(base64=data)


def text_of_blocks(content: object) -> str:
    """Return the text of a message's content; texts of several blocks are separated, never glued."""
    if isinstance(content, str):
        return valid_text(content)
    texts = filter(None, map(text_of_block, content if isinstance(content, (list, tuple)) else ()))
    text = ""
    for part in texts:
        text += part if not text or text[-1].isspace() or part[0].isspace() else f"\n{part}"
    return valid_text(text)


def text_of_block(block: object) -> str:
    """Return the text of a content block; empty for a block of another kind."""
    if isinstance(block, str):
        return block
    block = _unwrapped(block)
    if not isinstance(block, Mapping):
        return ""
    kind, text = block.get("type"), block.get("text")
    is_text = kind is None or (_is_text(kind) and kind in TEXTS)
    return text if is_text and isinstance(text, str) else ""


def refusal_in(content: object) -> str:
    """Return the text of the first refusal among a message's blocks; empty if there is none."""
    for block in map(_unwrapped, content if isinstance(content, list) else ()):
        if isinstance(block, Mapping) and block.get("type") == "refusal":
            return str(block.get("refusal") or block.get("text") or "the model gave no reason")
    return ""


def name_in(reference: object) -> str:
    """Return the text by which a reference names an image of a conversation."""
    if isinstance(reference, GeneratedImage):
        return reference.id
    if isinstance(reference, (bytes, bytearray, memoryview)):
        return f"sha256:{hashlib.sha256(reference).hexdigest()}"
    if isinstance(reference, Mapping):
        return str(reference["id"]) if is_record(reference) else _name_in_block(reference)
    return str(reference).strip()


def _name_in_block(block: Mapping[str, Any]) -> str:
    try:
        pointer = read_block(block) or Pointer()
        if pointer.record:
            return str(pointer.record["id"])
        return pointer.call_id or (name_in(pointer.decode()) if pointer.base64 else "")
    except CorruptImageError:
        return ""


def _unwrapped(block: object) -> object:
    """Return the block within a `non_standard` one."""
    for _ in range(_DEPTH):
        if not (isinstance(block, Mapping) and block.get("type") == "non_standard"):
            return block
        block = block.get("value")
    return None


def _pointer(block: Mapping[str, Any], depth: int) -> Pointer | None:
    """Return the first of a file id, data or an address in a block or in the mappings within it."""
    if depth > _DEPTH:
        return None
    for name in _DATA:
        value = block.get(name)
        if isinstance(value, (bytes, bytearray)) and value:
            return Pointer(base64=base64.b64encode(value).decode())
        if isinstance(value, str) and value:
            return of_url(value) if _is_address(value) else Pointer(base64=value)
    if file_id := _file_id(block):
        return Pointer(file_id=file_id)
    address = next((block[name] for name in _ADDRESS if _is_address(block.get(name))), None)
    if address is not None:
        return of_url(address)
    inner = (block[name] for name in _INNER if isinstance(block.get(name), Mapping))
    return next((found for each in inner if (found := _pointer(each, depth + 1))), None)


def _file_id(block: Mapping[str, Any]) -> str | None:
    named = block.get("file_id") or (block.get("id") if block.get("source_type") == "id" else None)
    return named if _is_text(named) else None


def _types(block: Mapping[str, Any], depth: int) -> Iterable[str]:
    """Yield the MIME types and formats that a block or the mappings within it name."""
    yield from (block[name].lower() for name in _TYPE if _is_text(block.get(name)))
    data = block.get("file_data")
    if isinstance(data, str) and data[:11].lower() == "data:image/":
        yield "image/*"
    for name in _INNER if depth < _DEPTH else ():
        if isinstance(block.get(name), Mapping):
            yield from _types(block[name], depth + 1)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_address(value: object) -> bool:
    return isinstance(value, str) and value[:8].lower().startswith(("data:", "http://", "https://"))
