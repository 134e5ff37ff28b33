"""How a sheet is saved: over what was saved under its name since it was read, so that nobody's marks are lost.

Other kernels may have other objects of the same sheet, some with an older plan. So a change tells what becomes of a
cell, and is made to the cell as it is saved now. Cells that the plan no longer has are kept beside it, in case it has
them again. Threads of one process wait for each other; of two processes that save at the same moment, the later wins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from langchain_imagegen.experiments.archive import read_record, write_record
from langchain_imagegen.storage.store import ImageStore

CellRecord: TypeAlias = "Mapping[str, Any]"
Change: TypeAlias = "Callable[[CellRecord], dict[str, Any]]"

MARKS = ("picked", "rating", "notes")
"""What people say of a cell."""

_DRAWN = ("result", "error", "seconds")
_PLACE = ("name", "variation", "attempt")

_saving = threading.Lock()


def save(
    record: Mapping[str, Any], store: ImageStore, changes: Mapping[str, Change], *, plan: bool
) -> dict[str, CellRecord]:
    """Save changes of cells, and return all cells as they are saved now, by key.

    Args:
        record: The sheet as this object has it.
        store: Where it is saved.
        changes: What changes, by the key of the cell.
        plan: Whether the plan is saved too, in place of another one of the same name.

    Raises:
        ImageStoreError: The store cannot be read or written.
    """
    with _saving:
        stored = read_record(record["name"], store)
        saved, mine = cells_of(stored), {cell["key"]: cell for cell in record["cells"]}
        changed = {key: _tidy(change(saved.get(key, mine[key]))) for key, change in changes.items()}
        now: dict[str, CellRecord] = {**mine, **saved, **changed}
        base = record if plan or stored is None else stored
        cells = [{**now[cell["key"]], **{name: cell[name] for name in _PLACE}} for cell in base["cells"]]
        planned = {cell["key"] for cell in cells}
        rest = [cell for key, cell in now.items() if key not in planned and _is_worth_keeping(cell)]
        write_record(record["name"], {**base, "cells": cells, "earlier": rest}, store)
        return now


def cells_of(record: Mapping[str, Any] | None) -> dict[str, CellRecord]:
    """Return the cells of a saved sheet by key, with those of its earlier plans."""
    if record is None:
        return {}
    return {cell["key"]: cell for cell in (*record.get("earlier", ()), *record["cells"])}


def replaced(by: CellRecord) -> Change:
    """Return the change that puts a cell in place of what is saved of it."""
    return lambda _: dict(by)


def marked(changes: Mapping[str, Any]) -> Change:
    """Return the change that marks a cell; notes are added."""

    def change(cell: CellRecord) -> dict[str, Any]:
        notes = [*cell.get("notes", ()), *changes.get("notes", ())]
        return {**cell, **changes, "notes": list(dict.fromkeys(notes))}

    return change


def drawn(outcome: Mapping[str, Any]) -> Change:
    """Return the change that gives a cell what a try came to. A failure does not take the place of a picture.

    Marks stay, unless they are of another picture.
    """

    def change(cell: CellRecord) -> dict[str, Any]:
        if _pictures(cell) and not _pictures(outcome):  # another kernel has drawn it, or it is lost and tried again
            return dict(cell)
        of_another = _pictures(cell) and _pictures(cell) != _pictures(outcome)
        dropped = (*_DRAWN, *MARKS) if of_another else _DRAWN
        facts = {name: outcome[name] for name in _DRAWN if name in outcome}
        return {**{name: value for name, value in cell.items() if name not in dropped}, **facts}

    return change


def _pictures(cell: CellRecord) -> list[str]:
    return [image["sha256"] for image in cell.get("result", {}).get("images", ())]


def _tidy(cell: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in cell.items() if value is not None}


def _is_worth_keeping(cell: CellRecord) -> bool:
    return "result" in cell or any(cell.get(name) for name in MARKS)
