"""`images_from` with streams, dumps and answers in any container, and the errors if there is no picture."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage, messages_to_dict
from langchain_openai import ChatOpenAI
from langgraph.types import Command
from openai.types import ImagesResponse
from openai.types.responses import Response
from openai.types.responses.response_output_item import ImageGenerationCall
from PIL import Image

from langchain_imagegen import ImageGenerationTool, ImageOptions, ImageOutputParser, images_from
from langchain_imagegen.conversation.messages import upload
from langchain_imagegen.errors import CorruptImageError, ImageGenerationError, ModerationError, NoImageError
from langchain_imagegen.simulator import moderated, no_image
from tests.graphs import THREAD, Talk, agent_with_middleware
from tests.scripted import DONE, image_call, scripted_model

SMALL = {"size": "816x816", "quality": "low", "output_format": "jpeg"}


def png_base64() -> str:
    """Return the base64 of a small PNG."""
    data = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


CALL = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": png_base64()}
SAYS = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Here."}]}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "output": [{"type": "reasoning", "id": "rs_1", "summary": []}, CALL, SAYS],
}
MESSAGE = AIMessage([CALL], id="resp_1")
RECORD = {"id": "ig_1", "sha256": "0" * 64, "size_bytes": 1, "mime_type": "image/png"}
IN_TOOL = ToolMessage("x", tool_call_id="a", artifact={"images": [RECORD]})

CONTAINERS = {
    "response": RESPONSE,
    "response as text": json.dumps(RESPONSE),
    "response as bytes": json.dumps(RESPONSE).encode(),
    "batch line": json.dumps({"id": "b", "custom_id": "1", "response": {"status_code": 200, "body": RESPONSE}}),
    "output items": RESPONSE["output"],
    "one item": CALL,
    "item of the SDK": ImageGenerationCall.model_construct(**CALL),
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


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_picture_is_found_in_every_container(container: str, image_store: Any):
    """`images_from` finds a picture exactly once in every container of a stream, a dump or an answer."""
    assert [image.id for image in images_from(CONTAINERS[container], image_store=image_store)] == ["ig_1"]


def test_json_of_a_response_keeps_its_ids(image_store: Any):
    """An image from the JSON of a response has the response's id and the id of its reasoning item."""
    [image] = images_from(RESPONSE, image_store=image_store)

    assert (image.response_id, image.companion_ids) == ("resp_1", ("rs_1",))


def test_json_of_the_images_api_is_read(image_store: Any):
    """`images_from` reads the JSON of an Images API answer."""
    [image] = images_from({"created": 1, "data": [{"b64_json": png_base64()}]}, image_store=image_store)

    assert image.read() == base64.b64decode(png_base64())


def test_a_dict_of_results_is_read(low: Any):
    """`images_from` returns the images of every result in a dict, as `RunnableParallel` gives it."""
    draw = low()
    fox, owl = draw.invoke("draw a fox"), draw.invoke("draw an owl")

    assert images_from({"fox": fox, "owl": [owl], "note": "x"}) == [fox.image, owl.image]
    assert images_from(fox.record()) == [fox.image]


@pytest.mark.parametrize("mode", ["updates", "values", ["updates", "custom"], ["custom", "values"]])
def test_every_chunk_of_an_agents_stream_is_read(half: Any, low: Any, mode: Any):
    """`images_from` reads every chunk of an agent's stream, and the chunks together hold the picture."""
    talk = Talk(half, agent_with_middleware, ImageGenerationTool(generator=low()))
    talk.model.messages = scripted_model(image_call("a", "draw a fox"), DONE).messages

    chunks = half.stream(talk.graph, {"messages": "draw a fox"}, config=THREAD, stream_mode=mode)
    assert {image.prompt for chunk in chunks for image in images_from(chunk)} == {"draw a fox"}


@pytest.mark.parametrize(
    "empty", [[], {}, {"node": None}, {"messages": []}, ("updates", {"node": {"n": 1}}), "{}"], ids=str
)
def test_a_chunk_without_a_picture_is_empty(empty: Any):
    """A container without a picture gives an empty list, so a stream can be read chunk by chunk."""
    assert images_from(empty) == []


