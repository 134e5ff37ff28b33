"""Names of files that people read."""

from __future__ import annotations

from langchain_imagegen.images.files import file_stem

_LONGEST = 80  # characters of a file name before its suffix


def slug(text: str) -> str:
    """Return a text as the name of a file without its suffix."""
    return file_stem(text, _LONGEST) or "experiment"
