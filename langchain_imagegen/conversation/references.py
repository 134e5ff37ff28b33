"""References to images in any form that people and models write, as what a request can send.

Local bytes are put into the image store here, so that everything after this point is light.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from langchain_imagegen.conversation.content_blocks import Pointer, of_url, read_block
from langchain_imagegen.conversation.handles import read_handles
from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.conversation.messages import upload
from langchain_imagegen.errors import CorruptImageError, OptionError, UnknownImageError
from langchain_imagegen.images.fitness import ROTATED, unfit_because
from langchain_imagegen.images.image import GeneratedImage, is_record
from langchain_imagegen.images.pillow import png_of, rewrite
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.images.sources import (
    is_array,
    is_file_object,
    is_pillow,
    picture_in_base64,
    png_of_array,
    read_file_object,
    read_path,
    shown,
)
from langchain_imagegen.storage.store import ImageStore


@dataclass(frozen=True)
class Remote:
    """A picture that the service finds itself: by web address, by file id, or by the id of an earlier call."""

    url: str | None = None
    file_id: str | None = None
    call_id: str | None = None


Source: TypeAlias = "GeneratedImage | Remote"

KNOWN_FORMS = (
    "a handle (img_…), an ordinal ('1'), 'last', a call id (ig_…), a URL, a data URL, base64 text, a file id (file-…), "
    "a Path, an open file, bytes, a PIL image, a uint8 numpy array, a GeneratedImage, an ImageResult or a LangChain "
    "image block"
)
DEEPEST = 16  # lists within lists

_FILE_ID = re.compile(r"file[-_][\w-]+")
_PICTURE_FILE = re.compile(r".*\.(?:png|jpe?g|webp|gif|svg|bmp|tiff?|heic|heif|avif)", re.IGNORECASE | re.DOTALL)


def resolve(references: Iterable[object], memory: ImageMemory | None, store: ImageStore) -> list[Source]:
    """Return the images that some references name, in their order.

    Args:
        references: Each in any form of `KNOWN_FORMS`; an `ImageResult` stands for all its images.
        memory: Where handles, ordinals and `"last"` are looked up.
        store: Where local bytes are put.

    Raises:
        UnknownImageError: a reference names nothing, or a file cannot be read.
        CorruptImageError: the bytes are no picture, or more than the store takes.
    """
    return _resolve_all(references, memory, store, 0)


def _resolve_all(
    references: Iterable[object], memory: ImageMemory | None, store: ImageStore, depth: int
) -> list[Source]:
    if depth > DEEPEST:
        raise UnknownImageError(f"a list nested deeper than {DEEPEST} levels, or in itself, names no image")
    return [source for reference in references for source in _resolve(reference, memory, store, depth)]


def _resolve(reference: object, memory: ImageMemory | None, store: ImageStore, depth: int) -> list[Source]:
    if isinstance(reference, ImageResult):
        return list(reference.images)
    if isinstance(reference, str):
        return [_named(reference.strip(), memory, store)]
    if isinstance(reference, (list, tuple)):
        return _resolve_all(reference, memory, store, depth + 1)
    return [_one(reference, memory, store)]


def _one(reference: object, memory: ImageMemory | None, store: ImageStore) -> Source:
    if isinstance(reference, (GeneratedImage, Remote)):
        return reference
    if isinstance(reference, Pointer):
        return _at(reference, memory, store)
    if isinstance(reference, Mapping):
        return _block(reference, memory, store)
    if isinstance(reference, int) and not isinstance(reference, bool):
        return _named(str(reference), memory, store)
    data = _local_bytes(reference, store.max_bytes)
    if data is None:
        raise UnknownImageError(f"{type(reference).__name__} names no image; give {KNOWN_FORMS}")
    try:
        return _of_bytes(data, memory, store)
    except CorruptImageError as error:
        if isinstance(reference, Path):  # of several, the file that is meant
            raise CorruptImageError(f"{shown(reference.name)}: {error}") from error
        raise


def _of_bytes(data: bytes, memory: ImageMemory | None, store: ImageStore) -> GeneratedImage:
    """Return the image of the memory with these bytes, which the service may know by its id, or else an upload."""
    image = upload(data, store)
    known = memory.get(image) if memory is not None and image in memory else image
    return known.bind(store)


def _local_bytes(value: Any, max_bytes: int) -> bytes | None:
    """Return the bytes of a picture at hand; return None for a value that holds none."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, Path):
        return read_path(value, max_bytes)
    if is_pillow(value):
        return png_of(value)
    if is_array(value):
        return png_of_array(value)
    return read_file_object(value, max_bytes) if is_file_object(value) else None


