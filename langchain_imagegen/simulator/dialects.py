"""The response formats of other providers, scripted like faults."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from langchain_imagegen.simulator.faults import Event, Fault, drop_terminal, identity


def azure_stream(*, terminal: bool = True) -> Fault:
    """Stream events as Azure does: no `.completed` event, and the image item keeps the status `generating`."""
    sent: Callable[[list[Event]], list[Event]] = identity if terminal else drop_terminal
    return Fault("azure_stream", events=_azure_events, sent=sent)


def _azure_events(events: list[Event]) -> list[Event]:
    kept = [event for event in events if event["type"] != "response.image_generation_call.completed"]
    return [_azure_event(event) for event in kept]


def _azure_event(event: Event) -> Event:
    if event["type"] == "response.output_item.done":
        return {**event, "item": _generating_item(event["item"])}
    if "response" in event:
        output = [_generating_item(item) for item in event["response"]["output"]]
        return {**event, "response": {**event["response"], "output": output, "content_filters": None}}
    return event


def _generating_item(item: Event) -> Event:
    drawn = item["type"] == "image_generation_call" and item.get("result")
    return {**item, "status": "generating"} if drawn else item


def xai_item() -> Fault:
    """Send image items as xAI does: `prompt` instead of `revised_prompt`, and bare UUIDs as ids."""
    return Fault("xai_item", item=_xai_image_item)


def _xai_image_item(item: Event) -> Event:
    if item["type"] != "image_generation_call":
        return item
    renamed = {"prompt" if key == "revised_prompt" else key: value for key, value in item.items()}
    return {**renamed, "id": str(uuid.uuid5(uuid.NAMESPACE_OID, item["id"]))}
