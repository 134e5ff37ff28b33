"""Which errors let a call try another image model, and the request for it. Pure functions of a `Drawing`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from langchain_imagegen.drawing.ladder import Drawing
from langchain_imagegen.errors import (
    ImageGenerationError,
    ModelNotFoundError,
    OptionError,
    OptionRefusedError,
    OrganizationNotVerifiedError,
    RateLimitError,
    ServiceUnavailableError,
)

MODEL_ERRORS: tuple[type[ImageGenerationError], ...] = (
    ModelNotFoundError,
    OptionRefusedError,
    OrganizationNotVerifiedError,
    RateLimitError,
    ServiceUnavailableError,
)
"""Errors that certainly drew nothing and that another image model may not have."""


def next_model(drawing: Drawing, error: ImageGenerationError) -> Drawing | None:
    """Return the drawing with the next of its fallbacks, or None if there is none or the error is not its model's.

    A fallback that cannot draw the request, because of the call's other options, is passed over; the error's notes say
    so.
    """
    if _names_only(drawing.model, drawing.options.model, str(error)):
        return None
    for position, options in enumerate(drawing.fallbacks):
        try:
            if drawing.check_options:
                options.check(api=drawing.api, mask=drawing.mask is not None, stream=drawing.stream)
        except OptionError as problem:
            error.add_note(f"the fallback {options.model} was passed over: {problem}")
            continue
        warning = f"{drawing.options.model} drew nothing, so {options.model} was tried: {error}"
        rest = drawing.fallbacks[position + 1 :]
        return replace(drawing, options=options, fallbacks=rest, warnings=(*drawing.warnings, warning))
    return None


def first_error(failed: Sequence[ImageGenerationError]) -> ImageGenerationError:
    """Return the error of the first image model, with those of the fallbacks as notes."""
    for error in failed[1:]:
        failed[0].add_note(f"a fallback failed too: {error}")
    return failed[0]


def _names_only(mainline: str, image_model: str | None, text: str) -> bool:
    """Return True if an error is about the mainline model, which every image model would meet again."""
    return _names(mainline, text) and not (image_model and _names(image_model, text))


def _names(model: str, text: str) -> bool:
    return bool(re.search(rf"(?<![\w.-]){re.escape(model)}(?![\w-]|\.\w)", text))
