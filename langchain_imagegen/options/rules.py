"""Rules about options that can never work together, one function each, checked against a row of `models`.

A rule yields sentences, and `options` raises them. A fact that a row leaves open passes, and so does every image
model without a row.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from langchain_imagegen.errors import OptionError
from langchain_imagegen.options.models import (
    DEFAULT_MAINLINE_MODEL,
    FIXED_SIZES,
    GIF_FRAMES,
    IMAGE_MODELS,
    ImageModel,
    SizeLimits,
    image_model,
    mainline_model,
)
from langchain_imagegen.options.sizes import edges, faults, nearest, nearest_ratio, written
from langchain_imagegen.options.validation import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

COMPRESSED_FORMATS = ("jpeg", "webp")
_IMAGE_MODEL_ID = re.compile(r"(?:^|[/:])(?:gpt-image-|chatgpt-image-|dall-e-)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Asked:
    """The options that a request sends, and the circumstances that some rules depend on."""

    sent: Mapping[str, Any]
    api: str = "responses"
    mask: bool = False
    stream: bool = False

    @property
    def format(self) -> str:
        """Return the output format, or the service's default if none is set."""
        return str(self.sent.get("output_format", "png"))


def problems(asked: Asked) -> list[str]:
    """Return every reason why a request can never work, one sentence each."""
    name = asked.sent.get("model")
    if name is None:
        return []
    row = image_model(name)
    if row is None:
        return list(_mainline_as_image_model(name))
    return [problem for rule in RULES for problem in rule(asked, row)]


def size_for(ratio: str, sent: Mapping[str, Any]) -> str:
    """Return the image model's size nearest to an aspect ratio; for an unknown model, a size that all models have."""
    width, height = (float(edge) for edge in ratio.split(":"))
    row = image_model(sent.get("model") or "")
    limits = row.sizes if row else None
    if row is None or not isinstance(limits, SizeLimits):
        return nearest_ratio(width, height, limits if isinstance(limits, tuple) else FIXED_SIZES)
    if sent.get("output_format") == "gif" and row.gif_pixels:
        limits = dataclasses.replace(
            limits, min_pixels=0, max_pixels=row.gif_pixels // sent.get("frame_count", GIF_FRAMES)
        )
    edge = 1024 / (width * height) ** 0.5
    return written(*nearest(width * edge, height * edge, limits))


def check_mainline(model: str) -> None:
    """Check that a mainline model is not an image model; every other name passes.

    Raises:
        OptionError: The name is `gpt-image-*`, `chatgpt-image-*` and `dall-e-*`, with or without a provider in front.
    """
    if _IMAGE_MODEL_ID.search(model):
        name = re.split(r"[/:]", model)[-1]
        raise OptionError(
            f"model={model!r} is an image model and cannot write a response: use a mainline model there, "
            f"for example model={DEFAULT_MAINLINE_MODEL!r}, and name the image model in "
            f"options=ImageOptions(model={name!r})"
        )


def _mainline_as_image_model(name: str) -> Iterator[str]:
    if mainline_model(name):
        yield (
            f"model={name!r} is a mainline model, not an image model: give it to the generator "
            f"(ImageGenerator(model={name!r})), and leave model out of the options or name an image model"
        )


def _model(asked: Asked, row: ImageModel) -> Iterator[str]:
    if row.shut_down:
        yield f"model={asked.sent['model']!r} was shut down on {row.ends}: use {row.instead!r} instead"


def _size(asked: Asked, row: ImageModel) -> Iterator[str]:
    size = asked.sent.get("size", "auto")
    if size == "auto" or row.sizes is None:
        return
    if not isinstance(row.sizes, SizeLimits):
        yield from _fixed_size(size, row.name, row.sizes)
    elif asked.format == "gif" and row.gif_pixels:
        yield from _frame_size(asked, row.name, row.sizes, row.gif_pixels)
    else:
        yield from _free_size(size, f"{row.name!r} has no size={size!r}", row.sizes)


def _fixed_size(size: str, name: str, accepted: Sequence[str]) -> Iterator[str]:
    if size not in accepted:
        closest = nearest_ratio(*edges(size), accepted)
        yield f"{name!r} has no size={size!r}: it takes {listed(['auto', *accepted])}; nearest: {closest!r}"


