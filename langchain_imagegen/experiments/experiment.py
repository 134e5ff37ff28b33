"""`Experiment`: variations that are drawn as one batch, each bought once, and the `Sheet` of what came of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from contextlib import closing
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, Literal, Self

from langchain_imagegen.drawing.generator import ImageGenerator
from langchain_imagegen.errors import OptionError
from langchain_imagegen.experiments.archive import read_file, read_record, saved_names
from langchain_imagegen.experiments.batch import Batch, estimated
from langchain_imagegen.experiments.cell import Cell
from langchain_imagegen.experiments.contact_sheet import edge_for, html_of
from langchain_imagegen.experiments.drawn_by import identity_of, settings_of, unbound, with_config_of, with_settings
from langchain_imagegen.experiments.export import write_folder, write_page
from langchain_imagegen.experiments.layout import Layout
from langchain_imagegen.experiments.plan import Variation, grid, several
from langchain_imagegen.experiments.progress import Progress
from langchain_imagegen.experiments.results import Results
from langchain_imagegen.experiments.saving import cells_of
from langchain_imagegen.experiments.table import rows_of
from langchain_imagegen.images.cost import Cost
from langchain_imagegen.images.notebook import View
from langchain_imagegen.options.options import ImageOptions
from langchain_imagegen.options.validation import did_you_mean, listed
from langchain_imagegen.storage.store import ImageStore, default_store


class Sheet(Results):
    """The contact sheet of an experiment, kept by name in the image store.

    In a notebook it shows itself; a click on a picture enlarges it.
    """

    @classmethod
    def load(cls, name: str, *, image_store: ImageStore | None = None) -> Self:
        """Return the sheet that was saved under a name, in any process that has the image store.

        Raises:
            OptionError: There is none; the error names those that there are.
        """
        store = image_store or default_store()
        record = read_record(name, store)
        if record is None:
            names = saved_names(store)
            there = f"there are {listed(names, 'and')}" if names else "there is none"
            raise OptionError(f"{store!r} keeps no experiment {name!r}; {there}{did_you_mean(name, names)}")
        return cls.of_record(record, store)

    @classmethod
    async def aload(cls, name: str, *, image_store: ImageStore | None = None) -> Self:
        """Async twin of `load`."""
        return await asyncio.to_thread(cls.load, name, image_store=image_store)

    @classmethod
    def of_record(cls, record: Mapping[str, Any], store: ImageStore) -> Self:
        """Return the sheet of a record, with the bytes of its pictures read from `store`."""
        variations = [Variation.of_record(each, store) for each in record["variations"]]
        cells = [Cell.model_validate(each).bind(store) for each in record["cells"]]
        settings = record.get("settings")
        return cls(
            str(record["name"]), variations, cells, tries=int(record["tries"]), image_store=store, settings=settings
        )

    def edit(self, *prompts: str, name: str | None = None, **plan: Any) -> Experiment:
        """Return an experiment that edits each of the picked pictures by each of the prompts.

        Args:
            prompts: What to change.
            name: The name of the new experiment; made of the sheet's name and the first prompt if `None`.
            plan: Further arguments of `Experiment`, such as `n` or `options`.

        Raises:
            OptionError: No cell is picked, or there is no prompt.
        """
        sources = [[cell.image] for cell in self.picked]
        if not sources or not prompts:
            raise OptionError("pick the cells to edit and say how: sheet.pick('A1').edit('make it winter')")
        return Experiment(name or f"{self.name}: {prompts[0]}", prompts=prompts, sources=sources, **plan)

    def to_records(self) -> list[dict[str, Any]]:
        """Return a flat dict for each cell: what varies, size, tokens, dollars, seconds, rating, notes, error."""
        return rows_of(self)

    def to_pandas(self) -> Any:
        """Return the table as a `pandas.DataFrame`; needs pandas.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise ImportError("to_pandas() needs pandas: pip install pandas; to_records() does without") from error
        return DataFrame(self.to_records())

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write the sheet with the original pictures as one HTML file; an earlier file stays, and the new is numbered.

        Returns:
            The path of the file.
        """
        return write_page(self, path)

    def export(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write each picture into a folder, and the table as `<name>.csv`; files that are there stay.

        Returns:
            The paths of the pictures, named by cell and what varies: `A1-draw-a-fox-quality-low.png`.

        Raises:
            ImageStoreError: The image store has lost pictures. All others are written; running the experiment again
                draws those that are lost.
        """
        return write_folder(self, folder)

    def view(self, *, edge: int | Literal["auto"] | None = "auto") -> View:
        """Return what a notebook shows of the sheet; a click on a picture enlarges it.

        Args:
            edge: Pixels of the longer edge of a preview; `"auto"` is 512, and less for more than 24 pictures. `None`
                shows the pictures themselves, which makes the notebook a third larger than all of them.
        """
        html = html_of(self, edge=edge_for(len(self.images())) if edge == "auto" else edge)
        return View({"text/html": html, "text/plain": repr(self)})

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        del include, exclude
        return dict(self.view().bundle)


