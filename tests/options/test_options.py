"""Options and requests: fields equal to the SDK's, all problems in one error, and no picture in a repr."""

from __future__ import annotations

import dataclasses
import json
import pickle
import types
from pathlib import Path
from typing import Union, get_args, get_origin, get_type_hints

import pytest
from langchain_core.load import dumpd
from openai.types.responses import tool_param
from openai.types.responses.tool_param import ImageGeneration
from PIL import Image
from pydantic import ValidationError, create_model

from langchain_imagegen.errors import OptionError
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.options import rules
from langchain_imagegen.options.models import image_model
from langchain_imagegen.options.options import ImageOptions, Svg, SvgReasoning, argument_fields
from langchain_imagegen.options.request import ImageRequest
from langchain_imagegen.options.rules import check_mainline

NOT_OPTIONS = {"type", "input_image_mask"}
OWN_OPTIONS = {"aspect_ratio", "extra"}


def _kinds(annotation):
    """Return the types of a union without None, or the one type."""
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return [kind for kind in members if kind is not type(None)]


def _choices(annotation):
    """Return the literals of a field, or nothing if the field takes any text."""
    kinds = _kinds(annotation)
    return {choice for kind in kinds for choice in get_args(kind)} if str not in kinds else set()


def _problems(options, **request):
    """Return the problems that `check` finds in the options of such a request."""
    try:
        ImageOptions.parse(options).check(**request)
    except OptionError as error:
        return list(error.problems)
    return []


# The fields


@pytest.mark.parametrize(
    ("ours", "theirs", "excluded"),
    [
        (ImageOptions, ImageGeneration, NOT_OPTIONS),
        (Svg, tool_param.ImageGenerationSvg, set()),
        (SvgReasoning, tool_param.ImageGenerationSvgReasoning, set()),
    ],
)
def test_fields_are_those_of_the_sdk(ours, theirs, excluded):
    """The options are the fields of the installed SDK's tool and two of our own."""
    assert set(ours.model_fields) - OWN_OPTIONS == set(get_type_hints(theirs)) - excluded


@pytest.mark.parametrize("name", sorted(set(get_type_hints(ImageGeneration)) - NOT_OPTIONS - {"svg"}))
def test_field_types_are_those_of_the_sdk(name):
    """A field with literals has the SDK's literals, and any other field has the SDK's types."""
    theirs = get_type_hints(ImageGeneration)[name]
    ours = ImageOptions.model_fields[name].annotation

    assert _choices(ours) == _choices(theirs)
    assert ({int, str} & set(_kinds(ours))) == ({int, str} & set(_kinds(theirs)))


def test_svg_effort_is_that_of_the_sdk():
    """The reasoning efforts of an SVG's author are the SDK's."""
    theirs = get_type_hints(tool_param.ImageGenerationSvgReasoning)["effort"]

    assert _choices(SvgReasoning.model_fields["effort"].annotation) == set(get_args(theirs))


@pytest.mark.parametrize("name", ImageOptions.model_fields)
def test_fields_have_descriptions(name):
    """Each field has a description and, except `model`, no default."""
    field = ImageOptions.model_fields[name]

    assert len(field.description) > 30
    assert field.default is None or name == "model"


# The tool dict


def test_tool_contains_only_what_is_set():
    """A tool dict contains its type, the image model and the options that were set."""
    assert ImageOptions().tool() == {"type": "image_generation", "model": "gpt-image-2"}
    assert ImageOptions(model=None).tool() == {"type": "image_generation"}


def test_tool_contains_mask_and_nested_options():
    """A tool dict contains the mask and the SVG author in the form that the service reads."""
    tool = ImageOptions(model=None, svg=Svg(reasoning=SvgReasoning(effort="low"))).tool({"file_id": "file-1"})

    assert tool == {
        "type": "image_generation",
        "svg": {"reasoning": {"effort": "low"}},
        "input_image_mask": {"file_id": "file-1"},
    }


def test_tool_is_new_each_time():
    """Changing a tool dict or its mask does not change another tool dict."""
    options, mask = ImageOptions(svg=Svg(model="gpt-5.4")), {"file_id": "file-1"}
    first = options.tool(mask)
    first["size"] = "auto"
    first["svg"]["model"] = "other"
    first["input_image_mask"]["file_id"] = "other"

    assert options.tool(mask) == {
        "type": "image_generation",
        "model": "gpt-image-2",
        "svg": {"model": "gpt-5.4"},
        "input_image_mask": {"file_id": "file-1"},
    }


