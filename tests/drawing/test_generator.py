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

from langchain_imagegen import (
    ImageGenerationMiddleware,
    ImageGenerator,
    ImageMemory,
    ImageOptions,
    ImageResult,
    ImageStore,
)
from langchain_imagegen.errors import NoImageError, OptionError, UnknownImageError
from langchain_imagegen.simulator import Simulator

LOW = ImageOptions(size="816x816", quality="low")
Make = Callable[..., ImageGenerator]


@pytest.fixture
def draw(half: Any, low: Make) -> Callable[..., ImageResult]:
    """Return a function that draws small pictures, sync or async."""
    return partial(half.invoke, low())


# --- results


def test_a_result_has_every_field_of_the_record(draw: Any, simulator: Simulator, image_store: ImageStore):
    """An image has its format and size from its bytes and all other facts from the service, and is in the store."""
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


def test_a_result_has_model_and_tokens(draw: Any):
    """A result has the tokens of the mainline model and of the image model separately."""
    result = draw("draw a fox")

    assert (result.model, result.rung, result.warnings, result.failures) == ("gpt-5.4", None, (), ())
    assert result.usage["total_tokens"] == result.usage["input_tokens"] + result.usage["output_tokens"] > 0
    assert result.image_usage.output_token_details["image"] == result.image_usage.output_tokens > 0


def test_a_record_contains_no_location(draw: Any, tmp_path: Path):
    """A result's record and repr do not contain the store's folder."""
    result = draw("draw a fox")

    assert str(tmp_path) not in repr(result.record()) + repr(result)


def test_several_pictures_of_one_answer(draw: Any):
    """Two pictures in one answer are two images with different ids and bytes, and `.image` is the first."""
    result = draw("draw two pictures of a fox")

    assert len({image.id for image in result.images}) == len({image.sha256 for image in result.images}) == 2
    assert result.image == result.images[0]


# --- requests


def test_the_default_request(draw: Any, simulator: Simulator):
    """By default a request forces the tool, names the image model and sends the prompt as text."""
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
def test_tool_choice(given: Any, sent: Any, low: Make, simulator: Simulator):
    """Each form of `tool_choice` is sent in the form that the service accepts."""
    low(tool_choice=given).invoke("draw a fox")

    assert simulator.requests[-1].body["tool_choice"] == sent


def test_tool_choice_auto(low: Make):
    """With `tool_choice="auto"` the model may answer in text, and the error advises to force the tool."""
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
def test_every_option_is_sent(options: Any, format: str, pixels: Any, low: Make, simulator: Simulator):
    """An option of a call is sent under its API name and changes the picture."""
    result = low().invoke("draw a fox", **options)

    sent = simulator.requests[-1].body["tools"][0]
    written = {name: "x".join(map(str, value)) if name == "size" and isinstance(value, tuple) else value
               for name, value in options.items()}  # fmt: skip
    assert sent == {"type": "image_generation", **LOW.sent(), **written}
    picture = Image.open(io.BytesIO(result.image.read()))
    assert (picture.format, picture.size) == (format, pixels)
    assert (result.image.width, result.image.height) == pixels


def test_a_vector_picture_can_be_drawn(low: Make):
    """With `output_format="svg"` the result is an SVG."""
    result = low().invoke("draw a fox", model="gpt-image-2.6-sunburst", output_format="svg", svg={"model": "gpt-5.4"})

    assert result.image.mime_type == "image/svg+xml"
    assert b"<svg" in result.image.read()[:300]


def test_options_of_a_call_override_those_of_the_generator(low: Make, simulator: Simulator):
    """An option of a call applies to that call only, and `None` removes the generator's option."""
    drawing = low()

    drawing.invoke("draw a fox", options={"quality": "medium", "size": None})
    drawing.invoke("draw a fox", quality="high")
    drawing.invoke("draw a fox")

    tools = [request.body["tools"][0] for request in simulator.requests]
    sent = [(tool.get("size"), tool["quality"]) for tool in tools]
    assert sent == [(None, "medium"), ("816x816", "high"), ("816x816", "low")]


def test_impossible_options_are_refused(draw: Any, simulator: Simulator):
    """An error lists every problem and the nearest legal size, and nothing is sent."""
    with pytest.raises(OptionError, match="1920x1088") as caught:
        draw("draw a fox", size="1920x1080", output_format="png", output_compression=50)
    assert len(caught.value.problems) == 2
    assert simulator.requests == []


def test_the_local_check_can_be_switched_off(low: Make, simulator: Simulator):
    """With `check_options=False` only the service checks the options, and its refusal raises an `OptionError`."""
    with pytest.raises(OptionError, match="divisible by 16"):
        low(check_options=False).invoke("draw a fox", size="1920x1080")
    assert len(simulator.requests) == 1


def test_instructions_and_store_are_sent(low: Make, simulator: Simulator):
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
def test_an_image_model_is_no_mainline_model(name: str):
    """An image model as the mainline model raises an error that says where its name belongs."""
    with pytest.raises(OptionError, match=f"model='{name}' is an image model") as caught:
        ImageGenerator(model=name)
    assert f"options=ImageOptions(model='{name}')" in str(caught.value)


