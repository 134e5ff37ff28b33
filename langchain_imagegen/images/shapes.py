"""Shapes of which regions are made: rectangles and outlines, in pixels or in fractions of a picture. Values only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Unit = Literal["pixels", "fraction"]
Point: TypeAlias = tuple[float, float]

FIXED = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Box(BaseModel):
    """An upright rectangle. (0, 0) is the upper left corner of the picture."""

    model_config = FIXED

    x: float
    y: float
    width: float = Field(gt=0)
    height: float = Field(gt=0)
    unit: Unit = "pixels"

    @property
    def corners(self) -> tuple[Point, Point]:
        """The upper left and the lower right corner."""
        return (self.x, self.y), (self.x + self.width, self.y + self.height)

    def __str__(self) -> str:
        return f"box({_listed((self.x, self.y, self.width, self.height), self.unit)})"


class Polygon(BaseModel):
    """The inside of an outline, whose last point is joined to the first."""

    model_config = FIXED

    points: tuple[Point, ...] = Field(min_length=3)
    unit: Unit = "pixels"

    @property
    def corners(self) -> tuple[Point, Point]:
        """The upper left and the lower right corner of the rectangle around it."""
        across, down = zip(*self.points, strict=True)
        return (min(across), min(down)), (max(across), max(down))

    def __str__(self) -> str:
        points = ", ".join(f"({_listed(point, self.unit)})" for point in self.points[:4])
        return f"polygon([{points}{', …' if len(self.points) > 4 else ''}])"


class Geometry(Protocol):
    """What `masks` draws of a region."""

    @property
    def shapes(self) -> tuple[Any, ...]:
        """Boxes, polygons and further geometry, of which the region is the union."""

    @property
    def inverted(self) -> bool:
        """Whether everything else is meant."""

    @property
    def feather(self) -> float:
        """Width of the soft border: pixels, or below 1 a fraction of the shorter edge."""

    def leaves(self) -> Iterator[Box | Polygon]:
        """Yield every box and polygon in the region."""


def _listed(values: Sequence[float], unit: Unit) -> str:
    """Return numbers so that they read as the unit they have."""
    texts = [f"{value:g}" for value in values]
    if unit == "fraction" and all(text in ("0", "1") for text in texts):
        texts = [f"{text}.0" for text in texts]
    return ", ".join(texts)
