"""What the simulated model sees in pictures: the prompts that simulated pictures carry in their metadata.

It recognizes nothing in the pixels. A picture from elsewhere is "an uploaded picture".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from langchain_imagegen.simulator.drawing import read_history

_ITEM = re.compile(r"^\s*[-*•]\s+(.+?)\s*$", re.MULTILINE)
_WORD = re.compile(r"\w{3,}")
_FILLERS = frozenset({"the", "and", "with", "its", "one", "two", "three", "four"})


def describe(images: Sequence[bytes]) -> str:
    """Return a sentence for each picture, with its prompts from the oldest to the latest."""
    return " ".join(_sentences(images))


def _sentences(images: Sequence[bytes]) -> Iterator[str]:
    for number, data in enumerate(images, 1):
        name = f"Picture {number}" if len(images) > 1 else "The picture"
        yield f"{name} shows: {'; then: '.join(read_history(data).prompts)}."


def missing_items(text: str, images: Sequence[bytes]) -> tuple[str, ...]:
    """Return those items of the lists in a text (lines such as "- a red boat") of which no prompt has all words."""
    shown = _words(" ".join(prompt for data in images for prompt in read_history(data).prompts))
    return tuple(item for item in _ITEM.findall(text) if not _words(item) <= shown)


def _words(text: str) -> set[str]:
    return {word for word in _WORD.findall(text.lower()) if word not in _FILLERS}