@pytest.mark.parametrize("size", [(1024, 1536), [1024, 1536], "1024x1536"])
def test_size_can_be_a_pair(size):
    """A size can be a pair of numbers or a text."""
    assert ImageOptions(size=size).size == "1024x1536"


# Merging and keeping


def test_merge():
    """In `base.merge(other)` the fields that `other` sets win, all others stay, and neither object changes."""
    base, other = ImageOptions(model="gpt-image-2.6-flare", quality="low"), ImageOptions(quality="high")

    merged = base.merge(other).merge({"size": "auto"}).merge(None)
    assert merged == ImageOptions(model="gpt-image-2.6-flare", quality="high", size="auto")
    assert (base.quality, other.model_fields_set) == ("low", {"quality"})


def test_merge_with_none():
    """Merging a field that is explicitly `None` removes it."""
    assert ImageOptions(quality="low").merge({"quality": None, "model": None}).sent() == {}


def test_merge_after_serialization():
    """Options that were serialized as JSON, dict or pickle override the same fields as before."""
    options = ImageOptions(quality="low", svg={"model": "gpt-5.4"})
    base = ImageOptions(model="gpt-image-2.6-flare", size="auto")

    for copy in (
        ImageOptions.model_validate_json(options.model_dump_json()),
        ImageOptions(**options.model_dump()),
        pickle.loads(pickle.dumps(options)),
    ):
        assert base.merge(copy) == base.merge(options)
        assert base.merge(copy).model == "gpt-image-2.6-flare"


def test_options_are_frozen_and_hashable():
    """Options are hashable, and assigning to a field raises an error."""
    options = ImageOptions(svg={"model": "gpt-5.4"})

    assert hash(options) == hash(ImageOptions(svg={"model": "gpt-5.4"}))
    with pytest.raises(ValidationError):
        options.size = "auto"


def test_repr_shows_what_is_sent():
    """A repr shows the image model and the options that were set."""
    assert repr(ImageOptions(size="auto")) == "ImageOptions(model='gpt-image-2', size='auto')"


# Parsing


def test_parse_takes_options_mappings_and_nothing():
    """`parse` returns options unchanged, reads a mapping, and returns the defaults for `None`."""
    options = ImageOptions(size="auto")

    assert ImageOptions.parse(options) is options
    assert ImageOptions.parse({"size": "auto"}) == options
    assert ImageOptions.parse(None) == ImageOptions()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"output_format": "jpge"},
            "output_format='jpge': it takes 'png', 'webp', 'jpeg', 'gif' or 'svg'; did you mean 'jpeg'?",
        ),
        ({"partial_images": 4}, "partial_images=4: it takes a whole number from 0 to 3"),
        ({"output_compression": -1}, "output_compression=-1: it takes a whole number from 0 to 100"),
        ({"frame_count": 17}, "frame_count=17: it takes a whole number from 2 to 16"),
        ({"frame_count": "many"}, "frame_count='many': it takes a whole number from 2 to 16"),
        ({"frame_duration_ms": 5}, "frame_duration_ms=5: it takes a whole number from 10 to 655,350"),
        ({"size": "1024+1024"}, "size='1024+1024': it takes text such as 'auto', '1024x1024' or '1536x864'"),
        ({"size": ""}, "size='': it takes text such as 'auto', '1024x1024' or '1536x864'"),
        ({"size": "0x16"}, "size='0x16': it takes text such as 'auto', '1024x1024' or '1536x864'"),
        ({"outputformat": "png"}, "ImageOptions has no 'outputformat'; did you mean 'output_format'?"),
        ({"svg": {"modle": "x"}}, "svg has no 'modle'; did you mean 'model'?"),
        ({"svg": {"effort": "low"}}, "svg has no 'effort'; it has 'model' and 'reasoning'"),
        (7, "ImageOptions=7: Input should be a valid dictionary or instance of ImageOptions"),
    ],
)
def test_parse_error_says_what_is_accepted(options, problem):
    """An error about a wrong value or an unknown name says what is accepted or which name is similar."""
    with pytest.raises(OptionError) as caught:
        ImageOptions.parse(options)
    assert caught.value.problems == (problem,)


def test_parse_error_lists_every_problem():
    """Three mistakes raise one error with three problems, which is also a `ValueError`."""
    with pytest.raises(ValueError, match="quality='uhd'") as caught:
        ImageOptions.parse({"quality": "uhd", "partial_images": 9, "colour": "red"})
    assert len(caught.value.problems) == 3


