"""The tool by itself: its arguments, its answers, its errors, and what a model cannot do with it."""

from __future__ import annotations

import copy
import io
import json
from base64 import b64decode

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from PIL import Image

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
from tests.scripted import Spy, asks

JPEG = {"output_format": "jpeg"}  # the quickest to draw
ACCEPTED = ["prompt", "images", "size", "quality", "background", "output_format"]


@pytest.fixture
def tool(generator):
    """A tool that draws at the simulator and gives up at the first refusal."""
    return ImageGenerationTool(generator=generator(max_retries=0, options=JPEG))


@pytest.fixture
def remembering(generator):
    """A tool outside a graph whose generator remembers."""
    return ImageGenerationTool(generator=generator(memory=ImageMemory(), max_retries=0, options=JPEG))


def parameters(tool):
    """The arguments that a chat model is offered."""
    return convert_to_openai_tool(tool)["function"]["parameters"]["properties"]


# What a model is offered


def test_arguments_are_typed(tool):
    """A model is offered the prompt, the images and the exposed options, each with its type and explanation."""
    offered = parameters(tool)

    assert list(offered) == ACCEPTED
    assert offered["prompt"]["type"] == "string"
    assert (offered["images"]["type"], offered["images"]["items"]) == ("array", {"type": "string"})
    assert "transparent" in offered["background"]["anyOf"][0]["enum"]
    assert all(argument["description"] for argument in offered.values())


def test_only_the_prompt_is_required(tool):
    """A model need not choose anything but the prompt."""
    assert convert_to_openai_tool(tool)["function"]["parameters"]["required"] == ["prompt"]


@pytest.mark.parametrize("exposed", [(), ("moderation",), tuple(ImageOptions.model_fields)])
def test_any_options_can_be_exposed(exposed):
    """The developer chooses which options a model may set: none, one or all."""
    assert list(parameters(ImageGenerationTool(exposed=exposed))) == ["prompt", "images", *exposed]


def test_exposing_what_is_no_option_fails():
    """A name that is no option is refused when the tool is made, with the one that is meant."""
    with pytest.raises(OptionError, match="did you mean 'quality'"):
        ImageGenerationTool(exposed=["qualty"])


def test_description_advises(tool):
    """The description tells a model to say draw or edit, and how to name and combine pictures."""
    told = convert_to_openai_tool(tool)["function"]["description"]

    assert all(word in told for word in ('"draw"', '"edit"', "`images`", '"last"', "edit the first image by adding"))


def test_name_and_description_are_the_developers(generator, half):
    """A tool of another name and description answers under that name."""
    tool = ImageGenerationTool(generator=generator(), name="paint", description="Paints.")

    message = half.invoke(tool, {**asks("a"), "name": "paint"})
    assert (tool.description, message.name) == ("Paints.", "paint")


# What comes back


@pytest.mark.parametrize("given", ["draw a fox", {"prompt": "draw a fox"}])
def test_works_outside_a_graph(tool, half, given, simulator):
    """A text or a dict gives the short JSON that a model would read."""
    content = json.loads(half.invoke(tool, given))

    assert content["images"][0]["handle"].startswith("img_")
    assert content["note"] == "The image is attached for the user."
    assert simulator.orders[0].prompt.endswith("draw a fox")


def test_tool_call_gives_a_message(tool, half, image_store):
    """A tool call gives a message with the call's id, short content and the result's record as artifact."""
    message = half.invoke(tool, asks("call-7"))

    assert isinstance(message, ToolMessage)
    assert (message.tool_call_id, message.status, message.name) == ("call-7", "success", "generate_image")
    assert len(message.content) < 500
    [image] = ImageMemory.from_messages([message], image_store=image_store)
    assert image.handle == json.loads(message.content)["images"][0]["handle"]
    assert Image.open(io.BytesIO(image.read())).size == (image.width, image.height)


def test_artifact_is_plain_json(tool, half):
    """The artifact is the same after a way through JSON, and holds no bytes."""
    artifact = half.invoke(tool, asks("a")).artifact

    assert json.loads(json.dumps(artifact)) == artifact
    assert len(json.dumps(artifact)) < 5_000


def test_content_says_what_was_drawn(tool, half):
    """A model reads handle, revised prompt and the true size, and nothing long."""
    message = half.invoke(tool, asks("a", "draw " + "a very long wish " * 200, size="1536x1024"))

    [told] = json.loads(message.content)["images"]
    assert set(told) == {"handle", "revised_prompt", "size"}
    assert told["size"] == "1536x1024"
    assert len(told["revised_prompt"]) == 400


@pytest.mark.parametrize(("note", "told"), [("Shown below.", "Shown below."), ("", None)])
def test_note_is_the_developers(generator, half, note, told):
    """Another note replaces ours, an empty one leaves it out."""
    tool = ImageGenerationTool(generator=generator(), note=note)

    assert json.loads(half.invoke(tool, "draw a fox")).get("note") == told


