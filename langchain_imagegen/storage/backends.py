"""Where an image store's files lie: a `Folder` of this machine, or a `Bucket` that fsspec reaches.

A place maps keys to bytes. It knows nothing of pictures or digests and trusts its caller with the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_imagegen.errors import OptionError
from langchain_imagegen.options.validation import did_you_mean
from langchain_imagegen.storage.folder import Folder

if TYPE_CHECKING:
    from langchain_imagegen.storage.bucket import Bucket

_OF_THE_STORE = ("public_url", "url_signer", "max_bytes", "fallback")

Place: TypeAlias = "Folder | Bucket"


def place_at(url: str, options: Mapping[str, Any], *, mode: int = 0o777) -> Place:
    """The place that a path or URL names; `mode` is for a folder that does not exist yet.

    Raises:
        OptionError: A folder is given storage options, which are misspelt arguments of the store.
    """
    scheme, separator, path = url.partition("://")
    if not separator or scheme in ("file", "local"):
        for name in options:
            raise OptionError(f"{name}= is no option of a folder{did_you_mean(name, _OF_THE_STORE)}")
        return Folder(Path(path if separator else url), mode=mode)
    from langchain_imagegen.storage.bucket import Bucket

    return Bucket(url, options)
