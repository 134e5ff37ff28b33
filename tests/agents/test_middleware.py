"""The middleware with the hosted tool: what the model is sent, what the state keeps, which tool is offered."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.tools import tool
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from pydantic import BaseModel

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, images_from
from langchain_imagegen.agents.middleware import has_hosted_tool
from langchain_imagegen.simulator import image, moderated, moderated_beside_good
from tests.conversations import SMALL, VERSIONS, Rewriting, called, copies, photo, sizes, words
from tests.scripted import DONE, answers, asks, scripted

HOSTED = "image_generation"


class Caption(BaseModel):
    """What a picture is called."""

    title: str


@tool
def weather(place: str) -> str:
    """The weather at a place."""
    return f"fair in {place}"


@pytest.fixture
def function_tool(generator):
    """The middleware's function tool, drawing at the simulator."""
    return ImageGenerationTool(generator=generator(options=SMALL, api_key="sk-a"))


def offered(talk: Any) -> list[str]:
    """The tools of the last request, by type, functions by name."""
    return [given.get("name") or given["type"] for given in talk.requests[-1].body["tools"]]


# Answers


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
def test_answer_leaves_its_base64_behind(talks, version, streaming):
    """No checkpoint and no pending write ever holds the picture; the channel has its record and the store its bytes."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    talk.say("draw a fox", streaming=streaming)

    [drawn] = talk.memory
    assert copies(talk.file) == 0
    assert drawn.read().startswith(b"\x89PNG")
    assert (drawn.prompt, drawn.width, drawn.stored, drawn.parents) == ("draw a fox", 816, True, ())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
def test_next_request_names_pictures_by_id(talks, version, streaming):
    """An edit sends the earlier picture's id and not its bytes, and its record knows the parent."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    talk.say("draw a fox", streaming=streaming)
    talk.say(f"edit {talk.handles[0]}: make it winter", streaming=streaming)

    fox, winter = talk.memory
    assert called(talk.asked) == [fox.id]
    assert talk.requests[-1].size < 3000
    assert winter.parents == (fox.id,)
    assert talks.simulator.orders[-1].sources == (fox.read(),)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_model_that_chains_is_sent_what_is_new(talks, version):
    """With `use_previous_response_id` an edit is as short in any turn, and names any picture by its handle."""
    model = talks.model(output_version=version, use_previous_response_id=True)
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=model)
    talk.say("draw a fox")
    talk.say("draw an owl")
    for handle in reversed(talk.handles):
        talk.say(f"edit {handle}: make it winter")

    fox, owl, *edits = talk.memory
    answers = [message.response_metadata["id"] for message in talk.state["messages"] if message.type == "ai"]
    bodies = [request.body for request in talk.requests]
    assert [edit.parents for edit in edits] == [(owl.id,), (fox.id,)]
    assert [body.get("previous_response_id") for body in bodies] == [None, *answers[:-1]]
    assert [len(body["input"]) for body in bodies] == [1, 1, 1, 1]
    assert "is number 2" in words(bodies[2]["input"])
    assert "is number 1" in words(bodies[3]["input"])
    assert copies(talk.file) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_alone_tell_the_picture(talks, version):
    """A light message still says which picture it holds, so that it can be read without the channel."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    state = talk.say("draw a fox")

    [drawn] = images_from(state["messages"])
    assert drawn.read() == talk.memory.latest.read()
    assert (drawn.handle, drawn.width) == (talk.handles[0], 816)
    assert {block["type"] for block in state["messages"][-1].content_blocks} <= {"text", "non_standard"}


@pytest.mark.parametrize("version", VERSIONS)
def test_two_pictures_of_one_answer(talks, version):
    """Both pictures of an answer are taken out and can be edited on their own."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    talk.say("draw two pictures of a fox")
    first, second = talk.handles
    talk.say(f"edit {second}: make it winter")

    assert copies(talk.file) == 0
    assert called(talk.asked) == [talk.memory.get(first).id, talk.memory.get(second).id]
    assert f"{second} is number 2" in words(talk.asked)
    assert talk.memory.latest.parents == (talk.memory.get(second).id,)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("fault", [moderated(at="item"), moderated_beside_good()], ids=["alone", "beside a good one"])
