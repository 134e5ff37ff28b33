"""The tool outside a graph: its arguments, its answers, its errors, and what a model cannot do with it."""

from __future__ import annotations

import copy
import io
import json
from base64 import b64decode

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from PIL import Image
from pydantic import ValidationError

from langchain_imagegen import ImageGenerationTool, ImageMemory
from langchain_imagegen.errors import OptionError
from langchain_imagegen.options.options import ImageOptions
from langchain_imagegen.simulator import (
    bad_key,
    cut_body,
    http_error,
    moderated,
    no_image,
    organization_not_verified,
    quota_exceeded,
    rate_limited,
)
from tests.scripted import Spy, image_call

JPEG = {"output_format": "jpeg"}  # the quickest to draw
ACCEPTED = ["prompt", "images", "size", "quality", "background", "output_format"]


@pytest.fixture
def tool(generator):
    """Return a tool that draws at the simulator and never retries."""
    return ImageGenerationTool(generator=generator(max_retries=0, options=JPEG))


@pytest.fixture
def tool_with_memory(generator):
    """Return a tool whose generator has a memory."""
    return ImageGenerationTool(generator=generator(memory=ImageMemory(), max_retries=0, options=JPEG))


def parameters(tool):
    """Return the JSON schema of each argument that a chat model is offered."""
    return convert_to_openai_tool(tool)["function"]["parameters"]["properties"]


# What a model is offered


def test_arguments_are_typed(tool):
    """The tool offers the prompt, the images and the exposed options, each with a type and a description."""
    offered = parameters(tool)

    assert list(offered) == ACCEPTED
    assert offered["prompt"]["type"] == "string"
    assert (offered["images"]["type"], offered["images"]["items"]) == ("array", {"type": "string"})
    assert "transparent" in offered["background"]["anyOf"][0]["enum"]
    assert all(argument["description"] for argument in offered.values())


def test_only_the_prompt_is_required(tool):
    """The tool's schema requires only the prompt."""
    assert convert_to_openai_tool(tool)["function"]["parameters"]["required"] == ["prompt"]


@pytest.mark.parametrize("exposed", [(), ("moderation",), tuple(ImageOptions.model_fields)])
def test_any_options_can_be_exposed(exposed):
    """The developer can expose any options to the model: none, one or all."""
    assert list(parameters(ImageGenerationTool(exposed=exposed))) == ["prompt", "images", *exposed]


def test_exposing_an_unknown_option_fails():
    """Making a tool with an unknown option in `exposed` raises an error that suggests the right name."""
    with pytest.raises(OptionError, match="did you mean 'quality'"):
        ImageGenerationTool(exposed=["qualty"])


def test_an_unknown_setting_fails():
    """A setting that the tool does not have raises an error which names it."""
    with pytest.raises(ValidationError, match="expose\n"):
        ImageGenerationTool(expose=["size"])


def test_description_explains_edits(tool):
    """The description tells the model to say "draw" or "edit" and how to name and combine pictures."""
    description = convert_to_openai_tool(tool)["function"]["description"]

    assert all(
        word in description for word in ('"draw"', '"edit"', "`images`", '"last"', "edit the first image by adding")
    )


def test_name_and_description_can_be_chosen(generator, half):
    """The developer can give the tool another name and description, and it answers under that name."""
    tool = ImageGenerationTool(generator=generator(), name="paint", description="Paints.")

    message = half.invoke(tool, {**image_call("a"), "name": "paint"})
    assert (tool.description, message.name) == ("Paints.", "paint")


# What the tool returns


@pytest.mark.parametrize("prompt", ["draw a fox", {"prompt": "draw a fox"}])
def test_works_outside_a_graph(tool, half, prompt, simulator):
    """The tool takes a text or a dict outside a graph and returns the short JSON that a model would read."""
    content = json.loads(half.invoke(tool, prompt))

    assert content["images"][0]["handle"].startswith("img_")
    assert content["note"] == "The image is attached for the user."
    assert simulator.orders[0].prompt.endswith("draw a fox")


