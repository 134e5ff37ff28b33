"""What each model accepts and when it ends: facts with their source and date.

`rules` applies these rows. A new image model is one new row. A fact without a source is `None`, and `rules` does not
check it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

CHECKED = date(2026, 11, 22)
"""The day on which every row was last compared with its source."""

DEFAULT_IMAGE_MODEL = "gpt-image-2"
DEFAULT_MAINLINE_MODEL = "gpt-5.4"
GIF_FRAMES = 9
"""How many frames the service draws when `frame_count` is left out."""

FIXED_SIZES = ("1024x1024", "1024x1536", "1536x1024")

_SDK = "openai-python 3.54.0, ImageGeneration"
_DEPRECATIONS = "OpenAI deprecations page, November 2026"
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """The limits of a free size; pixels are counted per picture."""

    step: int = 16
    longest_edge: int = 3840
    ratio: int = 3
    min_pixels: int = 655_360
    max_pixels: int = 8_294_400


@dataclass(frozen=True, slots=True)
class ImageModel:
    """One image model. `None` in a field means that the sources do not say, or that the value changes.

    `sizes` is a tuple if only those sizes exist, else the limits of a free size. `transparent` is `None` if only the
    service can tell (a preview). An empty `input_fidelity` means that the service rejects the parameter. `gif_pixels`
    is the budget of all frames together.
    """

    name: str
    source: str
    ends: date | None = None
    instead: str | None = None
    sizes: SizeLimits | tuple[str, ...] | None = None
    qualities: tuple[str, ...] | None = None
    formats: tuple[str, ...] | None = None
    transparent: bool | None = None
    input_fidelity: tuple[str, ...] | None = None
    gif_pixels: int | None = None
    checked: date = CHECKED

    @property
    def shut_down(self) -> bool:
        """True if the model had ended on the day the row was checked; the clock is not read."""
        return self.ends is not None and self.ends <= self.checked

    @property
    def status(self) -> str:
        """Return `"active"`, `"deprecated"` (its end is announced) or `"shut down"`."""
        if self.shut_down:
            return "shut down"
        return "deprecated" if self.ends else "active"


@dataclass(frozen=True, slots=True)
class MainlineModel:
    """A text model that is known to work with the tool. Used in messages only; no model is rejected by it."""

    name: str
    source: str
    ends: date | None = None
    checked: date = CHECKED

    @property
    def shut_down(self) -> bool:
        """True if the model had ended on the day the row was checked."""
        return self.ends is not None and self.ends <= self.checked


_STANDARD = ("low", "medium", "high", "auto")
_EXTENDED = ("low", "medium", "high", "xhigh", "max", "auto")
_STILLS = ("png", "webp", "jpeg")
_END_OF_GPT_IMAGE_1 = date(2026, 12, 1)


def _gpt_image_2_5(name: str) -> ImageModel:
    return ImageModel(
        name,
        f"{_SDK}; input_fidelity: refused live, September 2026",
        sizes=SizeLimits(),
        qualities=_EXTENDED,
        formats=_STILLS,
        transparent=True,
        input_fidelity=(),
    )


def _gpt_image_2_6(name: str) -> ImageModel:
    return ImageModel(
        name,
        f"{_SDK}; qualities, formats, GIF budget: live reports, November 2026; input_fidelity: as 2.5",
        sizes=SizeLimits(),
        qualities=_EXTENDED,
        formats=(*_STILLS, "gif", "svg"),
        transparent=True,
        input_fidelity=(),
        gif_pixels=8_294_400,
    )


IMAGE_MODELS: tuple[ImageModel, ...] = (
    _gpt_image_2_6("gpt-image-2.6-sunburst"),
    _gpt_image_2_6("gpt-image-2.6-flare"),
    _gpt_image_2_5("gpt-image-2.5-sunburst"),
    _gpt_image_2_5("gpt-image-2.5-flare"),
    ImageModel(
        "gpt-image-2",
        f"{_SDK}; pixel and edge limits: OpenAI guide, September 2026; transparency is a preview",
        sizes=SizeLimits(),
        qualities=_STANDARD,
        formats=_STILLS,
        input_fidelity=(),
    ),
    ImageModel(
        "gpt-image-1.5",
        f"{_SDK}; end: {_DEPRECATIONS}",
        ends=_END_OF_GPT_IMAGE_1,
        instead="gpt-image-2",
        sizes=FIXED_SIZES,
        qualities=_STANDARD,
        formats=_STILLS,
        transparent=True,
        input_fidelity=("high", "low"),
    ),
    ImageModel(
        "gpt-image-1-mini",
        f"{_SDK}; end: {_DEPRECATIONS}",
        ends=_END_OF_GPT_IMAGE_1,
        instead="gpt-image-2",
        sizes=FIXED_SIZES,
        qualities=_STANDARD,
        formats=_STILLS,
        input_fidelity=("low",),
    ),
    ImageModel(
        "chatgpt-image-latest",
        f"{_SDK}; follows whatever ChatGPT serves; end: {_DEPRECATIONS}",
        ends=_END_OF_GPT_IMAGE_1,
        instead="gpt-image-2",
    ),
    ImageModel(
        "gpt-image-1",
        _SDK,
        ends=date(2026, 10, 23),
        instead="gpt-image-2",
    ),
    ImageModel("dall-e-3", "openai-python 3.54.0, ImageGenerateParams", date(2026, 5, 12), "gpt-image-2"),
    ImageModel("dall-e-2", "openai-python 3.54.0, ImageGenerateParams", date(2026, 5, 12), "gpt-image-2"),
)

_GUIDE = "OpenAI guide to the tool, 2026"
_RECORDED = "recorded traffic, 2025-2026"
_GPT_5_END = date(2026, 12, 11)
_GPT_4_END = date(2027, 1, 14)

MAINLINE_MODELS: tuple[MainlineModel, ...] = (
    MainlineModel("gpt-5.4", f"{_GUIDE}; {_RECORDED}"),
    MainlineModel("gpt-5.4-mini", _GUIDE),
    MainlineModel("gpt-5.4-nano", _GUIDE, date(2027, 4, 1)),
    MainlineModel("gpt-5.2", _GUIDE),
    MainlineModel("gpt-5", f"{_GUIDE}; {_RECORDED}", _GPT_5_END),
    MainlineModel("gpt-5-mini", _RECORDED, _GPT_5_END),
    MainlineModel("gpt-5-nano", f"{_GUIDE}; {_RECORDED}", _GPT_5_END),
    MainlineModel("o3", _GUIDE, _GPT_5_END),
    MainlineModel("gpt-4.1", f"{_GUIDE}; {_RECORDED}", _GPT_4_END),
    MainlineModel("gpt-4.1-mini", f"{_GUIDE}; {_RECORDED}", _GPT_4_END),
    MainlineModel("gpt-4.1-nano", _GUIDE, date(2026, 10, 23)),
    MainlineModel("gpt-4o", _GUIDE, _GPT_4_END),
    MainlineModel("gpt-4o-mini", _GUIDE, _GPT_4_END),
)

_IMAGE_ROWS = {row.name: row for row in IMAGE_MODELS}
_MAINLINE_ROWS = {row.name: row for row in MAINLINE_MODELS}


def image_model(name: str) -> ImageModel | None:
    """Return the row of an image model or of its dated snapshot, or None for an unknown model."""
    return _IMAGE_ROWS.get(_SNAPSHOT.sub("", name))


def mainline_model(name: str) -> MainlineModel | None:
    """Return the row of a mainline model or of its dated snapshot; a model without a row may still work."""
    return _MAINLINE_ROWS.get(_SNAPSHOT.sub("", name))
