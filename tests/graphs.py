"""Builders of the graphs that can run the tool: agents, plain graphs, and an agent inside a graph."""

from __future__ import annotations

from typing import Annotated, Any

from langchain.agents import create_agent
from langchain_core.messages import AnyMessage, ToolCall, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph, add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from typing_extensions import TypedDict  # LangGraph builds its own states on this one

from langchain_imagegen import ImageGenerationMiddleware, ImageMemory, ImageState
from tests.scripted import DONE, ScriptedModel, scripted_model

THREAD = {"configurable": {"thread_id": "one"}}


class Gallery(MessagesState, ImageState):
    """A state with messages and images."""


class Chat(TypedDict):
    """A state that keeps its messages under the key `chat`."""

    chat: Annotated[list[AnyMessage], add_messages]


class ChatGallery(Chat, ImageState):
    """A state with messages under the key `chat`, and images."""


def agent(model: Any, tool: Any, **settings: Any) -> Any:
    """Return an agent that has the tool and no middleware."""
    return create_agent(model, [tool], **settings)


def agent_with_middleware(model: Any, tool: Any, *others: Any, **settings: Any) -> Any:
    """Return an agent with our middleware first, then the others."""
    middleware = [ImageGenerationMiddleware(tool=tool, hosted=False), *others]
    return create_agent(model, middleware=middleware, **settings)


def state_graph(model: Any, tool: Any, state: Any = Gallery, key: str = "messages", **settings: Any) -> Any:
    """Return a graph of a model and a `ToolNode`."""
    builder = StateGraph(state)
    builder.add_node("model", lambda values: {key: [model.invoke(values[key])]})
    builder.add_node("tools", ToolNode([tool], messages_key=key))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", lambda values: tools_condition(values, key))
    builder.add_edge("tools", "model")
    return builder.compile(**settings)


def graph_with_chat_key(model: Any, tool: Any, **settings: Any) -> Any:
    """Return a graph of a model and a `ToolNode` whose messages are under the key `chat`."""
    return state_graph(model, tool, ChatGallery, "chat", **settings)


def agent_as_node(model: Any, tool: Any, **settings: Any) -> Any:
    """Return a graph that declares the image channel and has an agent as its only node."""
    builder = StateGraph(Gallery)
    builder.add_node("artist", agent_with_middleware(model, tool))
    builder.add_edge(START, "artist")
    return builder.compile(**settings)


PLACES = [agent, agent_with_middleware, state_graph, graph_with_chat_key, agent_as_node]
WITH_CHANNEL = PLACES[1:]


class Talk:
    """A conversation on one thread in which the chat model makes the calls that the test dictates.

    Args:
        half: Runs the graph with `invoke` or `ainvoke`.
        place: The builder of the graph, one of `PLACES`.
        tool: The tool that draws.
        saver: The checkpointer; in memory by default.
        settings: Passed to the builder.
    """

    def __init__(self, half: Any, place: Any, tool: Any, saver: Any = None, **settings: Any) -> None:
        self.model: ScriptedModel = scripted_model()
        self.graph = place(self.model, tool, checkpointer=saver or InMemorySaver(), **settings)
        self.state: Any = {}
        self._half = half
        self._key = "chat" if place is graph_with_chat_key else "messages"

    def turn(self, *steps: ToolCall | list[ToolCall], messages: Any = "go on", config: Any = THREAD) -> ImageMemory:
        """Run one turn in which the chat model makes these calls, and return the memory of the state after it."""
        self.model.messages = scripted_model(*steps, DONE).messages
        self.state = self._half.invoke(self.graph, {self._key: messages}, config=config)
        return self.memory

    @property
    def snapshot(self) -> Any:
        """The thread's latest snapshot, read from the checkpointer."""
        if self._half.name == "async":
            return self._half.wait(self.graph.aget_state, THREAD)
        return self.graph.get_state(THREAD)

    @property
    def memory(self) -> ImageMemory:
        """The images of the last state."""
        return ImageMemory.from_state(self.state)

    @property
    def tool_messages(self) -> list[ToolMessage]:
        """The tool messages of the last state, oldest first."""
        return [message for message in self.state[self._key] if isinstance(message, ToolMessage)]
