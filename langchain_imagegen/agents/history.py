"""Messages in two forms: light for the state, with references to pictures, and whole for a request, with the bytes.

Pure but for the image store, where the bytes are kept. No message is changed in place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_imagegen.agents.wording import no_picture, reason_of
from langchain_imagegen.api.responses import CALL
from langchain_imagegen.conversation.content_blocks import Pointer, is_picture, read_block, reference_block
from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.conversation.message_forms import message_text
from langchain_imagegen.conversation.messages import (
    RECORD,
    hosted_in,
    hosted_item,
    origin_of,
    picture_blocks_in,
    picture_of,
)
from langchain_imagegen.errors import CorruptImageError, ImageStoreError
from langchain_imagegen.images.image import GeneratedImage, Origin
from langchain_imagegen.storage.store import ImageStore

Block = Mapping[str, Any]
Message = TypeVar("Message", bound=BaseMessage)

IMAGE_URL = "image_url"
_DELETED = "(A picture was here, and was deleted.)"

_HANDLE = re.compile(r"\b(?:img_[0-9a-f]{4,64}|ig_\w{8,})\b")
_TOLD = 80  # characters of a prompt by which a picture is told apart
_NEEDED = ("id", "provider", "sha256", "size_bytes", "mime_type", "width", "height", "origin", "parents")


# --- light, for the state


def light_pictures(message: Message, store: ImageStore) -> tuple[Message, list[GeneratedImage]]:
    """Return a message with references in place of base64, under the same id, and the images taken out of it.

    These are the user's uploads, what other people's tools returned, and what other chat models drew.
    """
    taken: list[GeneratedImage] = []
    pictures = {id(block) for block in picture_blocks_in(message)}

    def lighten(block: Any) -> Any:
        pointer = _pointer(block) if id(block) in pictures else None
        image = picture_of(block, store, origin_of(message)) if pointer and pointer.base64 else None
        if image is None:
            return block
        taken.append(image)
        light = reference_block(reference(image))
        if block.get("type") == IMAGE_URL and not isinstance(message, HumanMessage):  # as its chat model wants it
            light["value"]["form"] = IMAGE_URL
        return light

    update: dict[str, Any] = {"content": list(map(lighten, _blocks(message)))}
    if isinstance(message, ToolMessage) and isinstance(message.artifact, list):
        update["artifact"] = list(map(lighten, message.artifact))
    return (message.model_copy(update=update), taken) if taken else (message, [])


def light_answer(message: AIMessage, store: ImageStore, origin: Origin) -> tuple[AIMessage, list[GeneratedImage]]:
    """Return a model's message whose image calls hold references in place of base64, and their images."""
    images = hosted_in(message, store, origin)
    references = {image.id: reference(image) for image in images}

    def named(blocks: Iterable[Any]) -> list[Any]:
        return [_named_by_reference(block, references) for block in blocks]

    return _rewritten(message, named(_blocks(message)), named(_outputs(message))), images


def reference(image: GeneratedImage) -> dict[str, Any]:
    """Return the part of a record that a message carries: enough to find, name and place the image.

    The rest is in the state's channel: every checkpoint repeats all messages, but not a channel of deltas.
    """
    record = image.record()
    return {key: record[key] for key in _NEEDED if key in record}


def _named_by_reference(block: Any, references: Mapping[str, dict[str, Any]]) -> Any:
    item = _item(block)
    if item is None or item["type"] != CALL or not item.get("result") or item.get("id") not in references:
        return block
    call = {"type": CALL, "id": item["id"], "status": "completed", RECORD: references[item["id"]]}
    # A v1 image block without base64 would silently vanish from the next request; this form is sent as an id.
    return {"type": "non_standard", "value": call} if block["type"] in ("image", "non_standard") else call


# --- whole, for a request


def whole_pictures(message: Message, memory: ImageMemory) -> Message:
    """Return a message with its pictures back in; what a user or a tool brought stands beside its handle."""
    named = not isinstance(message, AIMessage)  # a model would repeat the words that its own messages hold
    content = [part for block in _blocks(message) for part in _restore(block, memory, named=named)]
    return _with(message, content) if content and content != message.content else message


def whole_answer(message: AIMessage, memory: ImageMemory, kept: Collection[str], gone: Collection[str]) -> AIMessage:
    """Return a model's message with the image calls that the service can resolve, and words in place of the others.

    Args:
        message: The message as the state holds it.
        memory: Gives the handles of the images.
        kept: Ids of image calls that may be sent.
        gone: Ids of reasoning that is left out.
    """

    def sendable(blocks: Iterable[Any]) -> list[Any]:
        return [part for block in blocks if (part := _sendable(block, memory, kept, gone)) is not None]

    own, outputs = sendable(_blocks(message)), sendable(_outputs(message))
    words = [part for part in outputs if _is_text(part)]
    calls = [part for part in outputs if not _is_text(part)]
    whole = _rewritten(message, [*own, *words] if own or isinstance(message.content, list) else words, calls)
    return _without_ids(whole, gone) if _reasoning_ids(message) & set(gone) else whole


