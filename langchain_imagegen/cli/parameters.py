"""Functions with groups of parameters as commands of typer.

A command takes a group, such as `Output`, as one argument: a dataclass whose fields are parameters. `ImageOptions` is a
group too, whose parameters are read off its fields: their names, help, values for completion and bounds.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from annotated_types import Ge, Le

from langchain_imagegen.cli.completion import one_of
from langchain_imagegen.cli.reporting import reported

PANEL = "Options of the picture"
_PARAMETER = inspect.Parameter
_DEBUG = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, and what is logged.")]


def command_of(function: Callable[..., None]) -> Callable[..., None]:
    """Return the function that typer runs: its groups are expanded, and its errors become a line and an exit code."""
    hints = get_type_hints(function, include_extras=True)
    expanded: dict[str, list[inspect.Parameter]] = {
        name: _expand(parameter.replace(annotation=hints[name]))
        for name, parameter in inspect.signature(function).parameters.items()
    }

    def run(**given: Any) -> None:
        with reported(json=bool(given.get("json")), debug=given.pop("debug")):
            function(**{name: _gather(hints[name], name, parts, given) for name, parts in expanded.items()})

    parameters = [each for parts in expanded.values() for each in parts]
    parameters.append(_PARAMETER("debug", _PARAMETER.KEYWORD_ONLY, default=False, annotation=_DEBUG))
    parameters = [each.replace(kind=_PARAMETER.KEYWORD_ONLY) for each in parameters]
    run.__doc__ = _paragraphs(function.__doc__ or "")
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _paragraphs(text: str) -> str:
    """Return a text whose paragraphs are lines, which typer breaks at the width of the terminal."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n"))


def _expand(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    kind = parameter.annotation
    if _is_image_options(kind):
        return image_option_parameters()
    if not dataclasses.is_dataclass(kind):
        return [parameter]
    hints = get_type_hints(kind, include_extras=True)
    return [
        _PARAMETER(field.name, _PARAMETER.KEYWORD_ONLY, default=field.default, annotation=hints[field.name])
        for field in dataclasses.fields(kind)
    ]


def _gather(kind: Any, name: str, parts: list[inspect.Parameter], given: Mapping[str, Any]) -> Any:
    """Return the argument of a command from the values of its parameters."""
    values = {part.name: given[part.name] for part in parts}
    if _is_image_options(kind):
        return read_image_options(values)
    return kind(**values) if isinstance(kind, type) and dataclasses.is_dataclass(kind) else values[name]


def _is_image_options(kind: Any) -> bool:
    return getattr(kind, "__name__", "") == "ImageOptions"  # importing it would slow down commands that do not need it


def image_option_parameters() -> list[inspect.Parameter]:
    """Return a parameter for each field of `ImageOptions`."""
    from langchain_imagegen.options.options import ImageOptions

    return [_of_field(name, field) for name, field in ImageOptions.model_fields.items()]


def _of_field(name: str, field: Any) -> inspect.Parameter:
    kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not type(None)]
    words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        help=field.description,
        metavar=_metavar(field, kinds, words),
        autocompletion=one_of(words or field.examples or []),
        show_default=field.default or False,
        rich_help_panel=PANEL,
    )
    kind = int if int in kinds else str
    return _PARAMETER(name, _PARAMETER.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option])


def _metavar(field: Any, kinds: list[Any], words: list[str]) -> str:
    lowest = next((bound.ge for bound in field.metadata if isinstance(bound, Ge)), None)
    highest = next((bound.le for bound in field.metadata if isinstance(bound, Le)), None)
    if words:
        return "|".join(words)
    if int in kinds:
        return f"{lowest}-{highest}"
    return "TEXT" if str in kinds else "JSON"


def read_image_options(values: Mapping[str, Any]) -> Any:
    """Return the options that were given.

    Raises:
        OptionError: A value is out of bounds, or two options exclude each other.
        BadParameter: The text of an option with fields is no JSON.
    """
    from langchain_imagegen.options.options import ImageOptions

    given = {name: value for name, value in values.items() if value is not None}
    for name in [name for name in given if name in ("extra", "svg")]:
        try:
            given[name] = json.loads(given[name])
        except ValueError:
            hint = """write JSON, such as '{"model": "gpt-5.4"}'"""
            raise typer.BadParameter(f"{given[name]!r} is no JSON: {hint}", param_hint=f"--{name}") from None
    return ImageOptions.parse(given)
