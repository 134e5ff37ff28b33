"""Approval: a person reads what is to be drawn and what it costs, and decides, before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, ToolCallLimitMiddleware, ToolRetryMiddleware
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import ValidationError

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageMemory, approval
from langchain_imagegen.errors import OptionError
from tests.conversations import SMALL, open_saver
from tests.graphs import THREAD
from tests.scripted import DONE, image_call, scripted_model, tool_messages

DECISIONS = {
    "approve": {"type": "approve"},
    "edit": {"type": "edit", "edited_action": {"name": "generate_image", "args": {"prompt": "draw a white owl"}}},
    "reject": {"type": "reject", "message": "no foxes before noon"},
    "respond": {"type": "respond", "message": "use the picture of yesterday"},
}


def batched(tool: Any, model: Any, saver: Any, **settings: Any) -> Any:
    """Return an agent that asks as LangChain does by default: once for all calls of a message."""
    middleware = [
        HumanInTheLoopMiddleware(approval(tool=tool, **settings)),
        ImageGenerationMiddleware(tool=tool, hosted=False),
    ]
    return create_agent(model, middleware=middleware, checkpointer=saver)


def of_the_middleware(tool: Any, model: Any, saver: Any, **settings: Any) -> Any:
    """Return an agent whose image middleware asks by itself."""
    middleware = [ImageGenerationMiddleware(tool=tool, approval=approval(tool=tool, **settings))]
    return create_agent(model, middleware=middleware, checkpointer=saver)


def deep(tool: Any, model: Any, saver: Any, **settings: Any) -> Any:
    """Return a deep agent that asks."""
    middleware = [ImageGenerationMiddleware(tool=tool, hosted=False)]
    asked = approval(tool=tool, **settings)
    return create_deep_agent(model, middleware=middleware, interrupt_on=asked, checkpointer=saver)


WAYS = pytest.mark.parametrize("way", [batched, of_the_middleware, deep], ids=lambda way: way.__name__)


@pytest.fixture
def tool(low):
    """Return a tool that draws small pictures at the simulator."""
    return ImageGenerationTool(generator=low())


def asked(state: Any) -> str:
    """Return what the person reads about the only call."""
    (interrupt,) = state["__interrupt__"]
    value = interrupt.value
    return str(value["action_requests"][0]["description"] if "action_requests" in value else value["description"])


def resume(way: Any, decision: Any) -> Command[Any]:
    """Return the answer to the only interrupt."""
    return Command(resume=decision if way is of_the_middleware else {"decisions": [decision]})


def begin(half: Any, graph: Any) -> Any:
    """Ask for a picture; give the state."""
    return half.invoke(graph, {"messages": "draw a fox"}, config=THREAD)


@WAYS
@pytest.mark.parametrize(
    ("kind", "prompts", "words"),
    [
        ("approve", ["draw a fox"], "img_"),
        ("edit", ["draw a white owl"], "reviewer replaced this tool call"),
        ("reject", [], "no foxes before noon"),
        ("respond", [], "use the picture of yesterday"),
    ],
)
def test_the_decisions(half, tool, simulator, way, kind, prompts, words):
    """Nothing is sent before the person decides; the model reads what they decided, with their reason."""
    graph = way(tool, scripted_model(image_call("a"), DONE), InMemorySaver())
    begin(half, graph)
    assert simulator.requests == []
    state = half.invoke(graph, resume(way, DECISIONS[kind]), config=THREAD)

    assert [image.prompt for image in ImageMemory.from_state(state)] == prompts
    assert words in tool_messages(state)[0].text
    assert simulator.pictures == len(prompts)


@WAYS
def test_what_the_person_reads(half, tool, simulator, way):
    """The person reads the prompt, the pictures to edit, the options and the price."""
    model = scripted_model(image_call("a", "draw a red fox", quality="high"), DONE)
    graph = way(tool, model, InMemorySaver())
    drawn = asked(begin(half, graph))
    state = half.invoke(graph, resume(way, DECISIONS["approve"]), config=THREAD)
    handle = ImageMemory.from_state(state).latest.handle
    model.messages = scripted_model(image_call("b", "make it winter", images=[handle]), DONE).messages
    edited = asked(half.invoke(graph, {"messages": "edit it"}, config=THREAD))

    assert "**Prompt:** draw a red fox" in drawn
    assert "quality high" in drawn
    assert "size 816x816" in drawn
    assert "**Price:** at most $0." in drawn
    assert "Sources" not in drawn
    assert f"{handle}: draw a red fox" in edited


def test_sources_have_their_addresses(half, low):
    """A picture to edit is a link where there are addresses."""
    tool = ImageGenerationTool(generator=low(), url_for=lambda image: f"https://pictures.example/{image.sha256}.png")
    model = scripted_model(image_call("a"), DONE)
    graph = of_the_middleware(tool, model, InMemorySaver())
    begin(half, graph)
    state = half.invoke(graph, Command(resume=DECISIONS["approve"]), config=THREAD)
    fox = ImageMemory.from_state(state).latest
    model.messages = scripted_model(image_call("b", "make it winter", images=["last"]), DONE).messages
    read = asked(half.invoke(graph, {"messages": "edit it"}, config=THREAD))

    assert f"[{fox.handle}: draw a fox](https://pictures.example/{fox.sha256}.png)" in read


@WAYS
def test_cheap_pictures_are_drawn_unasked(half, tool, simulator, way):
    """With a threshold only a call that may cost as much is asked for."""
    model = scripted_model(image_call("a"), DONE)
    graph = way(tool, model, InMemorySaver(), threshold="$0.10")
    state = begin(half, graph)
    assert "__interrupt__" not in state
    assert simulator.pictures == 1

    model.messages = scripted_model(image_call("b", quality="high", size="1536x1024"), DONE).messages
    state = half.invoke(graph, {"messages": "again"}, config=THREAD)
    assert "at most $0." in asked(state)
    assert simulator.pictures == 1


@WAYS
def test_an_unknown_price_is_asked_for(half, low, way):
    """A picture whose price no table tells is asked for, and the person reads why it is not known."""
    tool = ImageGenerationTool(generator=low(options={"model": "gpt-image-9"}))
    read = asked(begin(half, way(tool, scripted_model(image_call("a"), DONE), InMemorySaver(), threshold="$5")))

    assert "not known" in read


@WAYS
def test_wrong_arguments_are_not_asked_for(half, tool, simulator, way):
    """With a threshold the model corrects a wrong call by itself; nobody is asked, nothing is sent."""
    model = scripted_model(image_call("a", colour="red"), DONE)
    state = begin(half, way(tool, model, InMemorySaver(), threshold="$0"))

    assert "__interrupt__" not in state
    assert "colour" in tool_messages(state)[0].text
    assert simulator.requests == []


@WAYS
def test_a_restart_between_question_and_answer(half, low, simulator, tmp_path, way):
    """The answer may come to another process, which has built the agent anew from the checkpoints on disk."""
    file = tmp_path / "checkpoints.db"
    with open_saver(file, half) as saver:
        begin(half, way(ImageGenerationTool(generator=low()), scripted_model(image_call("a")), saver))
    with open_saver(file, half) as saver:
        graph = way(ImageGenerationTool(generator=low()), scripted_model(DONE), saver)
        state = half.invoke(graph, resume(way, DECISIONS["approve"]), config=THREAD)

    assert len(ImageMemory.from_state(state)) == simulator.pictures == 1


@pytest.mark.parametrize("way", [batched, deep], ids=lambda way: way.__name__)
def test_wrong_edits_reach_the_model(half, tool, simulator, way):
    """Edited arguments that are wrong are refused as the chat model's are, with words on how to correct them."""
    graph = way(tool, scripted_model(image_call("a"), DONE), InMemorySaver())
    begin(half, graph)
    edited = {"name": "generate_image", "args": {"prompt": "draw a fox", "quality": "best", "colour": "red"}}
    state = half.invoke(graph, resume(way, {"type": "edit", "edited_action": edited}), config=THREAD)
    (message,) = tool_messages(state)

    assert message.status == "error"
    assert "No picture was made" in message.text
    assert "quality" in message.text
    assert "colour" in message.text
    assert simulator.requests == []


