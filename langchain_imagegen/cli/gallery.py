"""`imagegen gallery`: pictures as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from langchain_imagegen.cli.completion import complete_reference
from langchain_imagegen.cli.files import ForceFlag, check_free
from langchain_imagegen.cli.listing import Wanted
from langchain_imagegen.cli.output import Output
from langchain_imagegen.cli.workspace import SIMULATED, Workspace
from langchain_imagegen.errors import NoImageError

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
        metavar="beside|embedded|linked|none",
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
    from langchain_imagegen.web.gallery import write_gallery

    target = str(Path(file).with_suffix(".html")) if not Path(file).suffix else file
    check_free(target, force=force)
    shown: list[Any] = (
        [workspace.picture(each) for each in pictures] if pictures else wanted.entries(workspace, find)[::-1]
    )
    if not shown:
        raise NoImageError("there is no picture to show: imagegen list shows what there is")
    kept: Any = None if originals == "none" else originals
    heading = title or ("Simulated pictures" if workspace.simulated else None)
    page = write_gallery(shown, target, title=heading, originals=kept)
    output.give({"file": str(page), "images": len(shown), "simulated": workspace.simulated})
    output.say(f"{len(shown)} picture{'s' * (len(shown) > 1)} in {page}")
    if workspace.simulated:
        output.note(SIMULATED)
