"""`imagegen edit`: a picture changed by a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from langchain_imagegen.cli.completion import complete_reference
from langchain_imagegen.cli.drawn import Drawing, OnceName, StdinFlag, read_prompt
from langchain_imagegen.cli.files import Out
from langchain_imagegen.cli.output import Output
from langchain_imagegen.cli.service import Service
from langchain_imagegen.cli.terminal import Inline
from langchain_imagegen.cli.workspace import FORMS, Workspace
from langchain_imagegen.errors import OptionError, UnknownImageError
from langchain_imagegen.options.options import ImageOptions

Reference = Annotated[
    str, typer.Argument(help=f"The picture: {FORMS}.", autocompletion=complete_reference, metavar="PICTURE")
]
Prompt = Annotated[list[str] | None, typer.Argument(help="What to change.", metavar="PROMPT", show_default=False)]
More = Annotated[
    list[str],
    typer.Option("--with", help="Another picture, to combine; may be repeated.", metavar="PICTURE", show_default=False),
]
Mask = Annotated[
    str | None,
    typer.Option(help="Picture that is transparent where the first one may change.", metavar="FILE"),
]
Box = Annotated[
    str | None,
    typer.Option(help="Part that may change, in pixels or in fractions of the picture.", metavar="X,Y,WIDTH,HEIGHT"),
]


def edit(
    picture: Reference,
    prompt: Prompt = None,
    *,
    more: More = [],  # noqa: B006 - typer reads the default and changes nothing
    mask: Mask = None,
    box: Box = None,
    stdin: StdinFlag = False,
    once: OnceName = None,
    out: Out,
    inline: Inline,
    output: Output,
    options: ImageOptions,
    service: Service,
    workspace: Workspace,
) -> None:
    """Edit a picture: the last one, any earlier one or a file.

    The picture stays as it is, and the edit is a new one. With several pictures the prompt counts them in their order.
    """
    words = read_prompt(prompt, stdin=stdin)
    sources = [workspace.source(each) for each in (picture, *more)]
    Drawing(options, out, inline, workspace, service, output).run(words, sources, mask=_mask(mask, box), once=once)


def _mask(file: str | None, box: str | None) -> Any:
    """Return the mask of an edit.

    Raises:
        OptionError: There are two, or the box is none.
        UnknownImageError: The file is not there.
    """
    if file and box:
        raise OptionError("--mask and --box exclude each other: give one of them")
    if file:
        path = Path(file).expanduser()
        if not path.is_file():
            raise UnknownImageError(f"there is no file {file!r} for the mask")
        return path
    return _region(box) if box else None


def _region(text: str) -> Any:
    from langchain_imagegen.images.regions import box

    try:
        numbers = [float(part) if "." in part else int(part) for part in text.split(",")]
        x, y, width, height = numbers
    except ValueError:
        raise OptionError(f"--box {text!r}: write four numbers, such as 10,20,300,200 or 0.1,0.1,0.5,0.5") from None
    return box(x, y, width, height)
