"""The simulator's stand-in for a language model: simple word rules that decide what a response will hold.

A real model has no such rules, so everything here is a guess, chosen so that what people write in demos
and tests gets the answer they expect.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_imagegen.simulator import context
from langchain_imagegen.simulator.errors import ApiError
from langchain_imagegen.simulator.pictures import order_picture
from langchain_imagegen.simulator.plans import FunctionCall, Order, Plan
from langchain_imagegen.simulator.storage import Account, Part
from langchain_imagegen.simulator.uploads import load_image
from langchain_imagegen.simulator.validation import TOOL, hosted_tool

Request = Mapping[str, Any]

_ASKS = re.compile(
    r"\b(draw|paint|sketch|illustrat|generat|creat|render|edit|mak|chang|add|remov|replac|combin|picture|image|photo|drawing)"
    r"(e|es|ed|s|ing)?\b",
    re.IGNORECASE,
)
_DECLINES = re.compile(
    r"\b(without|don't|do not|not)\s+(draw|paint|generat|creat|mak|edit)\w*"
    r"|\bno\s+(new\s+)?(image|picture)s?\b",
    re.IGNORECASE,
)
_CHANGES = re.compile(r"\b(make|edit|change|add|remove|replace|now|same|turn|instead|combine)\b", re.IGNORECASE)
_SEVERAL = re.compile(
    r"\b(two|three|four|2|3|4)\s+(\w+\s+){0,2}(pictures|images|drawings|photos|versions)\b", re.IGNORECASE
)
_NUMBERS = {"two": 2, "three": 3, "four": 4}
_HANDLE = re.compile(r"\bimg_[0-9a-f]{4,64}\b")


def asks_for_picture(text: str) -> bool:
    """Whether the words ask for a picture: they hold a word such as draw or image, and do not decline one."""
    return bool(_ASKS.search(text)) and not _DECLINES.search(text)


def plan_response(request: Request, parts: Sequence[Part], account: Account) -> Plan:
    """What the response will hold."""
    heard = list(parts)
    model = str(request["model"])
    plan = Plan(reasoning=_reasons(model) and not _answers_function(heard))
    tool = hosted_tool(request)
    if function := _function_to_call(request, heard):
        return replace(plan, calls=_function_calls(request, function, heard))
    if tool is not None and _picture_is_due(request, heard):
        orders = _orders(request, tool, heard, account)
        return replace(plan, pictures=orders, text=_closing(request, orders))
    return replace(plan, text=_reply(request, heard))


def _reasons(model: str) -> bool:
    """Which models send a reasoning item, by the recordings: `gpt-5` does, `gpt-5.4` and `gpt-4.1` do not."""
    return bool(re.match(r"(gpt-[5-9]|o\d)", model)) and not model.startswith("gpt-5.4")


def _answers_function(parts: list[Part]) -> bool:
    return bool(parts) and parts[-1].kind == "output"


# Tool choice


def _choice(request: Request) -> tuple[str, list[Mapping[str, Any]]]:
    """The mode, and the tools it leaves."""
    tools: list[Mapping[str, Any]] = list(request.get("tools") or [])
    choice = request.get("tool_choice") or "auto"
    if isinstance(choice, str):
        return choice, tools
    if choice["type"] == "allowed_tools":
        named = [_label(tool) for tool in choice.get("tools", [])]
        return str(choice.get("mode", "auto")), [tool for tool in tools if _label(tool) in named]
    return "required", [tool for tool in tools if _label(tool) == _label(choice)]


def _label(tool: Mapping[str, Any]) -> str:
    return str(tool.get("name") or tool.get("type"))


def _picture_is_due(request: Request, parts: list[Part]) -> bool:
    mode, tools = _choice(request)
    if mode == "none" or not any(tool["type"] == TOOL for tool in tools):
        return False
    return mode == "required" or (asks_for_picture(context.prompt(parts)) and not _drawn_already(parts))


def _drawn_already(parts: list[Part]) -> bool:
    """Whether a picture came after the user last spoke."""
    kinds = [part.kind for part in parts]
    last = max((n for n, kind in enumerate(kinds) if kind == "user"), default=-1)
    return "picture" in kinds[last + 1 :]


def _function_to_call(request: Request, parts: list[Part]) -> Mapping[str, Any] | None:
    """The function whose turn it is.

    Required ones come before a picture, as recorded; a drawing function is called when a picture is asked
    for and the hosted tool is not there; any other when the words name it.
    """
    mode, tools = _choice(request)
    functions = [tool for tool in tools if tool["type"] == "function"]
    if mode == "none" or not functions or _answers_function(parts):
        return None
    text = context.prompt(parts)
    drawing = [function for function in functions if "prompt" in _properties(function)]
    if len(functions) == len(tools) and drawing and asks_for_picture(text):
        return drawing[0]
    named = next((function for function in functions if re.search(rf"\b{re.escape(_label(function))}\b", text)), None)
    return named or (functions[0] if mode == "required" else None)


# Function calls


def _properties(function: Mapping[str, Any]) -> Mapping[str, Any]:
    found = (function.get("parameters") or {}).get("properties") or {}
    return found if isinstance(found, dict) else {}


def _function_calls(request: Request, function: Mapping[str, Any], parts: list[Part]) -> tuple[FunctionCall, ...]:
    text = context.prompt(parts)
    arguments = sample(function.get("parameters") or {}, text)
    if "prompt" in _properties(function):
        arguments = {"prompt": text}
        if "images" in _properties(function):
            arguments["images"] = _named_images(text, parts)
    count = 1 if request.get("parallel_tool_calls") is False else _how_many(text)
    return (FunctionCall(_label(function), json.dumps(arguments, ensure_ascii=False)),) * count


def _named_images(text: str, parts: list[Part]) -> list[str]:
    """Handles and `last` as the words have them; "make it …" after an earlier call means the last one."""
    if handles := _HANDLE.findall(text):
        return list(dict.fromkeys(handles))
    earlier = any(part.kind == "output" for part in parts)
    if re.search(r"\blast\b", text, re.IGNORECASE):
        return ["last"]
    return ["last"] if earlier and _CHANGES.search(text) and re.search(r"\b(it|this|that)\b", text) else []


def sample(schema: Mapping[str, Any], text: str) -> Any:
    """A small value that fits a JSON schema."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        required = schema.get("required", list(schema.get("properties", {})))
        return {name: sample(schema["properties"][name], text) for name in required}
    if kind == "array":
        return [sample(schema.get("items", {}), text)] * int(schema.get("minItems", 0))
    return {"integer": 1, "number": 1.0, "boolean": True, "null": None}.get(str(kind), text)


