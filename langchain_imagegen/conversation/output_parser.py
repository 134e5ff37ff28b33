"""`images_from` and `ImageOutputParser`: the pictures out of whatever a model, a chain or a graph gave."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import ConfigDict, Field

from langchain_imagegen.api.images_api import read_images
from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.conversation.message_forms import readable_messages
from langchain_imagegen.conversation.messages import images_in, into, read_items
from langchain_imagegen.conversation.states import messages_of, values_of
from langchain_imagegen.errors import NoImageError
from langchain_imagegen.images.image import GeneratedImage, Origin
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.storage.store import ImageStore, default_store

Since = Literal["start", "last_human"]

KNOWN_SOURCES = (
    "a message, a list of messages, a graph's state or an agent's result, an ImageResult, a GeneratedImage or an "
    "OpenAI Response or ImagesResponse"
)


def images_from(
    source: object, *, image_store: ImageStore | None = None, since: Since = "start"
) -> list[GeneratedImage]:
    """The images of a message, messages, a graph state, an agent's result, an `ImageResult` or an OpenAI `Response`.

    In order, each once, without calls that failed. Base64 that is still in there is put into the store first; the
    token of an `ImageTransport` names what is in that store already.
    What an edit was made from comes along only where it stands there itself; `ImageMemory` knows both.

    Args:
        source: Where to look; a list holds messages, or results and images as `batch` gives them.
        image_store: Where bytes are read and put; `None` is the default store.
        since: `"last_human"` leaves out all that came before the answer to the user's last message.

    Raises:
        TypeError: `source` is none of these.
    """
    store = image_store or default_store()
    if isinstance(source, (ImageResult, GeneratedImage)):
        drawn = source.images if isinstance(source, ImageResult) else (source,)
        return [image.bind(image_store) if image_store else image for image in drawn]
    if hasattr(source, "output") and hasattr(source, "model_dump"):
        return [image.bind(image_store) for image in _of_response(source, store)]
    if type(source).__name__ == "ImagesResponse":
        return [image.bind(image_store) for image in _of_images_api(source, store)]
    if isinstance(source, BaseMessage):
        return _of_messages([source], [source], image_store)
    source = values_of(source)
    if isinstance(source, Mapping) or hasattr(source, "messages"):
        return _of_state(source, image_store, since)
    if isinstance(source, Sequence) and not isinstance(source, (str, bytes)):
        return _of_list(source, image_store, since)
    raise TypeError(f"there are no images in a {type(source).__name__}: give {KNOWN_SOURCES}")


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
            text = _said(source)
            told = (
                f"the model answered with text and drew nothing: {text!r}" if text else "there is no image in the input"
            )
            raise NoImageError(f"{told}; force the tool with tool_choice, or pass allow_empty=True", text=text)
        return images


def _of_response(response: Any, store: ImageStore) -> list[GeneratedImage]:
    payload = response.model_dump(warnings=False)
    facts = {key: payload.get(key) for key in ("id", "created_at", "store", "tools")}
    items = [item for item in payload.get("output") or () if item]
    return read_items(items, store, Origin(), facts)


def _of_images_api(response: Any, store: ImageStore) -> Sequence[GeneratedImage]:
    payload = response.model_dump(warnings=False)
    return read_images(payload, Origin(), into(store)).images if payload.get("data") else ()


def _of_list(source: Sequence[object], image_store: ImageStore | None, since: Since) -> list[GeneratedImage]:
    if any(isinstance(each, (ImageResult, GeneratedImage)) for each in source):
        found = [image for each in source for image in images_from(each, image_store=image_store)]
        return list({image.id: image for image in found}.values())
    return _of_messages(source, _since(source, since), image_store)


def _of_messages(
    messages: Sequence[object], shown: Sequence[object], image_store: ImageStore | None
) -> list[GeneratedImage]:
    return _known(ImageMemory.from_messages(messages, image_store=image_store), shown)


def _of_state(state: object, image_store: ImageStore | None, since: Since) -> list[GeneratedImage]:
    memory = ImageMemory.from_state(state, image_store=image_store)
    if since == "start":
        return list(memory)
    return _known(memory, _since(messages_of(state, None), since))


def _known(memory: ImageMemory, shown: Iterable[object]) -> list[GeneratedImage]:
    """The images that stand in some messages, with all that is known of them."""
    found = images_in(shown, memory.image_store, sources=False)
    return [memory.get(id) for id in dict.fromkeys(image.id for image in found)]


def _since(messages: Sequence[object], since: Since) -> list[BaseMessage]:
    given = readable_messages(messages)
    if since == "start":
        return given
    last = max((n for n, message in enumerate(given) if isinstance(message, HumanMessage)), default=-1)
    return given[last + 1 :]


def _said(source: object) -> str:
    """What the model said last."""
    if isinstance(source, BaseMessage):
        return str(source.text)
    if isinstance(text := getattr(source, "output_text", None), str):
        return text
    messages = source if isinstance(source, Sequence) else messages_of(values_of(source), None)
    last = next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)
    return str(last.text) if last else ""


def _light(source: object) -> dict[str, Any]:
    """What a tracer sees of the input: what it is, not what it holds."""
    if isinstance(source, BaseMessage):
        return {"message": source.type, "id": source.id}
    if isinstance(source, Mapping):
        return {"keys": sorted(map(str, source))}
    return {"input": type(source).__name__}
