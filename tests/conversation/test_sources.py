"""Pictures read from streams, dumps and answers in any container, and the errors if there are none."""

from __future__ import annotations

import base64
import io
import json
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage, messages_to_dict
from langchain_openai import ChatOpenAI
from langgraph.types import Command
from openai.types import ImagesResponse
from openai.types.responses import Response
from PIL import Image

from langchain_imagegen import ImageGenerationTool, ImageOptions, ImageOutputParser, images_from
from langchain_imagegen.conversation.messages import upload
from langchain_imagegen.errors import CorruptImageError, ImageGenerationError, ModerationError, NoImageError
from langchain_imagegen.simulator import moderated, no_image
from tests.graphs import THREAD, Talk, agent_with_middleware
from tests.scripted import DONE, image_call, scripted_model

SMALL = {"size": "816x816", "quality": "low", "output_format": "jpeg"}


def encoded() -> str:
    """Return a small picture as base64."""
    data = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


CALL = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": encoded()}
SAYS = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Here."}]}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "output": [{"type": "reasoning", "id": "rs_1", "summary": []}, CALL, SAYS],
}
MESSAGE = AIMessage([CALL], id="resp_1")
RECORD = {"id": "ig_1", "sha256": "0" * 64, "size_bytes": 1, "mime_type": "image/png"}
IN_TOOL = ToolMessage("x", tool_call_id="a", artifact={"images": [RECORD]})

HOLDING = {
    "response": RESPONSE,
    "response as text": json.dumps(RESPONSE),
    "response as bytes": json.dumps(RESPONSE).encode(),
    "batch line": json.dumps({"id": "b", "custom_id": "1", "response": {"status_code": 200, "body": RESPONSE}}),
    "output items": RESPONSE["output"],
    "one item": CALL,
    "item of the SDK": SimpleNamespace(type=CALL["type"], model_dump=lambda **_: CALL),
    "event of a stream": {"type": "response.output_item.done", "item": CALL},
    "last event of a stream": {"type": "response.completed", "response": RESPONSE},
    "updates": {"model": {"messages": [MESSAGE]}},
    "updates of a tool": {"tools": {"messages": [IN_TOOL], "generated_images": {"ig_1": RECORD}}},
    "updates of several nodes": {"other": None, "model": {"messages": [MESSAGE]}, "third": {"count": 1}},
    "mode and chunk": ("updates", {"model": {"messages": [MESSAGE]}}),
    "mode and values": ("values", {"messages": [HumanMessage("draw"), MESSAGE]}),
    "namespace, mode and chunk": (("sub:1",), "updates", {"model": {"messages": [MESSAGE]}}),
    "part of version 2": {"type": "updates", "ns": (), "data": {"model": {"messages": [MESSAGE]}}},
    "message and metadata": (MESSAGE, {"langgraph_step": 1, "tags": []}),
    "mode, message and metadata": ("messages", (MESSAGE, {"langgraph_step": 1})),
    "all of a stream": [{"model": {"messages": [MESSAGE]}}, {"tools": {"messages": [IN_TOOL]}}],
    "command": Command(update={"messages": [MESSAGE]}),
    "structured output": {"raw": MESSAGE, "parsed": None, "parsing_error": None},
    "dict of chains": {"picture": MESSAGE, "text": "a fox"},
    "dumped messages": messages_to_dict([HumanMessage("draw"), MESSAGE]),
    "dumped chunk": {"type": "AIMessageChunk", "content": [CALL], "id": "resp_1"},
    "chunk": AIMessageChunk([CALL], id="resp_1"),
    "tool message without an id": [{"role": "tool", "content": "x", "artifact": {"images": [RECORD]}}],
    "among unknown roles": [{"role": "critic", "content": "x"}, MESSAGE],
    "record": RECORD,
    "artifact": {"images": [RECORD], "sources": [], "text": ""},
}


