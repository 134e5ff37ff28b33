"""The ways in which an application follows a graph's run: each returns the events of pictures that it sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langgraph.prebuilt import ToolCallTransformer
from langgraph.stream.transformers import CustomTransformer

Events = list[dict[str, Any]]


class Handler(BaseCallbackHandler):
    """A callback handler that records custom events."""

    def __init__(self) -> None:
        self.events: Events = []

    def on_custom_event(self, name: str, data: Any, **facts: Any) -> None:
        """Record an event."""
        assert name == data["type"]
        self.events.append(data)


def custom(graph: Any, given: Any, config: Any = None) -> Events:
    """Return the events of `stream_mode="custom"`."""
    return [event for _, event in graph.stream(given, config, stream_mode="custom", subgraphs=True)]


async def acustom(graph: Any, given: Any, config: Any = None) -> Events:
    """Async twin of `custom`."""
    return [event async for _, event in graph.astream(given, config, stream_mode="custom", subgraphs=True)]


def tools(graph: Any, given: Any, config: Any = None) -> Events:
    """Return the events of the `tools` stream."""
    return _deltas([data for _, data in graph.stream(given, config, stream_mode="tools", subgraphs=True)])


async def atools(graph: Any, given: Any, config: Any = None) -> Events:
    """Async twin of `tools`."""
    return _deltas([data async for _, data in graph.astream(given, config, stream_mode="tools", subgraphs=True)])


def v2(graph: Any, given: Any, config: Any = None) -> Events:
    """Return the events that a callback handler gets."""
    handler = Handler()
    graph.invoke(given, {**(config or {}), "callbacks": [handler]})
    return handler.events


async def av2(graph: Any, given: Any, config: Any = None) -> Events:
    """Return the custom events of `astream_events(version="v2")`."""
    seen = [event async for event in graph.astream_events(given, config, version="v2")]
    found = [event for event in seen if event["event"] == "on_custom_event"]
    assert all(event["name"] == event["data"]["type"] for event in found)
    return [event["data"] for event in found]


def v3(graph: Any, given: Any, config: Any = None) -> Events:
    """Return the custom events of `stream_events(version="v3")`, which the caller has to ask for."""
    run = graph.stream_events(given, config, version="v3", transformers=[CustomTransformer])
    return _of_method("custom", list(run))


async def av3(graph: Any, given: Any, config: Any = None) -> Events:
    """Async twin of `v3`."""
    run = await graph.astream_events(given, config, version="v3", transformers=[CustomTransformer])
    return _of_method("custom", [event async for event in run])


def v3_unasked(graph: Any, given: Any, config: Any = None) -> Events:
    """Return the custom events of `stream_events(version="v3")` that come without being asked for."""
    return _of_method("custom", list(graph.stream_events(given, config, version="v3")))


async def av3_unasked(graph: Any, given: Any, config: Any = None) -> Events:
    """Async twin of `v3_unasked`."""
    run = await graph.astream_events(given, config, version="v3")
    return _of_method("custom", [event async for event in run])


def v3_tools(graph: Any, given: Any, config: Any = None) -> Events:
    """Return what tools put out in `stream_events(version="v3")`, which agents and those who ask for it have."""
    run = graph.stream_events(given, config, version="v3", transformers=_for_tools(graph))
    return _deltas(_of_method("tools", list(run)))


async def av3_tools(graph: Any, given: Any, config: Any = None) -> Events:
    """Async twin of `v3_tools`."""
    run = await graph.astream_events(given, config, version="v3", transformers=_for_tools(graph))
    return _deltas(_of_method("tools", [event async for event in run]))


FOLLOWERS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "custom": (custom, acustom),
    "tools": (tools, atools),
    "v2": (v2, av2),
    "v3": (v3, av3),
    "v3-tools": (v3_tools, av3_tools),
}
UNASKED = {"v3-unasked": (v3_unasked, av3_unasked)}
"""Ways that see events only where the agent itself asks for them."""


def follow(half: Any, name: str, graph: Any, given: Any, config: Any = None) -> Events:
    """Run a graph in a half and return the events of pictures that a follower sees."""
    sync, asynchronous = {**FOLLOWERS, **UNASKED}[name]
    if half.name == "async":
        return list(half.wait(asynchronous, graph, given, config))
    return list(sync(graph, given, config))


def _for_tools(graph: Any) -> list[Any]:
    """Return what a graph lacks to show the output of tools; agents show it by themselves."""
    return [] if ToolCallTransformer in (graph.stream_transformers or ()) else [ToolCallTransformer]


def _of_method(method: str, events: list[Any]) -> list[Any]:
    return [event["params"]["data"] for event in events if event["method"] == method]


def _deltas(payloads: list[Any]) -> Events:
    return [payload["delta"] for payload in payloads if payload["event"] == "tool-output-delta"]
