"""The tool's arguments as a chat model writes them: schema, what is meant, and the refusal of wrong ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from langchain_core.tools import InjectedToolArg
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model, model_validator

from langchain_imagegen.agents.wording import valid
from langchain_imagegen.conversation.handles import read_handles
from langchain_imagegen.errors import OptionError
from langchain_imagegen.images.regions import Region, box, polygon, union
from langchain_imagegen.options.options import argument_fields
from langchain_imagegen.options.validation import complaints, listed

EXPOSED = ("size", "quality", "background", "output_format")
MOST_IMAGES = 16  # that one call may name, as many as the Images API takes
MOST_AREAS = 16
MOST_POINTS = 200  # of an outline
REGION = "region"
"""The argument by which a chat model says which part of the first image may change."""


def _handles(value: object) -> list[str]:
    """Return the names of images in what a chat model wrote, each once."""
    names = list(dict.fromkeys(read_handles(value)))
    if len(names) > MOST_IMAGES:
        raise ValueError(f"names {len(names)} images, and at most {MOST_IMAGES} can be edited or combined at once")
    return names


Handles = Annotated[list[str], BeforeValidator(_handles)]


def _written(arguments: Any) -> Any:
    """Return the arguments as a chat model meant them: valid text, and no option where it chose none."""
    if not isinstance(arguments, Mapping):
        return arguments
    own = {name: valid(value) for name, value in arguments.items() if name != "runtime"}
    chosen = {name: value for name, value in own.items() if name in ("prompt", "images") or not _is_blank(value)}
    kept = {name: arguments[name] for name in arguments if name == "runtime"}
    return {**{valid(name): value for name, value in chosen.items()}, **kept}


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() in ("", "none", "null")


class Corner(BaseModel):
    """A point of an outline."""

    model_config = ConfigDict(extra="forbid")

    x: float = Field(ge=0, le=1, description="0 is the left edge of the image, 1 the right edge.")
    y: float = Field(ge=0, le=1, description="0 is the upper edge, 1 the lower edge.")


class Area(BaseModel):
    """A box (x, y, width, height) or an outline (points), in fractions of the image's width and height."""

    model_config = ConfigDict(extra="forbid")

    x: float | None = Field(default=None, ge=0, le=1, description="Left side of the box; 0 is the image's left edge.")
    y: float | None = Field(default=None, ge=0, le=1, description="Upper side of the box; 0 is the upper edge.")
    width: float | None = Field(default=None, gt=0, le=1, description="Width of the box; 1 is the whole image.")
    height: float | None = Field(default=None, gt=0, le=1, description="Height of the box; 1 is the whole image.")
    points: list[Corner] | None = Field(
        default=None, max_length=MOST_POINTS, description="Instead of a box: at least 3 points around the area."
    )

    def region(self) -> Region:
        """Return the region that is meant.

        Raises:
            OptionError: It is neither a box nor an outline, or both.
        """
        sides = (self.x, self.y, self.width, self.height)
        if self.points and all(side is None for side in sides):
            return polygon([(point.x, point.y) for point in self.points], unit="fraction")
        x, y, width, height = sides
        if self.points or x is None or y is None or width is None or height is None:
            raise OptionError(
                "an area of region is either a box with x, y, width and height or an outline with at least 3 points, "
                "all in fractions from 0 to 1"
            )
        return box(x, y, width, height, unit="fraction")


def _areas(value: object) -> object:
    """Return the areas that a chat model wrote: one alone, or none at all, is a list too."""
    if isinstance(value, (Mapping, Area)):
        return [value]
    return None if isinstance(value, (list, tuple)) and not value else value


Areas = Annotated[Annotated[list[Area], Field(max_length=MOST_AREAS)] | None, BeforeValidator(_areas)]


def region_of(areas: Iterable[Area | Mapping[str, Any]]) -> Region:
    """Return the region that a chat model chose.

    Raises:
        OptionError: An area is no box and no outline.
    """
    return union(Area.model_validate(area).region() for area in areas)


def _region_field(exposed: Iterable[str]) -> dict[str, Any]:
    words = "Where the first image may change; the rest stays as it is. Leave it out to change the image as a whole."
    return {REGION: (Areas, Field(default=None, description=words))} if REGION in exposed else {}


def arguments(exposed: Iterable[str], *, urls: bool = False) -> type[BaseModel]:
    """Return the argument schema: the prompt, the images, and the options that the model may choose."""
    exposed = tuple(exposed)
    names = "Handles or web addresses" if urls else "Handles"
    schema: type[BaseModel] = create_model(
        "GenerateImage",
        __config__=ConfigDict(extra="forbid"),
        __module__=__name__,
        __doc__="A picture to draw or edit.",
        __validators__={"written": model_validator(mode="before")(_written)},
        prompt=(str, Field(description="What to draw, or what to change about the images; say 'draw' or 'edit'.")),
        images=(Handles, Field(default_factory=list, description=f"{names} of images to edit or combine, or 'last'.")),
        **argument_fields([name for name in exposed if name != REGION]),  # type: ignore[call-overload]
        **_region_field(exposed),
        # LangGraph fills a field of this name; `exclude` keeps it from being dumped, the whole state with it.
        runtime=(Annotated[Any, InjectedToolArg], Field(default=None, exclude=True)),
    )
    return schema


def refusal(error: ValidationError, schema: type[BaseModel]) -> str:
    """Return words by which a chat model can correct arguments of a wrong name or type."""
    names = [name for name in schema.model_fields if name != "runtime"]
    problems = "; ".join(complaints(error, schema, names))
    return f"No picture was made: {problems}. The arguments are {listed(names, 'and')}: correct them and call again."
