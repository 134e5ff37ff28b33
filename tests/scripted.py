"""A chat model that follows a script, and a callback handler that records what it receives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage
from pydantic import Field

DONE = AIMessage("done")


class ScriptedModel(GenericFakeChatModel):
    """Answer each request with the next scripted message; record the tools offered and the messages received."""

    offered_tools: list[Any] = Field(default_factory=list)
    requests: list[list[BaseMessage]] = Field(default_factory=list)

    def bind_tools(self, tools: Any, **settings: Any) -> ScriptedModel:
        """Record the offered tools and return the model itself."""
        self.offered_tools.extend(tools)
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **fields: Any) -> Any:
        self.requests.append(list(messages))
        return super()._generate(messages, *args, **fields)


class Spy(BaseCallbackHandler):
    """Record everything that a tracer receives, and the parent of each run."""

    def __init__(self) -> None:
        self.records: list[str] = []
        self.runs: dict[str, UUID] = {}
        self.parents: dict[str, UUID | None] = {}

    def on_tool_start(self, serialized: Any, input_str: str, **facts: Any) -> None:
        """Record a tool's input."""
        self._start(serialized["name"], input_str, facts)

    def on_tool_end(self, output: Any, **facts: Any) -> None:
        """Record a tool's output."""
        self.records.append(repr((output, facts)))

    def on_chain_start(self, serialized: Any, inputs: Any, **facts: Any) -> None:
        """Record a runnable's input."""
        self._start(str(facts.get("name")), (serialized, inputs), facts)

    def on_chain_end(self, outputs: Any, **facts: Any) -> None:
        """Record a runnable's output."""
        self.records.append(repr((outputs, facts)))

    def _start(self, name: str, inputs: Any, facts: dict[str, Any]) -> None:
        self.runs[name], self.parents[name] = facts["run_id"], facts.get("parent_run_id")
        self.records.append(repr((inputs, facts)))


def scripted_model(*turns: AIMessage | ToolCall | Iterable[ToolCall]) -> ScriptedModel:
    """Return a model that gives these answers in order: each a message, one tool call, or several calls at once."""
    return ScriptedModel(messages=_messages(turns))


def image_call(id: str, prompt: Any = "draw a fox", **args: Any) -> ToolCall:
    """Return a call of `generate_image` as a chat model makes it."""
    return ToolCall(name="generate_image", args={"prompt": prompt, **args}, id=id, type="tool_call")


def tool_messages(state: Any, key: str = "messages") -> list[ToolMessage]:
    """Return the tool messages of a state, in order."""
    return [message for message in state[key] if isinstance(message, ToolMessage)]


def _messages(turns: Iterable[Any]) -> Iterator[AIMessage]:
    for turn in turns:
        if isinstance(turn, AIMessage):
            yield turn.model_copy()
        else:
            yield AIMessage("", tool_calls=[turn] if isinstance(turn, dict) else list(turn))
