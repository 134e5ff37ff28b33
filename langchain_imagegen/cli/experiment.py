"""`imagegen experiment`: the variations of a file, drawn as one batch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from langchain_imagegen.cli.exit_codes import ExitCode
from langchain_imagegen.cli.files import ForceFlag, check_free, check_writable
from langchain_imagegen.cli.output import Output, price_of, printable
from langchain_imagegen.cli.reporting import InterruptedDrawing
from langchain_imagegen.cli.service import Service
from langchain_imagegen.cli.workspace import Workspace
from langchain_imagegen.errors import ImageStoreError, LimitError, OptionError
from langchain_imagegen.options.options import ImageOptions

if TYPE_CHECKING:
    from langchain_imagegen.experiments.batch import Batch
    from langchain_imagegen.experiments.experiment import Sheet

_PAGES, _RECORD = (".html", ".htm"), ".json"

File = Annotated[
    str,
    typer.Argument(help="Plan in TOML or JSON, or a recorded experiment (.json).", metavar="FILE"),
]
MaxCost = Annotated[
    str | None,
    typer.Option(help="Draw nothing if what is missing may cost more, such as $1.", metavar="DOLLARS"),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Draw without asking.")]
Concurrency = Annotated[int, typer.Option(help="How many pictures are drawn at the same time.", min=1)]
Outs = Annotated[
    list[str],
    typer.Option(
        "--out",
        "-o",
        help="Contact sheet (.html), record that repeats it (.json), or folder of pictures; may be repeated.",
        metavar="PATH",
        show_default=False,
    ),
]


def experiment(
    file: File,
    *,
    out: Outs = [],  # noqa: B006 - typer reads the default and changes nothing
    force: ForceFlag = False,
    max_cost: MaxCost = None,
    yes: Yes = False,
    max_concurrency: Concurrency = 4,
    output: Output,
    options: ImageOptions,
    service: Service,
    workspace: Workspace,
) -> None:
    """Draw the variations of a file, each bought once.

    The number of pictures and their estimated price are said first. Running it again draws only what is missing: what
    failed, and what is new in the file. Options given here are those of every picture, and the file's come on top.
    """
    from langchain_imagegen.cli.plan_file import read_plan

    for path in out:
        _check_out(path, force=force)
    plan = read_plan(Path(file).expanduser(), workspace)
    limit = _limit(max_cost, plan.max_cost, file)
    if plan.mainline_model and not service.mainline_model:
        service = Service(plan.mainline_model, service.api, service.delivery, service.timeout)
    with service.generator(workspace, options, output) as draw:
        batch = plan.experiment.batch(draw)
        output.note(batch.announcement)
        if batch.cells:
            _check_limit(batch, limit)
            _confirm(batch, output, yes=yes)
            _draw(batch, output, max_concurrency)
    try:
        files = _write(batch.sheet, out, options)
    except OSError as error:
        if not output.json:
            _tell(batch.sheet, [], output, workspace)
        raise ImageStoreError(
            f"{error.filename or 'a file'} cannot be written: {error.strerror}; the pictures are kept: the same "
            "command again buys none of them twice, also with another --out"
        ) from error
    _tell(batch.sheet, files, output, workspace)
    if batch.sheet.failed:
        output.note(f"{len(batch.sheet.failed)} failed; the same command again tries them again")
        raise typer.Exit(int(ExitCode.FAILED))


def _check_out(path: str, *, force: bool) -> None:
    """Refuse a path that cannot be written, or not in the form that its suffix promises, before anything is bought.

    Raises:
        OptionError: It is a file already, or has a suffix of another form.
        ImageStoreError: The system does not let it be written.
    """
    check_free(path, force=force)
    if _suffix(path) not in ("", *_PAGES, _RECORD):
        raise OptionError(
            f"--out {path!r} is no form of an experiment: name a page (.html), a record (.json), or a folder, such as "
            f"{path + '/'!r}"
        )
    check_writable(path)


def _suffix(path: str) -> str:
    """Return the suffix of a file in lower case, and nothing for a folder."""
    target = Path(path).expanduser()
    return "" if path.endswith(("/", os.sep)) or target.is_dir() else target.suffix.lower()


class Limit(NamedTuple):
    """The most that a command may spend, and what the user calls it."""

    name: str
    dollars: Decimal


def _limit(option: str | None, of_plan: Any, file: str) -> Limit | None:
    """Return the limit of the command line, or else of the plan.

    Raises:
        OptionError: It is no amount.
    """
    from langchain_imagegen.images.cost import read_dollars

    if option is None and of_plan is None:
        return None
    place = f"the max_cost of {Path(file).name}" if option is None else "--max-cost"
    value = of_plan if option is None else option
    name = f"{value}, {place}" if option is None else f"{place} {value}"
    try:
        return Limit(name, read_dollars("max_cost", value))
    except OptionError as error:
        raise OptionError(f"{place} takes dollars, such as '$0.50' or 0.5, and not {value!r}") from error


def _check_limit(batch: Batch[Sheet], limit: Limit | None) -> None:
    """Refuse a batch that may cost more than is allowed.

    Raises:
        LimitError: It may.
        OptionError: The price is not known.
    """
    if limit is None:
        return
    if batch.cost.total is None:
        raise OptionError(f"{limit.name} cannot be kept, since {batch.cost.reason}: leave it out to draw")
    if batch.cost.total > limit.dollars:
        raise LimitError(
            f"{batch.announcement}, which is above {limit.name}: {batch.how_to_spend_less}, or raise it",
            limit="max_cost",
        )


def _confirm(batch: Batch[Sheet], output: Output, *, yes: bool) -> None:
    """Ask whether to draw.

    Raises:
        LimitError: The answer is no, or nobody is there to answer.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise LimitError(f"nobody can be asked whether to draw {len(batch.cells)} pictures: say --yes")
    output.notes.print("Draw? [y/N] ", end="")
    output.notes.file.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise LimitError("nothing was drawn")


