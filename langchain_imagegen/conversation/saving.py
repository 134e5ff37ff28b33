"""The pictures of a conversation as files of a folder, with names that people can read. No file is overwritten."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.images.files import file_stem, save_new
from langchain_imagegen.images.image import GeneratedImage

_LONGEST = 40  # characters of a prompt in a name


def save_images(images: Sequence[tuple[str, GeneratedImage]], folder: str | os.PathLike[str]) -> list[Path]:
    """Write pictures into a folder, and return their paths in order.

    Args:
        images: Each with its handle.
        folder: It is made if it does not exist.
    """
    target = Path(folder).expanduser()
    target.mkdir(parents=True, exist_ok=True)
    digits = max(2, len(str(len(images))))
    paths, absent = [], []
    for number, (handle, image) in enumerate(images, start=1):
        words = file_stem(image.prompt or image.revised_prompt or "", _LONGEST)
        try:
            name = "-".join(filter(None, [f"{number:0{digits}}", words, handle]))
            paths.append(save_new(target, name, image.read()))
        except ImageStoreError:
            absent.append(handle)
    if absent:
        warnings.warn(f"not saved, since the bytes are not at hand: {', '.join(absent)}", UserWarning, stacklevel=3)
    return paths
