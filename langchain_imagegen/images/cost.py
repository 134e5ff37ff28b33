"""`Cost`: dollars in parts, and what tokens cost. Prices stand in `prices`, and estimates in `drawing.estimate`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, computed_field

from langchain_imagegen.errors import OptionError
from langchain_imagegen.images.prices import Price, price_tokens

Part = Literal["image_output", "image_input", "text", "mainline"]

_PART_OF: Mapping[str, Part] = {
    "image_out": "image_output",
    "image_in": "image_input",
    "image_cached": "image_input",
    "text_in": "text",
    "text_cached": "text",
    "text_out": "text",
}
PARTS: tuple[Part, ...] = ("image_output", "image_input", "text", "mainline")


class Cost(BaseModel):
    """What pictures cost in dollars, in four parts, with the source and date of each price.

    Costs add up: `sum(costs, Cost())`. A part is `None` while nothing is known of it. `total` is `None` if anything is
    missing, and `reason` says what; `known` is the sum without it.
    """

    model_config = ConfigDict(frozen=True)

    image_output: Decimal | None = Field(default=None, description="tokens of the pictures, partial ones included")
    image_input: Decimal | None = Field(default=None, description="tokens of source pictures, read by the image model")
    text: Decimal | None = Field(default=None, description="text tokens of the image model: the prompt")
    mainline: Decimal | None = Field(default=None, description="tokens of the mainline model, which calls the tool")
    prices: tuple[Price, ...] = Field(default=(), description="where each price was found, and when it was right")
    missing: tuple[str, ...] = Field(default=(), description="what is not known, and why")
    estimated: bool = Field(default=False, description="whether tables gave the tokens instead of the service")
    assumptions: tuple[str, ...] = Field(default=(), description="what an estimate assumes")

    @property
    def known(self) -> Decimal:
        """The sum of the parts that are known."""
        return sum((value for part in PARTS if (value := getattr(self, part)) is not None), Decimal(0))

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> Decimal | None:
        """Dollars in all; `None` if something is not known."""
        return None if self.missing else self.known

    @property
    def reason(self) -> str:
        """Why `total` is `None`; empty if it is known."""
        return "; ".join(self.missing)

    def __add__(self, other: Cost | int) -> Self:
        if isinstance(other, int):  # `sum` begins with 0
            return self
        parts = {part: _sum_of(getattr(self, part), getattr(other, part)) for part in PARTS}
        lists = ("prices", "missing", "assumptions")
        joined = {name: tuple(dict.fromkeys([*getattr(self, name), *getattr(other, name)])) for name in lists}
        return type(self)(**parts, **joined, estimated=self.estimated or other.estimated)

    __radd__ = __add__

    def times(self, count: int) -> Self:
        """Return the cost of `count` equal calls."""
        parts: dict[str, Any] = {part: getattr(self, part) for part in PARTS}
        parts = {part: None if value is None else count * value for part, value in parts.items()}
        return self.model_copy(update=parts)

    def __str__(self) -> str:
        if self.missing:
            known = f"at least {dollars(self.known)}; the rest is " if self.known else ""
            return f"{known}not known: {self.reason}"
        return f"at most {dollars(self.known)}" if self.estimated else dollars(self.known)

    def __repr__(self) -> str:
        """Return the total and the parts that are not zero; `model_dump()` has everything."""
        parts = ", ".join(f"{part} {dollars(value)}" for part in PARTS if (value := getattr(self, part)))
        return f"Cost({self})" if self.missing or not parts else f"Cost({self}: {parts})"


NOTHING_DRAWN = Cost(**{part: Decimal(0) for part in PARTS})
NOTHING_BOUGHT = NOTHING_DRAWN.model_copy(update={"assumptions": ("the ledger had the pictures already",)})


def dollars(amount: Decimal) -> str:
    """Return an amount as text: two digits behind the point, or four below a dollar."""
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}"


def read_dollars(option: str, value: Any) -> Decimal:
    """Return dollars as a developer writes them: `Decimal("0.5")`, `0.5` or `"$0.50"`.

    Raises:
        OptionError: It is no amount.
    """
    text = str(value).strip().removeprefix("$")
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not amount.is_finite() or amount < 0:
        raise OptionError(f"{option}={value!r}: it takes dollars, such as '$0.50' or 0.5")
    return amount


def unknown(reason: str) -> Cost:
    """Return a cost of which nothing is known, and why."""
    return Cost(missing=(reason,))


def cost_of_image_tokens(tokens: Mapping[str, int], model: str, at: datetime | None = None) -> Cost:
    """Return what tokens of an image model cost; `tokens` are by kind as in `prices`."""
    priced = price_tokens(model, tokens, at)
    if priced is None:
        return _zero_or_unpriced(tokens, model, ("image_output", "image_input", "text"))
    parts: dict[str, Decimal] = {part: Decimal(0) for part in PARTS if part != "mainline"}
    for kind, amount in priced.dollars.items():
        parts[_PART_OF[kind]] += amount
    return Cost(**parts, prices=(priced.price,))


def cost_of_mainline_tokens(
    tokens: Mapping[str, int], model: str, at: datetime | None = None, *, calls: int = 1
) -> Cost:
    """Return what tokens of a mainline model cost; `tokens` are by kind as in `prices`, of so many `calls`."""
    priced = price_tokens(model, tokens, at, calls=calls)
    if priced is None:
        return _zero_or_unpriced(tokens, model, ("mainline",))
    return Cost(mainline=sum(priced.dollars.values(), Decimal(0)), prices=(priced.price,))


def _zero_or_unpriced(tokens: Mapping[str, int], model: str, parts: tuple[Part, ...]) -> Cost:
    if not any(tokens.values()):
        return Cost(**{part: Decimal(0) for part in parts})
    return unknown(f"no price of {model!r} is known here")


def _sum_of(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other
