"""Pictures in LangChain messages: hosted calls, tool results, uploads and pictures of other models, in every form.

Bytes that a message still holds are put into the image store; what comes out are records. Nothing is remembered here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import ValidationError

from langchain_imagegen.api.responses import CALL, Item, read_calls
from langchain_imagegen.conversation.content_blocks import (
    Pointer,
    is_picture,
    read_block,
    require_block,
    text_of_block,
)
from langchain_imagegen.conversation.display import without_pictures
from langchain_imagegen.conversation.message_forms import as_messages, message_text, readable_messages
from langchain_imagegen.conversation.records import Record, clean_records, pass_over, read_record, valid_text
from langchain_imagegen.errors import CorruptImageError, ImageGenerationError, ImageStoreError, OptionError
from langchain_imagegen.images.image import GeneratedImage, Origin, ReadPicture, is_record
from langchain_imagegen.images.sniffing import Blob
from langchain_imagegen.storage.store import ImageStore
from langchain_imagegen.streaming.decoder import decode
from langchain_imagegen.streaming.placeholders import Token, read_token

RECORD = "record"
"""Key under which an image call without base64 carries the record of its picture."""

ROLES = {"human": "user", "ai": "assistant", "system": "system", "developer": "developer"}

_SILENT = frozenset({"reasoning", "thinking", "redacted_thinking", "tool_use", "tool_call", "function_call", CALL})
_TEXT_FIELDS = ("revised_prompt", "prompt", "action", "size", "quality", "background", "output_format", "status", "id")


@dataclass(frozen=True)
class Conversation:
    """Messages as a request: earlier turns as `(role, text)`, the last user text, and the pictures of both."""

    turns: tuple[tuple[str, str], ...]
    prompt: str
    images: tuple[object, ...]
    earlier: tuple[GeneratedImage, ...]


def upload(data: bytes, store: ImageStore, origin: Literal["user", "tool", "model"] = "user") -> GeneratedImage:
    """Put a picture that has no id into `store`, and return its record, whose id is the digest of the bytes.

    Args:
        data: The picture.
        store: Where it goes.
        origin: Who brought it: the user, a tool of somebody else, or another chat model that drew it.
    """
    blob = store.put(data)
    return GeneratedImage.of(blob, id=f"sha256:{blob.sha256}", origin=origin, stored=False).bind(store)


def images_in(messages: Iterable[object], store: ImageStore, *, sources: bool = True) -> list[GeneratedImage]:
    """Return every picture of some messages in order; the same picture may come several times.

    Args:
        messages: In any form that LangChain takes; what is no message is passed over and logged.
        store: Where bytes are read, and where they are put if a message still holds some.
        sources: Whether a tool's message also gives the pictures that an edit was made from.
    """
    found = (_as_image(each) for each in found_in(messages, store, sources=sources))
    return [image.bind(store) for image in found if image]


def found_in(
    messages: Iterable[object], store: ImageStore, *, sources: bool = True
) -> Iterator[GeneratedImage | Record]:
    """Yield every picture of some messages as an image, or as a record that was not validated yet; see `images_in`."""
    prompt, previous = None, None
    for message in readable_messages(messages):
        if isinstance(message, HumanMessage):
            prompt = message_text(message) or prompt
        for found in _found_in_message(message, store, Origin(prompt=prompt, parents=_ids(previous)), sources=sources):
            previous = found
            yield found


def _found_in_message(
    message: BaseMessage, store: ImageStore, origin: Origin, *, sources: bool
) -> Iterable[GeneratedImage | Record]:
    if isinstance(message, ToolMessage):
        records = records_of_tool(message, ("sources", "images") if sources else ("images",))
        return records or pictures_in(message, store)
    if isinstance(message, AIMessage):
        drawn = (image.model_copy(update={"prompt": origin.prompt}) for image in pictures_in(message, store))
        return [*hosted_in(message, store, origin), *drawn]
    return pictures_in(message, store) if isinstance(message, (HumanMessage, SystemMessage)) else ()


def _ids(found: GeneratedImage | Record | None) -> tuple[str, ...]:
    if found is None:
        return ()
    return (found.id if isinstance(found, GeneratedImage) else found["id"],)


def _as_image(found: GeneratedImage | Record) -> GeneratedImage | None:
    return found if isinstance(found, GeneratedImage) else read_record(found)


def pictures_in(message: BaseMessage, store: ImageStore) -> Iterator[GeneratedImage]:
    """Yield the pictures in the blocks of a message whose bytes are at hand; base64 is put into the store.

    That is what a user sent (origin `user`), what a tool of somebody else returned, such as a screenshot (origin
    `tool`), and what another chat model drew (origin `model`). A block that cannot be read is passed over and logged.
    """
    for block in picture_blocks_in(message):
        image = picture_of(block, store, origin_of(message))
        if image is not None:
            yield image


def picture_blocks_in(message: BaseMessage) -> list[Any]:
    """Return the blocks of a message that are pictures of their own: no hosted call, and no view of a drawn picture."""
    blocks = list(message.content) if isinstance(message.content, list) else []
    if isinstance(message, ToolMessage):
        if records_of_tool(message):  # our tool's: the block is a small view of what the artifact records
            return []
        blocks += message.artifact if isinstance(message.artifact, list) else []
    if isinstance(message, AIMessage):
        blocks = [block for block in blocks if not (isinstance(block, Mapping) and hosted_item(block))]
    return [block for block in blocks if is_picture(block)]


def picture_of(block: object, store: ImageStore, origin: Literal["user", "tool", "model"]) -> GeneratedImage | None:
    """Return the picture of a block if its bytes are at hand; log it and return None if it cannot be read."""
    try:
        pointer = read_block(block)
        if pointer is None:
            pass_over("an image block that cannot be read", block)
        elif pointer.record:
            return read_record(pointer.record)
        elif pointer.base64:
            return upload(pointer.decode(), store, origin)
    except CorruptImageError:  # the chat model's to refuse, not the memory's
        pass_over("an image block that holds no picture", block)
    return None


def origin_of(message: BaseMessage) -> Literal["user", "tool", "model"]:
    """Return whose the pictures in the blocks of a message are."""
    if isinstance(message, ToolMessage):
        return "tool"
    return "model" if isinstance(message, AIMessage) else "user"


def records_of_tool(message: ToolMessage, groups: Sequence[str] = ("sources", "images")) -> list[Record]:
    """Return the records in a tool's artifact: of what it drew, and of what that was made from."""
    artifact = message.artifact if isinstance(message.artifact, Mapping) else {}
    listed = (artifact.get(group) for group in groups)
    values = [value for records in listed if isinstance(records, (list, tuple)) for value in records]
    return list(clean_records(value for value in values if isinstance(value, Mapping) and is_record(value)))


