"""What the images of a conversation cost: the tokens of each response once, added up and then priced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import ValidationError

from langchain_imagegen.conversation.records import TOKENS
from langchain_imagegen.images.cost import NOTHING_DRAWN, Cost, unknown
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.images.usage import ResponseTokens


class Spent(NamedTuple):
    """The tokens on one image, the image model that drew it, and when."""

    tokens: ResponseTokens | None
    image_model: str | None
    at: datetime | None


def cost_of_images(images: Iterable[GeneratedImage], traces: Mapping[str, Mapping[str, Any]]) -> Cost:
    """Return what some images cost, and those that were forgotten.

    Args:
        images: The images; what a user or a tool brought costs nothing.
        traces: What is left of forgotten images, by id.
    """
    drawn = {image.id: image for image in images if image.origin == "model"}
    told = [Spent(image.tokens, image.image_model, image.created_at) for image in drawn.values()]
    known = drawn.keys() | {id for id, trace in traces.items() if _tokens_of(trace)}
    told += [
        Spent(tokens, trace.get("image_model"), None) for trace in traces.values() if (tokens := _tokens_of(trace))
    ]
    own = [each for each in told if each.tokens is None or each.tokens.on not in known]
    untold = sum(1 for each in own if each.tokens is None or each.tokens.on is not None)
    cost = sum(_priced(each for each in own if each.tokens and each.tokens.on is None), NOTHING_DRAWN)
    return cost + unknown(f"the tokens of {untold} picture(s) are not recorded") if untold else cost


def _priced(spent: Iterable[Spent]) -> Iterator[Cost]:
    """Yield the cost of all responses of the same models and day; pricing each one would take a second for hundreds."""
    groups: dict[tuple[object, ...], list[Spent]] = {}
    for each in spent:
        tokens, day = each.tokens, each.at and each.at.date()
        assert tokens is not None
        kind = (tokens.image is None, tokens.mainline is None, not tokens.mainline)
        groups.setdefault((each.image_model, tokens.model, day, kind), []).append(each)
    for group in groups.values():
        tokens = _sum_of([each.tokens for each in group if each.tokens])
        yield tokens.cost(group[0].image_model, group[0].at, calls=len(group))


def _sum_of(tokens: list[ResponseTokens]) -> ResponseTokens:
    """Return the sum of tokens that know the same."""
    image, mainline = Counter[str](), Counter[str]()
    for each in tokens:
        image.update(each.image or {})
        mainline.update(each.mainline or {})
    first = tokens[0]
    return ResponseTokens(
        image=None if first.image is None else dict(image),
        mainline=None if first.mainline is None else dict(mainline),
        model=first.model,
    )


def _tokens_of(trace: Mapping[str, Any]) -> ResponseTokens | None:
    """Return the tokens on a trace, which a client may have written."""
    try:
        return ResponseTokens.model_validate(trace[TOKENS]) if TOKENS in trace else None
    except ValidationError:
        return None