def test_parse_error_shortens_long_values():
    """An error quotes a long value by its beginning or its size, never whole."""
    with pytest.raises(OptionError) as caught:
        ImageOptions.parse({"quality": "x" * 200, "size": b"\x89PNG" * 1_000_000})
    assert "<bytes 4.0 MB>" in str(caught.value)
    assert len(str(caught.value)) < 400


# Combinations


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"size": "1920x1080"},
            "'gpt-image-2' has no size='1920x1080': height must be divisible by 16; nearest: '1920x1088'",
        ),
        (
            {"size": "800x800"},
            "'gpt-image-2' has no size='800x800': 640,000 pixels are fewer than 655,360; nearest: '816x816'",
        ),
        (
            {"model": "gpt-image-1.5", "size": "1920x1088"},
            (
                "'gpt-image-1.5' has no size='1920x1088': it takes 'auto', '1024x1024', '1024x1536' "
                "or '1536x1024'; nearest: '1536x1024'"
            ),
        ),
        (
            {"quality": "xhigh"},
            (
                "'gpt-image-2' has no quality='xhigh': it takes 'low', 'medium', 'high' or 'auto'; "
                "'gpt-image-2.6-sunburst', 'gpt-image-2.6-flare', 'gpt-image-2.5-sunburst' "
                "and 'gpt-image-2.5-flare' would take it"
            ),
        ),
        (
            {"output_format": "gif"},
            (
                "'gpt-image-2' has no output_format='gif': it takes 'png', 'webp' or 'jpeg'; "
                "'gpt-image-2.6-sunburst' and 'gpt-image-2.6-flare' would take it"
            ),
        ),
        ({"input_fidelity": "high"}, "'gpt-image-2' has no input_fidelity='high': leave it out"),
        (
            {"model": "gpt-image-1-mini", "input_fidelity": "high"},
            "'gpt-image-1-mini' has no input_fidelity='high': it takes 'low'",
        ),
        (
            {"output_compression": 80},
            (
                "output_compression=80 does not go with output_format='png': "
                "use output_format='jpeg' or 'webp', or leave output_compression out (100 is accepted)"
            ),
        ),
        (
            {"background": "transparent", "output_format": "jpeg"},
            (
                "background='transparent' does not go with output_format='jpeg', which has no transparency: "
                "use output_format='png' or 'webp'"
            ),
        ),
        ({"frame_count": 4}, "frame_count=4 needs output_format='gif', not 'png'"),
        ({"frame_duration_ms": 100}, "frame_duration_ms=100 needs output_format='gif', not 'png'"),
        ({"svg": {"model": "gpt-5.4"}}, "svg={'model': 'gpt-5.4'} needs output_format='svg', not 'png'"),
        (
            {"model": "gpt-image-1"},
            "model='gpt-image-1' was shut down on 2026-10-23: use 'gpt-image-2' instead",
        ),
        ({"model": "dall-e-3"}, "model='dall-e-3' was shut down on 2026-05-12: use 'gpt-image-2' instead"),
        (
            {"model": "gpt-5.4"},
            (
                "model='gpt-5.4' is a mainline model, not an image model: give it to the generator "
                "(ImageGenerator(model='gpt-5.4')), and leave model out of the options or name an image model"
            ),
        ),
    ],
)
def test_impossible_combination_is_refused(options, problem):
    """An error about an impossible combination says what to use instead."""
    assert _problems(options) == [problem]


