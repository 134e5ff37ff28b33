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
from langchain_imagegen.errors import ModerationError

Value = TypeVar("Value")

LONGEST_REASON = 500  # characters of a service's error that a chat model reads

# Two segments or more, not within a word or a web address: `image/png` and `https://host/a/b` stay.
_PATH = re.compile(r"(?<![\w:/.~-])(?:file://)?(?:~?/|[A-Za-z]:\\)[^\s'\"<>|,;:()]*[\\/][^\s'\"<>|,;:()]*")


def valid(value: Value) -> Value:
    """Return JSON with U+FFFD in place of each lone surrogate, which a chat model can write as half an emoji."""
    given: Any = value
    if isinstance(given, str):
        return valid_text(given)  # type: ignore[return-value]
    if isinstance(given, list):
        return [valid(part) for part in given]  # type: ignore[return-value]
    if isinstance(given, dict):
        return {valid(key): valid(part) for key, part in given.items()}  # type: ignore[return-value]
    return value


def valid_message(message: AIMessage) -> AIMessage:
    """Return a model's message whose text and tool calls a checkpoint and the next request can hold."""
    written = {
        "content": message.content,
        "tool_calls": message.tool_calls,
        "invalid_tool_calls": message.invalid_tool_calls,
        "additional_kwargs": message.additional_kwargs,
    }
    changed = {name: kept for name, value in written.items() if (kept := valid(value)) != value}
    return message.model_copy(update=changed) if changed else message


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
    ours = read_error(error)
    stage = f" at the stage {ours.stage!r}" if isinstance(ours, ModerationError) else ""
    return f"{stage}: {str(ours)[:LONGEST_REASON].rstrip('. ')}"
