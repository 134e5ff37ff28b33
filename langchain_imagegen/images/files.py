"""Pictures saved where a user names a path: under which name, and whole or not at all."""

from __future__ import annotations

import itertools
import mimetypes
import os
import re
import secrets
import warnings
from pathlib import Path

from langchain_imagegen.errors import OptionError
from langchain_imagegen.images.sniffing import MIME_TYPES, sniff

FORMATS = {
    "image/png": "png",
    "image/webp": "webp",
    "image/jpeg": "jpeg",
    "image/gif": "gif",
    "image/svg+xml": "svg",
}
"""The MIME types that the service draws, with their names in `output_format`."""

_NO_WORD = re.compile(r"[\W_]+")
_SUFFIX = re.compile(r"\.[A-Za-z]\w*")  # "poster v2.1" and "Dr. Fox" have none


def save_picture(path: str | os.PathLike[str], data: bytes, *, name: str) -> Path:
    """Write a picture and return its path. The bytes are never changed.

    Args:
        path: `~` is the home folder. A folder, or a path that ends with a slash, gets a file called `name`; a path
            without a suffix gets the one of the format. A suffix of another format is kept, with a warning.
        data: The picture.
        name: The name of its file in a folder, without a suffix.

    Raises:
        OptionError: the path holds a NUL, or names a user who has no home folder.
        OSError: the system cannot write there.
    """
    media = sniff(data)
    target = _target(path, name, media.extension if media else "bin")
    meant = MIME_TYPES.get(target.suffix[1:].lower()) or mimetypes.guess_type(target.name)[0]
    if media and meant and meant != media.mime_type:
        asked = f", ask for output_format={FORMATS[meant]!r}" if meant in FORMATS else ""
        warnings.warn(
            f"{target.name!r} is saved with the bytes of a picture of type {media.mime_type}: call it "
            f"{target.stem}.{media.extension}{asked}, or convert it (in Python: to_pil().save())",
            UserWarning,
            stacklevel=3,
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    _write_whole(target, data)
    return target


def _target(path: str | os.PathLike[str], name: str, extension: str) -> Path:
    text = os.fspath(path)
    try:
        target = Path(text).expanduser()
        if text.endswith(("/", os.sep)) or target.is_dir():
            return target / f"{name}.{extension}"
    except (ValueError, RuntimeError) as error:
        raise OptionError(f"save({text[:40]!r}) names no file: {error}") from error
    if "\0" in text:
        raise OptionError(f"save({text[:40]!r}) names no file: it holds a NUL")
    return target if _SUFFIX.fullmatch(target.suffix) else target.with_name(f"{target.name}.{extension}")


def file_stem(text: str, longest: int) -> str:
    """Return a text as a name of at most `longest` characters: lower case letters of any script, digits and hyphens."""
    return _NO_WORD.sub("-", text.lower()).strip("-")[:longest].strip("-")


def numbered(path: str | os.PathLike[str], number: int) -> str:
    """Return the path with a number before its suffix; a folder stays as it is."""
    text = os.fspath(path)
    if text.endswith(("/", os.sep)) or Path(text).expanduser().is_dir():
        return text
    head, suffix = os.path.splitext(text)  # noqa: PTH122 - a slash at the end must stay
    return f"{head}-{number}{suffix}" if _SUFFIX.fullmatch(suffix) else f"{text}-{number}"


def save_new(folder: Path, stem: str, data: bytes) -> Path:
    """Write a picture into a folder as a new file and return its path; a file with the same bytes is that file.

    Args:
        folder: It exists.
        stem: The name without a suffix. If another file has it, a number is added.
        data: The picture.
    """
    media, number = sniff(data), 1
    suffix = media.extension if media else "bin"
    while True:
        target = folder / (f"{stem}.{suffix}" if number == 1 else f"{stem}-{number}.{suffix}")
        try:
            with target.open("xb") as file:
                file.write(data)
        except FileExistsError:
            if target.is_file() and target.stat().st_size == len(data) and target.read_bytes() == data:
                return target
            number += 1
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        else:
            return target


def free_path(path: Path) -> Path:
    """Return the path, or the first of `name-2.png`, `name-3.png`, … that does not exist."""
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(each for each in itertools.chain([path], numbered) if not each.exists())


def _write_whole(target: Path, data: bytes) -> None:
    unfinished = target.with_name(f".{secrets.token_hex(8)}.partial")  # short: the name itself may be 255 bytes long
    try:
        with unfinished.open("xb") as file:
            file.write(data)
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
