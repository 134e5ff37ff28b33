"""The middleware with the hosted tool: what it sends the model, what it keeps in the state, which tool it offers."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.tools import tool
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from pydantic import BaseModel

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageMemory, images_from
from langchain_imagegen.agents.chat_models import has_hosted_tool
from langchain_imagegen.errors import OptionError
from langchain_imagegen.simulator import image, moderated, moderated_beside_good
from tests.conversations import (
    SMALL,
    VERSIONS,
    RequestEditor,
    count_base64,
    database_sizes,
    image_call_ids,
    photo,
    request_text,
)
from tests.scripted import DONE, image_call, scripted_model, tool_messages

HOSTED = "image_generation"


class Caption(BaseModel):
    """A structured answer: the title of a picture."""

    title: str


@tool
def weather(place: str) -> str:
    """Return the weather at a place."""
    return f"fair in {place}"


@pytest.fixture
def function_tool(generator):
    """Return a function tool for the middleware that draws at the simulator."""
    return ImageGenerationTool(generator=generator(options=SMALL, api_key="sk-a"))


def offered_tools(talk: Any) -> list[str]:
    """Return the tools in the last request: functions by name, others by type."""
    return [tool.get("name") or tool["type"] for tool in talk.requests[-1].body["tools"]]


# Answers


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
def test_checkpoints_hold_no_base64(talks, version, streaming):
    """No checkpoint or pending write holds the picture; the channel has its record and the store its bytes."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    talk.say("draw a fox", streaming=streaming)

    [drawn] = talk.memory
    assert count_base64(talk.file) == 0
    assert drawn.read().startswith(b"\x89PNG")
    assert (drawn.prompt, drawn.width, drawn.stored, drawn.parents) == ("draw a fox", 816, True, ())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
def test_next_request_names_pictures_by_id(talks, version, streaming):
    """An edit sends the earlier picture's id instead of its bytes, and records it as the parent."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    talk.say("draw a fox", streaming=streaming)
    talk.say(f"edit {talk.handles[0]}: make it winter", streaming=streaming)

    fox, winter = talk.memory
    assert image_call_ids(talk.last_input) == [fox.id]
    assert talk.requests[-1].size < 3000
    assert winter.parents == (fox.id,)
    assert talks.simulator.orders[-1].sources == (fox.read(),)


@pytest.mark.parametrize("version", VERSIONS)
def test_chaining_model_is_sent_only_new_messages(talks, version):
    """With `use_previous_response_id` each request holds one input item and can edit any picture by its handle."""
    model = talks.model(output_version=version, use_previous_response_id=True)
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=model)
    talk.say("draw a fox")
    talk.say("draw an owl")
    for handle in reversed(talk.handles):
        talk.say(f"edit {handle}: make it winter")

    fox, owl, *edits = talk.memory
    response_ids = [message.response_metadata["id"] for message in talk.state["messages"] if message.type == "ai"]
    bodies = [request.body for request in talk.requests]
    assert [edit.parents for edit in edits] == [(owl.id,), (fox.id,)]
    assert [body.get("previous_response_id") for body in bodies] == [None, *response_ids[:-1]]
    assert [len(body["input"]) for body in bodies] == [1, 1, 1, 1]
    assert "is number 2" in request_text(bodies[2]["input"])
    assert "is number 1" in request_text(bodies[3]["input"])
    assert count_base64(talk.file) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_alone_identify_the_picture(talks, version):
    """`images_from` reads a light message without the channel and finds its picture."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    state = talk.say("draw a fox")

    [drawn] = images_from(state["messages"])
    assert drawn.read() == talk.memory.latest.read()
    assert (drawn.handle, drawn.width) == (talk.handles[0], 816)
    assert {block["type"] for block in state["messages"][-1].content_blocks} <= {"text", "non_standard"}


@pytest.mark.parametrize("version", VERSIONS)
def test_two_pictures_of_one_answer(talks, version):
    """The middleware stores both pictures of one answer, and the user can edit either."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    talk.say("draw two pictures of a fox")
    first, second = talk.handles
    talk.say(f"edit {second}: make it winter")

    assert count_base64(talk.file) == 0
    assert image_call_ids(talk.last_input) == [talk.memory.get(first).id, talk.memory.get(second).id]
    assert f"{second} is number 2" in request_text(talk.last_input)
    assert talk.memory.latest.parents == (talk.memory.get(second).id,)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("fault", [moderated(at="item"), moderated_beside_good()], ids=["alone", "beside a good one"])
def test_failed_call_is_never_sent_back(talks, version, fault):
    """A failed call stays readable in its message, and later requests leave it out and mention the failure."""
    talks.simulator.script(fault)
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    answer = talk.say("draw a fox")["messages"][-1]
    drawn = [image.id for image in images_from(talk.state)]
    talk.say("draw an owl")

    assert "failed" in repr((answer.content, answer.additional_kwargs))
    assert image_call_ids(talk.last_input) == drawn
    assert "none came" in request_text(talk.last_input)
    assert len(talk.memory) == len(drawn) + 1


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
def test_model_reads_why_a_call_failed(talks, version, streaming):
    """The request after a moderated call tells the model the stage, the categories and the service's message."""
    talks.simulator.script(moderated("output", ["violence"], at="item"))
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    talk.say("draw a fox", streaming=streaming)
    talk.say("what happened?", streaming=streaming)

    text = request_text(talk.last_input)
    assert "'output'" in text
    assert "violence" in text
    assert "rejected by the safety system" in text


