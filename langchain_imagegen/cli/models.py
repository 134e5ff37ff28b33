"""`imagegen models`: what each model takes, what it costs, and when it ends."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from langchain_imagegen.cli.output import Output

if TYPE_CHECKING:
    from langchain_imagegen.images.prices import Rates
    from langchain_imagegen.options.models import ImageModel, MainlineModel


def models(*, output: Output) -> None:
    """List models: what each one takes, costs and when it ends.

    Every fact has a source and the day on which it was checked. A model that is not listed may work too.
    """
    from langchain_imagegen.images.prices import RATES
    from langchain_imagegen.options.models import IMAGE_MODELS, MAINLINE_MODELS

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
    output.say("Prices are dollars for a million tokens: text in, image in and image out, or text in and text out.")
    for line in _sources([*images, *mainline], RATES):
        output.say(line, "dim")


def _record(row: ImageModel | MainlineModel, rates: Rates | None) -> dict[str, Any]:
    prices = None if rates is None else {name: value for name, value in asdict(rates).items() if value is not None}
    return {**asdict(row), "price_per_million_tokens": prices}


def _image_table(rows: list[ImageModel], rates: Any) -> Any:
    table = _table("model", "ends", "sizes", "qualities", "formats", "transparent", "price")
    for row in rows:
        sizes = row.sizes if isinstance(row.sizes, tuple) else _free(row.sizes)
        transparent = {True: "yes", False: "no", None: "?"}[row.transparent]
        price = rates.get(row.name)
        dollars = f"{price.text_in} / {price.image_in} / {price.image_out}" if price else "?"
        lists = [_words(sizes), _words(row.qualities), _words(row.formats)]
        table.add_row(row.name, _end(row), *lists, transparent, dollars)
    return table


def _mainline_table(rows: list[MainlineModel], rates: Any) -> Any:
    table = _table("model", "ends", "price")
    for row in rows:
        price = rates.get(row.name)
        table.add_row(row.name, _end(row), f"{price.text_in} / {price.text_out}" if price else "?")
    return table


def _table(*names: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name, no_wrap=name in ("model", "ends"), overflow="fold")
    return table


def _free(limits: Any) -> tuple[str, ...] | None:
    if limits is None:
        return None
    return (f"any, edges divisible by {limits.step} up to {limits.longest_edge}, at most {limits.ratio}:1",)


def _words(values: tuple[str, ...] | None) -> str:
    return "?" if values is None else " ".join(values)


def _end(row: Any) -> str:
    if row.ends is None:
        return ""
    instead = getattr(row, "instead", None)
    return f"{row.ends}{' (ended)' * row.shut_down}" + (f" > {instead}" if instead else "")


def _sources(rows: list[Any], rates: Any) -> list[str]:
    """Return where the facts and prices are from, one line for each source, with the day and the models."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(f"{row.source}, checked {row.checked}", []).append(row.name)
        price = rates.get(row.name)
        if price:
            found.setdefault(f"prices: {price.source}, checked {price.checked}", []).append(row.name)
    return [f"{source}: {', '.join(names)}" for source, names in found.items()]
