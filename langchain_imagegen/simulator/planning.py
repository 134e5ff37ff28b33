"""The simulator's stand-in for a language model: simple word rules that decide what a response contains.

A real model has no such rules, so everything here is a guess. The rules are chosen so that typical prompts of
demos and tests get the expected answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_imagegen.simulator import context, seeing
from langchain_imagegen.simulator.errors import ApiError
from langchain_imagegen.simulator.pictures import order_picture
from langchain_imagegen.simulator.plans import FunctionCall, Order, Plan
from langchain_imagegen.simulator.schemas import Sample, said
from langchain_imagegen.simulator.storage import Account, Part
from langchain_imagegen.simulator.uploads import load_image
from langchain_imagegen.simulator.validation import TOOL, hosted_tool, tool_name

Request = Mapping[str, Any]

_DRAW_WORDS = re.compile(
    r"\b(draw|paint|sketch|illustrat|generat|creat|render|edit|mak|chang|add|remov|replac|combin|picture|image|photo|drawing)"
    r"(e|es|ed|s|ing)?\b",
    re.IGNORECASE,
)
_DECLINE_WORDS = re.compile(
    r"\b(without|don't|do not|not)\s+(draw|paint|generat|creat|mak|edit)\w*"
    r"|\bno\s+(new\s+)?(image|picture)s?\b",
    re.IGNORECASE,
)
_CHANGE_WORDS = re.compile(r"\b(make|edit|change|add|remove|replace|now|same|turn|instead|combine)\b", re.IGNORECASE)
_COUNT_WORDS = re.compile(
    r"\b(two|three|four|2|3|4)\s+(\w+\s+){0,2}(pictures|images|drawings|photos|versions)\b", re.IGNORECASE
)
_NUMBERS = {"two": 2, "three": 3, "four": 4}
_HANDLE = re.compile(r"\bimg_[0-9a-f]{4,64}\b")
_LABEL = re.compile(r"^\(Image img_[0-9a-f]+\b.*\)$", re.MULTILINE)  # an agent writes it beside a picture
_REFUSAL_WORDS = re.compile(r"\b(no|not|don't|reject(ed|s)?|refused?|error|failed)\b", re.IGNORECASE)


def asks_for_picture(text: str) -> bool:
    """Return True if the text has a word such as "draw" or "image" and does not decline a picture."""
    return bool(_DRAW_WORDS.search(text)) and not _DECLINE_WORDS.search(text)


def plan_response(request: Request, parts: Sequence[Part], account: Account) -> Plan:
    """Return the plan of the response. Raise `ApiError` if an edit has no source or its mask is not a picture."""
    all_parts = list(parts)
    model = str(request["model"])
    plan = Plan(reasoning=_sends_reasoning(model) and not _ends_with_function_output(all_parts))
    tool = hosted_tool(request)
    if function := _function_to_call(request, all_parts):
        return replace(plan, calls=_function_calls(request, function, all_parts))
    if tool is not None and _should_draw(request, all_parts):
        orders = _make_orders(request, tool, all_parts, account)
        return replace(plan, pictures=orders, text=_closing_text(request, all_parts, orders))
    return replace(plan, text=_reply_text(request, all_parts))


def _sends_reasoning(model: str) -> bool:
    """Return True if the model sends a reasoning item. In recordings `gpt-5` does, `gpt-5.4` and `gpt-4.1` do not."""
    return bool(re.match(r"(gpt-[5-9]|o\d)", model)) and not model.startswith("gpt-5.4")


def _ends_with_function_output(parts: list[Part]) -> bool:
    return bool(parts) and parts[-1].kind == "output"


# Tool choice


def _tool_choice(request: Request) -> tuple[str, list[Mapping[str, Any]]]:
    """Return the mode of `tool_choice` and the tools that it allows."""
    tools: list[Mapping[str, Any]] = list(request.get("tools") or [])
    choice = request.get("tool_choice") or "auto"
    if isinstance(choice, str):
        return choice, tools
    if choice["type"] == "allowed_tools":
        named = [tool_name(tool) for tool in choice.get("tools", [])]
        return str(choice.get("mode", "auto")), [tool for tool in tools if tool_name(tool) in named]
    return "required", [tool for tool in tools if tool_name(tool) == tool_name(choice)]


def _should_draw(request: Request, parts: list[Part]) -> bool:
    mode, tools = _tool_choice(request)
    if mode == "none" or not any(tool["type"] == TOOL for tool in tools):
        return False
    return mode == "required" or (asks_for_picture(context.prompt(parts)) and not _has_picture_after_user(parts))


def _has_picture_after_user(parts: list[Part]) -> bool:
    """Return True if a picture follows the latest user message."""
    kinds = [part.kind for part in parts]
    last = max((n for n, kind in enumerate(kinds) if kind == "user"), default=-1)
    return "picture" in kinds[last + 1 :]


def _function_to_call(request: Request, parts: list[Part]) -> Mapping[str, Any] | None:
    """Return the function tool to call in this response, or None.

    With `required`, a function comes before a picture, as recorded. A function with a `prompt` parameter is called
    if the text asks for a picture and the request has only function tools. Any other is called if the text names it.
    """
    mode, tools = _tool_choice(request)
    functions = [tool for tool in tools if tool["type"] == "function"]
    if mode == "none" or not functions or _ends_with_function_output(parts):
        return None
    text = context.prompt(parts)
    drawing = [function for function in functions if "prompt" in _properties(function)]
    if len(functions) == len(tools) and drawing and asks_for_picture(_LABEL.sub("", text)):
        return drawing[0]
    named = next(
        (function for function in functions if re.search(rf"\b{re.escape(tool_name(function))}\b", text)), None
    )
    return named or (functions[0] if mode == "required" else None)


# Function calls


def _properties(function: Mapping[str, Any]) -> Mapping[str, Any]:
    found = (function.get("parameters") or {}).get("properties") or {}
    return found if isinstance(found, dict) else {}


def _function_calls(request: Request, function: Mapping[str, Any], parts: list[Part]) -> tuple[FunctionCall, ...]:
    text = context.prompt(parts)
    arguments = Sample(text).value(function.get("parameters") or {})
    properties = _properties(function)
    if "prompt" in properties:
        arguments = {"prompt": _HANDLE.sub("the picture", _LABEL.sub("", text)).strip()}
        if "images" in properties:
            arguments["images"] = _referenced_images(text, parts)
        if "quality" in properties and (quality := said("quality", text)):
            arguments["quality"] = quality
    count = 1 if request.get("parallel_tool_calls") is False else _picture_count(text)
    return (FunctionCall(tool_name(function), json.dumps(arguments, ensure_ascii=False)),) * count


def _referenced_images(text: str, parts: list[Part]) -> list[str]:
    """Return the references to earlier pictures in a text: handles such as `img_0a1b`, or `last`.

    "Make it …" after an earlier function call also means `last`.
    """
    if handles := _HANDLE.findall(text):
        return list(dict.fromkeys(handles))
    earlier = any(part.kind == "output" for part in parts)
    if re.search(r"\blast\b", text, re.IGNORECASE):
        return ["last"]
    return ["last"] if earlier and _CHANGE_WORDS.search(text) and re.search(r"\b(it|this|that)\b", text) else []


# Pictures


def _make_orders(request: Request, tool: Mapping[str, Any], parts: list[Part], account: Account) -> tuple[Order, ...]:
    text = context.prompt(parts)
    order = order_picture(tool, text, sources=_edit_sources(tool, text, parts))
    if (mask := tool.get("input_image_mask")) is not None:
        order = replace(order, mask=load_image(mask, account, "tools"))
    count = min(_picture_count(text), request.get("max_tool_calls") or 4)
    others = [
        replace(order, prompt=f"{text} ({n} of {count})", size=_further_size(tool, order)) for n in range(2, count + 1)
    ]
    return (order, *others)


def _edit_sources(tool: Mapping[str, Any], text: str, parts: list[Part]) -> tuple[bytes, ...]:
    action = tool.get("action") or "auto"
    found = context.sources(parts)
    if action == "edit" and not found:
        # The service is believed to reject this. Code and text are guesses.
        message = "The action 'edit' needs an image in the input."
        raise ApiError(400, message, code="invalid_value", param="tools")
    wanted = action == "edit" or (action == "auto" and bool(_CHANGE_WORDS.search(text)))
    return found if wanted else ()


def _picture_count(text: str) -> int:
    match = _COUNT_WORDS.search(text)
    return (_NUMBERS.get(match[1].lower()) or int(match[1])) if match else 1


def _further_size(tool: Mapping[str, Any], order: Order) -> tuple[int, int]:
    """Return the size of the second and later pictures. As recorded, `auto` gives pictures of different sizes."""
    free = (tool.get("size") or "auto") == "auto" and order.output_format != "gif"
    return (1536, 1024) if free else order.size


# Texts


def _closing_text(request: Request, parts: list[Part], orders: tuple[Order, ...]) -> str:
    """Return the text after a picture: a sentence from models before `gpt-5`, an empty text from later ones."""
    if (schema := _requested_schema(request)) is not None:
        return json.dumps(Sample("simulated", context.prompt(parts)).value(schema))
    if re.match(r"(gpt-[5-9]|o\d)", str(request["model"])):
        return ""
    done = "edited" if orders[0].sources else "drawn"
    return f"Here is your simulated picture, {done} as you asked. Tell me if anything should change."


def _reply_text(request: Request, parts: list[Part]) -> str:
    text, images = context.prompt(parts), [image for part in context.last_turn(parts) for image in part.images]
    if (schema := _requested_schema(request)) is not None:
        if not images:
            return json.dumps(Sample("simulated", text).value(schema))
        return json.dumps(Sample(seeing.describe(images), text, seeing.missing_items(text, images)).value(schema))
    if _ends_with_function_output(parts):
        return _text_after_output(parts[-1])
    if images:
        return f"{seeing.describe(images)} This answer is simulated."
    return f"This is a simulated answer to: {text[:80]}"


def _text_after_output(output: Part) -> str:
    if output.images or '"images": [' in output.text:
        return "Here is your picture. Tell me if anything should change. This answer is simulated."
    if _REFUSAL_WORDS.search(output.text):
        return "There is no picture this time. This answer is simulated."
    return "Done. This answer is simulated."


def _requested_schema(request: Request) -> Mapping[str, Any] | None:
    form = (request.get("text") or {}).get("format") or {}
    if form.get("type") == "json_object":
        return {"type": "object", "properties": {}}
    return form.get("schema") if form.get("type") == "json_schema" else None
