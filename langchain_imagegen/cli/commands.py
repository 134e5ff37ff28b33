"""All commands of `imagegen`. Each is a function in a module of its own, whose heavy imports are made when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

import langchain_imagegen
from langchain_imagegen.cli.serve import serve

imagegen = typer.Typer(
    name="imagegen",
    help="Draw, keep and show pictures with OpenAI's hosted image generation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
imagegen.command()(serve)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(langchain_imagegen.__version__)
        raise typer.Exit


@imagegen.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=lambda wanted: _print_version(wanted=wanted), is_eager=True)
    ] = False,
) -> None:
    """Draw, keep and show pictures with OpenAI's hosted image generation."""
    del version
