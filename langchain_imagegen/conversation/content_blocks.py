"""What a content block says of a picture: where its bytes are, in any of the forms that LangChain and OpenAI use.

Pure: a block comes in, a `Pointer` goes out; nothing is decoded, fetched or opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_imagegen.errors import CorruptImageError
from langchain_imagegen.images.image import is_record
from langchain_imagegen.streaming.decoder import decode

REFERENCE = "imagegen_reference"
"""`type` of the block that stands in a message for a picture whose bytes are in the image store."""


@dataclass(frozen=True)
class Pointer:
    """A picture named by exactly one of these: base64 text, a web address, a file id, a call id, a record."""

    base64: str | None = None
    url: str | None = None
    file_id: str | None = None
    call_id: str | None = None
    record: Mapping[str, Any] | None = None

    def decode(self) -> bytes:
        """The bytes behind `base64`.

        Raises:
            CorruptImageError: it is not base64.
        """
        return decode(self.base64 or "")


def reference_block(record: Mapping[str, Any]) -> dict[str, Any]:
    """The block that stands for a picture whose bytes are in the image store."""
    return {"type": "non_standard", "value": {"type": REFERENCE, "record": dict(record)}}


def read_block(block: object) -> Pointer | None:
    """Where the picture of a content block is; `None` for a block that is none."""
    if not isinstance(block, Mapping):
        return None
    kind = block.get("type")
    if kind == "non_standard":
        return read_block(block.get("value"))
    if kind == REFERENCE and is_record(block.get("record")):
        return Pointer(record=block["record"])
    if kind in {"image_url", "input_image"}:
        return _openai(block)
    if kind == "image":
        return _image(block)
    if kind == "image_generation_call" and block.get("id"):
        return Pointer(call_id=str(block["id"]))
    return None


def of_url(url: str) -> Pointer:
    """A web address or a data URL."""
    if not url.startswith("data:"):
        return Pointer(url=url)
    head, _, data = url.partition(",")
    if not head.endswith(";base64"):
        raise CorruptImageError(f"a data URL of a picture must be base64, this one begins {url[:40]!r}")
    return Pointer(base64=data)


def _openai(block: Mapping[str, Any]) -> Pointer | None:
    if block.get("file_id"):
        return Pointer(file_id=block["file_id"])
    value = block.get("image_url")
    url = value.get("url") if isinstance(value, Mapping) else value
    return of_url(url) if isinstance(url, str) else None


def _image(block: Mapping[str, Any]) -> Pointer | None:
    source = block.get("source")  # Anthropic's form
    if isinstance(source, Mapping):
        return _image({"base64": source.get("data"), "url": source.get("url"), "file_id": source.get("file_id")})
    data = block.get("base64") or (block.get("data") if block.get("source_type") == "base64" else None)
    if isinstance(data, str):
        return Pointer(base64=data)
    if block.get("file_id"):
        return Pointer(file_id=block["file_id"])
    return of_url(block["url"]) if isinstance(block.get("url"), str) else None
