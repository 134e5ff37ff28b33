"""What models, chains, graphs, streams and dumps give, taken apart into the places where pictures can be.

Nothing is read or stored here; `output_parser` reads the parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

from langchain_imagegen.api.responses import CALL
from langchain_imagegen.conversation.channel import CHANNEL
from langchain_imagegen.conversation.message_forms import ITEMS, is_message, readable_messages
from langchain_imagegen.conversation.records import clean_record, read_record
from langchain_imagegen.conversation.states import messages_of, values_of
from langchain_imagegen.images.image import GeneratedImage, is_record
from langchain_imagegen.images.result import ImageResult

KNOWN_SOURCES = (
    "a message, a list of messages, a graph's state, an agent's result or a chunk of its stream, an ImageResult, a "
    "GeneratedImage or an OpenAI Response or ImagesResponse, also as JSON"
)

_DEPTH = 12  # of containers within containers
_UNDER_WAY = ("queued", "in_progress")
_WRAPPED = ("raw", "body", "response", "item", "update", "value", "result")
"""Keys and attributes under which others hand on an answer: structured output, batch lines, stream events, commands."""


@dataclass(frozen=True)
class Images:
    """Pictures that are known already."""

    images: tuple[GeneratedImage, ...]


@dataclass(frozen=True)
class Answer:
    """A response of the Responses API as JSON."""

    payload: Mapping[str, Any]


@dataclass(frozen=True)
class ImagesAnswer:
    """An answer of the Images API as JSON."""

    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Messages:
    """Messages that follow each other."""

    messages: Sequence[object]


@dataclass(frozen=True)
class State:
    """A graph's state: its channel and its messages belong together."""

    state: object


Part = Images | Answer | ImagesAnswer | Messages | State


def parts_of(source: object) -> list[Part]:
    """Return the parts of a source in which pictures can be.

    Raises:
        TypeError: there can be no pictures in it.
    """
    parts = _parts(source, 0)
    if parts is None:
        raise TypeError(f"there are no images in a {type(source).__name__}: give {KNOWN_SOURCES}")
    return parts


def is_one_answer(source: object) -> bool:
    """Return True if a source is one finished answer: a message of a model that calls no tool, or a response.

    A failed image call by itself is one too. None is a chunk of a stream, a response that the service still works on,
    or a container of answers.
    """
    source = _dumped(_parsed(source))
    if isinstance(source, Mapping) and source.get("type") in ITEMS:
        return bool(source.get("error")) or source.get("status") == "failed"
    if is_message(source):
        return not _is_chunk(source) and any(map(_ends_turn, readable_messages(source)))
    if isinstance(source, Mapping):
        return _is_images_answer(source) or (_is_response(source) and source.get("status") not in _UNDER_WAY)
    if hasattr(source, "output") and hasattr(source, "model_dump"):
        return getattr(source, "status", None) not in _UNDER_WAY
    return type(source).__name__ == "ImagesResponse"


def _ends_turn(message: BaseMessage) -> bool:
    return isinstance(message, AIMessage) and not message.tool_calls


def _is_chunk(message: object) -> bool:
    kind = message.get("type") if isinstance(message, Mapping) else None
    return isinstance(message, AIMessageChunk) or kind == "AIMessageChunk"


def _parts(source: object, depth: int) -> list[Part] | None:
    """Return the parts of a source; None if it is nothing that could hold pictures."""
    source = _parsed(values_of(source))
    if depth > _DEPTH:
        return None
    if isinstance(source, (ImageResult, GeneratedImage)):
        return [Images(source.images if isinstance(source, ImageResult) else (source,))]
    if isinstance(source, BaseMessage):
        return [Messages([source])]
    if isinstance(source, Mapping):
        return _of_mapping(source, depth)
    if isinstance(source, Sequence) and not isinstance(source, (str, bytes)):
        return _of_sequence(source, depth)
    return _of_object(source, depth)


def _parsed(source: object) -> object:
    """Return what JSON text stands for, and any other source unchanged."""
    text = source.strip() if isinstance(source, (str, bytes)) else ""
    if not text or text[:1] not in ("{", b"{", "[", b"["):
        return source
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return source


