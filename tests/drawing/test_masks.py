"""Masks that are given as regions: what is sent, what the service changes, and what is refused before."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from PIL import Image, ImageChops

from langchain_imagegen import ImageMemory, ImageOptions, ImageRequest, box, polygon
from langchain_imagegen.conversation.messages import upload
from langchain_imagegen.drawing.ladder import Drawing
from langchain_imagegen.drawing.once import digest_of
from langchain_imagegen.errors import OptionError
from tests.drawing.test_generator_inputs import photo

REGION = box(100, 200, 300, 250)
REST = (500, 500, 816, 700)  # a part of the pictures of `low` that no region here touches


@pytest.fixture
def draw(half, low):
    """Return a function that draws small pictures with a memory, sync or async."""
    return partial(half.invoke, low(memory=ImageMemory()))


def changed(before: Any, after: Any) -> tuple[int, int, int, int] | None:
    """Return the rectangle around all pixels in which two pictures differ."""
    one, other = (image.image.to_pil().convert("RGB") for image in (before, after))
    return ImageChops.difference(one, other).getbbox()


def hole(simulator: Any) -> tuple[Any, ...]:
    """Return size, format and the transparent rectangle of the mask that the simulator was sent last."""
    mask = Image.open(io.BytesIO(simulator.orders[-1].mask))
    return mask.size, mask.format, mask.getchannel("A").point([255] + [0] * 255).getbbox()


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (REGION, (100, 200, 400, 450)),
        (box(0.25, 0.25, 0.5, 0.25), (204, 204, 612, 408)),
        ([REGION, box(600, 50, 100, 100)], (100, 50, 700, 450)),
        (REGION | polygon([(600, 50), (699, 50), (650, 149)]), (100, 50, 700, 450)),
        (REGION.model_dump(mode="json"), (100, 200, 400, 450)),
    ],
    ids=["pixels", "fractions", "list", "union", "JSON"],
)
def test_an_edit_is_confined_to_the_region(mask: Any, expected: Any, draw: Any, simulator: Any):
    """A region goes along as a PNG mask of the picture's size, and only the picture within it changes."""
    fox = draw("draw a fox")
    edited = draw("a purple balloon", images=["last"], mask=mask)

    assert hole(simulator) == ((816, 816), "PNG", expected)
    left, top, right, bottom = changed(fox, edited)
    assert left >= expected[0]
    assert top >= expected[1]
    assert right <= expected[2]
    assert bottom <= expected[3]
    assert edited.rung == "call_id"


def test_a_region_is_a_field_of_a_request(draw: Any, simulator: Any):
    """An `ImageRequest` and its JSON form take a region as its mask."""
    fox = draw("draw a fox").image
    request = ImageRequest(prompt="a hat", images=[fox.handle], mask=REGION)
    again = ImageRequest.model_validate_json(request.model_dump_json())

    draw(request)
    draw(again)
    assert [hole(simulator)[2], simulator.orders[0].mask] == [(100, 200, 400, 450), None]
    assert simulator.orders[1].mask == simulator.orders[2].mask
    assert again.mask == REGION.model_dump(mode="json")


def test_a_region_applies_to_the_first_picture(draw: Any, simulator: Any):
    """With several pictures the mask has the size of the first."""
    draw("combine both", images=[photo("red"), photo("blue")], mask=box(0, 0, 32, 64))

    assert hole(simulator) == ((64, 64), "PNG", (0, 0, 32, 64))


def test_a_region_follows_a_photo_that_is_turned(draw: Any, simulator: Any):
    """Pixels of a phone's photo are counted as viewers show it, in the size of the upright copy that is sent."""
    data, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (200, 100), "white").save(data, format="JPEG", exif=exif)

    draw("a hat", images=[data.getvalue()], mask=box(0, 0, 100, 50))

    assert hole(simulator) == ((100, 200), "PNG", (0, 0, 100, 50))


def test_a_webp_gets_a_webp_mask(half: Any, low: Any, simulator: Any):
    """The mask of a WebP picture is a WebP."""
    draw = partial(half.invoke, low(memory=ImageMemory()))
    draw("draw a fox", output_format="webp")
    draw("a hat", images=["last"], mask=REGION)

    assert hole(simulator) == ((816, 816), "WEBP", (100, 200, 400, 450))


def test_a_mask_of_a_few_pixels(draw: Any):
    """A region of a few pixels is edited like any other."""
    fox = draw("draw a fox")
    edited = draw("a flea", images=[fox], mask=box(100, 100, 3, 1))

    assert edited.image.parents == (fox.image.id,)


