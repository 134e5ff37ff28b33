"""The simulator's Images API, called by the unmodified SDK: generations, edits, streams."""

from __future__ import annotations

import base64

import httpx
import pytest
from openai import BadRequestError

from langchain_imagegen.simulator import moderated, nested_error_event
from tests.sdk import JPEG, PNG, data, data_url

FIELDS = {"model": "gpt-image-2", "prompt": "a fox", "quality": "low", "output_format": "jpeg"}


def test_generates(call, simulator):
    """A call with `n=2` returns two pictures, their total usage, and no revised prompt."""
    answer = call("images.generate", n=2, **FIELDS)

    drawn = [base64.b64decode(image.b64_json, validate=True) for image in answer.data]
    assert [picture[:3] for picture in drawn] == [JPEG, JPEG]
    assert drawn[0] != drawn[1]
    assert (answer.size, answer.quality, answer.output_format) == ("1024x1024", "low", "jpeg")
    assert answer.usage.output_tokens == 2 * 196
    assert answer.data[0].revised_prompt is None
    assert simulator.pictures == 2


def test_streams(call, simulator):
    """A stream has the requested partial pictures, then the picture, in events without sequence numbers."""
    events = call("images.generate", stream=True, partial_images=2, **FIELDS)

    partial = "image_generation.partial_image"
    assert [event.type for event in events] == [partial, partial, "image_generation.completed"]
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    assert len({event.b64_json for event in events}) == 3
    assert "sequence_number" not in events[0].to_dict()
    assert events[-1].usage.output_tokens == 196 + 200
    assert simulator.pictures == 1


def test_streams_without_partials(call):
    """A stream without partial pictures has one event with the finished picture."""
    events = call("images.generate", stream=True, **FIELDS)

    assert [event.type for event in events] == ["image_generation.completed"]


@pytest.mark.parametrize("count", [1, 2])
def test_edits_files(call, ask, simulator, count):
    """A multipart edit takes one or several pictures and a mask."""
    picture = data(ask())
    files = [(f"{n}.jpg", picture, "image/jpeg") for n in range(count)]
    mask = ("mask.png", data(ask(tools=[{"type": "image_generation", "quality": "low"}])), "image/png")
    answer = call("images.edit", image=files if count > 1 else files[0], mask=mask, n=1, **FIELDS)

    assert base64.b64decode(answer.data[0].b64_json).startswith(JPEG)
    assert simulator.orders[-1].sources == (picture,) * count
    assert simulator.orders[-1].mask == mask[1]


def test_edits_stream(call, ask):
    """The events of an edit start with `image_edit`."""
    image = ("a.jpg", data(ask()), "image/jpeg")
    events = call("images.edit", image=image, stream=True, partial_images=1, **FIELDS)

    assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"]


def test_edits_json(ask, call, simulator):
    """A JSON edit takes URLs and file ids."""
    picture = data(ask())
    file = call("files.create", file=("a.jpg", picture), purpose="vision")
    body = {**FIELDS, "images": [{"file_id": file.id}, {"image_url": data_url(picture)}]}
    headers = {"authorization": "Bearer sk-a"}
    answer = httpx.post(f"{simulator.base_url}/images/edits", json=body, headers=headers)

    assert answer.status_code == 200
    assert simulator.orders[-1].sources == (picture, picture)


def test_refuses_bytes_without_a_type(call):
    """Raw bytes arrive with the type `application/octet-stream`, which the service rejects."""
    with pytest.raises(BadRequestError) as caught:
        call("images.edit", image=PNG + b"rest", **FIELDS)
    assert (caught.value.code, caught.value.param) == ("unsupported_file_mimetype", "image[0]")


def test_refuses_files_that_are_not_pictures(call):
    """A file that is not a picture is rejected, whether its first bytes or the rest are wrong."""
    for content in (b"text", PNG + b"text"):
        with pytest.raises(BadRequestError) as caught:
            call("images.edit", image=("a.png", content, "image/png"), **FIELDS)
        assert (caught.value.code, caught.value.param) == ("invalid_image_file", "image[0]")
        assert caught.value.body["type"] == "image_generation_user_error"


@pytest.mark.parametrize("content", [b"<svg/>", PNG + b"text"], ids=["head", "rest"])
@pytest.mark.parametrize("place", ["images[0]", "images[1]", "mask"])
@pytest.mark.parametrize("form", ["image_url", "file_id"])
def test_json_edit_refuses_bytes_that_are_not_a_picture(ask, call, simulator, content, place, form):
    """A JSON edit with bytes that are not a picture gets the recorded error, which names the broken parameter."""
    if form == "file_id":
        broken = {form: call("files.create", file=("a.png", content), purpose="vision").id}
    else:
        broken = {form: data_url(content)}
    good = {"image_url": data_url(data(ask()))}
    body = {**FIELDS, "images": [broken if place == f"images[{n}]" else good for n in range(2)]}
    body |= {"mask": broken} if place == "mask" else {}
    answer = httpx.post(f"{simulator.base_url}/images/edits", json=body, headers={"authorization": "Bearer sk-a"})

    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "message": "Invalid image data.",
        "type": "image_generation_user_error",
        "param": f"{place}.{form}",
        "code": "invalid_image_file",
    }


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"response_format": "b64_json"}, "unknown_parameter", "response_format"),
        ({"n": 11}, "invalid_value", "n"),
        ({"prompt": "x" * 32_001}, "invalid_value", "prompt"),
        ({"size": "800x800"}, "invalid_value", "size"),
        ({"model": "dall-e-3"}, "invalid_value", "model"),
        ({"model": "gpt-image-2.6-flare", "output_format": "gif", "stream": True}, "invalid_value", "stream"),
        ({"model": "gpt-image-2.6-flare", "output_format": "svg", "n": 2}, "invalid_value", "n"),
    ],
)
def test_refuses_options(call, fields, code, param):
    """An invalid option gets a 400 that names the parameter."""
    with pytest.raises(BadRequestError) as caught:
        call("images.generate", **{**FIELDS, **fields})
    assert (caught.value.code, caught.value.param) == (code, param)


def test_moderation(call, simulator):
    """Every moderation of the Images API is a 400 with its details, because this API has no failed items."""
    for at in ("request", "item", "response"):
        simulator.script(moderated("output", ["violence"], at=at))
        with pytest.raises(BadRequestError) as caught:
            call("images.generate", **FIELDS)
        assert caught.value.body["moderation_details"]["categories"] == ["violence"]

    assert simulator.pictures == 0


def test_error_in_a_stream(call, simulator):
    """A nested error event in a stream raises an error in the SDK."""
    from openai import APIError

    simulator.script(nested_error_event("server_error", "overloaded"))

    with pytest.raises(APIError, match="overloaded"):
        call("images.generate", stream=True, **FIELDS)