def test_tool_call_returns_a_message(tool, half, image_store):
    """A tool call returns a message with the call's id, short content and the result's record as artifact."""
    message = half.invoke(tool, image_call("call-7"))

    assert isinstance(message, ToolMessage)
    assert (message.tool_call_id, message.status, message.name) == ("call-7", "success", "generate_image")
    assert len(message.content) < 500
    [image] = ImageMemory.from_messages([message], image_store=image_store)
    assert image.handle == json.loads(message.content)["images"][0]["handle"]
    assert Image.open(io.BytesIO(image.read())).size == (image.width, image.height)


def test_artifact_is_plain_json(tool, half):
    """The artifact survives a JSON round trip unchanged and holds no bytes."""
    artifact = half.invoke(tool, image_call("a")).artifact

    assert json.loads(json.dumps(artifact)) == artifact
    assert len(json.dumps(artifact)) < 5_000


def test_content_says_what_was_drawn(tool, half):
    """The content holds the handle, the actual size and at most 400 characters of the revised prompt."""
    message = half.invoke(tool, image_call("a", "draw " + "a very long wish " * 200, size="1536x1024"))

    [image] = json.loads(message.content)["images"]
    assert set(image) == {"handle", "revised_prompt", "size"}
    assert image["size"] == "1536x1024"
    assert len(image["revised_prompt"]) == 400


@pytest.mark.parametrize(("note", "shown"), [("Shown below.", "Shown below."), ("", None)])
def test_note_can_be_chosen(generator, half, note, shown):
    """The developer's note replaces ours in the content, and an empty note removes it."""
    tool = ImageGenerationTool(generator=generator(), note=note)

    assert json.loads(half.invoke(tool, "draw a fox")).get("note") == shown


def test_options_reach_the_service(tool, half, simulator):
    """The request holds the options that the model sets and omits the others."""
    half.invoke(tool, {"prompt": "draw a fox", "quality": "low", "size": None})

    [sent] = simulator.requests[-1].body["tools"]
    assert (sent["quality"], "size" in sent) == ("low", False)


def test_locked_options_are_sent(generator, half, simulator):
    """The request holds the generator's own options together with those that the model sets."""
    tool = ImageGenerationTool(generator=generator(options={"quality": "low"}), exposed=["size"])

    half.invoke(tool, {"prompt": "draw a fox", "size": "1536x1024"})
    [sent] = simulator.requests[-1].body["tools"]
    assert (sent["quality"], sent["size"]) == ("low", "1536x1024")


def test_link_is_in_content_and_artifact(generator, half):
    """The link from `url_for` is the same in the content and in the artifact."""
    tool = ImageGenerationTool(generator=generator(), url_for=lambda image: f"https://pictures.test/{image.handle}")

    message = half.invoke(tool, image_call("a"))
    [shown], [kept] = json.loads(message.content)["images"], message.artifact["images"]
    assert shown["url"] == kept["url"] == f"https://pictures.test/{shown['handle']}"


def test_failing_link_loses_no_picture(generator, half, simulator):
    """The tool returns a picture with a warning when `url_for` raises."""
    tool = ImageGenerationTool(generator=generator(), url_for=lambda image: {}["missing"])

    message = half.invoke(tool, image_call("a"))
    assert message.status == "success"
    assert "no link" in json.loads(message.content)["warnings"][0]
    assert "no link" in message.artifact["warnings"][0]
    assert simulator.pictures == len(message.artifact["images"]) == 1


@pytest.mark.parametrize("format", ["png", "webp", "gif"])
def test_show_to_model_adds_a_small_picture(generator, half, format):
    """With `show_to_model` the message holds the text and the picture, scaled down to 512 pixels."""
    tool = ImageGenerationTool(generator=generator(options={"model": "gpt-image-2.6-sunburst"}), show_to_model=True)

    text, shown = half.invoke(tool, image_call("a", output_format=format)).content
    assert json.loads(text["text"])["images"]
    assert max(Image.open(io.BytesIO(b64decode(shown["base64"]))).size) == 512
    assert len(shown["base64"]) < 100_000


def test_show_to_model_omits_svg(generator, half):
    """With `show_to_model` the message of an SVG holds only text, because no chat model can see an SVG."""
    tool = ImageGenerationTool(
        generator=generator(options={"model": "gpt-image-2.6-sunburst", "output_format": "svg"}), show_to_model=True
    )

    content = half.invoke(tool, image_call("a")).content
    assert [block["type"] for block in content] == ["text"]


