"""Arithmetic on sizes: their text form, the limits that they break, and the nearest legal size.

This module knows no model and no option; the limits come from a row of `models`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_imagegen.options.models import SizeLimits

SIZE_PATTERN = r"^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$"

_REACH = 4
"""How many steps around the ideal size are searched; two are enough for every limit in `models`."""


def edges(size: str) -> tuple[int, int]:
    """Return the width and height of a size written as `WIDTHxHEIGHT`."""
    width, height = size.split("x")
    return int(width), int(height)


def written(width: int, height: int) -> str:
    """Return a size as the service writes it: `WIDTHxHEIGHT`."""
    return f"{width}x{height}"


def faults(width: int, height: int, limits: SizeLimits) -> Iterator[str]:
    """Yield a clause for each limit that a size breaks."""
    crooked = [name for name, edge in (("width", width), ("height", height)) if edge % limits.step]
    if crooked:
        yield f"{' and '.join(crooked)} must be divisible by {limits.step}"
    if max(width, height) > limits.longest_edge:
        yield f"the longest edge may have at most {limits.longest_edge} pixels"
    if max(width, height) > limits.ratio * min(width, height):
        yield f"the ratio must lie between 1:{limits.ratio} and {limits.ratio}:1"
    if width * height < limits.min_pixels:
        yield f"{width * height:,} pixels are fewer than {limits.min_pixels:,}"
    if width * height > limits.max_pixels:
        yield f"{width * height:,} pixels are more than {limits.max_pixels:,}"


def nearest(width: float, height: float, limits: SizeLimits) -> tuple[int, int]:
    """Return the legal size that is closest in ratio and area.

    The ideal size keeps the ratio and the area as far as the limits allow. The result is the legal grid point closest
    to it on a logarithmic scale, where doubling an edge counts as much as halving it.
    """
    ideal = _ideal(width, height, limits)
    return min(_legal_around(ideal, limits), key=lambda size: _distance(size, ideal))


def nearest_ratio(width: float, height: float, sizes: Sequence[str]) -> str:
    """Return the fixed size whose ratio is closest."""
    return min(sizes, key=lambda size: abs(math.log(width / height) - math.log(_ratio(size))))


def _ideal(width: float, height: float, limits: SizeLimits) -> tuple[float, float]:
    ratio = min(max(width / height, 1 / limits.ratio), limits.ratio)
    pixels = min(max(width * height, limits.min_pixels), limits.max_pixels)
    w, h = math.sqrt(pixels * ratio), math.sqrt(pixels / ratio)
    shrink = min(1.0, limits.longest_edge / max(w, h))
    return w * shrink, h * shrink


def _legal_around(ideal: tuple[float, float], limits: SizeLimits) -> Iterator[tuple[int, int]]:
    for width in _grid(ideal[0], limits.step):
        for height in _grid(ideal[1], limits.step):
            if not any(faults(width, height, limits)):
                yield width, height


def _grid(edge: float, step: int) -> range:
    middle = round(edge / step)
    return range(max(1, middle - _REACH) * step, (middle + _REACH + 1) * step, step)


def _distance(size: tuple[int, int], ideal: tuple[float, float]) -> float:
    return math.hypot(math.log(size[0] / ideal[0]), math.log(size[1] / ideal[1]))


def _ratio(size: str) -> float:
    width, height = edges(size)
    return width / height