def test_pictures_from_before_the_middleware_become_light(talks):
    """The next turn removes base64 from a conversation that began without the middleware, and edits its picture."""
    without = talks.start(tools=[{"type": HOSTED, **SMALL}])
    without.say("draw a fox")

    talk = talks.start(ImageGenerationMiddleware(SMALL))
    state = talk.say("make it winter")
    after = count_base64(talk.file)
    talk.say("hello")
    assert count_base64(talk.file) == after
    assert not [message for message in state["messages"] if len(repr(message)) > 4000]
    assert talks.simulator.orders[-1].sources == (talk.memory.get("1").read(),)


# Sizes


@pytest.mark.parametrize("version", VERSIONS)
def test_ten_turns_of_large_pictures_stay_small(talks, version):
    """Ten turns with pictures of 2 MB keep the checkpoint file under 300 KB and each request under 4 KB."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    for turn in range(10):
        talks.simulator.script(image(photo(f"turn {turn}", size_bytes=2_000_000)))
        talk.say("make it blue" if turn else "draw a fox")

    found = database_sizes(talk.file)
    assert count_base64(talk.file) == 0
    assert found["file"] <= 300_000
    assert found["checkpoints"] + found["writes"] <= 250_000
    assert talk.requests[-1].size < 4000
    linked = 1 if version == "v1" else 10  # a v1 message does not say whether its picture is an edit
    assert len(talk.memory.lineage("last")) == linked


def test_no_checkpoint_is_added(talks, function_tool):
    """The middleware adds no checkpoint to a turn, with answers, hosted calls or function calls."""
    with_it = talks.start(ImageGenerationMiddleware(SMALL, tool=function_tool), file="with.sqlite")
    without = talks.start(tools=[{"type": HOSTED, **SMALL}], file="without.sqlite")
    for talk in (with_it, without):
        talk.say("draw a fox")
        talk.say("hello")
    caller = scripted_model(image_call("a"), DONE)
    function = talks.start(ImageGenerationMiddleware(tool=function_tool), model=caller, file="function.sqlite")
    function.say("draw a fox")

    assert database_sizes(with_it.file)["steps"] == database_sizes(without.file)["steps"] == 6
    assert database_sizes(function.file)["steps"] == 5  # the input twice, the model, the tool, the model


# Other output and other tools


@pytest.mark.parametrize("version", VERSIONS)
def test_structured_output_with_a_picture(talks, version):
    """The agent parses a structured answer, and the middleware stores the picture beside it."""
    model = talks.model(output_version=version)
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=model, response_format=ProviderStrategy(Caption))
    state = talk.say("draw a fox")

    assert state["structured_response"] == Caption(title="simulated")
    assert len(talk.memory) == 1
    assert count_base64(talk.file) == 0


def test_structured_output_by_a_tool(talks):
    """The agent returns a structured answer that the model gives as a tool call."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), response_format=ToolStrategy(Caption))
    state = talk.say("Caption, please")

    assert state["structured_response"].title
    assert offered_tools(talk) == [HOSTED, "Caption"]


def test_other_tools_work_with_the_hosted_one(talks):
    """The model can call another tool in one turn and the hosted tool in the next."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), tools=[weather])
    talk.say("call weather")
    talk.say("draw it")

    assert offered_tools(talk) == ["weather", HOSTED]
    assert [message.name for message in tool_messages(talk.state)] == ["weather"]
    assert len(talk.memory) == 1


def test_artifact_of_any_tool_is_recorded(talks, generator, image_store):
    """The middleware records a picture in another tool's artifact and sends it to the model by id."""
    drawn = generator(options=SMALL, api_key="sk-a").invoke("draw a fox")

    @tool(response_format="content_and_artifact")
    def postcard() -> tuple[str, dict[str, Any]]:
        """Return a postcard."""
        return "here it is", drawn.record()

    talk = talks.start(ImageGenerationMiddleware(SMALL, image_store=image_store), tools=[postcard])
    talk.say("call postcard")
    assert talk.handles == [drawn.image.handle]
    assert image_call_ids(talk.last_input) == [drawn.image.id]


