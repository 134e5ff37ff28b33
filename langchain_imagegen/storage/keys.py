"""The keys of a place: relative names for pictures and notes that nothing from outside can lead astray. Pure."""

from __future__ import annotations

import hashlib
import re

from langchain_imagegen.errors import ImageStoreError, OptionError
from langchain_imagegen.images.sniffing import EXTENSIONS

DIGEST = re.compile(r"[0-9a-f]{64}")
LIBRARY = "library"
"""The folder of `ImageLibrary`."""

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_LONGEST_NAME = 250  # bytes; most file systems take 255
_PICTURE = re.compile(r"([0-9a-f]{2})/(\1[0-9a-f]{62})\.[a-z]+")


def name_of(sha256: str, mime_type: str | None) -> str:
    """Return the key of a picture.

    Raises:
        ImageStoreError: the store does not know such a type of picture.
    """
    extension = EXTENSIONS.get(mime_type or "")
    if extension is None:
        raise ImageStoreError(f"{str(mime_type)[:40]!r} is no image type of this store: {', '.join(EXTENSIONS)}")
    return f"{sha256[:2]}/{sha256}.{extension}"


def digest_in(key: str) -> str | None:
    """Return the digest of the picture that a key names; None if it names anything else."""
    found = _PICTURE.fullmatch(key)
    return found and found[2]


def digest_in_entry(key: str) -> str | None:
    """Return the digest of the picture that an entry of the library is about; None if the key names anything else."""
    folder, _, name = key.partition("/")
    digest = name.rpartition("-")[2]
    return digest if folder == LIBRARY and DIGEST.fullmatch(digest) else None


def name_of_note(key: str) -> str:
    """Return the key of a note for any text: it is safe where case is ignored, and never leaves the place."""
    return f"notes/{hashlib.sha256(key.encode(errors='surrogatepass')).hexdigest()}"


def name_of_scope(scope: str) -> str:
    """Return a folder name for a scope: `scope-` and the text, where all but `a-z0-9_-` is `%` and hex digits.

    Different texts give different names, where case is ignored too, and none leads out of the place.

    Raises:
        OptionError: the text is empty or too long for a file name.
    """
    if not isinstance(scope, str) or not scope:
        raise OptionError(f"scoped({scope!r:.40}) names no scope: give a text, such as a tenant's id")
    name = "scope-" + "".join(c if c in _PLAIN else _escaped(c) for c in scope)
    if len(name) > _LONGEST_NAME:
        raise OptionError(f"scoped({scope[:20]!r}…) is too long for a file name: give a digest of the text")
    return name


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02x}" for byte in character.encode(errors="surrogatepass"))


def valid_digest(sha256: str) -> str:
    """Return the digest.

    Raises:
        ImageStoreError: it is none.
    """
    if not DIGEST.fullmatch(sha256):
        raise ImageStoreError(f"{sha256[:40]!r} is no SHA-256 digest: 64 digits of 0-9 and a-f")
    return sha256
