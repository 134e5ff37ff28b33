"""Pictures in a terminal, made small enough for it: what is written to it, for each protocol."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from langchain_imagegen.cli.sixel import sixels_of
from langchain_imagegen.cli.terminal import Protocol, cell_size
from langchain_imagegen.errors import CorruptImageError
from langchain_imagegen.images.pillow import open_picture, upright

if TYPE_CHECKING:
    from rich.console import Console
    from rich.segment import Segment

COLUMNS, ROWS = 72, 28  # cells that a picture takes at most
_BEHIND = (40, 40, 40, 255)  # the color behind transparent parts
_CHUNK = 4096  # bytes of base64 in one escape sequence of kitty


class HalfBlocks:
    """A picture of characters for rich, two pixels in each: the upper one in the foreground's color.

    Args:
        data: The picture.
        columns: Cells at most.
        rows: Cells at most.

    Raises:
        CorruptImageError: It cannot be shown, such as SVG.
    """

    def __init__(self, data: bytes, columns: int, rows: int) -> None:
        self._picture = _fitting(data, (columns, 2 * rows))

    def __rich_console__(self, console: Console, options: Any) -> Iterator[Segment]:
        from rich.color import Color
        from rich.segment import Segment
        from rich.style import Style

        width, height = self._picture.size
        pixels = self._picture.load()
        for top in range(0, height, 2):
            for x in range(width):
                below = pixels[x, top + 1] if top + 1 < height else None
                background = None if below is None else Color.from_rgb(*below)
                yield Segment("▀", Style(color=Color.from_rgb(*pixels[x, top]), bgcolor=background))
            yield Segment.line()


def show_picture(data: bytes, protocol: Protocol | None, console: Console) -> None:
    """Write a picture to a terminal; nothing where it cannot be shown.

    Args:
        data: The picture; of an animation, the first frame is shown.
        protocol: How; None writes nothing.
        console: The terminal.
    """
    if protocol is None or console.color_system is None:
        return
    columns, rows = cells_of(console)
    try:
        if protocol == "blocks":
            console.print(HalfBlocks(data, columns, rows))
        else:
            console.file.write(_escape(data, protocol, (columns, rows), console.file) + "\n")
            console.file.flush()
    except (CorruptImageError, ImportError):  # SVG, or no Pillow
        return


def cells_of(console: Console) -> tuple[int, int]:
    """Return the columns and rows that a picture may take."""
    return max(min(COLUMNS, console.width), 1), max(min(ROWS, console.height - 6), 4)


def _escape(data: bytes, protocol: Protocol, cells: tuple[int, int], stream: IO[str]) -> str:
    cell = cell_size(stream)
    picture = _fitting(data, (cells[0] * cell[0], cells[1] * cell[1]))
    if protocol == "sixel":
        return sixels_of(picture)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    taken = (-(-picture.width // cell[0]), -(-picture.height // cell[1]))
    return _kitty(buffer.getvalue(), taken) if protocol == "kitty" else _iterm2(buffer.getvalue(), taken)


def _kitty(png: bytes, cells: tuple[int, int]) -> str:
    """Return the picture in the protocol of kitty; `q=2` keeps the terminal from answering.

    https://sw.kovidgoyal.net/kitty/graphics-protocol/
    """
    text = base64.b64encode(png).decode()
    chunks = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
    first = f"a=T,f=100,q=2,c={cells[0]},r={cells[1]},"
    return "".join(
        f"\x1b_G{first * (number == 0)}m={int(number < len(chunks) - 1)};{chunk}\x1b\\"
        for number, chunk in enumerate(chunks)
    )


def _iterm2(png: bytes, cells: tuple[int, int]) -> str:
    """Return the picture in the protocol of iTerm2, https://iterm2.com/documentation-images.html."""
    size = f"size={len(png)};width={cells[0]};height={cells[1]};preserveAspectRatio=1"
    return f"\x1b]1337;File=inline=1;{size}:{base64.b64encode(png).decode()}\a"


def _fitting(data: bytes, size: tuple[int, int]) -> Any:
    """Return a picture in RGB that is no larger than `size`, without transparency.

    Raises:
        CorruptImageError: Pillow cannot read it.
    """
    try:
        picture = open_picture(data, "showing a picture")
        picture.draft("RGB", size)
        picture = upright(picture).convert("RGBA")
    except CorruptImageError:
        raise
    except Exception as error:  # Pillow's formats raise many kinds
        raise CorruptImageError(f"the picture cannot be shown: {type(error).__name__}") from error
    scale = min(size[0] / picture.width, size[1] / picture.height, 1)
    small = picture.resize((max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)))
    behind = small.copy()
    behind.paste(_BEHIND, (0, 0, *small.size))
    behind.alpha_composite(small)
    return behind.convert("RGB")
