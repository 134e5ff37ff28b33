"""Makes orders from image options, draws them, and counts their tokens. Other modules decide when to draw and send."""

from __future__ import annotations

import base64
import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_imagegen.simulator.faults import Fault
from langchain_imagegen.simulator.image_rules import DEFAULT_MODEL, PIXEL_BUDGET
from langchain_imagegen.simulator.plans import Order

_SQUARE, _PORTRAIT, _LANDSCAPE = (1024, 1024), (1024, 1536), (1536, 1024)

# Output tokens of a square, portrait and landscape picture up to 1.5, and the divisions of the long edge for 2. The
# values for 2.5 and 2.6 are guesses.
_TOKENS_1 = {"low": (272, 408, 400), "medium": (1056, 1584, 1568), "high": (4160, 6240, 6208)}
_LONG_EDGE_2 = {"low": 16, "medium": 48, "high": 96}
_SOURCE_TOKENS = 1024  # a square; 1,536 at most


@dataclass(frozen=True)
class Picture:
    """A drawn order. `data` is the picture itself, and `base64` is the text that is sent.

    A fault can spoil `base64`. `partials` are base64 too, and the last one is the finished picture.
    """

    order: Order
    data: bytes
    base64: str
    partials: tuple[str, ...] = ()


def order_picture(options: Mapping[str, Any], prompt: str, *, sources: tuple[bytes, ...] = ()) -> Order:
    """Return the order for a picture, with a value for every option.

    `auto` becomes the value seen in recordings. For the size, the words of the prompt decide.
    """
    given = {name: value for name, value in options.items() if value is not None}
    form = given.get("output_format", "png")
    return Order(
        prompt,
        given.get("model", DEFAULT_MODEL),
        action="edit" if sources else "generate",
        size=_choose_size(given, prompt),
        quality=_value_or_default(given.get("quality"), "high"),
        background=_value_or_default(given.get("background"), "opaque"),
        output_format=form,
        compression=given.get("output_compression", 100),
        frame_count=given.get("frame_count", 9),
        frame_duration_ms=given.get("frame_duration_ms", 200),
        sources=sources,
        partial_images=given.get("partial_images", 0),
    )


def _value_or_default(value: str | None, default: str) -> str:
    return default if value in {None, "auto"} else str(value)


def _choose_size(given: Mapping[str, Any], prompt: str) -> tuple[int, int]:
    size = given.get("size", "auto")
    if size != "auto":
        width, height = size.split("x")
        return int(width), int(height)
    if given.get("output_format") == "gif":
        edge = min(1024, math.isqrt(PIXEL_BUDGET // given.get("frame_count", 9)) // 16 * 16)
        return edge, edge
    return _size_for_prompt(prompt)


def _size_for_prompt(prompt: str) -> tuple[int, int]:
    """Return width and height for the size `auto`. The rule is a guess: the live model follows no fixed one."""
    if re.search(r"\b(portrait|tall|vertical|poster)\b", prompt, re.IGNORECASE):
        return _PORTRAIT
    if re.search(r"\b(landscape|wide|panorama|horizontal|banner)\b", prompt, re.IGNORECASE):
        return _LANDSCAPE
    return _SQUARE


@dataclass
class Studio:
    """Draws orders and records them in `orders`. The live service would charge for each of them."""

    orders: list[Order] = field(default_factory=list)

    def draw(self, order: Order, fault: Fault, *, partials: bool = False) -> Picture:
        """Return the drawn picture. With `partials`, include the partial pictures of a stream."""
        self.orders.append(order)
        drawn = replace(order, output_format=fault.drawn_as or order.output_format)
        data = fault.picture(_draw_cached(drawn, 1.0))
        encoded = fault.encoded(base64.b64encode(data).decode("ascii"))
        if not partials or order.output_format in {"gif", "svg"}:
            return Picture(order, data, encoded)
        return Picture(order, data, encoded, (*_encode_partials(drawn, fault), encoded))


def _encode_partials(order: Order, fault: Fault) -> list[str]:
    count = order.partial_images
    if fault.partials:
        return [base64.b64encode(data).decode("ascii") for data in fault.partials[:count]]
    steps = [(n + 1) / (count + 1) for n in range(count)]
    return [base64.b64encode(_draw_cached(order, step)).decode("ascii") for step in steps]


@functools.lru_cache(maxsize=32)
def _draw_cached(order: Order, progress: float) -> bytes:
    """Return the bytes of a picture. The cache is safe because the same order always gives the same bytes."""
    from langchain_imagegen.simulator.drawing import draw

    return draw(
        order.prompt,
        size=order.size,
        output_format=order.output_format,
        background=order.background,
        quality=order.quality,
        compression=order.compression,
        sources=order.sources,
        mask=order.mask,
        frame_count=order.frame_count,
        frame_duration_ms=order.frame_duration_ms,
        progress=progress,
    )


def image_tokens(order: Order) -> int:
    """Return the output tokens of one picture, including 100 for each requested partial picture."""
    if order.model.startswith(("gpt-image-1", "chatgpt")):
        row = _TOKENS_1.get(order.quality, _TOKENS_1["high"])
        tokens = row[(_SQUARE, _PORTRAIT, _LANDSCAPE).index(order.size)]
    else:
        tokens = _tokens_2(min(order.size), max(order.size), _LONG_EDGE_2.get(order.quality, 96))
    return tokens * {"xhigh": 2, "max": 4}.get(order.quality, 1) + 100 * order.partial_images


def _tokens_2(short: int, long: int, divisions: int) -> int:
    """Return the output tokens of `gpt-image-2`, as OpenAI's calculator of 2026 computes them."""
    across = (2 * divisions * short + long) // (2 * long)
    return math.ceil(divisions * across * (2_000_000 + short * long) / 4_000_000)


def image_usage(orders: list[Order]) -> dict[str, Any]:
    """Return `tool_usage.image_gen`, the sum over all pictures. The numbers of input tokens are a guess."""
    text = sum(len(order.prompt) // 4 + 20 for order in orders)
    images = sum(_SOURCE_TOKENS * len(order.sources) for order in orders)
    output = sum(image_tokens(order) for order in orders)
    return {
        "input_tokens": text + images,
        "input_tokens_details": {"image_tokens": images, "text_tokens": text},
        "output_tokens": output,
        "output_tokens_details": {"image_tokens": output, "text_tokens": 0},
        "total_tokens": text + images + output,
    }