def test_transparency_is_refused_if_the_model_lacks_it():
    """Transparency is refused for a model whose row says that it lacks it."""
    row = dataclasses.replace(image_model("gpt-image-2"), transparent=False)
    asked = rules.Asked({"background": "transparent"})

    found = [problem for rule in rules.RULES for problem in rule(asked, row)]
    assert found == ["'gpt-image-2' has no background='transparent': use 'opaque' or 'auto'"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": "auto", "quality": "auto", "background": "auto", "moderation": "low", "action": "edit"},
        {"output_compression": 100},
        {"output_compression": 0, "output_format": "webp"},
        {"background": "transparent"},
        {"background": "transparent", "output_format": "webp", "model": "gpt-image-2-2026-04-21"},
        {"background": "transparent", "output_format": "svg", "model": "gpt-image-2.6-flare"},
        {"size": "3840x2160"},
        {"quality": "max", "model": "gpt-image-2.5-flare-2026-09-08"},
        {"quality": "xhigh", "model": "gpt-image-2.6-sunburst"},
        {"model": "gpt-image-1.5", "input_fidelity": "high", "size": "1536x1024"},
        {"model": "gpt-image-1-mini", "input_fidelity": "low"},
        {"model": "chatgpt-image-latest", "size": "1920x1080", "quality": "max"},
        {"partial_images": 3},
        {"complexity": "high"},
        {"model": "gpt-image-2.6-flare", "output_format": "svg", "svg": {"reasoning": {"effort": "high"}}},
        {"model": "gpt-image-2.6-flare", "output_format": "gif", "size": "960x960"},
        {"model": "gpt-image-2.6-flare", "output_format": "gif", "size": "720x720", "frame_count": 16},
        {
            "model": "gpt-image-2.6-flare",
            "output_format": "gif",
            "output_compression": 100,
            "partial_images": 0,
        },
    ],
)
def test_possible_combination_passes(options):
    """Options pass if the tables allow them or if only the service can judge them."""
    assert _problems(options) == []


@pytest.mark.parametrize("model", ["gpt-image-3", "gpt-image-2-codex", "my-deployment", None])
def test_unknown_image_model_passes_unchecked(model):
    """Options of an unknown model, or of the service's default model, are not checked."""
    options = {"model": model, "size": "1x1", "quality": "max", "output_format": "gif", "svg": {}}

    assert _problems({**options, "output_compression": 1, "input_fidelity": "high"}, mask=True) == []


@pytest.mark.parametrize(
    ("frames", "size", "nearest"),
    [({}, "1024x1024", "960x960"), ({"frame_count": 16}, "1280x720", "944x544")],
)
def test_pixel_budget_of_an_animation(frames, size, nearest):
    """All frames of an animation together must fit the pixel limit; the default is nine frames."""
    options = {"model": "gpt-image-2.6-flare", "output_format": "gif", "size": size, **frames}

    (problem,) = _problems(options)
    assert f"for a GIF of {frames.get('frame_count', 9)} frames" in problem
    assert problem.endswith(f"nearest: {nearest!r}")
    assert _problems({**options, "size": nearest}) == []


def test_mask_with_a_still_picture():
    """A mask is accepted for a still picture."""
    assert _problems({"output_format": "webp", "output_compression": 50}, mask=True) == []


def test_animation_has_no_partials_mask_or_compression():
    """Partials, a mask and compression are refused for a GIF, all in one error."""
    options = {
        "model": "gpt-image-2.6-flare",
        "output_format": "gif",
        "partial_images": 1,
        "output_compression": 5,
    }

    found = _problems(options, mask=True)
    assert [problem.split("=")[0] for problem in found] == [
        "output_compression",
        "output_format",
        "partial_images",
    ]


def test_vector_has_no_partials_or_compression():
    """Partials and compression are refused for an SVG."""
    options = {
        "model": "gpt-image-2.6-flare",
        "output_format": "svg",
        "partial_images": 1,
        "output_compression": 5,
    }

    assert len(_problems(options)) == 2


@pytest.mark.parametrize("output_format", ["gif", "svg"])
def test_images_api_streams_no_gif_or_svg(output_format):
    """Streaming a GIF or an SVG is refused for the Images API and accepted for the Responses API."""
    options = {"model": "gpt-image-2.6-flare", "output_format": output_format}

    assert "cannot be streamed" in _problems(options, api="images", stream=True)[0]
    assert _problems(options, stream=True) == []
    assert _problems(options, api="images") == []


def test_images_api_needs_the_author_of_an_svg():
    """`svg` without a model is refused for the Images API and accepted for the Responses API."""
    options = {
        "model": "gpt-image-2.6-flare",
        "output_format": "svg",
        "svg": {"reasoning": {"effort": "low"}},
    }

    assert "lacks the author model" in _problems(options, api="images")[0]
    assert _problems(options) == []


def test_check_error_lists_every_problem():
    """Five broken rules raise one error with five problems."""
    options = {
        "size": "1x1",
        "quality": "max",
        "output_compression": 7,
        "input_fidelity": "low",
        "frame_count": 2,
    }

    assert len(_problems(options)) == 5


def test_sdk_formats_are_in_the_table():
    """The SDK's output formats are those of `gpt-image-2.6-sunburst` in the table."""
    formats = _choices(ImageOptions.model_fields["output_format"].annotation)

    assert formats == set(image_model("gpt-image-2.6-sunburst").formats)


# Mainline models


