"""Where sheets are kept: by name in an image store, and as files that hold all that is needed to repeat them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from langchain_imagegen.errors import OptionError
from langchain_imagegen.images.files import free_path
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.storage.store import ImageStore

FOLDER = "experiments"
VERSION = 1


def write_record(name: str, record: Mapping[str, Any], store: ImageStore) -> None:
    """Write a sheet under its name, in place of an earlier one.

    Raises:
        ImageStoreError: The store cannot be written.
    """
    store.notes(FOLDER).write(_note(name), _json({"version": VERSION, **record}))


def read_record(name: str, store: ImageStore) -> dict[str, Any] | None:
    """Return the record of a sheet, or None."""
    data = store.notes(FOLDER).read(_note(name))
    return None if data is None else _parsed(data, f"the saved experiment {name!r}")


def saved_names(store: ImageStore) -> list[str]:
    """Return the names of all sheets of a store, the latest last."""
    notes = store.notes(FOLDER)
    latest = sorted(notes.names().items(), key=lambda note: note[1])
    return [str(_parsed(data, f"the note {note!r}")["name"]) for note, data in notes.read_all(latest)]


def remove_record(name: str, store: ImageStore) -> None:
    """Remove a sheet if there is one of this name."""
    store.notes(FOLDER).remove(_note(name))


def write_file(path: str | os.PathLike[str], record: Mapping[str, Any], sources: Iterable[GeneratedImage]) -> Path:
    """Write a sheet as a JSON file with the bytes of its source pictures, and return the path.

    A file that is there stays, and the new one is numbered.
    """
    pictures = {image.sha256: base64.b64encode(image.read()).decode() for image in sources}
    target = free_path(Path(path).expanduser())
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(_json({"version": VERSION, **record, "pictures": pictures}))
    return target


def read_file(path: str | os.PathLike[str], store: ImageStore) -> dict[str, Any]:
    """Return the record in a file, and put the source pictures of the file into the store.

    Raises:
        OptionError: It is no file of an experiment.
    """
    source = Path(path).expanduser()
    try:
        data = source.read_bytes()
    except OSError as error:
        raise OptionError(f"{source.name!r} cannot be read: {error.strerror or type(error).__name__}") from error
    record = _parsed(data, repr(source.name))
    for text in record.pop("pictures", {}).values():
        store.put(base64.b64decode(text))
    return record


def _parsed(data: bytes, what: str) -> dict[str, Any]:
    try:
        record = json.loads(data)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not {"name", "tries", "variations", "cells"} <= record.keys():
        raise OptionError(f"{what} is no record of an experiment: write one with sheet.to_file('foxes.json')")
    if record.get("version") != VERSION:
        raise OptionError(f"{what} was written by another version of this package ({record.get('version')!r})")
    return record


def _note(name: str) -> str:
    """Return the name of the note of a sheet: readable, and different for different names."""
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
    return f"{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:16]}-{readable}"


def _json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, indent=1).encode(errors="replace")
