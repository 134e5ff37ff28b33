"""Reads, writes and searches the figures of a run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rounds import Row


@dataclass(frozen=True)
class Results:
    """The figures of one run, and its description from `machine.describe_run`."""

    run: dict[str, Any]
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, file: Path) -> Results:
        """Read the figures that `write` wrote."""
        content = json.loads(file.read_text(encoding="utf-8"))
        return cls(content["run"], tuple(Row(**row) for row in content["rows"]))

    def write(self, file: Path) -> None:
        """Write the figures as JSON, one per line."""
        rows = ",\n".join("  " + json.dumps(row.as_json(), ensure_ascii=False) for row in self.rows)
        run = json.dumps(self.run, ensure_ascii=False)
        file.write_text(f'{{\n "run": {run},\n "rows": [\n{rows}\n ]\n}}\n', encoding="utf-8")

    def merge(self, newer: Results, names: Iterable[str]) -> Results:
        """Return these figures with those of `newer` in place of the same measures; `run` records names and date."""
        measured = {row.measure for row in newer.rows}
        kept = [row for row in self.rows if row.measure not in measured]
        again = {**self.run.get("again", {}), **dict.fromkeys(names, newer.run["date"])}
        return Results({**self.run, "again": again}, (*kept, *newer.rows))

    def of(self, measure: str, **facts: str) -> list[Row]:
        """Return the figures of a measure whose fields have these values, such as `size` and `half`."""
        return [row for row in self.rows if row.measure == measure and _has_values(row, facts.items())]

    def find(self, measure: str, contestant: str, **facts: str) -> Row | None:
        """Return the figure of one contestant, or None if it was not measured."""
        return next(iter(self.of(measure, contestant=contestant, **facts)), None)


def _has_values(row: Row, facts: Iterable[tuple[str, str]]) -> bool:
    return all(getattr(row, name) == value for name, value in facts)
