"""What the chat model reads of a drawing: its result as short JSON, a downscaled view, or what to do about an error."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

from langchain_imagegen.agents.wording import without_paths
from langchain_imagegen.errors import (
    AuthenticationError,
    ImageGenerationError,
    ImageStoreError,
    OptionError,
    OrganizationNotVerifiedError,
    QuotaError,
    RateLimitError,
)
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.images.result import ImageResult

logger = logging.getLogger(__name__)

LONGEST_PROMPT = 400  # characters of a revised prompt that a chat model is told
SHOWN_EDGE = 512  # pixels of the longer edge of a picture shown to the chat model

_IN_VAIN = "Do not try again: tell the user that no pictures can be drawn at the moment."
_TELL_THE_USER = "Do not try again: tell the user, with the id of the response if there is one."
_PERHAPS_PAID = "Ask the user before trying again: the picture may already have been paid for."
_ADVICE: tuple[tuple[type[ImageGenerationError], str], ...] = (
    (QuotaError, _IN_VAIN),
    (OrganizationNotVerifiedError, _IN_VAIN),
    (AuthenticationError, _IN_VAIN),
    (ImageStoreError, _IN_VAIN),
    (RateLimitError, "Wait before trying again, and ask for one picture at a time."),
    (OptionError, "Correct the arguments and call again."),
)


def warned(result: ImageResult, warnings: tuple[str, ...]) -> ImageResult:
    """Return the result with more warnings."""
    return result.model_copy(update={"warnings": (*result.warnings, *warnings)}) if warnings else result


def content_of(result: ImageResult, note: str, links: Iterable[str]) -> str:
    """Return what the chat model reads of a result: short JSON."""
    told = [_entry_of(image) for image in result.images]
    for entry, link in zip(told, links, strict=False):
        entry["url"] = link
    content: dict[str, Any] = {"images": told}
    if note:
        content["note"] = note
    if result.failures:
        content["failed"] = [without_paths(failure.message)[:LONGEST_PROMPT] for failure in result.failures]
    if result.warnings:
        content["warnings"] = [without_paths(warning)[:LONGEST_PROMPT] for warning in result.warnings]
    return json.dumps(content, ensure_ascii=False)


def beside(
    result: ImageResult, make: Callable[[GeneratedImage], Any] | None, what: str
) -> tuple[list[Any], ImageResult]:
    """Return what `make` returns for each picture, and the result.

    If `make` raises, the result keeps its pictures, which are paid for, and carries a warning.
    """
    if make is None:
        return [], result
    try:
        return [make(image) for image in result.images], result
    except Exception as error:  # noqa: BLE001 - it is the caller's function, and may raise anything
        logger.warning("there is no %s of a picture, it could not be made: %r", what, error)
        warning = f"there is no {what}, it could not be made ({type(error).__name__})"
        return [], warned(result, (warning,))


def view(image: GeneratedImage) -> dict[str, Any] | None:
    """Return a picture as a downscaled image block; None for SVG, which Pillow cannot read."""
    if image.mime_type == "image/svg+xml":
        return None
    picture = image.to_pil().convert("RGB")
    picture.thumbnail((SHOWN_EDGE, SHOWN_EDGE))
    data = io.BytesIO()
    picture.save(data, format="JPEG", quality=80)
    return {"type": "image", "base64": base64.b64encode(data.getvalue()).decode(), "mime_type": "image/jpeg"}


def advice(error: ImageGenerationError) -> str:
    """Return an error in words that a chat model can act on."""
    if isinstance(error, ImageStoreError) and error.result is not None:
        return _advice_on_unsaved(error)
    told = next((words for kind, words in _ADVICE if isinstance(error, kind)), "")
    if error.may_be_billed and not told:
        told = _PERHAPS_PAID
    return f"No picture was made: {without_paths(str(error)).rstrip('. ')}. {told}".strip()


def _advice_on_unsaved(error: ImageStoreError) -> str:
    """Return what the chat model reads if pictures were paid for and cannot be stored."""
    why = without_paths(str(error.__cause__ or error)).rstrip(". ")
    kept = error.response_id
    where = f" The service keeps it as response {kept}, from which a developer can fetch it." if kept else ""
    return f"The picture was drawn and paid for, but cannot be stored: {why}.{where} {_TELL_THE_USER}"


def _entry_of(image: GeneratedImage) -> dict[str, Any]:
    size = f"{image.width}x{image.height}" if image.width else image.size
    told = {"handle": image.handle, "revised_prompt": (image.revised_prompt or "")[:LONGEST_PROMPT], "size": size}
    return {key: value for key, value in told.items() if value}
