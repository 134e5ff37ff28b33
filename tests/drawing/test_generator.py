"""`ImageGenerator` as a runnable: what it sends and what it returns."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image

from langchain_imagegen import ImageGenerator, ImageMemory, ImageOptions, ImageResult, ImageStore
from langchain_imagegen.errors import (
    AuthenticationError,
    NoImageError,
    OptionError,
    UnknownImageError,
)
from langchain_imagegen.simulator import Simulator, no_image

LOW = ImageOptions(size="816x816", quality="low")
Make = Callable[..., ImageGenerator]


@pytest.fixture
def draw(half: Any, low: Make) -> Callable[..., ImageResult]:
    """Return a function that draws small pictures fast, sync or async."""
    return partial(half.invoke, low())


# --- what a drawing gives


def test_a_drawing_has_every_field_of_the_record(draw: Any, simulator: Simulator, image_store: ImageStore):
    """Format and size are read from the bytes, other facts come from the service, and the bytes are in the store."""
    result = draw("draw a fox", output_format="webp", output_compression=50, background="opaque")

    image = result.image
    assert isinstance(result, ImageResult)
    assert (image.width, image.height, image.mime_type, image.output_format) == (816, 816, "image/webp", "webp")
    assert (image.origin, image.action, image.size, image.quality, image.background) == (
        "model",
        "generate",
        "816x816",
        "low",
        "opaque",
    )
    assert (image.prompt, image.revised_prompt) == ("draw a fox", "A simulated picture: draw a fox")
    assert (image.image_model, image.provider, image.stored) == ("gpt-image-2", "127.0.0.1", True)
    assert image.id.startswith("ig_")
    assert image.response_id == result.response_id
    assert str(result.response_id).startswith("resp_")
    assert image.created_at is not None
    assert (image.parents, image.companion_ids, image.dead_rungs) == ((), (), ())
    assert image.sha256 in image_store
    assert Image.open(io.BytesIO(image.read())).format == "WEBP"
    assert len(image.read()) == image.size_bytes


def test_a_result_tells_model_and_tokens(draw: Any):
    """Tokens of the mainline model and of the image model are reported separately."""
    result = draw("draw a fox")

    assert (result.model, result.rung, result.warnings, result.failures) == ("gpt-5.4", None, (), ())
    assert result.usage["total_tokens"] == result.usage["input_tokens"] + result.usage["output_tokens"] > 0
    assert result.image_usage.output_token_details["image"] == result.image_usage.output_tokens > 0


def test_a_record_tells_no_location(draw: Any, tmp_path: Path):
    """A result does not reveal where its bytes are stored."""
    result = draw("draw a fox")

    assert str(tmp_path) not in repr(result.record()) + repr(result)


def test_several_pictures_of_one_answer_are_all_given(draw: Any):
    """Two pictures in one answer are two images with their own ids and bytes, and the first is `.image`."""
    result = draw("draw two pictures of a fox")

    assert len({image.id for image in result.images}) == len({image.sha256 for image in result.images}) == 2
    assert result.image == result.images[0]


def test_an_answer_in_words_is_an_error_with_the_words(draw: Any, simulator: Simulator):
    """An answer without a picture is an error whose `.text` holds what the model said."""
    simulator.script(no_image("I would rather talk."))

    with pytest.raises(NoImageError) as caught:
        draw("draw a fox")
    assert caught.value.text == "I would rather talk."


# --- what is sent


def test_the_tool_is_forced_and_the_image_model_named(draw: Any, simulator: Simulator):
    """By default the request forces the tool, names the image model, and sends a prompt as text."""
    draw("draw a fox")

    assert simulator.requests[-1].path == "/v1/responses"
    assert simulator.requests[-1].body == {
        "model": "gpt-5.4",
        "input": "draw a fox",
        "tools": [{"type": "image_generation", "model": "gpt-image-2", "size": "816x816", "quality": "low"}],
        "tool_choice": {"type": "image_generation"},
    }


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("image_generation", {"type": "image_generation"}),
        ("auto", "auto"),
        ("required", "required"),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "image_generation"}]},
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "image_generation"}]},
        ),
    ],
)
def test_the_choice_of_the_tool_can_be_set(given: Any, sent: Any, low: Make, simulator: Simulator):
    """Every form of `tool_choice` is sent in the form that the service accepts."""
    low(tool_choice=given).invoke("draw a fox")

    assert simulator.requests[-1].body["tool_choice"] == sent


def test_without_force_the_model_may_answer_in_words(low: Make):
    """With `auto` the model answers a question without drawing."""
    with pytest.raises(NoImageError, match="force the tool with tool_choice"):
        low(tool_choice="auto").invoke("what is the capital of France?")


@pytest.mark.parametrize(
    ("options", "format", "pixels"),
    [
        ({"size": "auto", "quality": "auto", "background": "auto", "action": "auto"}, "PNG", (1024, 1024)),
        ({"size": "1536x1024", "output_format": "jpeg", "output_compression": 70}, "JPEG", (1536, 1024)),
        ({"size": (816, 1024), "output_format": "webp", "background": "transparent"}, "WEBP", (816, 1024)),
        ({"moderation": "low", "action": "generate"}, "PNG", (816, 816)),
        ({"model": "gpt-image-1.5", "size": "1024x1024", "input_fidelity": "high"}, "PNG", (1024, 1024)),
        ({"model": "gpt-image-2.6-sunburst", "complexity": "low", "quality": "max"}, "PNG", (816, 816)),
        (
            {
                "model": "gpt-image-2.6-flare",
                "output_format": "gif",
                "size": "592x592",
                "frame_count": 2,
                "frame_duration_ms": 50,
            },
            "GIF",
            (592, 592),
        ),
    ],
)
def test_every_option_arrives(options: Any, format: str, pixels: Any, low: Make, simulator: Simulator):
    """An option of a call is sent under its API name and affects the picture."""
    result = low().invoke("draw a fox", **options)

    sent = simulator.requests[-1].body["tools"][0]
    written = {name: "x".join(map(str, value)) if name == "size" and isinstance(value, tuple) else value
               for name, value in options.items()}  # fmt: skip
    assert sent == {"type": "image_generation", **LOW.sent(), **written}
    picture = Image.open(io.BytesIO(result.image.read()))
    assert (picture.format, picture.size) == (format, pixels)
    assert (result.image.width, result.image.height) == pixels


def test_a_vector_picture_is_drawn_too(low: Make):
    """An SVG is returned as SVG, with the size that its root element declares."""
    result = low().invoke("draw a fox", model="gpt-image-2.6-sunburst", output_format="svg", svg={"model": "gpt-5.4"})

    assert result.image.mime_type == "image/svg+xml"
    assert b"<svg" in result.image.read()[:300]


def test_options_of_a_call_win_over_those_of_the_generator(low: Make, simulator: Simulator):
    """An option of a call applies to that call only, and `None` removes a setting."""
    drawing = low()

    drawing.invoke("draw a fox", options={"quality": "medium", "size": None})
    drawing.invoke("draw a fox", quality="high")
    drawing.invoke("draw a fox")

    tools = [request.body["tools"][0] for request in simulator.requests]
    sent = [(tool.get("size"), tool["quality"]) for tool in tools]
    assert sent == [(None, "medium"), ("816x816", "high"), ("816x816", "low")]


def test_what_can_never_work_is_refused_before_anything_is_sent(draw: Any, simulator: Simulator):
    """One error lists every problem and the nearest legal size, and nothing is sent."""
    with pytest.raises(OptionError, match="1920x1088") as caught:
        draw("draw a fox", size="1920x1080", output_format="png", output_compression=50)
    assert len(caught.value.problems) == 2
    assert simulator.requests == []


def test_the_local_check_can_be_switched_off(low: Make, simulator: Simulator):
    """With `check_options=False` the service checks the options, and its refusal is an `OptionError` too."""
    with pytest.raises(OptionError, match="divisible by 16"):
        low(check_options=False).invoke("draw a fox", size="1920x1080")
    assert len(simulator.requests) == 1


def test_instructions_and_storage_are_sent(low: Make, simulator: Simulator):
    """A call's instructions replace those of the generator, and `store` is sent with every request."""
    drawing = low(instructions="Use pastel colors.", store=False)

    drawing.invoke("draw a fox")
    drawing.invoke("draw a fox", instructions="Use ink.")

    sent = [(request.body["instructions"], request.body["store"]) for request in simulator.requests]
    assert sent == [("Use pastel colors.", False), ("Use ink.", False)]


