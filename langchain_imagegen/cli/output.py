"""What a command prints: facts for people on standard output or one JSON object there, and notes on standard error."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from langchain_imagegen.images.cost import Cost

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PIPE_WIDTH = 160  # columns of tables in a pipe or file


def printable(text: str) -> str:
    """Return a text without control characters, which could move the cursor or change a terminal's settings."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def price_of(cost: Cost, *, simulated: bool, drawn: str = "it") -> str:
    """Return what was paid, for people. A simulated picture cost nothing; `drawn` is "it" or "them"."""
    if not simulated:
        return str(cost)
    condition = f"if the service had drawn {drawn}"
    return f"{cost} {condition}" if cost.total is not None else f"{condition}: {cost}"


def print_json(value: Mapping[str, Any]) -> None:
    """Write a JSON object to standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Output:
    """The parameters of what a command prints."""

    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object to standard output, and nothing else there.")
    ] = False

    @cached_property
    def console(self) -> Console:
        """Standard output, as rich writes to it."""
        from rich.console import Console

        wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
        return Console(file=sys.stdout, width=wide, highlight=False, markup=False, emoji=False)

    @cached_property
    def notes(self) -> Console:
        """Standard error, as rich writes to it."""
        from rich.console import Console

        return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)

    def say(self, text: str, style: str = "") -> None:
        """Print a line for people, unless JSON is wanted. It is never broken, so that paths can be copied."""
        if not self.json:
            self.console.print(printable(text), style=style, soft_wrap=True)

    def show(self, renderable: Any, *, narrowest: int = 0) -> None:
        """Print something of rich, such as a table, in at least so many columns, unless JSON is wanted."""
        if not self.json:
            self.console.width = max(self.console.width, narrowest)  # the width of a print is no wider than this
            self.console.print(renderable)

    def give(self, value: Mapping[str, Any]) -> None:
        """Print a JSON object if JSON is wanted."""
        if self.json:
            print_json(value)

    def note(self, text: str) -> None:
        """Print a line to standard error."""
        self.notes.print(printable(text), soft_wrap=True)