def test_failed_call_is_harmless(talks, version, fault):
    """A call that failed stays readable in its message and is never sent back, with or without a good one beside it."""
    talks.simulator.script(fault)
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    answer = talk.say("draw a fox")["messages"][-1]
    drawn = [image.id for image in images_from(talk.state)]
    talk.say("draw an owl")

    assert "failed" in repr((answer.content, answer.additional_kwargs))
    assert called(talk.asked) == drawn
    assert "none came" in words(talk.asked)
    assert len(talk.memory) == len(drawn) + 1


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
def test_model_reads_why_a_call_failed(talks, version, streaming):
    """After a moderated call the next request says at which stage, for what, and in the service's own words."""
    talks.simulator.script(moderated("output", ["violence"], at="item"))
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    talk.say("draw a fox", streaming=streaming)
    talk.say("what happened?", streaming=streaming)

    told = words(talk.asked)
    assert "'output'" in told
    assert "violence" in told
    assert "rejected by the safety system" in told


def test_pictures_from_before_the_middleware_become_light(talks):
    """A conversation that already holds base64 loses it at the next turn, and its pictures can be edited."""
    without = talks.start(tools=[{"type": HOSTED, **SMALL}])
    without.say("draw a fox")

    talk = talks.start(ImageGenerationMiddleware(SMALL))
    state = talk.say("make it winter")
    after = copies(talk.file)
    talk.say("hello")
    assert copies(talk.file) == after
    assert not [message for message in state["messages"] if len(repr(message)) > 4000]
    assert talks.simulator.orders[-1].sources == (talk.memory.get("1").read(),)


# Sizes


@pytest.mark.parametrize("version", VERSIONS)
def test_ten_turns_stay_small(talks, version):
    """Ten edits of 2 MB cost little more than ten turns of plain words, in checkpoints and in requests."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    for turn in range(10):
        talks.simulator.script(image(photo(f"turn {turn}", size_bytes=2_000_000)))
        talk.say("make it blue" if turn else "draw a fox")

    found = sizes(talk.file)
    assert copies(talk.file) == 0
    assert found["file"] <= 300_000
    assert found["checkpoints"] + found["writes"] <= 250_000
    assert talk.requests[-1].size < 4000
    assert len(talk.memory.lineage("last")) == (1 if version == "v1" else 10)  # v1 does not tell an edit from a draft


def test_no_checkpoint_is_added(talks, function_tool):
    """A turn writes as many checkpoints as without the middleware, for answers, hosted calls and function calls."""
    with_it = talks.start(ImageGenerationMiddleware(SMALL, tool=function_tool), file="with.sqlite")
    without = talks.start(tools=[{"type": HOSTED, **SMALL}], file="without.sqlite")
    for talk in (with_it, without):
        talk.say("draw a fox")
        talk.say("hello")
    called_by = scripted(asks("a"), DONE)
    function = talks.start(ImageGenerationMiddleware(tool=function_tool), model=called_by, file="function.sqlite")
    function.say("draw a fox")

    assert sizes(with_it.file)["steps"] == sizes(without.file)["steps"] == 6
    assert sizes(function.file)["steps"] == 5  # the input twice, model, tool, model


# Beside the pictures


@pytest.mark.parametrize("version", VERSIONS)
def test_structured_output_beside_a_picture(talks, version):
    """A structured answer is parsed, and the picture that came with it is taken out."""
    model = talks.model(output_version=version)
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=model, response_format=ProviderStrategy(Caption))
    state = talk.say("draw a fox")

    assert state["structured_response"] == Caption(title="simulated")
    assert len(talk.memory) == 1
    assert copies(talk.file) == 0


def test_structured_output_by_a_tool(talks):
    """A structured answer that the model gives by calling a tool passes too."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), response_format=ToolStrategy(Caption))
    state = talk.say("Caption, please")

    assert state["structured_response"].title
    assert offered(talk) == [HOSTED, "Caption"]