def test_a_region_applies_to_the_picture_of_the_previous_response(draw: Any, simulator: Any):
    """Without images the mask is that of the one picture of the response that is continued."""
    fox = draw("draw a fox")
    draw("a hat", previous_response_id=fox.response_id, mask=REGION)

    assert hole(simulator) == ((816, 816), "PNG", (100, 200, 400, 450))


@pytest.mark.parametrize(
    ("source", "mask", "words"),
    [
        ("last", box(900, 0, 10, 10), "is outside of the picture, which has 816x816 pixels"),
        ("last", ~box(0.0, 0.0, 1.0, 1.0), "is empty"),
        ("last", {"shapes": [{"x": 1}]}, "is no region"),
        ("last", [REGION, "last"], "not both in one list"),
        ("last", (0, 0, 10, 10), "give box(x, y, width, height)"),
        ("https://example.org/a.png", REGION, "of which only the address is known"),
        ("file-123", REGION, "give the picture itself"),
        ("svg", REGION, "it is an SVG, which has no pixels"),
    ],
)
def test_a_region_that_does_not_fit_is_refused(source: Any, mask: Any, words: str, draw: Any, simulator: Any):
    """A region that does not fit its picture, or whose picture is not known, is refused before anything is sent."""
    draw("draw a fox", **({"output_format": "svg", "model": "gpt-image-2.6-sunburst"} if source == "svg" else {}))
    sent = len(simulator.requests)

    with pytest.raises(OptionError) as caught:
        draw("a hat", images=["last" if source == "svg" else source], mask=mask)
    assert words in str(caught.value)
    assert len(simulator.requests) == sent


def picture(mode: str, kind: str = "PNG", **options: Any) -> bytes:
    """Return a black picture of 64 x 64 pixels."""
    data = io.BytesIO()
    Image.new(mode, (64, 64)).save(data, format=kind, **options)
    return data.getvalue()


OPAQUE = {
    "RGB": picture("RGB"),
    "grey": picture("L"),
    "black and white": picture("1"),
    "palette": picture("P"),
    "JPEG": picture("RGB", "JPEG"),
    "WebP": picture("RGB", "WEBP"),
    "BMP": picture("RGB", "BMP"),
}


@pytest.mark.parametrize("mask", OPAQUE.values(), ids=OPAQUE)
def test_a_mask_without_alpha_is_refused(mask: bytes, draw: Any, simulator: Any):
    """A picture without an alpha channel marks nothing: it is refused before anything is sent, with what makes one."""
    draw("draw a fox")
    sent = len(simulator.requests)

    with pytest.raises(
        OptionError, match=r"mask='img_\w+' has no alpha channel: .* box\(…\) or polygon\(…\) makes one"
    ):
        draw("a hat", images=["last"], mask=mask)
    assert len(simulator.requests) == sent


@pytest.mark.parametrize(
    "mask",
    [
        picture("RGBA"),
        picture("LA"),
        picture("P", transparency=0),
        picture("RGB", transparency=(0, 0, 0)),
        picture("RGBA", "WEBP"),
        picture("RGBA", "WEBP", lossless=True),
    ],
    ids=["RGBA", "LA", "palette", "color", "WebP", "lossless WebP"],
)
def test_a_mask_with_transparency_is_sent(mask: bytes, draw: Any, simulator: Any):
    """Every kind of transparency passes, and what a mask of another size does is left to the service."""
    draw("draw a fox")
    draw("a hat", images=["last"], mask=mask)

    assert simulator.orders[-1].mask == mask


def test_masks_are_left_to_the_service_on_request(half: Any, low: Any, simulator: Any):
    """With `check_options=False` a mask without an alpha channel is sent."""
    draw = partial(half.invoke, low(memory=ImageMemory(), check_options=False))
    draw("draw a fox")
    draw("a hat", images=["last"], mask=OPAQUE["RGB"])

    assert simulator.orders[-1].mask == OPAQUE["RGB"]


def test_the_ledger_knows_a_call_by_its_region(image_store: Any):
    """Calls with equal regions are one call, whichever bytes Pillow makes of them; another region is another call."""
    one, other = (upload(photo(color), image_store) for color in ("red", "blue"))
    drawing = Drawing(model="gpt-5.4", prompt="a hat", options=ImageOptions(), mask=one, region=REGION)

    assert digest_of(drawing) == digest_of(replace(drawing, mask=other))
    assert digest_of(drawing) != digest_of(replace(drawing, region=~REGION))
    assert digest_of(replace(drawing, region=None)) != digest_of(replace(drawing, mask=other, region=None))
