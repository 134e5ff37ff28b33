"""Where an image store's files lie: a `Folder` of this machine, or a `Bucket` that fsspec reaches.

A place maps keys (relative names with `/`) to bytes and writes each whole or not at all. It knows nothing of
pictures or digests and trusts its caller with the keys: what may be a key is the store's business.
"""

from __future__ import annotations

import io
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from langchain_imagegen.errors import ImageStoreError

_DAY = 24 * 60 * 60
_CONTENT_TYPE = {"s3": "ContentType", "s3a": "ContentType", "gs": "content_type", "gcs": "content_type"}
_LISTS_BY_PREFIX = {*_CONTENT_TYPE, "az", "abfs", "abfss"}
_NOT_SECRET = {"endpoint_url", "region_name", "project", "account_name", "profile", "protocol"}


def place_at(url: str, options: Mapping[str, Any], *, mode: int = 0o777) -> Place:
    """The place that a path or URL names; `mode` is for a folder that does not exist yet."""
    scheme, separator, path = url.partition("://")
    if not separator:
        return Folder(Path(url), mode=mode)
    if scheme in ("file", "local"):
        return Folder(Path(path), mode=mode)
    return Bucket(url, options)


@contextmanager
def _reported(root: Path, what: str) -> Iterator[None]:
    """The system's errors as ours, with what to do about them."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ImageStoreError(
            f"the image store {root} cannot be {what}: {reason}; "
            "see that the folder is yours and the disk has room, or name another store"
        ) from error


class Folder:
    """A folder of this machine; several processes may share it."""

    def __init__(self, root: Path, *, mode: int = 0o777) -> None:
        self.root = Path(os.path.abspath(root.expanduser()))  # noqa: PTH100 - resolve() would follow links
        self.url = self.location = str(self.root)
        self._mode = mode

    def upload(self) -> FolderUpload:
        """An upload into a temporary file beside the keys."""
        with _reported(self.root, "written"):
            self.root.mkdir(self._mode, parents=True, exist_ok=True)
            self._partial.mkdir(exist_ok=True)
            return FolderUpload(self.root, self._partial / f"{os.getpid()}-{uuid.uuid4().hex}")

    def create(self, key: str, data: bytes) -> bool:
        """Links a complete temporary file to the name, which the system refuses if it is taken."""
        target = self.root / key
        if target.exists():
            return False
        upload = self.upload()
        try:
            upload.write(data)
            return upload.link(target)
        finally:
            upload.discard()

    def read(self, key: str) -> bytes | None:
        """All bytes, or `None` without the key."""
        with _reported(self.root, "read"):
            try:
                return (self.root / key).read_bytes()
            except FileNotFoundError:
                return None

    def find(self, folder: str, stem: str) -> str | None:
        """A key in `folder` whose name is `stem` and any extension."""
        with _reported(self.root, "read"):
            return next((f"{folder}/{path.name}" for path in (self.root / folder).glob(f"{stem}.*")), None)

    def listing(self) -> Iterator[tuple[str, float]]:
        """Each key one folder deep, with the time it was written."""
        with _reported(self.root, "listed"):
            for path in sorted(self.root.glob("[!.]*/*")):
                with suppress(FileNotFoundError):
                    yield path.relative_to(self.root).as_posix(), path.stat().st_mtime

    def remove(self, key: str) -> None:
        """Removes the key if it is there."""
        with _reported(self.root, "pruned"):
            (self.root / key).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Removes what killed writers left more than a day ago."""
        with _reported(self.root, "pruned"):
            for path in self._partial.glob("*"):
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < time.time() - _DAY:
                        path.unlink()

    def sign(self, key: str, expires: int) -> None:
        """None: nobody serves a folder."""

    @property
    def _partial(self) -> Path:
        return self.root / ".partial"


