"""A chat model that follows a script, for any agent; shared by the tests of tool and middleware."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage
from pydantic import Field

DONE = AIMessage("done")


class ScriptedModel(GenericFakeChatModel):
    """Gives the scripted messages one after the other; remembers the tools it was offered and what it read."""

    offered: list[Any] = Field(default_factory=list)
    read: list[list[BaseMessage]] = Field(default_factory=list)

    def bind_tools(self, tools: Any, **settings: Any) -> ScriptedModel:
        """The model itself."""
        self.offered.extend(tools)
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **fields: Any) -> Any:
        self.read.append(list(messages))
        return super()._generate(messages, *args, **fields)


def scripted(*turns: AIMessage | ToolCall | Iterable[ToolCall]) -> ScriptedModel:
    """A model that says these: a message, one tool call, or several at once."""
    return ScriptedModel(messages=_messages(turns))


def asks(id: str, prompt: Any = "draw a fox", **args: Any) -> ToolCall:
    """A call of the tool as a chat model makes it."""
    return ToolCall(name="generate_image", args={"prompt": prompt, **args}, id=id, type="tool_call")


def answers(state: Any, key: str = "messages") -> list[ToolMessage]:
    """The tool messages of a state."""
    return [message for message in state[key] if isinstance(message, ToolMessage)]


def _messages(turns: Iterable[Any]) -> Iterator[AIMessage]:
    for turn in turns:
        if isinstance(turn, AIMessage):
            yield turn.model_copy()
        else:
            yield AIMessage("", tool_calls=[turn] if isinstance(turn, dict) else list(turn))