def test_a_conversation_of_the_service_is_continued(draw: Any, simulator: Simulator):
    """The second drawing of a service conversation edits the picture of the first."""
    client = openai.OpenAI(base_url=simulator.base_url, api_key="simulated")
    conversation = client.conversations.create().id
    client.close()

    draw("draw a fox", conversation=conversation)
    winter = draw("edit it: make it winter", conversation={"id": conversation}, action="edit")

    assert winter.image.action == "edit"
    assert len(simulator.orders[-1].sources) == 1


@pytest.mark.parametrize("name", ["gpt-image-2", "gpt-image-1.5", "gpt-image-2.6-sunburst", "chatgpt-image-latest"])
def test_an_image_model_cannot_write_a_response(name: str):
    """A GPT Image model as the mainline model is an error that says where the name belongs."""
    with pytest.raises(OptionError, match=f"model='{name}' is an image model") as caught:
        ImageGenerator(model=name)
    assert f"options=ImageOptions(model='{name}')" in str(caught.value)


def test_wrong_settings_are_refused_without_echoing_the_key():
    """An error about a mistyped setting says what is accepted and does not contain the API key."""
    with pytest.raises(OptionError) as caught:
        ImageGenerator(api_key="sk-very-secret", reference="guess", optoins={}, options={"sise": "auto"})
    assert "reference='guess': it takes 'auto', 'call_id', 'response_id' or 'bytes'" in caught.value.problems
    assert "no 'optoins'; did you mean 'options'?" in str(caught.value)
    assert "no 'sise'; did you mean 'size'?" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_key_is_in_no_repr(low: Make):
    """The repr contains neither the key nor the client."""
    shown = repr(ImageGenerator(api_key="sk-very-secret", client=openai.OpenAI(api_key="sk-other-secret")))

    assert "secret" not in shown


