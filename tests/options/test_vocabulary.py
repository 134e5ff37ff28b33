"""Other spellings of options, aspect ratios, `extra`, and the request schema for chat models."""

from __future__ import annotations

import pytest
from openai.lib._pydantic import to_strict_json_schema
from pydantic import create_model

from langchain_imagegen.drawing.generator import ImageGenerator
from langchain_imagegen.errors import OptionError
from langchain_imagegen.options.models import IMAGE_MODELS, SizeLimits
from langchain_imagegen.options.options import ImageOptions, argument_fields
from langchain_imagegen.options.request import ImageRequest


@pytest.mark.parametrize(
    ("option", "written", "read"),
    [
        ("quality", "hd", "high"),
        ("quality", "standard", "medium"),
        ("quality", " HIGH ", "high"),
        ("output_format", "jpg", "jpeg"),
        ("output_format", ".PNG", "png"),
        ("output_format", "image/webp", "webp"),
        ("size", "1024×1536", "1024x1536"),  # noqa: RUF001
        ("size", " 1024 X 1536 ", "1024x1536"),
        ("size", "1024*1536", "1024x1536"),
        ("size", "AUTO", "auto"),
        ("background", "Transparent", "transparent"),
    ],
)
def test_other_spellings_are_understood(option, written, read):
    """Other services' words, upper case and multiplication signs are read as the option that is meant."""
    assert getattr(ImageOptions(**{option: written}), option) == read


@pytest.mark.parametrize("name", ["n", "style", "seed", "negative_prompt", "user"])
def test_options_of_other_services(name):
    """An error about an option that only other services have says what to do instead."""
    with pytest.raises(OptionError, match=f"has no '{name}': ") as caught:
        ImageRequest.parse({"prompt": "x", name: 1})
    assert len(str(caught.value)) < 200


def test_error_about_an_unknown_name_is_short():
    """An error about an unknown name lists only the most similar names."""
    with pytest.raises(OptionError) as caught:
        ImageRequest.parse({"prompt": "x", "zzz": 1})
    assert str(caught.value).count("'") <= 8


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"size": "1024x1024"}, r"ImageGenerator\(options={'size': …}\)"),
        ({"aspect_ratio": "1:1"}, r"options={'aspect_ratio': …}"),
        ({"store": "pictures"}, r"image_store=ImageStore\('pictures'\)"),
        ({"images": []}, r"draw\.invoke\(prompt, images=…\)"),
        ({"temperature": 1}, "model_kwargs"),
    ],
)
def test_setting_in_the_wrong_place(settings, hint):
    """An error about an option or request field that was given to the generator says where it belongs."""
    with pytest.raises(OptionError, match=hint):
        ImageGenerator(**settings)


@pytest.mark.parametrize("value", ["", "None", "null", " NONE "])
def test_empty_tool_arguments(value):
    """A tool argument that is empty, `None` or `null` as text counts as not given."""
    arguments = create_model("Arguments", **argument_fields(["size", "quality", "background", "aspect_ratio"]))
    filled = arguments(size=value, quality=value, background=value, aspect_ratio=value)

    assert set(filled.model_dump().values()) == {None}


def test_color_as_background():
    """A color as the `background` argument of the tool is read as an opaque background."""
    assert create_model("Arguments", **argument_fields(["background"]))(background="white").background == "opaque"


# Aspect ratios


@pytest.mark.parametrize(
    ("ratio", "model", "size"),
    [
        ("16:9", "gpt-image-2", "1360x768"),
        ((16, 9), "gpt-image-2", "1360x768"),
        ("1:1", "gpt-image-2", "1024x1024"),
        ("2/3", "gpt-image-2", "832x1248"),
        ("16:9", "gpt-image-1.5", "1536x1024"),
        ("9:16", "some-new-model", "1024x1536"),
    ],
)
def test_aspect_ratio(ratio, model, size):
    """An aspect ratio is sent as the nearest size that the image model supports."""
    options = ImageOptions(model=model, aspect_ratio=ratio)

    assert options.tool() == {"type": "image_generation", "model": model, "size": size}
    options.check()


