"""Checks Responses API requests before any work is done. Image options are checked in `image_rules`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_imagegen.simulator.errors import (
    USER_ERROR,
    ApiError,
    invalid_value,
    missing_parameter,
    unknown_parameter,
)
from langchain_imagegen.simulator.image_rules import check_options

TOOL = "image_generation"

_TOOL_FIELDS = {
    "type", "model", "action", "size", "quality", "complexity", "background", "output_format", "svg",
    "output_compression", "moderation", "input_fidelity", "input_image_mask", "partial_images", "frame_count",
    "frame_duration_ms",
}  # fmt: skip

_IMAGE_MODEL = re.compile(r"(gpt-image|chatgpt-image|dall-e)")
# Which older models reject the tool is a guess. The service does not enforce the guide's list.
_WITHOUT_TOOL = re.compile(r"(gpt-3\.5|gpt-4(-turbo.*|-\d+.*)?$|o1|o3-mini)")


def check_request(request: Any) -> None:
    """Raise the service's 400 for the first thing wrong with the body of `POST /v1/responses`."""
    if not isinstance(request, dict):
        raise ApiError(400, "We could not parse the JSON body of your request.")
    _check_required(request)
    _check_exclusive(request)
    _check_model(str(request["model"]), hosted_tool(request))
    _check_tools(request.get("tools") or [])
    _check_choice(request)


def hosted_tool(request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the image tool of a request, or None if it has none."""
    tools: Sequence[Mapping[str, Any]] = request.get("tools") or []
    return next((tool for tool in tools if tool.get("type") == TOOL), None)


def _check_required(request: Mapping[str, Any]) -> None:
    if not request.get("model"):
        raise missing_parameter("model")
    if not any(request.get(name) for name in ("input", "previous_response_id", "conversation", "prompt")):
        raise missing_parameter("input")


def _check_exclusive(request: Mapping[str, Any]) -> None:
    if request.get("previous_response_id") and request.get("conversation"):
        # The service is known to reject this. The text is a guess.
        message = "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. Give only one."
        raise ApiError(400, message, code="mutually_exclusive_parameters", param="previous_response_id")


def _check_model(model: str, tool: Mapping[str, Any] | None) -> None:
    if _IMAGE_MODEL.match(model):
        # The service is known to reject this. The text is a guess.
        raise ApiError(400, f"The model '{model}' is not supported with the Responses API.", param="model")
    if tool is not None and _WITHOUT_TOOL.match(model):
        raise ApiError(400, f"Tool '{TOOL}' is not supported with {model}.", param="tools")


def _check_tools(tools: Any) -> None:
    if not isinstance(tools, list):
        raise invalid_value("tools", "Invalid type for 'tools': expected an array of objects.")
    for n, tool in enumerate(tools):
        if not isinstance(tool, dict) or "type" not in tool:
            raise missing_parameter(f"tools[{n}].type")
        if tool["type"] == TOOL:
            _check_tool(tool, f"tools[{n}]")


def _check_tool(tool: Mapping[str, Any], param: str) -> None:
    """Check one image tool. A broken option rule has `param` set to `tools`, whichever option it is."""
    for name in tool:
        if name not in _TOOL_FIELDS:
            raise unknown_parameter(f"{param}.{name}")
    for name in tool.get("input_image_mask") or {}:
        if name not in {"image_url", "file_id"}:
            raise unknown_parameter(f"{param}.input_image_mask.{name}")
    try:
        check_options(tool)
    except ApiError as error:
        if error.detail["type"] == USER_ERROR:
            error.detail["param"] = "tools"
        raise


def _check_choice(request: Mapping[str, Any]) -> None:
    choice = request.get("tool_choice")
    if isinstance(choice, str) and choice not in {"auto", "none", "required"}:
        raise invalid_value("tool_choice", f"Invalid value: '{choice}'.")
    if not isinstance(choice, dict):
        return
    named = choice.get("tools", []) if choice.get("type") == "allowed_tools" else [choice]
    offered = [tool_name(tool) for tool in request.get("tools") or []]
    for tool in named:
        if tool_name(tool) not in offered:
            message = f"Tool choice '{tool_name(tool)}' not found in 'tools' parameter."
            raise ApiError(400, message, param="tool_choice")


def tool_name(tool: Mapping[str, Any]) -> str:
    """Return the name of a function tool, or the type of any other tool."""
    return str(tool.get("name") or tool.get("type"))
