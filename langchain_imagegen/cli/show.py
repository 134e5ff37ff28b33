"""`imagegen show`: a picture in the terminal, and what is known of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_imagegen.cli.completion import complete_reference
from langchain_imagegen.cli.drawn import facts_of
from langchain_imagegen.cli.files import Out
from langchain_imagegen.cli.output import Output
from langchain_imagegen.cli.pictures import show_picture
from langchain_imagegen.cli.reporting import with_option_names
from langchain_imagegen.cli.terminal import Inline
from langchain_imagegen.cli.workspace import SIMULATED, Workspace
from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.images.image import handle_of

if TYPE_CHECKING:
    from langchain_imagegen.images.image import GeneratedImage

Reference = Annotated[
    str,
    typer.Argument(
        help="The picture: last, a handle, the beginning of a handle or digest, or a number of the session.",
        autocompletion=complete_reference,
        metavar="PICTURE",
    ),
]


def show(picture: Reference = "last", *, out: Out, inline: Inline, output: Output, workspace: Workspace) -> None:
    """Show a picture and what is known of it.

    With --out it is written into a file as the service sent it.
    """
    image = workspace.picture(picture)
    files = [out.save_image(image)] if out.out else []
    output.give({**image.record(), "files": list(map(str, files)), "simulated": workspace.simulated})
    if output.json:
        return
    try:
        show_picture(image.read(), inline.protocol(sys.stdout), output.console)
    except ImageStoreError as error:
        output.note(f"its bytes cannot be read: {with_option_names(str(error))}")
    output.say(facts_of(image), "bold")
    for line in _lines(image):
        output.say(line)
    for file in files:
        output.say(str(file))
    if workspace.simulated:
        output.note(SIMULATED)


def _lines(image: GeneratedImage) -> Iterator[str]:
    for name, text in (("prompt", image.prompt), ("revised prompt", image.revised_prompt)):
        if text:
            yield f"{name}: {' '.join(text.split())}"
    if image.parents:
        yield f"made from: {', '.join(handle_of(image.provider, parent) for parent in image.parents)}"
    if image.created_at:
        yield f"drawn: {image.created_at.astimezone():%Y-%m-%d %H:%M}"
    yield f"price: {image.cost()}"
    yield f"digest: {image.sha256}"
    if image.response_id:
        yield f"response: {image.response_id}"
