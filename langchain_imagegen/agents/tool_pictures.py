"""The pictures that tools return, ours and those of others: they go from the message into the state's channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.messages import ToolMessage
from langgraph.types import Command

from langchain_imagegen.agents.history import light_pictures
from langchain_imagegen.agents.model_call import must_stay
from langchain_imagegen.conversation.channel import CHANNEL, as_update
from langchain_imagegen.conversation.messages import drawn_by_tool
from langchain_imagegen.storage.call_store import CallStore
from langchain_imagegen.storage.store import ImageStore


def recorded(answer: ToolMessage | Command[Any], find_store: Callable[[], ImageStore]) -> ToolMessage | Command[Any]:
    """Return a tool's message without base64, and with an update of the channel for the pictures it tells of.

    Args:
        answer: What the tool returned; a `Command` is its own update.
        find_store: Returns the store for the bytes.
    """
    if not isinstance(answer, ToolMessage):
        return answer
    store = CallStore(find_store())
    light, taken = light_pictures(answer, store)
    images, kept = [*drawn_by_tool(light), *taken], answer if must_stay(taken, store) else light
    return Command(update={"messages": [kept], CHANNEL: as_update(images)}) if images else answer