def test_a_missing_key_says_what_to_do():
    """Without a key the error names the environment variable and the simulator."""
    with pytest.raises(AuthenticationError, match=r"OPENAI_API_KEY .*simulator"):
        ImageGenerator().invoke("draw a fox")


# --- follow-ups


def test_a_follow_up_by_response_id(draw: Any, simulator: Simulator):
    """The guide's first multi-turn example: `previous_response_id` and words, no image sent."""
    cat = draw("draw a gray tabby cat hugging an otter with an orange scarf")

    realistic = draw("Now make it look realistic", previous_response_id=cat.response_id)

    assert simulator.requests[-1].body["previous_response_id"] == cat.response_id
    assert simulator.requests[-1].body["input"] == "Now make it look realistic"
    assert simulator.requests[-1].body["tools"][0]["type"] == "image_generation"
    assert simulator.orders[-1].sources == (cat.image.read(),)
    assert (realistic.rung, realistic.image.action) == ("response_id", "edit")


def test_a_follow_up_by_image_id(draw: Any, simulator: Simulator):
    """The guide's second multi-turn example: the id of the image call and a prompt."""
    cat = draw("draw a gray tabby cat hugging an otter with an orange scarf")

    realistic = draw("Now make it look realistic", images=[cat.image.id])

    assert {"type": "image_generation_call", "id": cat.image.id} in simulator.requests[-1].body["input"]
    assert simulator.orders[-1].sources == (cat.image.read(),)
    assert (realistic.rung, realistic.image.action, realistic.image.parents) == ("call_id", "edit", (cat.image.id,))


def test_an_edit_by_id_is_small(draw: Any, simulator: Simulator):
    """A request that edits a picture kept by the service stays below 1 KB, however often it was edited."""
    image = draw("draw a fox").image

    for season in ("winter", "spring", "summer"):
        image = draw(f"make it {season}", images=[image]).image
    assert max(request.size for request in simulator.requests) < 1_024
    assert len(simulator.orders[-1].sources) == 1


def test_with_images_an_edit_is_asked_for(draw: Any, simulator: Simulator):
    """`edit` is sent when there are sources and no action; a given action is kept."""
    fox = draw("draw a fox")

    draw("a red hat", images=[fox])
    draw("a red hat", images=[fox], action="auto")

    sent = [request.body["tools"][0].get("action") for request in simulator.requests]
    assert sent == [None, "edit", "auto"]


