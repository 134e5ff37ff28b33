"""The tool's arguments as a chat model writes them: schema, what is meant, and the refusal of wrong ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from langchain_core.tools import InjectedToolArg
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model, model_validator

from langchain_imagegen.agents.wording import valid
from langchain_imagegen.conversation.handles import read_handles
from langchain_imagegen.options.options import argument_fields
from langchain_imagegen.options.validation import complaints, listed

EXPOSED = ("size", "quality", "background", "output_format")
MOST_IMAGES = 16  # that one call may name, as many as the Images API takes


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


def arguments(exposed: Iterable[str], *, urls: bool = False) -> type[BaseModel]:
    """Return the argument schema: the prompt, the images, and the options that the model may choose."""
    names = "Handles or web addresses" if urls else "Handles"
    schema: type[BaseModel] = create_model(
        "GenerateImage",
        __config__=ConfigDict(extra="forbid"),
        __module__=__name__,
        __doc__="A picture to draw or edit.",
        __validators__={"written": model_validator(mode="before")(_written)},
        prompt=(str, Field(description="What to draw, or what to change about the images; say 'draw' or 'edit'.")),
        images=(Handles, Field(default_factory=list, description=f"{names} of images to edit or combine, or 'last'.")),
        **argument_fields(tuple(exposed)),  # type: ignore[call-overload]
        # LangGraph fills a field of this name; `exclude` keeps it from being dumped, the whole state with it.
        runtime=(Annotated[Any, InjectedToolArg], Field(default=None, exclude=True)),
    )
    return schema


def refusal(error: ValidationError, schema: type[BaseModel]) -> str:
    """Return words by which a chat model can correct arguments of a wrong name or type."""
    names = [name for name in schema.model_fields if name != "runtime"]
    problems = "; ".join(complaints(error, schema, names))
    return f"No picture was made: {problems}. The arguments are {listed(names, 'and')}: correct them and call again."
