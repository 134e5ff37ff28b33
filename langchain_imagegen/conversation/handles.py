"""What a chat model wrote where handles of images were asked for, as the names that a memory can look up.

Pure, and it never raises: text that means nothing here is returned as it stands, so that the memory can refuse it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress

LAST = "last"
DEEPEST = 8  # lists within lists; a chat model writes two at most
LONGEST = 200  # characters of a value that is no handle, for the error about it

_NO_IMAGE = {"", "null", "none", "nil", "undefined", "n/a", "no image", "[]", "{}", "[null]", '""', "''"}
_ORDINALS = {
    word: str(number)
    for number, word in enumerate(
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"], start=1
    )
}
_WORDS = dict.fromkeys(["last", "latest", "newest", "previous", "most recent", "recent", "current", "-1"], LAST)
_PHRASE = re.compile(r"(?:the )?(?:image |picture |photo )?(.*?)(?: image| picture| photo| one)?", re.DOTALL)
_NUMBER = re.compile(r"#?0*(\d{1,9})(?:st|nd|rd|th|\.)?")
_NAMES = re.compile(r"(?<![A-Za-z0-9])(?:img_[0-9a-f]+(?![0-9a-z])|ig_\w+|sha256:[0-9a-f]{64})", re.IGNORECASE)
_ADDRESS = re.compile(r"\s*(?:https?://|data:)", re.IGNORECASE)
_BETWEEN = re.compile(r"[,;\n]|\band\b")
_KEYS = ("handle", "image_handle", "id", "image_id", "image", "name", "reference", "ref", "url", "image_url")


def read_handles(written: object) -> list[str]:
    """Return the names that a value means: handles, call ids, ordinals from `"1"`, `"last"`, and addresses.

    Brackets, backticks, quotes, file names and words around a handle are left out, nested lists are flattened.
    `None`, `""`, `"null"` and the like name no image.

    Args:
        written: The tool argument in any JSON form.
    """
    return list(_read(written, 0))


def _read(written: object, depth: int) -> Iterator[str]:
    if written is None:
        return
    if isinstance(written, (list, tuple, Mapping)) and depth >= DEEPEST:
        yield f"{type(written).__name__} nested deeper than {DEEPEST} levels"
    elif isinstance(written, str):
        yield from _read_text(written, depth)
    elif isinstance(written, (list, tuple)):
        for entry in written:
            yield from _read(entry, depth + 1)
    elif isinstance(written, Mapping):
        key = next((key for key in _KEYS if written.get(key) is not None), None)
        yield from [str(dict(written))[:LONGEST]] if key is None else _read(written[key], depth + 1)
    elif isinstance(written, float) and written.is_integer():
        yield from _read_text(str(int(written)), depth)
    else:
        yield from _read_text(str(written)[:LONGEST], depth)


def _read_text(text: str, depth: int) -> Iterator[str]:
    if _ADDRESS.match(text):
        yield text.strip()
        return
    bare = text.strip().strip("`'\"").strip()
    if bare.lower() in _NO_IMAGE:
        return
    if bare[:1] in ("[", "{") and len(bare) <= 100 * LONGEST:
        with suppress(ValueError, RecursionError):
            yield from _read(json.loads(bare), depth + 1)
            return
    bare = bare.strip("[](){}<>").strip("`'\" ")
    names = [_meaning(piece) for piece in _BETWEEN.split(bare)]
    if all(names):
        yield from (name for found in names for name in found)
    else:
        yield from _names_in(bare) or [text.strip()]


def _meaning(piece: str) -> list[str]:
    """Return the names in one piece of a list; an empty list if it means nothing."""
    phrase = _PHRASE.fullmatch(" ".join(piece.strip().strip("`'\"[]").lower().split()))
    word = phrase[1] if phrase else ""
    if word in _WORDS or word in _ORDINALS:
        return [_WORDS.get(word) or _ORDINALS[word]]
    number = _NUMBER.fullmatch(word)
    return [number[1]] if number else _names_in(piece)


def _names_in(text: str) -> list[str]:
    found = (name.group().removesuffix("_") for name in _NAMES.finditer(text))
    return [name.lower() if name[:4].lower() == "img_" else name for name in found]