def _named(text: str, memory: ImageMemory | None, store: ImageStore) -> Source:
    scheme = text[:8].lower()
    if scheme.startswith(("http://", "https://")):
        return Remote(url=text)
    if scheme.startswith("data:"):
        return _at(of_url(f"data:{text[5:]}"), memory, store)
    if memory is not None and (text in memory or memory.has_forgotten(text)):
        return memory.get(text)
    data = picture_in_base64(text)
    if data is not None:
        return _of_bytes(data, memory, store)
    if _FILE_ID.fullmatch(text):
        return Remote(file_id=text)
    if memory is not None and (known := _known(text, memory)):
        return known
    if text.startswith("ig_"):
        return Remote(call_id=text)
    if memory is not None and not _like_a_path(text):
        return memory.get(text if len(text) <= 100 else f"{text[:40]}…")
    raise UnknownImageError(_unknown(text, memory))


def _known(text: str, memory: ImageMemory) -> GeneratedImage | None:
    """Return the one image of the memory that text means with words or marks around its name."""
    names = read_handles(text)
    return memory.get(names[0]) if len(names) == 1 and names[0] in memory else None


def _at(pointer: Pointer, memory: ImageMemory | None, store: ImageStore) -> Source:
    if pointer.record:
        return _of_record(pointer.record, store)
    if pointer.base64 is not None:
        return _of_bytes(pointer.decode(), memory, store)
    if pointer.call_id:
        known = memory is not None and (pointer.call_id in memory or memory.has_forgotten(pointer.call_id))
        return memory.get(pointer.call_id) if memory is not None and known else Remote(call_id=pointer.call_id)
    for name, value in (("url", pointer.url), ("file_id", pointer.file_id)):
        if value is not None and not isinstance(value, str):
            raise UnknownImageError(f"the {name} of an image block must be a str, not {type(value).__name__}")
    return Remote(url=pointer.url, file_id=pointer.file_id)


def _of_record(record: Mapping[str, Any], store: ImageStore) -> GeneratedImage:
    try:
        return GeneratedImage.model_validate(record).bind(store)
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"]))
        raise UnknownImageError(f"the record of an image cannot be read: its {shown(field)} is not valid") from error


def _block(block: Mapping[str, Any], memory: ImageMemory | None, store: ImageStore) -> Source:
    if is_record(block):
        return _of_record(block, store)
    try:
        pointer = read_block(block)
    except TypeError:  # a type that is a list or dict
        pointer = None
    if pointer is None:
        raise UnknownImageError(f"a block of type {shown(block.get('type'))} names no image; give {KNOWN_FORMS}")
    return _at(pointer, memory, store)


def prepare_sources(sources: Iterable[Source], store: ImageStore) -> list[Source]:
    """Return the sources; those that the service would refuse now name a copy in the store that it takes.

    A picture that is only turned by its EXIF is sent as it is where Pillow is missing.

    Raises:
        OptionError: what is needed to prepare one is not installed.
        CorruptImageError: a picture cannot be read, or has too many pixels.
    """
    return [_prepared(source, store) if isinstance(source, GeneratedImage) else source for source in sources]


def _prepared(image: GeneratedImage, store: ImageStore) -> GeneratedImage:
    if image.origin == "model" or (image.sent_sha256 and image.sent_sha256 in store):
        return image
    data = image.read()
    reason = unfit_because(data)
    if reason is None:
        return image
    try:
        blob = store.put(rewrite(data, reason))
    except OptionError:
        if reason == ROTATED:
            return image
        raise
    if image.sha256 not in store:  # the copy and the original are read from one store
        store.put(data)
    sent = {"sent_sha256": blob.sha256, "sent_mime_type": blob.mime_type}
    return image.model_copy(update=sent).bind(store)


def _like_a_path(text: str) -> bool:
    return "/" in text or "\\" in text or bool(_PICTURE_FILE.fullmatch(text))


def _unknown(text: str, memory: ImageMemory | None) -> str:
    name = shown(text)
    if _like_a_path(text):
        return f"{name} is no handle; if it is a file, give Path({name}), since text never opens a file"
    if memory is None:
        return (
            f"{name} needs a memory to be looked up in: ImageGenerator(memory=ImageMemory()), "
            "or give the image itself (result.image)"
        )
    return f"{name} names no image; give {KNOWN_FORMS}"