@pytest.mark.parametrize("container", HOLDING)
def test_a_picture_is_found_in_every_container(container: str, image_store: Any):
    """Whatever a stream, a dump or an answer wraps it in, the picture is found, once."""
    assert [image.id for image in images_from(HOLDING[container], image_store=image_store)] == ["ig_1"]


def test_an_answer_as_json_has_the_facts_of_the_response(image_store: Any):
    """The response's id and the reasoning that a replay needs are read from JSON too."""
    [image] = images_from(RESPONSE, image_store=image_store)

    assert (image.response_id, image.companion_ids) == ("resp_1", ("rs_1",))


def test_an_images_api_answer_as_json(image_store: Any):
    """The pictures of the Images API are found in its JSON."""
    [image] = images_from({"created": 1, "data": [{"b64_json": encoded()}]}, image_store=image_store)

    assert image.read() == base64.b64decode(encoded())


def test_results_in_a_dict(low: Any):
    """A dict of results, as `RunnableParallel` gives it, holds the pictures of each."""
    draw = low()
    fox, owl = draw.invoke("draw a fox"), draw.invoke("draw an owl")

    assert images_from({"fox": fox, "owl": [owl], "note": "x"}) == [fox.image, owl.image]
    assert images_from(fox.record()) == [fox.image]


@pytest.mark.parametrize("mode", ["updates", "values", ["updates", "custom"], ["custom", "values"]])
def test_every_chunk_of_an_agents_stream_is_read(half: Any, low: Any, mode: Any):
    """In every `stream_mode` the chunks can be given as they come, and together they hold the picture drawn."""
    talk = Talk(half, agent_with_middleware, ImageGenerationTool(generator=low()))
    talk.model.messages = scripted_model(image_call("a", "draw a fox"), DONE).messages

    chunks = half.stream(talk.graph, {"messages": "draw a fox"}, config=THREAD, stream_mode=mode)
    assert {image.prompt for chunk in chunks for image in images_from(chunk)} == {"draw a fox"}


@pytest.mark.parametrize(
    "empty", [[], {}, {"node": None}, {"messages": []}, ("updates", {"node": {"n": 1}}), "{}"], ids=str
)
def test_a_chunk_without_a_picture_is_empty(empty: Any):
    """What could hold pictures and holds none gives an empty list, so that a stream can be read chunk by chunk."""
    assert images_from(empty) == []


@pytest.mark.parametrize("given", ["a fox", "{broken", 5, None, object(), b"x", ["a", 1], {1, 2}], ids=type)
def test_what_cannot_hold_pictures_is_refused(given: Any):
    """Anything else is a `TypeError` that says what can be given."""
    with pytest.raises(TypeError, match="there are no images in a"):
        images_from(given)


# --- why there is no picture

VERSIONS = ("v0", "responses/v1", "v1")
REFUSED = {"type": "refusal", "refusal": "I cannot draw that."}
MODERATED = {
    "type": "image_generation_call",
    "id": "ig_1",
    "status": "failed",
    "error": {
        "code": "moderation_blocked",
        "message": "Your request was rejected by the safety system.",
        "moderation_details": {"moderation_stage": "output", "categories": ["violence"]},
    },
}


ANSWERS = {
    "message": lambda block: AIMessage([block]),
    "v1 message": lambda block: AIMessage([{"type": "non_standard", "value": block}]),
    "message as JSON": lambda block: {"role": "assistant", "content": [block]},
    "message as text": lambda block: json.dumps({"type": "ai", "content": [block]}),
}
"""One block as a single answer of a model, in several forms."""


