"""Errors of a hosted call as a chat model raises them, read as our errors.

`ChatOpenAI` raises the SDK's errors for HTTP errors and for the `error` event of a stream. For a response of status
`failed` it raises `ValueError`, which holds the service's error object or, if it streamed, only the text of it. So it
does for an `error` event whose fields are not nested: `code: message`. For an answer of status 200 that is no JSON, as
a gateway's page, it raises `AttributeError`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from langchain_imagegen.api.sdk_errors import translate
from langchain_imagegen.api.service_errors import after_drawing_began, read_error
from langchain_imagegen.errors import GatewayError, ImageGenerationError, ModerationError, RateLimitError

_STAGE = re.compile(r"moderation_stage\W+(\w+)")
_CATEGORIES = re.compile(r"categories\W*\[([^\]]*)\]")
_CODE = re.compile(r"\bcode='(\w+)'")
_FLAT = re.compile(r"([a-z]+(?:_[a-z]+)+): (.+)", re.DOTALL)
_MESSAGE = re.compile(r"\bmessage=(['\"])(.*?)\1(?: \w+=|$)", re.DOTALL)


def read_failure(error: Exception) -> Exception:
    """Return our error for one that a chat model raised for a hosted call; any other error is returned itself."""
    if isinstance(error, ValueError) and error.args:
        told = read_error(_error_object(error.args[0]))
        if isinstance(told, ModerationError):
            return told
        if type(error) is ValueError and (not isinstance(error.args[0], str) or _is_of_chat_model(error)):
            return after_drawing_began(told)
    if isinstance(error, AttributeError) and "'str' object has no attribute" in str(error):
        return GatewayError(
            "the answer is not the service's JSON: a gateway or proxy may have answered in its place, and the picture "
            "may have been drawn and billed"
        )
    ours = translate(error)
    if isinstance(ours, RateLimitError) and ours.status is None:  # in a stream, perhaps behind a picture
        return after_drawing_began(ours)
    return ours


def as_both(ours: ImageGenerationError, theirs: Exception) -> Exception:
    """Return an error that is of both classes: those who expect a chat model's error catch it, and so does `retry_on`.

    Its message and the facts about money are ours; everything that the chat model's error holds is there too.
    """
    try:
        kind: Any = _joined(type(ours), type(theirs))  # type: ignore[arg-type]
        both: Exception = kind.__new__(kind)
    except TypeError:  # a class that cannot be combined
        return ours
    vars(both).update({**vars(theirs), **vars(ours)})
    both.args, both.__cause__ = ours.args, theirs
    return both


@cache
def _joined(ours: type[ImageGenerationError], theirs: type[Exception]) -> type[Exception]:
    facts = {"__module__": ours.__module__, "__doc__": ours.__doc__, "__reduce__": _pickled}
    return type(ours.__name__, (ours, theirs), facts)


def _pickled(both: Exception) -> tuple[Any, ...]:
    """Return what is pickled in place of an error of both classes: ours, as theirs may hold a connection."""
    ours = type(both).__bases__[0]
    plain = {
        name: value for name, value in vars(both).items() if isinstance(value, (str, int, float, tuple, type(None)))
    }
    return ours, both.args, plain


def _is_of_chat_model(error: Exception) -> bool:
    """Return True if `langchain_openai` itself raised an error: it has the service's words, and no class of its own."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith("langchain_openai")


def _error_object(told: object) -> Mapping[str, Any]:
    """Return the service's error object from the argument of a `ValueError`."""
    if isinstance(told, Mapping):
        return told
    fields = getattr(told, "model_dump", None)
    return fields() if callable(fields) else _read_text(str(told))


def _read_text(text: str) -> Mapping[str, Any]:
    """Return what the text of an error tells: `code='…' message='…' moderation_details={…}` or `code: message`."""
    if flat := _FLAT.fullmatch(text):
        return {"code": flat[1], "message": flat[2]}
    message, stage, categories = _MESSAGE.search(text), _STAGE.search(text), _CATEGORIES.search(text)
    code = _CODE.search(text)
    return {
        "code": code and code[1],
        "message": message[2] if message else text,
        "moderation_details": {
            "moderation_stage": stage[1] if stage else None,
            "categories": re.findall(r"[\w/-]+", categories[1]) if categories else [],
        },
    }
