"""Requests that the service rejects, with its error codes and texts."""

from __future__ import annotations

import base64
import io

import pytest
from openai import APIStatusError, BadRequestError, OpenAI
from PIL import Image

from tests.sdk import FORCED, TOOL, data_url

USER = "image_generation_user_error"
INVALID = "invalid_request_error"

OPTIONS = [
    ({"size": "1500x1500"}, "invalid_value", USER, "Width and height must both be divisible by 16"),
    ({"size": "1920x1080"}, "invalid_value", USER, "divisible by 16"),
    ({"size": "4096x4096"}, "invalid_value", USER, "longest edge must be less than or equal to 3840"),
    ({"size": "800x800"}, "invalid_value", USER, "below the current minimum pixel budget"),
    ({"size": "3840x3840"}, "invalid_value", USER, "exceeds the current pixel budget"),
    ({"size": "3840x640"}, "invalid_value", USER, "aspect ratio"),
    ({"size": ""}, "invalid_value", INVALID, "'1024x1024', '1024x1536', '1536x1024', and 'auto'"),
    ({"model": "gpt-image-1.5", "size": "512x512"}, "invalid_value", INVALID, "Invalid value: '512x512'"),
    ({"quality": "standard"}, "invalid_value", INVALID, "'low', 'medium', 'high', and 'auto'"),
    ({"quality": "max"}, "invalid_value", INVALID, "Invalid value: 'max'"),
    ({"output_format": "gif"}, "invalid_value", INVALID, "Invalid value: 'gif'"),
    ({"model": "gpt-image-1"}, "invalid_value", USER, "The model 'gpt-image-1' does not exist"),
    ({"model": "gpt-image-9"}, "invalid_value", USER, "does not exist"),
    ({"output_compression": 50}, "invalid_png_output_compression", USER, "not supported for PNG"),
    (
        {"background": "transparent", "output_format": "jpeg"},
        "invalid_value",
        USER,
        "Transparent background is not supported for JPEG",
    ),
    (
        {"input_fidelity": "high"},
        "invalid_input_fidelity_model",
        USER,
        "The model 'gpt-image-2' does not support the 'input_fidelity' parameter.",
    ),
    ({"partial_images": 4}, "invalid_value", INVALID, "partial_images"),
    ({"frame_count": 3}, "invalid_value", USER, "frame_count"),
    ({"svg": {}}, "invalid_value", USER, "svg"),
    ({"n": 2}, "unknown_parameter", INVALID, r"tools\[0\].n"),
    ({"input_image_mask": {"image_url": "data:,", "x": 1}}, "unknown_parameter", INVALID, "mask.x"),
]

GIF = {"model": "gpt-image-2.6-flare", "output_format": "gif"}


@pytest.mark.parametrize(("options", "code", "kind", "words"), OPTIONS)
def test_tool_options(ask, simulator, options, code, kind, words):
    """An invalid option of the image tool gets a 400 with the service's code, type and text."""
    with pytest.raises(BadRequestError, match=words) as caught:
        ask(tools=[{"type": "image_generation", **options}])

    assert (caught.value.code, caught.value.type) == (code, kind)
    assert simulator.pictures == 0


def test_broken_rules_name_the_tools(ask):
    """The Responses API reports an invalid image option with `param` set to `tools`, not to the option."""
    with pytest.raises(BadRequestError) as caught:
        ask(tools=[{"type": "image_generation", "size": "800x800"}])
    assert caught.value.param == "tools"


@pytest.mark.parametrize(
    "options",
    [
        {"output_compression": 100},
        {"background": "transparent"},
        {"model": "gpt-image-1.5", "input_fidelity": "high"},
        {"input_fidelity": None, "partial_images": 0, "output_format": "jpeg", "output_compression": 0},
        {"size": "816x816"},
        {"model": "gpt-image-2-2026-04-21"},
        {"model": "gpt-image-2.5-flare", "quality": "max", "output_format": "jpeg"},
    ],
)
def test_legal_options(ask, options):
    """Options that the service accepts are accepted, including null values and edge cases."""
    assert ask(tools=[{"type": "image_generation", **options}]).status == "completed"


