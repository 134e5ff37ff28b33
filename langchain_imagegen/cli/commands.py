"""All commands of `imagegen`. The module of a command is imported when the command is run or asked for its help."""

from __future__ import annotations

import itertools
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

import langchain_imagegen
from langchain_imagegen.cli.reporting import wrong_calls_reported

_JSON = f"{__name__}.json"


class Entry(NamedTuple):
    """Where a command is, and what `imagegen --help` says of it."""

    module: str
    function: str
    summary: str


COMMANDS = {
    "draw": Entry("draw", "draw", "Draw a picture."),
    "edit": Entry("edit", "edit", "Edit a picture: the last one, any earlier one or a file."),
    "list": Entry("listing", "list_pictures", "List the latest pictures."),
    "show": Entry("show", "show", "Show a picture and what is known of it."),
    "find": Entry("listing", "find", "Find pictures by their words, day, model, thread or tag."),
    "gallery": Entry("gallery", "gallery", "Write pictures as one HTML page that needs no server."),
    "experiment": Entry("experiment", "experiment", "Draw the variations of a file, each bought once."),
    "models": Entry("models", "models", "List models: what each one takes, costs and when it ends."),
    "cost": Entry("cost", "cost", "Estimate what a picture costs, or add up what pictures have cost."),
    "forget": Entry("forget", "forget", "Forget pictures, and delete them if wanted."),
    "serve": Entry("serve", "serve", "Serve the pictures of an image store over HTTP."),
    "simulate": Entry("simulate", "simulate", "Run a simulated image service, to try everything offline."),
}


def load(name: str) -> Any:
    """Return a command ready to run."""
    from langchain_imagegen.cli.parameters import command_of

    entry = COMMANDS[name]
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    function = getattr(import_module(f"{__package__}.{entry.module}"), entry.function)
    app.command(name)(command_of(function))
    return typer.main.get_command(app)


class LazyCommands(TyperGroup):
    """A group that lists commands without importing them."""

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Return the context of a call, with its options before the command read."""
        json = "--json" in list(itertools.takewhile(lambda word: word != "--", args))
        with wrong_calls_reported(json=json):
            made = super().make_context(info_name, args, parent, **extra)
        made.meta[_JSON] = json
        return made

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name, and report what is wrong with them."""
        with wrong_calls_reported(json=ctx.meta[_JSON], path=ctx.command_path):
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name and the command that the arguments name, and the arguments of the command."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else command, rest


imagegen = typer.Typer(
    name="imagegen",
    cls=LazyCommands,
    help="Draw, edit, find and show pictures with OpenAI's hosted image generation.",
    epilog='Without a key: imagegen draw --simulate "a fox". imagegen COMMAND --help explains a command.',
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _name, _entry in COMMANDS.items():
    imagegen.command(_name, help=_entry.summary)(lambda: None)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(langchain_imagegen.__version__)
        raise typer.Exit


@imagegen.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version.",
            callback=lambda wanted: _print_version(wanted=wanted),
            is_eager=True,
        ),
    ] = False,
) -> None:
    del version
