"""Messages in any form that LangChain, LangGraph and OpenAI write them: objects, tuples, dicts and dumps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    convert_to_messages,
)

from langchain_imagegen.conversation.content_blocks import text_of_blocks
from langchain_imagegen.conversation.records import pass_over
from langchain_imagegen.errors import OptionError

MESSAGES = "messages: LangChain messages, (role, text) pairs or dicts with 'role' and 'content'"
ITEMS = frozenset({"image_generation_call", "reasoning"})
"""Types of the service's output items that are read as a model's message."""

_ROLES: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "human": HumanMessage,
    "assistant": AIMessage,
    "ai": AIMessage,
    "model": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
}
_CHUNKS = {
    "AIMessageChunk": "ai",
    "HumanMessageChunk": "human",
    "SystemMessageChunk": "system",
    "ToolMessageChunk": "tool",
}
_DUMPED = frozenset({"human", "ai", "system", "tool", "chat", "function", *_CHUNKS})


def as_messages(messages: object) -> list[BaseMessage]:
    """Return messages in any form as message objects.

    Raises:
        OptionError: one of them is no message.
    """
    return [_as_message(message, n) for n, message in enumerate(_listed(messages), 1)]


def readable_messages(messages: object) -> list[BaseMessage]:
    """Return those of some messages that can be read; the others are passed over and logged."""
    found: list[BaseMessage] = []
    for message in _listed(messages):
        try:
            found.append(_as_message(message, len(found) + 1))
        except OptionError:
            pass_over("what is no message", message)
    return found


def message_text(message: BaseMessage) -> str:
    """Return the text of a message, in any form of its blocks."""
    return text_of_blocks(message.content)


def is_message(value: object) -> bool:
    """True if a value looks like a message: an object, a dict in one of the known forms, or an output item."""
    if isinstance(value, BaseMessage):
        return True
    if not isinstance(value, Mapping):
        return False
    if isinstance(value.get("type"), str) and value["type"] in ITEMS:
        return True
    named = isinstance(value.get("role"), str) or isinstance(value.get("type"), str)
    return named and ("content" in value or isinstance(_inner(value), Mapping))


def _listed(messages: object) -> Iterable[object]:
    if isinstance(messages, (str, BaseMessage, Mapping)):
        return [messages]
    if isinstance(messages, Iterable) and not isinstance(messages, (bytes, bytearray)):
        return messages
    raise OptionError(f"{type(messages).__name__} is no list of messages; give {MESSAGES}")


def _as_message(message: object, number: int) -> BaseMessage:
    if isinstance(message, ChatMessage):
        return _of_role(message, number)
    if isinstance(message, BaseMessage):
        return message
    try:
        [converted] = convert_to_messages([_standard(message)])
    except Exception as error:  # LangChain raises several kinds, pydantic's among them
        role = message.get("role", message.get("type")) if isinstance(message, Mapping) else None
        named = f" with the role {str(role)[:40]!r}" if role else ""
        raise OptionError(
            f"message {number} is a {type(message).__name__}{named} and no message; give {MESSAGES}"
        ) from error
    return _of_role(converted, number) if isinstance(converted, ChatMessage) else converted


def _of_role(message: ChatMessage, number: int) -> BaseMessage:
    """Return a message whose role is text as a message of the class for that role."""
    kind = _ROLES.get(message.role.strip().lower())
    if kind is None:
        raise OptionError(
            f"message {number} has the role {message.role[:40]!r}; accepted are user, assistant, system and developer"
        )
    return kind(content=message.content, id=message.id, additional_kwargs=message.additional_kwargs)


def _standard(message: Any) -> Any:
    """Return a dict as `convert_to_messages` takes it."""
    if not isinstance(message, Mapping):
        return message
    if isinstance(message.get("type"), str) and message["type"] in ITEMS:
        return AIMessage([dict(message)])
    if isinstance(inner := _inner(message), Mapping):
        kind = message["id"][-1] if message.get("type") == "constructor" else message["type"]
        message = {"type": kind.removesuffix("Message").lower(), **inner}
    standard = dict(message)
    name = "role" if "role" in standard else "type"
    kind = standard.get(name)
    if isinstance(kind, str):
        standard[name] = _CHUNKS.get(kind, "assistant" if kind == "model" else kind)
        if standard[name] in ("tool", "ToolMessage"):
            standard.setdefault("tool_call_id", "")
    return standard


def _inner(message: Mapping[str, Any]) -> object:
    """Return what `messages_to_dict` and `dumpd` wrap a message's fields in."""
    if message.get("type") == "constructor" and isinstance(message.get("id"), list) and message["id"]:
        return message.get("kwargs") if isinstance(message["id"][-1], str) else None
    kind = message.get("type")
    return message.get("data") if isinstance(kind, str) and kind in _DUMPED else None
