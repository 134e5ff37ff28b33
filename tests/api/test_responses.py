"""Requests and answers of both APIs as pure functions of JSON."""

from __future__ import annotations

import hashlib

import pytest

from langchain_imagegen.api import images_api, response_stream, responses
from langchain_imagegen.errors import (
    ConnectionLostError,
    CorruptImageError,
    ImageGenerationError,
    ModerationError,
    NoImageError,
    OptionError,
    ServiceError,
)
from langchain_imagegen.images.image import GeneratedImage, Origin
from langchain_imagegen.images.sniffing import Blob

TOOL = {"type": "image_generation", "model": "gpt-image-2"}
ORIGIN = Origin(provider="api.example", prompt="a fox", image_model="gpt-image-2", stored=True, partial_images=1)


def picture(value):
    """Return a picture named by `value`; `bad` is corrupt."""
    if value == "bad":
        raise CorruptImageError("the picture's data is corrupt")
    digest = hashlib.sha256(str(value).encode()).hexdigest()
    return Blob(digest, len(str(value)), "image/png", 1, 1)


def partial(value):
    """Return the bytes of a partial."""
    if value == "bad":
        raise CorruptImageError("the picture's data is corrupt")
    return str(value).encode()


def call(id="ig_1", result="one", **more):
    """Return an image call."""
    return {"type": "image_generation_call", "id": id, "result": result, **more}


def reasoning(id):
    """Return a reasoning item."""
    return {"type": "reasoning", "id": id}


def said(*parts):
    """Return a message."""
    return {"type": "message", "content": list(parts)}


def read(*output, **more):
    """Return the result of a response with these items."""
    return responses.read_response({"id": "resp_1", "output": list(output), **more}, ORIGIN, picture)


# --- requests


def test_shortest_body():
    """A prompt alone is sent as a plain string, and fields that are not set are not sent."""
    body = responses.build_body(
        model="m", items=[responses.user_turn("a fox", [])], tool=TOOL, tool_choice="auto", store=None
    )

    assert body == {"model": "m", "input": "a fox", "tools": [TOOL], "tool_choice": "auto"}


