"""`estimate`: what a call costs at most, before it is sent. Nothing is sent and no picture is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from langchain_imagegen.images.cost import Cost, cost_of_image_tokens, cost_of_mainline_tokens, unknown
from langchain_imagegen.images.token_tables import (
    PARTIAL,
    QUALITIES,
    STANDARD_SIZES,
    mainline_tokens,
    output_tokens,
    source_tokens,
)
from langchain_imagegen.options.models import DEFAULT_MAINLINE_MODEL
from langchain_imagegen.options.options import ImageOptions

_CHARACTERS = 3  # for each token of text, at least; English has about four
_REVISED = 350  # tokens of the longest revised prompt that was recorded, about 1,000 characters


def estimate(
    options: ImageOptions | Mapping[str, Any] | None = None,
    n: int = 1,
    sources: Collection[object] | int = (),
    *,
    prompt: str = "",
    model: str | None = DEFAULT_MAINLINE_MODEL,
) -> Cost:
    """Return what `n` pictures cost at most, in dollars, as far as tables tell; `assumptions` says what it rests on.

    `total` is an upper bound, not a forecast. `auto` is priced as the dearest size and quality that it can become. The
    mainline model's share is what the largest recorded call took, and often a fifth of that. A mask, earlier pictures
    of the same conversation, tools beside the image tool and retries are not in it.

    Args:
        options: The options of a picture, as `ImageGenerator` takes them; `None` means the defaults.
        n: How many pictures; each is a call of its own.
        sources: The pictures that each call edits, in any form, or how many.
        prompt: What to draw.
        model: The mainline model; `None` for the Images API, which has none.

    Returns:
        A cost whose `total` is `None` if the tokens or the price of a model are not known; its `reason` says why.

    Raises:
        OptionError: An option does not exist or is out of bounds.
    """
    sent = ImageOptions.parse(options).sent()
    count = sources if isinstance(sources, int) else 1 if isinstance(sources, (str, bytes)) else len(sources)
    words = -(-len(prompt) // _CHARACTERS)
    cost = _drawing(sent, count, words) + (
        Cost(mainline=Decimal(0)) if model is None else _mainline(model, count, words)
    )
    return cost.times(n).model_copy(update={"estimated": True})


def _drawing(sent: Mapping[str, Any], sources: int, words: int) -> Cost:
    """Return the share of the image model."""
    name = sent.get("model")
    if name is None:
        return unknown("model=None leaves the image model to the service")
    if sent.get("output_format") in ("gif", "svg"):
        return unknown(f"no table says how many tokens output_format={sent['output_format']!r} takes")
    drawn = _most_output(name, sent)
    if drawn is None:
        return unknown(f"OpenAI publishes no table of the tokens that {name!r} takes for a picture")
    read = source_tokens(name, sent.get("input_fidelity")) or 0
    tokens = {"image_out": drawn + PARTIAL * sent.get("partial_images", 0), "image_in": sources * read}
    cost = cost_of_image_tokens({**tokens, "text_in": words + _REVISED}, name)
    return cost.model_copy(update={"assumptions": tuple(_assumptions(sent, sources, read))})


def _most_output(name: str, sent: Mapping[str, Any]) -> int | None:
    """Return the most output tokens of a picture; None if they are not known."""
    sizes, qualities = _choices(sent, "size", STANDARD_SIZES), _choices(sent, "quality", QUALITIES)
    counts = [output_tokens(name, size, quality) for size in sizes for quality in qualities]
    return None if None in counts else max(count for count in counts if count is not None)


def _choices(sent: Mapping[str, Any], option: str, every: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values that an option can become."""
    value = sent.get(option) or "auto"
    return every if value == "auto" else (value,)


def _assumptions(sent: Mapping[str, Any], sources: int, read: int) -> list[str]:
    told = [
        f"{option}='auto' is priced as the dearest of {', '.join(every)}"
        for option, every in (("size", STANDARD_SIZES), ("quality", QUALITIES))
        if _choices(sent, option, every) == every
    ]
    if sources:
        told.append(f"the image model reads at most {read:,} tokens of a source picture")
    if sent.get("partial_images"):
        told.append(f"a partial picture takes {PARTIAL} tokens, and comes only in a stream")
    return [*told, f"the revised prompt has at most {_REVISED} tokens more than the prompt"]


def _mainline(model: str, sources: int, words: int) -> Cost:
    """Return the share of the mainline model."""
    most = mainline_tokens(model)
    tokens = {"text_in": most.read + words + sources * most.per_source, "text_out": most.written}
    told = [f"{model} reads at most {most.read:,} tokens beside the prompt, and writes at most {most.written:,}"]
    if sources:
        told.append(f"{model} reads at most {most.per_source:,} tokens of a source picture")
    return cost_of_mainline_tokens(tokens, model).model_copy(update={"assumptions": tuple(told)})
