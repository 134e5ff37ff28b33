"""The image options that the service rejects, with its error texts. The image tool and the Images API share them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_imagegen.simulator.errors import USER_ERROR, ApiError, invalid_value, unsupported_value

DEFAULT_MODEL = "gpt-image-2"  # from the newest recording; the service changes its default over time
PIXEL_FLOOR, PIXEL_BUDGET = 655_360, 8_294_400

_FIXED_SIZES = ("1024x1024", "1024x1536", "1536x1024", "auto")
_QUALITIES = ("low", "medium", "high", "auto")
_FORMATS = ("png", "webp", "jpeg")


@dataclass(frozen=True)
class ImageModel:
    """The option values that one image model accepts. Empty `sizes` means any size that `_check_pixels` allows."""

    sizes: tuple[str, ...] = ()
    qualities: tuple[str, ...] = _QUALITIES
    formats: tuple[str, ...] = _FORMATS
    fidelity: bool = False


_FIXED_SIZE_MODEL = ImageModel(sizes=_FIXED_SIZES, fidelity=True)
_FINE_QUALITIES = (*_QUALITIES[:-1], "xhigh", "max", "auto")

# A row also covers the dated snapshots of its model. Two guesses: the service reports `gpt-image-1`, which is shut
# down, as a model that does not exist, and `chatgpt-image-latest` accepts the same options as the older models.
_MODELS = {
    "gpt-image-1-mini": _FIXED_SIZE_MODEL,
    "gpt-image-1.5": _FIXED_SIZE_MODEL,
    "chatgpt-image-latest": _FIXED_SIZE_MODEL,
    "gpt-image-2": ImageModel(),
    "gpt-image-2.5-sunburst": ImageModel(qualities=_FINE_QUALITIES),
    "gpt-image-2.5-flare": ImageModel(qualities=_FINE_QUALITIES),
    "gpt-image-2.6-sunburst": ImageModel(qualities=_FINE_QUALITIES, formats=(*_FORMATS, "gif", "svg")),
    "gpt-image-2.6-flare": ImageModel(qualities=_FINE_QUALITIES, formats=(*_FORMATS, "gif", "svg")),
}

_ENUMERATIONS = {
    "background": ("transparent", "opaque", "auto"),
    "moderation": ("low", "auto"),
    "input_fidelity": ("low", "high"),
    "action": ("generate", "edit", "auto"),
    "complexity": ("low", "medium", "high"),
}
_RANGES = {
    "partial_images": (0, 3),
    "output_compression": (0, 100),
    "frame_count": (2, 16),
    "frame_duration_ms": (1, 655_350),
    "n": (1, 10),
}


def check_options(options: Mapping[str, Any]) -> None:
    """Raise the service's 400 for the first option, or pair of options, that the service rejects."""
    model = image_model(options.get("model") or DEFAULT_MODEL)
    given = {name: value for name, value in options.items() if value is not None}
    _check_values(given, model)
    _check_size(given, model)
    _check_pairs(given, model)
    _check_gif(given)
    _check_svg(given)


def image_model(name: str) -> ImageModel:
    """Return the accepted values of an image model or its dated snapshot. Raise the service's 400 if it is unknown."""
    found = _MODELS.get(re.sub(r"-\d{4}-\d\d-\d\d$", "", name))
    if found is None:
        raise invalid_value("model", f"The model '{name}' does not exist.", kind=USER_ERROR)
    return found


def image_models() -> list[str]:
    """Return the ids of all image models."""
    return list(_MODELS)


def _check_values(given: Mapping[str, Any], model: ImageModel) -> None:
    allowed = {**_ENUMERATIONS, "quality": model.qualities, "output_format": model.formats}
    for name, values in allowed.items():
        if name in given and given[name] not in values:
            raise unsupported_value(name, given[name], values)
    for name, (low, high) in _RANGES.items():
        if name in given and not _is_int_between(given[name], low, high):
            # The text is a guess.
            message = f"Invalid value for '{name}': expected an integer from {low} to {high}, got {given[name]!r}."
            raise ApiError(400, message, code="invalid_value", param=name)


