"""Other spellings of option values that people and chat models use, and names of options that do not exist."""

from __future__ import annotations

import re
from typing import Any

_SIZE = re.compile(r"\s*(\d+)\s*(?:[xX×*✕]|by)\s*(\d+)\s*(?:px)?\s*")  # noqa: RUF001
_RATIO = re.compile(r"\s*(\d+(?:\.\d+)?)\s*[:/xX×]\s*(\d+(?:\.\d+)?)\s*")  # noqa: RUF001
_NOT_GIVEN = frozenset({"", "none", "null", "default", "undefined"})
_SYNONYMS = {
    "quality": {"hd": "high", "standard": "medium"},
    "output_format": {"jpg": "jpeg"},
}
_COLORS = frozenset(("white", "black", "gray", "grey", "red", "green", "blue", "yellow", "orange", "purple", "pink"))

ABSENT = {
    "n": "the service draws one picture a call: draw several with draw.batch([prompt] * 4), "
    "or say in the prompt how many",
    "style": "the service has no styles: say it in the prompt, such as 'in the style of a woodcut'",
    "seed": "the service has no seeds, so no picture can be repeated: edit a picture to keep what it shows",
    "negative_prompt": "the service has no negative prompts: say in the prompt what to leave out",
    "response_format": "there is no such option: get a picture with result.image.read(), save(…) or to_data_url()",
    "user": "the Responses API has no such field: use ImageGenerator(model_kwargs={'safety_identifier': …})",
    "width": "write both edges as size='1536x1024'",
    "height": "write both edges as size='1536x1024'",
    "format": "the option is named output_format",
    "ratio": "the option is named aspect_ratio",
    "temperature": "further fields of the request go into ImageGenerator(model_kwargs={…})",
    "metadata": "further fields of the request go into ImageGenerator(model_kwargs={…})",
}
"""Advice for names that people try."""


def read_size(value: Any) -> Any:
    """Return a size as the service writes it; return any other value unchanged."""
    match value:
        case (int() as width, int() as height):
            return f"{width}x{height}"
        case str() if found := _SIZE.fullmatch(value):
            return f"{int(found[1])}x{int(found[2])}"
    return read_word("size", value)


def read_ratio(value: Any) -> Any:
    """Return an aspect ratio as `width:height`; return any other value unchanged."""
    match value:
        case (int() | float() as width, int() | float() as height):
            return f"{width:g}:{height:g}"
        case str() if found := _RATIO.fullmatch(value):
            return f"{float(found[1]):g}:{float(found[2]):g}"
    return value


def read_word(option: str, value: Any) -> Any:
    """Return an option's value in the service's spelling; `AUTO`, `hd` and `jpg` are understood."""
    if not isinstance(value, str):
        return value
    word = value.strip().lower()
    word = word.removeprefix("image/").removeprefix(".") if option == "output_format" else word
    return _SYNONYMS.get(option, {}).get(word, word)


def read_model_value(option: str, value: Any) -> Any:
    """Return what a chat model meant: None for an empty value or "none", `opaque` for a background color."""
    if not isinstance(value, str):
        return value
    word = value.strip().lower()
    if word in _NOT_GIVEN:
        return None
    return "opaque" if option == "background" and word in _COLORS else value
