"""`region`: the tool argument by which a chat model says which part of a picture may change."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

import pytest
from langchain_core.utils.function_calling import convert_to_openai_tool
from PIL import Image

from langchain_imagegen import ImageGenerationTool, ImageMemory, box
from langchain_imagegen.errors import OptionError

BOX = {"x": 0.25, "y": 0.25, "width": 0.5, "height": 0.25}
CORNERS = [{"x": 0.5, "y": 0}, {"x": 1, "y": 0.5}, {"x": 0, "y": 0.5}]


@pytest.fixture
def call(half: Any, low: Any):
    """Return a function that calls a tool with an exposed region, after a fox was drawn."""
    draw = low(memory=ImageMemory())
    half.invoke(draw, "draw a fox")
    tool = ImageGenerationTool(generator=draw, exposed=("size", "region"))
    return lambda **arguments: half.invoke(tool, {"prompt": "edit it: add a hat", "images": ["last"], **arguments})


def hole(simulator: Any) -> tuple[int, int, int, int] | None:
    """Return the transparent rectangle of the mask that the simulator was sent last; None without a mask."""
    mask = simulator.orders[-1].mask
    return mask and Image.open(io.BytesIO(mask)).getchannel("A").point([255] + [0] * 255).getbbox()


def test_the_argument_is_typed_and_offered_only_if_exposed():
    """A chat model reads what a region is, in fractions with bounds, and no region where it is not exposed."""
    tool = convert_to_openai_tool(ImageGenerationTool(exposed=("region",)))["function"]["parameters"]["properties"]
    text = str(tool["region"])

    assert "Where the first image may change" in tool["region"]["description"]
    assert all(name in text for name in ("'x'", "'width'", "'points'", "'maximum': 1"))
    assert "region" not in ImageGenerationTool().args
    assert "$ref" not in text


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ([BOX], (204, 204, 612, 408)),
        (BOX, (204, 204, 612, 408)),
        ([BOX, {"x": 0, "y": 0, "width": 0.125, "height": 0.125}], (0, 0, 612, 408)),
        ([{"points": CORNERS}], (0, 0, 816, 409)),
        ([], None),
        (None, None),
    ],
)
def test_a_chat_model_confines_an_edit(region: Any, expected: Any, call: Any, simulator: Any):
    """Boxes and outlines in fractions confine the edit to that part of the picture; without any there is no mask."""
    answer = call(region=region)

    assert '"images"' in answer
    assert hole(simulator) == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"region": [{"x": 0.1, "y": 0.1, "width": 1.2, "height": 0.1}]}, "region"),
        ({"region": [{"x": 0.1, "y": 0.1}]}, "either a box with x, y, width and height or an outline"),
        ({"region": [{**BOX, "points": CORNERS}]}, "either a box"),
        ({"region": [{"points": CORNERS[:2]}]}, "at least 3"),
        ({"region": [{"left": 0.1}]}, "left"),
        ({"region": [BOX], "images": []}, "region needs the image to edit"),
        ({"region": [{**BOX, "width": 0.0001}]}, "is empty"),
    ],
)
def test_a_wrong_region_is_told_to_the_chat_model(arguments: Any, words: str, call: Any, simulator: Any):
    """A region that cannot be meant is answered with words to correct it, and nothing is drawn."""
    before = simulator.pictures

    answer = call(**arguments)
    assert words in answer
    assert "No picture was made" in answer
    assert simulator.pictures == before


@pytest.mark.parametrize("kind", ["region", "function"])
def test_a_developer_gives_a_region(kind: str, half: Any, low: Any, simulator: Any):
    """`mask=` of the tool takes a region, or a function that gives one, and confines every edit to it."""
    region = box(100, 200, 300, 250)
    draw = low(memory=ImageMemory())
    half.invoke(draw, "draw a fox")
    tool = ImageGenerationTool(generator=draw, mask=region if kind == "region" else lambda _: region)

    invoke = partial(half.invoke, tool)
    invoke({"prompt": "edit it", "images": ["last"]})
    assert hole(simulator) == (100, 200, 400, 450)


def test_only_one_says_where_to_edit():
    """A tool with a mask of the developer's cannot expose a region."""
    with pytest.raises(OptionError, match="exclude each other"):
        ImageGenerationTool(mask=box(0, 0, 9, 9), exposed=("region",))
