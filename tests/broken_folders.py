"""Ways in which the folder of an image store breaks after a write has succeeded, each as a context manager.

They hold for any user: nothing is asked of permissions, which root does not heed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

ROOM = 10_000
"""Bytes that a file may have on the full disk; every picture of the simulator is larger."""


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """No file of this process grows beyond `ROOM`: its beginning is written, the rest is not."""
    del folder
    resource = pytest.importorskip("resource", reason="limits of a process are a Unix thing")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def replaced_by_a_file(folder: Path) -> Iterator[None]:
    """A file stands where the folder was; after the block it is gone."""
    shutil.rmtree(folder)
    folder.write_bytes(b"")
    yield
    folder.unlink()


@contextmanager
def unnameable(folder: Path) -> Iterator[None]:
    """Pictures can be written into temporary files, and none gets its name: files stand in the way of subfolders."""
    shutil.rmtree(folder)
    folder.mkdir()
    for number in range(256):
        (folder / f"{number:02x}").write_bytes(b"")
    yield
    for number in range(256):
        (folder / f"{number:02x}").unlink()


BREAKS: dict[str, Callable[[Path], AbstractContextManager[None]]] = {
    "disk full": full_disk,
    "store is a file": replaced_by_a_file,
    "no picture gets its name": unnameable,
}


def left_in(folder: Path) -> list[str]:
    """Return the names of all files below a folder that hold anything, temporary ones too."""
    return sorted(name for root, _, names in os.walk(folder) for name in names if (Path(root) / name).stat().st_size)
