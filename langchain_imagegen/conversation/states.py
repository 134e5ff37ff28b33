"""Graph states: what they hold under a key, where their messages are, and in which order their images go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_imagegen.conversation.records import pass_over


def value_in(state: object, key: str) -> Any:
    """Return what a graph's state holds under a key; the state is a mapping or an object with attributes."""
    return state.get(key) if isinstance(state, Mapping) else getattr(state, key, None)


def values_of(state: object) -> object:
    """Return the values of a snapshot that `get_state` gave; return any other state unchanged."""
    values = getattr(state, "values", None)
    return values if hasattr(state, "config") and isinstance(values, Mapping) else state


def joined(remembered: Sequence[str], seen: Iterable[str]) -> list[str]:
    """Merge two orders of ids: an id that only `seen` has goes before the id that follows it there, else to the end."""
    places = set(remembered)
    before: dict[str, list[str]] = {}
    ahead: list[str] = []
    for id in seen:
        if id in places:
            before[id], ahead = ahead, []
        else:
            ahead.append(id)
    return [*(each for id in remembered for each in (*before.get(id, ()), id)), *ahead]


def messages_of(state: object, key: str | None) -> Sequence[object]:
    """Return the messages of a graph state: under `key`, else under `messages`, else the first list of messages."""
    named = value_in(state, key or "messages")
    if named is not None or key:
        return _as_list(named)
    values = state.values() if isinstance(state, Mapping) else getattr(state, "__dict__", {}).values()
    lists = (value for value in values if isinstance(value, list) and value and _is_message(value[-1]))
    return next(lists, ())


def _as_list(messages: object) -> Sequence[object]:
    if isinstance(messages, (BaseMessage, str)) or _is_message(messages):
        return [messages]
    if isinstance(messages, Iterable) and not isinstance(messages, (bytes, Mapping)):
        return list(messages)
    if messages is not None:
        pass_over("a state's messages that are no list", messages)
    return ()


def _is_message(value: object) -> bool:
    return isinstance(value, BaseMessage) or (isinstance(value, Mapping) and "content" in value)
