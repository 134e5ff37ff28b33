"""Where an image store's files lie: a `Folder` of this machine, or a `Bucket` that fsspec reaches.

A place maps keys to bytes. It knows nothing of pictures or digests and trusts its caller with the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_imagegen.storage.folder import Folder

if TYPE_CHECKING:
    from langchain_imagegen.storage.bucket import Bucket

Place: TypeAlias = "Folder | Bucket"


def place_at(url: str, options: Mapping[str, Any], *, mode: int = 0o777) -> Place:
    """The place that a path or URL names; `mode` is for a folder that does not exist yet."""
    scheme, separator, path = url.partition("://")
    if not separator:
        return Folder(Path(url), mode=mode)
    if scheme in ("file", "local"):
        return Folder(Path(path), mode=mode)
    from langchain_imagegen.storage.bucket import Bucket

    return Bucket(url, options)
