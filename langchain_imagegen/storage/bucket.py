"""Where an image store's objects lie in a bucket, or in whatever else fsspec reaches.

Each key (a relative name with `/`) is written whole or not at all; what may be a key is the store's business.
"""

from __future__ import annotations

import io
import os
import re
import threading
import time
import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from typing import Any

from langchain_imagegen.errors import ImageStoreError

_CONTENT_TYPE = {"s3": "ContentType", "s3a": "ContentType", "gs": "content_type", "gcs": "content_type"}
_LISTS_BY_PREFIX = {*_CONTENT_TYPE, "az", "abfs", "abfss"}
_AFTER_A_CONFLICT = (0.05, 0.2, 0.5)  # seconds to wait before the write is tried again
_NOT_SECRET = {"endpoint_url", "region_name", "project", "account_name", "profile", "protocol"}


class Bucket:
    """A place behind a URL: `memory://`, `s3://`, `gs://`, `az://` and whatever else fsspec knows.

    One object is written by one request, which all of these make visible whole. `create` is as atomic as the
    service's own conditional write.
    """

    _creating = threading.Lock()

    def __init__(self, url: str, options: Mapping[str, Any], prefix: str = "") -> None:
        self.location = masked(url).rstrip("/") + prefix if prefix else masked(url)
        self.label = f"the image store {self.location}"
        self.url = f"{url}#{prefix}" if prefix else url
        self._url, self._prefix = url, prefix
        self._options = dict(options)
        self._scheme = url.partition("://")[0]
        self._opening = threading.Lock()
        self._opened: tuple[int, Any, str] | None = None
        self._check_driver()
        _buckets.add(self)

    def unlock(self) -> None:
        """Renew the locks in a forked child, where the thread that held one does not run."""
        self._opening = threading.Lock()
        self._unlock_creation()

    @classmethod
    def _unlock_creation(cls) -> None:
        cls._creating = threading.Lock()

    def below(self, name: str) -> Bucket:
        """Return what lies under a prefix as a place of its own; this one does not list what it holds."""
        return Bucket(self._url, self._options, f"{self._prefix}/{name}")

    def upload(self, expected: int = 0) -> BucketUpload:
        """Return an upload that is held in memory until it is complete."""
        return BucketUpload(self, expected)

    def write(self, key: str, data: bytes, mime_type: str) -> None:
        """Write one object. S3 and Google get its type, so that a browser shows it."""
        name = _CONTENT_TYPE.get(self._scheme)
        with self._driver_errors("written") as (files, root):
            files.pipe_file(f"{root}/{key}", data, **({name: mime_type} if name else {}))

    def check_writable(self) -> None:
        """Write a small object and remove it.

        Raises:
            ImageStoreError: it cannot be written; that it can be removed is not asked for.
        """
        key = f".partial/{uuid.uuid4().hex}"
        self.write(key, b"writable", "text/plain")
        with suppress(ImageStoreError):
            self.remove(key)

    def create(self, key: str, data: bytes) -> bool:
        """Write `data` unless the key exists. Of several writers at once, exactly one gets True."""
        with self._driver_errors("written") as (files, root), self._creating_in_memory():
            for wait in (*_AFTER_A_CONFLICT, None):
                try:
                    files.pipe_file(f"{root}/{key}", data, mode="create")
                except FileExistsError:
                    return False
                except OSError as error:
                    if wait is None or not _is_conflict(error):
                        raise
                    time.sleep(wait)
                else:
                    break
            return True

    def read(self, key: str) -> bytes | None:
        """Return all bytes of a key, or None if there is no such key."""
        with self._driver_errors("read") as (files, root):
            try:
                return bytes(files.cat_file(f"{root}/{key}"))
            except FileNotFoundError:
                return None

    def open(self, key: str) -> io.BytesIO | None:
        """Return all bytes of a key as a file in memory, or None if there is no such key."""
        data = self.read(key)
        return None if data is None else io.BytesIO(data)

    def find(self, folder: str, stem: str) -> str | None:
        """Return a key in `folder` whose name is `stem` with any extension."""
        prefix = {"prefix": stem} if self._scheme in _LISTS_BY_PREFIX else {}
        names = [path.rpartition("/")[2] for path, _ in self._listing(folder, **prefix)]
        return next((f"{folder}/{name}" for name in names if name.startswith(f"{stem}.")), None)

    def read_several(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the bytes of those of the keys that exist, read at the same time where the driver can do that."""
        with self._driver_errors("read") as (files, root):
            paths = {f"{root}/{key}": key for key in keys}
            if not paths:
                return {}
            found = files.cat(list(paths), on_error="return")
            failed = [each for each in found.values() if isinstance(each, Exception)]
            if unexpected := [each for each in failed if not isinstance(each, FileNotFoundError)]:
                raise unexpected[0]
            return {paths[path]: bytes(data) for path, data in found.items() if not isinstance(data, Exception)}

    def listing(self, folder: str = "") -> Iterator[tuple[str, float]]:
        """Yield each key one folder deep, or those of one folder, with the time it was written."""
        for key, info in self._listing(folder):
            if key.count("/") == 1:
                yield key, _written(info)

    def remove(self, key: str) -> None:
        """Remove the key if it is there."""
        with self._driver_errors("pruned") as (files, root), suppress(FileNotFoundError):
            files.rm_file(f"{root}/{key}")

    def sweep(self) -> None:
        """No-op: an object store never keeps a partial upload."""

    def sign(self, key: str, expires: int) -> str | None:
        """Return a link that works for `expires` seconds, or None where the service signs no links."""
        with self._driver_errors("asked for a link") as (files, root):
            try:
                return str(files.sign(f"{root}/{key}", expiration=expires))
            except NotImplementedError:
                return None

    def _listing(self, folder: str, **only: str) -> list[tuple[str, Mapping[str, Any]]]:
        with self._driver_errors("listed") as (files, root):
            try:
                found = files.find(f"{root}/{folder}", detail=True, **only)
            except FileNotFoundError:
                return []
            return [(path.removeprefix(root).lstrip("/"), info) for path, info in found.items()]

    def _check_driver(self) -> None:
        """Raise an error at once if fsspec has no driver for the URL, before anything is paid for."""
        from fsspec import get_filesystem_class

        try:
            for scheme in self._scheme.split("::"):
                get_filesystem_class(scheme)
        except ImportError as error:
            extra = "langchain_imagegen[s3]" if self._scheme in ("s3", "s3a") else f"fsspec[{self._scheme}]"
            raise ImageStoreError(f"{self.label} needs a driver: pip install '{extra}'") from error
        except ValueError as error:
            raise ImageStoreError(f"{self.label} cannot be opened: fsspec knows no {self._scheme}://") from error

    def _files(self) -> tuple[Any, str]:
        """Return the file system and the root in it. A forked child opens its own, since it has no event loop."""
        from fsspec.core import url_to_fs

        with self._opening:
            if self._opened is None or self._opened[0] != os.getpid():
                # others write here too, and some drivers answer a second look from memory
                fresh = {"use_listings_cache": False} if self._scheme in _LISTS_BY_PREFIX else {}
                # else s3fs asks for the size of an object before it reads it, to read a very large one in parts
                whole = {"max_concurrency": 1} if self._scheme in ("s3", "s3a") else {}
                files, root = url_to_fs(self._url, **{**fresh, **whole, **self._options})
                self._opened = os.getpid(), files, root.rstrip("/") + self._prefix
        return self._opened[1:]

    @contextmanager
    def _driver_errors(self, what: str) -> Iterator[tuple[Any, str]]:
        """Raise any error of a driver as ours, without the secrets that its text may hold."""
        try:
            yield self._files()
        except Exception as error:  # noqa: BLE001
            reason = masked(f"{type(error).__name__}: {error}", self._options)
            raise ImageStoreError(f"{self.label} cannot be {what}: {reason}", location=self.location) from None

    @contextmanager
    def _creating_in_memory(self) -> Iterator[None]:
        """Hold a lock for `memory://`, which looks and then writes; real services do both in one step."""
        with self._creating if self._scheme == "memory" else nullcontext():
            yield


_buckets: weakref.WeakSet[Bucket] = weakref.WeakSet()


def _unlock_all() -> None:
    for bucket in list(_buckets):
        bucket.unlock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_all)


class BucketUpload:
    """Bytes in memory until they are complete; a buffer of the expected size need not be copied to grow."""

    on_disk = False

    def __init__(self, bucket: Bucket, expected: int = 0) -> None:
        self._bucket = bucket
        self._data = io.BytesIO(bytes(expected))

    def write(self, data: bytes) -> None:
        """Write the next bytes."""
        self._data.write(data)

    def read(self, start: int, stop: int) -> memoryview:
        """Return a view of some of the bytes; nothing can be written while the view is in use."""
        return self._data.getbuffer()[start:stop]

    def commit(self, key: str, mime_type: str) -> None:
        """Write the object and release the bytes."""
        self._data.truncate()
        self._bucket.write(key, self._data.getvalue(), mime_type)
        self.discard()

    def discard(self) -> None:
        """Release the bytes; a no-op after `commit`."""
        self._data = io.BytesIO()


def _is_conflict(error: OSError) -> bool:
    """Return True if S3 says that another creates the same object at this moment, and that the write be tried again."""
    response = getattr(error.__cause__, "response", None) or {}
    return bool(response.get("Error", {}).get("Code") == "ConditionalRequestConflict")


def masked(text: str, options: Mapping[str, Any] | None = None) -> str:
    """Return `text` without the user part and query of URLs, and without any secret of the storage options."""
    for secret in sorted(_secrets(options or {}), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = re.sub(r"://(?:[^/\s]*|[^/\s@]*:\S*)@", "://***@", text)  # a password may hold a slash
    return re.sub(r"(://[^\s?]*)\?\S*", r"\1?***", text)


def _secrets(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif isinstance(value, str) and value and name not in _NOT_SECRET:
            yield value


def _written(info: Mapping[str, Any]) -> float:
    """Return when an object was written, under whichever name its driver gives; now if it gives none, to keep it."""
    names = ("LastModified", "last_modified", "mtime", "updated", "created")
    moment = next((info[name] for name in names if info.get(name)), None)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.timestamp() if isinstance(moment, datetime) else float(moment or time.time())