def test_options_reach_the_service(tool, half, simulator):
    """What the model chooses is sent; what it leaves out is not."""
    half.invoke(tool, {"prompt": "draw a fox", "quality": "low", "size": None})

    [sent] = simulator.requests[-1].body["tools"]
    assert (sent["quality"], "size" in sent) == ("low", False)


def test_locked_options_are_sent(generator, half, simulator):
    """An option of the generator that is not exposed is sent with every picture."""
    tool = ImageGenerationTool(generator=generator(options={"quality": "low"}), exposed=["size"])

    half.invoke(tool, {"prompt": "draw a fox", "size": "1536x1024"})
    [sent] = simulator.requests[-1].body["tools"]
    assert (sent["quality"], sent["size"]) == ("low", "1536x1024")


def test_link_stands_in_content_and_artifact(generator, half):
    """`url_for` gives the model and the application the same link."""
    tool = ImageGenerationTool(generator=generator(), url_for=lambda image: f"https://pictures.test/{image.handle}")

    message = half.invoke(tool, asks("a"))
    [told], [kept] = json.loads(message.content)["images"], message.artifact["images"]
    assert told["url"] == kept["url"] == f"https://pictures.test/{told['handle']}"


def test_failing_link_loses_no_picture(generator, half, simulator):
    """A picture that was drawn and paid for comes back although `url_for` fails, and the result says so."""
    tool = ImageGenerationTool(generator=generator(), url_for=lambda image: {}["missing"])

    message = half.invoke(tool, asks("a"))
    assert message.status == "success"
    assert "no link" in json.loads(message.content)["warnings"][0]
    assert "no link" in message.artifact["warnings"][0]
    assert simulator.pictures == len(message.artifact["images"]) == 1


@pytest.mark.parametrize("format", ["png", "webp", "gif"])
def test_picture_can_be_shown_to_the_model(generator, half, format):
    """With `show_to_model` the message holds the text and the picture, downscaled to 512 pixels."""
    tool = ImageGenerationTool(generator=generator(options={"model": "gpt-image-2.6-sunburst"}), show_to_model=True)

    text, shown = half.invoke(tool, asks("a", output_format=format)).content
    assert json.loads(text["text"])["images"]
    assert max(Image.open(io.BytesIO(b64decode(shown["base64"]))).size) == 512
    assert len(shown["base64"]) < 100_000


def test_svg_is_not_shown(generator, half):
    """A vector picture, which no chat model can see, leaves the text alone."""
    tool = ImageGenerationTool(
        generator=generator(options={"model": "gpt-image-2.6-sunburst", "output_format": "svg"}), show_to_model=True
    )

    content = half.invoke(tool, asks("a")).content
    assert [block["type"] for block in content] == ["text"]


def test_generator_is_made_on_first_use(simulator, monkeypatch):
    """Without a generator the tool makes one from the environment when it is first called, and keeps it."""
    tool = ImageGenerationTool()
    monkeypatch.setenv("OPENAI_BASE_URL", simulator.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "simulated")

    content = json.loads(tool.invoke("draw a fox"))
    made = tool._generator()
    assert content["images"]
    assert tool._generator() is made


def test_missing_key_is_told(half):
    """Without any key the model is told not to try again, and the developer reads how to set one."""
    message = half.invoke(ImageGenerationTool(), asks("a"))

    assert message.status == "error"
    assert "OPENAI_API_KEY" in message.content
    assert "Do not try again" in message.content


def test_copies_draw(tool):
    """A tool that was copied, as middleware and agents do, still draws."""
    assert "handle" in copy.deepcopy(tool).model_copy().invoke("draw a fox")


# Edits outside a graph


def test_edits_what_its_generator_remembers(remembering, half, simulator):
    """Outside a graph a handle and `last` name what the generator's memory holds."""
    handle = json.loads(half.invoke(remembering, "draw a fox"))["images"][0]["handle"]
    half.invoke(remembering, {"prompt": "edit it: make it winter", "images": [handle]})

    half.invoke(remembering, {"prompt": "edit it: make it night", "images": "last"})
    _, winter, night = simulator.orders
    assert [order.action for order in simulator.orders] == ["generate", "edit", "edit"]
    assert len(winter.sources) == len(night.sources) == 1


# Errors that a model can act on


def test_locked_option_is_refused(tool, half, simulator):
    """An option that is not exposed is refused with a list of what is accepted, before anything is sent."""
    message = half.invoke(tool, asks("a", moderation="low"))

    assert message.status == "error"
    assert "'moderation'" in message.content
    assert all(repr(name) in message.content for name in ACCEPTED)
    assert "runtime" not in message.content
    assert simulator.requests == []


