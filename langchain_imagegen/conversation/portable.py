"""A memory as a ZIP file or a folder: `memory.json` with the records, and `images/` with the bytes by digest."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from langchain_imagegen.errors import ImageStoreError, OptionError
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.images.sniffing import EXTENSIONS
from langchain_imagegen.storage.store import ImageStore

_INDEX = "memory.json"
_FORMAT = "langchain_imagegen.memory"
_VERSION = 1
_LARGEST_INDEX = 200_000_000  # bytes


class _Reader(Protocol):
    """The files of a portable memory."""

    def read(self, name: str, most: int) -> bytes | None:
        """Return a file of at most so many bytes; None if there is none, or it is larger."""

    def close(self) -> None:
        """Close it."""


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str, most: int) -> bytes | None:
        file = self._path / name
        return file.read_bytes() if file.is_file() and file.stat().st_size <= most else None

    def close(self) -> None:
        """Nothing is open."""


class _Zip:
    def __init__(self, path: Path) -> None:
        try:
            self._file = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise OptionError(f"load({path.name!r}): it is no ZIP file that ImageMemory.dump wrote") from error

    def read(self, name: str, most: int) -> bytes | None:
        try:
            with self._file.open(name) as file:
                data = file.read(most + 1)  # its header may give a wrong size
        except (KeyError, zipfile.BadZipFile):
            return None
        return data if len(data) <= most else None

    def close(self) -> None:
        self._file.close()


def dump_memory(
    records: Sequence[Mapping[str, Any]], images: Iterable[GeneratedImage], path: str | os.PathLike[str]
) -> Path:
    """Write records and the bytes of images to a ZIP file or folder; return its path.

    Args:
        records: What `ImageMemory.to_records` gives.
        images: Those whose bytes go along. One whose bytes are not at hand is left out with a warning.
        path: With a suffix it is a file, which is whole or not there; else a folder.
    """
    target = Path(path).expanduser()
    index = json.dumps({"format": _FORMAT, "version": _VERSION, "records": list(records)}, ensure_ascii=False)
    if os.fspath(path).endswith(("/", os.sep)) or target.is_dir() or not target.suffix:
        (target / "images").mkdir(parents=True, exist_ok=True)
        _write(images, index.encode(), lambda name, data: _replace(target / name, data))
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        with zipfile.ZipFile(unfinished, "w") as file:  # pictures do not get smaller
            _write(images, index.encode(), file.writestr)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _write(images: Iterable[GeneratedImage], index: bytes, put: Callable[[str, bytes], object]) -> None:
    absent, done = [], set()
    for image in images:
        if image.sha256 in done:
            continue
        done.add(image.sha256)
        try:
            put(_name_of(image), image.read())
        except ImageStoreError:
            absent.append(image.handle)
    put(_INDEX, index)
    if absent:
        warnings.warn(f"dumped without their bytes, which are not at hand: {', '.join(absent)}", stacklevel=4)


def _replace(target: Path, data: bytes) -> None:
    unfinished = target.with_name(f".{secrets.token_hex(8)}.partial")
    unfinished.write_bytes(data)
    unfinished.replace(target)


def _name_of(image: GeneratedImage) -> str:
    return f"images/{image.sha256}.{EXTENSIONS.get(image.mime_type, 'bin')}"


def read_records(path: str | os.PathLike[str]) -> list[Any]:
    """Return the records of a portable memory.

    Raises:
        OptionError: It is no portable memory, or of a later version.
        FileNotFoundError: Nothing is there.
    """
    with closing(_open(path)) as reader:
        data = reader.read(_INDEX, _LARGEST_INDEX)
    name = Path(path).name
    try:
        index = json.loads(data or b"")
    except ValueError:
        index = None
    if not isinstance(index, Mapping) or index.get("format") != _FORMAT or not isinstance(index.get("records"), list):
        raise OptionError(f"load({name!r}): it holds no {_INDEX} that ImageMemory.dump wrote")
    if index.get("version") != _VERSION:
        raise OptionError(f"load({name!r}): a later version of langchain_imagegen wrote it; update the package")
    return list(index["records"])


def restore_pictures(images: Iterable[GeneratedImage], path: str | os.PathLike[str], store: ImageStore) -> None:
    """Put the bytes of images from a portable memory into a store. Damaged ones are left out with a warning.

    Args:
        images: The images of its records.
        path: The portable memory.
        store: Where the bytes go, at most its `max_bytes` for each picture.
    """
    damaged = []
    with closing(_open(path)) as reader:
        for image in images:
            if image.sha256 in store:
                continue
            data = reader.read(_name_of(image), store.max_bytes)
            if data is None:
                continue
            if hashlib.sha256(data).hexdigest() == image.sha256:
                store.put(data)
            else:
                damaged.append(image.handle)
    if damaged:
        warnings.warn(f"not loaded, since their bytes are damaged: {', '.join(damaged)}", UserWarning, stacklevel=3)


def _open(path: str | os.PathLike[str]) -> _Reader:
    source = Path(path).expanduser()
    return _Folder(source) if source.is_dir() else _Zip(source)
