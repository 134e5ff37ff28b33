"""`Results`: the cells of an experiment, which take ratings and notes and are kept by name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Real
from pathlib import Path
from typing import Any, Self, TypeGuard

from langchain_imagegen.errors import OptionError
from langchain_imagegen.experiments.archive import remove_record, write_file
from langchain_imagegen.experiments.cell import Cell, Outcome
from langchain_imagegen.experiments.comparison import Comparison
from langchain_imagegen.experiments.layout import Layout
from langchain_imagegen.experiments.plan import Variation, varying
from langchain_imagegen.experiments.saving import Change, drawn, marked, replaced, save
from langchain_imagegen.images.cost import Cost
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.images.image_list import ImageList
from langchain_imagegen.options.validation import listed
from langchain_imagegen.storage.store import ImageStore

_AT_ONCE = 16  # pictures that a store is asked for at the same time


class Results:
    """The cells of an experiment in rows and columns: `sheet["B2"]`, `for cell in sheet`.

    Picks, ratings and notes are saved at once under the sheet's name in the image store, and those that another kernel
    has saved meanwhile stay. `settings` are those of the generator that drew it.
    """

    def __init__(
        self,
        name: str,
        variations: Sequence[Variation],
        cells: Iterable[Cell],
        *,
        tries: int,
        image_store: ImageStore,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.tries, self.image_store = name, tries, image_store
        self.settings = settings
        self.variations = tuple(variations)
        self.layout = Layout.of(self.variations, tries)
        self.cells = {cell.name: cell for cell in cells}

    def save(self) -> None:
        """Write the sheet as it is into its image store; experiments and the methods below save by themselves."""
        self._save({cell.key: replaced(cell.record()) for cell in self}, plan=True)

    def fill(self, cell: Cell, outcome: Outcome) -> None:
        """Put what a try came to into a cell of the sheet, and save the sheet with its plan."""
        cell.fill(outcome)
        self._save({cell.key: drawn(cell.record())}, plan=True)

    def delete(self) -> None:
        """Remove the saved sheet; the pictures stay. See `ImageStore.delete`."""
        remove_record(self.name, self.image_store)

    @property
    def picked(self) -> list[Cell]:
        """The cells that were picked."""
        return [cell for cell in self if cell.picked]

    @property
    def failed(self) -> list[Cell]:
        """The cells whose drawing failed; running the experiment again tries them again."""
        return [cell for cell in self if cell.error]

    def drop_lost(self) -> None:
        """Empty the cells whose pictures the image store has lost. What is saved stays until they are drawn again."""
        drawn_before = [cell for cell in self if cell.result]
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            kept = threads.map(self._keeps, drawn_before)
        for cell, is_kept in zip(drawn_before, kept, strict=True):
            if not is_kept:
                place = {"name": cell.name, "key": cell.key, "variation": cell.variation, "attempt": cell.attempt}
                self.cells[cell.name] = Cell.model_validate(place)

    def _keeps(self, cell: Cell) -> bool:
        return all(image.sha256 in self.image_store for image in (cell.result.images if cell.result else ()))

    def pick(self, *names: str, rating: float | None = None) -> Self:
        """Pick cells, and rate them if a rating is given; return the sheet."""
        return self._change(names, picked=True, **({} if rating is None else {"rating": rating}))

    def unpick(self, *names: str) -> Self:
        """Take cells out of the picked ones; return the sheet."""
        return self._change(names, picked=False)

    def rate(self, name: str, rating: float | None) -> Self:
        """Rate a cell by any number, `None` takes the rating back; return the sheet.

        Raises:
            OptionError: The rating is no number.
        """
        return self._change([name], rating=rating)

    def note(self, name: str, text: str) -> Self:
        """Add a note to a cell, once for each text; return the sheet."""
        return self._change([name], notes=[text])

    def labels(self, cell: Cell) -> dict[str, str]:
        """Return what tells a cell from others, by the name of what varies."""
        labels = self.variations[cell.variation].labels()
        told = {name: labels[name] for name in varying(self.variations)}
        return {**told, "try": str(cell.attempt + 1)} if self.tries > 1 else told

    def compare(self, *names: str) -> Comparison:
        """Return two cells under a slider, or several side by side; without names, those that are picked."""
        cells = [self[name] for name in names] or self.picked
        if not cells:
            raise OptionError("there is nothing to compare: name cells, such as sheet.compare('A1', 'A2')")
        return Comparison(tuple((cell.name, cell.image) for cell in cells))

    def cost(self) -> Cost:
        """Return what the pictures of the sheet cost when they were drawn."""
        return sum((cell.cost() for cell in self), Cost())

    def to_file(self, path: str | os.PathLike[str]) -> Path:
        """Write plan and results as JSON; `Experiment.from_file` repeats the experiment from this file alone.

        The source pictures are in the file, those that were drawn are not.
        """
        sources = {image.sha256: image for each in self.variations for image in each.images if _has_bytes(image)}
        return write_file(path, self.record(), sources.values())

    def __getitem__(self, name: str) -> Cell:
        try:
            return self.cells[name.upper()]
        except (KeyError, AttributeError):
            raise OptionError(f"there is no cell {str(name)[:20]!r}: {listed(list(self.cells), 'and')}") from None

    def __iter__(self) -> Iterator[Cell]:
        return iter(self.cells.values())

    def __len__(self) -> int:
        return len(self.cells)

    def images(self) -> list[GeneratedImage]:
        """Return the pictures, row by row."""
        return ImageList(image for cell in self if cell.result for image in cell.result.images)

    def record(self) -> dict[str, Any]:
        """Return plan and cells as plain JSON, without bytes."""
        variations = [each.record() for each in self.variations]
        cells = [cell.record() for cell in self]
        settings = {"settings": dict(self.settings)} if self.settings else {}
        return {"name": self.name, "tries": self.tries, **settings, "variations": variations, "cells": cells}

    def digests(self) -> set[str]:
        """Return the digests of all bytes that the sheet needs, for `ImageStore.prune(keep=…)`."""
        sources = (image for each in self.variations for image in each.images if _has_bytes(image))
        return {digest for image in (*self.images(), *sources) for digest in image.digests()}

    def __repr__(self) -> str:
        drawn = sum(cell.result is not None for cell in self)
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"{type(self).__name__}({self.name!r}: {drawn} of {len(self)} drawn{failed}, {self.cost()})"

    def _change(self, names: Iterable[str], **changes: Any) -> Self:
        rating = changes.get("rating")
        if rating is not None and not isinstance(rating, Real):
            raise OptionError(f"rating={rating!r}: it takes a number, such as 4 or 4.5")
        cells = [self[name] for name in names]
        valid = [Cell.model_validate({**dict(cell), **changes}) for cell in cells]
        self._save({cell.key: marked({name: getattr(cell, name) for name in changes}) for cell in valid}, plan=False)
        return self

    def _save(self, changes: Mapping[str, Change], *, plan: bool) -> None:
        """Save changes of cells, and take over the marks that others have saved."""
        saved = save(self.record(), self.image_store, changes, plan=plan)
        for cell in self:
            cell.take_marks(saved[cell.key])


def _has_bytes(image: object) -> TypeGuard[GeneratedImage]:
    """Return True unless the service finds a source picture by itself."""
    return isinstance(image, GeneratedImage)