def with_images(messages: Sequence[BaseMessage], calls: Sequence[Block], added: Sequence[Block]) -> list[BaseMessage]:
    """Return the messages with image calls inserted before the user's last message, and blocks appended to it."""
    last = max((n for n, message in enumerate(messages) if isinstance(message, HumanMessage)), default=None)
    if last is None or not (calls or added):
        return list(messages)
    answer = [AIMessage(list(map(dict, calls)))] if calls else []
    message = messages[last]
    own = _blocks(message) or [text_block(message_text(message))]
    asked = _with(message, [*own, *added]) if added else message
    return [*messages[:last], *answer, asked, *messages[last + 1 :]]


def calls_of(images: Iterable[GeneratedImage]) -> list[dict[str, Any]]:
    """Return image calls by id, each preceded by the reasoning items that the service requires with it."""
    blocks: dict[str, dict[str, Any]] = {}
    for image in images:
        blocks |= {id: {"type": "reasoning", "id": id, "summary": []} for id in image.companion_ids}
        blocks[image.id] = {"type": CALL, "id": image.id}
    return list(blocks.values())


def picture_blocks(image: GeneratedImage, handle: str) -> list[dict[str, Any]]:
    """Return an image and its handle as content blocks; only text if the bytes are missing."""
    try:
        head, _, encoded = image.sent_data_url().partition(";base64,")
    except ImageStoreError:
        return [text_block(f"(Image {handle} is no longer at hand.)")]
    block = {"type": "image", "base64": encoded, "mime_type": head.removeprefix("data:")}
    return [text_block(f"(Image {handle}:)"), block]


def text_block(text: str) -> dict[str, Any]:
    """Return text as a content block."""
    return {"type": "text", "text": text}


# --- what the messages tell


def named_in(text: str, memory: ImageMemory) -> list[GeneratedImage]:
    """Return the images that a text names by handle or call id, in order."""
    found = dict.fromkeys(match[0] for match in _HANDLE.finditer(text))
    return [memory.get(name) for name in found if name in memory]


def named_ids(messages: Iterable[BaseMessage], memory: ImageMemory) -> set[str]:
    """Return the ids of the images that the text of some messages names."""
    return {image.id for message in messages for image in named_in(message_text(message), memory)}


def seen_ids(messages: Iterable[BaseMessage], memory: ImageMemory, kept: Collection[str]) -> list[str]:
    """Return the ids of the images that a request shows, in order: pictures in messages, and image calls in `kept`."""
    seen: list[str] = []
    for message in messages:
        seen += [image.id for image in own_images(message, memory)]
        seen += [item["id"] for item in _items(message) if item["type"] == CALL and item.get("id") in kept]
    return seen


def item_ids(messages: Iterable[BaseMessage]) -> set[str]:
    """Return the ids of the image calls and reasoning items in some messages."""
    return {item["id"] for message in messages for item in _items(message) if item.get("id")}


def own_images(message: BaseMessage, memory: ImageMemory) -> list[GeneratedImage]:
    """Return the images that a light message of the user or of a tool brought."""
    pointers = map(_pointer, _blocks(message) if isinstance(message, (HumanMessage, ToolMessage)) else ())
    ids = [pointer.record["id"] for pointer in pointers if pointer and pointer.record]
    return [memory.get(id) for id in ids if id in memory]


def inventory(memory: ImageMemory, told: Collection[str], limit: int = 20) -> str:
    """Return a list in words of the remembered images that a request does not show; empty if it shows all.

    Args:
        memory: The images.
        told: Ids of the images that the request shows or names.
        limit: How many to list, the latest; the list says how many more there are.
    """
    hidden = [image for image in memory if image.id not in told]
    if not hidden:
        return ""
    lines = [_line(image, memory) for image in hidden[-limit:]]
    more = [f"and {len(hidden) - limit} older ones"] if len(hidden) > limit else []
    return "\n".join(["Earlier images of this conversation, which can be edited by their handles:", *lines, *more])


def rewrite_messages(
    messages: Sequence[BaseMessage], rewrite: Mapping[type[BaseMessage], Callable[[Any], BaseMessage]]
) -> list[BaseMessage]:
    """Return the messages, with a function applied to those of each given type."""
    return [next((change(m) for kind, change in rewrite.items() if isinstance(m, kind)), m) for m in messages]


# --- parts of messages


