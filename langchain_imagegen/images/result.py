"""`ImageResult`: the images of one call, its tokens and its failures. Values only; no network and no store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.prompt_values import PromptValue
from pydantic import BaseModel, ConfigDict, Field

from langchain_imagegen._moved import OldPickles
from langchain_imagegen.images import notebook
from langchain_imagegen.images.cost import NOTHING_BOUGHT, Cost
from langchain_imagegen.images.files import numbered
from langchain_imagegen.images.lookup import ByteStore
from langchain_imagegen.images.usage import ImageUsage, ResponseTokens

if TYPE_CHECKING:
    from typing import Self
from langchain_imagegen.images.image import GeneratedImage, Rung, shown


class ImageFailure(BaseModel):
    """A picture of a response that failed while others may be fine."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str | None = None
    message: str
    code: str | None = None
    stage: str | None = None
    categories: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f" at the {self.stage}" if self.stage else ""
        why = f": {', '.join(self.categories)}" if self.categories else ""
        return f"a picture failed{where}{why}: {self.message}"


class ImageResult(OldPickles, PromptValue):
    """The pictures of one call, at least one, and what came with them.

    A result is a prompt value, so a chat model takes it as its input and sees the pictures: `draw | chat_model`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    images: tuple[GeneratedImage, ...] = Field(min_length=1)
    text: str = Field(default="", description="what the mainline model wrote beside the pictures")
    response_id: str | None = None
    model: str | None = Field(default=None, description="the mainline model as the service names it")
    usage: UsageMetadata | None = Field(default=None, description="tokens of the mainline model alone")
    image_usage: ImageUsage | None = Field(default=None, description="tokens of the image model; `None`: not told")
    failures: tuple[ImageFailure, ...] = ()
    rung: Rung | None = Field(default=None, description="how the edit named its source; `None`: it was no edit")
    warnings: tuple[str, ...] = ()
    from_ledger: bool = Field(
        default=False, description="whether nothing was bought: the same call had bought these pictures before"
    )
    sources: tuple[GeneratedImage, ...] = Field(default=(), description="the images it was made from, as now known")

    @property
    def image(self) -> GeneratedImage:
        """The first picture."""
        return self.images[0]

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write every picture and return the paths, by the rules of `GeneratedImage.save`.

        Several pictures under the name of one file are numbered: `fox-1.png`, `fox-2.png`.
        """
        if len(self.images) == 1:
            return [self.image.save(path)]
        return [image.save(numbered(path, number)) for number, image in enumerate(self.images, start=1)]

    def to_message(self, text: str | None = None, *, role: Literal["user", "assistant"] = "user") -> BaseMessage:
        """Return a message with the pictures as image blocks, read from the image store.

        Args:
            text: What to say about the pictures, such as a question; `None`: what the mainline model wrote.
            role: `"user"` shows the pictures to a chat model; `"assistant"` keeps them in a chat history.
        """
        words = self.text if text is None else text
        blocks: list[Any] = [{"type": "text", "text": words}] if words else []
        blocks += [image.to_content_block() for image in self.images]
        return AIMessage(blocks) if role == "assistant" else HumanMessage(blocks)

    async def ato_message(self, text: str | None = None, *, role: Literal["user", "assistant"] = "user") -> BaseMessage:
        """Async twin of `to_message`."""
        return await asyncio.to_thread(self.to_message, text, role=role)

    def to_messages(self) -> list[BaseMessage]:
        """Return what a chat model reads of the result: `to_message()`."""
        return [self.to_message()]

    def to_string(self) -> str:
        """Return what a completion model reads of the result: the text beside the pictures, else their handles."""
        return self.text or ", ".join(image.handle for image in self.images)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return False: `record()` is the form in which a result is kept."""
        return False

    def cost(self) -> Cost:
        """Return what the call cost in dollars, by the tokens that the service reports and standard prices.

        The total is zero if the pictures are from the ledger, since nothing was bought, and `None` if the service does
        not report tokens or no price of a model is known; `reason` says which.
        """
        if self.from_ledger:
            return NOTHING_BOUGHT
        mainline = self.response_id is not None or self.usage is not None  # the Images API has none
        tokens = ResponseTokens.of(self.image_usage, self.usage, self.model, mainline=mainline)
        return tokens.cost(self.image.image_model, self.image.created_at)

    def digests(self) -> tuple[str, ...]:
        """Return the digests of all bytes that belong to its images and to the images they were made from."""
        return tuple(digest for image in (*self.images, *self.sources) for digest in image.digests())

    def record(self) -> dict[str, Any]:
        """Return the result as a plain JSON dict, which a tool returns as its artifact."""
        facts = self.model_dump(mode="json", exclude_none=True, exclude={"images", "sources"})
        if not self.from_ledger:
            del facts["from_ledger"]
        groups = {"images": self.images, "sources": self.sources}
        return facts | {name: [image.record() for image in group] for name, group in groups.items()}

    def bind(self, store: ByteStore | None) -> Self:
        """Return the same result with the bytes of its images read from `store`."""
        images, sources = (tuple(image.bind(store) for image in group) for group in (self.images, self.sources))
        return self.model_copy(update={"images": images, "sources": sources})

    def view(self, *, edge: int | None = notebook.EDGE) -> notebook.View:
        """Return what a notebook shows of the result: its pictures, what failed, and warnings.

        Args:
            edge: As for `GeneratedImage.view`; several pictures have at most 512 pixels, unless it is `None`.
        """
        told = [each.message for each in self.failures]
        warnings = (each for each in self.warnings if not any(message in each for message in told))
        notes = [*map(str, self.failures), *(f"warning: {warning}" for warning in warnings)]
        caption = self.image.revised_prompt or self.text
        bundle = notebook.pictures(list(map(shown, self.images)), caption=caption, notes=notes, edge=edge)
        return notebook.View(bundle)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield the images and whatever is out of the ordinary; `record()` has everything."""
        names = ("text", "rung", "failures", "warnings", "from_ledger")
        told = ((name, getattr(self, name)) for name in names if getattr(self, name))
        return chain([("images", list(self.images))], told)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        del include, exclude
        names = ", ".join(image.handle for image in self.images)
        if notebook.has_shown(names):
            return {"text/plain": f"{names}: shown above"}
        return dict(self.view().bundle)
