"""Where an image store's files lie on this machine.

Each key (a relative name with `/`) is written whole or not at all; what may be a key is the store's business.
"""

from __future__ import annotations

import filecmp
import io
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from langchain_imagegen.errors import ImageStoreError, OptionError

_DAY = 24 * 60 * 60
_PARTIAL = re.compile(r"\d+-[0-9a-f]{32}")  # names of temporary files, see `Folder.open_partial`


@contextmanager
def _store_errors(root: Path, what: str) -> Iterator[None]:
    """Raise the system's errors as ours, with what to do about them and without the path."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ImageStoreError(
            f"the image store cannot be {what}: {reason}; "
            "see that its folder is yours and the disk has room, or name another store",
            location=str(root),
        ) from error


class Folder:
    """A folder of this machine; several processes may share it."""

    label = "the image store"
    """What errors call it: no local path, since chat models read them."""

    def __init__(self, root: Path, *, mode: int = 0o777) -> None:
        try:
            self.root = Path(os.path.abspath(root.expanduser()))  # noqa: PTH100 - resolve() would follow links
        except RuntimeError as error:
            raise OptionError(f"an ImageStore cannot lie in {str(root)[:40]!r}: {error}") from error
        if "\0" in str(root):
            raise OptionError(f"an ImageStore cannot lie in {str(root)[:40]!r}: a path holds no NUL")
        self.url = self.location = str(self.root)
        self._mode = mode

    def below(self, name: str) -> Folder:
        """Return a subfolder as a place of its own; this one does not list what it holds."""
        return Folder(self.root / name, mode=self._mode)

    def upload(self, expected: int = 0) -> FolderUpload:
        """Return an upload into a temporary file beside the keys; the file is made with the first byte."""
        del expected  # a file grows as it is written
        return FolderUpload(self)

    def open_partial(self) -> tuple[Path, BinaryIO]:
        """Return the path of a new temporary file, and the file, open for writing."""
        path = self._partial / f"{os.getpid()}-{uuid.uuid4().hex}"
        try:
            return path, path.open("x+b", buffering=0)
        except FileNotFoundError:
            self.root.mkdir(self._mode, parents=True, exist_ok=True)
            self._partial.mkdir(exist_ok=True)
            return path, path.open("x+b", buffering=0)

    def check_writable(self) -> None:
        """Write a temporary file and remove it.

        Raises:
            ImageStoreError: that is not possible.
        """
        upload = self.upload()
        try:
            upload.write(bytes(4096))
        finally:
            upload.discard()

    def create(self, key: str, data: bytes) -> bool:
        """Write `data` under a new key; return False if the key is taken. The link to the name is atomic."""
        target = self.root / key
        with _store_errors(self.root, "read"):
            if target.exists():
                return False
        upload = self.upload()
        try:
            upload.write(data)
            return upload.link(target)
        finally:
            upload.discard()

    def write(self, key: str, data: bytes, mime_type: str) -> None:
        """Write a file, whole or not at all."""
        upload = self.upload()
        try:
            upload.write(data)
            upload.commit(key, mime_type)
        finally:
            upload.discard()

    def read(self, key: str) -> bytes | None:
        """Return all bytes of a key, or None if there is no such key."""
        with _store_errors(self.root, "read"):
            try:
                return (self.root / key).read_bytes()
            except FileNotFoundError:
                return None

    def open(self, key: str) -> io.FileIO | None:
        """Return a file to read the bytes of a key from, or None if there is no such key."""
        with _store_errors(self.root, "read"):
            try:
                return (self.root / key).open("rb", buffering=0)
            except FileNotFoundError:
                return None

    def find(self, folder: str, stem: str) -> str | None:
        """Return a key in `folder` whose name is `stem` with any extension."""
        with _store_errors(self.root, "read"):  # no `glob`, which compiles and caches a pattern for each stem
            try:
                names = [path.name for path in (self.root / folder).iterdir()]
            except (FileNotFoundError, NotADirectoryError):
                return None
            return next((f"{folder}/{name}" for name in names if name.startswith(f"{stem}.")), None)

    def read_several(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the bytes of those of the keys that exist."""
        return {key: data for key in keys if (data := self.read(key)) is not None}

    def listing(self, folder: str | None = None) -> Iterator[tuple[str, float]]:
        """Yield each key one folder deep, or those of one folder, with the time it was written.

        Links to other folders are followed only if one is named, as by what reads and writes in it.
        """
        with _store_errors(self.root, "listed"):
            for parent in [folder] if folder else self._folders():
                linked = folder is None and (self.root / parent).is_symlink()
                for name in () if linked else _names_in(self.root / parent):
                    with suppress(FileNotFoundError):
                        yield f"{parent}/{name}", os.stat(f"{self.root}/{parent}/{name}").st_mtime  # noqa: PTH116 - quick

    def remove(self, key: str) -> None:
        """Remove the key if it is there."""
        with _store_errors(self.root, "pruned"):
            (self.root / key).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove temporary files that killed writers left more than a day ago."""
        with _store_errors(self.root, "pruned"):
            for path in self._partial.glob("*"):
                with suppress(FileNotFoundError):
                    ours = _PARTIAL.fullmatch(path.name) and not self._partial.is_symlink()
                    if ours and path.lstat().st_mtime < time.time() - _DAY:
                        path.unlink()

    def sign(self, key: str, expires: int) -> None:
        """Return None: a folder has no server that could sign links."""

    def _folders(self) -> list[str]:
        """Return the folders that can be read, but for hidden ones."""
        return [name for name in _names_in(self.root) if name[0] != "." and os.access(self.root / name, os.R_OK)]

    @property
    def _partial(self) -> Path:
        return self.root / ".partial"


class FolderUpload:
    """Bytes in a temporary file of the folder, so that a picture of any size needs no memory."""

    on_disk = True

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._root = folder.root
        self._path: Path | None = None
        self._file: BinaryIO = io.BytesIO()

    def write(self, data: bytes) -> None:
        """Write the next bytes."""
        with _store_errors(self._root, "written"):
            if self._path is None:
                self._path, self._file = self._folder.open_partial()
            rest = memoryview(data)
            while rest:  # without a buffer, whose rest could be neither written nor read back once the disk is full
                rest = rest[self._file.write(rest) :]

    def read(self, start: int, stop: int) -> bytes:
        """Return some of the bytes that were written; after a failed `write` or `commit` and, but on Windows, even if
        the folder was deleted.
        """
        with _store_errors(self._root, "read"):
            if self._file.closed and self._path is not None:
                self._file = self._path.open("r+b", buffering=0)
            self._file.seek(start)
            data = self._file.read(stop - start)
            self._file.seek(0, os.SEEK_END)
            return data

    def commit(self, key: str, mime_type: str) -> None:  # noqa: ARG002 - a file's type is its extension
        """Rename the file, which is atomic. A damaged file of the same digest is replaced; an equal one is kept.

        Equal files are kept because a rename over a file makes some file systems write to the disk at once.
        """
        target = self._root / key
        with _store_errors(self._root, "written"):
            path = self._closed()
            with suppress(FileNotFoundError):  # also where another process prunes it between two of these steps
                if filecmp.cmp(path, target, shallow=False):
                    os.utime(target)
                    self.discard()
                    return
            try:
                path.replace(target)
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
        self._file.close()

    def _closed(self) -> Path:
        """Close the file, which is when some file systems tell that it could not be written, and return its path.

        A second handle stays open to read the bytes back; Windows renames no file that is open.
        """
        if self._path is None:
            self._path, self._file = self._folder.open_partial()
        written, readable = self._file, None if os.name == "nt" else os.dup(self._file.fileno())
        if readable is not None:
            self._file = open(readable, "r+b", buffering=0)  # noqa: SIM115, PTH123 - closed by `commit` and `discard`
        written.close()
        return self._path

    def link(self, target: Path) -> bool:
        """Give the file a second name; return False if the name is taken."""
        with _store_errors(self._root, "written"):
            path = self._closed()
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                _link_or_copy(path, target)
            except FileExistsError:
                return False
            return True

    def discard(self) -> None:
        """Remove the temporary file; a no-op after `commit`."""
        with suppress(OSError):
            self._file.close()
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def _names_in(folder: Path) -> list[str]:
    """Return the names in a folder in alphabetical order; none if there is no such folder."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - a path for each takes several times as long
    except (FileNotFoundError, NotADirectoryError):
        return []


def _link_or_copy(path: Path, target: Path) -> None:
    """Link a file, or copy it where the file system has no links; a reader may then see an incomplete copy."""
    try:
        os.link(path, target)
    except FileExistsError:
        raise
    except OSError:
        with target.open("xb") as file:
            file.write(path.read_bytes())