@pytest.mark.parametrize(
    "model",
    [
        "gpt-image-2",
        "gpt-image-9-pro",
        "chatgpt-image-latest",
        "dall-e-3",
        "openai/gpt-image-2",
        "openai:DALL-E-2",
    ],
)
def test_image_model_as_mainline_model_is_refused(model):
    """An error about an image model as the mainline model says where its name belongs."""
    with pytest.raises(OptionError, match=r"'gpt-5\.4'.*ImageOptions\(model=") as caught:
        check_mainline(model)
    assert repr(model) in str(caught.value)


@pytest.mark.parametrize("model", ["gpt-5.4", "gpt-4.1-nano", "o3", "ft:gpt-4o:org::id", "my-gpt-image-2", "llama"])
def test_other_mainline_models_pass(model):
    """Every other model name passes, including unknown models and those that were shut down."""
    check_mainline(model)


# Requests


@pytest.mark.parametrize("image", ["last", b"bytes", Path("fox.png"), {"type": "image", "url": "https://x/y"}])
def test_single_image_is_wrapped(image):
    """`images` accepts a single reference without a list, and a tuple."""
    assert ImageRequest(prompt="winter", images=image).images == [image]
    assert ImageRequest(prompt="winter", images=(image, "2")).images == [image, "2"]


def test_no_images_is_an_empty_list():
    """`images=None` is an empty list, which no other request shares."""
    first = ImageRequest(prompt="fox", images=None)
    first.images.append("last")

    assert ImageRequest(prompt="fox").images == []


@pytest.mark.parametrize(
    "value",
    [
        {"prompt": "fox", "size": "auto", "quality": "low"},
        {"prompt": "fox", "size": "auto", "options": {"quality": "low"}},
        {"prompt": "fox", "size": "auto", "options": ImageOptions(quality="low", size="1024x1024")},
        ImageRequest(prompt="fox", options=ImageOptions(size="auto", quality="low")),
    ],
)
def test_options_beside_the_prompt(value):
    """Options can be given in `options` or beside the prompt, and those beside the prompt win."""
    request = ImageRequest.parse(value)

    assert request.prompt == "fox"
    assert request.options == ImageOptions(size="auto", quality="low")
    assert request.options.model_fields_set == {"size", "quality"}


def test_parse_takes_a_prompt():
    """`parse` takes a text for the prompt."""
    assert ImageRequest.parse("fox") == ImageRequest(prompt="fox")


def test_parse_does_not_change_the_mapping():
    """`parse` does not change the caller's mapping."""
    value = {"prompt": "fox", "size": "auto", "options": {"quality": "low"}}
    ImageRequest.parse(value)

    assert value == {"prompt": "fox", "size": "auto", "options": {"quality": "low"}}


@pytest.mark.parametrize(
    ("value", "problems"),
    [
        ("", ["prompt='' with no images asks for nothing: say what to draw"]),
        ({"prompt": " \n"}, ["prompt=' \\n' with no images asks for nothing: say what to draw"]),
        (
            {"prompt": "x", "previous_response_id": "resp_1", "conversation": "conv_1"},
            ["previous_response_id and conversation exclude each other: give one of them"],
        ),
        (
            {"prompt": "x", "mask": b"png"},
            ["mask needs an image to apply to: give it in images, first if there are several"],
        ),
        (
            {"promt": "x", "qualty": "low", "partial_images": 5},
            [
                "partial_images=5: it takes a whole number from 0 to 3",
                "ImageRequest has no 'promt'; did you mean 'prompt'?",
                "ImageRequest has no 'qualty'; did you mean 'quality'?",
            ],
        ),
        (
            {"prompt": "x", "options": {"siz": "auto"}},
            ["options has no 'siz'; did you mean 'size'?"],
        ),
        (
            {"prompt": "x", "options": 5, "size": "auto"},
            ["options=5: Input should be a valid dictionary or instance of ImageOptions"],
        ),
        (
            {"prompt": "x", "options": {"promt": "x"}, "conversation": 5},
            [
                "conversation=5: it takes text such as 'conv_6890a1'",
                "options has no 'promt'; the nearest names are 'complexity', 'frame_count' and 'partial_images'",
            ],
        ),
        (5, ["ImageRequest=5: Input should be a valid dictionary or instance of ImageRequest"]),
    ],
)
def test_impossible_request_is_refused(value, problems):
    """A request that is empty, contradictory or misspelt raises an error that lists each problem."""
    with pytest.raises(OptionError) as caught:
        ImageRequest.parse(value)
    assert list(caught.value.problems) == problems


