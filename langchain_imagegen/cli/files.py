"""`--out` and `--force`: where pictures are written. No file is replaced unless it is said."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_imagegen.errors import ImageStoreError, OptionError

if TYPE_CHECKING:
    from langchain_imagegen.images.image import GeneratedImage
    from langchain_imagegen.images.result import ImageResult

ForceFlag = Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")]


@dataclass(frozen=True)
class Out:
    """The parameters of where pictures are written."""

    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            help="File or folder for the picture. A suffix such as .webp asks for that format.",
            metavar="PATH",
            show_default=False,
        ),
    ] = None
    force: ForceFlag = False

    @property
    def format(self) -> str | None:
        """The file format that the suffix asks for, in the API's spelling."""
        from langchain_imagegen.images.files import FORMATS
        from langchain_imagegen.images.sniffing import MIME_TYPES

        return FORMATS.get(MIME_TYPES.get(Path(self.out or "").suffix[1:].lower(), ""))

    def check(self) -> None:
        """Refuse a file that is there, before anything is bought.

        Raises:
            OptionError: It is there, and `--force` is not given.
        """
        if self.out is not None:
            check_free(self.out, force=self.force)

    def save(self, result: ImageResult) -> list[Path]:
        """Write the pictures of a result, and return the paths; none without `--out`."""
        if self.out is None:
            return []
        from langchain_imagegen.images.files import numbered

        if len(result.images) == 1:
            return [self.save_image(result.image)]
        return [self.save_image(image, numbered(self.out, number)) for number, image in enumerate(result.images, 1)]

    def save_image(self, image: GeneratedImage, path: str | None = None) -> Path:
        """Write one picture, and return its path; a picture in a folder is named by its handle.

        Raises:
            OptionError: Another file has the name, and `--force` is not given.
        """
        _refuse_dash(path or self.out)
        target = _with_suffix(str(path or self.out), image)
        check_free(target, force=self.force, data=image.read())
        return image.save(target)


def check_free(path: Any, *, force: bool, data: bytes | None = None) -> None:
    """Refuse a path that is a file already.

    Args:
        path: A file, or a folder, which is fine.
        force: Whether it may be replaced.
        data: What is written; a file with these bytes is fine.

    Raises:
        OptionError: It may not be replaced, or is a hyphen.
    """
    _refuse_dash(path)
    target = Path(path).expanduser()
    if force or not target.is_file():
        return
    if data is not None and target.stat().st_size == len(data) and target.read_bytes() == data:
        return
    raise OptionError(f"{str(path)!r} is there already: choose another name, or replace it with --force")


def check_writable(path: str) -> None:
    """Refuse a path below a folder in which no file can be made. Nothing is left there.

    Raises:
        ImageStoreError: No file can be made.
    """
    target = Path(path).expanduser().absolute()
    folder = next(each for each in (target, *target.parents) if each.is_dir() or (each != target and each.exists()))
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".imagegen-"):
            pass
    except OSError as error:
        raise ImageStoreError(
            f"--out {path!r} cannot be written: {error.strerror} ({folder}); nothing was bought"
        ) from error


def _refuse_dash(path: Any) -> None:
    """Refuse a hyphen, which elsewhere means standard output.

    Raises:
        OptionError: The path is one.
    """
    if str(path) == "-":
        raise OptionError("'-' names no file, and pictures are not written to standard output: name a file or folder")


def _with_suffix(path: str, image: GeneratedImage) -> str:
    """Return the file for a picture: named by its handle in a folder, and with a suffix."""
    extension = image.mime_type.partition("/")[2].partition("+")[0]
    target = Path(path).expanduser()
    if path.endswith(("/", os.sep)) or target.is_dir():
        return str(target / f"{image.handle}.{extension}")
    return str(target) if target.suffix else str(target.with_name(f"{target.name}.{extension}"))
