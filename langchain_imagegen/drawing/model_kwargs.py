"""Which fields of a request `model_kwargs` may set: those that the generator does not set itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_imagegen.errors import OptionError
from langchain_imagegen.options.options import Api, ImageOptions
from langchain_imagegen.options.text import check_json

RESERVED = (
    "model",
    "input",
    "prompt",
    "instructions",
    "tool_choice",
    "previous_response_id",
    "conversation",
    "store",
    "stream",
    "reasoning",
    "background",
)
"""Request fields that the generator sets, so `model_kwargs` cannot set them."""

_ONLY_RESPONSES = ("tools", "include", "max_tool_calls", "parallel_tool_calls", "text", "truncation")


def check_model_kwargs(given: Mapping[str, Any], reasoning: Mapping[str, Any] | None, api: Api) -> None:
    """Check the fields of `model_kwargs` and `reasoning`.

    Raises:
        OptionError: A field is set by the generator, or the API has no such field. The error names each field.
    """
    check_json(model_kwargs=given, reasoning=reasoning)
    reserved = (*RESERVED, *(ImageOptions.model_fields if api == "images" else ()))
    problems = [
        f"model_kwargs has {name!r}, which the generator sets: use its own setting or option"
        for name in given
        if name in reserved
    ]
    tools = given.get("tools", [])
    if not isinstance(tools, list) or any(not isinstance(tool, Mapping) for tool in tools):
        problems.append("model_kwargs has 'tools' which is not a list of dicts")
    elif any(tool.get("type") == "image_generation" for tool in tools):
        problems.append("model_kwargs has a second image_generation tool: use options= and ImageOptions(extra=…)")
    if api == "images":
        problems += [
            f'model_kwargs has {name!r}, which api="images" does not have' for name in given if name in _ONLY_RESPONSES
        ]
    if api == "images" and reasoning:
        problems.append('reasoning is for the mainline model, and api="images" uses none: leave it out')
    if problems:
        raise OptionError(*problems)
