"""Limits with the hosted tool: the model may draw what is left, and has no tool once the limit is reached."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool as as_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from langchain_imagegen import ImageGenerationMiddleware, ImageMemory, ImageState
from langchain_imagegen.errors import ServiceUnavailableError
from langchain_imagegen.simulator import server_error
from tests.conversations import SMALL, VERSIONS, RequestEditor, request_text


def tools_of(request: Any) -> list[str]:
    """Return the types of the tools of a request."""
    return [tool["type"] for tool in request.body.get("tools", [])]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_thread_draws_so_many(talks, version):
    """`max_tool_calls` is what is left; then the tool is withheld, and the model reads why."""
    limited = ImageGenerationMiddleware(SMALL, max_images={"thread": 2})
    talk = talks.start(limited, model=talks.model(output_version=version))
    for prompt in ("draw a fox", "draw an owl", "draw a bear"):
        talk.say(prompt)
    fox, owl, bear = talk.requests

    assert [request.body.get("max_tool_calls") for request in (fox, owl, bear)] == [2, 1, None]
    assert [tools_of(request) for request in (fox, owl, bear)] == [["image_generation"]] * 2 + [[]]
    assert "2 of 2 pictures of this thread are drawn; tell the user" in request_text(bear.body["input"])
    assert len(talk.memory) == talks.simulator.pictures == 2


def test_one_answer_draws_what_is_left(talks):
    """An answer that would hold three pictures holds two, and the next run may draw again."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, max_images=2))
    talk.say("draw three pictures of a fox")
    assert talks.simulator.pictures == 2
    talk.say("draw an owl")

    assert talks.simulator.pictures == 3
    assert [request.body["max_tool_calls"] for request in talk.requests] == [2, 2]


def test_the_developers_own_limit_stays(talks):
    """A lower `max_tool_calls` that another middleware sets holds."""
    lower = RequestEditor(lambda request: request.override(model_settings={"max_tool_calls": 1}))
    talk = talks.start(lower, ImageGenerationMiddleware(SMALL, max_images=3))
    talk.say("draw two pictures of a fox")

    assert talks.simulator.pictures == talk.requests[-1].body["max_tool_calls"] == 1


def test_dollars(talks):
    """The tool is withheld when the next picture might not fit any more."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, max_cost={"thread": "$0.12"}))
    for number in range(8):
        talk.say(f"draw fox {number}")

    assert 1 <= talks.simulator.pictures < 8
    assert tools_of(talk.requests[-1]) == []
    assert "of $0.1200 of this thread are spent" in request_text(talk.requests[-1].body["input"])


def test_a_failure_gives_the_places_back(talks):
    """After an error that drew nothing, the next try may draw as much."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, max_images={"thread": 1}))
    talks.simulator.script(server_error(503))
    with pytest.raises(ServiceUnavailableError):
        talk.say("draw a fox")
    talk.say("draw a fox")

    assert [request.body["max_tool_calls"] for request in talk.requests] == [1, 1]
    assert talks.simulator.pictures == 1


def test_a_forced_tool_is_withheld_too(talks, half):
    """A tool choice that names the withheld tool is left out with it; other tools stay."""

    @as_tool
    def weather(place: str) -> str:
        """Return the weather at a place."""
        return f"fair in {place}"

    middleware = ImageGenerationMiddleware(SMALL, max_images={"thread": 0})
    agent = create_agent(talks.model(), [weather], middleware=[middleware])
    half.invoke(agent, {"messages": "draw a fox"})
    (request,) = talks.simulator.requests

    assert [tool.get("name") for tool in request.body["tools"]] == ["weather"]
    assert talks.simulator.pictures == 0


def test_parallel_agents_share_the_places(talks, half):
    """Two agents that draw beside each other in one step draw no more than the thread may."""

    class Shared(MessagesState, ImageState):
        """A state for both."""

    def artist(name: str) -> Any:
        return create_agent(
            talks.model(), middleware=[ImageGenerationMiddleware(SMALL, max_images={"thread": 1})], name=name
        )

    builder = StateGraph(Shared)
    for name in ("one", "two"):
        builder.add_node(name, artist(name))
        builder.add_edge(START, name)
    graph = builder.compile(checkpointer=InMemorySaver())
    state = half.invoke(graph, {"messages": "draw a fox"}, config={"configurable": {"thread_id": "one"}})

    assert len(ImageMemory.from_state(state)) == talks.simulator.pictures == 1
