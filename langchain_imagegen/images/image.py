"""A picture of a conversation: `GeneratedImage`, and the names by which images are known.

Values only: no network, no store is opened here. A record holds neither bytes nor a location; bytes are read from
the image store that the maker of an object bound to it, by their SHA-256.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, computed_field, field_validator

from langchain_imagegen._moved import OldPickles
from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.images import notebook
from langchain_imagegen.images.cost import NOTHING_DRAWN, Cost, unknown
from langchain_imagegen.images.files import save_picture
from langchain_imagegen.images.lookup import ByteStore, store_with
from langchain_imagegen.images.pillow import open_picture
from langchain_imagegen.images.sniffing import EXTENSIONS, Blob
from langchain_imagegen.images.usage import ResponseTokens

if TYPE_CHECKING:
    from PIL.Image import Image

Rung = Literal["call_id", "response_id", "bytes"]
UNKNOWN_TYPE = "application/octet-stream"
ReadPicture = Callable[[object], Blob]
ReadPartial = Callable[[object], bytes]


@dataclass(frozen=True)
class Origin:
    """What the caller knows of a call and the answer of the service does not say.

    `named` tells that the user named the `parents`; else they are a guess, good only where the answer says `edit`.
    """

    provider: str = ""
    prompt: str | None = None
    parents: tuple[str, ...] = ()
    named: bool = False
    image_model: str | None = None
    stored: bool | None = None
    partial_images: int = 0


def name_of(provider: str, id: str) -> str:
    """Return the 64 hex digits of which a handle is the beginning: the SHA-256 of `provider/id`."""
    return hashlib.sha256(f"{provider}/{id}".encode()).hexdigest()


def handle_of(provider: str, id: str) -> str:
    """Return the short name of an image for models and people: `img_` and 8 hex digits."""
    return f"img_{name_of(provider, id)[:8]}"


class GeneratedImage(OldPickles, BaseModel):
    """An image of a conversation, drawn by a model or sent by the user: a small record, its bytes in a store.

    `record()` is its JSON form, at most about 2 KB; `GeneratedImage.model_validate(record)` gives it back.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(description="the call id (`ig_…`), or `sha256:<digest>` where a service gives none")
    provider: str = Field(default="", description="host of the service's base URL; empty where it is not known")
    sha256: str = Field(description="digest of the bytes, 64 hex digits: their address in the image store")
    size_bytes: int
    width: int | None = Field(default=None, description="pixels, read from the bytes")
    height: int | None = Field(default=None, description="pixels, read from the bytes")
    mime_type: str = Field(description="read from the bytes, not from the service's echo")
    origin: Literal["model", "user", "tool"] = "model"
    prompt: str | None = None
    revised_prompt: str | None = Field(default=None, description="the prompt as the mainline model rewrote it")
    action: str | None = Field(default=None, description="`generate` or `edit`, as the service reports it")
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    image_model: str | None = None
    response_id: str | None = None
    parents: tuple[str, ...] = Field(default=(), description="ids of the images it was made from")
    companion_ids: tuple[str, ...] = Field(
        default=(), description="reasoning items that a replay by id needs beside it"
    )
    stored: bool | None = Field(default=None, description="whether the service keeps it; `None`: not known")
    dead_rungs: tuple[Rung, ...] = Field(default=(), description="ways of naming it that the service has refused")
    created_at: datetime | None = None
    sent_sha256: str | None = Field(
        default=None, description="digest of the copy that is sent where the service does not take the original"
    )
    sent_mime_type: str | None = Field(default=None, description="format of that copy")
    partials: tuple[str, ...] = Field(
        default=(), description="digests of its partial pictures in the image store, in the order of their arrival"
    )
    tokens: ResponseTokens | None = Field(default=None, description="what the response that drew it took; see `cost`")
    seconds: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="from the request to its picture, retries included"
    )

    _store: ByteStore | None = PrivateAttr(default=None)

    @field_validator("mime_type", "sent_mime_type")
    @classmethod
    def _known_type(cls, value: str | None) -> str | None:
        """Replace an unknown type: records may come from anybody, and their type goes into HTML."""
        return value if value is None or value in EXTENSIONS else UNKNOWN_TYPE

    @computed_field  # type: ignore[prop-decorator]
    @property
    def handle(self) -> str:
        """The short name for models and people, `img_` and 8 hex digits."""
        return handle_of(self.provider, self.id)

    def __eq__(self, other: object) -> bool:
        # The store is not part of an image, nor is how long the request took, which is not known when it is resumed.
        return isinstance(other, GeneratedImage) and {**self.__dict__, "seconds": None} == {
            **other.__dict__,
            "seconds": None,
        }

    def __hash__(self) -> int:
        return hash((self.provider, self.id, self.sha256))

    @classmethod
    def of(cls, blob: Blob, **facts: Any) -> Self:
        """Return the image of a picture in a store; format and pixels come from its bytes."""
        seen = {"sha256": blob.sha256, "size_bytes": blob.size_bytes, "mime_type": blob.mime_type}
        return cls(**seen, width=blob.width, height=blob.height, **facts)

    def cost(self) -> Cost:
        """Return what the response that drew it cost; zero for a picture that a user or a tool brought.

        The total is `None` if its tokens are not known, or stand on another picture of the same response.
        """
        if self.origin != "model":
            return NOTHING_DRAWN
        if self.tokens is None:
            return unknown("no tokens are recorded with the picture")
        if self.tokens.on is not None:
            return unknown(f"the tokens of its response are on {handle_of(self.provider, self.tokens.on)}")
        return self.tokens.cost(self.image_model, self.created_at)

    def digests(self) -> tuple[str, ...]:
        """Return the digests of all bytes that belong to the image: its own, its sent copy's and its partials'."""
        return (self.sha256, *((self.sent_sha256,) if self.sent_sha256 else ()), *self.partials)

    def record(self) -> dict[str, Any]:
        """Return the image as a plain JSON dict, without bytes and without a location."""
        dumped = self.model_dump(mode="json", exclude_none=True)
        return {key: value for key, value in dumped.items() if value != []}

    def bind(self, store: ByteStore | None) -> Self:
        """Return the same image with its bytes read from `store`."""
        bound = self.model_copy()
        bound._store = store  # noqa: SLF001 - its own class
        return bound

    def read(self) -> bytes:
        """Return the bytes exactly as the service sent them, checked against `sha256`.

        Raises:
            ImageStoreError: no store at hand has them, or they were changed.
        """
        return self._home().get(self.sha256, self.mime_type)

    async def aread(self) -> bytes:
        """Async twin of `read`."""
        return await asyncio.to_thread(self.read)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the bytes to `path`, whole or not at all, and return the path.

        `~` is the home folder. A folder, or a path that ends with a slash, gets a file named by the handle; a path
        without a suffix gets the one of the format. A suffix of another format is kept, with a warning.
        """
        return save_picture(path, self.read(), name=self.handle)

    def to_pil(self) -> Image:
        """Return the picture as a `PIL.Image.Image`; needs Pillow, and for HEIC pillow-heif.

        Raises:
            CorruptImageError: Pillow cannot read it, as SVG, or it has more pixels than Pillow allows.
        """
        return open_picture(self.read(), "to_pil()")

    def view(self, *, edge: int | None = notebook.EDGE) -> notebook.View:
        """Return what a notebook shows of the picture: itself up to 256 KB, or else a preview, which needs Pillow.

        Args:
            edge: Pixels of the longer edge of a preview at most; `None` shows the picture itself, which makes the
                notebook a third larger than its bytes.
        """
        try:
            data = self.read()
        except ImageStoreError as error:
            return notebook.View(notebook.missing(self.handle, str(error)))
        alt = self.revised_prompt or self.prompt or self.handle
        return notebook.View(notebook.picture(data, self.mime_type, alt=alt, edge=edge))

    def to_data_url(self) -> str:
        """Return the picture as a `data:` URL, a third larger than its bytes."""
        return data_url(self.mime_type, self.read())

    def sent_data_url(self) -> str:
        """Return what is sent to the service as a `data:` URL: the copy made for it, or else the picture itself."""
        if self.sent_sha256 is None or self.sent_mime_type is None:
            return self.to_data_url()
        return data_url(self.sent_mime_type, self._home().get(self.sent_sha256, self.sent_mime_type))

    def to_content_block(self) -> dict[str, Any]:
        """Return the picture as a LangChain v1 image content block with its base64."""
        encoded = base64.b64encode(self.read()).decode()
        return {"type": "image", "base64": encoded, "mime_type": self.mime_type, "id": self.id}

    def url(self, *, expires: int = 3600) -> str:
        """Return an address for a page or a chat, valid for `expires` seconds where it is signed.

        Raises:
            ImageStoreError: the store can neither sign nor has a `public_url` template.
        """
        return self._home().url(self.sha256, self.mime_type, expires=expires)

    async def aurl(self, *, expires: int = 3600) -> str:
        """Async twin of `url`."""
        return await asyncio.to_thread(self.url, expires=expires)

    def _home(self) -> ByteStore:
        return self._store if self._store is not None else store_at_hand(self.handle, self.sha256)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield what tells the image from others; `record()` has everything."""
        size = f"{self.width}x{self.height}" if self.width else None
        prompt = notebook.shorten(self.prompt, 80) if self.prompt else None
        told = {"handle": self.handle, "id": self.id, "size": size, "mime_type": self.mime_type, "prompt": prompt}
        return ((name, value) for name, value in told.items() if value)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Return what a notebook shows; SVG goes into an `<img>`, so that no script in it runs."""
        del include, exclude
        return dict(self.view().bundle)


def store_at_hand(handle: str, sha256: str) -> ByteStore:
    """Return the store at hand that has the bytes of an image.

    Raises:
        ImageStoreError: no store at hand has them.
    """
    store, unasked = store_with(sha256)
    if store is None:
        raise ImageStoreError(
            f"no image store at hand holds {handle} (sha256 {sha256[:12]}…): it was deleted or "
            "pruned, or its store is not open: open the ImageStore it was drawn into, or pass it as image_store="
            + "".join(f"; {reason}" for reason in unasked)
        )
    return store


def data_url(mime_type: str, data: bytes) -> str:
    """Return a picture as a `data:` URL."""
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"


def is_kept_by(provider: str, image: GeneratedImage) -> bool:
    """Return True if the service at `provider` drew an image and, as far as is known, keeps it under its call id."""
    drawn = image.origin == "model" and not image.id.startswith("sha256:")
    return drawn and image.stored is not False and image.provider in ("", provider)


def shown(image: GeneratedImage, *, name: str = "", facts: Sequence[str] = ()) -> notebook.Shown:
    """Return what a notebook shows of an image among others.

    Args:
        image: The image.
        name: What it is called; its handle by default.
        facts: What stands below it, a line each.
    """
    told = {"name": name or image.handle, "mime_type": image.mime_type, "facts": tuple(filter(None, facts))}
    try:
        return notebook.Shown(data=image.read(), **told)  # type: ignore[arg-type]
    except ImageStoreError as error:
        return notebook.Shown(why_missing=str(error), **told)  # type: ignore[arg-type]


def digests_in(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the digests of all bytes that a record names."""
    partials = record.get("partials")
    more = partials if isinstance(partials, (list, tuple)) else ()
    return (digest for digest in (record.get("sha256"), record.get("sent_sha256"), *more) if isinstance(digest, str))


def is_record(value: object) -> bool:
    """Return True if `value` looks like a record: a mapping with the keys that every record has."""
    return isinstance(value, Mapping) and {"id", "sha256", "mime_type", "size_bytes"} <= value.keys()


def with_tokens(images: Sequence[GeneratedImage], tokens: ResponseTokens) -> tuple[GeneratedImage, ...]:
    """Return the pictures of a response with its tokens on the first; none if it reports nothing."""
    if not images or (tokens.image is None and not tokens.mainline):
        return tuple(images)
    first, others = images[0], ResponseTokens(on=images[0].id)
    return tuple(image.model_copy(update={"tokens": tokens if image.id == first.id else others}) for image in images)
