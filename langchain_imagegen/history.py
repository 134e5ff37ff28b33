"""A conversation's messages in two forms: light for the state, whole for a request.

Pure steps between the two; the bytes move through the image store. No message is changed in place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_imagegen.artifacts import GeneratedImage, Origin
from langchain_imagegen.blocks import read_block, reference_block
from langchain_imagegen.errors import CorruptImageError, ImageStoreError
from langchain_imagegen.memory import ImageMemory
from langchain_imagegen.messages import RECORD, hosted_in, hosted_item, upload
from langchain_imagegen.store import ImageStore
from langchain_imagegen.wire import CALL

Block = Mapping[str, Any]

_HANDLE = re.compile(r"\b(?:img_[0-9a-f]{4,64}|ig_\w{8,})\b")
_TOLD = 80  # characters of a prompt by which a picture is told apart


# --- light, for the state


def light_upload(message: HumanMessage, store: ImageStore) -> tuple[HumanMessage, list[GeneratedImage]]:
    """The user's message with references in place of base64, under the same id, and the images taken out of it."""
    taken: list[GeneratedImage] = []

    def taken_out(block: Any) -> Any:
        pointer = read_block(block)
        if pointer is None or pointer.base64 is None:
            return block
        try:
            taken.append(upload(pointer.decode(), store))
        except CorruptImageError:  # the chat model's to refuse
            return block
        return reference_block(taken[-1].record())

    content = [taken_out(block) for block in _blocks(message)]
    return (_with(message, content), taken) if taken else (message, [])


def light_answer(message: AIMessage, store: ImageStore, origin: Origin) -> tuple[AIMessage, list[GeneratedImage]]:
    """The model's message with image calls that name their picture in place of base64, and those pictures."""
    images = hosted_in(message, store, origin)
    if not images:
        return message, []
    records = {image.id: image.record() for image in images}
    light = _with(message, [_named_by_record(block, records) for block in _blocks(message)] or message.content)
    outputs = message.additional_kwargs.get("tool_outputs")
    if outputs:
        named = [_named_by_record(block, records) for block in outputs]
        light = light.model_copy(update={"additional_kwargs": {**message.additional_kwargs, "tool_outputs": named}})
    return light, images


def _named_by_record(block: Any, records: Mapping[str, Mapping[str, Any]]) -> Any:
    item = hosted_item(block) if isinstance(block, Mapping) else None
    if item is None or item["type"] != CALL or item.get("id") not in records:
        return block
    call = {"type": CALL, "id": item["id"], "status": "completed", RECORD: dict(records[item["id"]])}
    # A v1 image block without base64 would silently vanish from the next request; this form is sent as an id.
    return {"type": "non_standard", "value": call} if block["type"] in {"image", "non_standard"} else call


# --- whole, for a request


def whole_upload(message: HumanMessage, memory: ImageMemory) -> HumanMessage:
    """The user's message with the pictures back in, each beside its handle."""
    content = [part for block in _blocks(message) for part in _shown(block, memory)]
    return _with(message, content) if content and content != message.content else message


def whole_answer(message: AIMessage, memory: ImageMemory, kept: Collection[str], gone: Collection[str]) -> AIMessage:
    """The model's message with only those image calls that the service resolves; the others are told in words.

    Args:
        message: As the state has it.
        memory: Names the pictures.
        kept: Ids that may be sent.
        gone: Ids of reasoning items that the service no longer knows; they are left out.
    """
    blocks = [part for block in _blocks(message) for part in _sendable(block, memory, kept, gone)]
    extra = dict(message.additional_kwargs)
    outputs = [part for block in extra.get("tool_outputs") or () for part in _sendable(block, memory, kept, gone)]
    if "tool_outputs" in extra:
        extra["tool_outputs"] = [part for part in outputs if part.get("type") != "text"]
    words = [part for part in outputs if part.get("type") == "text"]
    if (extra.get("reasoning") or {}).get("id") in gone:
        del extra["reasoning"]
    if words and isinstance(message.content, str):
        blocks = [text_block(message.content), *words]
    content = blocks or ([] if isinstance(message.content, list) else message.content)
    if content == message.content and extra == message.additional_kwargs:
        return message
    return message.model_copy(update={"content": content or "", "additional_kwargs": extra})


def with_images(
    messages: Sequence[BaseMessage], by_id: Sequence[GeneratedImage], added: Sequence[Block]
) -> list[BaseMessage]:
    """The messages with earlier pictures at the user's last one: by call id before it, as blocks at its end."""
    last = max((n for n, message in enumerate(messages) if isinstance(message, HumanMessage)), default=None)
    if last is None or not (by_id or added):
        return list(messages)
    calls = [AIMessage([{"type": CALL, "id": image.id} for image in by_id])] if by_id else []
    message = messages[last]
    own = _blocks(message) or [text_block(message.text)]
    return [*messages[:last], *calls, _with(message, [*own, *added]), *messages[last + 1 :]]