def test_an_error_about_settings_does_not_contain_the_key():
    """An error about misspelt settings says what is accepted and does not contain the API key."""
    with pytest.raises(OptionError) as caught:
        ImageGenerator(api_key="sk-very-secret", reference="guess", optoins={}, options={"sise": "auto"})
    assert "reference='guess': it takes 'auto', 'call_id', 'response_id' or 'bytes'" in caught.value.problems
    assert "no 'optoins'; did you mean 'options'?" in str(caught.value)
    assert "no 'sise'; did you mean 'size'?" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_repr_does_not_contain_a_key(low: Make):
    """A generator's repr contains neither its key nor that of its client."""
    shown = repr(ImageGenerator(api_key="sk-very-secret", client=openai.OpenAI(api_key="sk-other-secret")))

    assert "secret" not in shown


# --- follow-ups


def test_a_follow_up_by_response_id(draw: Any, simulator: Simulator):
    """The guide's first multi-turn example works: `previous_response_id` and a prompt edit the picture."""
    cat = draw("draw a gray tabby cat hugging an otter with an orange scarf")

    realistic = draw("Now make it look realistic", previous_response_id=cat.response_id)

    assert simulator.requests[-1].body["previous_response_id"] == cat.response_id
    assert simulator.requests[-1].body["input"] == "Now make it look realistic"
    assert simulator.requests[-1].body["tools"][0]["type"] == "image_generation"
    assert simulator.orders[-1].sources == (cat.image.read(),)
    assert (realistic.rung, realistic.image.action) == ("response_id", "edit")


def test_a_follow_up_by_image_id(draw: Any, simulator: Simulator):
    """The guide's second multi-turn example works: the id of an image call and a prompt edit the picture."""
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


def test_the_action_is_edit_if_there_are_images(draw: Any, simulator: Simulator):
    """With sources the action `edit` is sent, unless the caller sets another one."""
    fox = draw("draw a fox")

    draw("a red hat", images=[fox])
    draw("a red hat", images=[fox], action="auto")

    sent = [request.body["tools"][0].get("action") for request in simulator.requests]
    assert sent == [None, "edit", "auto"]


def test_references_of_a_memory(half: Any, low: Make, image_store: ImageStore, simulator: Simulator):
    """With a memory, `"last"`, ordinals and handles refer to earlier pictures."""
    drawing = low(memory=ImageMemory(image_store=image_store))

    fox = half.invoke(drawing, "draw a fox")
    winter = half.invoke(drawing, "make it winter", images=["last"])
    both = half.invoke(drawing, "put both side by side", images=["1", winter.image.handle])

    assert winter.image.parents == (fox.image.id,)
    assert both.image.parents == (fox.image.id, winter.image.id)
    assert simulator.orders[-1].sources == (fox.image.read(), winter.image.read())
    assert list(drawing.memory) == [fox.image, winter.image, both.image]
    assert [image.id for image in drawing.memory.lineage("last")] == [fox.image.id, winter.image.id, both.image.id]


def test_last_needs_a_memory(draw: Any, simulator: Simulator):
    """Without a memory, `"last"` raises an error that says how to set one, and nothing is sent."""
    with pytest.raises(UnknownImageError, match=r"ImageGenerator\(memory=ImageMemory\(\)\)"):
        draw("make it winter", images=["last"])
    assert simulator.requests == []


def test_an_uploaded_source_is_remembered(half: Any, low: Make, image_store: ImageStore):
    """After an edit of bytes, the memory contains the upload, which can be edited again."""
    drawing = low(memory=ImageMemory(image_store=image_store))
    png = low().invoke("draw a fox").image.read()

    half.invoke(drawing, "make it winter", images=[png])
    again = half.invoke(drawing, "make it summer", images=["1"])

    assert [image.origin for image in drawing.memory] == ["user", "model", "model"]
    assert again.rung == "bytes"
    assert len(drawing.memory.children("1")) == 2


# --- the Images API


def test_the_images_api_draws(half: Any, low: Make, simulator: Simulator):
    """With `api="images"` a picture is drawn without a mainline model, its id is its digest, and `stored` is False."""
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


def test_the_images_api_refuses_everything_but_a_prompt(half: Any, low: Make, simulator: Simulator):
    """With `api="images"`, sources and other fields raise an error that says to use `api="responses"`."""
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
    """A picture of the Images API is edited by sending its bytes, since the service keeps no copy."""
    fox = low(api="images").invoke("draw a fox")

    winter = half.invoke(low(), "make it winter", images=[fox])

    assert winter.rung == "bytes"
    assert simulator.orders[-1].sources == (fox.image.read(),)
    assert winter.image.parents == (fox.image.id,)


@pytest.mark.parametrize("form", [str, Path])
def test_a_store_is_opened_by_its_folder(half: Any, low: Make, tmp_path: Path, form: type):
    """`image_store=` takes a folder too, and says what it takes when it gets something else."""
    result = half.invoke(low(image_store=form(tmp_path / "pictures")), "draw a fox")

    assert [path.stem for path in tmp_path.glob("pictures/??/*")] == [result.image.sha256]
    for owner in (ImageGenerator, ImageMemory, ImageGenerationMiddleware):
        with pytest.raises(OptionError, match="give an ImageStore, a folder, or a URL"):
            owner(image_store=5)
