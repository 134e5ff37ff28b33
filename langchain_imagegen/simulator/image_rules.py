"""Which image options the service refuses, and in which words; for the tool and the Images API alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_imagegen.simulator.errors import USER_ERROR, ApiError, invalid_value, not_one_of

DEFAULT_MODEL = "gpt-image-2"  # as echoed in the newest recording; the service's default moves
PIXEL_FLOOR, PIXEL_BUDGET = 655_360, 8_294_400

_FIXED_SIZES = ("1024x1024", "1024x1536", "1536x1024", "auto")
_QUALITIES = ("low", "medium", "high", "auto")
_FORMATS = ("png", "webp", "jpeg")


@dataclass(frozen=True)
class ImageModel:
    """What one image model accepts; `sizes` is empty where any size within the rules goes."""

    sizes: tuple[str, ...] = ()
    qualities: tuple[str, ...] = _QUALITIES
    formats: tuple[str, ...] = _FORMATS
    fidelity: bool = False


_OLD = ImageModel(sizes=_FIXED_SIZES, fidelity=True)
_FINE = (*_QUALITIES[:-1], "xhigh", "max", "auto")

# A row stands for its dated snapshots too. `gpt-image-1` is shut down: that it then "does not exist" is a
# guess, and so is what `chatgpt-image-latest` accepts.
_MODELS = {
    "gpt-image-1-mini": _OLD,
    "gpt-image-1.5": _OLD,
    "chatgpt-image-latest": _OLD,
    "gpt-image-2": ImageModel(),
    "gpt-image-2.5-sunburst": ImageModel(qualities=_FINE),
    "gpt-image-2.5-flare": ImageModel(qualities=_FINE),
    "gpt-image-2.6-sunburst": ImageModel(qualities=_FINE, formats=(*_FORMATS, "gif", "svg")),
    "gpt-image-2.6-flare": ImageModel(qualities=_FINE, formats=(*_FORMATS, "gif", "svg")),
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
    """Raise the service's 400 for the first option, or pair of options, that it refuses."""
    model = image_model(options.get("model") or DEFAULT_MODEL)
    given = {name: value for name, value in options.items() if value is not None}
    _check_values(given, model)
    _check_size(given, model)
    _check_pairs(given, model)
    _check_gif(given)
    _check_svg(given)


def image_model(name: str) -> ImageModel:
    """The rules of an image model or of its dated snapshot."""
    found = _MODELS.get(re.sub(r"-\d{4}-\d\d-\d\d$", "", name))
    if found is None:
        raise invalid_value("model", f"The model '{name}' does not exist.", kind=USER_ERROR)
    return found


def image_models() -> list[str]:
    """The ids of all image models."""
    return list(_MODELS)


def _check_values(given: Mapping[str, Any], model: ImageModel) -> None:
    allowed = {**_ENUMERATIONS, "quality": model.qualities, "output_format": model.formats}
    for name, values in allowed.items():
        if name in given and given[name] not in values:
            raise not_one_of(name, given[name], values)
    for name, (low, high) in _RANGES.items():
        if name in given and not _between(given[name], low, high):
            # The text is a guess.
            message = f"Invalid value for '{name}': expected an integer from {low} to {high}, got {given[name]!r}."
            raise ApiError(400, message, code="invalid_value", param=name)


def _between(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _check_size(given: Mapping[str, Any], model: ImageModel) -> None:
    size = given.get("size", "auto")
    if model.sizes:
        if size not in model.sizes:
            raise not_one_of("size", size, model.sizes)
    elif size != "auto":
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", str(size))
        if match is None:
            raise not_one_of("size", size, _FIXED_SIZES)
        _check_pixels(size, int(match[1]), int(match[2]), _frames(given))


def _frames(given: Mapping[str, Any]) -> int:
    return int(given.get("frame_count", 9)) if given.get("output_format") == "gif" else 1


def _check_pixels(size: str, width: int, height: int, frames: int) -> None:
    """The frames of a gif share one pixel budget."""
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
    """That these are refused is known; every text is a guess."""
    form = given.get("output_format", "png")
    if form != "gif":
        for name in ("frame_count", "frame_duration_ms"):
            if name in given:
                raise invalid_value(name, f"'{name}' is only supported for GIF output format", kind=USER_ERROR)
        return
    _refuse(given, form, "partial_images", harmless=0)
    _refuse(given, form, "output_compression", harmless=100)
    _refuse(given, form, "input_image_mask")
    _refuse(given, form, "mask")


def _check_svg(given: Mapping[str, Any]) -> None:
    """That these are refused is known; every text is a guess."""
    form = given.get("output_format", "png")
    if form != "svg":
        if "svg" in given:
            raise invalid_value("svg", "'svg' is only supported for SVG output format", kind=USER_ERROR)
        return
    _refuse(given, form, "partial_images", harmless=0)
    _refuse(given, form, "output_compression", harmless=100)
    _refuse(given, form, "n", harmless=1)


def _refuse(given: Mapping[str, Any], form: str, name: str, *, harmless: object = None) -> None:
    if given.get(name, harmless) != harmless:
        raise invalid_value(name, f"'{name}' is not supported for {form.upper()} output format", kind=USER_ERROR)
