"""`imagegen gallery`: pictures as one HTML page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from langchain_imagegen.cli.completion import complete_reference
from langchain_imagegen.cli.files import ForceFlag, check_free
from langchain_imagegen.cli.listing import Wanted
from langchain_imagegen.cli.output import Output
from langchain_imagegen.cli.workspace import SIMULATED, Workspace
from langchain_imagegen.errors import ImageStoreError, OptionError, UnknownImageError
from langchain_imagegen.options.validation import listed

_ORIGINALS = ("beside", "embedded", "linked", "none")

File = Annotated[str, typer.Argument(help="The HTML file to write.", metavar="FILE")]
References = Annotated[
    list[str] | None,
    typer.Argument(
        help="The pictures; without any, all of the library that fit the options.",
        autocompletion=complete_reference,
        metavar="PICTURE",
        show_default=False,
    ),
]
Words = Annotated[str, typer.Option("--find", help="Words of the prompt or revised prompt.", show_default=False)]
Title = Annotated[str | None, typer.Option(help="The heading.", show_default="Pictures")]
Originals = Annotated[
    str,
    typer.Option(
        metavar="|".join(_ORIGINALS),
        help="Where the full pictures are: in a folder beside the page, in it, at their addresses, or nowhere.",
    ),
]


def gallery(
    file: File,
    pictures: References = None,
    *,
    find: Words = "",
    title: Title = None,
    originals: Originals = "beside",
    force: ForceFlag = False,
    wanted: Wanted,
    output: Output,
    workspace: Workspace,
) -> None:
    """Write pictures as one HTML page that needs no server.

    The page has a search, the family tree of edits, and a slider between an edit and its source.
    """
    from langchain_imagegen.web.gallery import replace_page

    if pictures and (find or wanted != Wanted()):
        raise OptionError("name the pictures, or choose them by --find, --day, --model, --thread and --tag: not both")
    if originals not in _ORIGINALS:
        raise OptionError(f"--originals {originals!r}: give {listed(_ORIGINALS, 'or')}")
    target = _target(file)
    check_free(target, force=force)
    shown: list[Any] = (
        [workspace.picture(each) for each in pictures] if pictures else wanted.entries(workspace, find)[::-1]
    )
    if not shown:
        raise UnknownImageError("there is no picture to show: imagegen list shows what there is")
    kept: Any = None if originals == "none" else originals
    heading = title or ("Simulated pictures" if workspace.simulated else None)
    try:
        page = replace_page(shown, target, title=heading, originals=kept)
    except OSError as error:
        raise ImageStoreError(f"{target!r} cannot be written: {error.strerror}") from error
    output.give({"file": str(page), "images": len(shown), "simulated": workspace.simulated})
    output.say(f"{len(shown)} picture{'s' * (len(shown) > 1)} in {page}")
    if workspace.simulated:
        output.note(SIMULATED)


def _target(file: str) -> str:
    """Return the file to write, with a suffix; a folder stays as it is, and is refused when the page is written."""
    target = Path(file).expanduser()
    return file if target.suffix or target.is_dir() or file.endswith(("/", os.sep)) else f"{file}.html"
