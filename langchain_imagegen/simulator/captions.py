"""The captions of a picture and the prompts stored in its metadata. Text is measured here, not drawn."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass

from PIL import ImageFont

UPLOADED = "uploaded picture"
_MARK = "langchain_imagegen simulator"
_MAX_PANEL_SHARE = 0.45


@dataclass(frozen=True)
class History:
    """The prompts that made a picture, oldest first, and the share of its height that its captions take."""

    prompts: tuple[str, ...]
    panel: float = 0.0

    def to_text(self) -> str:
        """Return the ASCII text to store in the picture's metadata."""
        return json.dumps({"made by": _MARK, "prompts": self.prompts, "panel": round(self.panel, 5)})

    @classmethod
    def from_text(cls, text: object) -> History | None:
        """Return the history that `to_text` wrote, or `None` if the metadata has another origin."""
        try:
            record = json.loads(text if isinstance(text, (str, bytes)) else "")
            if record["made by"] != _MARK:
                return None
            return cls(tuple(map(str, record["prompts"])), float(record["panel"]))
        except (ValueError, TypeError, KeyError):
            return None


@dataclass(frozen=True)
class Row:
    """One caption: its lines and its step number, or `0` if it stands for omitted steps."""

    step: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Panel:
    """The captions of a picture, measured in pixels."""

    rows: tuple[Row, ...]
    note: str
    width: int
    height: int
    text_size: int

    @property
    def pad(self) -> int:
        """The space around the rows."""
        return round(self.text_size * 0.8)

    @property
    def line(self) -> int:
        """The distance from one line to the next."""
        return round(self.text_size * 1.36)

    @property
    def indent(self) -> int:
        """The left edge of the text, to the right of the step discs."""
        return self.pad + round(self.text_size * 1.75)

    @property
    def note_size(self) -> int:
        """The size of the small print."""
        return max(8, round(self.text_size * 0.62))


@functools.lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's built-in typeface, so that pictures are the same on every machine."""
    return ImageFont.load_default(size)


def panel_of(prompts: tuple[str, ...], size: tuple[int, int], note: str, *, text_size: int | None = None) -> Panel:
    """Lay out the prompts in rows of at most two lines. If not all fit, keep the first and the latest."""
    width, height = size
    text_size = text_size or max(9, min(size) // 34)
    blank = Panel((), note, width, 0, text_size)
    room = width - blank.indent - blank.pad
    rows = [Row(step, _wrap_text(prompt, room, text_size)) for step, prompt in enumerate(prompts, 1)]
    lines = max(1, int((height * _MAX_PANEL_SHARE - 2 * blank.pad - blank.line) / blank.line))
    kept = tuple(_fit_rows(rows, lines))
    tall = 2 * blank.pad + round(blank.line * 0.9) + blank.line * sum(len(row.lines) for row in kept)
    return Panel(kept, note, width, min(tall, height), text_size)


def _fit_rows(rows: list[Row], lines: int) -> list[Row]:
    if sum(len(row.lines) for row in rows) <= lines or len(rows) == 1:
        return rows
    rows = [Row(row.step, row.lines[:1]) for row in rows]
    if len(rows) <= lines:
        return rows
    latest = rows[-max(1, lines - 2) :]
    left_out = len(rows) - 1 - len(latest)
    return [rows[0], Row(0, (f"… {left_out} more",)), *latest] if lines > 2 else latest


def _wrap_text(text: str, room: float, size: int) -> tuple[str, ...]:
    """Return at most two lines of at most `room` pixels. A shortened line ends in an ellipsis."""
    words = text.split() or ["(no words)"]
    first = _count_fitting_words(words, room, size)
    lead = " ".join(words[:first]) if first else words[0]
    rest = " ".join(words[max(first, 1) :])
    return tuple(shorten(line, room, size) for line in (lead, rest) if line)


def _count_fitting_words(words: list[str], room: float, size: int) -> int:
    count = 0
    while count < len(words) and font(size).getlength(" ".join(words[: count + 1])) <= room:
        count += 1
    return count


def shorten(text: str, room: float, size: int) -> str:
    """Return the text if it fits, otherwise its beginning and an ellipsis."""
    face = font(size)
    if face.getlength(text) <= room:
        return text
    text = text[: int(room / max(1.0, size * 0.2)) + 1]
    while text and face.getlength(f"{text}…") > room:
        text = text[:-1]
    return f"{text.rstrip()}…"
