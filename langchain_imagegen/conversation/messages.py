"""LangChain messages to images and back: where a picture stands in a message, in each form that it can have there.

Bytes that a message still holds are put into the image store; what comes out are records. Nothing is remembered here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage, convert_to_messages
from pydantic import ValidationError

from langchain_imagegen.api.responses import CALL, Item, read_calls
from langchain_imagegen.conversation.content_blocks import read_block
from langchain_imagegen.errors import CorruptImageError, ImageStoreError
from langchain_imagegen.images.image import GeneratedImage, Origin, ReadPicture, is_record
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.images.sniffing import Blob
from langchain_imagegen.storage.store import ImageStore
from langchain_imagegen.streaming.decoder import decode
from langchain_imagegen.streaming.placeholders import Token, read_token

RECORD = "record"
"""Key under which an image call without base64 carries the record of its picture."""

ROLES = {"human": "user", "ai": "assistant", "system": "system", "developer": "developer"}


@dataclass(frozen=True)
class Conversation:
    """Messages as a request: earlier turns as `(role, text)`, the last user text, and the pictures of both."""

    turns: tuple[tuple[str, str], ...]
    prompt: str
    images: tuple[object, ...]
    earlier: tuple[GeneratedImage, ...]


def upload(data: bytes, store: ImageStore) -> GeneratedImage:
    """The record of a picture that a user brings; its id is the digest of its bytes, which go into `store`."""
    blob = store.put(data)
    return GeneratedImage.of(blob, id=f"sha256:{blob.sha256}", origin="user", stored=False).bind(store)


def images_in(messages: Iterable[object], store: ImageStore, *, sources: bool = True) -> list[GeneratedImage]:
    """Every picture of some messages in order, drawn and uploaded; the same picture may come several times.

    Args:
        messages: In any form that LangChain takes.
        store: Where bytes are read, and put where a message still holds some.
        sources: Whether a tool's message also tells of the pictures that an edit was made from.
    """
    found: list[GeneratedImage] = []
    prompt = None
    for message in as_messages(messages):
        if isinstance(message, HumanMessage):
            prompt = message.text or prompt
            found += uploads_in(message, store)
        elif isinstance(message, ToolMessage):
            found += drawn_by_tool(message, ("sources", "images") if sources else ("images",))
        elif isinstance(message, AIMessage):
            parents = tuple(image.id for image in found[-1:])
            found += hosted_in(message, store, Origin(prompt=prompt, parents=parents))
    return [image.bind(store) for image in found]


def as_messages(messages: Iterable[object]) -> list[BaseMessage]:
    """Messages in any form that LangChain takes, as messages."""
    return convert_to_messages(list(messages))  # type: ignore[arg-type]


def uploads_in(message: HumanMessage, store: ImageStore) -> Iterator[GeneratedImage]:
    """The pictures of a user's message whose bytes are at hand; what is no picture is passed over."""
    for block in message.content if isinstance(message.content, list) else ():
        try:
            pointer = read_block(block)
            if pointer and pointer.record:
                yield from readable([pointer.record])
            elif pointer and pointer.base64:
                yield upload(pointer.decode(), store)
        except CorruptImageError:  # it is the chat model's to refuse it, not the memory's
            continue


def drawn_by_tool(message: ToolMessage, groups: Sequence[str] = ("sources", "images")) -> Iterator[GeneratedImage]:
    """The pictures in a tool's artifact: what it drew, and from what."""
    artifact = message.artifact if isinstance(message.artifact, Mapping) else {}
    for group in groups:
        records = artifact.get(group)
        if isinstance(records, Sequence) and not isinstance(records, str):
            yield from readable(records)


def readable(records: Iterable[object]) -> Iterator[GeneratedImage]:
    """The images that some records tell of; what is no record is passed over, since anybody may write messages."""
    for record in records:
        if is_record(record):
            with suppress(ValidationError):
                yield GeneratedImage.model_validate(record)


def hosted_in(message: AIMessage, store: ImageStore, origin: Origin) -> list[GeneratedImage]:
    """The pictures of hosted calls in a model's message, whichever `output_version` stored them."""
    return read_items(hosted_items(message), store, origin, response_facts(message))