@pytest.mark.parametrize("form", ANSWERS)
def test_an_answer_without_a_picture_says_why(form: str, image_store: Any):
    """`images_from` of one answer tells a moderated call, a refusal, a text and spoiled data apart."""

    def read(block: Any) -> Any:
        return images_from(ANSWERS[form](block), image_store=image_store)

    with pytest.raises(ModerationError) as moderation:
        read(MODERATED)
    with pytest.raises(NoImageError, match="refused to draw") as refusal:
        read(REFUSED)
    with pytest.raises(NoImageError, match="answered with text") as text:
        read({"type": "text", "text": "I would rather not."})
    with pytest.raises(CorruptImageError):
        read({**CALL, "result": "no base64!"})
    assert (moderation.value.stage, moderation.value.categories) == ("output", ["violence"])
    assert (refusal.value.text, text.value.text) == (REFUSED["refusal"], "I would rather not.")


@pytest.mark.parametrize("as_json", [False, True], ids=["Response", "JSON"])
def test_a_response_without_a_picture_says_why(as_json: bool):
    """`images_from` of one response raises what the service tells: moderation, a refusal, a text, an early end."""

    def read(*items: Any, **facts: Any) -> Any:
        payload = {"id": "resp_1", "object": "response", "status": "completed", "output": list(items), **facts}
        return images_from(payload if as_json else Response.model_construct(**payload))

    with pytest.raises(ModerationError):
        read(MODERATED, SAYS)
    with pytest.raises(NoImageError, match="refused to draw"):
        read({"type": "message", "role": "assistant", "content": [REFUSED]})
    with pytest.raises(NoImageError, match="answered with text"):
        read(SAYS)
    with pytest.raises(NoImageError, match="max_output_tokens"):
        read(SAYS, status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    with pytest.raises(ModerationError):
        read(status="failed", error={"code": "moderation_blocked", "message": "Rejected by the safety system."})


@pytest.mark.parametrize(
    "given", [MODERATED, SimpleNamespace(type=MODERATED["type"], model_dump=lambda **_: MODERATED)]
)
def test_a_failed_call_by_itself_says_why(given: Any):
    """A moderated item taken out of its response is a `ModerationError` too."""
    with pytest.raises(ModerationError):
        images_from(given)


def test_an_images_api_answer_without_a_picture_says_why():
    """Spoiled data of the Images API is a `CorruptImageError`, and an answer without pictures a `NoImageError`."""
    with pytest.raises(CorruptImageError):
        images_from({"created": 1, "data": [{"b64_json": "no base64!"}]})
    with pytest.raises(NoImageError):
        images_from(ImagesResponse(created=1, data=[]))


UNDECIDED = {
    "messages": [HumanMessage("draw"), AIMessage([MODERATED])],
    "state": {"messages": [HumanMessage("draw"), AIMessage([MODERATED])]},
    "chunk": AIMessageChunk("I would"),
    "chunk as JSON": {"type": "AIMessageChunk", "content": "I would"},
    "message and metadata": (AIMessage("No."), {"langgraph_step": 1}),
    "updates": {"model": {"messages": [AIMessage([REFUSED])]}},
    "updates of a task": {"task": AIMessage("No.")},
    "call of a tool": AIMessage("", tool_calls=[{"name": "draw", "args": {}, "id": "c"}]),
    "user": HumanMessage("draw"),
    "response in background": {"id": "resp_1", "status": "queued", "output": []},
    "item that has begun": {"type": CALL["type"], "id": "ig_1", "status": "in_progress"},
    "event": {"type": "response.output_item.done", "item": MODERATED},
    "several responses": [{"id": "resp_1", "output": [MODERATED]}],
    "several answers of the Images API": [{"data": [{"b64_json": "no base64!"}]}],
}


@pytest.mark.parametrize("name", UNDECIDED)
def test_what_often_holds_no_picture_is_empty(name: str):
    """Messages, states, chunks and unfinished answers give an empty list; `allow_empty=False` asks for the error."""
    assert images_from(UNDECIDED[name]) == []
    with pytest.raises(ImageGenerationError):
        images_from(UNDECIDED[name], allow_empty=False)


@pytest.mark.parametrize("source", [AIMessage([MODERATED]), AIMessage("No."), {"id": "resp_1", "output": [SAYS]}])
def test_allow_empty_switches_the_error_off(source: Any):
    """With `allow_empty=True` no answer is an error."""
    assert images_from(source, allow_empty=True) == []


@pytest.mark.parametrize(
    "source",
    [
        AIMessage([MODERATED]),
        AIMessage("", additional_kwargs={"tool_outputs": [MODERATED]}),
        AIMessage([{"type": "non_standard", "value": MODERATED}]),
        {"messages": [HumanMessage("draw"), AIMessage([MODERATED, {"type": "text", "text": "Sorry."}])]},
        {"id": "resp_1", "output": [MODERATED, SAYS]},
        [MODERATED],
        ("updates", {"model": {"messages": [AIMessage([MODERATED])]}}),
    ],
)
def test_a_moderated_call_is_a_moderation_error(source: Any, half: Any):
    """A call that the safety system stopped raises an error with stage and categories, in every source."""
    with pytest.raises(ModerationError) as caught:
        half.invoke(ImageOutputParser(), source)

    assert (caught.value.stage, caught.value.categories) == ("output", ["violence"])


@pytest.mark.parametrize(
    "source",
    [
        AIMessage([REFUSED]),
        AIMessage([{"type": "non_standard", "value": REFUSED}]),
        AIMessage("", additional_kwargs={"refusal": REFUSED["refusal"]}),
        {"messages": [HumanMessage("draw"), AIMessage([REFUSED])]},
        {"id": "resp_1", "output": [{"type": "message", "role": "assistant", "content": [REFUSED]}]},
    ],
)
def test_a_refusal_is_told_as_one(source: Any):
    """A refusal is an error with the model's words, and without the advice to force the tool."""
    with pytest.raises(NoImageError, match=r"refused to draw: 'I cannot draw that\.'") as caught:
        ImageOutputParser().invoke(source)

    assert caught.value.text == REFUSED["refusal"]
    assert "tool_choice" not in str(caught.value)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_chat_models_moderation_and_words_are_told_apart(version: str, simulator: Any):
    """Of a real chat model a moderated call and text are told apart, in every `output_version`."""
    model = ChatOpenAI(
        model="gpt-5", base_url=simulator.base_url, api_key="simulated", use_responses_api=True, output_version=version
    ).bind_tools([ImageOptions(**SMALL).tool()])
    simulator.script(no_image("I would rather not."), moderated("output", ["violence"], at="item"))

    with pytest.raises(NoImageError, match="answered with text") as caught:
        (model | ImageOutputParser()).invoke("draw a fox")
    with pytest.raises(ModerationError) as moderation:
        images_from(model.invoke("draw a fight"))
    assert caught.value.text == "I would rather not."
    assert (moderation.value.stage, moderation.value.categories) == ("output", ["violence"])
    model.bound.root_client.close()


@pytest.mark.parametrize("read", [images_from, ImageOutputParser().invoke], ids=["images_from", "parser"])
def test_a_moderated_response_of_the_sdk(simulator: Any, read: Any):
    """A plain response whose only call was moderated is a `ModerationError`."""
    simulator.script(moderated("output", ["violence"], at="item"))
    with openai.OpenAI(base_url=simulator.base_url, api_key="simulated", max_retries=0) as client:
        response = client.responses.create(model="gpt-5", input="draw", tools=[ImageOptions(**SMALL).tool()])

    with pytest.raises(ModerationError) as caught:
        read(response)
    assert (caught.value.stage, caught.value.categories) == ("output", ["violence"])


def test_an_upload_is_found_in_an_image_block(image_store: Any):
    """A message with an uploaded picture gives it by its digest."""
    image = upload(base64.b64decode(encoded()), image_store)

    assert images_from(HumanMessage([{"type": "image", "base64": encoded()}]), image_store=image_store) == [image]
