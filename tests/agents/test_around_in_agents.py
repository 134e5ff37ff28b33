"""`around_image` in agents: every drawing passes the function, and the chat model reads why one was refused."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, RetryPolicy, interrupt

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageMemory
from langchain_imagegen.errors import OptionError
from tests.conversations import SMALL
from tests.graphs import PLACES, THREAD, Talk, agent_with_middleware, state_graph
from tests.scripted import DONE, image_call, scripted_model, tool_messages

AGAIN = RetryPolicy(max_attempts=3, initial_interval=0.01, retry_on=Exception)


class PolicyError(Exception):
    """An error of somebody's own policy."""


def no_foxes(request: Any, call: Any) -> Any:
    """Refuse foxes; draw all else in low quality."""
    if "fox" in request.prompt:
        raise PolicyError("foxes are not drawn here; offer an owl")
    return call(request.override(quality="low"))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_the_model_reads_why_a_call_was_refused(half, low, simulator, place):
    """A plain error is a tool error with its message; the parallel call is drawn, as the function changed it."""
    tool = ImageGenerationTool(generator=low(options={"size": "816x816", "quality": "high"}), around_image=no_foxes)
    talk = Talk(half, place, tool)
    talk.turn([image_call("a"), image_call("b", "draw an owl")])
    refused, drawn = talk.tool_messages

    assert refused.content == "No picture was made: foxes are not drawn here; offer an owl."
    assert (refused.status, drawn.status) == ("error", "success")
    assert [request.body["tools"][0]["quality"] for request in simulator.requests] == ["low"]


def test_tool_and_generator_have_one_each(half, low, simulator):
    """The tool's function is outside the generator's, and sees what that makes of the request only in the result."""
    order: list[str] = []

    def named(name: str) -> Any:
        def around(request: Any, call: Any) -> Any:
            order.append(f"{name} {request.prompt}")
            return call(request.override(prompt=f"{request.prompt}, {name}"))

        return around

    tool = ImageGenerationTool(generator=low(around_image=named("inner")), around_image=named("outer"))
    Talk(half, agent_with_middleware, tool).turn(image_call("a"))

    assert order == ["outer draw a fox", "inner draw a fox, outer"]
    assert simulator.orders[-1].prompt == "draw a fox, outer, inner"


def test_the_ledger_knows_the_changed_request(half, low, simulator):
    """A step that is executed again passes the function again, and gets the picture that it has bought."""
    calls: list[str] = []

    def fails_behind(request: Any, call: Any) -> Any:
        result = call(request.override(prompt="draw an owl"))
        calls.append(result.image.prompt)
        if len(calls) < 3:
            raise ConnectionAbortedError("behind the drawing")
        return result

    def place(model: Any, tool: Any, **settings: Any) -> Any:
        return state_graph(model, tool, **settings)

    tool = ImageGenerationTool(generator=low(), around_image=fails_behind, handle_tool_error=False)
    model = scripted_model(image_call("a"), DONE)
    graph = place(model, tool, checkpointer=InMemorySaver())
    for _ in range(2):
        with pytest.raises(Exception, match="behind the drawing"):
            half.invoke(graph, {"messages": "draw"} if not calls else None, config=THREAD)
    state = half.invoke(graph, None, config=THREAD)

    assert calls == ["draw an owl"] * 3
    assert simulator.pictures == len(ImageMemory.from_state(state)) == 1


def test_it_may_ask_a_person(half, low, simulator):
    """`interrupt` within the function pauses the run; resumed, the function goes on with the answer."""

    def ask(request: Any, call: Any) -> Any:
        return call(request.override(prompt=interrupt(f"{request.prompt}?")))

    model = scripted_model(image_call("a"), DONE)
    tool = ImageGenerationTool(generator=low(), around_image=ask)
    graph = agent_with_middleware(model, tool, checkpointer=InMemorySaver())
    asked = half.invoke(graph, {"messages": "draw a fox"}, config=THREAD)
    assert asked["__interrupt__"][0].value == "draw a fox?"
    assert simulator.pictures == 0
    state = half.invoke(graph, Command(resume="draw an owl"), config=THREAD)

    assert [image.prompt for image in ImageMemory.from_state(state)] == ["draw an owl"]


def test_the_middleware_needs_the_function_tool(talks, half, low):
    """With `around_image` the function tool draws for a model that has the hosted one, also if the agent names that."""
    hosted = {"type": "image_generation"}
    tool = ImageGenerationTool(generator=low())
    middleware = ImageGenerationMiddleware(SMALL, tool=tool, around_image=no_foxes)
    agent = create_agent(talks.model(), [hosted], middleware=[middleware])
    state = half.invoke(agent, {"messages": "draw a fox"})

    assert [each.get("name") for each in talks.simulator.requests[0].body["tools"]] == ["generate_image"]
    assert "foxes are not drawn here" in tool_messages(state)[0].content
    assert talks.simulator.pictures == 0


def test_hosted_calls_have_no_place_for_it():
    """`hosted=True` beside `around_image` is an error that says why."""
    with pytest.raises(OptionError, match="hosted=True and around_image= exclude each other"):
        ImageGenerationMiddleware(hosted=True, around_image=no_foxes)


def test_an_error_behind_a_paid_picture(half, low, simulator):
    """The model is told to ask before it tries again if the function failed behind a picture that was paid for."""

    def fails(request: Any, call: Any) -> Any:
        call(request)
        raise PolicyError("the audit log is full")

    talk = Talk(half, agent_with_middleware, ImageGenerationTool(generator=low(), around_image=fails))
    talk.turn(image_call("a"))

    assert "may already have been paid for" in talk.tool_messages[0].content
    assert simulator.pictures == 1