def test_the_notebook_way(half: Any, low: Make, image_store: ImageStore, simulator: Simulator):
    """With a memory, `last`, ordinals and handles name earlier pictures."""
    drawing = low(memory=ImageMemory(image_store=image_store))

    fox = half.invoke(drawing, "draw a fox")
    winter = half.invoke(drawing, "make it winter", images=["last"])
    both = half.invoke(drawing, "put both side by side", images=["1", winter.image.handle])

    assert winter.image.parents == (fox.image.id,)
    assert both.image.parents == (fox.image.id, winter.image.id)
    assert simulator.orders[-1].sources == (fox.image.read(), winter.image.read())
    assert list(drawing.memory) == [fox.image, winter.image, both.image]
    assert [image.id for image in drawing.memory.lineage("last")] == [fox.image.id, winter.image.id, both.image.id]


def test_without_a_memory_last_says_how_to_give_one(draw: Any, simulator: Simulator):
    """A reference that only a memory could resolve is an error, and nothing is sent."""
    with pytest.raises(UnknownImageError, match=r"ImageGenerator\(memory=ImageMemory\(\)\)"):
        draw("make it winter", images=["last"])
    assert simulator.requests == []


def test_an_uploaded_picture_is_remembered_with_what_was_made_of_it(half: Any, low: Make, image_store: ImageStore):
    """After an edit of bytes both pictures are in the memory, and the upload can be edited again."""
    drawing = low(memory=ImageMemory(image_store=image_store))
    png = low().invoke("draw a fox").image.read()

    half.invoke(drawing, "make it winter", images=[png])
    again = half.invoke(drawing, "make it summer", images=["1"])

    assert [image.origin for image in drawing.memory] == ["user", "model", "model"]
    assert again.rung == "bytes"
    assert len(drawing.memory.children("1")) == 2


# --- the Images API


def test_the_images_api_draws(half: Any, low: Make, simulator: Simulator):
    """`api="images"` draws without a mainline model; the picture's id is its digest and nothing is kept."""
    result = half.invoke(low(api="images"), "draw a fox")

    assert simulator.requests[-1].path == "/v1/images/generations"
    assert simulator.requests[-1].body == {
        "prompt": "draw a fox",
        "model": "gpt-image-2",
        "size": "816x816",
        "quality": "low",
    }
    image = result.image
    assert (image.id, image.stored, image.width) == (f"sha256:{image.sha256}", False, 816)
    assert (image.size, image.quality, image.output_format) == ("816x816", "low", "png")
    assert result.image_usage.total_tokens > 0
    assert (result.model, result.response_id, result.usage) == (None, None, None)


def test_what_the_images_api_cannot_do_is_refused(half: Any, low: Make, simulator: Simulator):
    """With `api="images"`, everything except drawing a prompt is an error before anything is sent."""
    drawing = low(api="images")
    picture = low().invoke("draw a fox").image
    before = len(simulator.requests)
    refused: list[tuple[Any, dict[str, Any], str]] = [
        ("draw", {"images": [picture]}, "'images'"),
        ("draw", {"images": [picture], "mask": picture}, "'images' and 'mask'"),
        ("draw", {"previous_response_id": "resp_1"}, "'previous_response_id'"),
        ("draw", {"conversation": "conv_1"}, "'conversation'"),
        ("draw", {"instructions": "In ink."}, "'instructions'"),
        ([("system", "In ink."), ("human", "draw")], {}, "'earlier messages'"),
        ("draw", {"action": "edit"}, "'action'"),
        ("draw", {"model": "gpt-image-1.5", "size": "auto", "input_fidelity": "high"}, "'input_fidelity'"),
    ]

    for given, fields, named in refused:
        with pytest.raises(OptionError, match=named) as caught:
            half.invoke(drawing, given, **fields)
        assert 'api="responses"' in str(caught.value), fields
    assert len(simulator.requests) == before


def test_a_picture_of_the_images_api_can_be_edited(half: Any, low: Make, simulator: Simulator):
    """A picture of the Images API is edited by its bytes, since the service keeps no copy."""
    fox = low(api="images").invoke("draw a fox")

    winter = half.invoke(low(), "make it winter", images=[fox])

    assert winter.rung == "bytes"
    assert simulator.orders[-1].sources == (fox.image.read(),)
    assert winter.image.parents == (fox.image.id,)