def _draw(batch: Batch[Sheet], output: Output, max_concurrency: int) -> None:
    """Draw what is missing, and fill the sheet.

    Raises:
        InterruptedDrawing: Ctrl-C was pressed.
    """
    done = 0
    try:
        with _bar(output, len(batch.cells)) as show:
            for done, (index, outcome) in enumerate(batch.outcomes(max_concurrency), 1):
                batch.fill(index, outcome)
                show(done, len(batch.sheet.failed))
    except KeyboardInterrupt:
        raise InterruptedDrawing(
            f"interrupted with {done} of {len(batch.cells)} pictures drawn; what the service has begun may be billed: "
            "the same command again takes it from the ledger and draws the rest"
        ) from None


@contextmanager
def _bar(output: Output, total: int) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows how many pictures are done and how many of them failed, in a terminal."""
    if not output.notes.is_terminal:
        yield lambda *_: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output.notes, transient=True) as progress:
        task = progress.add_task("drawing", total=total)

        def show(done: int, failed: int) -> None:
            progress.update(task, completed=done, description=f"drawing, {failed} failed" if failed else "drawing")

        yield show


def _write(sheet: Sheet, out: list[str], options: ImageOptions) -> list[Path]:
    """Write the sheet to each path, in the form that its suffix names, and return the paths.

    A file that is there may be replaced: `check_free` has been asked before.
    """
    written = []
    for path in out:
        suffix, target = _suffix(path), Path(path).expanduser()
        if target.is_file() and not path.endswith(("/", os.sep)):
            target.unlink()
        if suffix in _PAGES:
            written.append(sheet.to_html(path))
        elif suffix == _RECORD:
            written.append(_with_options(sheet, options).to_file(path))
        else:
            written += sheet.export(path)
    return written


def _with_options(sheet: Sheet, options: ImageOptions) -> Sheet:
    """Return the sheet with the options of the command line in each variation, so that its file alone repeats it."""
    own = options.model_dump(exclude_unset=True)
    variations = [each.model_copy(update={"options": {**own, **each.options}}) for each in sheet.variations]
    return type(sheet)(sheet.name, variations, sheet, tries=sheet.tries, image_store=sheet.image_store)


def _tell(sheet: Sheet, files: list[Path], output: Output, workspace: Workspace) -> None:
    output.give(
        {
            "name": sheet.name,
            "cells": sheet.to_records(),
            "files": list(map(str, files)),
            "cost": sheet.cost().model_dump(mode="json"),
            "simulated": workspace.simulated,
        }
    )
    if output.json:
        return
    output.show(_table(sheet))
    output.say(f"{sheet.name}: {price_of(sheet.cost(), simulated=workspace.simulated)}", "bold")
    for file in files:
        output.say(str(file))


def _table(sheet: Sheet) -> Any:
    from rich.table import Table
    from rich.text import Text

    names = list(dict.fromkeys(name for cell in sheet for name in sheet.labels(cell)))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("cell", *names, "picture", "price", "seconds"):
        table.add_column(name, overflow="fold")
    for cell in sheet:
        labels = sheet.labels(cell)
        shown = cell.result.image.handle if cell.result else str(cell.error or "not drawn")
        price = str(cell.cost()) if cell.result and cell.cost().total is not None else ""
        seconds = f"{cell.seconds:.1f}" if cell.seconds is not None else ""
        texts = (cell.name, *(labels.get(name, "") for name in names), shown, price, seconds)
        table.add_row(*(Text(printable(text)) for text in texts))
    return table