def read_items(
    items: Iterable[Item], store: ImageStore, origin: Origin, facts: Mapping[str, Any]
) -> list[GeneratedImage]:
    """The pictures of a response's output items; those without base64 are known by the record they carry."""
    items = list(items)
    fresh, _ = read_calls({**facts, "output": items}, origin, into(store))
    drawn = {image.id: _without_guess(image, origin) for image in fresh}
    known = {image.id: image for image in readable(item.get(RECORD) for item in items)}
    ids = dict.fromkeys([*(item.get("id") for item in items), *drawn])  # a service may give no id
    return [{**known, **drawn}[id] for id in ids if id in known or id in drawn]


def into(store: ImageStore) -> ReadPicture:
    """Base64 text to a picture in `store`, and a token to the one that it names there."""

    def read(value: object) -> Blob:
        token = read_token(value)
        return store.put(decode(str(value))) if token is None else named(token, store)

    return read


def named(token: Token, store: ImageStore) -> Blob:
    """The picture in `store` that a token names, which anybody may have written: what it is, its bytes tell.

    Of one that is not there nothing more is known than its name, as of a record whose bytes were pruned: reading it
    says so.
    """
    try:
        return store.blob(*token)
    except ImageStoreError:
        return Blob(token.sha256, 0, token.mime_type, None, None)


def hosted_items(message: AIMessage) -> Iterator[Item]:
    """The reasoning and image calls of a message as the service's output items, in order."""
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, Mapping) and (item := hosted_item(block)):
            yield item
    reasoning = message.additional_kwargs.get("reasoning")
    if isinstance(reasoning, Mapping) and reasoning.get("id"):
        yield {"type": "reasoning", **reasoning}
    yield from (item for item in message.additional_kwargs.get("tool_outputs") or () if item.get("type") == CALL)


def hosted_item(block: Mapping[str, Any]) -> Item | None:
    """The service's output item that a content block stands for; `None` for all but reasoning and image calls."""
    kind = block.get("type")
    if kind == CALL or (kind == "reasoning" and block.get("id")):
        return block
    if kind == "non_standard" and isinstance(block.get("value"), Mapping):
        return hosted_item(block["value"])
    if kind == "image" and block.get("id") and isinstance(block.get("base64"), str):
        return {"type": CALL, "id": block["id"], "result": block["base64"], **(block.get("extras") or {})}
    return None


def response_facts(message: AIMessage) -> dict[str, Any]:
    """What a message tells of its response: id, model, time, whether it is stored."""
    metadata = message.response_metadata
    id = metadata.get("id") or (message.id if str(message.id).startswith("resp_") else None)
    return {"id": id, "created_at": metadata.get("created_at"), "store": metadata.get("store")}


def read_conversation(messages: Iterable[object], store: ImageStore) -> Conversation:
    """Messages as one request: the last user message is what to draw, all before it is context."""
    all_messages = as_messages(messages)
    last = max((n for n, message in enumerate(all_messages) if isinstance(message, HumanMessage)), default=-1)
    before = [message for n, message in enumerate(all_messages) if n != last]
    turns = tuple((ROLES[message.type], message.text) for message in before if message.type in ROLES and message.text)
    content = all_messages[last].content if last >= 0 else ""
    pointers = [pointer for block in (content if isinstance(content, list) else ()) if (pointer := read_block(block))]
    return Conversation(
        turns=turns,
        prompt=all_messages[last].text if last >= 0 else "",
        images=tuple(pointers),
        earlier=tuple(images_in(before, store)),
    )


def images_of_result(result: ImageResult) -> tuple[GeneratedImage, ...]:
    """The pictures of a result with those they were made from, sources first."""
    return (*result.sources, *result.images)


def _without_guess(image: GeneratedImage, origin: Origin) -> GeneratedImage:
    """A hosted call that drew afresh has no parents; `v1` messages do not say which it was."""
    made_from = image.action == "edit" or (image.action is None and origin.named)
    return image if made_from else image.model_copy(update={"parents": ()})
