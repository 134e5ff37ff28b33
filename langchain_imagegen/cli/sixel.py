"""A picture as sixels, the graphics of the DEC VT340: six rows at a time, one color after the other.

No package of PyPI fits: textual-image encodes sixels, but asks the terminal when it is imported and fails there if
standard input is a pipe; the others need a C library, or a Pillow of earlier years.
https://vt100.net/docs/vt3xx-gp/chapter14.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

COLORS = 256
_BAND = 6  # rows
_RUN = re.compile(rb"(.)\1{3,}")
_TO_TEXT = bytes(63 + value if value < 64 else 0 for value in range(256))


def sixels_of(picture: Any) -> str:
    """Return the escape sequence of a Pillow image in RGB, one sixel for each pixel."""
    width, height = picture.size
    reduced = picture.quantize(colors=COLORS)
    pixels, palette = reduced.tobytes(), reduced.getpalette()
    used = sorted(set(pixels))
    colors = "".join(f"#{color};2;{_percent(palette, color)}" for color in used)
    bands = (_band(pixels[top * width : (top + _BAND) * width], width) for top in range(0, height, _BAND))
    return f'\x1bP0;1q"1;1;{width};{height}{colors}{"-".join(bands)}\x1b\\'


def _percent(palette: list[int], color: int) -> str:
    return ";".join(str(round(value * 100 / 255)) for value in palette[3 * color : 3 * color + 3])


def _band(pixels: bytes, width: int) -> str:
    """Return six rows: for each color, a character for each column whose bits are the rows that have the color."""
    columns: dict[int, bytearray] = {}
    for position, color in enumerate(pixels):
        row, column = divmod(position, width)
        if color not in columns:
            columns[color] = bytearray(width)
        columns[color][column] |= 1 << row
    return "$".join(f"#{color}{_packed(bits)}" for color, bits in columns.items())


def _packed(bits: bytearray) -> str:
    text = bytes(bits.rstrip(b"\0")).translate(_TO_TEXT)
    return b"".join(_runs(text)).decode("ascii")


def _runs(text: bytes) -> Iterator[bytes]:
    """Yield the text with runs of the same character as a count."""
    end = 0
    for found in _RUN.finditer(text):
        yield text[end : found.start()]
        yield b"!%d%b" % (found.end() - found.start(), found[1])
        end = found.end()
    yield text[end:]
