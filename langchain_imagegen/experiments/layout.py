"""Rows and columns of a contact sheet: which cell stands where, and what labels it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from langchain_imagegen.experiments.plan import Variation, varying


@dataclass
class Layout:
    """The labels of rows and columns, and the place of each try as (row, column), both from 0."""

    rows: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    places: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, variations: Sequence[Variation], tries: int) -> Layout:
        """Return the layout of all tries: the first of what varies in rows, the rest and the tries in columns."""
        names = varying(variations)
        in_rows = names[:1] if len(names) + (tries > 1) > 1 else []
        layout = cls()
        for number, variation in enumerate(variations):
            labels = variation.labels()
            row = _index(layout.rows, "".join(labels[name] for name in in_rows))
            told = [labels[name] or "default" for name in names if name not in in_rows]
            for attempt in range(tries):
                column = " · ".join([*told, f"try {attempt + 1}"] if tries > 1 else told)
                layout.places[number, attempt] = (row, layout.free_column(row, column))
        return layout

    def free_column(self, row: int, label: str) -> int:
        """Return the column of a label whose cell in this row is free; a second one of that label gets a number."""
        taken = {column for place_row, column in self.places.values() if place_row == row}
        again = 1
        while (index := _index(self.columns, label if again == 1 else f"{label} ({again})".strip())) in taken:
            again += 1
        return index

    def name(self, variation: int, attempt: int) -> str:
        """Return the name of a cell, such as `B3`: row letter and column number."""
        row, column = self.places[variation, attempt]
        return f"{_letters(row)}{column + 1}"


def _index(labels: list[str], label: str) -> int:
    if label not in labels:
        labels.append(label)
    return labels.index(label)


def _letters(number: int) -> str:
    """Return 0 as `A`, 25 as `Z`, 26 as `AA`."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("A") + rest) + text
    return text
