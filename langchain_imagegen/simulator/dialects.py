"""Answers in the formats of other providers, scripted like faults."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from langchain_imagegen.simulator.faults import Event, Fault, unchanged, without_terminal


def azure_stream(*, terminal: bool = True) -> Fault:
    """Stream events as Azure does: no `.completed` event, and the image item keeps the status `generating`."""
    sent: Callable[[list[Event]], list[Event]] = unchanged if terminal else without_terminal
    return Fault("azure_stream", events=_as_azure, sent=sent)


def _as_azure(events: list[Event]) -> list[Event]:
    kept = [event for event in events if event["type"] != "response.image_generation_call.completed"]
    return [_azure_event(event) for event in kept]


def _azure_event(event: Event) -> Event:
    if event["type"] == "response.output_item.done":
        return {**event, "item": _still_generating(event["item"])}
    if "response" in event:
        output = [_still_generating(item) for item in event["response"]["output"]]
        return {**event, "response": {**event["response"], "output": output, "content_filters": None}}
    return event


def _still_generating(item: Event) -> Event:
    drawn = item["type"] == "image_generation_call" and item.get("result")
    return {**item, "status": "generating"} if drawn else item


def xai_item() -> Fault:
    """Send image items as xAI does: `prompt` instead of `revised_prompt`, and bare UUIDs as ids."""
    return Fault("xai_item", item=_as_xai)


def _as_xai(item: Event) -> Event:
    if item["type"] != "image_generation_call":
        return item
    renamed = {"prompt" if key == "revised_prompt" else key: value for key, value in item.items()}
    return {**renamed, "id": str(uuid.uuid5(uuid.NAMESPACE_OID, item["id"]))}
