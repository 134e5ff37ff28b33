"""Regions drawn with Pillow: the mask that the service takes, and the preview that people look at before.

A mask is fully transparent where the edit may change the picture, and opaque elsewhere.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_imagegen.errors import CorruptImageError, OptionError
from langchain_imagegen.images import notebook
from langchain_imagegen.images.files import save_picture
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.images.pillow import INSTALL, open_picture, upright
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.images.shapes import Box, Geometry, Polygon
from langchain_imagegen.images.sources import is_pillow, read_path

if TYPE_CHECKING:
    from PIL.Image import Image

Size = tuple[int, int]

LARGEST_MASK = 4_000_000  # bytes; the Images API takes no more (docstring of the SDK's `images.edit`)
_LARGEST_FILE = 200_000_000  # bytes of a file to preview
_LINE = (255, 64, 64)  # the border of a region in a preview
_DIMMED = 0.35  # brightness of what an edit leaves alone


def mask_of(region: Geometry, size: Size, *, seen: Size | None = None, mime_type: str = "image/png") -> bytes:
    """Return the mask of a region: RGBA pixels, as PNG or, for a WebP picture, as lossless WebP.

    Args:
        region: Where the edit may change the picture.
        size: Pixels of the picture that is sent, and so of the mask.
        seen: Pixels of the picture that the region's pixels count; `None`: the same.
        mime_type: Format of the picture. The mask has the same, but for JPEG, which has no transparency.

    Raises:
        OptionError: A shape is outside of the picture, the region has no pixel, or Pillow is not installed.
    """
    area = _area_of(region, size, seen or size)
    from PIL import Image

    mask = Image.new("RGBA", size, (0, 0, 0, 255))
    mask.putalpha(area.point([255 - value for value in range(256)]))
    data = io.BytesIO()
    if mime_type == "image/webp":
        mask.save(data, format="WEBP", lossless=True)
    else:
        mask.save(data, format="PNG")
    if data.tell() > LARGEST_MASK:
        raise OptionError(
            f"mask={region} takes {data.tell():,} bytes, of which {LARGEST_MASK:,} are allowed: simplify it"
        )
    return data.getvalue()


def check_pillow(purpose: str) -> None:
    """Check that Pillow is installed.

    Raises:
        OptionError: It is not.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise OptionError(f"{purpose} needs Pillow: {INSTALL}, or give a mask that you drew yourself") from error


def _area_of(region: Geometry, size: Size, seen: Size) -> Image:
    """Return the pixels of a region: 255 inside, 0 outside, and between them on a soft border."""
    check_pillow(f"mask={region}")
    for shape in region.leaves():
        _check_inside(shape, seen)
    area = _draw(region, size, seen)
    if area.getextrema()[1] != 255:
        raise OptionError(f"mask={region} is empty: no pixel of the {seen[0]}x{seen[1]} picture is in it")
    return area


def _check_inside(shape: Box | Polygon, seen: Size) -> None:
    (left, top), (right, bottom) = shape.corners
    width, height = seen if shape.unit == "pixels" else (1, 1)
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        raise OptionError(
            f"{shape} is outside of the picture, which has {seen[0]}x{seen[1]} pixels"
            + (" (these numbers are read as fractions of it)" if shape.unit == "fraction" else "")
        )


def _draw(region: Geometry, size: Size, seen: Size) -> Image:
    from PIL import Image, ImageChops, ImageDraw

    area = Image.new("L", size, 0)
    pen = ImageDraw.Draw(area)
    for shape in region.shapes:
        if isinstance(shape, (Box, Polygon)):
            _draw_shape(pen, shape, size, seen)
        else:
            area.paste(ImageChops.lighter(area, _draw(shape, size, seen)))
    if region.inverted:
        area = ImageChops.invert(area)
    if region.feather:
        scale = min(size) if region.feather < 1 else size[0] / seen[0]
        area = _feathered(area, region.feather * scale)
    return area


