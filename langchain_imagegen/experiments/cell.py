"""`Cell`: one try of a variation in an experiment, with its picture or why there is none, and what was said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from langchain_imagegen.errors import ImageGenerationError
from langchain_imagegen.images.cost import Cost
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.images.lookup import ByteStore
from langchain_imagegen.images.result import ImageResult


class CellError(BaseModel):
    """Why a cell has no picture."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: str
    message: str
    stage: str | None = None
    categories: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: BaseException) -> CellError:
        """Return what an error says; a refusal of the safety system has a stage and categories."""
        stage, categories = getattr(error, "stage", None), getattr(error, "categories", None) or ()
        told = str(error) or type(error).__name__
        return cls(kind=type(error).__name__, message=told[:1000], stage=stage, categories=tuple(categories))

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


class Outcome(BaseModel):
    """What one try came to: a result or an error, and the seconds it took."""

    model_config = ConfigDict(frozen=True)

    result: ImageResult | None = None
    error: CellError | None = None
    seconds: float = 0.0


class Cell(BaseModel):
    """One try of a variation.

    `name` is its place on the sheet (row letter and column number), `key` the digest of its request, `variation` and
    `attempt` count from 0, `seconds` is how long the drawing took (of a picture from the ledger: its own drawing), and
    `rating` any number.
    """

    model_config = ConfigDict(extra="ignore")

    name: str
    key: str
    variation: int
    attempt: int = 0
    result: ImageResult | None = None
    error: CellError | None = None
    seconds: float | None = None
    picked: bool = False
    rating: float | None = None
    notes: list[str] = Field(default_factory=list)

    @property
    def image(self) -> GeneratedImage:
        """The cell's picture.

        Raises:
            ImageGenerationError: It has none, since drawing it failed or has not been tried.
        """
        if self.result is None:
            raise ImageGenerationError(f"cell {self.name} has no picture: {self.error or 'it was not drawn yet'}")
        return self.result.image

    def fill(self, outcome: Outcome) -> None:
        """Take what a try came to. Picks, ratings and notes stay."""
        self.result, self.error = outcome.result, outcome.error
        drawing = self.result.image.seconds if self.result and self.result.from_ledger else None
        self.seconds = round(outcome.seconds if drawing is None else drawing, 2)

    def bind(self, store: ByteStore) -> Self:
        """Return the cell with the bytes of its pictures read from `store`."""
        return self if self.result is None else self.model_copy(update={"result": self.result.bind(store)})

    def take_marks(self, record: Mapping[str, Any]) -> None:
        """Take pick, rating and notes of a cell's record."""
        self.picked, self.rating = bool(record.get("picked")), record.get("rating")
        self.notes = list(record.get("notes", ()))

    def cost(self) -> Cost:
        """Return what the picture cost when it was drawn, although a later run had it from the ledger."""
        return Cost() if self.result is None else self.result.model_copy(update={"from_ledger": False}).cost()

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield the name, the handle or the error, and what was said of it; `record()` has everything."""
        yield None, self.name
        if self.result:
            yield "handle", self.result.image.handle
        for name in ("error", "seconds", "picked", "rating", "notes"):
            if value := getattr(self, name):
                yield name, value

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Return what a notebook shows: the picture, or why there is none."""
        del include, exclude
        if self.result is None:
            text = f"{self.name}: {self.error or 'not drawn yet'}"
            return {"text/plain": text, "text/html": f"<p>{escape(text)}</p>"}
        return {**self.image.view().bundle, "text/plain": repr(self)}

    def record(self) -> dict[str, Any]:
        """Return the cell as plain JSON, without bytes."""
        facts = self.model_dump(mode="json", exclude={"result"}, exclude_none=True)
        return facts | ({"result": self.result.record()} if self.result else {})
