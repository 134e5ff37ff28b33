"""Pictures of other tools and other chat models: kept out of the checkpoints, editable by handle."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.tools import tool as as_tool

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool
from tests.conversations import SMALL, count_base64, database_sizes, image_block, photo, to_base64
from tests.scripted import DONE, image_call, scripted_model, tool_messages

CHART = photo("a chart", size_bytes=300_000)
URL = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{to_base64(CHART)}"}}
FORMS = {"v1": image_block(CHART), "image_url": URL}


@pytest.fixture
def tool(generator):
    """Return a tool that draws at the simulator."""
    return ImageGenerationTool(generator=generator(options=SMALL))


def chart_tool(block: dict[str, Any]) -> Any:
    """Return a foreign tool whose result is a text and this block."""

    @as_tool
    def chart() -> list[dict[str, Any]]:
        """Return a chart."""
        return [{"type": "text", "text": "the chart"}, block]

    return chart


CALL = ToolCall(name="chart", args={}, id="c", type="tool_call")


@pytest.mark.parametrize("block", FORMS.values(), ids=FORMS)
def test_picture_of_another_tool(talks, tool, block):
    """Another tool's picture stays out of the checkpoints, reaches the model in its own form, and can be edited."""
    model = scripted_model(CALL, DONE)
    talk = talks.start(ImageGenerationMiddleware(tool=tool, hosted=False), tools=[chart_tool(block)], model=model)
    talk.say("show the chart")
    model.messages = scripted_model(image_call("e", "edit it", images=["last"]), DONE).messages
    talk.say("make it blue")

    first, blue = talk.memory
    assert (first.origin, first.read(), blue.parents) == ("tool", CHART, (first.id,))
    assert [len(tool_messages(talk.state)), count_base64(talk.file)] == [2, 0]
    assert database_sizes(talk.file)["file"] < 300_000
    [shown] = [
        message for message in model.requests[-1] if isinstance(message, ToolMessage) and message.name == "chart"
    ]
    assert [part["type"] for part in shown.content] == ["text", "text", block["type"]]
    assert first.handle in shown.content[1]["text"]
    assert block in shown.content


def test_hosted_model_edits_the_picture_of_a_tool(talks):
    """The hosted tool edits the picture that another tool returned."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), tools=[chart_tool(image_block(CHART))])
    talk.say("call chart")
    talk.say(f"edit {talk.handles[0]}: make it blue")

    first, blue = talk.memory
    assert blue.parents == (first.id,)
    assert CHART in talks.simulator.orders[-1].sources
    assert count_base64(talk.file) == 0


@pytest.mark.parametrize("block", FORMS.values(), ids=FORMS)
def test_picture_of_another_chat_model(talks, tool, block):
    """A picture in another chat model's answer stays out of the checkpoints, is sent back, and can be edited."""
    drawn = AIMessage([{"type": "text", "text": "here"}, block])
    model = scripted_model(drawn)
    talk = talks.start(ImageGenerationMiddleware(tool=tool, hosted=False), model=model)
    talk.say("draw a chart")
    model.messages = scripted_model(image_call("e", "edit it", images=["last"]), DONE).messages
    talk.say("make it blue")

    first, blue = talk.memory
    assert (first.origin, first.read(), first.prompt) == ("model", CHART, "draw a chart")
    assert blue.parents == (first.id,)
    assert count_base64(talk.file) == 0
    assert block in next(m for m in model.requests[-1] if isinstance(m, AIMessage)).content


KINDS = [(HumanMessage, {}), (AIMessage, {}), (ToolMessage, {"tool_call_id": "q"})]
ODD_BLOCKS = [
    {"type": [], "text": "x"},
    {"type": {}},
    {"type": "image", "base64": 5},
    {"type": "image_url", "image_url": 7},
    {"type": "image", "file_id": []},
    {"type": "non_standard", "value": 3},
    {"type": "image_generation_call", "id": 5, "result": 5},
    {"type": "image_generation_call", "id": "ig_x", "error": {"moderation_details": 5, "message": []}},
    {"type": "imagegen_reference", "record": {"id": 5}},
    {"type": "reasoning", "id": [1]},
]
ODD_KWARGS = [{"tool_outputs": ["x"]}, {"tool_outputs": 5}, {"tool_outputs": [{"type": []}]}, {"reasoning": 5}]


@pytest.mark.parametrize("hosted", [False, True], ids=["function", "hosted"])
def test_malformed_messages_stop_no_agent(half, tool, hosted, image_store):
    """The middleware skips malformed blocks and fields in any message, and the agent answers."""
    odd = [
        *[kind([block], **extra) for block in ODD_BLOCKS for kind, extra in KINDS],
        *[AIMessage("x", additional_kwargs=extra) for extra in ODD_KWARGS],
    ]
    middleware = ImageGenerationMiddleware(tool=None if hosted else tool, hosted=hosted, image_store=image_store)
    agent = create_agent(scripted_model(DONE), middleware=[middleware])

    state = half.invoke(agent, {"messages": [*odd, HumanMessage("go on")]})
    assert state["messages"][-1].content == "done"