def _draw_shape(pen: Any, shape: Box | Polygon, size: Size, seen: Size) -> None:
    per_pixel = (size[0] / seen[0], size[1] / seen[1]) if shape.unit == "pixels" else size
    if isinstance(shape, Polygon):
        pen.polygon([(x * per_pixel[0], y * per_pixel[1]) for x, y in shape.points], fill=255)
        return
    (left, top), (right, bottom) = ((round(x * per_pixel[0]), round(y * per_pixel[1])) for x, y in shape.corners)
    if right > left and bottom > top:  # Pillow counts the last pixel in
        pen.rectangle((left, top, right - 1, bottom - 1), fill=255)


def _feathered(area: Image, width: float) -> Image:
    """Return the area as it is, with a border outside of it that fades out over `width` pixels."""
    from PIL import ImageChops, ImageFilter

    blurred = area.filter(ImageFilter.GaussianBlur(width / 3))  # next to nothing is left after three deviations
    return ImageChops.lighter(area, blurred.point([min(255, 2 * value) for value in range(256)]))


class RegionPreview:
    """A picture with everything dimmed that an edit leaves alone. Its last line in a notebook cell shows it."""

    def __init__(self, picture: Image, caption: str) -> None:
        self._picture = picture
        self.caption = caption

    def to_pil(self) -> Image:
        """Return the preview as a `PIL.Image.Image`."""
        return self._picture

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the preview as a PNG to `path` and return the path, by the rules of `GeneratedImage.save`."""
        return save_picture(path, _encoded(self._picture, "PNG"), name="preview")

    def __repr__(self) -> str:
        return f"RegionPreview({self.caption})"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        del include, exclude
        return notebook.picture(_encoded(self._picture, "JPEG"), "image/jpeg", alt=self.caption)


def preview(region: Geometry, image: object, edge: int) -> RegionPreview:
    """Return what `Region.preview` promises."""
    check_pillow("a preview")
    picture = _picture_of(image)
    seen = picture.size
    small = picture.convert("RGBA")
    small.thumbnail((edge, edge))
    area = _area_of(region, small.size, seen)
    share = sum(value * count for value, count in enumerate(area.histogram())) / 255 / (area.width * area.height)
    caption = f"{region}: {share:.0%} of {seen[0]}x{seen[1]} pixels may change"
    return RegionPreview(_dimmed(small, area), caption)


def _dimmed(picture: Image, area: Image) -> Image:
    from PIL import Image, ImageEnhance, ImageFilter

    flat = Image.new("RGB", picture.size, (255, 255, 255))
    flat.paste(picture, mask=picture.getchannel("A"))
    shown = Image.composite(flat, ImageEnhance.Brightness(flat).enhance(_DIMMED), area)
    inside = area.point([0] * 255 + [255])
    border = Image.composite(Image.new("L", area.size, 0), inside.filter(ImageFilter.MaxFilter(5)), inside)
    shown.paste(_LINE, mask=border)
    return shown


def _picture_of(image: object) -> Image:
    """Return a picture as a viewer shows it.

    Raises:
        OptionError: It is given in a form that holds no picture.
    """
    readers: dict[type, Callable[[Any], bytes]] = {
        GeneratedImage: GeneratedImage.read,
        ImageResult: lambda result: result.image.read(),
        Path: lambda path: read_path(path, _LARGEST_FILE),
        bytes: bytes,
        bytearray: bytes,
        memoryview: bytes,
    }
    read = next((read for kind, read in readers.items() if isinstance(image, kind)), None)
    if read is None and not is_pillow(image):
        raise OptionError(
            f"a preview of {type(image).__name__} is not possible: give a GeneratedImage (memory['last']), an "
            "ImageResult, a Path, bytes or a PIL image"
        )
    picture: Any = image if read is None else open_picture(read(image), "a preview")
    try:
        return upright(picture)
    except Exception as error:  # damage shows only when pixels are read
        raise CorruptImageError(f"the picture cannot be read: {type(error).__name__}") from error


def _encoded(picture: Image, kind: str) -> bytes:
    data = io.BytesIO()
    picture.save(data, format=kind, **({"quality": 85} if kind == "JPEG" else {}))
    return data.getvalue()
