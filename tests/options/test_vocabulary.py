"""Other spellings of options, aspect ratios, further fields, and the request schema for chat models."""

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
    """Words of other services, upper case and a multiplication sign are understood."""
    assert getattr(ImageOptions(**{option: written}), option) == read


@pytest.mark.parametrize("name", ["n", "style", "seed", "negative_prompt", "user"])
def test_what_the_service_lacks_is_told(name):
    """An error about an option of other services says what to do instead."""
    with pytest.raises(OptionError, match=f"has no '{name}': ") as caught:
        ImageRequest.parse({"prompt": "x", name: 1})
    assert len(str(caught.value)) < 200


def test_an_unknown_name_gives_the_nearest_and_not_all():
    """An error about a misspelt name lists only the nearest names."""
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
def test_a_setting_in_the_wrong_place_is_told_the_right_one(settings, hint):
    """An error about options or request fields given to the generator says where they belong."""
    with pytest.raises(OptionError, match=hint):
        ImageGenerator(**settings)


@pytest.mark.parametrize("value", ["", "None", "null", " NONE "])
def test_a_chat_model_may_write_nothing_in_words(value):
    """An empty value of a tool's argument counts as not given."""
    arguments = create_model("Arguments", **argument_fields(["size", "quality", "background", "aspect_ratio"]))
    filled = arguments(size=value, quality=value, background=value, aspect_ratio=value)

    assert set(filled.model_dump().values()) == {None}


def test_a_chat_model_may_write_a_color_for_the_background():
    """A color as the background means an opaque background."""
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
def test_an_aspect_ratio_gives_the_nearest_size(ratio, model, size):
    """An aspect ratio is sent as a size that the image model supports."""
    options = ImageOptions(model=model, aspect_ratio=ratio)

    assert options.tool() == {"type": "image_generation", "model": model, "size": size}
    options.check()


@pytest.mark.parametrize(
    "row", [row for row in IMAGE_MODELS if isinstance(row.sizes, SizeLimits)], ids=lambda r: r.name
)
@pytest.mark.parametrize("ratio", ["1:1", "16:9", "9:16", "21:9", "1.91:1", "3:1", "1:9", "100:1"])
def test_every_ratio_gives_a_legal_size(row, ratio):
    """Whatever ratio is asked for, the size passes the check, for animations too."""
    ImageOptions(model=row.name, aspect_ratio=ratio).check()
    if row.gif_pixels:
        ImageOptions(model=row.name, aspect_ratio=ratio, output_format="gif").check()


@pytest.mark.parametrize("ratio", ["0:1", "wide", "16", (0, 1), "-1:2"])
def test_what_is_no_ratio_is_refused(ratio):
    """A ratio needs two numbers above zero."""
    with pytest.raises(OptionError, match=r"aspect_ratio=.*such as '16:9'"):
        ImageOptions.parse({"aspect_ratio": ratio})


def test_size_and_ratio_exclude_each_other():
    """Size and aspect ratio together are an error; in a merge the later one wins."""
    with pytest.raises(OptionError, match="exclude each other"):
        ImageOptions.parse({"size": "auto", "aspect_ratio": "1:1"})
    assert ImageOptions(size="auto").merge({"aspect_ratio": "1:1"}).sent()["size"] == "1024x1024"
    assert ImageOptions(aspect_ratio="1:1").merge({"size": "auto"}).sent()["size"] == "auto"


# Further fields


def test_further_fields_go_into_the_tool():
    """`extra` is sent as it is, and options with it can still be a key."""
    options = ImageOptions(extra={"sparkle": {"level": 3}})

    assert options.tool()["sparkle"] == {"level": 3}
    assert hash(options) == hash(ImageOptions(extra={"sparkle": {"level": 3}}))
    with pytest.raises(OptionError, match="extra has 'size', which has its own field"):
        ImageOptions.parse({"extra": {"size": "auto"}})


# A request as a chat model fills it


def keywords(schema):
    """Every keyword and type of a JSON schema, and each object's properties with those required."""
    if isinstance(schema, dict):
        yield from ((key, value) for key, value in schema.items() if key != "properties")
        for key, value in schema.items():
            yield from keywords(list(value.values()) if key in ("properties", "$defs") else value)
    elif isinstance(schema, list):
        for item in schema:
            yield from keywords(item)


def objects(schema):
    """Every object in a JSON schema."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from objects(item)


def test_strict_structured_output_takes_a_request():
    """The schema obeys strict mode: closed objects, all fields required, no defaults, each value typed."""
    schema = to_strict_json_schema(ImageRequest)

    assert {"prompt", "images", "mask", "size", "quality", "aspect_ratio"} <= set(schema["properties"])
    for found in objects(schema):
        assert found["additionalProperties"] is False
        assert set(found["required"]) == set(found["properties"])
        assert all(set(field) & {"type", "anyOf", "$ref", "enum"} for field in found["properties"].values())
    assert not {key for key, _ in keywords(schema)} & {"default", "examples", "allOf", "not", "patternProperties"}
    assert schema["properties"]["images"]["items"] == {"type": "string"}


def test_a_filled_request_is_read():
    """A request filled by a chat model is valid, and its nulls remove no setting."""
    filled = dict.fromkeys(to_strict_json_schema(ImageRequest)["properties"])
    request = ImageRequest(**{**filled, "prompt": "Draw a fox", "images": [], "size": "1024x1536"})

    request.check()
    assert request.options == ImageOptions(size="1024x1536")
    assert ImageOptions(quality="low").merge(request.options).quality == "low"