def drawn_by_tool(message: ToolMessage, groups: Sequence[str] = ("sources", "images")) -> Iterator[GeneratedImage]:
    """Yield the pictures in a tool's artifact: what it drew, and what that was made from."""
    return (image for record in records_of_tool(message, groups) if (image := read_record(record)))


def hosted_in(message: AIMessage, store: ImageStore, origin: Origin) -> list[GeneratedImage]:
    """Return the pictures of hosted calls in a model's message, whichever `output_version` stored them."""
    return read_items(hosted_items(message), store, origin, response_facts(message))


def read_items(
    items: Iterable[Item], store: ImageStore, origin: Origin, facts: Mapping[str, Any]
) -> list[GeneratedImage]:
    """Return the pictures of a response's output items; those without base64 are known by the record they carry."""
    items = list(map(_clean_item, items))
    drawn = {image.id: _without_guess(image, origin) for image in _drawn(items, store, origin, facts)}
    carried = (read_record(record) for item in items if is_record(record := item.get(RECORD)))
    known = {image.id: image for image in carried if image}
    ids = dict.fromkeys([*(item.get("id") for item in items), *drawn])  # a service may give no id
    return [{**known, **drawn}[id] for id in ids if id in known or id in drawn]


def _drawn(items: list[Item], store: ImageStore, origin: Origin, facts: Mapping[str, Any]) -> list[GeneratedImage]:
    try:
        return read_calls({**facts, "output": items}, origin, into(store))[0]
    except ValidationError:  # of a fact that is of an odd type
        pass_over("facts of a response that cannot be read", facts)
        return read_calls({"output": items}, origin, into(store))[0]


def failures_of(items: Iterable[Item], store: ImageStore) -> list[ImageGenerationError]:
    """Return why image calls among some output items gave no picture, such as `ModerationError`."""
    calls = [_clean_item(item) for item in items if item.get("type") == CALL]
    ended = [item for item in calls if item.get("result") or item.get("error") or item.get("status") == "failed"]
    return [error for _, error in read_calls({"output": ended}, Origin(), into(store))[1]]


def _clean_item(item: Item) -> Item:
    """Return an output item without fields of a wrong type, as clients may post."""
    clean = {name: field for name, field in item.items() if name not in _TEXT_FIELDS or isinstance(field, str)}
    clean = {name: valid_text(field) if name in _TEXT_FIELDS else field for name, field in clean.items()}
    return {name: field for name, field in clean.items() if name != "error" or isinstance(field, (str, Mapping))}


def into(store: ImageStore) -> ReadPicture:
    """Return a reader that puts base64 into `store`, and finds there the picture that a token names."""

    def read(value: object) -> Blob:
        token = read_token(value)
        return store.put(decode(str(value))) if token is None else named(token, store)

    return read


def named(token: Token, store: ImageStore) -> Blob:
    """Return the picture in `store` that a token names; its type and size are read from the bytes there.

    If the bytes are missing, as after pruning, the picture is known by its digest alone, and reading it raises.
    """
    try:
        return store.blob(*token)
    except ImageStoreError:
        return Blob(token.sha256, 0, token.mime_type, None, None)