class Experiment:
    """A grid or a list of variations, each drawn `n` times.

    The grid is each of `prompts` with each of `options`, `models` and `sources`; a single one needs no list. Running an
    experiment again, in any kernel, buys only what its sheet lacks: cells that failed, those that are new in the plan,
    and those whose picture was deleted. What was under way when a kernel died is found by the ledger. A changed plan of
    the same name keeps what its cells have, and what they had is there again when the plan is changed back.

    Args:
        name: The name under which the sheet is kept in the image store.
        prompts: What to draw, or how to edit.
        options: Options of `ImageOptions` that vary, each a dict, such as `[{"quality": "low"}, {"quality": "high"}]`.
        models: Image models.
        sources: What is edited: each is a reference, or a list of references that go into one picture.
        variations: A list of variations in place of the grid: prompts, or dicts of `prompt`, `images` and options.
        n: How many pictures of each variation.

    Raises:
        OptionError: An option does not exist or is out of bounds, or nothing is to be drawn.

    Examples:
        >>> foxes = Experiment("foxes", prompts=["draw a fox"], options=[{"quality": "low"}, {"quality": "high"}], n=2)
        >>> sheet = foxes.run(ImageGenerator(), max_cost="$1")
        >>> sheet.pick("A1").edit("make it winter").run(ImageGenerator())
    """

    def __init__(
        self,
        name: str,
        *,
        prompts: Iterable[str] | str = "",
        options: Iterable[Mapping[str, Any] | ImageOptions] | Mapping[str, Any] | ImageOptions = (),
        models: Iterable[str] | str = (),
        sources: Any = (),
        variations: Iterable[Variation | Mapping[str, Any] | str] | Variation | Mapping[str, Any] | str = (),
        n: int = 1,
    ) -> None:
        listed_one_by_one = tuple(map(Variation.of, several(variations)))
        self.name, self.n = name, n
        self._settings: Mapping[str, Any] = {}
        self.variations = listed_one_by_one or grid(prompts, options, models, sources)
        if not isinstance(name, str) or not name.strip():
            raise OptionError(f"name={name!r} names no experiment: give a text, under which its sheet is kept")
        if not isinstance(n, int):
            raise OptionError(f"n={n!r}: it takes a number, how often each variation is drawn")
        if n < 1 or not self.variations or not all(each.prompt or each.images for each in self.variations):
            raise OptionError("there is nothing to draw: give prompts, or variations with a prompt, and n of 1 or more")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, image_store: ImageStore | None = None) -> Self:
        """Return the experiment that `Sheet.to_file` wrote; its source pictures are put into the image store.

        It is drawn with the settings of the generator that drew it first, whatever those of the generator are that
        draws it now: API, mainline model, options, instructions, reasoning and tool choice. `model_kwargs` are not in
        the file, since they may hold keys, and are those of the generator that draws.

        Raises:
            OptionError: It is no file of an experiment.
        """
        store = image_store or default_store()
        record = read_file(path, store)
        variations = [Variation.of_record(each, store) for each in record["variations"]]
        experiment = cls(str(record["name"]), variations=variations, n=int(record["tries"]))
        settings = record.get("settings")
        experiment._settings = settings if isinstance(settings, dict) else {}
        return experiment

    def __len__(self) -> int:
        return len(self.variations) * self.n

    def __repr__(self) -> str:
        return f"Experiment({self.name!r}: {len(self.variations)} variations, {len(self)} pictures)"

    def estimate(self, draw: ImageGenerator) -> Cost:
        """Return what all pictures cost at most, were none drawn yet; see `langchain_imagegen.estimate`."""
        generator = self._as_recorded(unbound(draw))
        return sum((estimated(each, generator).times(self.n) for each in self.variations), Cost())

    def run(
        self,
        draw: ImageGenerator,
        *,
        max_cost: Decimal | float | str | None = None,
        max_concurrency: int = 4,
        progress: bool = True,
    ) -> Sheet:
        """Draw what the sheet of this name lacks, and return the sheet. A picture that fails is a cell with an error.

        Ctrl-C ends it at once. Requests that were sent go on, and the next run finds their pictures in the ledger.

        Args:
            draw: What draws; its image store keeps the sheet. Options and instructions may be bound to it.
            max_cost: Refuse to begin if the estimate of what is missing is higher: dollars, or a text such as `"$1"`.
            max_concurrency: How many pictures are drawn at the same time.
            progress: Whether to say what is drawn and at which price, and to show a progress bar.

        Raises:
            OptionError: The estimate is above `max_cost`, or is not known; or something else than a generator draws.
            UnknownImageError: A source names no picture.
        """
        batch = self.batch(draw, max_cost)
        with (
            Progress(batch.announcement, len(batch.cells), shown=progress) as bar,
            closing(batch.outcomes(max_concurrency)) as outcomes,
        ):
            for index, outcome in outcomes:
                batch.fill(index, outcome)
                bar.advance()
        return batch.sheet

    async def arun(
        self,
        draw: ImageGenerator,
        *,
        max_cost: Decimal | float | str | None = None,
        max_concurrency: int = 4,
        progress: bool = True,
    ) -> Sheet:
        """Async twin of `run`."""
        batch = await asyncio.to_thread(self.batch, draw, max_cost)
        with Progress(batch.announcement, len(batch.cells), shown=progress) as bar:
            async for index, outcome in batch.aoutcomes(max_concurrency):
                await asyncio.to_thread(batch.fill, index, outcome)
                bar.advance()
        return batch.sheet

    def batch(self, draw: ImageGenerator, max_cost: Decimal | float | str | None = None) -> Batch[Sheet]:
        """Return what `run` would draw now: its `cells`, `cost` and `announcement`. Nothing is drawn.

        Args:
            draw: As for `run`.
            max_cost: As for `run`.

        Raises:
            OptionError: It may cost more than `max_cost`.
        """
        generator = self._as_recorded(unbound(draw))
        sheet = self._sheet(generator)
        sheet.drop_lost()
        missing = [cell for cell in sheet if cell.result is None]
        batch = Batch(sheet, missing, generator, with_config_of(draw, generator))
        batch.check_cost(max_cost)
        return batch

    def _as_recorded(self, draw: ImageGenerator) -> ImageGenerator:
        """Return the generator with the settings of the file that the experiment was read from."""
        return with_settings(draw, self._settings) if self._settings else draw

    def _sheet(self, draw: ImageGenerator) -> Sheet:
        """Return the sheet with the cells of earlier runs that drew the same, and empty ones for the others."""
        store = draw.chosen_store
        variations = [each.resolved(draw.memory, store) for each in self.variations]
        layout = Layout.of(variations, self.n)
        earlier = cells_of(read_record(self.name, store))
        cells: dict[str, Cell] = {}
        for (number, attempt), _ in sorted(layout.places.items(), key=lambda place: place[1]):
            identity = identity_of(draw, draw.options.merge(variations[number].options).sent())
            keys = (variations[number].digest(identity, each) for each in count(attempt, self.n))
            key = next(key for key in keys if key not in cells)  # an equal variation is another picture
            place = {"name": layout.name(number, attempt), "variation": number, "attempt": attempt}
            cells[key] = Cell.model_validate({**earlier.get(key, {}), "key": key, **place}).bind(store)
        return Sheet(self.name, variations, cells.values(), tries=self.n, image_store=store, settings=settings_of(draw))
