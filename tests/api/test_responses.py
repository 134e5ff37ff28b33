"""Requests and answers of both APIs, which pure functions build and read."""

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
    """Return a stored picture whose digest is that of `value`; `bad` raises the error of a corrupt picture."""
    if value == "bad":
        raise CorruptImageError("the picture's data is corrupt")
    digest = hashlib.sha256(str(value).encode()).hexdigest()
    return Blob(digest, len(str(value)), "image/png", 1, 1)


def partial(value):
    """Return the bytes of a partial picture; `bad` raises the error of a corrupt picture."""
    if value == "bad":
        raise CorruptImageError("the picture's data is corrupt")
    return str(value).encode()


def call(id="ig_1", result="one", **more):
    """Return an image call."""
    return {"type": "image_generation_call", "id": id, "result": result, **more}


def reasoning(id):
    """Return a reasoning item."""
    return {"type": "reasoning", "id": id}


def message(*parts):
    """Return a message item with these content parts."""
    return {"type": "message", "content": list(parts)}


def read(*output, **more):
    """Return the result of a response with these output items and further fields."""
    return responses.read_response({"id": "resp_1", "output": list(output), **more}, ORIGIN, picture)


# --- requests


def test_shortest_body():
    """A prompt alone is sent as a plain string, and fields that are not set are not sent."""
    body = responses.build_body(
        model="m", items=[responses.user_turn("a fox", [])], tool=TOOL, tool_choice="auto", store=None
    )

    assert body == {"model": "m", "input": "a fox", "tools": [TOOL], "tool_choice": "auto"}


