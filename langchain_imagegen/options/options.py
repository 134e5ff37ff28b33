"""`ImageOptions`: every option, with its name, type, bounds and description in one place.

The tool dict and the argument schemas are derived from these fields. Rules about combinations stand in `rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_serializer,
    model_validator,
)

from langchain_imagegen._moved import OldPickles
from langchain_imagegen.errors import OptionError
from langchain_imagegen.options.models import DEFAULT_IMAGE_MODEL
from langchain_imagegen.options.rules import COMPRESSED_FORMATS, Asked, problems, size_for
from langchain_imagegen.options.sizes import SIZE_PATTERN
from langchain_imagegen.options.text import check_json
from langchain_imagegen.options.validation import complaints, did_you_mean, listed
from langchain_imagegen.options.vocabulary import read_model_value, read_ratio, read_size, read_word

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from pydantic.fields import FieldInfo


def _words(option: str) -> BeforeValidator:
    return BeforeValidator(partial(read_word, option))


class _Options(OldPickles, BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=False)

    def sent(self) -> dict[str, Any]:
        """Return the fields that are not `None` as new JSON values."""
        given = ((name, value) for name, value in self if value is not None)
        return {name: value.sent() if isinstance(value, _Options) else value for name, value in given}

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        return ((name, value) for name, value in self if value is not None)

    @model_serializer(mode="wrap")
    def _set_only(self, dump: Callable[[Self], dict[str, Any]]) -> dict[str, Any]:
        """Dump only the fields that were set, so that a loaded dump sets the same fields."""
        return {name: value for name, value in dump(self).items() if name in self.model_fields_set}


class SvgReasoning(_Options):
    """How hard the author of an SVG thinks."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = Field(
        default=None, description="How much reasoning the author model spends; its own default if left out."
    )


class Svg(_Options):
    """Who writes an SVG; the image model draws the reference picture that it works from."""

    model: str | None = Field(
        default=None, description="Text model that writes the SVG; the response's own model if left out."
    )
    reasoning: SvgReasoning | None = Field(default=None, description="How hard that model thinks.")


Api = Literal["responses", "images"]
"""Which of OpenAI's APIs draws."""

Reference = Literal["auto", "call_id", "response_id", "bytes"]
"""How an edit names its source first."""