def test_generator_is_made_on_first_use(simulator, monkeypatch):
    """A tool without a generator makes one from the environment on its first call and keeps it."""
    tool = ImageGenerationTool()
    monkeypatch.setenv("OPENAI_BASE_URL", simulator.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "simulated")

    content = json.loads(tool.invoke("draw a fox"))
    made = tool._generator()
    assert content["images"]
    assert tool._generator() is made


def test_missing_key_is_an_error_message(half):
    """The error message about a missing key names `OPENAI_API_KEY` and tells the model not to try again."""
    message = half.invoke(ImageGenerationTool(), image_call("a"))

    assert message.status == "error"
    assert "OPENAI_API_KEY" in message.content
    assert "Do not try again" in message.content


def test_copies_draw(tool):
    """A deep copy or a `model_copy` of the tool can draw."""
    assert "handle" in copy.deepcopy(tool).model_copy().invoke("draw a fox")


# Edits outside a graph


def test_edits_pictures_of_the_generators_memory(tool_with_memory, half, simulator):
    """Outside a graph the tool edits pictures of its generator's memory by handle and by `last`."""
    handle = json.loads(half.invoke(tool_with_memory, "draw a fox"))["images"][0]["handle"]
    half.invoke(tool_with_memory, {"prompt": "edit it: make it winter", "images": [handle]})

    half.invoke(tool_with_memory, {"prompt": "edit it: make it night", "images": "last"})
    _, winter, night = simulator.orders
    assert [order.action for order in simulator.orders] == ["generate", "edit", "edit"]
    assert len(winter.sources) == len(night.sources) == 1


# Errors that a model can act on


def test_locked_option_is_refused(tool, half, simulator):
    """The tool refuses an option that is not exposed, lists the accepted arguments, and sends nothing."""
    message = half.invoke(tool, image_call("a", moderation="low"))

    assert message.status == "error"
    assert "'moderation'" in message.content
    assert all(repr(name) in message.content for name in ACCEPTED)
    assert "runtime" not in message.content
    assert simulator.requests == []


@pytest.mark.parametrize(
    ("args", "quoted"),
    [
        ({"quality": "best"}, ["'best'", "'low', 'medium', 'high'"]),
        ({"size": "huge"}, ["'huge'", "1024x1024"]),
        ({"size": "1000x1000"}, ["1000x1000", "divisible by 16", "nearest"]),
        ({"images": 5}, ["no image '5'"]),
        ({"images": [{"path": "x"}]}, ["no image", "path"]),
        ({"images": [f"img_{number:08x}" for number in range(17)]}, ["17 images", "at most 16"]),
        ({"prompt": ["draw"]}, ["prompt=['draw']", "string"]),
        ({"prompt": ""}, ["prompt", "say what to draw"]),
        ({"promt": "draw", "size": 3}, ["'promt'", "did you mean 'prompt'", "size=3"]),
    ],
)
def test_wrong_arguments_are_refused(tool, half, simulator, args, quoted):
    """The tool quotes each argument of a wrong name, type or value with what is accepted, and sends nothing."""
    message = half.invoke(tool, image_call("a", **args))

    assert message.status == "error"
    assert [words for words in quoted if words not in message.content] == []
    assert simulator.requests == []


def test_missing_prompt_is_an_error_message(tool, half):
    """The error message about a missing prompt says that it is missing."""
    message = half.invoke(tool, {**image_call("a"), "args": {"images": ["last"]}})

    assert "prompt is missing" in message.content


def test_moderated_prompt_is_an_error_message(tool, half, simulator):
    """The error message about a moderated prompt names the category and tells the model to ask for something else."""
    simulator.script(moderated("input", ["violence"]))

    message = half.invoke(tool, image_call("a"))
    assert message.status == "error"
    assert "violence" in message.content
    assert "change what is asked for" in message.content


