"""Where images go if no store is named, and which stores this process has open."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_imagegen.errors import ImageStoreError

if TYPE_CHECKING:
    from langchain_imagegen.images.lookup import ByteStore

ENVIRONMENT_VARIABLE = "LANGCHAIN_IMAGEGEN_STORE"
NAME_ANOTHER = (
    f"set the environment variable {ENVIRONMENT_VARIABLE} to a folder or URL, or pass image_store=ImageStore(…)"
)

T = TypeVar("T", bound="ByteStore")

_defaults: dict[str | None, Any] = {}
_lock = threading.Lock()
_opened: weakref.WeakValueDictionary[int, ByteStore] = weakref.WeakValueDictionary()


def location_from_environment() -> str | None:
    """Return the folder or URL that the environment variable names; None if it names none."""
    return os.environ.get(ENVIRONMENT_VARIABLE) or None


def user_folder() -> str:
    """Return the user's private folder for images.

    Raises:
        ImageStoreError: the user has no home folder, as in some containers.
    """
    from platformdirs import user_data_path

    try:
        return str((user_data_path("langchain_imagegen", appauthor=False) / "images").expanduser())
    except RuntimeError as error:
        raise ImageStoreError(f"there is no home folder to keep images in: {NAME_ANOTHER}") from error


def register(store: ByteStore) -> None:
    """Let unbound images look for their bytes in a store as long as somebody uses it."""
    with _lock:
        _opened[id(store)] = store


def unregister(store: ByteStore) -> None:
    """Let unbound images no longer look for their bytes in a store."""
    with _lock:
        _opened.pop(id(store), None)


def opened_stores() -> list[ByteStore]:
    """Return the stores of this process that are still in use, in the order of opening."""
    with _lock:
        return list(_opened.values())


def default_store(open_default: Callable[[], T]) -> T:
    """Return the store that is used where none is named: one for each value of the environment variable."""
    chosen = location_from_environment()
    store: T = _defaults.get(chosen) or _defaults.setdefault(chosen, open_default())
    return store


def stores_at_hand(open_default: Callable[[], ByteStore]) -> list[ByteStore]:
    """Return the stores in which an unbound image is looked for, the first opened first, and the default one."""
    with suppress(ImageStoreError):  # without a home folder there is no default
        default_store(open_default)
    return opened_stores()