def test_other_tools_beside_the_hosted_one(talks):
    """The model calls another tool, reads its result, and draws in the next turn."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), tools=[weather])
    talk.say("call weather")
    talk.say("draw it")

    assert offered(talk) == ["weather", HOSTED]
    assert [message.name for message in answers(talk.state)] == ["weather"]
    assert len(talk.memory) == 1


def test_artifact_of_any_tool_is_recorded(talks, generator, image_store):
    """What another tool drew and tells in its artifact is remembered too, and the model goes on with it by id."""
    drawn = generator(options=SMALL, api_key="sk-a").invoke("draw a fox")

    @tool(response_format="content_and_artifact")
    def postcard() -> tuple[str, dict[str, Any]]:
        """A postcard."""
        return "here it is", drawn.record()

    talk = talks.start(ImageGenerationMiddleware(SMALL, image_store=image_store), tools=[postcard])
    talk.say("call postcard")
    assert talk.handles == [drawn.image.handle]
    assert called(talk.asked) == [drawn.image.id]


def test_channel_cannot_be_written_by_a_caller(talks):
    """Records given as input are not taken."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    forged = {"ig_forged": {"id": "ig_forged", "sha256": "0" * 64, "mime_type": "image/png", "size_bytes": 1}}
    talk.say("draw a fox", forged=forged)

    assert [drawn.prompt for drawn in talk.memory] == ["draw a fox"]


# Which tool


def test_options_reach_the_hosted_tool(talks):
    """The hosted tool is offered with the options; partial pictures, which `ChatOpenAI` refuses, are left out."""
    talk = talks.start(ImageGenerationMiddleware({**SMALL, "background": "opaque", "partial_images": 2}))
    talk.say("draw a fox")

    [given] = talk.requests[-1].body["tools"]
    assert given == {"type": HOSTED, "model": "gpt-image-2", "background": "opaque", **SMALL}


def test_hosted_tool_of_the_developer_is_respected(talks):
    """A hosted tool that the agent was given is sent as it is, once, and its pictures are taken out."""
    given = {"type": HOSTED, "size": "816x816", "quality": "low", "output_format": "jpeg"}
    talk = talks.start(ImageGenerationMiddleware({"quality": "high"}), tools=[given])
    talk.say("draw a fox")

    assert talk.requests[-1].body["tools"] == [given]
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
        (scripted(), False),
    ],
    ids=["openai", "europe", "completions", "azure", "azure completions", "xai", "xai responses", "other"],
)
def test_who_draws_by_itself(model, hosted):
    """Models of OpenAI's and Azure's hosts do, others only if set to the Responses API, none over chat completions."""
    assert has_hosted_tool(model) is hosted


@pytest.mark.parametrize(("hosted", "name"), [("auto", HOSTED), (True, HOSTED), (False, "generate_image")])
def test_hosted_can_be_decided(talks, function_tool, hosted, name):
    """One tool is offered: the hosted one or ours, as the developer decides."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, hosted=hosted, tool=function_tool))
    talk.say("draw a fox")

    assert offered(talk) == [name]
    assert len(talk.memory) == 1
    assert copies(talk.file) == 0


def test_chat_model_may_change(talks, function_tool):
    """Another chat model is told of hosted pictures in words, edits them with our tool, and the first goes on by id."""
    other = scripted(asks("a", "make it winter", images=["last"]), DONE)
    models = iter([talks.model(), other, other, talks.model()])
    change = Rewriting(lambda request: request.override(model=next(models)))
    talk = talks.start(change, ImageGenerationMiddleware(SMALL, tool=function_tool))
    for asked in ("draw a fox", "make it winter", "make it night"):
        talk.say(asked)

    fox, winter, _ = talk.memory
    assert [given.name for given in other.offered] == ["generate_image"] * 2
    assert f"(Drew {fox.handle}: draw a fox)" in other.read[0][1].text
    assert winter.parents == (fox.id,)
    assert offered(talk) == [HOSTED]
    assert called(talk.asked) == [fox.id, winter.id]


def test_hosted_tool_of_the_developer_is_kept_from_others(talks, function_tool):
    """A chat model without the hosted tool gets ours in place of the one that the agent was given."""
    other = scripted(DONE)
    talk = talks.start(ImageGenerationMiddleware(tool=function_tool), model=other, tools=[{"type": HOSTED}])
    talk.say("hello")

    assert [given.name for given in other.offered] == ["generate_image"]
