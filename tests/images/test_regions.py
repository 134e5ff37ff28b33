"""Regions: boxes and polygons as values, the masks that they become, and their previews."""

from __future__ import annotations

import io
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from langchain_imagegen import ImageResult, Region, box, polygon
from langchain_imagegen.errors import CorruptImageError, OptionError
from langchain_imagegen.images.masks import mask_of
from tests.images.test_image import SVG, image_of

SIZE = (100, 80)


def png(size: tuple[int, int] = SIZE, color: str = "#ff8800") -> bytes:
    """Return a PNG of one color."""
    data = io.BytesIO()
    Image.new("RGB", size, color).save(data, format="PNG")
    return data.getvalue()


def alpha(region: Region, size: tuple[int, int] = SIZE, **more: Any) -> Image.Image:
    """Return the alpha channel of a region's mask."""
    return Image.open(io.BytesIO(mask_of(region, size, **more))).getchannel("A")


def hole(region: Region, **more: Any) -> tuple[int, int, int, int] | None:
    """Return the rectangle around everything that is fully transparent in a region's mask: left, top, right, bottom."""
    return alpha(region, **more).point([255] + [0] * 255).getbbox()


# Values


@pytest.mark.parametrize(
    ("region", "unit"),
    [
        (box(0, 0, 1, 1), "fraction"),
        (box(0, 0, 0.5, 1), "fraction"),
        (box(0, 0, 1.0, 1.0), "fraction"),
        (box(10.5, 0, 20, 20), "pixels"),
        (box(0, 0, 0.5, 1, unit="pixels"), "pixels"),
        (box(0.5, 0, 20, 20, unit="pixels"), "pixels"),
        (polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), "fraction"),
        (polygon([(0, 0), (0.5, 0), (0, 0.5)]), "fraction"),
        (polygon([[0, 0], [50, 0], [0, 50]]), "pixels"),
    ],
)
def test_numbers_between_0_and_1_are_fractions(region: Region, unit: str):
    """Numbers from 0 to 1 are fractions, others are pixels, and `unit` decides otherwise."""
    assert [shape.unit for shape in region.leaves()] == [unit]


@pytest.mark.parametrize(
    "region",
    [
        box(1, 2, 3, 4),
        ~(box(0.1, 0.1, 0.5, 0.5) | polygon([(1, 1), (9, 1), (5, 9)])).feathered(3),
        box(1, 2, 3, 4) | ~box(0.0, 0.0, 1.0, 1.0).feathered(0.1),
    ],
    ids=str,
)
def test_a_region_is_plain_data(region: Region):
    """A region survives JSON and pickle, and its repr is the code that makes it."""
    assert Region.model_validate(json.loads(region.model_dump_json())) == region
    assert pickle.loads(pickle.dumps(region)) == region
    assert eval(repr(region), {"box": box, "polygon": polygon}) == region


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: box(0, 0, 0, 5), "box(0, 0, 0, 5) is empty"),
        (lambda: box(0, 0, 5, -1), "box(0, 0, 5, -1) is empty"),
        (lambda: box("1", 0, 5, 5), "takes numbers, not '1'"),
        (lambda: box(float("nan"), 0, 5, 5), "takes numbers, not nan"),
        (lambda: polygon([(1, 2), (3, 4)]), "takes at least 3"),
        (lambda: polygon([(1, 2), (3, 4), (1, 2)]), "takes at least 3"),
        (lambda: polygon([(1, 2, 3), (3, 4), (5, 6)]), "takes points such as (10, 20), not (1, 2, 3)"),
        (lambda: polygon([1, 2, 3]), "takes points such as (10, 20), not (1,)"),
        (lambda: polygon([(0, 0), (0.5, 0.5), (1, 1)]), "its points lie on one line"),
        (lambda: box(0.1, 0.1, 0.5, 1.5), "box(0.1, 0.1, 0.5, 1.5) mixes units"),
        (lambda: polygon([(0.1, 0.1), (0.9, 0.1), (0.5, 1.2)]), "say which with unit='pixels'"),
        (lambda: box(0, 0, 5, 5).feathered(-1), "feathered(-1) is no width"),
    ],
)
def test_impossible_geometry_is_refused(make: Any, words: str):
    """A shape without area or with a value that is no number is an `OptionError` that repeats what was written."""
    with pytest.raises(OptionError) as caught:
        make()
    assert words in str(caught.value)


# Masks


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (box(10, 20, 30, 40), (10, 20, 40, 60)),
        (box(0.1, 0.25, 0.3, 0.5), (10, 20, 40, 60)),
        (box(-10, -10, 30, 30), (0, 0, 20, 20)),
        (box(90, 70, 50, 50), (90, 70, 100, 80)),
        (polygon([(10, 20), (39, 20), (39, 59), (10, 59)]), (10, 20, 40, 60)),
        (box(10, 20, 5, 5) | box(35, 55, 5, 5), (10, 20, 40, 60)),
        (~box(0, 0, 100, 50), (0, 50, 100, 80)),
        (box(10, 20, 30, 40).feathered(5), (10, 20, 40, 60)),
    ],
    ids=str,
)
def test_a_mask_is_transparent_within_the_region(region: Region, expected: tuple[int, ...]):
    """Exactly the pixels of the region are fully transparent, and what lies beyond the picture is cut off."""
    assert hole(region) == expected


def test_unions_and_inversions_nest():
    """An inverted part of a union is everything but itself, and two parts leave what is in neither opaque."""
    mask = alpha(~(box(0, 0, 50, 80) | box(80, 0, 20, 80)) | box(0, 0, 10, 10))

    assert [mask.getpixel(point) for point in ((5, 5), (20, 5), (60, 5), (90, 5))] == [0, 255, 0, 255]