def test_pictures_follow_the_prompt():
    """A user turn has its prompt first and then its pictures in order."""
    parts = [responses.image_part(url="data:image/png;base64,AA=="), responses.image_part(file_id="file-1")]

    assert responses.user_turn("combine", parts)["content"] == [
        {"type": "input_text", "text": "combine"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_image", "file_id": "file-1"},
    ]


def test_a_turn_of_the_assistant_stays_a_list():
    """A single turn of the assistant is sent as a list and not as a plain string, which would be the user's."""
    body = responses.build_body(model="m", items=[responses.turn("assistant", "hello")], tool=TOOL, tool_choice=None)

    assert body["input"] == [{"role": "assistant", "content": "hello"}]


def test_items_of_an_earlier_picture():
    """An earlier picture is sent as its id, after the ids of its reasoning that were not sent before."""
    image = GeneratedImage(
        id="ig_1", sha256="0" * 64, size_bytes=1, mime_type="image/png", companion_ids=("rs_1", "rs_2")
    )

    assert responses.call_items(image, named=["rs_1"]) == [
        {"type": "item_reference", "id": "rs_2"},
        {"type": "image_generation_call", "id": "ig_1"},
    ]


# --- answers


def test_companions():
    """A picture's companions are the reasoning items immediately before its calls, and not those before a message."""
    result = read(
        reasoning("rs_0"),
        message(),
        reasoning("rs_1"),
        reasoning("rs_2"),
        call("ig_1"),
        call("ig_2"),
        reasoning("rs_3"),
    )

    assert [image.companion_ids for image in result.images] == [("rs_1", "rs_2"), ("rs_1", "rs_2")]


def test_newer_reasoning_replaces_the_older():
    """Reasoning between two pictures is a companion of the second one only, and its only companion."""
    result = read(reasoning("rs_1"), call("ig_1"), reasoning("rs_2"), call("ig_2"))

    assert [image.companion_ids for image in result.images] == [("rs_1",), ("rs_2",)]


def test_a_picture_without_an_id():
    """A picture to which the service gave no id has its digest as its id."""
    assert read(call(id=None)).image.id == f"sha256:{picture('one').sha256}"


def test_status_is_ignored():
    """A picture that arrived is returned, whatever the status of the response and of its item."""
    assert read(call(status="generating"), status="in_progress").image.id == "ig_1"


def test_image_model_and_stored_of_the_response():
    """`image_model` and `stored` are those of the response, else those of the request."""
    image = read(call(), tools=[{"type": "image_generation", "model": "gpt-image-1.5"}], store=False).image

    assert (image.image_model, image.stored) == ("gpt-image-1.5", False)
    assert (read(call()).image.image_model, read(call()).image.stored) == ("gpt-image-2", True)


def test_text_with_refusals():
    """A result's text is the model's text and refusals, joined in order."""
    text = {"type": "output_text", "text": "Here. "}

    assert read(call(), message(text), message({"type": "refusal", "refusal": "Not that."})).text == "Here. Not that."


def test_an_answer_that_broke_off_within_its_items():
    """A picture is returned even if the items beside it lack fields."""
    result = read({"type": "reasoning"}, {"id": "ig_1", "result": "one"}, {"type": "message"}, {})

    assert (result.image.id, result.image.companion_ids, result.text) == ("ig_1", (), "")


def test_usage_that_is_not_told():
    """Usage that the service did not report is `None` and not zero."""
    result = read(call(), usage=None, tool_usage={})

    assert (result.usage, result.image_usage) == (None, None)


def test_failures_beside_a_picture():
    """A call without a valid picture is a failure in the result, with the service's code and categories."""
    refused = {"message": "no", "code": "moderation_blocked", "moderation_details": {"categories": ["gore"]}}
    result = read(call("ig_0", None, status="failed", error=refused), call(), call("ig_2", "bad"), call("ig_3", None))

    assert [failure.id for failure in result.failures] == ["ig_0", "ig_2", "ig_3"]
    assert (result.failures[0].code, result.failures[0].categories) == ("moderation_blocked", ("gore",))
    assert len(result.warnings) == 3


@pytest.mark.parametrize(
    ("response", "kind", "message"),
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
def test_error_of_a_response_without_a_picture(response, kind, message):
    """A response without a picture raises its own error, else that of its calls, else one that says how it ended."""
    with pytest.raises(kind, match=message):
        responses.read_response(response, ORIGIN, picture)


# --- streams


def stream(*events):
    """Return a reader that was fed these events, and the partial pictures that it returned."""
    reader = response_stream.StreamReader(ORIGIN, picture, partial)
    return reader, [one for event in events for one in reader.feed(event)]


def partial_event(n, data="p"):
    """Return the event of a partial picture."""
    kind = "response.image_generation_call.partial_image"
    return {"type": kind, "item_id": "ig_1", "partial_image_index": n, "partial_image_b64": data}


def done_event(item):
    """Return the event of a finished item."""
    return {"type": "response.output_item.done", "item": item}


def test_partials():
    """Each partial is returned at once, and the one after the last requested partial is marked as final."""
    _, partials = stream(partial_event(0), partial_event(1))

    assert [(one.index, one.id, one.final) for one in partials] == [(0, "ig_1", False), (1, "ig_1", True)]


def test_corrupt_partial_is_left_out():
    """A corrupt partial is not returned."""
    assert stream(partial_event(0, "bad"))[1] == []


def test_first_copy_of_a_picture_is_kept():
    """If the closing event repeats a picture, the first copy is kept."""
    reader, _ = stream(
        done_event(call()),
        {"type": "response.completed", "response": {"id": "resp_1", "output": [call(result="copy")]}},
    )

    assert reader.delivered == {"ig_1"}
    assert reader.result().image.sha256 == picture("one").sha256


def test_a_picture_in_the_closing_event():
    """A picture that is only in the closing event is returned without a warning."""
    reader, _ = stream({"type": "response.completed", "response": {"id": "resp_1", "output": [call()]}})

    assert reader.result().warnings == ()


@pytest.mark.parametrize("event", [{}, {"type": "error"}, done_event(None), {"type": "x", "response": None}])
def test_incomplete_events(event):
    """An event without the fields of its type gives no partial and one of our errors at the end."""
    reader, partials = stream(event)

    assert partials == []
    with pytest.raises((ConnectionLostError, ServiceError)):
        reader.result()


# --- the Images API


def test_images_body():
    """A body of the Images API has the tool's options beside the prompt, and `partial_images` only in a stream."""
    tool = {**TOOL, "size": "auto", "partial_images": 2}

    assert images_api.build_body("a fox", tool) == {"prompt": "a fox", "model": "gpt-image-2", "size": "auto"}
    assert images_api.build_body("a fox", tool, stream=True)["partial_images"] == 2


def test_options_that_the_images_api_lacks():
    """Options that the Images API lacks raise one error with a problem for each."""
    with pytest.raises(OptionError) as caught:
        images_api.build_body("a fox", {**TOOL, "action": "edit", "input_fidelity": "high"})
    assert len(caught.value.problems) == 2


def test_images():
    """Pictures of the Images API have their digests as ids and are not stored by the service."""
    payload = {"created": 1, "data": [{"b64_json": "one"}, {"b64_json": "two"}], "usage": {"total_tokens": 3}}
    result = images_api.read_images(payload, ORIGIN, picture)

    assert [image.id for image in result.images] == [f"sha256:{picture(name).sha256}" for name in ("one", "two")]
    assert (result.image.stored, result.image_usage.total_tokens, result.usage) == (False, 3, None)


@pytest.mark.parametrize(
    ("payload", "kind"),
    [({}, NoImageError), ({"data": []}, NoImageError), ({"error": {"message": "broke"}}, ServiceError)],
)
def test_images_without_a_picture(payload, kind):
    """An answer of the Images API without a picture raises an error."""
    with pytest.raises(kind):
        images_api.read_images(payload, ORIGIN, picture)


def test_images_stream():
    """A stream of the Images API gives its partials and the picture, and raises an error if the picture is missing."""
    reader = images_api.ImagesStreamReader(ORIGIN, picture, partial)
    (one,) = reader.feed({"type": "image_generation.partial_image", "partial_image_index": 0, "b64_json": "p"})
    with pytest.raises(ConnectionLostError):
        reader.result()
    reader.feed({"type": "image_generation.completed", "created_at": 1, "b64_json": "one"})

    assert (one.index, one.final) == (0, False)
    assert reader.result().image.sha256 == picture("one").sha256


@pytest.mark.parametrize("error", [{"error": {"message": "broke"}}, {"message": "broke"}, {"error": "broke"}])
def test_images_stream_with_an_error(error):
    """An error event of the Images API raises a `ServiceError`, in each of its forms."""
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
def test_malformed_responses(payload):
    """A response whose fields have the wrong types raises an `ImageGenerationError`."""
    with pytest.raises(ImageGenerationError):
        responses.read_response({"id": "resp_1", "status": "completed", **payload}, Origin(), lambda value: value)
