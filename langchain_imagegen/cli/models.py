"""`imagegen models`: what each model takes, what it costs, and when it ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from langchain_imagegen.cli.output import Output
from langchain_imagegen.images.prices import RATES, Rates
from langchain_imagegen.options.models import IMAGE_MODELS, MAINLINE_MODELS, ImageModel, MainlineModel, SizeLimits


def models(*, output: Output) -> None:
    """List models: what each one takes, costs and when it ends.

    Every fact has a source and the day on which it was checked. A model that is not listed may work too.
    """
    images, mainline = list(IMAGE_MODELS), list(MAINLINE_MODELS)
    output.give(
        {
            "image_models": [_record(row, RATES.get(row.name)) for row in images],
            "mainline_models": [_record(row, RATES.get(row.name)) for row in mainline],
        }
    )
    if output.json:
        return
    output.say("Image models", "bold")
    output.show(_image_table(images, RATES))
    output.say("")
    output.say("Mainline models, which call the image model", "bold")
    output.show(_mainline_table(mainline, RATES))
    output.say("")
    for line in (*_notes(images), "", *_sources([*images, *mainline], RATES)):
        output.say(line, "dim")


def _record(row: ImageModel | MainlineModel, rates: Rates | None) -> dict[str, Any]:
    prices = None if rates is None else {name: value for name, value in asdict(rates).items() if value is not None}
    return {**asdict(row), "price_per_million_tokens": prices}


def _image_table(rows: list[ImageModel], rates: Mapping[str, Rates]) -> Any:
    table = _table("model", "ends", "sizes", "qualities", "formats", "alpha", "price")
    for row in rows:
        sizes = row.sizes if isinstance(row.sizes, tuple) or row.sizes is None else ("any",)
        alpha = {True: "yes", False: "no", None: "?"}[row.transparent]
        price = rates.get(row.name)
        dollars = f"{price.text_in} / {price.image_in} / {price.image_out}" if price else "?"
        table.add_row(row.name, _end(row), *map(_words, (sizes, row.qualities, row.formats)), alpha, dollars)
    return table


def _mainline_table(rows: list[MainlineModel], rates: Mapping[str, Rates]) -> Any:
    table = _table("model", "ends", "price")
    for row in rows:
        price = rates.get(row.name)
        table.add_row(row.name, _end(row), f"{price.text_in} / {price.text_out}" if price else "?")
    return table


def _table(*names: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name, no_wrap=name in ("model", "ends", "price"), overflow="fold")
    return table


def _words(values: tuple[str, ...] | None) -> str:
    return "?" if values is None else " ".join(values)


def _end(row: ImageModel | MainlineModel) -> str:
    if row.ends is None:
        return ""
    return f"{row.ends} (ended)" if row.shut_down else str(row.ends)


def _notes(rows: list[ImageModel]) -> Iterator[str]:
    """Yield what the table of image models leaves out."""
    for limits in dict.fromkeys(row.sizes for row in rows if isinstance(row.sizes, SizeLimits)):
        yield (
            f"any: edges divisible by {limits.step}, none above {limits.longest_edge}, a ratio of at most "
            f"{limits.ratio}:1, and {limits.min_pixels:,} to {limits.max_pixels:,} pixels in all"
        )
    yield "alpha: whether the background can be transparent; ?: the sources do not say"
    yield "price: dollars for a million tokens of text in, image in and image out, or of text in and text out"
    for instead in dict.fromkeys(row.instead for row in rows if row.instead):
        ending = ", ".join(row.name for row in rows if row.instead == instead)
        yield f"use {instead} in place of {ending}"


def _sources(rows: list[Any], rates: Mapping[str, Rates]) -> list[str]:
    """Return where the facts and prices are from, one line for each source, with the day and the models."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(f"{row.source}, checked {row.checked}", []).append(row.name)
        price = rates.get(row.name)
        if price:
            found.setdefault(f"prices: {price.source}, checked {price.checked}", []).append(row.name)
    return [f"{source}: {', '.join(names)}" for source, names in found.items()]