def picture_blocks(image: GeneratedImage, handle: str) -> list[dict[str, Any]]:
    """A picture and its handle as blocks; words alone where its bytes are not at hand."""
    try:
        block = image.to_content_block()
    except ImageStoreError:
        return [text_block(f"(Image {handle} is no longer at hand.)")]
    return [text_block(f"(Image {handle}:)"), {key: value for key, value in block.items() if key != "id"}]


def text_block(text: str) -> dict[str, Any]:
    """Words as a content block."""
    return {"type": "text", "text": text}


def named_in(text: str, memory: ImageMemory) -> list[GeneratedImage]:
    """The images that a text names by handle or call id, in order."""
    found = dict.fromkeys(match[0] for match in _HANDLE.finditer(text))
    return [memory.get(name) for name in found if name in memory]


def inventory(memory: ImageMemory, told: Collection[str], limit: int = 20) -> str:
    """A short list of the remembered images whose ids are not `told`; empty where all are.

    The latest `limit` of them: handle, the beginning of the prompt, the parent; and how many more there are.
    """
    hidden = [image for image in memory if image.id not in told]
    if not hidden:
        return ""
    lines = [_line(image, memory) for image in hidden[-limit:]]
    more = [f"and {len(hidden) - limit} older ones"] if len(hidden) > limit else []
    return "\n".join(["Earlier images of this conversation, which can be edited by their handles:", *lines, *more])


def named_ids(messages: Iterable[BaseMessage], memory: ImageMemory) -> set[str]:
    """Ids of the images that the text of some messages names."""
    return {image.id for message in messages for image in named_in(message.text, memory)}


def shown_ids(messages: Iterable[BaseMessage]) -> list[str]:
    """Ids of the images that some light messages show, in order: image calls and the user's own."""
    return [id for message in messages for id in (*call_ids(message), *_reference_ids(message))]


def call_ids(message: BaseMessage) -> list[str]:
    """Ids of the image calls in a model's message."""
    blocks = [*_blocks(message), *(message.additional_kwargs.get("tool_outputs") or ())]
    items = (hosted_item(block) for block in blocks if isinstance(block, Mapping))
    return [item["id"] for item in items if item and item["type"] == CALL and item.get("id")]


def own_images(message: BaseMessage, memory: ImageMemory) -> list[GeneratedImage]:
    """The images that a user's light message brought."""
    return [memory.get(id) for id in _reference_ids(message) if id in memory]


def edited(
    messages: Sequence[BaseMessage], rewrite: Mapping[type[BaseMessage], Callable[[Any], BaseMessage]]
) -> list[BaseMessage]:
    """The messages, those of some types rewritten."""
    return [next((change(m) for kind, change in rewrite.items() if isinstance(m, kind)), m) for m in messages]


def _reference_ids(message: BaseMessage) -> list[str]:
    pointers = [read_block(block) for block in _blocks(message) if isinstance(message, HumanMessage)]
    return [pointer.record["id"] for pointer in pointers if pointer and pointer.record]


def _sendable(block: Any, memory: ImageMemory, kept: Collection[str], gone: Collection[str]) -> list[Any]:
    item = hosted_item(block) if isinstance(block, Mapping) else None
    if item is None or (item["type"] == CALL and item.get("id") in kept):
        return [block]
    if item["type"] != CALL:
        return [] if item.get("id") in gone else [block]
    if item.get("id") not in memory:
        return []
    image = memory.get(item["id"])
    return [text_block(f"(Drew {memory.handle(image)}: {_prompt(image)})")]


def _shown(block: Any, memory: ImageMemory) -> list[Any]:
    pointer = read_block(block)
    if pointer is None or pointer.record is None:
        return [block]
    image = memory.get(pointer.record["id"]) if pointer.record["id"] in memory else None
    return picture_blocks(image, memory.handle(image)) if image else [block]


def _line(image: GeneratedImage, memory: ImageMemory) -> str:
    parents = [memory.handle(parent) for parent in image.parents if parent in memory]
    made = f" (made from {', '.join(parents)})" if parents else ""
    return f"- {memory.handle(image)}: {_prompt(image)}{made}"


def _prompt(image: GeneratedImage) -> str:
    return (image.prompt or image.revised_prompt or "sent by the user")[:_TOLD]


def _blocks(message: BaseMessage) -> list[Any]:
    return list(message.content) if isinstance(message.content, list) else []


def _with(message: Any, content: Any) -> Any:
    return message.model_copy(update={"content": content})
