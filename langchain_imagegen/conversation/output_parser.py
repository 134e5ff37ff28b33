"""`images_from` and `ImageOutputParser`: the pictures out of whatever a model, a chain or a graph gave."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import ConfigDict, Field

from langchain_imagegen.api.images_api import read_images
from langchain_imagegen.api.responses import why_no_image
from langchain_imagegen.conversation.content_blocks import refusal_in
from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.conversation.message_forms import message_text, readable_messages
from langchain_imagegen.conversation.messages import failures_of, hosted_items, images_in, into, read_items
from langchain_imagegen.conversation.sources import (
    Answer,
    Images,
    ImagesAnswer,
    Messages,
    Part,
    is_one_answer,
    messages_in,
    parts_of,
)
from langchain_imagegen.conversation.states import messages_of
from langchain_imagegen.errors import ImageGenerationError, NoImageError
from langchain_imagegen.images.image import GeneratedImage, Origin
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.storage.store import ImageStore, default_store

Since = Literal["start", "last_human"]

_ADVICE = "force the tool with tool_choice, or pass allow_empty=True"


def images_from(
    source: object,
    *,
    image_store: ImageStore | None = None,
    since: Since = "start",
    allow_empty: bool | None = None,
) -> list[GeneratedImage]:
    """Return the images of whatever holds some, in order, each once, without calls that failed.

    Base64 that is still in there is put into the store first; the token of an `ImageTransport` names what is in that
    store already. The image that an edit was made from comes along only if it is there itself; `ImageMemory` has both.

    Args:
        source: A message, messages, a graph's state, an agent's result, a chunk of a stream in any `stream_mode`, an
            `ImageResult`, an image, an OpenAI `Response` or `ImagesResponse`; or the JSON of any of these, such as a
            line of a batch; or a list or dict of them.
        image_store: Where bytes are read and put; `None` is the default store.
        since: `"last_human"` leaves out all that came before the answer to the user's last message.
        allow_empty: Whether to return an empty list if there is no image, or to raise the error that says why. `None`
            raises for one finished answer (an `AIMessage` without tool calls, a response), and returns an empty list
            for anything else: messages, a state and the chunks of a stream often hold none.

    Raises:
        ModerationError: There is no image since the safety system refused; the error has its stage and categories.
        NoImageError: The model answered with text or refused; `.text` is what it said instead.
        CorruptImageError: What stands in place of the picture cannot be read as one.
        TypeError: `source` is none of these.
    """
    parts, store = parts_of(source), image_store or default_store()
    found = [image for part in parts for image in _images_of(part, image_store, since)]
    images = list({image.id: image for image in found}.values())
    allowed = not is_one_answer(source) if allow_empty is None else allow_empty
    if not images and not allowed:
        raise _why_none(parts, store)
    return images


class ImageOutputParser(RunnableSerializable[Any, list[GeneratedImage]]):
    """`images_from` as a runnable, for `ChatOpenAI(…).bind_tools([ImageOptions(…).tool()]) | ImageOutputParser()`."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    image_store: ImageStore | None = Field(default=None, description="where bytes are put; `None`: the default store")
    since: Since = "start"
    allow_empty: bool = Field(default=False, description="give an empty list if there is no image")

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> list[GeneratedImage]:
        """Return the images of `input`.

        Raises:
            ImageGenerationError: There is no image; `images_from` lists the reasons.
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
        return images_from(source, image_store=self.image_store, since=self.since, allow_empty=self.allow_empty)


def _images_of(part: Part, image_store: ImageStore | None, since: Since) -> Iterable[GeneratedImage]:
    store = image_store or default_store()
    if isinstance(part, Images):
        return [image.bind(image_store) if image_store else image for image in part.images]
    if isinstance(part, Answer):
        return [image.bind(image_store) for image in _of_response(part.payload, store)]
    if isinstance(part, ImagesAnswer):
        read = _read_images_answer(part, store)
        return () if isinstance(read, ImageGenerationError) else [image.bind(image_store) for image in read.images]
    if isinstance(part, Messages):
        memory = ImageMemory.from_messages(part.messages, image_store=image_store)
        return _shown_images(memory, _since(part.messages, since))
    memory = ImageMemory.from_state(part.state, image_store=image_store)
    return list(memory) if since == "start" else _shown_images(memory, _since(messages_of(part.state, None), since))


def _read_images_answer(part: ImagesAnswer, store: ImageStore) -> ImageResult | ImageGenerationError:
    try:
        return read_images(part.payload, Origin(), into(store))
    except ImageGenerationError as error:
        return error


def _of_response(payload: Mapping[str, Any], store: ImageStore) -> list[GeneratedImage]:
    facts = {key: payload.get(key) for key in ("id", "created_at", "store")}
    tools = payload.get("tools")
    facts["tools"] = [tool for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []
    return read_items(_items(payload), store, Origin(), facts)


def _items(payload: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [item for item in payload.get("output") or () if isinstance(item, Mapping)]


def _shown_images(memory: ImageMemory, messages: Sequence[object]) -> list[GeneratedImage]:
    """Return the images in some messages, with all that the memory knows of them."""
    found = images_in(messages, memory.image_store, sources=False)
    return list({known.id: known for known in (memory.get(image) for image in found)}.values())


def _since(messages: Sequence[object], since: Since) -> Sequence[object]:
    if since == "start":
        return messages
    read = readable_messages(messages)
    last = max((n for n, message in enumerate(read) if isinstance(message, HumanMessage)), default=-1)
    return read[last + 1 :]


def _why_none(parts: Sequence[Part], store: ImageStore) -> ImageGenerationError:
    """Return the error that says why a source holds no picture: moderation, a refusal, text or nothing at all."""
    messages = readable_messages(list(messages_in(parts)))
    message = next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)
    if message is not None:
        why = _reason(list(hosted_items(message)), message_text(message), _refusal(message), store)
        why.response_id = why.response_id or _response_id_of(message)
        return why
    answer = next((part for part in reversed(parts) if isinstance(part, (Answer, ImagesAnswer))), None)
    if isinstance(answer, Answer):
        return _why_none_in_response(answer.payload, store)
    read = _read_images_answer(answer, store) if answer else None
    return read if isinstance(read, ImageGenerationError) else _reason([], "", "", store)


def _why_none_in_response(payload: Mapping[str, Any], store: ImageStore) -> ImageGenerationError:
    items = _items(payload)
    why = why_no_image({**payload, "output": items}, failures_of(items, store))
    if not isinstance(why, NoImageError) or payload.get("status") == "incomplete":
        return why
    return _reason(items, why.text, refusal_in(_contents(payload)), store)


def _reason(items: Sequence[Mapping[str, Any]], text: str, refusal: str, store: ImageStore) -> ImageGenerationError:
    if failures := failures_of(items, store):
        return failures[0]
    if refusal:
        return NoImageError(f"the model refused to draw: {refusal!r}; change what is asked for", text=refusal)
    said = f"the model answered with text and drew nothing: {text!r}" if text else "there is no image in the input"
    return NoImageError(f"{said}; {_ADVICE}", text=text)


def _response_id_of(message: AIMessage) -> str | None:
    id = message.response_metadata.get("id")
    return id if isinstance(id, str) and id.startswith("resp_") else None


def _refusal(message: AIMessage) -> str:
    refusal = message.additional_kwargs.get("refusal")
    return refusal if isinstance(refusal, str) and refusal else refusal_in(message.content)


def _contents(payload: Mapping[str, Any]) -> list[Any]:
    contents = (item.get("content") for item in _items(payload) if item.get("type") == "message")
    return [block for content in contents if isinstance(content, list) for block in content]


def _light(source: object) -> dict[str, Any]:
    """Return what a tracer sees of the input: what it is, not what it holds."""
    if isinstance(source, BaseMessage):
        return {"message": source.type, "id": source.id}
    if isinstance(source, Mapping):
        return {"keys": sorted(map(str, source))}
    return {"input": type(source).__name__}