@pytest.mark.parametrize("source", ["a fox", "{broken", 5, None, object(), b"x", ["a", 1], {1, 2}], ids=type)
def test_any_other_value_is_refused(source: Any):
    """Any other value raises a `TypeError` that says what `images_from` accepts."""
    with pytest.raises(TypeError, match="there are no images in a"):
        images_from(source)


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
"""Functions that make a model's single answer from one block."""


@pytest.mark.parametrize("form", ANSWERS)
def test_one_answer_without_a_picture_is_an_error(form: str, image_store: Any):
    """`images_from` of one answer raises a different error for a moderated call, a refusal, a text and invalid data."""

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
def test_one_response_without_a_picture_is_an_error(as_json: bool):
    """`images_from` of one response raises an error that names moderation, a refusal, a text or an early end."""

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


@pytest.mark.parametrize("item", [MODERATED, ImageGenerationCall.model_construct(**MODERATED)], ids=["JSON", "SDK"])
def test_one_moderated_item_is_an_error(item: Any):
    """`images_from` of a single moderated item raises `ModerationError`."""
    with pytest.raises(ModerationError):
        images_from(item)


def test_images_api_answer_without_a_picture_is_an_error():
    """An Images API answer raises `CorruptImageError` for invalid data and `NoImageError` for no data."""
    with pytest.raises(CorruptImageError):
        images_from({"created": 1, "data": [{"b64_json": "no base64!"}]})
    with pytest.raises(NoImageError):
        images_from(ImagesResponse(created=1, data=[]))


UNFINISHED = {
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


@pytest.mark.parametrize("name", UNFINISHED)
def test_unfinished_source_without_a_picture_is_empty(name: str):
    """Messages, states, chunks and unfinished answers give an empty list, or an error with `allow_empty=False`."""
    assert images_from(UNFINISHED[name]) == []
    with pytest.raises(ImageGenerationError):
        images_from(UNFINISHED[name], allow_empty=False)


@pytest.mark.parametrize("source", [AIMessage([MODERATED]), AIMessage("No."), {"id": "resp_1", "output": [SAYS]}])
def test_allow_empty_returns_an_empty_list(source: Any):
    """With `allow_empty=True` an answer without a picture gives an empty list."""
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
def test_parser_raises_for_a_moderated_call(source: Any, half: Any):
    """The parser raises `ModerationError` with stage and categories for a moderated call in any source."""
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
def test_parser_raises_for_a_refusal(source: Any):
    """The parser raises an error with the text of a refusal and without the advice to force the tool."""
    with pytest.raises(NoImageError, match=r"refused to draw: 'I cannot draw that\.'") as caught:
        ImageOutputParser().invoke(source)

    assert caught.value.text == REFUSED["refusal"]
    assert "tool_choice" not in str(caught.value)


@pytest.mark.parametrize("version", VERSIONS)
def test_text_and_moderation_of_a_chat_model_differ(version: str, simulator: Any):
    """In every `output_version` a text raises `NoImageError` and a moderated call raises `ModerationError`."""
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
def test_moderated_response_of_the_sdk_is_an_error(simulator: Any, read: Any):
    """A response of the SDK whose only call was moderated raises `ModerationError`."""
    simulator.script(moderated("output", ["violence"], at="item"))
    with openai.OpenAI(base_url=simulator.base_url, api_key="simulated", max_retries=0) as client:
        response = client.responses.create(model="gpt-5", input="draw", tools=[ImageOptions(**SMALL).tool()])

    with pytest.raises(ModerationError) as caught:
        read(response)
    assert (caught.value.stage, caught.value.categories) == ("output", ["violence"])


def test_upload_in_a_message_is_read(image_store: Any):
    """`images_from` returns the uploaded picture of a user's message."""
    image = upload(base64.b64decode(png_base64()), image_store)

    assert images_from(HumanMessage([{"type": "image", "base64": png_base64()}]), image_store=image_store) == [image]