@pytest.mark.parametrize(
    "options",
    [
        {"partial_images": 1},
        {"output_compression": 50},
        {"input_image_mask": {"file_id": "file-x"}},
        {"frame_count": 17},
        {"size": "1024x1024"},
        {"size": "256x256", "frame_count": 2},
    ],
)
def test_gif_rules(ask, options):
    """A gif is rejected with partial pictures, a mask, compression, 17 frames, or too many or too few pixels."""
    with pytest.raises(BadRequestError):
        ask(tools=[{**GIF, "type": "image_generation", **options}])


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"model": "gpt-image-2"}, "model", "gpt-image-2"),
        ({"model": "gpt-3.5-turbo"}, "tools", "Tool 'image_generation' is not supported with gpt-3.5-turbo"),
        (
            {"tools": [], "tool_choice": FORCED},
            "tool_choice",
            "Tool choice 'image_generation' not found in 'tools' parameter.",
        ),
        ({"tool_choice": "image_generation"}, "tool_choice", "Invalid value"),
        ({"given": []}, "input", "Missing required parameter"),
        ({"previous_response_id": "r", "conversation": "c"}, "previous_response_id", "Mutually exclusive"),
        ({"previous_response_id": "resp_x"}, "previous_response_id", "Previous response with id 'resp_x' not found"),
        ({"tools": [{**TOOL, "action": "edit"}]}, "tools", "'edit' needs an image"),
    ],
)
def test_requests(ask, fields, param, words):
    """An invalid request gets a 400 that names the parameter."""
    with pytest.raises(BadRequestError, match=words) as caught:
        ask(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("image", "code"),
    [
        ({"image_url": "data:image/png;base64,!!"}, "invalid_base64_image"),
        ({"image_url": data_url(b"no picture")}, "invalid_image_format"),
        ({"file_id": "file-none"}, "image_file_not_found"),
        ({}, "invalid_value"),
    ],
)
def test_input_images(ask, image, code):
    """An input picture that cannot be read gets a 400 with the code of its problem."""
    with pytest.raises(BadRequestError) as caught:
        ask([{"role": "user", "content": [{"type": "input_image", **image}]}])
    assert caught.value.code == code


def test_undrawable_source_fails_the_response(ask, simulator):
    """A source with the right first bytes but a broken rest fails the response with `invalid_image`."""
    broken = {"type": "input_image", "image_url": data_url(b"\x89PNG\r\n\x1a\nrest")}
    text = {"type": "input_text", "text": "Make it winter"}
    response = ask([{"role": "user", "content": [broken, text]}])

    assert (response.status, response.error.code) == ("failed", "invalid_image")


@pytest.mark.parametrize("item", [{"type": "image_generation_call"}, {"type": "item_reference"}])
def test_unknown_items(ask, item):
    """An item id that never existed is rejected."""
    with pytest.raises(APIStatusError, match="Item with id 'ig_none' not found"):
        ask([{**item, "id": "ig_none"}, {"role": "user", "content": "Make it winter"}])


def test_source_of_too_many_pixels(simulator):
    """A source of 15,000 x 15,000 pixels fails the response with `invalid_image` and does not drop the connection."""
    file = io.BytesIO()
    Image.new("1", (15_000, 15_000)).save(file, "png")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    content = [{"type": "input_text", "text": "Make it night"}, {"type": "input_image", "image_url": url}]

    with OpenAI(base_url=simulator.base_url, api_key="sk-test", max_retries=0) as client:
        response = client.responses.create(
            model="gpt-5", tools=[{"type": "image_generation"}], input=[{"role": "user", "content": content}]
        )
    assert (response.status, response.error.code) == ("failed", "invalid_image")