def _free_size(size: str, claim: str, limits: SizeLimits) -> Iterator[str]:
    width, height = edges(size)
    broken = list(faults(width, height, limits))
    if broken:
        closest = written(*nearest(width, height, limits))
        yield f"{claim}: {', '.join(broken)}; nearest: {closest!r}"


def _frame_size(asked: Asked, name: str, limits: SizeLimits, budget: int) -> Iterator[str]:
    """Check a GIF's size: all frames share one pixel budget. No lower bound is applied, because it is not known."""
    frames = asked.sent.get("frame_count", GIF_FRAMES)
    size = asked.sent["size"]
    frame = dataclasses.replace(limits, min_pixels=0, max_pixels=budget // frames)
    yield from _free_size(size, f"{name!r} has no size={size!r} for a GIF of {frames} frames", frame)


def _quality(asked: Asked, row: ImageModel) -> Iterator[str]:
    yield from _choice("quality", asked, row, row.qualities, lambda other: other.qualities)


def _format(asked: Asked, row: ImageModel) -> Iterator[str]:
    yield from _choice("output_format", asked, row, row.formats, lambda other: other.formats)


def _choice(
    option: str,
    asked: Asked,
    row: ImageModel,
    accepted: Sequence[str] | None,
    column: Callable[[ImageModel], Sequence[str] | None],
) -> Iterator[str]:
    value = asked.sent.get(option)
    if value is None or accepted is None or value in accepted:
        return
    others = [other.name for other in IMAGE_MODELS if value in (column(other) or ())]
    hint = f"; {listed(others, 'and')} would take it" if others else ""
    yield f"{row.name!r} has no {option}={value!r}: it takes {listed(accepted)}{hint}"


def _fidelity(asked: Asked, row: ImageModel) -> Iterator[str]:
    value = asked.sent.get("input_fidelity")
    if value is None or row.input_fidelity is None or value in row.input_fidelity:
        return
    advice = f"it takes {listed(row.input_fidelity)}" if row.input_fidelity else "leave it out"
    yield f"{row.name!r} has no input_fidelity={value!r}: {advice}"


def _background(asked: Asked, row: ImageModel) -> Iterator[str]:
    if asked.sent.get("background") != "transparent":
        return
    if row.transparent is False:
        yield f"{row.name!r} has no background='transparent': use 'opaque' or 'auto'"
    if asked.format == "jpeg":
        yield (
            "background='transparent' does not go with output_format='jpeg', which has no transparency: "
            "use output_format='png' or 'webp'"
        )


def _compression(asked: Asked, _row: ImageModel) -> Iterator[str]:
    value = asked.sent.get("output_compression", 100)
    if value < 100 and asked.format not in COMPRESSED_FORMATS:
        yield (
            f"output_compression={value} does not go with output_format={asked.format!r}: "
            "use output_format='jpeg' or 'webp', or leave output_compression out (100 is accepted)"
        )


def _moving(asked: Asked, _row: ImageModel) -> Iterator[str]:
    for option in ("frame_count", "frame_duration_ms"):
        if option in asked.sent and asked.format != "gif":
            yield f"{option}={asked.sent[option]} needs output_format='gif', not {asked.format!r}"
    if asked.format == "gif" and asked.mask:
        yield "output_format='gif' does not go with a mask: leave the mask out or use 'png', 'webp' or 'jpeg'"


def _vector(asked: Asked, _row: ImageModel) -> Iterator[str]:
    svg = asked.sent.get("svg")
    if svg is None:
        return
    if asked.format != "svg":
        yield f"svg={svg!r} needs output_format='svg', not {asked.format!r}"
    if asked.api == "images" and not svg.get("model"):
        yield f"svg={svg!r} lacks the author model that the Images API wants: svg={{'model': …}} or no svg"


def _partials(asked: Asked, _row: ImageModel) -> Iterator[str]:
    if asked.format not in ("gif", "svg"):
        return
    partials = asked.sent.get("partial_images", 0)
    if partials:
        yield f"partial_images={partials} does not go with output_format={asked.format!r}: leave it out"
    if asked.stream and asked.api == "images":
        yield (
            f"output_format={asked.format!r} cannot be streamed by the Images API: "
            "use invoke, or api='responses', or another format"
        )


RULES: tuple[Callable[[Asked, ImageModel], Iterator[str]], ...] = (
    _model,
    _size,
    _quality,
    _format,
    _fidelity,
    _background,
    _compression,
    _moving,
    _vector,
    _partials,
)
