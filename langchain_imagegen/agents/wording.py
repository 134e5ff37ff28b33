"""Text on its way between a chat model and the package: what a model wrote made valid, local paths left out.

Pure: text and JSON come in, text and JSON go out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from langchain_core.messages import AIMessage

from langchain_imagegen.api.service_errors import read_error
from langchain_imagegen.conversation.records import valid_text
from langchain_imagegen.errors import ImageGenerationError, ModerationError

Value = TypeVar("Value")

LONGEST_REASON = 500  # characters of a service's error that a chat model reads

# Two segments or more, not within a word or a web address: `image/png` and `https://host/a/b` stay.
_PATH = re.compile(r"(?<![\w:/.~-])(?:file://)?(?:~?/|[A-Za-z]:\\)[^\s'\"<>|,;:()]*[\\/][^\s'\"<>|,;:()]*")


def valid(value: Value) -> Value:
    """Return JSON with U+FFFD in place of each lone surrogate, which a chat model can write as half an emoji.

    A valid value is returned as it is, however deeply it is nested.
    """
    copied: list[Any] = [value]
    copies: dict[int, Any] = {id(part): part.copy() for part in _containers(value)}
    changed = False
    for container in [copied, *copies.values()]:
        for key, part in _entries(container):
            name, kept = _valid_string(key), _valid_string(part)
            changed = changed or name is not key or kept is not part
            if name is not key:
                del container[key]
            container[name] = copies.get(id(part), kept)
    return copied[0] if changed else value


def _valid_string(value: Any) -> Any:
    """Return a string without lone surrogates; any valid string and any other value is returned itself."""
    if not isinstance(value, str):
        return value
    kept = valid_text(value)
    return value if kept == value else kept


def _containers(value: object) -> list[Any]:
    """Return every list and dict in a JSON value, each once; without recursion, since models can nest deeply."""
    found: dict[int, Any] = {}
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, (list, dict)) and id(part) not in found:
            found[id(part)] = part
            waiting += [inner for _, inner in _entries(part)]
    return list(found.values())


def _entries(container: list[Any] | dict[Any, Any]) -> list[tuple[Any, Any]]:
    return list(container.items() if isinstance(container, dict) else enumerate(container))


def valid_message(message: AIMessage) -> AIMessage:
    """Return a model's message whose text and tool calls a checkpoint and the next request can hold."""
    written = {
        "content": message.content,
        "tool_calls": message.tool_calls,
        "invalid_tool_calls": message.invalid_tool_calls,
        "additional_kwargs": message.additional_kwargs,
    }
    made = {name: valid(value) for name, value in written.items()}
    if all(made[name] is value for name, value in written.items()):
        return message
    return message.model_copy(update=made)


def without_paths(text: str) -> str:
    """Return a text without the paths of local files, which a chat model has no use for."""
    return _PATH.sub("(a local path)", text)


def reason_of(item: Mapping[str, Any]) -> str:
    """Return why a call has no picture, in words that follow "none came"."""
    error = item.get("error")
    if isinstance(error, Mapping):
        details = error.get("moderation_details")
        known = {name: error[name] for name in ("message", "code", "type") if isinstance(error.get(name), str)}
        if isinstance(details, Mapping):
            known["moderation_details"] = {
                "moderation_stage": str(details.get("moderation_stage") or "unknown"),
                "categories": [str(each) for each in details.get("categories") or () if isinstance(each, str)],
            }
        error = known
    if not error or not isinstance(error, (str, Mapping)):
        return ", the service gave no reason" if item.get("status") == "failed" else ""
    return reason_in_words(read_error(error))


def reason_in_words(ours: ImageGenerationError) -> str:
    """Return an error as the words that follow "none came"."""
    stage = f" at the stage {ours.stage!r}" if isinstance(ours, ModerationError) else ""
    return f"{stage}: {str(ours)[:LONGEST_REASON].rstrip('. ')}"


def no_picture(reason: str) -> str:
    """Return what a chat model reads in place of a picture that did not come."""
    return f"(A picture was asked for here, and none came{reason}.)"