def test_wrong_edits_are_refused_to_the_person(half, tool, simulator):
    """The middleware's own question can be answered again after an answer with wrong arguments."""
    graph = of_the_middleware(tool, scripted_model(image_call("a"), DONE), InMemorySaver())
    begin(half, graph)
    edited = {"name": "generate_image", "args": {"prompt": ["a", "fox"]}}
    with pytest.raises(ValidationError):
        half.invoke(graph, Command(resume={"type": "edit", "edited_action": edited}), config=THREAD)
    assert simulator.requests == []
    half.invoke(graph, Command(resume=DECISIONS["edit"]), config=THREAD)

    assert simulator.orders[-1].prompt == "draw a white owl"


def test_two_calls_are_two_questions(half, tool, simulator):
    """Parallel calls are answered one by one, by the ids of their interrupts."""
    calls = [image_call("a"), image_call("b", "draw an owl")]
    graph = of_the_middleware(tool, scripted_model(calls, DONE), InMemorySaver())
    questions = begin(half, graph)["__interrupt__"]
    fox, owl = sorted(questions, key=lambda question: question.value["tool_call_id"])
    answers = {fox.id: DECISIONS["reject"], owl.id: DECISIONS["approve"]}
    state = half.invoke(graph, Command(resume=answers), config=THREAD)

    assert [image.prompt for image in ImageMemory.from_state(state)] == ["draw an owl"]
    assert simulator.pictures == 1


