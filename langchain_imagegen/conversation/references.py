"""Anything that names an image, as what a request can send: a known image, or something that the service fetches.

Local bytes go into the image store here, so that everything after this point is light.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from langchain_imagegen.conversation.content_blocks import Pointer, of_url, read_block
from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.conversation.messages import upload
from langchain_imagegen.errors import UnknownImageError
from langchain_imagegen.images.image import GeneratedImage, is_record
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.storage.store import ImageStore


@dataclass(frozen=True)
class Remote:
    """A picture that the service finds by itself: by web address, by file id or by the id of an earlier call."""

    url: str | None = None
    file_id: str | None = None
    call_id: str | None = None


Source: TypeAlias = "GeneratedImage | Remote"

KNOWN_FORMS = (
    "a handle (img_…), an ordinal ('1'), 'last', a call id (ig_…), a URL, a data URL, a file id (file-…), "
    "a Path, bytes, a PIL image, a GeneratedImage, an ImageResult or a LangChain image block"
)


def resolve(references: Iterable[object], memory: ImageMemory | None, store: ImageStore) -> list[Source]:
    """The images that some references name, in their order.

    Args:
        references: Each in any form of `KNOWN_FORMS`; an `ImageResult` stands for all its images.
        memory: Where handles, ordinals and `"last"` are looked up.
        store: Where local bytes are put.

    Raises:
        UnknownImageError: a reference names nothing.
        CorruptImageError: bytes that are no picture.
    """
    return [source for reference in references for source in _resolve(reference, memory, store)]


def _resolve(reference: object, memory: ImageMemory | None, store: ImageStore) -> list[Source]:
    if isinstance(reference, ImageResult):
        return list(reference.images)
    if isinstance(reference, str):
        return [_named(reference, memory, store)]
    if isinstance(reference, (list, tuple)):
        return resolve(reference, memory, store)
    return [_one(reference, memory, store)]


def _one(reference: object, memory: ImageMemory | None, store: ImageStore) -> Source:
    if isinstance(reference, (GeneratedImage, Remote)):
        return reference
    if isinstance(reference, (bytes, bytearray, memoryview)):
        return upload(bytes(reference), store)
    if isinstance(reference, Path):
        return upload(_bytes_of(reference), store)
    if isinstance(reference, Pointer):
        return _at(reference, memory, store)
    if isinstance(reference, Mapping):
        return _block(reference, memory, store)
    if hasattr(reference, "save") and hasattr(reference, "getbands"):
        return upload(_png(reference), store)
    if isinstance(reference, int) and not isinstance(reference, bool):
        return _named(str(reference), memory, store)
    raise UnknownImageError(f"{type(reference).__name__} names no image; give {KNOWN_FORMS}")


def _named(text: str, memory: ImageMemory | None, store: ImageStore) -> Source:
    if text.startswith(("http://", "https://")):
        return Remote(url=text)
    if text.startswith("data:"):
        return _at(of_url(text), memory, store)
    if text.startswith(("file-", "file_")):
        return Remote(file_id=text)
    if memory is not None and text in memory:
        return memory.get(text)
    if text.startswith("ig_"):
        return Remote(call_id=text)
    if memory is not None and not _like_a_path(text):
        return memory.get(text)
    raise UnknownImageError(_unknown(text, memory))


def _at(pointer: Pointer, memory: ImageMemory | None, store: ImageStore) -> Source:
    if pointer.record:
        return GeneratedImage.model_validate(pointer.record).bind(store)
    if pointer.base64 is not None:
        return upload(pointer.decode(), store)
    if pointer.call_id:
        return memory.get(pointer.call_id) if memory and pointer.call_id in memory else Remote(call_id=pointer.call_id)
    return Remote(url=pointer.url, file_id=pointer.file_id)


def _block(block: Mapping[str, Any], memory: ImageMemory | None, store: ImageStore) -> Source:
    if is_record(block):
        return GeneratedImage.model_validate(block).bind(store)
    pointer = read_block(block)
    if pointer is None:
        raise UnknownImageError(f"a block of type {block.get('type')!r} names no image; give {KNOWN_FORMS}")
    return _at(pointer, memory, store)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise UnknownImageError(f"the image {str(path)!r} cannot be read: {error.strerror or error}") from error


def _png(picture: Any) -> bytes:
    data = io.BytesIO()
    try:
        picture.save(data, format="PNG")
    except OSError:  # a mode that PNG does not have, such as CMYK
        picture.convert("RGB").save(data, format="PNG")
    return data.getvalue()


def _like_a_path(text: str) -> bool:
    return "/" in text or "\\" in text or text.lower().endswith((".png", ".jpg", ".jpeg", ".webp", ".gif", ".svg"))


def _unknown(text: str, memory: ImageMemory | None) -> str:
    if _like_a_path(text):
        return f"{text!r} is no handle; if it is a file, give Path({text!r}), since text never opens a file"
    if memory is None:
        return (
            f"{text!r} needs a memory to be looked up in: ImageGenerator(memory=ImageMemory()), "
            "or give the image itself (result.image)"
        )
    return f"{text!r} names no image; give {KNOWN_FORMS}"
