"""What a token costs: OpenAI's list prices as a dated table, and the same from `genai-prices` where it is installed.

Standard prices in dollars. Batch and flex calls cost half, priority calls more; an answer does not say what was billed.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MILLION = Decimal(1_000_000)
_SAMPLE = 1000  # tokens by which the price of one is found
_LONG = 200_000  # input tokens of a call, from which on some text models cost more
_LIST = "OpenAI's price list"
_LISTED = date(2026, 10, 14)

Tokens = Mapping[str, int]
"""Counts by kind: `text_in`, `text_cached`, `image_in`, `image_cached`, `text_out`, `image_out`."""


class Price(BaseModel):
    """Where the price of a model was found: the source, and the day on which it was right there."""

    model_config = ConfigDict(frozen=True)

    model: str
    source: str
    checked: date | None = None

    def __str__(self) -> str:
        return f"{self.model}: {self.source}" + (f", {self.checked}" if self.checked else "")


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars for a million tokens of each kind; an image model that writes no text has the image price there."""

    text_in: Decimal
    text_cached: Decimal
    text_out: Decimal
    image_in: Decimal | None = None
    image_cached: Decimal | None = None
    image_out: Decimal | None = None
    source: str = _LIST
    checked: date = _LISTED


@dataclass(frozen=True, slots=True)
class Priced:
    """Dollars by kind of token, those of a long prompt under its first kind, and where the price was found."""

    dollars: Mapping[str, Decimal]
    price: Price


def _image(
    text: str, cached: str, image: str, image_cached: str, out: str, *, text_out: str = "", **told: Any
) -> Rates:
    text_in, text_cached, image_in, cached_image, image_out = map(Decimal, (text, cached, image, image_cached, out))
    written = Decimal(text_out) if text_out else image_out
    return Rates(text_in, text_cached, written, image_in, cached_image, image_out, **told)


def _text(text: str, cached: str, out: str) -> Rates:
    return Rates(Decimal(text), Decimal(cached), Decimal(out))


_GPT_IMAGE_2 = _image("5", "1.25", "8", "2", "30")
_GPT_IMAGE_2_6 = _image("5", "1.25", "8", "2", "30", source="reports of users", checked=date(2026, 11, 5))
_GPT_IMAGE_1_5 = _image("5", "1.25", "8", "2", "32", text_out="10")

RATES: Mapping[str, Rates] = {
    "gpt-image-2.6-sunburst": _GPT_IMAGE_2_6,
    "gpt-image-2.6-flare": _GPT_IMAGE_2_6,
    "gpt-image-2.5-sunburst": _GPT_IMAGE_2,
    "gpt-image-2.5-flare": _GPT_IMAGE_2,
    "gpt-image-2": _GPT_IMAGE_2,
    "gpt-image-1.5": _GPT_IMAGE_1_5,
    "chatgpt-image-latest": _GPT_IMAGE_1_5,
    "gpt-image-1": _image("5", "1.25", "10", "2.5", "40"),
    "gpt-image-1-mini": _image("2", "0.2", "2.5", "0.25", "8"),
    "gpt-5.4": _text("2.5", "0.25", "15"),  # up to 272,000 input tokens
    "gpt-5.4-mini": _text("0.75", "0.075", "4.5"),
    "gpt-5.4-nano": _text("0.2", "0.02", "1.25"),
    "gpt-5.2": _text("1.75", "0.175", "14"),
    "gpt-5": _text("1.25", "0.125", "10"),
    "gpt-5-mini": _text("0.25", "0.025", "2"),
    "gpt-5-nano": _text("0.05", "0.005", "0.4"),
    "o3": _text("2", "0.5", "8"),
    "gpt-4.1": _text("2", "0.5", "8"),
    "gpt-4.1-mini": _text("0.4", "0.1", "1.6"),
    "gpt-4.1-nano": _text("0.1", "0.025", "0.4"),
    "gpt-4o": _text("2.5", "1.25", "10"),
    "gpt-4o-mini": _text("0.15", "0.075", "0.6"),
}
"""The table. Every price but those of 2.6 was on OpenAI's pricing page on the day of `checked`."""


