"""Figures on the disk, and how one finds the one that is wanted."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rounds import Row


@dataclass(frozen=True)
class Results:
    """The figures of one run, and what `machine` tells of it."""

    run: dict[str, Any]
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, file: Path) -> Results:
        """The figures that `write` wrote."""
        told = json.loads(file.read_text(encoding="utf-8"))
        return cls(told["run"], tuple(Row(**row) for row in told["rows"]))

    def write(self, file: Path) -> None:
        """Figures as JSON, one a line."""
        rows = ",\n".join("  " + json.dumps(row.as_json(), ensure_ascii=False) for row in self.rows)
        run = json.dumps(self.run, ensure_ascii=False)
        file.write_text(f'{{\n "run": {run},\n "rows": [\n{rows}\n ]\n}}\n', encoding="utf-8")

    def replaced_by(self, newer: Results, names: Iterable[str]) -> Results:
        """These figures with newer ones in the place of those of the same measures; the page tells which and when."""
        measured = {row.measure for row in newer.rows}
        kept = [row for row in self.rows if row.measure not in measured]
        again = {**self.run.get("again", {}), **dict.fromkeys(names, newer.run["date"])}
        return Results({**self.run, "again": again}, (*kept, *newer.rows))

    def of(self, measure: str, **facts: str) -> list[Row]:
        """All figures of a measure, of one size, half or place where that is said."""
        return [row for row in self.rows if row.measure == measure and _fits(row, facts.items())]

    def find(self, measure: str, contestant: str, **facts: str) -> Row | None:
        """One figure, if it was made."""
        return next(iter(self.of(measure, contestant=contestant, **facts)), None)


def _fits(row: Row, facts: Iterable[tuple[str, str]]) -> bool:
    return all(getattr(row, name) == value for name, value in facts)
