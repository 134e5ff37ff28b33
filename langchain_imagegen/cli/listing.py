"""`imagegen list` and `imagegen find`: the pictures of the library, or of the session where the library is off."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_imagegen.cli.output import Output, printable
from langchain_imagegen.cli.workspace import SIMULATED, Workspace
from langchain_imagegen.errors import OptionError

if TYPE_CHECKING:
    from langchain_imagegen.images.image import GeneratedImage
    from langchain_imagegen.storage.library import LibraryEntry

    Row = tuple[GeneratedImage, datetime | None, Iterable[str]]
    """A picture, when it was added, and its tags."""

_NOTHING_YET = 'no picture yet: imagegen draw "a fox" draws one'
_COLUMNS = ("picture", "added", "size", "price", "prompt")

Count = Annotated[int, typer.Option("--count", "-n", help="How many pictures at most.", min=1)]
Words = Annotated[
    list[str] | None,
    typer.Argument(help="Words that all occur in the prompt or revised prompt.", metavar="WORD", show_default=False),
]


@dataclass(frozen=True)
class Wanted:
    """The parameters of which pictures are wanted."""

    day: Annotated[
        str | None, typer.Option(help="Day in UTC, or first and last day: 2026-11-26 or 2026-11-01..2026-11-30.")
    ] = None
    model: Annotated[str | None, typer.Option(help="Image model or mainline model.")] = None
    thread: Annotated[str | None, typer.Option(help="Id of the LangGraph thread that drew it.")] = None
    tag: Annotated[str | None, typer.Option(help="Tag that it has in the library.")] = None

    def entries(self, workspace: Workspace, text: str = "", limit: int | None = None) -> list[LibraryEntry]:
        """Return the entries of the library that fit, the latest first.

        Raises:
            OptionError: The library is switched off, or `--day` is no day.
        """
        if workspace.catalogue is None:
            raise OptionError("pictures are found in the library, which is switched off: leave out --no-library")
        return workspace.catalogue.find_entries(
            text, day=_days(self.day), model=self.model, thread=self.thread, tag=self.tag, limit=limit
        )


def list_pictures(*, count: Count = 20, output: Output, workspace: Workspace) -> None:
    """List the latest pictures.

    They are those of the library of the image store, which notebooks and programs may have filled too, or with
    --no-library those of the session.
    """
    if workspace.catalogue is None:
        images = list(workspace.remembered.memory)[: -count - 1 : -1]
        _show([(image, image.created_at, ()) for image in images], output, workspace, empty=_NOTHING_YET)
        return
    _show(_rows(workspace.catalogue.find_entries(limit=count)), output, workspace, empty=_NOTHING_YET)


def find(words: Words = None, *, count: Count = 20, wanted: Wanted, output: Output, workspace: Workspace) -> None:
    """Find pictures by their words, day, model, thread or tag.

    They are looked for in the library of the image store, the latest first.
    """
    found = wanted.entries(workspace, " ".join(words or ()), count)
    _show(_rows(found), output, workspace, empty="the library has no such picture")


def _rows(entries: Iterable[LibraryEntry]) -> list[Row]:
    return [(entry.image, entry.added, entry.tags) for entry in entries]


def _show(rows: list[Row], output: Output, workspace: Workspace, *, empty: str) -> None:
    simulated = {"simulated": True} if workspace.simulated else {}
    output.give(
        {
            "images": [{**image.record(), "added": _iso(added), "tags": list(tags)} for image, added, tags in rows],
            **simulated,
        }
    )
    if output.json:
        return
    if not rows:
        output.say(empty)
        return
    table, narrowest = table_of(rows)
    output.show(table, narrowest=narrowest)
    if simulated:
        output.note(SIMULATED)


def table_of(rows: Iterable[Row]) -> tuple[Any, int]:
    """Return a table of pictures, and the columns of the terminal that it needs: only its prompts may be cut."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    texts = [_texts_of(*row) for row in rows]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *texts, strict=True)]
    for name, width in zip(_COLUMNS[:-1], widths, strict=False):
        table.add_column(name, no_wrap=True, min_width=width)
    table.add_column(_COLUMNS[-1], overflow="ellipsis", min_width=len(_COLUMNS[-1]))
    for *facts, prompt in texts:
        table.add_row(*facts, Text(prompt, no_wrap=True))
    return table, sum(width + 2 for width in widths[:-1]) + len(_COLUMNS[-1])


def _texts_of(image: GeneratedImage, added: datetime | None, tags: Iterable[str]) -> tuple[str, ...]:
    """Return the row of a picture."""
    prompt = " ".join(f"{image.prompt or ''} {' '.join(f'#{tag}' for tag in tags)}".split())
    size = f"{image.width}x{image.height}" if image.width else ""
    when = added.astimezone().strftime("%Y-%m-%d %H:%M") if added else ""
    return image.handle, when, size, price_of(image), printable(prompt)


def price_of(image: GeneratedImage) -> str:
    """Return what a picture cost, or nothing if that is not known."""
    cost = image.cost()
    return "" if cost.total is None else str(cost)


def _days(text: str | None) -> Any:
    if text is None or ".." not in text:
        return text
    first, _, last = text.partition("..")
    return first.strip(), last.strip()


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
