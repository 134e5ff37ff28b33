"""What a graph tells a tool about its call: the state, the message that makes the call, and the ids of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage

from langchain_imagegen.conversation.channel import CHANNEL


def state_of(runtime: Any) -> Any:
    """Return the graph's state; None without a graph, and for a `runtime` that a model made up."""
    state = getattr(runtime, "state", None)
    return {"messages": state} if isinstance(state, list) else state


def keeps_images(state: Any) -> bool:
    """Return True if a graph's state has the channel for images."""
    return CHANNEL in state if isinstance(state, Mapping) else hasattr(state, CHANNEL)


def messages_key(state: Any, call_id: str | None) -> str | None:
    """Return the state's key whose messages make a tool call; None without a graph or if no messages make it.

    `ToolNode` takes an update only if it holds the answer under the key of the messages that it was given.
    """
    values = state if isinstance(state, Mapping) else getattr(state, "__dict__", {})
    keys = sorted(values, key=lambda key: key != "messages")  # another key may hold a copy of the messages
    return next((key for key in keys if call_id and _message_of_call(values[key], call_id)), None)


def ids_of_call(runtime: Any) -> tuple[str | None, str | None]:
    """Return the ids of the message that makes a tool call and of the call, as far as a graph tells them."""
    state, call_id = state_of(runtime), getattr(runtime, "tool_call_id", None)
    key = messages_key(state, call_id)
    if key is None:
        return None, call_id
    messages = state[key] if isinstance(state, Mapping) else getattr(state, key)
    return getattr(_message_of_call(messages, str(call_id)), "id", None), call_id


def _message_of_call(messages: Any, call_id: str) -> AIMessage | None:
    said = reversed(messages) if isinstance(messages, list) else ()
    made = (m for m in said if isinstance(m, AIMessage) and any(call["id"] == call_id for call in m.tool_calls))
    return next(made, None)