def _of_object(source: object, depth: int) -> list[Part] | None:
    if hasattr(source, "output") and hasattr(source, "model_dump"):
        return [Answer(source.model_dump(warnings=False))]
    if type(source).__name__ == "ImagesResponse" and hasattr(source, "model_dump"):
        return [ImagesAnswer(source.model_dump(warnings=False))]
    if hasattr(source, "messages") or hasattr(source, CHANNEL):
        return [State(source)]
    if hasattr(source, "type") and hasattr(source, "model_dump"):  # an item or an event of the SDK
        return _of_mapping(source.model_dump(warnings=False), depth)
    wrapped = [getattr(source, name) for name in ("update", "value", "result") if hasattr(source, name)]
    return _of_each((each for each in wrapped if not callable(each)), depth) if wrapped else None


def _of_mapping(source: Mapping[Any, Any], depth: int) -> list[Part]:
    if is_record(source):
        image = read_record(source) if clean_record(source) else None
        return [Images((image,))] if image else []
    if _is_response(source):
        return [Answer(source)]
    if _is_images_answer(source):
        return [ImagesAnswer(source)]
    if source.get("type") == CALL:
        return [Answer({"output": [source]})]
    if is_message(source):
        return [Messages([source])]
    if CHANNEL in source or messages_of(source, None):
        return [State(source)]
    wrapped = [source[name] for name in _WRAPPED if name in source]
    images = source.get("images")
    if isinstance(images, (list, tuple)) and any(map(is_record, images)):
        wrapped = [images]
    return _of_each(wrapped or source.values(), depth) or []


def _of_sequence(source: Sequence[object], depth: int) -> list[Part] | None:
    if not source:
        return []
    items = [_dumped(item) for item in source]
    if any(_is_call(item) for item in items) and all(isinstance(item, Mapping) and "type" in item for item in items):
        return [Answer({"output": items})]
    if _is_message_and_metadata(source):
        return [Messages(source[:1])]
    if any(map(_is_turn, source)) and not any(isinstance(each, (ImageResult, GeneratedImage)) for each in source):
        return [Messages(source)]
    return _of_each(source, depth)


def _of_each(sources: Iterable[object], depth: int) -> list[Part] | None:
    """Return the parts of several sources; None if none of them could hold pictures."""
    found = [parts for each in sources if (parts := _parts(each, depth + 1)) is not None]
    return [part for parts in found for part in parts] if found else None


def _dumped(item: Any) -> Any:
    """Return an output item of the SDK as JSON, and anything else unchanged."""
    if isinstance(item, (BaseMessage, ImageResult, GeneratedImage)) or not hasattr(item, "model_dump"):
        return item
    return item.model_dump(warnings=False) if hasattr(item, "type") else item


def _is_response(source: Mapping[Any, Any]) -> bool:
    return _is_list(source.get("output")) and not isinstance(source.get("messages"), list)


def _is_images_answer(source: Mapping[Any, Any]) -> bool:
    data = source.get("data")
    return _is_list(data) and any("b64_json" in each for each in data if isinstance(each, Mapping))  # type: ignore[union-attr]


def _is_call(item: object) -> bool:
    return isinstance(item, Mapping) and item.get("type") == CALL


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _is_message_and_metadata(source: Sequence[object]) -> bool:
    """True for what `stream_mode="messages"` gives."""
    return (
        isinstance(source, tuple)
        and len(source) == 2
        and is_message(source[0])
        and isinstance(source[1], Mapping)
        and not is_message(source[1])
    )


def _is_turn(value: object) -> bool:
    """True if a value is a message, also as a pair of role and text."""
    pair = isinstance(value, (list, tuple)) and len(value) == 2 and isinstance(value[0], str)
    return is_message(value) or (pair and value[0] in ("user", "human", "assistant", "ai", "system"))  # type: ignore[index]


def messages_in(parts: Iterable[Part]) -> Iterator[object]:
    """Yield the messages in some parts, in order."""
    for part in parts:
        if isinstance(part, Messages):
            yield from part.messages
        elif isinstance(part, State):
            yield from messages_of(part.state, None)
