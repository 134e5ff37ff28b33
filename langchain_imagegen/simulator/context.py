"""Reads the `input` of a request: turns items, ids and earlier responses into the parts that a model sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_imagegen.simulator.errors import ApiError, invalid_value, missing_parameter
from langchain_imagegen.simulator.storage import Account, Part
from langchain_imagegen.simulator.uploads import load_image

_ROLES = {"user": "user", "assistant": "assistant", "system": "other", "developer": "other"}


def read_context(request: Mapping[str, Any], account: Account, *, reasoning_required: bool) -> list[Part]:
    """Return every part that a model would see, earlier responses and conversations first."""
    parts = _earlier_parts(request, account)
    given = read_input(request.get("input"), account, store=request.get("store") is not False)
    if reasoning_required:
        _check_companions([*parts, *given])
    return [*parts, *given]


def _earlier_parts(request: Mapping[str, Any], account: Account) -> list[Part]:
    if previous := request.get("previous_response_id"):
        return list(account.conversation_until(previous))
    if conversation := conversation_id(request):
        if conversation not in account.conversations:
            # The text is a guess.
            raise ApiError(404, f"Conversation with id '{conversation}' not found.", param="conversation")
        return list(account.conversations[conversation])
    return []


def conversation_id(request: Mapping[str, Any]) -> str | None:
    """Return the id of the conversation that a request names by id or as an object."""
    conversation = request.get("conversation")
    found = conversation.get("id") if isinstance(conversation, dict) else conversation
    return str(found) if found else None


def read_input(given: Any, account: Account, *, store: bool) -> list[Part]:
    """Return the parts in the `input` of this request."""
    if given is None:
        return []
    if isinstance(given, str):
        return [Part("user", given)]
    if not isinstance(given, list):
        raise invalid_value("input", "Invalid type for 'input': expected a string or an array of input items.")
    return [_read_part(item, f"input[{n}]", account, store=store) for n, item in enumerate(given)]


def _read_part(item: Any, param: str, account: Account, *, store: bool) -> Part:
    if not isinstance(item, dict):
        raise invalid_value(param, f"Invalid type for '{param}': expected an object.")
    kind = item.get("type", "message")
    if kind == "message":
        return _read_message(item, param, account)
    if kind in {"image_generation_call", "item_reference"}:
        return account.item(str(item.get("id")), store=store)
    if kind == "reasoning":
        return _read_reasoning(item, account, store=store)
    if kind == "function_call":
        return Part("call", str(item.get("arguments", "")), id=item.get("id"))
    if kind == "function_call_output":
        text, images = _read_content(item.get("output", ""), f"{param}.output", account)
        return Part("output", text, images)
    return Part("other", id=item.get("id"))


def _read_message(item: Mapping[str, Any], param: str, account: Account) -> Part:
    role = item.get("role")
    if role not in _ROLES:
        raise missing_parameter(f"{param}.role") if role is None else invalid_value(param, f"Invalid value: '{role}'.")
    text, images = _read_content(item.get("content", ""), f"{param}.content", account)
    return Part(_ROLES[role], text, images)


def _read_content(content: Any, param: str, account: Account) -> tuple[str, tuple[bytes, ...]]:
    if isinstance(content, str):
        return content, ()
    if not isinstance(content, list):
        raise invalid_value(param, f"Invalid type for '{param}': expected a string or an array.")
    texts = [part.get("text") or part.get("refusal") or "" for part in content]
    images = [
        load_image(part, account, f"{param}[{n}].image_url")
        for n, part in enumerate(content)
        if part.get("type") == "input_image"
    ]
    return "\n".join(text for text in texts if text), tuple(images)


def _read_reasoning(item: Mapping[str, Any], account: Account, *, store: bool) -> Part:
    item_id = str(item.get("id"))
    if not item.get("encrypted_content"):
        account.item(item_id, store=store)
    return Part("reasoning", id=item_id)


def _check_companions(parts: list[Part]) -> None:
    present = {part.id for part in parts if part.kind == "reasoning"}
    for part in parts:
        if part.companion and part.companion not in present:
            message = (
                f"Item '{part.id}' of type 'image_generation_call' was provided"
                f" without its required 'reasoning' item: '{part.companion}'."
            )
            raise ApiError(400, message, param="input")


def last_turn(parts: list[Part]) -> list[Part]:
    """Return the parts after the model's last message or function call, including pictures it made."""
    spoken = [n for n, part in enumerate(parts) if part.kind in {"assistant", "call"}]
    return parts[spoken[-1] + 1 :] if spoken else parts


def prompt(parts: list[Part]) -> str:
    """Return the text of the latest user message that has any."""
    return next((part.text for part in reversed(parts) if part.kind == "user" and part.text.strip()), "")


def sources(parts: list[Part]) -> tuple[bytes, ...]:
    """Return the pictures an edit starts from: all in the last turn, else those of the last part that has any.

    Which of several pictures a real model would use is a guess.
    """
    if images := [image for part in last_turn(parts) for image in part.images]:
        return tuple(images)
    return next((part.images for part in reversed(parts) if part.images), ())
