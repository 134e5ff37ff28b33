"""How many tokens a picture takes: what OpenAI's guide and calculator say, and what others measured, with dates.

`None` stands where no source says it. The service bills by the tokens that it reports; the tables are for estimates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from langchain_imagegen.images.prices import base_name

PARTIAL = 100
"""Output tokens of each partial picture that is asked for (OpenAI guide, October 2026; recorded)."""

STANDARD_SIZES = ("1024x1024", "1024x1536", "1536x1024")
"""The sizes that recorded calls with size `auto` got."""

QUALITIES = ("low", "medium", "high")

_COLUMNS = {"low": 16, "medium": 32, "high": 64}
_LONG_EDGE = {"low": 16, "medium": 48, "high": 96}
_GRID = frozenset({"gpt-image-1", "gpt-image-1.5", "gpt-image-1-mini"})
_TILED = {"low": 65 + 4 * 129, "high": 65 + 4 * 129 + 6240}
_PATCHES = 1536


@dataclass(frozen=True, slots=True)
class MainlineTokens:
    """The most that a mainline model takes for one call: tokens read and written, and read for each source picture."""

    read: int
    written: int
    per_source: int


def output_tokens(model: str, size: str, quality: str) -> int | None:
    """Return the output tokens of one picture, without partial pictures; None for a model that has no known table.

    For 1.5 and older, a grid of 16, 32 or 64 cells on the short edge, with a token more a row, gives the guide's table.
    For `gpt-image-2`, the formula is that of OpenAI's calculator as users found it in June 2026; it gives all values
    that were read there in September 2026. 2.5 and 2.6 count otherwise, and their calculator was not read.

    Args:
        model: The image model, or a snapshot of it.
        size: `WIDTHxHEIGHT` in pixels.
        quality: `low`, `medium` or `high`.
    """
    width, height = map(int, size.split("x"))
    short, long = sorted((width, height))
    name = base_name(model)
    if name in _GRID and size in STANDARD_SIZES and quality in _COLUMNS:
        cells = _COLUMNS[quality]
        columns, rows = width * cells // short, height * cells // short
        return (columns + 1) * rows
    if name == "gpt-image-2" and quality in _LONG_EDGE:
        edge = _LONG_EDGE[quality]
        across = (2 * edge * short + long) // (2 * long)  # rounded
        return -(-edge * across * (2_000_000 + width * height) // 4_000_000)
    return None


def source_tokens(model: str, fidelity: str | None) -> int | None:
    """Return the most input tokens that the image model takes for one source picture; None if no source says it.

    For 1 (OpenAI guide, "Images and vision"; 1.5 and mini as 1): 65, 129 for each of at most four tiles, and 6,240 for
    high fidelity. For 2 the guide gives no rule; users measured at most 1,536 (June 2026).
    """
    name = base_name(model)
    if name in _GRID:
        return _TILED["high" if fidelity == "high" else "low"]
    return _PATCHES if name == "gpt-image-2" else None


_MOST_READ, _MOST_WRITTEN = 3200, 2000  # recorded calls for one picture, 2025-2026
_SOURCES: Mapping[str, int] = {
    "gpt-5.4": 3000,  # 2,500 patches of 1.2 tokens
    "gpt-5": 70 + 8 * 140,
    "o3": 75 + 8 * 150,
    "gpt-4.1": 85 + 8 * 170,
    "gpt-4o": 85 + 8 * 170,
    "gpt-4o-mini": 2833 + 8 * 5667,
}


_UNKNOWN_SOURCE = 4000  # more than any other row of the guide


def mainline_tokens(model: str) -> MainlineTokens:
    """Return the most tokens of a mainline model for one call.

    That is as many as recorded calls with a short prompt took, twice as many read for `gpt-4o-mini`. The tokens of a
    source picture are those of OpenAI's guide ("Images and vision", November 2026) with `detail="high"`, and 4,000 for
    a model that is not in it.
    """
    name = base_name(model)
    read = 2 * _MOST_READ if name == "gpt-4o-mini" else _MOST_READ
    return MainlineTokens(read, _MOST_WRITTEN, _SOURCES.get(name, _UNKNOWN_SOURCE))
