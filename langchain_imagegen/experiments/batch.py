"""What is left to draw of an experiment: its requests, their price, and where each result goes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Generator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from langchain_imagegen.drawing.batches import interruptible
from langchain_imagegen.drawing.estimate import estimate
from langchain_imagegen.drawing.generator import ImageGenerator
from langchain_imagegen.errors import OptionError
from langchain_imagegen.experiments.cell import Cell, CellError, Outcome
from langchain_imagegen.experiments.plan import Variation
from langchain_imagegen.experiments.results import Results
from langchain_imagegen.images.cost import Cost, read_dollars

Kept = TypeVar("Kept", bound=Results)


@dataclass(frozen=True)
class Batch(Generic[Kept]):
    """The cells that have no picture yet.

    Args:
        sheet: The sheet, which is saved after each picture.
        cells: Those of its cells that are drawn now.
        draw: The generator, with all of its options.
        runnable: The same, with its config: it draws them.
    """

    sheet: Kept
    cells: Sequence[Cell]
    draw: ImageGenerator
    runnable: Runnable[Any, Any]

    @property
    def cost(self) -> Cost:
        """What the cells cost at most."""
        return sum((estimated(self.sheet.variations[cell.variation], self.draw) for cell in self.cells), Cost())

    @property
    def announcement(self) -> str:
        """How many pictures are drawn, and at which price."""
        done, missing = len(self.sheet) - len(self.cells), len(self.cells)
        told = f"{self.sheet.name}: {len(self.sheet)} picture{'s' * (len(self.sheet) > 1)}"
        if done:
            told += f", {done} of them drawn before"
        if not missing:
            return told
        subject = f"the other {missing}" if done else "they" if missing > 1 else "it"
        return f"{told}; {subject} cost{'s' * (missing == 1)} {self.cost}"

    @property
    def how_to_spend_less(self) -> str:
        """What lowers the price; a lower quality only if a picture is asked for at more than the lowest."""
        options = (self.draw.options.merge(self.sheet.variations[cell.variation].options) for cell in self.cells)
        return "vary less" if all(each.quality == "low" for each in options) else "vary less, ask for low quality"

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests, each with a name in the ledger: what an earlier kernel bought is not bought again."""
        named = ((cell, self.sheet.variations[cell.variation]) for cell in self.cells)
        return [{**each.request(), "once": f"experiment {self.sheet.name} {cell.key}"} for cell, each in named]

    @property
    def timed(self) -> Runnable[Any, Outcome]:
        """A runnable that draws a request, and returns the result or the error with the seconds it took."""

        def drawn(request: Any, config: RunnableConfig) -> Outcome:
            began = time.monotonic()
            try:
                result = self.runnable.invoke(request, config)
            except Exception as error:  # noqa: BLE001 - one cell must not end the others, and the cell shows it
                return Outcome(error=CellError.of(error), seconds=time.monotonic() - began)
            return Outcome(result=result, seconds=time.monotonic() - began)

        async def adrawn(request: Any, config: RunnableConfig) -> Outcome:
            began = time.monotonic()
            try:
                result = await self.runnable.ainvoke(request, config)
            except Exception as error:  # noqa: BLE001 - one cell must not end the others, and the cell shows it
                return Outcome(error=CellError.of(error), seconds=time.monotonic() - began)
            return Outcome(result=result, seconds=time.monotonic() - began)

        return RunnableLambda(drawn, adrawn, name="Experiment")

    def outcomes(self, max_concurrency: int) -> Generator[tuple[int, Outcome]]:
        """Draw, and yield the index of each cell with what came of it; Ctrl-C ends it at once.

        Raises:
            OptionError: `max_concurrency` is no number of 1 or more.
        """
        config = _at_once(max_concurrency)
        return interruptible(lambda: self.timed.batch_as_completed(self.requests, config))

    def aoutcomes(self, max_concurrency: int) -> AsyncIterator[tuple[int, Outcome]]:
        """Return what `outcomes` does, for async drawings."""
        return self.timed.abatch_as_completed(self.requests, _at_once(max_concurrency))

    def fill(self, index: int, outcome: Outcome) -> None:
        """Put what a request came to into its cell, and save the sheet."""
        self.sheet.fill(self.cells[index], outcome)

    def check_cost(self, most: Decimal | float | str | None) -> None:
        """Refuse a batch that may cost more than `most`.

        Raises:
            OptionError: It may, or no price is known.
        """
        if most is None:
            return
        limit, cost = read_dollars("max_cost", most), self.cost
        if not self.cells:
            return
        if cost.total is None:
            raise OptionError(f"max_cost={most!r} cannot be kept, since {cost.reason}: leave it out to draw")
        if cost.total > limit:
            raise OptionError(
                f"{self.announcement}, which is above max_cost={most!r}: {self.how_to_spend_less}, or raise max_cost"
            )


def estimated(variation: Variation, draw: ImageGenerator) -> Cost:
    """Return what one picture of a variation costs at most."""
    options = draw.options.merge(variation.options)
    model = None if draw.api == "images" else draw.model
    return estimate(options, sources=len(variation.images), prompt=variation.prompt, model=model)


def _at_once(count: object) -> RunnableConfig:
    if not isinstance(count, int) or count < 1:
        raise OptionError(f"max_concurrency={count!r}: it takes a number of 1 or more")
    return {"max_concurrency": count}
