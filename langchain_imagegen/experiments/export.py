"""Files of a sheet: one HTML page with the original pictures, or a folder of pictures with a table beside them."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.experiments.cell import Cell
from langchain_imagegen.experiments.contact_sheet import page_of
from langchain_imagegen.experiments.file_names import slug
from langchain_imagegen.experiments.results import Results
from langchain_imagegen.experiments.table import rows_of
from langchain_imagegen.images.files import free_path
from langchain_imagegen.images.sniffing import EXTENSIONS
from langchain_imagegen.options.validation import listed


def write_page(sheet: Results, path: str | os.PathLike[str]) -> Path:
    """Write a sheet as one HTML page, which needs no network, and return its path."""
    target = Path(path).expanduser()
    target = free_path(target / f"{slug(sheet.name)}.html" if target.is_dir() else target)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page_of(sheet), encoding="utf-8")
    return target


def write_folder(sheet: Results, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the pictures of a sheet and its table into a folder, and return the paths of the pictures.

    Raises:
        ImageStoreError: The image store has lost pictures; all others are written.
    """
    root = Path(folder).expanduser()
    root.mkdir(parents=True, exist_ok=True)
    written, lost = [], []
    for cell in sheet:
        for image in cell.result.images if cell.result else ():
            name = f"{_file_name(sheet, cell)}.{EXTENSIONS.get(image.mime_type, 'bin')}"
            try:
                written.append(image.save(free_path(root / name)))
            except ImageStoreError:
                lost.append(cell.name)
    free_path(root / f"{slug(sheet.name)}.csv").write_text(_csv(sheet), encoding="utf-8")
    if lost:
        raise ImageStoreError(
            f"{sheet.image_store!r} no longer has what cell {listed(lost, 'and')} showed; all other pictures are in "
            f"{str(root)!r}. Running the experiment again draws what is missing"
        )
    return written


def _file_name(sheet: Results, cell: Cell) -> str:
    labels = [label for label in sheet.labels(cell).values() if label]
    return f"{cell.name}-{slug(' '.join(labels))}" if labels else cell.name


def _csv(sheet: Results) -> str:
    rows = rows_of(sheet)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _plain(value: object) -> object:
    """Return a value whose text no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value