def base_name(model: str) -> str:
    """Return a model's name without the date of a snapshot."""
    return _SNAPSHOT.sub("", model)


def price_tokens(model: str, tokens: Tokens, at: datetime | None = None, *, calls: int = 1) -> Priced | None:
    """Return what tokens of a model cost, from `genai-prices` if it is installed and knows the model, else the table.

    Args:
        model: An image model or a mainline model; the date of a snapshot is ignored in the table.
        tokens: How many tokens of each kind.
        at: When they were used. Only `genai-prices` knows earlier prices.
        calls: How many calls took the tokens together; prices of long prompts go by the prompt of one call.
    """
    return _of_genai_prices(model, tokens, at, calls) or _of_table(model, tokens)


@cache
def load_prices() -> None:
    """Import `genai-prices`, if it is installed. This reads files, for which an event loop must not wait, so what
    looks up prices in one calls this first, when it is made.
    """
    price_tokens("gpt-image-1", {"image_out": 1})


def _of_table(model: str, tokens: Tokens) -> Priced | None:
    rates = RATES.get(base_name(model))
    if rates is None:
        return None
    prices = {kind: getattr(rates, kind) for kind, count in tokens.items() if count}
    if None in prices.values():
        return None
    dollars = {kind: tokens[kind] * price / _MILLION for kind, price in prices.items()}
    return Priced(dollars, Price(model=model, source=rates.source, checked=rates.checked))


def _of_genai_prices(model: str, tokens: Tokens, at: datetime | None, calls: int) -> Priced | None:
    try:
        genai_prices: Any = importlib.import_module("genai_prices")
    except ImportError:
        return None
    dollars: dict[str, Decimal] = {}
    found: Any = None
    for kinds in _groups(tokens, calls):
        counts = {kind: tokens[kind] if len(kinds) > 1 else _SAMPLE for kind in kinds}
        try:
            usage = genai_prices.Usage(**_usage(counts))
            found = genai_prices.calc_price(usage, model, provider_id="openai", genai_request_timestamp=at)
        except (LookupError, ValueError):
            return None
        dollars[kinds[0]] = Decimal(found.total_price) * tokens[kinds[0]] / counts[kinds[0]]
    if found is None:
        return None
    source = f"genai-prices {genai_prices.__version__}"
    return Priced(dollars, Price(model=model, source=source, checked=_checked(found)))


def _groups(tokens: Tokens, calls: int) -> list[list[str]]:
    """Return the kinds to price one by one, or all at once for a long prompt, which has prices of its own."""
    kinds = [kind for kind, count in tokens.items() if count]
    prompt = (tokens.get("text_in", 0) + tokens.get("text_cached", 0)) / calls
    return [kinds] if prompt > _LONG else [[kind] for kind in kinds]


def _usage(tokens: Tokens) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kind, count in tokens.items():
        for name in _USAGE[kind]:
            counts[name] = counts.get(name, 0) + count
    return counts


_USAGE = {
    "text_in": ("input_tokens",),
    "text_cached": ("input_tokens", "cache_read_tokens"),
    "text_out": ("output_tokens",),
    "image_in": ("input_tokens", "input_image_tokens"),
    "image_cached": ("input_tokens", "cache_read_tokens", "input_image_tokens", "cache_image_read_tokens"),
    "image_out": ("output_tokens", "output_image_tokens"),
}
"""The names under which `genai-prices` counts tokens of a kind; the more general ones include the others."""


def _checked(found: Any) -> date | None:
    """Return the day of a price: of an automatic update, else the latest that the package's comment names."""
    if found.auto_update_timestamp is not None:
        return found.auto_update_timestamp.date()  # type: ignore[no-any-return]
    days = _DAY.findall(str(found.model.price_comments or ""))
    return date.fromisoformat(max(days)) if days else None