def _is_int_between(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _check_size(given: Mapping[str, Any], model: ImageModel) -> None:
    size = given.get("size", "auto")
    if model.sizes:
        if size not in model.sizes:
            raise unsupported_value("size", size, model.sizes)
    elif size != "auto":
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", str(size))
        if match is None:
            raise unsupported_value("size", size, _FIXED_SIZES)
        _check_pixels(size, int(match[1]), int(match[2]), _frame_count(given))


def _frame_count(given: Mapping[str, Any]) -> int:
    return int(given.get("frame_count", 9)) if given.get("output_format") == "gif" else 1


def _check_pixels(size: str, width: int, height: int, frames: int) -> None:
    """Raise the service's 400 if a size breaks a rule. The pixel budget is for all frames of a gif together."""
    problem = ""
    if width % 16 or height % 16:
        problem = "Width and height must both be divisible by 16."
    elif max(width, height) > 3840:
        problem = "The longest edge must be less than or equal to 3840."
    elif width * height * frames > PIXEL_BUDGET:
        problem = "Requested resolution exceeds the current pixel budget."
    elif width * height * frames < PIXEL_FLOOR:
        problem = "Requested resolution is below the current minimum pixel budget."
    elif max(width, height) > 3 * min(width, height):
        problem = "The aspect ratio must be between 1:3 and 3:1."  # the text is a guess
    if problem:
        raise invalid_value("size", f"Invalid size '{size}'. {problem}", kind=USER_ERROR)


def _check_pairs(given: Mapping[str, Any], model: ImageModel) -> None:
    form = given.get("output_format", "png")
    if form == "png" and given.get("output_compression", 100) < 100:
        raise ApiError(
            400,
            "Compression less than 100 is not supported for PNG output format",
            code="invalid_png_output_compression",
            kind=USER_ERROR,
            param="output_compression",
        )
    if form == "jpeg" and given.get("background") == "transparent":
        message = "Transparent background is not supported for JPEG output format"
        raise invalid_value("background", message, kind=USER_ERROR)
    if "input_fidelity" in given and not model.fidelity:
        name = given.get("model", DEFAULT_MODEL)
        raise ApiError(
            400,
            f"The model '{name}' does not support the 'input_fidelity' parameter.",
            code="invalid_input_fidelity_model",
            kind=USER_ERROR,
            param="input_fidelity",
        )


def _check_gif(given: Mapping[str, Any]) -> None:
    """Raise a 400 for options that do not go with gif. The service is known to reject them. The texts are guesses."""
    form = given.get("output_format", "png")
    if form != "gif":
        for name in ("frame_count", "frame_duration_ms"):
            if name in given:
                raise invalid_value(name, f"'{name}' is only supported for GIF output format", kind=USER_ERROR)
        return
    _reject_option(given, form, "partial_images", default=0)
    _reject_option(given, form, "output_compression", default=100)
    _reject_option(given, form, "input_image_mask")
    _reject_option(given, form, "mask")


def _check_svg(given: Mapping[str, Any]) -> None:
    """Raise a 400 for options that do not go with svg. The service is known to reject them. The texts are guesses."""
    form = given.get("output_format", "png")
    if form != "svg":
        if "svg" in given:
            raise invalid_value("svg", "'svg' is only supported for SVG output format", kind=USER_ERROR)
        return
    _reject_option(given, form, "partial_images", default=0)
    _reject_option(given, form, "output_compression", default=100)
    _reject_option(given, form, "n", default=1)


def _reject_option(given: Mapping[str, Any], form: str, name: str, *, default: object = None) -> None:
    if given.get(name, default) != default:
        raise invalid_value(name, f"'{name}' is not supported for {form.upper()} output format", kind=USER_ERROR)
