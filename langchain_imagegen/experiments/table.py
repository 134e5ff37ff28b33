"""A sheet as a table: one flat dict for each cell."""

from __future__ import annotations

from typing import Any

from langchain_imagegen.experiments.cell import Cell
from langchain_imagegen.experiments.results import Results


def rows_of(sheet: Results) -> list[dict[str, Any]]:
    """Return a dict for each cell, with the same keys in each.

    `dollars` is a float, or None where no price is known; `seconds` is the duration of the drawing.
    """
    return [_row(sheet, cell) for cell in sheet]


def _row(sheet: Results, cell: Cell) -> dict[str, Any]:
    variation = sheet.variations[cell.variation]
    image = cell.result.image if cell.result else None
    usage = cell.result.image_usage if cell.result else None
    total = cell.cost().total if cell.result else None
    options = {name: variation.options.get(name) for each in sheet.variations for name in each.options}
    return {
        "cell": cell.name,
        "prompt": variation.prompt,
        "source": variation.labels()["source"] or None,
        **options,
        "try": cell.attempt + 1,
        "handle": image.handle if image else None,
        "revised_prompt": image.revised_prompt if image else None,
        "width": image.width if image else None,
        "height": image.height if image else None,
        "bytes": image.size_bytes if image else None,
        "tokens": usage.total_tokens if usage else None,
        "dollars": None if total is None else float(total),
        "seconds": cell.seconds,
        "picked": cell.picked,
        "rating": cell.rating,
        "notes": "; ".join(cell.notes),
        "error": str(cell.error) if cell.error else None,
    }