def test_pictures_follow_the_prompt():
    """Pictures follow the prompt in the order in which the prompt counts them."""
    parts = [responses.image_part(url="data:image/png;base64,AA=="), responses.image_part(file_id="file-1")]

    assert responses.user_turn("combine", parts)["content"] == [
        {"type": "input_text", "text": "combine"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_image", "file_id": "file-1"},
    ]


def test_instructions_of_another_role_stay_a_list():
    """One turn of the assistant alone is not taken for the user's prompt."""
    body = responses.build_body(model="m", items=[responses.turn("assistant", "hello")], tool=TOOL, tool_choice=None)

    assert body["input"] == [{"role": "assistant", "content": "hello"}]


def test_an_earlier_picture_by_id():
    """An earlier picture is named by id alone, behind its reasoning, which is named once."""
    image = GeneratedImage(
        id="ig_1", sha256="0" * 64, size_bytes=1, mime_type="image/png", companion_ids=("rs_1", "rs_2")
    )

    assert responses.call_items(image, named=["rs_1"]) == [
        {"type": "item_reference", "id": "rs_2"},
        {"type": "image_generation_call", "id": "ig_1"},
    ]


# --- answers


def test_companions():
    """A picture's companions are the reasoning items right before it, and not those before another item."""
    result = read(
        reasoning("rs_0"), said(), reasoning("rs_1"), reasoning("rs_2"), call("ig_1"), call("ig_2"), reasoning("rs_3")
    )

    assert [image.companion_ids for image in result.images] == [("rs_1", "rs_2"), ("rs_1", "rs_2")]


def test_newer_reasoning_replaces_the_older():
    """Reasoning between two pictures is the second one's companion alone."""
    result = read(reasoning("rs_1"), call("ig_1"), reasoning("rs_2"), call("ig_2"))

    assert [image.companion_ids for image in result.images] == [("rs_1",), ("rs_2",)]


def test_a_picture_without_an_id():
    """Without an id from the service, the picture's digest is its id."""
    assert read(call(id=None)).image.id == f"sha256:{picture('one').sha256}"


def test_status_is_not_believed():
    """A picture that arrived counts, whatever status the response and its item report."""
    assert read(call(status="generating"), status="in_progress").image.id == "ig_1"


def test_echo_goes_before_what_was_asked():
    """The image model and whether it is stored are as the service says, where it says so."""
    image = read(call(), tools=[{"type": "image_generation", "model": "gpt-image-1.5"}], store=False).image

    assert (image.image_model, image.stored) == ("gpt-image-1.5", False)
    assert (read(call()).image.image_model, read(call()).image.stored) == ("gpt-image-2", True)


def test_text_with_refusals():
    """What the model wrote is joined in order, refusals included."""
    text = {"type": "output_text", "text": "Here. "}

    assert read(call(), said(text), said({"type": "refusal", "refusal": "Not that."})).text == "Here. Not that."


def test_an_answer_that_broke_off_within_its_items():
    """Items that are incomplete do not lose the picture beside them."""
    result = read({"type": "reasoning"}, {"id": "ig_1", "result": "one"}, {"type": "message"}, {})

    assert (result.image.id, result.image.companion_ids, result.text) == ("ig_1", (), "")


def test_usage_that_is_not_told():
    """Tokens that the service did not count are `None` and not zero."""
    result = read(call(), usage=None, tool_usage={})

    assert (result.usage, result.image_usage) == (None, None)


def test_failures_beside_a_picture():
    """A call without a picture is a failure in the result, with its reason."""
    refused = {"message": "no", "code": "moderation_blocked", "moderation_details": {"categories": ["gore"]}}
    result = read(call("ig_0", None, status="failed", error=refused), call(), call("ig_2", "bad"), call("ig_3", None))

    assert [failure.id for failure in result.failures] == ["ig_0", "ig_2", "ig_3"]
    assert (result.failures[0].code, result.failures[0].categories) == ("moderation_blocked", ("gore",))
    assert len(result.warnings) == 3


@pytest.mark.parametrize(
    ("response", "kind", "told"),
    [
        ({"error": {"message": "broke", "code": "server_error"}}, ServiceError, "broke"),
        ({"error": "broke"}, ServiceError, "broke"),
        ({"output": [call(result="bad")]}, CorruptImageError, "corrupt"),
        ({"output": [call(result=None, status="failed")]}, NoImageError, "ended as 'failed'"),
        ({"output": [{"type": "function_call"}, reasoning("rs_1")]}, NoImageError, "function_call, reasoning"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, ModerationError, "filter"),
        ({"status": "incomplete", "incomplete_details": None}, NoImageError, "unknown"),
        ({}, NoImageError, "nothing"),
    ],
)
def test_why_no_image(response, kind, told):
    """The error for a response without a picture is its own error, else that of its calls, else how it ended."""
    with pytest.raises(kind, match=told):
        responses.read_response(response, ORIGIN, picture)


# --- streams


def stream(*events):
    """Return a reader that was fed these events, and the partials that it gave."""
    reader = response_stream.StreamReader(ORIGIN, picture, partial)
    return reader, [one for event in events for one in reader.feed(event)]


def shown(n, data="p"):
    """Return the event of a partial."""
    kind = "response.image_generation_call.partial_image"
    return {"type": kind, "item_id": "ig_1", "partial_image_index": n, "partial_image_b64": data}


def done(item):
    """Return the event of a finished item."""
    return {"type": "response.output_item.done", "item": item}


def test_partials():
    """Partials are given at once, and the one after the last that was asked for is the finished picture."""
    _, partials = stream(shown(0), shown(1))

    assert [(one.index, one.id, one.final) for one in partials] == [(0, "ig_1", False), (1, "ig_1", True)]


def test_corrupt_partial_is_left_out():
    """A corrupt partial is left out."""
    assert stream(shown(0, "bad"))[1] == []


def test_first_copy_of_a_picture_is_kept():
    """The closing event repeats each item; the picture is read where it first arrived."""
    reader, _ = stream(
        done(call()), {"type": "response.completed", "response": {"id": "resp_1", "output": [call(result="copy")]}}
    )

    assert reader.delivered == {"ig_1"}
    assert reader.result().image.sha256 == picture("one").sha256


def test_a_picture_that_comes_only_at_the_end():
    """A stream with its picture in the closing event alone is read too."""
    reader, _ = stream({"type": "response.completed", "response": {"id": "resp_1", "output": [call()]}})

    assert reader.result().warnings == ()


@pytest.mark.parametrize("event", [{}, {"type": "error"}, done(None), {"type": "x", "response": None}])
def test_odd_events(event):
    """An event that lacks what its type promises is passed over."""
    reader, partials = stream(event)

    assert partials == []
    with pytest.raises((ConnectionLostError, ServiceError)):
        reader.result()


# --- the Images API


def test_images_body():
    """The Images API takes the tool's options beside the prompt; partials only in a stream."""
    tool = {**TOOL, "size": "auto", "partial_images": 2}

    assert images_api.build_body("a fox", tool) == {"prompt": "a fox", "model": "gpt-image-2", "size": "auto"}
    assert images_api.build_body("a fox", tool, stream=True)["partial_images"] == 2


def test_options_that_the_images_api_lacks():
    """Every option that only the hosted tool has is named at once."""
    with pytest.raises(OptionError) as caught:
        images_api.build_body("a fox", {**TOOL, "action": "edit", "input_fidelity": "high"})
    assert len(caught.value.problems) == 2


def test_images():
    """Pictures of the Images API are named by their digest and are not kept by the service."""
    payload = {"created": 1, "data": [{"b64_json": "one"}, {"b64_json": "two"}], "usage": {"total_tokens": 3}}
    result = images_api.read_images(payload, ORIGIN, picture)

    assert [image.id for image in result.images] == [f"sha256:{picture(name).sha256}" for name in ("one", "two")]
    assert (result.image.stored, result.image_usage.total_tokens, result.usage) == (False, 3, None)


@pytest.mark.parametrize(
    ("payload", "kind"),
    [({}, NoImageError), ({"data": []}, NoImageError), ({"error": {"message": "broke"}}, ServiceError)],
)
def test_images_without_one(payload, kind):
    """An answer of the Images API without a picture is an error."""
    with pytest.raises(kind):
        images_api.read_images(payload, ORIGIN, picture)


def test_images_stream():
    """A stream of the Images API gives its partials and then the picture; one without an end is lost."""
    reader = images_api.ImagesStreamReader(ORIGIN, picture, partial)
    (one,) = reader.feed({"type": "image_generation.partial_image", "partial_image_index": 0, "b64_json": "p"})
    with pytest.raises(ConnectionLostError):
        reader.result()
    reader.feed({"type": "image_generation.completed", "created_at": 1, "b64_json": "one"})

    assert (one.index, one.final) == (0, False)
    assert reader.result().image.sha256 == picture("one").sha256


@pytest.mark.parametrize("error", [{"error": {"message": "broke"}}, {"message": "broke"}, {"error": "broke"}])
def test_images_stream_with_an_error(error):
    """An error in a stream of the Images API is read in each form."""
    reader = images_api.ImagesStreamReader(ORIGIN, picture, partial)
    reader.feed({"type": "error", **error})

    with pytest.raises(ServiceError, match="broke"):
        reader.result()


@pytest.mark.parametrize(
    "payload",
    [
        {"output": [1, None, "x"]},
        {"output": {"id": "ig_1"}},
        {"output": [{"type": "message", "content": ["x", None]}]},
        {"output": [{"type": "message", "content": "x"}]},
        {"output": [{"type": 1}, {"type": "reasoning"}]},
        {"error": "broken"},
    ],
)
def test_an_answer_of_another_shape(payload):
    """JSON that is no answer of this API is one of our errors and never a foreign one."""
    with pytest.raises(ImageGenerationError):
        responses.read_response({"id": "resp_1", "status": "completed", **payload}, Origin(), lambda value: value)