@pytest.mark.parametrize(
    "row", [row for row in IMAGE_MODELS if isinstance(row.sizes, SizeLimits)], ids=lambda r: r.name
)
@pytest.mark.parametrize("ratio", ["1:1", "16:9", "9:16", "21:9", "1.91:1", "3:1", "1:9", "100:1"])
def test_every_aspect_ratio_gives_a_legal_size(row, ratio):
    """Any aspect ratio gives a size that passes the check, also for animations."""
    ImageOptions(model=row.name, aspect_ratio=ratio).check()
    if row.gif_pixels:
        ImageOptions(model=row.name, aspect_ratio=ratio, output_format="gif").check()


@pytest.mark.parametrize("ratio", ["0:1", "wide", "16", (0, 1), "-1:2"])
def test_invalid_aspect_ratio(ratio):
    """An aspect ratio that is not two numbers above zero raises an error that shows a valid one."""
    with pytest.raises(OptionError, match=r"aspect_ratio=.*such as '16:9'"):
        ImageOptions.parse({"aspect_ratio": ratio})


def test_size_and_ratio_exclude_each_other():
    """Size and aspect ratio together are an error; in a merge the later one wins."""
    with pytest.raises(OptionError, match="exclude each other"):
        ImageOptions.parse({"size": "auto", "aspect_ratio": "1:1"})
    assert ImageOptions(size="auto").merge({"aspect_ratio": "1:1"}).sent()["size"] == "1024x1024"
    assert ImageOptions(aspect_ratio="1:1").merge({"size": "auto"}).sent()["size"] == "auto"


# Further fields


def test_extra_fields():
    """`extra` is sent unchanged and refuses a field that has its own option; options with it are hashable."""
    options = ImageOptions(extra={"sparkle": {"level": 3}})

    assert options.tool()["sparkle"] == {"level": 3}
    assert hash(options) == hash(ImageOptions(extra={"sparkle": {"level": 3}}))
    with pytest.raises(OptionError, match="extra has 'size', which has its own field"):
        ImageOptions.parse({"extra": {"size": "auto"}})


# A request that a chat model fills in


def keywords(schema):
    """Yield every keyword of a JSON schema with its value."""
    if isinstance(schema, dict):
        yield from ((key, value) for key, value in schema.items() if key != "properties")
        for key, value in schema.items():
            yield from keywords(list(value.values()) if key in ("properties", "$defs") else value)
    elif isinstance(schema, list):
        for item in schema:
            yield from keywords(item)


def objects(schema):
    """Yield every object in a JSON schema."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from objects(item)


def test_strict_schema_of_a_request():
    """The schema of a request obeys strict mode: closed objects, all fields required, no defaults, all values typed."""
    schema = to_strict_json_schema(ImageRequest)

    assert {"prompt", "images", "mask", "size", "quality", "aspect_ratio"} <= set(schema["properties"])
    for found in objects(schema):
        assert found["additionalProperties"] is False
        assert set(found["required"]) == set(found["properties"])
        assert all(set(field) & {"type", "anyOf", "$ref", "enum"} for field in found["properties"].values())
    assert not {key for key, _ in keywords(schema)} & {"default", "examples", "allOf", "not", "patternProperties"}
    assert schema["properties"]["images"]["items"] == {"type": "string"}


def test_request_filled_in_by_a_chat_model():
    """A request that a chat model filled in is valid, and its nulls remove no option in a merge."""
    filled = dict.fromkeys(to_strict_json_schema(ImageRequest)["properties"])
    request = ImageRequest(**{**filled, "prompt": "Draw a fox", "images": [], "size": "1024x1536"})

    request.check()
    assert request.options == ImageOptions(size="1024x1536")
    assert ImageOptions(quality="low").merge(request.options).quality == "low"
