"""The fault matrix: whatever breaks, a picture is bought once, and it is delivered or the caller knows of it."""

from __future__ import annotations

from pathlib import Path

import openai
import pytest

from langchain_imagegen.errors import ImageGenerationError
from tests.faults.__main__ import DOCUMENT
from tests.faults.cases import CASES
from tests.faults.cells import PLACES, Outcome, run_cell
from tests.faults.ways import WAYS, ToolError


@pytest.mark.parametrize(("fault", "way"), PLACES)
def test_no_picture_is_lost_or_bought_twice(fault: str, way: str, reachable_folder: Path):
    """One picture is bought at most; it is delivered, or an error of ours says so; nothing is left behind."""
    outcome = run_cell(CASES[fault], WAYS[way], reachable_folder / "store")

    assert outcome.bought <= 1
    assert outcome.delivered in (0, outcome.bought)
    assert (outcome.delivered == 1) == (outcome.error is None), repr(outcome.error)
    assert outcome.error is None or _is_expected(outcome, way)
    assert outcome.leftovers == []
    assert outcome.threads == 0
    assert way.startswith("hosted") or outcome.sockets == 0  # the clients of `ChatOpenAI` stay open
    assert outcome.repeated


def _is_expected(outcome: Outcome, way: str) -> bool:
    """Return True if the error is ours, or the chat model's own, and tells of a picture that was bought."""
    error = outcome.error
    if way.startswith("hosted"):
        return isinstance(error, (openai.APIError, ImageGenerationError))
    if isinstance(error, ToolError):
        return not outcome.bought or outcome.found == 1 or "paid" in str(error)
    assert isinstance(error, ImageGenerationError)
    return not outcome.bought or outcome.found == 1 or error.may_be_billed


def test_the_document_shows_every_cell():
    """docs/faults.md has a row for each fault and a column for each way, and shows no picture bought twice."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|") and "---" not in line]

    assert rows[0] == list(WAYS)
    assert [row[0] for row in rows[1:]] == list(CASES)
    assert all(cell.startswith(("-", "0/0", "1/0", "1/1")) for row in rows[1:] for cell in row[1:])