class ImageOptions(_Options):
    """Every option of the hosted tool, named as the API names it; `None` is not sent.

    `model` alone has a default, because the service's own default moves; `model=None` leaves it out.
    """

    model: str | None = Field(
        default=DEFAULT_IMAGE_MODEL,
        description="Image model that draws, such as gpt-image-2 or gpt-image-2.6-sunburst. "
        "Not the text model that writes the response.",
        examples=["gpt-image-2", "gpt-image-2.6-sunburst"],
    )
    action: Annotated[Literal["generate", "edit", "auto"] | None, _words("action")] = Field(
        default=None,
        description="generate draws a new image, edit changes an image that is in context, "
        "auto (the default) lets the model decide.",
    )
    size: Annotated[str | None, BeforeValidator(read_size)] = Field(
        default=None,
        pattern=SIZE_PATTERN,
        description="Width x height in pixels, such as 1024x1024 (square), 1536x1024 (landscape) or "
        "1024x1536 (portrait), or auto (the default). From gpt-image-2 on, any size with both edges "
        "divisible by 16, a ratio of at most 3:1, no edge above 3840 and 655,360 to 8,294,400 pixels in all.",
        examples=["auto", "1024x1024", "1536x864"],
    )
    quality: Annotated[Literal["low", "medium", "high", "xhigh", "max", "auto"] | None, _words("quality")] = Field(
        default=None,
        description="Rendering quality: low is fast and cheap (drafts), high is slow and costs many times as "
        "much. xhigh and max exist from gpt-image-2.5 on. Default: auto.",
    )
    output_format: Annotated[Literal["png", "webp", "jpeg", "gif", "svg"] | None, _words("output_format")] = Field(
        default=None,
        description="File format: png (the default, lossless), webp or jpeg (smaller; jpeg is the fastest), "
        "gif (animated) or svg (vector); the last two from gpt-image-2.6 on.",
    )
    output_compression: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="Compression quality in percent, for jpeg and webp only; 100 (the default) gives the largest file.",
    )
    background: Annotated[Literal["transparent", "opaque", "auto"] | None, _words("background")] = Field(
        default=None,
        description="transparent (png or webp; a preview on gpt-image-2), opaque, or auto (the default).",
    )
    input_fidelity: Annotated[Literal["high", "low"] | None, _words("input_fidelity")] = Field(
        default=None,
        description="How closely an edit keeps the faces and style of its source images. For gpt-image-1.5 "
        "only (low also for gpt-image-1-mini); later models refuse the option.",
    )
    moderation: Annotated[Literal["auto", "low"] | None, _words("moderation")] = Field(
        default=None, description="Strictness of the content filter: auto (the default) or low."
    )
    partial_images: int | None = Field(
        default=None,
        ge=0,
        le=3,
        description="How many unfinished versions a stream shows before the final image (0 to 3, default 0); "
        "each costs extra image tokens.",
    )
    complexity: Annotated[Literal["low", "medium", "high"] | None, _words("complexity")] = Field(
        default=None,
        description="How much the image model plans before it draws, independent of quality. "
        "If left out it follows the response's reasoning effort where it can.",
    )
    frame_count: int | None = Field(
        default=None, ge=2, le=16, description="Frames of an animation, 2 to 16 (default 9); for gif only."
    )
    frame_duration_ms: int | None = Field(
        default=None,
        ge=10,
        le=655_350,
        description="How long each frame of an animation is shown, in milliseconds, rounded to tens "
        "(10 to 655,350, default 200); for gif only.",
    )
    aspect_ratio: Annotated[str | None, BeforeValidator(read_ratio)] = Field(
        default=None,
        pattern=r"^\d*\.?\d*[1-9]\d*(\.0*)?:\d*\.?\d*[1-9]\d*(\.0*)?$",
        description="Width : height, such as 16:9 (wide), 1:1 (square) or 2:3 (portrait), in place of size: the "
        "nearest size that the image model has is asked for. Not together with size.",
        examples=["16:9", "1:1", "2:3"],
    )
    extra: dict[str, Any] | None = Field(
        default=None, description="Further fields of the tool, sent as they are, for options newer than this package."
    )
    svg: Svg | None = Field(default=None, description="Which model writes an SVG and how hard it thinks; for svg only.")

    @model_validator(mode="after")
    def _without_contradiction(self) -> Self:
        if self.size is not None and self.aspect_ratio is not None:
            raise OptionError(f"size={self.size!r} and aspect_ratio={self.aspect_ratio!r} exclude each other: give one")
        known = {*type(self).model_fields, "type", "input_image_mask"}
        if taken := [name for name in self.extra or () if name in known]:
            raise OptionError(*(f"extra has {name!r}, which has its own field: use that" for name in taken))
        check_json(extra=self.extra)
        return self

    def __hash__(self) -> int:
        return hash((type(self), repr(sorted(self.sent().items(), key=str))))

    def sent(self) -> dict[str, Any]:
        """Return the options that are sent: `aspect_ratio` as a size, `extra` in full."""
        options = super().sent()
        ratio, extra = options.pop("aspect_ratio", None), options.pop("extra", {})
        if ratio is not None:
            options["size"] = size_for(ratio, options)
        return {**options, **extra}

    @classmethod
    def parse(cls, value: ImageOptions | Mapping[str, Any] | None) -> ImageOptions:
        """Return options from a dict or other options; `None` gives the defaults.

        Raises:
            OptionError: It names every unknown option and every value out of bounds, and what is accepted.
        """
        if isinstance(value, ImageOptions):
            return value
        try:
            return cls.model_validate(_chosen(value))
        except ValidationError as error:
            raise OptionError(*complaints(error, cls)) from None

    def merge(self, other: ImageOptions | Mapping[str, Any] | None) -> ImageOptions:
        """Return a copy in which the fields set in `other` win; a field set to `None` there is removed."""
        ours, theirs = _chosen(self), _chosen(self.parse(other))
        for one, instead in (("size", "aspect_ratio"), ("aspect_ratio", "size")):
            if theirs.get(one) is not None and theirs.get(instead) is None:
                ours.pop(instead, None)
        return self.parse({**ours, **theirs})

    def tool(self, mask: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the hosted tool as a new dict, for the service and for `bind_tools`.

        Args:
            mask: `{"image_url": …}` or `{"file_id": …}`: an image that is transparent where the first image may change.
        """
        masked = {} if mask is None else {"input_image_mask": dict(mask)}
        return {"type": "image_generation", **self.sent(), **masked}

    def check(
        self, *, api: Literal["responses", "images"] = "responses", mask: bool = False, stream: bool = False
    ) -> None:
        """Check that the options can work with their image model; an unknown model passes.

        Raises:
            OptionError: It names every problem at once, and the nearest legal size.
        """
        if found := problems(Asked(self.sent(), api, mask=mask, stream=stream)):
            raise OptionError(*found)


def drop_compression(locked: ImageOptions, chosen: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a chat model's options without a compression that their file format lacks, and a warning about it.

    A refusal would cost a turn of the chat model, and the picture is the same without the option.
    """
    sent = locked.merge(chosen).sent()
    value, form = sent.get("output_compression", 100), sent.get("output_format", "png")
    if value == 100 or form in COMPRESSED_FORMATS:
        return dict(chosen), ()
    warning = f"output_compression={value} was ignored: output_format={form!r} has no compression"
    return {**chosen, "output_compression": None}, (warning,)


def argument_fields(exposed: Collection[str]) -> dict[str, tuple[Any, FieldInfo]]:
    """Return the type and description of options for `pydantic.create_model`; each is `None` by default.

    Raises:
        OptionError: It names unknown options, and lists the known ones.
    """
    known = ImageOptions.model_fields
    if unknown := [name for name in exposed if name not in known]:
        hints = [f"there is no option {name!r}{did_you_mean(name, known)}" for name in unknown]
        raise OptionError(*hints, f"the options are {listed(list(known), 'and')}")
    return {name: _argument(name, known[name]) for name in exposed}


def _argument(name: str, option: FieldInfo) -> tuple[Any, FieldInfo]:
    # Pydantic runs the last `BeforeValidator` first.
    marked: Any = (option.annotation, *option.metadata, BeforeValidator(partial(read_model_value, name)))
    kind = Annotated[marked]
    field: Any = Field(default=None, description=option.description, examples=option.examples)
    return kind, field


def _chosen(options: object) -> Any:
    """Return the options that were set, without defaults; return any other value unchanged."""
    if isinstance(options, ImageOptions):
        return {name: value for name, value in options if name in options.model_fields_set}
    return {} if options is None else options