@pytest.mark.parametrize("value", [True, "$0.0001"])
def test_approval_means_the_function_tool(talks, half, low, value):
    """With `approval=` a model that has the hosted tool gets the function tool, and the person is asked."""
    tool = ImageGenerationTool(generator=low())
    middleware = ImageGenerationMiddleware(SMALL, tool=tool, approval=value)
    agent = create_agent(talks.model(), middleware=[middleware], checkpointer=InMemorySaver())
    state = begin(half, agent)

    assert "**Price:**" in asked(state)
    assert [each.get("name") for each in talks.simulator.requests[0].body["tools"]] == ["generate_image"]
    half.invoke(agent, Command(resume=DECISIONS["approve"]), config=THREAD)
    assert talks.simulator.pictures == 1


@pytest.mark.parametrize(
    ("other", "advice"),
    [
        (HumanInTheLoopMiddleware({"generate_image": True}), "or approval=True"),
        (ToolCallLimitMiddleware(tool_name="generate_image", run_limit=1), "or max_images="),
    ],
    ids=["interrupt", "limit"],
)
def test_others_that_cannot_stop_hosted_calls(talks, half, other, advice):
    """A middleware that means to stop `generate_image` is an error beside the hosted tool, before anything is drawn."""
    agent = create_agent(talks.model(), middleware=[other, ImageGenerationMiddleware(SMALL)])
    with pytest.raises(OptionError, match="hosted=False") as caught:
        begin(half, agent)

    assert advice in str(caught.value)
    assert talks.simulator.requests == []


def test_others_in_deep_agents(talks, half):
    """`interrupt_on` of a deep agent is noticed too."""
    agent = create_deep_agent(
        talks.model(), middleware=[ImageGenerationMiddleware(SMALL)], interrupt_on={"generate_image": True}
    )
    with pytest.raises(OptionError, match="asks a person about 'generate_image'"):
        begin(half, agent)


@pytest.mark.parametrize(
    "other", [ToolCallLimitMiddleware(run_limit=1), ToolRetryMiddleware(tools=["generate_image"])], ids=["all", "retry"]
)
def test_others_that_do_not_see_hosted_calls(talks, half, caplog, other):
    """A middleware that counts or repeats calls is a warning in the log beside the hosted tool, which draws."""
    begin(half, create_agent(talks.model(), middleware=[other, ImageGenerationMiddleware(SMALL)]))

    assert f"{type(other).__name__}" in caplog.text
    assert "hosted calls" in caplog.text
    assert talks.simulator.pictures == 1


def test_the_function_tool_has_no_such_neighbours(half, tool, simulator):
    """With the function tool the same middleware works, and there is no error."""
    middleware = [
        ToolCallLimitMiddleware(tool_name="generate_image", run_limit=1),
        ImageGenerationMiddleware(tool=tool, hosted=False),
    ]
    begin(half, create_agent(scripted_model(image_call("a"), image_call("b"), DONE), middleware=middleware))

    assert simulator.pictures == 1


def test_settings_that_contradict():
    """`hosted=True` beside `approval` is an error, and so is an approval of another tool or a wrong amount."""
    with pytest.raises(OptionError, match="hosted=True and approval= exclude each other"):
        ImageGenerationMiddleware(hosted=True, approval=True)
    with pytest.raises(OptionError, match="approval= asks for 'send_email'"):
        ImageGenerationMiddleware(approval={"send_email": True})
    with pytest.raises(OptionError, match="threshold='cheap'"):
        approval("cheap")
