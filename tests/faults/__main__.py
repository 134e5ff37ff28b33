"""`make faults`: run every cell of the fault matrix, print the table and write it to docs/faults.md."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.faults.cases import CASES
from tests.faults.cells import PLACES, run_cell
from tests.faults.ways import WAYS

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"

HEAD = """\
# What becomes of a picture when something breaks

Made by `make faults`. Nothing here was tried on the live service: the faults are those of the package's own simulator,
of loopback connections and of this machine's disk.

Each cell is one attempt to draw one picture, as *bought/delivered*: how many pictures the service made, by its own
count, and how many the caller could read. If the caller gets an error, its class follows; `ToolError` stands for what a
chat model is told by the tool. *+1 later* means that the error leads to the picture: it carries the result, or a
response id with which `draw.resume(response_id)` fetched it. In `1/0` without that, the service does not keep the
picture, or its id never arrived; the error then has `may_be_billed`. After each attempt no torn file, no socket and no
thread was left, and a second attempt gave the picture. A dash stands where a way reads no events and cannot meet the
fault.

Workers that are killed are not in the table: `tests/faults/test_killed_workers.py` kills a process while the service
draws, during the store's write, before and during the ledger's write, and before the checkpoint, and one picture is
bought each time. One killed before it has read the response id may cost a second picture.

"""


@dataclass(frozen=True)
class Cell:
    """What the table shows of an outcome."""

    text: str
    bought: int
    delivered: int
    found: int


def cell_of(place: tuple[str, str]) -> Cell:
    """Return the cell of a fault and a way."""
    fault, way = place
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        outcome = run_cell(CASES[fault], WAYS[way], folder / "store")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Cell(str(outcome), outcome.bought, outcome.delivered, outcome.found)


def table(cells: Sequence[Cell]) -> str:
    """Return the cells as a Markdown table: a row for each fault, a column for each way."""
    texts = {place: cell.text for place, cell in zip(PLACES, cells, strict=True)}
    lines = [f"| | {' | '.join(WAYS)} |", f"|---|{'---|' * len(WAYS)}"]
    lines += [f"| {fault} | {' | '.join(texts.get((fault, way), '-') for way in WAYS)} |" for fault in CASES]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the matrix in two processes, print it, and write the document."""
    with ProcessPoolExecutor(2) as pool:
        cells = list(pool.map(cell_of, PLACES))
    bought, delivered, found = (sum(getattr(cell, name) for cell in cells) for name in ("bought", "delivered", "found"))
    sums = (
        f"{len(cells)} attempts: {bought} pictures bought, {delivered} delivered, {found} more led to by the error.\n"
    )
    text = f"{table(cells)}\n{sums}"
    sys.stdout.write(text)
    DOCUMENT.write_text(HEAD + text, encoding="utf-8")


if __name__ == "__main__":
    main()
