"""`PartialImage`: an unfinished picture of a stream, a value like every image."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, computed_field

from langchain_imagegen.images import notebook
from langchain_imagegen.images.files import save_picture
from langchain_imagegen.images.image import Origin, data_url, handle_of, store_at_hand
from langchain_imagegen.images.lookup import ByteStore
from langchain_imagegen.images.pillow import open_picture
from langchain_imagegen.images.sniffing import sniff

if TYPE_CHECKING:
    from PIL.Image import Image


class PartialImage(BaseModel):
    """An unfinished picture of a stream; its bytes stay out of dumps and traces.

    `index` counts from 0; `final` is true for the event whose picture is the finished one. A partial picture has an
    address once its bytes are in an image store: `store.put(partial.data)`, then `partial.bind(store).url()`.
    """

    model_config = ConfigDict(frozen=True)

    index: int
    data: bytes = Field(repr=False, exclude=True)
    mime_type: str
    id: str
    provider: str = ""
    final: bool = False

    _store: ByteStore | None = PrivateAttr(default=None)

    def __eq__(self, other: object) -> bool:
        # The store is not part of a picture.
        return isinstance(other, PartialImage) and all(
            getattr(self, name) == getattr(other, name) for name in PartialImage.model_fields
        )

    def __hash__(self) -> int:
        return hash((self.provider, self.id, self.index, self.final))

    @classmethod
    def of(cls, data: bytes, event: Mapping[str, Any], origin: Origin, *, id: str) -> Self:
        """Return the partial picture of a stream event; its format is read from its bytes where they tell it."""
        seen, index = sniff(data[:4096]), event.get("partial_image_index") or 0
        named = f"image/{event.get('output_format') or 'png'}"
        return cls(
            index=index,
            data=data,
            mime_type=seen.mime_type if seen else named,
            id=id,
            provider=origin.provider,
            final=index >= origin.partial_images,
        )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def handle(self) -> str:
        """The handle that the finished picture will have; the Images API gives no id before, and so another here."""
        return handle_of(self.provider, self.id)

    @cached_property
    def sha256(self) -> str:
        """The digest of the bytes, 64 hex digits: their address in an image store, if they were put into one."""
        return hashlib.sha256(self.data).hexdigest()

    def bind(self, store: ByteStore | None) -> Self:
        """Return the same partial picture with its address taken from `store`, which should have its bytes."""
        bound = self.model_copy()
        bound._store = store  # noqa: SLF001 - its own class
        return bound

    def url(self, *, expires: int = 3600) -> str:
        """Return an address for a page or a chat, valid for `expires` seconds where it is signed.

        Raises:
            ImageStoreError: the picture is in no store at hand, or its store gives no addresses.
        """
        store = self._store if self._store is not None else store_at_hand(self.handle, self.sha256)
        return store.url(self.sha256, self.mime_type, expires=expires)

    async def aurl(self, *, expires: int = 3600) -> str:
        """Async twin of `url`."""
        return await asyncio.to_thread(self.url, expires=expires)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the partial picture to `path` and return the path, by the rules of `GeneratedImage.save`."""
        return save_picture(path, self.data, name=f"{self.handle}-partial-{self.index}")

    def to_pil(self) -> Image:
        """Return the partial picture as a `PIL.Image.Image`; needs Pillow."""
        return open_picture(self.data, "to_pil()")

    def to_data_url(self) -> str:
        """Return the partial picture as a `data:` URL."""
        return data_url(self.mime_type, self.data)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        del include, exclude
        return notebook.picture(self.data, self.mime_type, alt=f"partial {self.index} of {self.handle}")
