"""Names of files that people read, and that overwrite nothing."""

from __future__ import annotations

import itertools
from pathlib import Path

from langchain_imagegen.images.files import file_stem

_LONGEST = 80  # characters of a file name before its suffix


def free_path(path: Path) -> Path:
    """Return the path, or the first of `name-2.png`, `name-3.png`, … that does not exist."""
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(each for each in itertools.chain([path], numbered) if not each.exists())


def slug(text: str) -> str:
    """Return a text as the name of a file without its suffix."""
    return file_stem(text, _LONGEST) or "experiment"
