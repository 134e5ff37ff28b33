"""`imagegen draw`: a picture from a prompt."""

from __future__ import annotations

from typing import Annotated

import typer

from langchain_imagegen.cli.drawn import Drawing, OnceName, StdinFlag, read_prompt
from langchain_imagegen.cli.files import Out
from langchain_imagegen.cli.output import Output
from langchain_imagegen.cli.service import Service
from langchain_imagegen.cli.terminal import Inline
from langchain_imagegen.cli.workspace import Workspace
from langchain_imagegen.options.options import ImageOptions

Prompt = Annotated[list[str] | None, typer.Argument(help="What to draw.", metavar="PROMPT", show_default=False)]


def draw(
    prompt: Prompt = None,
    *,
    stdin: StdinFlag = False,
    once: OnceName = None,
    out: Out,
    inline: Inline,
    output: Output,
    options: ImageOptions,
    service: Service,
    workspace: Workspace,
) -> None:
    """Draw a picture.

    The picture goes into the image store, and with --out into a file too. 'imagegen edit last "…"' edits it, also
    tomorrow. If the command is interrupted, the same command again fetches what it had begun.
    """
    Drawing(options, out, inline, workspace, service, output).run(read_prompt(prompt, stdin=stdin), once=once)
