"""`images_from` and `ImageOutputParser`: the pictures out of whatever a model, a chain or a graph gave."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import ConfigDict, Field

from langchain_imagegen.artifacts import GeneratedImage, ImageResult, Origin
from langchain_imagegen.errors import NoImageError
from langchain_imagegen.memory import ImageMemory, messages_of
from langchain_imagegen.messages import as_messages, read_items
from langchain_imagegen.store import ImageStore, default_store

Since = Literal["start", "last_human"]


def images_from(
    source: object, *, image_store: ImageStore | None = None, since: Since = "start"
) -> list[GeneratedImage]:
    """The images of a message, messages, a graph state, an agent's result, an `ImageResult` or an OpenAI `Response`.

    In order, each once, without calls that failed. Base64 that is still in there is put into the store first.

    Args:
        source: Where to look.
        image_store: Where bytes are read and put; `None` is the default store.
        since: `"last_human"` leaves out all that came before the answer to the user's last message.
    """
    store = image_store or default_store()
    if isinstance(source, ImageResult):
        return [image.bind(image_store) if image_store else image for image in source.images]
    if hasattr(source, "output") and hasattr(source, "model_dump"):
        return _of_response(source, store)
    if isinstance(source, BaseMessage):
        source = [source]
    if isinstance(source, Sequence) and not isinstance(source, str):
        return list(ImageMemory.from_messages(_since(source, since), image_store=store))
    return _of_state(source, store, since)


class ImageOutputParser(RunnableSerializable[Any, list[GeneratedImage]]):
    """`images_from` as a runnable, for `ChatOpenAI(…).bind_tools([ImageOptions(…).tool()]) | ImageOutputParser()`."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    image_store: ImageStore | None = Field(default=None, description="where bytes are put; `None`: the default store")
    since: Since = "start"
    allow_empty: bool = Field(default=False, description="give an empty list where there is no image")

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> list[GeneratedImage]:
        """The images of `input`.

        Raises:
            NoImageError: there is none; `.text` is what the model said instead.
        """
        del kwargs
        return self._call_with_config(lambda _: self._read(input), _light(input), config)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> list[GeneratedImage]:
        """Async twin of `invoke`."""
        del kwargs

        async def read(_: Any) -> list[GeneratedImage]:
            return await asyncio.to_thread(self._read, input)

        return await self._acall_with_config(read, _light(input), config)

    def _read(self, source: object) -> list[GeneratedImage]:
        images = images_from(source, image_store=self.image_store, since=self.since)
        if not images and not self.allow_empty:
            text = source.text if isinstance(source, BaseMessage) else ""
            told = (
                f"the model answered with text and drew nothing: {text!r}" if text else "there is no image in the input"
            )
            raise NoImageError(f"{told}; force the tool with tool_choice, or pass allow_empty=True", text=text)
        return images


def _of_response(response: Any, store: ImageStore) -> list[GeneratedImage]:
    payload = response.model_dump()
    facts = {key: payload.get(key) for key in ("id", "created_at", "store", "tools")}
    items = [item for item in payload.get("output") or () if item]
    return [image.bind(store) for image in read_items(items, store, Origin(), facts)]


def _of_state(state: object, store: ImageStore, since: Since) -> list[GeneratedImage]:
    if since == "start":
        return list(ImageMemory.from_state(state, image_store=store))
    known = ImageMemory.from_state(state, image_store=store)
    recent = ImageMemory.from_messages(_since(messages_of(state, None), since), image_store=store)
    return [known.get(image) for image in recent]


def _since(messages: Sequence[object], since: Since) -> list[BaseMessage]:
    given = as_messages(messages)
    if since == "start":
        return given
    last = max((n for n, message in enumerate(given) if isinstance(message, HumanMessage)), default=-1)
    return given[last + 1 :]


def _light(source: object) -> dict[str, Any]:
    """What a tracer sees of the input: what it is, not what it holds."""
    if isinstance(source, BaseMessage):
        return {"message": source.type, "id": source.id}
    if isinstance(source, Mapping):
        return {"keys": sorted(map(str, source))}
    return {"input": type(source).__name__}
