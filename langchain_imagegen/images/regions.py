"""`box` and `polygon`: the part of a picture that an edit may change, as geometry. Values only; `masks` draws them."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from langchain_imagegen.errors import OptionError
from langchain_imagegen.images.shapes import FIXED, Box, Polygon, Unit

if TYPE_CHECKING:
    from langchain_imagegen.images.masks import RegionPreview


class Region(BaseModel):
    """The part of a picture that an edit may change; give it as `mask=`. It is plain data and has a JSON form.

    Coordinates are those of the picture as a viewer shows it. `one | other` is both, `~one` is everything else, and
    `one.feathered(20)` has a soft border. What lies beyond the edge of the picture is cut off.
    """

    model_config = FIXED

    shapes: tuple[Box | Polygon | Region, ...] = Field(min_length=1)
    inverted: bool = False
    feather: float = Field(
        default=0,
        ge=0,
        description="width of the soft border outside of the region: pixels, or below 1 a fraction of the shorter edge",
    )

    def __or__(self, other: Region) -> Region:
        if not isinstance(other, Region):
            return NotImplemented
        return union([self, other])

    def __invert__(self) -> Region:
        return self.model_copy(update={"inverted": not self.inverted})

    def feathered(self, width: float) -> Region:
        """Return the region with a soft border around it, which fades out over `width`.

        Args:
            width: Pixels, or below 1 a fraction of the picture's shorter edge. 0 is a hard border.

        Raises:
            OptionError: The width is negative or no number.
        """
        if not _is_number(width) or width < 0:
            raise OptionError(f"feathered({width!r}) is no width: give pixels, or a fraction of the shorter edge")
        return self.model_copy(update={"feather": float(width)})

    def preview(self, image: object, *, edge: int = 1024) -> RegionPreview:
        """Return the picture with everything dimmed that an edit leaves alone; a notebook shows it. Nothing is sent.

        Args:
            image: A `GeneratedImage`, an `ImageResult` (its first picture counts), a `Path`, bytes or a Pillow image.
            edge: Pixels of the longer edge at most.

        Raises:
            OptionError: The region is outside of the picture, or Pillow is not installed.
            CorruptImageError: Pillow cannot read the picture.
        """
        from langchain_imagegen.images.masks import preview

        return preview(self, image, edge)

    def leaves(self) -> Iterator[Box | Polygon]:
        """Yield every box and polygon in the region."""
        for shape in self.shapes:
            if isinstance(shape, Region):
                yield from shape.leaves()
            else:
                yield shape

    def __str__(self) -> str:
        text = " | ".join(f"({each})" if isinstance(each, Region) else str(each) for each in self.shapes)
        if self.inverted:
            text = f"~({text})" if len(self.shapes) > 1 else f"~{text}"
        return f"({text}).feathered({self.feather:g})" if self.feather else text

    __repr__ = __str__


def box(x: float, y: float, width: float, height: float, *, unit: Unit | None = None) -> Region:
    """Return a rectangle as a region.

    Args:
        x: Distance of its left side from the left edge of the picture.
        y: Distance of its upper side from the upper edge.
        width: Its width.
        height: Its height.
        unit: `"pixels"` of the picture, or `"fraction"` of its width and height. `None`: numbers from 0 to 1 are
            fractions, so that `box(0, 0, 1, 1)` is the whole picture; all others are pixels.

    Raises:
        OptionError: It has no width or height, a value is no number, or some values are fractions and others pixels.
    """
    values = (x, y, width, height)
    written = f"box({', '.join(map(repr, values))})"
    _check_numbers(values, written)
    if width <= 0 or height <= 0:
        raise OptionError(f"{written} is empty: width and height must be more than 0")
    return Region(shapes=(Box(x=x, y=y, width=width, height=height, unit=unit or _unit_of(values, written)),))


def polygon(points: Iterable[Sequence[float]], *, unit: Unit | None = None) -> Region:
    """Return the inside of an outline as a region; the last point is joined to the first.

    Args:
        points: At least three pairs of numbers, `(x, y)` from the upper left corner of the picture.
        unit: As for `box`.

    Raises:
        OptionError: There are fewer than three points, they lie on one line, one is no pair of numbers, or some values
            are fractions and others pixels.
    """
    pairs = [tuple(point) if isinstance(point, Iterable) else (point,) for point in points]
    if odd := [pair for pair in pairs if len(pair) != 2]:
        raise OptionError(f"polygon(…) takes points such as (10, 20), not {odd[0]!r}")
    values = [value for pair in pairs for value in pair]
    _check_numbers(values, "polygon(…)")
    corners = list(dict.fromkeys(pairs))
    if len(corners) < 3:
        raise OptionError(f"polygon(…) with {len(corners)} different points is empty: it takes at least 3")
    if all(_lie_on_a_line(corners[0], corners[1], corner) for corner in corners[2:]):
        raise OptionError("polygon(…) is empty: its points lie on one line")
    unit = unit or _unit_of(values, "polygon(…)")
    return Region(shapes=(Polygon(points=tuple((x, y) for x, y in pairs), unit=unit),))


def union(regions: Iterable[Region]) -> Region:
    """Return the region that has every part of these."""
    plain = (region.shapes if not region.inverted and not region.feather else (region,) for region in regions)
    return Region(shapes=tuple(shape for shapes in plain for shape in shapes))


def _lie_on_a_line(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> bool:
    return math.isclose((b[0] - a[0]) * (c[1] - a[1]), (b[1] - a[1]) * (c[0] - a[0]), abs_tol=1e-12)


def _unit_of(values: Sequence[float], written: str) -> Unit:
    if all(0 <= value <= 1 for value in values):
        return "fraction"
    if any(0 < value < 1 for value in values):
        raise OptionError(
            f"{written} mixes units: numbers from 0 to 1 are fractions of the picture, and all others pixels. Write "
            "all in one unit, or say which with unit='pixels' or unit='fraction'"
        )
    return "pixels"


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _check_numbers(values: Iterable[object], written: str) -> None:
    for value in values:
        if not _is_number(value):
            raise OptionError(f"{written} takes numbers, not {value!r}")