def test_unknown_handle_lists_known_handles(tool_with_memory, half):
    """The error message about an unknown handle lists the known handles."""
    handle = json.loads(half.invoke(tool_with_memory, "draw a fox"))["images"][0]["handle"]

    message = half.invoke(tool_with_memory, image_call("b", images=["img_00000000"]))
    assert message.status == "error"
    assert "img_00000000" in message.content
    assert handle in message.content


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (rate_limited(), "Wait before trying again"),
        (quota_exceeded(), "Do not try again"),
        (bad_key(), "Do not try again"),
        (organization_not_verified(), "Do not try again"),
        (no_image("I would rather not."), "I would rather not."),
        (cut_body(4), "may already have been paid for"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_failures_give_advice(tool, half, simulator, fault, advice):
    """The error message about each failure of the service says what to do."""
    simulator.script(fault)

    message = half.invoke(tool, image_call("a"))
    assert message.status == "error"
    assert advice in message.content
    assert message.artifact is None


def test_option_that_the_service_refuses_can_be_corrected(tool, half, simulator):
    """The error message about an option that the service refuses quotes the service and says to correct it."""
    simulator.script(http_error(400, message="Background 'transparent' is not ready.", param="tools[0].background"))

    message = half.invoke(tool, image_call("a", background="transparent", output_format="png"))
    assert message.status == "error"
    assert "'transparent' is not ready" in message.content
    assert "Correct the arguments" in message.content


# What a model cannot do


@pytest.mark.parametrize(
    "reference",
    [
        "/etc/passwd",
        "../../secret.png",
        "file:///etc/passwd",
        "file-abc123",
        "data:image/png;base64," + "iVBORw0KGgo" * 1000,
        "ig_" + "0" * 48,
        "sha256:" + "0" * 64,
        "http://169.254.169.254/latest/meta-data",
        "https://pictures.test/fox.png",
    ],
    ids=lambda reference: reference[:12],
)
def test_only_images_of_the_conversation_can_be_named(tool_with_memory, half, simulator, reference):
    """The tool treats a path, file id, data URL, foreign id or web address as an unknown image and sends nothing."""
    half.invoke(tool_with_memory, "draw a fox")
    before = len(simulator.requests)

    message = half.invoke(tool_with_memory, image_call("b", images=[reference]))
    assert message.status == "error"
    assert "known here" in message.content
    assert len(message.content) < 600
    assert len(simulator.requests) == before


def test_web_addresses_do_not_open_files(generator, half, simulator):
    """With `allow_urls` the tool still refuses a `file:` address and sends nothing."""
    tool = ImageGenerationTool(generator=generator(), allow_urls=True)

    assert half.invoke(tool, image_call("a", "edit it", images=["file:///etc/passwd"])).status == "error"
    assert simulator.requests == []


@pytest.mark.parametrize("forged", ["x", {"state": {"messages": []}}, ["state"], 7])
def test_forged_runtime_is_ignored(tool, half, forged):
    """The tool ignores a `runtime` argument from the model."""
    message = half.invoke(tool, image_call("a", runtime=forged))

    assert message.status == "success"


# Traces


def test_traces_hold_no_picture(tool_with_memory, half, simulator):
    """Callbacks receive short records of a drawing and of its edit, without their bytes."""
    spy = Spy()
    half.invoke(tool_with_memory, image_call("a"), config={"callbacks": [spy]})

    half.invoke(tool_with_memory, image_call("b", "edit it", images=["last"]), config={"callbacks": [spy]})
    assert len(spy.records) == 8
    assert max(map(len, spy.records)) < 8_000
    assert simulator.pictures == 2


def test_drawing_is_a_child_run_of_the_tool(tool, half):
    """The trace shows the generator's run as a child of the tool's run, with the caller's tags."""
    spy = Spy()

    half.invoke(tool, image_call("a"), config={"callbacks": [spy], "tags": ["gallery"]})
    assert spy.parents["ImageGenerator"] == spy.runs["generate_image"]
    assert "gallery" in spy.records[1]


@pytest.mark.parametrize(
    ("options", "args"),
    [
        ({}, {"output_format": "png", "output_compression": 60}),
        ({}, {"output_compression": 60}),
        ({"output_format": "jpeg", "output_compression": 60}, {"output_format": "png"}),
    ],
)
def test_compression_of_a_png_is_ignored(options, args, generator, simulator, half):
    """The tool omits a compression that the image format lacks, draws, and adds a warning."""
    names = ("output_format", "output_compression")
    tool = ImageGenerationTool(generator=generator(max_retries=0, options=options), exposed=names)

    message = half.invoke(tool, image_call("c1", **args))

    warning = "output_compression=60 was ignored: output_format='png' has no compression"
    assert json.loads(message.content)["warnings"] == message.artifact["warnings"] == [warning]
    assert "output_compression" not in simulator.requests[-1].body["tools"][0]