def _sendable(block: Any, memory: ImageMemory, kept: Collection[str], gone: Collection[str]) -> Any:
    """Return the block to send: the block itself, text in its place, or None for reasoning that is left out."""
    item = _item(block)
    if item is None or item.get("id") in kept:
        return block
    if item["type"] != CALL:
        return None if item.get("id") in gone else block
    if memory.has_forgotten(item.get("id")):
        return text_block(_DELETED)
    if item.get("id") not in memory:  # it failed, or is not of this conversation
        return text_block(no_picture(reason_of(item)))
    image = memory.get(item["id"])
    return text_block(f"(Drew {memory.handle(image)}: {_prompt(image)})")


def _without_ids(message: AIMessage, gone: Collection[str]) -> AIMessage:
    """Return a message without the ids of its parts; by these the service would ask for the reasoning left out."""
    content = [_without_id(block) for block in _blocks(message)] or message.content
    extra = dict(message.additional_kwargs)
    if _reasoning(message).get("id") in gone:
        del extra["reasoning"]
    return message.model_copy(update={"id": None, "content": content, "additional_kwargs": extra})


def _without_id(block: Any) -> Any:
    kind = block.get("type") if isinstance(block, Mapping) else None
    dropped = {"text": "id", "function_call": "id", "tool_call": "extras"}.get(str(kind))
    return {key: value for key, value in block.items() if key != dropped} if dropped else block


def _restore(block: Any, memory: ImageMemory, *, named: bool) -> list[Any]:
    pointer = _pointer(block)
    if pointer is None and _is_unreadable(block):  # the chat model would raise
        return [text_block("(A part of this message cannot be read.)")]
    if pointer is None or pointer.record is None or pointer.record["id"] not in memory:
        forgotten = pointer is not None and pointer.record is not None and memory.has_forgotten(pointer.record["id"])
        return [text_block(_DELETED)] if forgotten else [block]
    image = memory.get(pointer.record["id"])
    words, *pictures = picture_blocks(image, memory.handle(image))
    if block.get("type") == "non_standard" and block["value"].get("form") == IMAGE_URL:
        pictures = [{"type": IMAGE_URL, IMAGE_URL: {"url": image.sent_data_url()}} for _ in pictures]
    return [words, *pictures] if named or not pictures else pictures


def _line(image: GeneratedImage, memory: ImageMemory) -> str:
    parents = [memory.handle(parent) for parent in image.parents if parent in memory]
    parents += ["a deleted image" for parent in image.parents if memory.has_forgotten(parent)]
    made = f" (made from {', '.join(parents)})" if parents else ""
    return f"- {memory.handle(image)}: {_prompt(image)}{made}"


def _prompt(image: GeneratedImage) -> str:
    return (image.prompt or image.revised_prompt or "sent by the user")[:_TOLD]


def _pointer(block: Any) -> Pointer | None:
    try:
        return read_block(block)
    except CorruptImageError:
        return None


def _is_unreadable(block: Any) -> bool:
    """Return True if a block names no type, or says that it is a picture and not where."""
    return isinstance(block, Mapping) and (not isinstance(block.get("type", ""), str) or is_picture(block))


def _is_text(block: Any) -> bool:
    return isinstance(block, Mapping) and block.get("type") == "text"


def _items(message: BaseMessage) -> list[Block]:
    """Return the image calls and reasoning items of a model's message."""
    if not isinstance(message, AIMessage):
        return []
    blocks = [*_blocks(message), *_outputs(message), {"type": "reasoning", **_reasoning(message)}]
    return [item for item in map(_item, blocks) if item]


def _item(block: Any) -> Block | None:
    item = hosted_item(block) if isinstance(block, Mapping) else None
    return item if item is None or isinstance(item.get("id"), str) else {**item, "id": None}


def _reasoning_ids(message: AIMessage) -> set[str]:
    return {item["id"] for item in _items(message) if item["type"] == "reasoning"}


def _reasoning(message: BaseMessage) -> Mapping[str, Any]:
    reasoning = message.additional_kwargs.get("reasoning")
    return reasoning if isinstance(reasoning, Mapping) else {}


def _outputs(message: BaseMessage) -> list[Any]:
    """Return the hosted calls that `v0` messages hold beside their content."""
    outputs = message.additional_kwargs.get("tool_outputs")
    return list(outputs) if isinstance(outputs, (list, tuple)) else []


def _blocks(message: BaseMessage) -> list[Any]:
    return list(message.content) if isinstance(message.content, list) else []


def _rewritten(message: AIMessage, blocks: Sequence[Any], outputs: Sequence[Any]) -> AIMessage:
    """Return a message with other blocks and hosted calls; content that is a string stays, before the blocks."""
    content: Any = list(blocks)
    if isinstance(message.content, str):
        content = [text_block(message.content), *blocks] if blocks else message.content
    extra = message.additional_kwargs
    if isinstance(extra.get("tool_outputs"), (list, tuple)):
        extra = {**extra, "tool_outputs": list(outputs)}
    return message.model_copy(update={"content": content, "additional_kwargs": extra})


def _with(message: Any, content: Any) -> Any:
    return message.model_copy(update={"content": content})