@pytest.mark.parametrize(
    ("args", "told"),
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
def test_wrong_arguments_are_refused(tool, half, simulator, args, told):
    """Each argument of a wrong name, type or value is quoted with what is accepted; nothing is sent."""
    message = half.invoke(tool, asks("a", **args))

    assert message.status == "error"
    assert [words for words in told if words not in message.content] == []
    assert simulator.requests == []


def test_missing_prompt_is_told(tool, half):
    """A call without a prompt says that it is missing, and quotes nothing internal."""
    message = half.invoke(tool, {**asks("a"), "args": {"images": ["last"]}})

    assert "prompt is missing" in message.content


def test_moderated_prompt_says_what_to_change(tool, half, simulator):
    """A refused prompt names the reason and says that the same request is refused again."""
    simulator.script(moderated("input", ["violence"]))

    message = half.invoke(tool, asks("a"))
    assert message.status == "error"
    assert "violence" in message.content
    assert "change what is asked for" in message.content


def test_unknown_handle_lists_the_known(remembering, half):
    """A handle that names nothing is answered with those there are."""
    handle = json.loads(half.invoke(remembering, "draw a fox"))["images"][0]["handle"]

    message = half.invoke(remembering, asks("b", images=["img_00000000"]))
    assert message.status == "error"
    assert "img_00000000" in message.content
    assert handle in message.content


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (rate_limited(), "Wait before trying again"),
        (quota_exceeded(), "Do not try again"),
        (bad_key(), "Do not try again"),
        (organization_not_verified(), "Do not try again"),
        (no_image("I would rather not."), "I would rather not."),
        (cut_body(200), "may already have been paid for"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_failures_advise(tool, half, simulator, fault, told):
    """Each failure of the service comes as an error message that says what to do about it."""
    simulator.script(fault)

    message = half.invoke(tool, asks("a"))
    assert message.status == "error"
    assert told in message.content
    assert message.artifact is None


def test_option_that_the_service_refuses_can_be_corrected(tool, half, simulator):
    """An option that only the service refuses is told in its words, with advice to correct it."""
    simulator.script(http_error(400, message="Background 'transparent' is not ready.", param="tools[0].background"))

    message = half.invoke(tool, asks("a", background="transparent", output_format="png"))
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
def test_only_images_of_the_conversation_can_be_named(remembering, half, simulator, reference):
    """A path, file id, data URL, foreign call id or web address is an unknown image: nothing is opened or sent."""
    half.invoke(remembering, "draw a fox")
    before = len(simulator.requests)

    message = half.invoke(remembering, asks("b", images=[reference]))
    assert message.status == "error"
    assert "known here" in message.content
    assert len(message.content) < 600
    assert len(simulator.requests) == before


def test_web_addresses_can_be_allowed(generator, half, simulator):
    """With `allow_urls` the model may name a web address, which the service fetches, and is told so."""
    tool = ImageGenerationTool(generator=generator(), allow_urls=True)

    half.invoke(tool, asks("a", "edit it", images=["https://pictures.test/fox.png"]))
    assert "web addresses" in parameters(tool)["images"]["description"]
    assert "https://pictures.test/fox.png" in json.dumps(simulator.requests[-1].body)


def test_web_addresses_do_not_open_files(generator, half, simulator):
    """Allowing web addresses allows no other kind of address."""
    tool = ImageGenerationTool(generator=generator(), allow_urls=True)

    assert half.invoke(tool, asks("a", "edit it", images=["file:///etc/passwd"])).status == "error"
    assert simulator.requests == []


@pytest.mark.parametrize("forged", ["x", {"state": {"messages": []}}, ["state"], 7])
def test_forged_runtime_is_harmless(tool, half, forged):
    """A `runtime` that a model makes up changes nothing."""
    message = half.invoke(tool, asks("a", runtime=forged))

    assert message.status == "success"


# Traces


def test_traces_hold_no_picture(remembering, half, simulator):
    """Callbacks are told of records alone, of a drawing as of its edit."""
    spy = Spy()
    half.invoke(remembering, asks("a"), config={"callbacks": [spy]})

    half.invoke(remembering, asks("b", "edit it", images=["last"]), config={"callbacks": [spy]})
    assert len(spy.told) == 8
    assert max(map(len, spy.told)) < 8_000
    assert simulator.pictures == 2


def test_drawing_is_traced_within_the_tool(tool, half):
    """The generator's run is a child of the tool's run, with the caller's tags."""
    spy = Spy()

    half.invoke(tool, asks("a"), config={"callbacks": [spy], "tags": ["gallery"]})
    assert spy.parents["ImageGenerator"] == spy.runs["generate_image"]
    assert "gallery" in spy.told[1]


@pytest.mark.parametrize(
    ("locked", "chosen"),
    [
        ({}, {"output_format": "png", "output_compression": 60}),
        ({}, {"output_compression": 60}),
        ({"output_format": "jpeg", "output_compression": 60}, {"output_format": "png"}),
    ],
)
def test_a_compression_that_the_format_lacks_is_ignored(locked, chosen, generator, simulator, half):
    """A chat model's compression of a png costs no turn: it is left out, and the answer carries a warning."""
    names = ("output_format", "output_compression")
    tool = ImageGenerationTool(generator=generator(max_retries=0, options=locked), exposed=names)

    message = half.invoke(tool, asks("c1", **chosen))

    warning = "output_compression=60 was ignored: output_format='png' has no compression"
    assert json.loads(message.content)["warnings"] == message.artifact["warnings"] == [warning]
    assert "output_compression" not in simulator.requests[-1].body["tools"][0]
