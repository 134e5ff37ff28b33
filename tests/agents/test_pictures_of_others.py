"""Pictures that other people's tools return and other chat models draw: light in the state, editable by handle."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.tools import tool as as_tool

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool
from tests.conversations import SMALL, copies, encoded, image_block, photo, sizes
from tests.scripted import DONE, answers, asks, scripted

CHART = photo("a chart", size_bytes=300_000)
URL = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded(CHART)}"}}
FORMS = {"v1": image_block(CHART), "image_url": URL}


@pytest.fixture
def tool(generator):
    """A tool that draws at the simulator."""
    return ImageGenerationTool(generator=generator(options=SMALL))


def chart(block: dict[str, Any]) -> Any:
    """A tool of somebody else, which returns a picture."""

    @as_tool
    def chart() -> list[dict[str, Any]]:
        """A chart."""
        return [{"type": "text", "text": "the chart"}, block]

    return chart


CALL = ToolCall(name="chart", args={}, id="c", type="tool_call")


@pytest.mark.parametrize("block", FORMS.values(), ids=FORMS)
def test_picture_of_another_tool(talks, tool, block):
    """It never reaches a checkpoint, the model sees it in the form that the tool gave, and "last" edits it."""
    model = scripted(CALL, DONE)
    talk = talks.start(ImageGenerationMiddleware(tool=tool, hosted=False), tools=[chart(block)], model=model)
    talk.say("show the chart")
    model.messages = scripted(asks("e", "edit it", images=["last"]), DONE).messages
    talk.say("make it blue")

    first, blue = talk.memory
    assert (first.origin, first.read(), blue.parents) == ("tool", CHART, (first.id,))
    assert [len(answers(talk.state)), copies(talk.file)] == [2, 0]
    assert sizes(talk.file)["file"] < 300_000
    [shown] = [message for message in model.read[-1] if isinstance(message, ToolMessage) and message.name == "chart"]
    assert [part["type"] for part in shown.content] == ["text", "text", block["type"]]
    assert first.handle in shown.content[1]["text"]
    assert block in shown.content


def test_hosted_model_edits_the_picture_of_a_tool(talks):
    """The hosted tool gets the bytes of what another tool returned."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), tools=[chart(image_block(CHART))])
    talk.say("call chart")
    talk.say(f"edit {talk.handles[0]}: make it blue")

    first, blue = talk.memory
    assert blue.parents == (first.id,)
    assert CHART in talks.simulator.orders[-1].sources
    assert copies(talk.file) == 0


@pytest.mark.parametrize("block", FORMS.values(), ids=FORMS)
def test_picture_of_another_chat_model(talks, tool, block):
    """An image block without an id in a model's answer is drawn by that model: light, kept, editable, sent back."""
    drawn = AIMessage([{"type": "text", "text": "here"}, block])
    model = scripted(drawn)
    talk = talks.start(ImageGenerationMiddleware(tool=tool, hosted=False), model=model)
    talk.say("draw a chart")
    model.messages = scripted(asks("e", "edit it", images=["last"]), DONE).messages
    talk.say("make it blue")

    first, blue = talk.memory
    assert (first.origin, first.read(), first.prompt) == ("model", CHART, "draw a chart")
    assert blue.parents == (first.id,)
    assert copies(talk.file) == 0
    assert block in next(m for m in model.read[-1] if isinstance(m, AIMessage)).content


ODD = [
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
KWARGS = [{"tool_outputs": ["x"]}, {"tool_outputs": 5}, {"tool_outputs": [{"type": []}]}, {"reasoning": 5}]


@pytest.mark.parametrize("hosted", [False, True], ids=["function", "hosted"])
def test_malformed_messages_end_no_agent(half, tool, hosted, image_store):
    """Blocks and fields that no chat model writes are passed over, in each message, and the agent goes on."""
    from langchain.agents import create_agent

    odd = [
        *[kind([block], **extra) for block in ODD for kind, extra in KINDS],
        *[AIMessage("x", additional_kwargs=extra) for extra in KWARGS],
    ]
    middleware = ImageGenerationMiddleware(tool=None if hosted else tool, hosted=hosted, image_store=image_store)
    agent = create_agent(scripted(DONE), middleware=[middleware])

    state = half.invoke(agent, {"messages": [*odd, HumanMessage("go on")]})
    assert state["messages"][-1].content == "done"


KINDS = [(HumanMessage, {}), (AIMessage, {}), (ToolMessage, {"tool_call_id": "q"})]