class FolderUpload:
    """Bytes in a temporary file of the folder, so that a picture of any size needs no memory."""

    def __init__(self, root: Path, path: Path) -> None:
        self._root = root
        self._path = path
        self._file = path.open("xb")

    def write(self, data: bytes) -> None:
        """Takes the next bytes."""
        with _reported(self._root, "written"):
            self._file.write(data)

    def commit(self, key: str, mime_type: str) -> None:  # noqa: ARG002 - a file's type is its extension
        """Renames the file, which is atomic; what was there under the same digest is healed."""
        target = self._root / key
        with _reported(self._root, "written"):
            self._file.close()
            target.parent.mkdir(parents=True, exist_ok=True)
            self._path.replace(target)

    def link(self, target: Path) -> bool:
        """Gives the file a second name unless that is taken."""
        with _reported(self._root, "written"):
            self._file.close()
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._link_or_copy(target)
            except FileExistsError:
                return False
            return True

    def _link_or_copy(self, target: Path) -> None:
        """Some network and USB file systems have no links; there a reader may see the first moment of a copy."""
        try:
            os.link(self._path, target)
        except FileExistsError:
            raise
        except OSError:
            with target.open("xb") as file:
                file.write(self._path.read_bytes())

    def discard(self) -> None:
        """Leaves nothing behind; harmless after `commit`."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


class Bucket:
    """A place behind a URL: `memory://`, `s3://`, `gs://`, `az://` and whatever else fsspec knows.

    One object is written by one request, which all of these make visible whole. `create` is as atomic as the
    service's own conditional write.
    """

    _creating = threading.Lock()

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.location = masked(url)
        self.url = url
        self._options = dict(options)
        self._scheme = url.partition("://")[0]
        self._opening = threading.Lock()
        self._opened: tuple[int, Any, str] | None = None
        self._check_driver()

    def upload(self) -> BucketUpload:
        """An upload that is held in memory until it is whole."""
        return BucketUpload(self)

    def write(self, key: str, data: bytes, mime_type: str) -> None:
        """Writes one object; S3 and Google are told its type, so that a browser shows it."""
        name = _CONTENT_TYPE.get(self._scheme)
        with self._reported("written") as (files, root):
            files.pipe_file(f"{root}/{key}", data, **({name: mime_type} if name else {}))

    def create(self, key: str, data: bytes) -> bool:
        """Writes `data` unless the key is there; of several at once, exactly one gets `True`."""
        with self._reported("written") as (files, root), self._creating_in_memory():
            try:
                files.pipe_file(f"{root}/{key}", data, mode="create")
            except FileExistsError:
                return False
            return True

    def read(self, key: str) -> bytes | None:
        """All bytes, or `None` without the key."""
        with self._reported("read") as (files, root):
            try:
                return bytes(files.cat_file(f"{root}/{key}"))
            except FileNotFoundError:
                return None

    def find(self, folder: str, stem: str) -> str | None:
        """A key in `folder` whose name is `stem` and any extension."""
        prefix = {"prefix": stem} if self._scheme in _LISTS_BY_PREFIX else {}
        names = [path.rpartition("/")[2] for path, _ in self._listing(folder, **prefix)]
        return next((f"{folder}/{name}" for name in names if name.startswith(f"{stem}.")), None)

    def listing(self) -> Iterator[tuple[str, float]]:
        """Each key one folder deep, with the time it was written."""
        for key, info in self._listing(""):
            if key.count("/") == 1:
                yield key, _written(info)

    def remove(self, key: str) -> None:
        """Removes the key if it is there."""
        with self._reported("pruned") as (files, root), suppress(FileNotFoundError):
            files.rm_file(f"{root}/{key}")

    def sweep(self) -> None:
        """Nothing: an object that was not written whole does not exist."""

    def sign(self, key: str, expires: int) -> str | None:
        """A link that works for `expires` seconds; `None` where there is no such thing."""
        with self._reported("asked for a link") as (files, root):
            try:
                return str(files.sign(f"{root}/{key}", expiration=expires))
            except NotImplementedError:
                return None

    def _listing(self, folder: str, **only: str) -> list[tuple[str, Mapping[str, Any]]]:
        with self._reported("listed") as (files, root):
            try:
                found = files.find(f"{root}/{folder}", detail=True, **only)
            except FileNotFoundError:
                return []
            return [(path.removeprefix(root).lstrip("/"), info) for path, info in found.items()]

    def _check_driver(self) -> None:
        """Fails before anything is paid for when fsspec cannot reach such a URL."""
        from fsspec import get_filesystem_class

        try:
            for scheme in self._scheme.split("::"):
                get_filesystem_class(scheme)
        except ImportError as error:
            extra = "langchain_imagegen[s3]" if self._scheme in ("s3", "s3a") else f"fsspec[{self._scheme}]"
            raise ImageStoreError(f"the image store {self.location} needs a driver: pip install '{extra}'") from error
        except ValueError as error:
            raise ImageStoreError(
                f"the image store {self.location} cannot be opened: fsspec knows no {self._scheme}://"
            ) from error

    def _files(self) -> tuple[Any, str]:
        """The file system and the root in it; opened anew after a fork, whose child has no event loop."""
        from fsspec.core import url_to_fs

        with self._opening:
            if self._opened is None or self._opened[0] != os.getpid():
                # others write here too, and some drivers answer a second look from memory
                fresh = {"use_listings_cache": False} if self._scheme in _LISTS_BY_PREFIX else {}
                files, root = url_to_fs(self.url, **{**fresh, **self._options})
                self._opened = os.getpid(), files, root.rstrip("/")
        return self._opened[1:]

    @contextmanager
    def _reported(self, what: str) -> Iterator[tuple[Any, str]]:
        """Drivers raise what they like, secrets included: only its text without them is passed on."""
        try:
            yield self._files()
        except Exception as error:  # noqa: BLE001
            reason = masked(f"{type(error).__name__}: {error}", self._options)
            raise ImageStoreError(f"the image store {self.location} cannot be {what}: {reason}") from None

    @contextmanager
    def _creating_in_memory(self) -> Iterator[None]:
        """`memory://` looks and then writes; real services do both in one step."""
        with self._creating if self._scheme == "memory" else nullcontext():
            yield


class BucketUpload:
    """Bytes in memory until they are whole."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._data = io.BytesIO()

    def write(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._data.write(data)

    def commit(self, key: str, mime_type: str) -> None:
        """Writes the object."""
        self._bucket.write(key, self._data.getvalue(), mime_type)

    def discard(self) -> None:
        """Leaves nothing behind; harmless after `commit`."""
        self._data = io.BytesIO()


def masked(text: str, options: Mapping[str, Any] | None = None) -> str:
    """`text` without the user part and query of URLs and without any secret among the storage options."""
    for secret in sorted(_secrets(options or {}), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = re.sub(r"://[^/\s]*@", "://***@", text)
    return re.sub(r"(://[^\s?]*)\?\S*", r"\1?***", text)


def _secrets(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif isinstance(value, str) and value and name not in _NOT_SECRET:
            yield value


def _written(info: Mapping[str, Any]) -> float:
    """When an object was written, by whichever name its driver gives that; now if by none, to keep it."""
    names = ("LastModified", "last_modified", "mtime", "updated", "created")
    moment = next((info[name] for name in names if info.get(name)), None)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return moment.timestamp() if isinstance(moment, datetime) else float(moment or time.time())


Place: TypeAlias = Folder | Bucket
