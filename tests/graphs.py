"""Places where a conversation with the tool can be held: agents, graphs of any state, an agent within a graph."""

from __future__ import annotations

from typing import Annotated, Any

from langchain.agents import create_agent
from langchain_core.messages import AnyMessage, ToolCall, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph, add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from typing_extensions import TypedDict  # the one that LangGraph's own states are made of

from langchain_imagegen import ImageGenerationMiddleware, ImageMemory, ImageState
from tests.scripted import DONE, ScriptedModel, scripted

THREAD = {"configurable": {"thread_id": "one"}}


class Gallery(MessagesState, ImageState):
    """Messages and images."""


class Chat(TypedDict):
    """A state whose messages have another name."""

    chat: Annotated[list[AnyMessage], add_messages]


class ChatGallery(Chat, ImageState):
    """The same with images."""


def agent(model: Any, tool: Any, **settings: Any) -> Any:
    """An agent that was just given the tool."""
    return create_agent(model, [tool], **settings)


def agent_with_middleware(model: Any, tool: Any, *others: Any, **settings: Any) -> Any:
    """An agent that was given the middleware, before others."""
    middleware = [ImageGenerationMiddleware(tool=tool, hosted=False), *others]
    return create_agent(model, middleware=middleware, **settings)


def state_graph(model: Any, tool: Any, state: Any = Gallery, key: str = "messages", **settings: Any) -> Any:
    """A graph of a model and a `ToolNode`."""
    builder = StateGraph(state)
    builder.add_node("model", lambda values: {key: [model.invoke(values[key])]})
    builder.add_node("tools", ToolNode([tool], messages_key=key))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", lambda values: tools_condition(values, key))
    builder.add_edge("tools", "model")
    return builder.compile(**settings)


def graph_of_another_key(model: Any, tool: Any, **settings: Any) -> Any:
    """The same, with messages of another name."""
    return state_graph(model, tool, ChatGallery, "chat", **settings)


def agent_as_node(model: Any, tool: Any, **settings: Any) -> Any:
    """An agent within a graph that declares the channel."""
    builder = StateGraph(Gallery)
    builder.add_node("artist", agent_with_middleware(model, tool))
    builder.add_edge(START, "artist")
    return builder.compile(**settings)


PLACES = [agent, agent_with_middleware, state_graph, graph_of_another_key, agent_as_node]
WITH_CHANNEL = PLACES[1:]


class Talk:
    """A conversation on one thread; each turn the chat model makes the calls that the test says.

    Args:
        half: `invoke` or `ainvoke`.
        place: One of `PLACES`.
        tool: What draws.
        saver: Where it is kept.
    """

    def __init__(self, half: Any, place: Any, tool: Any, saver: Any = None, **settings: Any) -> None:
        self.model: ScriptedModel = scripted()
        self.graph = place(self.model, tool, checkpointer=saver or InMemorySaver(), **settings)
        self.state: Any = {}
        self._half = half
        self._key = "chat" if place is graph_of_another_key else "messages"

    def turn(self, *steps: ToolCall | list[ToolCall], given: Any = "go on", config: Any = THREAD) -> ImageMemory:
        """One turn of the user; gives what is remembered after it."""
        self.model.messages = scripted(*steps, DONE).messages
        self.state = self._half.invoke(self.graph, {self._key: given}, config=config)
        return self.memory

    @property
    def memory(self) -> ImageMemory:
        """The images of the state."""
        return ImageMemory.from_state(self.state)

    @property
    def answers(self) -> list[ToolMessage]:
        """The tool's messages, the latest last."""
        return [message for message in self.state[self._key] if isinstance(message, ToolMessage)]
