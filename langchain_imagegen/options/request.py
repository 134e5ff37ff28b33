"""`ImageRequest`: all fields of one request, from a dict, keyword arguments or a chat model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from langchain_imagegen._moved import OldPickles
from langchain_imagegen.errors import OptionError
from langchain_imagegen.options.redaction import stand_in
from langchain_imagegen.options.validation import complaints

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_imagegen.options.call_fields import CallFields

from langchain_imagegen.options.options import ImageOptions, _chosen


class ImageRequest(OldPickles, BaseModel):
    """One picture to draw or edit.

    `images` and `mask` are references: a handle, an ordinal, `"last"`, a call id, a `GeneratedImage`, an
    `ImageResult`, a URL, a data URL, a file id, a `Path`, bytes, a PIL image or a LangChain image block. A mask may
    also be a region: `box(…)`, `polygon(…)`, its JSON form, or a list of regions. A dump and a repr show placeholders
    in place of pictures (`<bytes 2.0 MB>`), so a dump cannot be sent.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)

    prompt: str = Field(default="", description="What to draw, or what to change about the images.")
    images: list[Any] = Field(
        default_factory=list, description="References to the images to edit or combine, in order."
    )
    mask: Any | None = Field(
        default=None,
        description="Where to edit: a region (`box`, `polygon`), or a picture that is fully transparent there.",
    )
    previous_response_id: str | None = Field(default=None, description="The response that this one continues.")
    conversation: str | dict[str, Any] | None = Field(
        default=None,
        description="The service's conversation that this response belongs to; not with a previous response.",
        examples=["conv_6890a1"],
    )
    options: ImageOptions | None = Field(
        default=None, description="Options for this request; they win over the generator's."
    )
    instructions: str | None = Field(
        default=None, description="Instructions for the mainline model, besides the prompt."
    )
    once: str | StrictBool | None = Field(
        default=None,
        description="A name for the picture, which is then bought once whoever asks for it; `False` does not ask the "
        "ledger, `auto` asks it inside LangGraph runs.",
        examples=["poster-7"],
    )
    regenerate: bool = Field(
        default=False,
        description="Whether to buy another picture although the ledger has one.",
    )

    if TYPE_CHECKING:

        def __init__(self, **fields: Unpack[CallFields]) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, value: Any) -> Any:
        return _gather_options(value) if isinstance(value, Mapping) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return a flat schema that a chat model can fill and strict structured output takes: no ids, no defaults."""
        own = handler.resolve_ref_schema(handler(core_schema))
        options = handler.resolve_ref_schema(handler(ImageOptions.__pydantic_core_schema__))
        taken = {name: own["properties"][name] for name in ("prompt", "instructions")}
        flat = {name: field for name, field in options["properties"].items() if name != "extra"}
        texts = {
            "type": "array",
            "items": {"type": "string"},
            "description": own["properties"]["images"]["description"],
        }
        mask = {
            "anyOf": [{"type": "string"}, {"type": "null"}],
            "description": "Reference to a picture that is fully transparent where to edit.",
        }
        properties = {"prompt": taken["prompt"], "images": texts, "mask": mask, **taken, **flat}
        plain = {
            name: {key: item for key, item in field.items() if key not in ("default", "examples", "title")}
            for name, field in properties.items()
        }
        return {
            "title": cls.__name__,
            "description": "One picture to draw or edit; null is the default.",
            "type": "object",
            "properties": plain,
            "additionalProperties": False,
        }

    @field_validator("images", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> list[Any]:
        if value is None:
            return []
        return list(value) if isinstance(value, (list, tuple)) else [value]

    @field_serializer("images", "mask")
    def _without_bytes(self, value: Any) -> Any:
        return stand_in(value)

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        pictures = ("images", "mask")
        given = ((name, value) for name, value in self if value)
        return ((name, stand_in(value) if name in pictures else value) for name, value in given)

    @classmethod
    def parse(cls, value: ImageRequest | Mapping[str, Any] | str) -> ImageRequest:
        """Return a checked request from a text, a dict or a request; a dict may hold options next to the prompt.

        Raises:
            OptionError: It names every unknown field and every rejected value, or the problems that `check` finds.
        """
        request = value if isinstance(value, ImageRequest) else cls._validated(value)
        request.check()
        return request

    @classmethod
    def _validated(cls, value: object) -> ImageRequest:
        fields = {"prompt": value} if isinstance(value, str) else value
        if isinstance(fields, Mapping):
            fields = _gather_options(fields)
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise OptionError(*complaints(error, cls, [*cls.model_fields, *ImageOptions.model_fields])) from None

    def override(self, **fields: Any) -> ImageRequest:
        """Return a copy with other fields. Options beside them change only themselves: `override(quality="low")`.

        Raises:
            OptionError: It names every unknown field and every rejected value.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return self._validated({**given, **fields})

    def check(self) -> None:
        """Check that the request asks for something and does not contradict itself.

        Raises:
            OptionError: It names every problem at once.
        """
        if found := list(self._problems()):
            raise OptionError(*found)

    def _problems(self) -> Iterator[str]:
        continues = self.previous_response_id or self.conversation
        if not self.prompt.strip() and not self.images:
            yield f"prompt={self.prompt!r} with no images asks for nothing: say what to draw"
        if self.previous_response_id and self.conversation:
            yield "previous_response_id and conversation exclude each other: give one of them"
        if self.once is True or (isinstance(self.once, str) and not self.once.strip()):
            yield f"once={self.once!r} names no picture: give it a name, such as once='poster-7', or once=False"
        if self.mask is not None and not self.images and not continues:
            yield "mask needs an image to apply to: give it in images, first if there are several"


def _gather_options(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with top-level options moved into `options`, where they win.

    A top-level `None` counts as not given; `None` within `options` removes a setting.
    """
    names = ImageOptions.model_fields
    beside = {name: value for name, value in fields.items() if name in names and value is not None}
    rest = {name: value for name, value in fields.items() if name not in names}
    chosen = _chosen(rest.get("options"))
    if beside and isinstance(chosen, Mapping):
        rest["options"] = {**chosen, **beside}
    return rest
