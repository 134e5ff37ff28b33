"""The events of a response, in order, and their encoding. `service` adds the pauses and `server` sends them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from langchain_imagegen.simulator.faults import COMMENT, Event

Partials = Mapping[str, Sequence[str]]


def opening_events(pending: Event) -> list[Event]:
    """Return the events that precede any work. A background response is queued first."""
    if not pending["background"]:
        return [_response_event("response.created", pending), _response_event("response.in_progress", pending)]
    queued = {**pending, "status": "queued"}
    return [
        _response_event("response.created", queued),
        _response_event("response.queued", queued),
        _response_event("response.in_progress", {**pending, "status": "in_progress"}),
    ]


def response_events(pending: Event, final: Event, partials: Partials) -> list[Event]:
    """Return every event of a response, without numbers.

    Args:
        pending: The body of the response while it is in progress.
        final: The body of the finished response.
        partials: Base64 of the partial pictures for the id of each image item. The last one is the finished picture.
    """
    events = opening_events(pending)
    for index, item in enumerate(final["output"]):
        events += _item_events(index, item, partials)
    return [*events, _response_event(f"response.{final['status']}", final)]


def _response_event(kind: str, response: Event) -> Event:
    return {"type": kind, "response": response}


def _item_events(index: int, item: Event, partials: Partials) -> list[Event]:
    makers = {"image_generation_call": _image_events, "message": _message_events, "function_call": _function_events}
    between = makers[item["type"]](index, item, partials) if item["type"] in makers else []
    return [
        {"type": "response.output_item.added", "output_index": index, "item": _item_in_progress(item)},
        *between,
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _item_in_progress(item: Event) -> Event:
    """Return an item as `response.output_item.added` shows it, without its content."""
    if item["type"] == "image_generation_call":
        return {"id": item["id"], "type": item["type"], "status": "in_progress"}
    if item["type"] == "message":
        return {**item, "status": "in_progress", "content": []}
    if item["type"] == "function_call":
        return {**item, "status": "in_progress", "arguments": ""}
    return item


def _image_events(index: int, item: Event, partials: Partials) -> list[Event]:
    """Return the events between the start and the end of an image item.

    A guess: a failed item has no partial picture and no `completed` event.
    """
    place = {"output_index": index, "item_id": item["id"]}
    name = "response.image_generation_call"
    events: list[Event] = [{"type": f"{name}.in_progress", **place}, {"type": f"{name}.generating", **place}]
    if item["status"] == "failed":
        return events
    settled = {key: item[key] for key in ("size", "quality", "background", "output_format")}
    for n, encoded in enumerate(partials.get(item["id"], ())):
        picture = {"partial_image_index": n, "partial_image_b64": encoded}
        events.append({"type": f"{name}.partial_image", **place, **picture, **settled})
    return [*events, {"type": f"{name}.completed", **place}]


def _message_events(index: int, item: Event, _: Partials) -> list[Event]:
    part = item["content"][0]
    word = "refusal" if part["type"] == "refusal" else "text"
    name = "response.refusal" if word == "refusal" else "response.output_text"
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    logprobs: Event = {"logprobs": []} if word == "text" else {}
    deltas = [{"type": f"{name}.delta", **place, "delta": piece, **logprobs} for piece in _split_words(part[word])]
    return [
        {"type": "response.content_part.added", **place, "part": {**part, word: ""}},
        *deltas,
        {"type": f"{name}.done", **place, word: part[word], **logprobs},
        {"type": "response.content_part.done", **place, "part": part},
    ]


def obfuscate(events: Iterable[Event]) -> list[Event]:
    """Return the events with `obfuscation` added to each text delta, so that its size does not reveal its length."""
    return [
        {**event, "obfuscation": "x" * (16 - len(event["delta"]) % 16)}
        if event["type"] == "response.output_text.delta"
        else event
        for event in events
    ]


def _split_words(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def _function_events(index: int, item: Event, _: Partials) -> list[Event]:
    place = {"item_id": item["id"], "output_index": index}
    name = "response.function_call_arguments"
    return [
        {"type": f"{name}.delta", **place, "delta": item["arguments"]},
        {"type": f"{name}.done", **place, "arguments": item["arguments"], "name": item["name"]},
    ]


def number_events(events: Iterable[Event]) -> list[Event]:
    """Return the events, each with a `sequence_number`. Comments get none.

    The keys are in the recorded order: `type` first, the others alphabetically.
    """
    result: list[Event] = []
    number = 0
    for event in events:
        if COMMENT in event:
            result.append(event)
            continue
        rest = {**event, "sequence_number": number}
        result.append({"type": rest.pop("type"), **dict(sorted(rest.items()))})
        number += 1
    return result


def encode_event(event: Event) -> bytes:
    """Return one event or comment as bytes of the event stream."""
    if COMMENT in event:
        return f": {event[COMMENT]}\n\n".encode()
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {data}\n\n".encode()
