"""Words for values and validation errors: short, with the accepted values, never with image bytes.

This module works with any pydantic model and reads the accepted values from its fields.
"""

from __future__ import annotations

import difflib
import reprlib
import types
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel

from langchain_imagegen.errors import OptionError
from langchain_imagegen.options.redaction import stand_in
from langchain_imagegen.options.vocabulary import ABSENT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_FEW = 8  # names that an error lists in full
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 40


def listed(values: Sequence[object], last: str = "or") -> str:
    """Return values as an English list: `'a', 'b' or 'c'`."""
    quoted = [repr(value) for value in values]
    return f" {last} ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def did_you_mean(written: object, known: Collection[str]) -> str:
    """Return a question that suggests the known word closest to a wrong one, or an empty text."""
    close = difflib.get_close_matches(str(written), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def complaints(
    error: ValidationError,
    model: type[BaseModel],
    known: Collection[str] = (),
    hints: Mapping[str, str] | None = None,
) -> list[str]:
    """Return a sentence for each validation problem: the value as written, what is accepted, and a suggestion.

    Args:
        error: What pydantic raised for `model`.
        model: The model that was validated.
        known: Names to suggest at the top level instead of the model's own fields.
        hints: Advice for a name or a field, used instead of the usual words.
    """
    found = (_complaint(details, model, known, hints) for details in error.errors(include_url=False))
    return list(dict.fromkeys(found))


def _complaint(
    details: ErrorDetails, model: type[BaseModel], known: Collection[str], hints: Mapping[str, str] | None
) -> str:
    path, owner, field = _locate(details["loc"], model)
    place = path or owner.__name__
    if details["type"] == "extra_forbidden":
        names = known if known and owner is model else owner.model_fields
        return f"{place} has no {details['loc'][-1]!r}{_suggest(details['loc'][-1], names, hints)}"
    if details["type"] == "missing":
        return f"{place} is missing"
    if isinstance(cause := details.get("ctx", {}).get("error"), OptionError):
        return str(cause)
    if hints and path in hints:
        return f"{place}={shown(details['input'])}: {hints[path]}"
    accepted = _accepted(field, details["input"]) if field else ""
    return f"{place}={shown(details['input'])}: {accepted or details['msg']}"


def _locate(location: tuple[int | str, ...], model: type[BaseModel]) -> tuple[str, type[BaseModel], FieldInfo | None]:
    """Return a field's dotted path, the model that owns it, and the field."""
    path, owner, field = [], model, None
    for part in location:
        if part not in owner.model_fields:
            break
        field = owner.model_fields[str(part)]
        path.append(str(part))
        owner = next((kind for kind in _kinds(field.annotation) if _is_model(kind)), owner)
    return ".".join(path).removeprefix("options."), owner, field


def _suggest(written: object, names: Collection[str], hints: Mapping[str, str] | None) -> str:
    if hint := (hints or {}).get(str(written)) or ABSENT.get(str(written)):
        return f": {hint}"
    if len(names) <= _FEW:
        return did_you_mean(written, names) or f"; it has {listed(list(names), 'and')}"
    close = difflib.get_close_matches(str(written), list(names), n=3, cutoff=0.0)
    return did_you_mean(written, names) or f"; the nearest names are {listed(close, 'and')}"


def _accepted(field: FieldInfo, written: object) -> str:
    choices = [choice for kind in _kinds(field.annotation) for choice in get_args(kind)]
    lowest = next((bound.ge for bound in field.metadata if isinstance(bound, Ge)), None)
    highest = next((bound.le for bound in field.metadata if isinstance(bound, Le)), None)
    if choices and all(isinstance(choice, str) for choice in choices):
        return f"it takes {listed(choices)}{did_you_mean(written, choices)}"
    if lowest is not None and highest is not None:
        return f"it takes a whole number from {lowest:,} to {highest:,}"
    return f"it takes text such as {listed(field.examples)}" if field.examples else ""


def _kinds(annotation: Any) -> list[Any]:
    """Return the members of a union, or the annotation itself, without `None`."""
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return [kind for kind in members if kind is not type(None)]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def shown(value: object) -> str:
    """Return a value as an error shows it: shortened, and a picture as a placeholder with its size."""
    return _SHORT.repr(stand_in(value))