def test_a_feathered_border_fades_outside_of_the_region():
    """Beside a feathered region the mask becomes opaque step by step within the given width."""
    mask = alpha(box(0, 0, 40, 80).feathered(20))
    row = [mask.getpixel((x, 40)) for x in range(30, 70)]

    assert row == sorted(row)
    assert row[:10] == [0] * 10
    assert 0 < row[12] < row[20] < 255
    assert min(row[31:]) >= 250
    assert list(alpha(box(0, 0, 40, 80).feathered(0.25)).tobytes()) == list(mask.tobytes())


def test_pixels_count_in_the_picture_that_the_user_sees():
    """A mask for a smaller copy of the picture has the region in the same place."""
    assert hole(box(100, 200, 300, 400), seen=(1000, 800)) == (10, 20, 40, 60)


@pytest.mark.parametrize(("mime_type", "kind"), [("image/png", "PNG"), ("image/jpeg", "PNG"), ("image/webp", "WEBP")])
def test_a_mask_has_the_format_of_the_picture(mime_type: str, kind: str):
    """A mask is RGBA in the size and format of the picture; a JPEG, which has no transparency, gets a PNG."""
    mask = Image.open(io.BytesIO(mask_of(box(0, 0, 9, 9), (1024, 1536), mime_type=mime_type)))

    assert (mask.size, mask.mode, mask.format) == ((1024, 1536), "RGBA", kind)


def test_a_mask_of_the_largest_picture_is_small():
    """A soft mask for a picture of 3840 x 2160 pixels is far below the 4 MB that the service takes."""
    assert len(mask_of(~polygon([(0.1, 0.1), (0.9, 0.3), (0.4, 0.9)]).feathered(200), (3840, 2160))) < 1_000_000


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (box(100, 0, 10, 10), "box(100, 0, 10, 10) is outside of the picture, which has 100x80 pixels"),
        (box(0, -20, 10, 20), "is outside of the picture"),
        (box(0.5, 0.5, 0.1, 0.1) | box(2000, 0, 1, 1), "box(2000, 0, 1, 1) is outside"),
        (box(1.5, 0, 0.5, 0.5, unit="fraction"), "these numbers are read as fractions"),
        (~box(0.0, 0.0, 1.0, 1.0), "is empty: no pixel of the 100x80 picture is in it"),
        (box(10, 10, 0.2, 0.2, unit="pixels"), "is empty"),
    ],
    ids=str,
)
def test_a_region_without_pixels_is_refused(region: Region, words: str):
    """A region that is outside of the picture, or has no pixel of it, is an `OptionError` that says so."""
    with pytest.raises(OptionError) as caught:
        mask_of(region, SIZE)
    assert words in str(caught.value)


def test_without_pillow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    """Without Pillow, masks and previews are `OptionError`s that name the extra."""
    monkeypatch.setitem(sys.modules, "PIL", None)

    for use in (lambda: mask_of(box(0, 0, 9, 9), SIZE), lambda: box(0, 0, 9, 9).preview(b"x")):
        with pytest.raises(OptionError, match=r"langchain_imagegen\[pillow\]"):
            use()


# Previews


@pytest.mark.parametrize("kind", ["image", "result", "path", "bytes", "pillow"])
def test_a_preview_dims_what_an_edit_leaves_alone(kind: str, image_store, tmp_path):
    """Any form of a picture is shown with its colors inside of the region, darker outside, and a line between."""
    data = png()
    (tmp_path / "photo.png").write_bytes(data)
    image = image_of(image_store, data)
    given = {
        "image": image,
        "result": ImageResult(images=(image,)),
        "path": tmp_path / "photo.png",
        "bytes": data,
        "pillow": Image.open(io.BytesIO(data)),
    }[kind]

    preview = box(10, 20, 30, 40).preview(given)

    shown = preview.to_pil()
    inside, outside, border = (shown.getpixel(point) for point in ((25, 40), (70, 40), (9, 40)))
    assert shown.size == SIZE
    assert inside == (255, 136, 0)
    assert sum(outside) < sum(inside) / 2
    assert border == (255, 64, 64)
    assert preview.caption == "box(10, 20, 30, 40): 15% of 100x80 pixels may change"


def test_a_preview_shows_itself_small(tmp_path: Path):
    """A notebook shows a preview as a JPEG whose longer edge has at most 1024 pixels, with its caption as text."""
    preview = box(0.1, 0.1, 0.5, 0.5).preview(png((3000, 1500)))
    bundle = preview._repr_mimebundle_()

    assert preview.to_pil().size == (1024, 512)
    assert set(bundle) == {"image/jpeg", "text/plain"}
    assert "25% of 3000x1500 pixels" in bundle["text/plain"]
    assert preview.save(tmp_path / "preview.png").read_bytes()[:4] == b"\x89PNG"


def test_a_preview_is_upright():
    """A photo that its EXIF turns is shown, and its pixels are counted, as viewers show it."""
    data, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.new("RGB", (80, 40), "white").save(data, format="JPEG", exif=exif)

    shown = box(0, 0, 40, 20).preview(data.getvalue()).to_pil()

    assert shown.size == (40, 80)
    assert (shown.getpixel((20, 10))[0], shown.getpixel((20, 60))[0]) == (255, 89)


@pytest.mark.parametrize("given", ["last", 7, None])
def test_a_preview_needs_a_picture(given: Any):
    """A preview of a handle or of anything else that holds no picture is refused with the forms that work."""
    with pytest.raises(OptionError, match="give a GeneratedImage"):
        box(0, 0, 9, 9).preview(given)


def test_a_preview_of_an_svg_is_refused():
    """An SVG has no pixels, so its preview is an error that says so."""
    with pytest.raises(CorruptImageError, match="cannot read SVG"):
        box(0, 0, 9, 9).preview(SVG)
