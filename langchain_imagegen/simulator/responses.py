"""The JSON of a response and its items, built from the request, the plan and the pictures.

The keys and their order are from the newest recording.
"""

from __future__ import annotations

import random
import re
import string
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_imagegen.simulator.image_rules import DEFAULT_MODEL
from langchain_imagegen.simulator.pictures import Picture, image_usage
from langchain_imagegen.simulator.plans import FunctionCall, Order, Plan
from langchain_imagegen.simulator.validation import TOOL

Body = dict[str, Any]
Request = Mapping[str, Any]

# From recordings. A guess: every other model name is echoed as it was sent.
_SNAPSHOTS = {
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
}


class Ids:
    """Creates ids in the formats of the service. The same seed gives the same ids in the same order."""

    def __init__(self, seed: int | None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - ids, not secrets
        self._lock = threading.Lock()

    def new(self, prefix: str) -> str:
        """Return the prefix, an underscore and 50 hexadecimal digits, such as `ig_…`."""
        with self._lock:
            return f"{prefix}_{self._random.getrandbits(200):050x}"

    def short(self, prefix: str) -> str:
        """Return the prefix and 24 letters and digits, such as `call_…` or `file-…`."""
        with self._lock:
            return prefix + "".join(self._random.choices(string.ascii_letters + string.digits, k=24))


def new_response(request: Request, response_id: str, created: int) -> Body:
    """Return the body of a response that has just started. `created` is a Unix time in seconds."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "access_programs": None,
        "background": bool(request.get("background")),
        "billing": {"payer": "developer"},
        "completed_at": None,
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "max_tool_calls": request.get("max_tool_calls"),
        "model": _SNAPSHOTS.get(request["model"], request["model"]),
        "moderation": None,
        "output": [],
        "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
        "presence_penalty": 0.0,
        "previous_response_id": request.get("previous_response_id"),
        "prompt_cache_key": request.get("prompt_cache_key"),
        "prompt_cache_retention": "in_memory",
        "reasoning": _reasoning_echo(request),
        "safety_identifier": request.get("safety_identifier"),
        "service_tier": "auto",
        "store": request.get("store") is not False,
        "temperature": request.get("temperature", 1.0),
        "text": {"format": {"type": "text"}, "verbosity": "medium", **(request.get("text") or {})},
        "tool_choice": request.get("tool_choice") or "auto",
        "tool_usage": _tool_usage([]),
        "tools": _tools_echo(request),
        "top_logprobs": 0,
        "top_p": request.get("top_p", 1.0),
        "truncation": request.get("truncation") or "disabled",
        "usage": None,
        "user": request.get("user"),
        "metadata": request.get("metadata") or {},
        **_conversation_echo(request),
    }


def _reasoning_echo(request: Request) -> Body:
    """Return the `reasoning` object. As recorded, a model that does not reason has no `mode` and a null `context`."""
    asked = request.get("reasoning") or {}
    summary = asked.get("summary")
    if str(request["model"]).startswith("gpt-4"):
        return {"context": None, "effort": asked.get("effort"), "summary": summary}
    effort = asked.get("effort") or "medium"
    return {"context": "current_turn", "effort": effort, "mode": "standard", "summary": summary}


def _conversation_echo(request: Request) -> Body:
    conversation = request.get("conversation")
    if not conversation:
        return {}
    return {"conversation": conversation if isinstance(conversation, dict) else {"id": conversation}}


def _tools_echo(request: Request) -> list[Body]:
    """Return the tools as a response repeats them, in recorded order: functions first, then the image tool."""
    tools = sorted(request.get("tools") or [], key=lambda tool: tool["type"] == TOOL)
    return [_image_tool_echo(tool) if tool["type"] == TOOL else dict(tool) for tool in tools]


def _image_tool_echo(tool: Mapping[str, Any]) -> Body:
    given = {name: value for name, value in tool.items() if value is not None}
    return {
        "type": TOOL,
        "background": given.get("background", "auto"),
        "model": given.get("model", DEFAULT_MODEL),
        "moderation": given.get("moderation", "auto"),
        "n": 1,
        "output_compression": given.get("output_compression", 100),
        "output_format": given.get("output_format", "png"),
        "quality": given.get("quality", "auto"),
        "size": given.get("size", "auto"),
    }


def finish_response(start: Body, plan: Plan, output: list[Body], drawn: list[Order], completed: int) -> Body:
    """Return the body of the finished response. `completed` is a Unix time in seconds."""
    return {
        **start,
        "status": plan.status,
        "completed_at": completed if plan.status == "completed" else None,
        "error": dict(plan.error) if plan.error else None,
        "incomplete_details": {"reason": plan.incomplete} if plan.incomplete else None,
        "output": output,
        "service_tier": "default",
        "tool_usage": _tool_usage(drawn),
        "usage": _usage(plan) if plan.status != "failed" else None,
    }


def _tool_usage(drawn: list[Order]) -> Body:
    return {"image_gen": image_usage(drawn), "web_search": {"num_requests": 0}}


def _usage(plan: Plan) -> Body:
    """Return the token usage of the chat model. A guess: the numbers are close to recorded ones."""
    reasoning = (576 if plan.pictures else 128) if plan.reasoning else 0
    words = len((plan.text or plan.refusal or "").split())
    given = 2279 if plan.pictures else 388
    made = reasoning + words + 107 * len(plan.pictures) + 20 * len(plan.calls)
    return {
        "input_tokens": given,
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": given + made,
    }


# Items


def reasoning_item(ids: Ids, *, encrypted: bool) -> Body:
    """Return a reasoning item, with `encrypted_content` if `encrypted` is true."""
    secret = {"encrypted_content": ids.short("gAAAAAB")} if encrypted else {}
    return {"id": ids.new("rs"), "type": "reasoning", "content": [], **secret, "summary": []}


def image_item(item_id: str, picture: Picture) -> Body:
    """Return an `image_generation_call` with its picture."""
    return _image_item(item_id, picture.order, "completed", picture.base64)


def failed_image_item(item_id: str, order: Order) -> Body:
    """Return a failed `image_generation_call`. Its keys are a guess: no recording has a failed one."""
    return {**_image_item(item_id, order, "failed", None), "error": dict(order.error or {})}


def _image_item(item_id: str, order: Order, status: str, result: str | None) -> Body:
    settled = order.echo()
    return {
        "id": item_id,
        "type": "image_generation_call",
        "status": status,
        "action": order.action,
        "background": settled["background"],
        "output_format": settled["output_format"],
        "quality": settled["quality"],
        "result": result,
        "revised_prompt": f"A simulated picture: {order.prompt}",
        "size": settled["size"],
    }


def function_item(ids: Ids, call: FunctionCall) -> Body:
    """Return a `function_call` item."""
    return {
        "id": ids.new("fc"),
        "type": "function_call",
        "status": "completed",
        "arguments": call.arguments,
        "call_id": ids.short("call_"),
        "name": call.name,
    }


def message_item(ids: Ids, model: str, part: Body) -> Body:
    """Return the last message item. `gpt-5.4` marks it with `phase`, as recorded."""
    phase = {"phase": "final_answer"} if re.match(r"gpt-5\.4", model) else {}
    return {
        "id": ids.new("msg"),
        "type": "message",
        "status": "completed",
        "content": [part],
        **phase,
        "role": "assistant",
    }


def message_parts(plan: Plan) -> Sequence[Body]:
    """Return the content part of the last message in a list. The list is empty if the plan has no message."""
    if plan.refusal is not None:
        return [{"type": "refusal", "refusal": plan.refusal}]
    if plan.text is not None:
        return [{"type": "output_text", "annotations": [], "logprobs": [], "text": plan.text}]
    return []
