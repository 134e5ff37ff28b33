"""From an order to a drawn picture and its tokens; when it is drawn and how it is sent is not here."""

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

# Output tokens of square, portrait and landscape. Medium of `gpt-image-2` and its low for the long sides
# are reckoned from prices; for 2.5 and 2.6 no numbers are known, so theirs are a guess, as are other sizes.
_TOKENS_2 = {"low": (196, 166, 166), "medium": (1767, 1367, 1367), "high": (7024, 5488, 5488)}
_TOKENS_1 = {"low": (272, 408, 400), "medium": (1056, 1584, 1568), "high": (4160, 6240, 6208)}


@dataclass(frozen=True)
class Picture:
    """A drawn order: its bytes, and the base64 that is sent, which a fault may have spoiled."""

    order: Order
    data: bytes
    base64: str
    partials: tuple[str, ...] = ()


def order_picture(options: Mapping[str, Any], prompt: str, *, sources: tuple[bytes, ...] = ()) -> Order:
    """Settle what the options leave open: `auto` becomes what the recordings show, sizes follow the words."""
    given = {name: value for name, value in options.items() if value is not None}
    form = given.get("output_format", "png")
    return Order(
        prompt,
        given.get("model", DEFAULT_MODEL),
        action="edit" if sources else "generate",
        size=_size(given, prompt),
        quality=_settled(given.get("quality"), "high"),
        background=_settled(given.get("background"), "opaque"),
        output_format=form,
        compression=given.get("output_compression", 100),
        frame_count=given.get("frame_count", 9),
        frame_duration_ms=given.get("frame_duration_ms", 200),
        sources=sources,
        partial_images=given.get("partial_images", 0),
    )


def _settled(value: str | None, default: str) -> str:
    return default if value in {None, "auto"} else str(value)


def _size(given: Mapping[str, Any], prompt: str) -> tuple[int, int]:
    size = given.get("size", "auto")
    if size != "auto":
        width, height = size.split("x")
        return int(width), int(height)
    if given.get("output_format") == "gif":
        edge = min(1024, math.isqrt(PIXEL_BUDGET // given.get("frame_count", 9)) // 16 * 16)
        return edge, edge
    return size_by_words(prompt)


def size_by_words(prompt: str) -> tuple[int, int]:
    """What `auto` means for a prompt; a guess, the model's own choice has no rule."""
    if re.search(r"\b(portrait|tall|vertical|poster)\b", prompt, re.IGNORECASE):
        return _PORTRAIT
    if re.search(r"\b(landscape|wide|panorama|horizontal|banner)\b", prompt, re.IGNORECASE):
        return _LANDSCAPE
    return _SQUARE


@dataclass
class Studio:
    """Draws orders and remembers them: each is a picture that would have been paid for."""

    orders: list[Order] = field(default_factory=list)

    def draw(self, order: Order, fault: Fault, *, partials: bool = False) -> Picture:
        """The finished picture; with `partials` also those of a stream, the last being the picture."""
        self.orders.append(order)
        drawn = replace(order, output_format=fault.drawn_as or order.output_format)
        data = fault.picture(_draw(drawn, 1.0))
        encoded = fault.encoded(base64.b64encode(data).decode("ascii"))
        if not partials or order.output_format in {"gif", "svg"}:
            return Picture(order, data, encoded)
        return Picture(order, data, encoded, (*_unfinished(drawn, fault), encoded))


def _unfinished(order: Order, fault: Fault) -> list[str]:
    count = order.partial_images
    if fault.partials:
        return [base64.b64encode(data).decode("ascii") for data in fault.partials[:count]]
    steps = [(n + 1) / (count + 1) for n in range(count)]
    return [base64.b64encode(_draw(order, step)).decode("ascii") for step in steps]


@functools.lru_cache(maxsize=32)
def _draw(order: Order, progress: float) -> bytes:
    """Drawing is deterministic, so the same order need not be drawn twice."""
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
    """Output tokens of one picture, with 100 for each partial that was asked for."""
    table = _TOKENS_1 if order.model.startswith(("gpt-image-1", "chatgpt")) else _TOKENS_2
    factor = {"xhigh": 2, "max": 4}.get(order.quality, 1)
    row = table.get(order.quality, table["high"])
    shapes = (_SQUARE, _PORTRAIT, _LANDSCAPE)
    if order.size in shapes:
        tokens = row[shapes.index(order.size)]
    else:
        tokens = round(row[0] * math.sqrt(order.size[0] * order.size[1]) / 1024)
    return tokens * factor + 100 * order.partial_images


def image_usage(orders: list[Order]) -> dict[str, Any]:
    """`tool_usage.image_gen`, summed over all pictures; the input side is a guess."""
    text = sum(len(order.prompt) // 4 + 20 for order in orders)
    images = sum(1000 * len(order.sources) for order in orders)
    output = sum(image_tokens(order) for order in orders)
    return {
        "input_tokens": text + images,
        "input_tokens_details": {"image_tokens": images, "text_tokens": text},
        "output_tokens": output,
        "output_tokens_details": {"image_tokens": output, "text_tokens": 0},
        "total_tokens": text + images + output,
    }