def test_channel_cannot_be_written_by_a_caller(talks):
    """The middleware ignores image records in the caller's input."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    forged = {"ig_forged": {"id": "ig_forged", "sha256": "0" * 64, "mime_type": "image/png", "size_bytes": 1}}
    talk.say("draw a fox", forged=forged)

    assert [drawn.prompt for drawn in talk.memory] == ["draw a fox"]


# Which tool the model is offered


def test_options_reach_the_hosted_tool(talks):
    """The request offers the hosted tool with the options, except `partial_images`, which `ChatOpenAI` refuses."""
    talk = talks.start(ImageGenerationMiddleware({**SMALL, "background": "opaque", "partial_images": 2}))
    talk.say("draw a fox")

    [sent] = talk.requests[-1].body["tools"]
    assert sent == {"type": HOSTED, "model": "gpt-image-2", "background": "opaque", **SMALL}


def test_hosted_tool_of_the_developer_is_sent_unchanged(talks):
    """The request holds the developer's own hosted tool unchanged and only once, and its pictures are stored."""
    own = {"type": HOSTED, "size": "816x816", "quality": "low", "output_format": "jpeg"}
    talk = talks.start(ImageGenerationMiddleware({"quality": "high"}), tools=[own])
    talk.say("draw a fox")

    assert talk.requests[-1].body["tools"] == [own]
    assert talk.memory.latest.mime_type == "image/jpeg"


AZURE = {"azure_endpoint": "https://here.openai.azure.com", "api_version": "2025-04-01-preview", "api_key": "sk-a"}
XAI = {"model": "grok-4", "api_key": "sk-a", "base_url": "https://api.x.ai/v1"}


@pytest.mark.parametrize(
    ("model", "hosted"),
    [
        (ChatOpenAI(model="gpt-5.4", api_key="sk-a"), True),
        (ChatOpenAI(model="gpt-5.4", api_key="sk-a", base_url="https://eu.api.openai.com/v1"), True),
        (ChatOpenAI(model="gpt-5.4", api_key="sk-a", use_responses_api=False), False),
        (AzureChatOpenAI(azure_deployment="gpt-5.4", **AZURE), True),
        (AzureChatOpenAI(azure_deployment="gpt-5.4", use_responses_api=False, **AZURE), False),
        (ChatOpenAI(**XAI), False),
        (ChatOpenAI(use_responses_api=True, **XAI), True),
        (scripted_model(), False),
    ],
    ids=["openai", "europe", "completions", "azure", "azure completions", "xai", "xai responses", "other"],
)
def test_models_with_the_hosted_tool(model, hosted):
    """The hosted tool exists on OpenAI's and Azure's hosts or with the Responses API, never on chat completions."""
    assert has_hosted_tool(model) is hosted


@pytest.mark.parametrize(("hosted", "name"), [("auto", HOSTED), (True, HOSTED), (False, "generate_image")])
def test_developer_chooses_the_tool(talks, function_tool, hosted, name):
    """The request offers exactly one tool, the hosted one or ours, as `hosted` decides."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, hosted=hosted, tool=function_tool))
    talk.say("draw a fox")

    assert offered_tools(talk) == [name]
    assert len(talk.memory) == 1
    assert count_base64(talk.file) == 0


def test_chat_model_can_change_between_turns(talks, function_tool):
    """A second chat model reads about hosted pictures in text and edits them with our tool; the first uses ids."""
    other = scripted_model(image_call("a", "make it winter", images=["last"]), DONE)
    models = iter([talks.model(), other, other, talks.model()])
    change = RequestEditor(lambda request: request.override(model=next(models)))
    talk = talks.start(change, ImageGenerationMiddleware(SMALL, tool=function_tool))
    for text in ("draw a fox", "make it winter", "make it night"):
        talk.say(text)

    fox, winter, _ = talk.memory
    assert [tool.name for tool in other.offered_tools] == ["generate_image"] * 2
    assert f"(Drew {fox.handle}: draw a fox)" in other.requests[0][1].text
    assert winter.parents == (fox.id,)
    assert offered_tools(talk) == [HOSTED]
    assert image_call_ids(talk.last_input) == [fox.id, winter.id]


def test_other_chat_model_gets_our_tool(talks, function_tool):
    """A chat model without the hosted tool is offered our tool in place of the developer's hosted tool."""
    other = scripted_model(DONE)
    talk = talks.start(ImageGenerationMiddleware(tool=function_tool), model=other, tools=[{"type": HOSTED}])
    talk.say("hello")

    assert [tool.name for tool in other.offered_tools] == ["generate_image"]


@pytest.mark.parametrize(
    ("setting", "accepted"),
    [
        ({"trust": "chanel"}, "'all' or 'channel'"),
        ({"hosted": "no"}, "'auto', True or False"),
        ({"hosted": 1}, "'auto', True or False"),
        ({"wire": "yes"}, "True or False"),
        ({"around_image": 5}, "a function"),
    ],
)
def test_a_misspelt_setting_is_refused(setting, accepted):
    """A setting with a value that means nothing is refused: a misspelt `trust="channel"` would believe everybody."""
    with pytest.raises(OptionError, match=f"it takes {accepted}"):
        ImageGenerationMiddleware(**setting)
    if "trust" in setting:
        with pytest.raises(OptionError, match=accepted):
            ImageMemory.from_state({"messages": []}, **setting)