@pytest.mark.parametrize(
    "value",
    [
        {"images": ["last"]},
        {"prompt": "x", "mask": b"png", "images": "last"},
        {"prompt": "x", "mask": b"png", "previous_response_id": "resp_1"},
        {"prompt": "x", "conversation": {"id": "conv_1"}, "instructions": "be brief"},
    ],
)
def test_possible_request_passes(value):
    """A request can be images without a prompt, or a mask for an image of an earlier response."""
    assert ImageRequest.parse(value)


def _picture_of(kind):
    """Return a picture in this form, and what a dump shows in its place."""
    block = {"type": "image", "base64": "c2VjcmV0", "mime_type": "image/png"}
    url = "data:image/png;base64,c2VjcmV0" + "A" * 2_000_000
    return {
        "bytes": (b"secret" * 333_334, "<bytes 2.0 MB>"),
        "bytearray": (bytearray(b"secret"), "<bytearray 6 B>"),
        "pil": (Image.new("RGB", (9, 9)), "<Image>"),
        "block": (block, {"type": "image", "base64": "<base64 8 B>", "mime_type": "image/png"}),
        "data URL": (url, "<data:image/png 2.0 MB>"),
        "base64": ("c2VjcmV0" * 2_000, "<str 16 kB>"),
    }[kind]


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "pil", "block", "data URL", "base64"])
def test_dumps_contain_no_pictures(kind):
    """A request's repr, dump, JSON and LangChain dump show a short stand-in for a picture."""
    picture, shown = _picture_of(kind)
    request = ImageRequest(prompt="winter", images=[picture, "last"], mask=picture)

    assert request.model_dump()["images"] == [shown, "last"]
    assert json.loads(request.model_dump_json())["mask"] == shown
    for text in (repr(request), str(request), request.model_dump_json(), json.dumps(dumpd(request))):
        assert "secret" not in text
        assert "c2VjcmV0" not in text
        assert len(text) < 1_200
    assert request.images[0] is picture


def test_dumps_contain_references():
    """A request's dump shows handles, addresses and paths unchanged."""
    names = ["img_1a2b3c4d", "2", "https://example.org/fox.png?" + "k" * 600]

    assert ImageRequest(images=names).model_dump()["images"] == names
    assert ImageRequest(images=Path("fox.png")).model_dump()["images"] == ["fox.png"]


def test_dumps_show_images_as_handles():
    """A request's dump shows images and results as their handles."""
    fox = GeneratedImage(id="ig_1", sha256="0" * 64, size_bytes=1, mime_type="image/png")

    shown = ImageRequest(images=[fox, ImageResult(images=[fox])]).model_dump()["images"]
    assert shown == [fox.handle, [fox.handle]]


def test_validation_error_contains_no_picture():
    """The error about an invalid request does not contain its picture."""
    with pytest.raises(ValidationError) as caught:
        ImageRequest(prompt=["secret"], mask=b"secret", images=b"secret", picture=b"secret")
    assert "secret" not in str(caught.value)


# The tool's arguments


def test_argument_fields():
    """`argument_fields` gives each option as an optional field with its choices, bounds and description."""
    schema = create_model("Arguments", **argument_fields(["quality", "partial_images", "size"])).model_json_schema()

    assert set(schema["properties"]) == {"quality", "partial_images", "size"}
    assert "required" not in schema
    for name, shown in schema["properties"].items():
        assert shown["description"] == ImageOptions.model_fields[name].description
        assert shown["default"] is None
    assert schema["properties"]["partial_images"]["anyOf"][0] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 3,
    }
    assert "xhigh" in schema["properties"]["quality"]["anyOf"][0]["enum"]


def test_argument_fields_of_every_option():
    """`argument_fields` accepts every option, and a model of them sets nothing by default."""
    arguments = create_model("Arguments", **argument_fields(ImageOptions.model_fields))

    assert set(arguments().model_dump().values()) == {None}
    assert arguments(size=(1024, 1024)).size == "1024x1024"
    with pytest.raises(ValidationError):
        arguments(partial_images=7)


def test_argument_fields_of_an_unknown_option():
    """An error about an unknown option suggests a similar one and lists all options."""
    with pytest.raises(OptionError, match="no option 'siz'; did you mean 'size'") as caught:
        argument_fields(["siz", "quality"])
    assert all(name in str(caught.value) for name in ImageOptions.model_fields)