def hosted_items(message: AIMessage) -> Iterator[Item]:
    """Yield the reasoning and image calls of a message as the service's output items, in order."""
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, Mapping) and (item := hosted_item(block)):
            yield item
    reasoning = message.additional_kwargs.get("reasoning")
    if isinstance(reasoning, Mapping) and (item := hosted_item({"type": "reasoning", **reasoning})):
        yield item
    outputs = message.additional_kwargs.get("tool_outputs")
    for item in outputs if isinstance(outputs, (list, tuple)) else ():
        call = hosted_item(item) if isinstance(item, Mapping) else None
        if call and call.get("type") == CALL:
            yield call


def hosted_item(block: Mapping[str, Any]) -> Item | None:
    """Return the output item that a content block stands for; None unless it is reasoning or an image call."""
    kind, has_id = block.get("type"), isinstance(block.get("id"), str)
    if kind == CALL:
        return block if has_id or "id" not in block else {key: block[key] for key in block if key != "id"}
    if kind == "reasoning" and has_id and block["id"]:
        return block
    if kind == "non_standard" and isinstance(inner := block.get("value"), Mapping):
        return hosted_item(inner) if inner.get("type") != "non_standard" else None
    if kind == "image" and isinstance(block.get("id"), str) and block["id"] and isinstance(block.get("base64"), str):
        extras = block["extras"] if isinstance(block.get("extras"), Mapping) else {}
        return {"type": CALL, "id": block["id"], "result": block["base64"], **extras}
    return None


def response_facts(message: AIMessage) -> dict[str, Any]:
    """Return what a message says of its response: id, time, whether it is stored; odd facts are left out."""
    metadata = message.response_metadata
    ids = [id for id in (metadata.get("id"), message.id) if isinstance(id, str)]
    created, stored = metadata.get("created_at"), metadata.get("store")
    return {
        "id": next((id for id in ids if id == metadata.get("id") or id.startswith("resp_")), None),
        "created_at": created if isinstance(created, (int, float, str)) else None,
        "store": stored if isinstance(stored, bool) else None,
    }


def read_conversation(messages: Iterable[object], store: ImageStore) -> Conversation:
    """Return messages as one request: the last user message is what to draw, all before it is context.

    Raises:
        OptionError: one of them is no message, or the user's last one holds what is neither text nor a picture.
        UnknownImageError: an image block does not say where its picture is.
        CorruptImageError: the data of an image block is no picture.
    """
    all_messages = list(map(without_pictures, as_messages(messages)))
    last = max((n for n, message in enumerate(all_messages) if isinstance(message, HumanMessage)), default=-1)
    before = [message for n, message in enumerate(all_messages) if n != last]
    turns = ((ROLES[message.type], message_text(message)) for message in before if message.type in ROLES)
    given = _given_pictures(all_messages[last]) if last >= 0 else []
    return Conversation(
        turns=tuple((role, text) for role, text in turns if text),
        prompt=message_text(all_messages[last]) if last >= 0 else "",
        images=(*_system_pictures(before), *given) or _latest_remote(before),
        earlier=tuple(images_in((message for message in before if not isinstance(message, SystemMessage)), store)),
    )


def _given_pictures(message: BaseMessage) -> list[Pointer]:
    """Return the pictures of the message that says what to draw."""
    blocks = message.content if isinstance(message.content, list) else []
    found = []
    for block in blocks:
        pointer = require_block(block)
        if pointer:
            found.append(pointer)
        elif not text_of_block(block) and not _is_silent(block):
            kind = block.get("type") if isinstance(block, Mapping) else type(block).__name__
            raise OptionError(
                f"a block of type {str(kind)[:40]!r} is neither text nor a picture, and cannot be drawn from: leave it "
                "out, or describe in words what it says"
            )
    return found


def _is_silent(block: object) -> bool:
    """True if a block says nothing about what to draw: empty text, reasoning or a tool call."""
    kind = block.get("type") if isinstance(block, Mapping) else "text"
    return kind in ("text", "input_text") or (isinstance(kind, str) and kind in _SILENT)


def _system_pictures(messages: Iterable[BaseMessage]) -> list[Pointer]:
    """Return the pictures of system messages, which hold for whatever is drawn."""
    blocks = (block for m in messages if isinstance(m, SystemMessage) for block in picture_blocks_in(m))
    return [pointer for block in blocks if (pointer := require_block(block))]


def _latest_remote(messages: Iterable[BaseMessage]) -> tuple[Pointer, ...]:
    """Return the latest earlier picture if only the service can fetch it; pictures at hand go as `earlier`."""
    pictures: list[Pointer | None] = []
    for message in messages:
        if isinstance(message, AIMessage):
            pictures += [None for _ in hosted_items(message)]
        if isinstance(message, ToolMessage) and records_of_tool(message):
            pictures.append(None)
        if not isinstance(message, SystemMessage):
            pictures += [require_block(block) for block in picture_blocks_in(message)]
    latest = pictures[-1] if pictures else None
    return (latest,) if latest and (latest.url or latest.file_id) else ()


def _without_guess(image: GeneratedImage, origin: Origin) -> GeneratedImage:
    """Return the image, without its guessed parents unless the call was an edit; `v1` messages do not say so."""
    made_from = image.action == "edit" or (image.action is None and origin.named)
    return image if made_from else image.model_copy(update={"parents": ()})