# Pictures


def _orders(request: Request, tool: Mapping[str, Any], parts: list[Part], account: Account) -> tuple[Order, ...]:
    text = context.prompt(parts)
    order = order_picture(tool, text, sources=_sources(tool, text, parts))
    if (mask := tool.get("input_image_mask")) is not None:
        order = replace(order, mask=load_image(mask, account, "tools"))
    count = min(_how_many(text), request.get("max_tool_calls") or 4)
    others = [
        replace(order, prompt=f"{text} ({n} of {count})", size=_other_size(tool, order)) for n in range(2, count + 1)
    ]
    return (order, *others)


def _sources(tool: Mapping[str, Any], text: str, parts: list[Part]) -> tuple[bytes, ...]:
    action = tool.get("action") or "auto"
    found = context.sources(parts)
    if action == "edit" and not found:
        # That it is refused is believed, the answer is a guess.
        message = "The action 'edit' needs an image in the input."
        raise ApiError(400, message, code="invalid_value", param="tools")
    wanted = action == "edit" or (action == "auto" and bool(_CHANGES.search(text)))
    return found if wanted else ()


def _how_many(text: str) -> int:
    match = _SEVERAL.search(text)
    return (_NUMBERS.get(match[1].lower()) or int(match[1])) if match else 1


def _other_size(tool: Mapping[str, Any], order: Order) -> tuple[int, int]:
    """Under `auto`, two pictures of one response were seen to differ in size."""
    free = (tool.get("size") or "auto") == "auto" and order.output_format != "gif"
    return (1536, 1024) if free else order.size


# Words


def _closing(request: Request, orders: tuple[Order, ...]) -> str:
    """What follows a picture: nothing from `gpt-5` on, a sentence before."""
    if (schema := _wanted_json(request)) is not None:
        return json.dumps(sample(schema, "simulated"))
    if re.match(r"(gpt-[5-9]|o\d)", str(request["model"])):
        return ""
    done = "edited" if orders[0].sources else "drawn"
    return f"Here is your simulated picture, {done} as you asked. Tell me if anything should change."


def _reply(request: Request, parts: list[Part]) -> str:
    text = context.prompt(parts)
    if (schema := _wanted_json(request)) is not None:
        return json.dumps(sample(schema, "simulated"))
    if _answers_function(parts):
        return "Done. This answer is simulated."
    return f"This is a simulated answer to: {text[:80]}"


def _wanted_json(request: Request) -> Mapping[str, Any] | None:
    form = (request.get("text") or {}).get("format") or {}
    if form.get("type") == "json_object":
        return {"type": "object", "properties": {}}
    return form.get("schema") if form.get("type") == "json_schema" else None
