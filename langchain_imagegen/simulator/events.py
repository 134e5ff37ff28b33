"""The order in which a response becomes events, and their framing; pauses and delivery are the server's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from langchain_imagegen.simulator.faults import COMMENT, Event

Partials = Mapping[str, Sequence[str]]


def opening(shell: Event) -> list[Event]:
    """The events before anything is done; a background response is queued first."""
    if not shell["background"]:
        return [_about("response.created", shell), _about("response.in_progress", shell)]
    queued = {**shell, "status": "queued"}
    return [
        _about("response.created", queued),
        _about("response.queued", queued),
        _about("response.in_progress", {**shell, "status": "in_progress"}),
    ]


def response_events(shell: Event, final: Event, partials: Partials) -> list[Event]:
    """Every event of a response from first to last, not yet numbered.

    Args:
        shell: The response while in progress.
        final: The response when done.
        partials: The partial pictures of each image item by its id, the last of them the finished one.
    """
    events = opening(shell)
    for index, item in enumerate(final["output"]):
        events += _item_events(index, item, partials)
    return [*events, _about(f"response.{final['status']}", final)]


def _about(kind: str, response: Event) -> Event:
    return {"type": kind, "response": response}


def _item_events(index: int, item: Event, partials: Partials) -> list[Event]:
    shape = {"image_generation_call": _image, "message": _message, "function_call": _function}
    between = shape[item["type"]](index, item, partials) if item["type"] in shape else []
    return [
        {"type": "response.output_item.added", "output_index": index, "item": _fresh(item)},
        *between,
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _fresh(item: Event) -> Event:
    """An item as it is announced."""
    if item["type"] == "image_generation_call":
        return {"id": item["id"], "type": item["type"], "status": "in_progress"}
    if item["type"] == "message":
        return {**item, "status": "in_progress", "content": []}
    if item["type"] == "function_call":
        return {**item, "status": "in_progress", "arguments": ""}
    return item


def _image(index: int, item: Event, partials: Partials) -> list[Event]:
    """A failed item gets no partial and no `completed`, which is a guess."""
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


def _message(index: int, item: Event, _: Partials) -> list[Event]:
    part = item["content"][0]
    word = "refusal" if part["type"] == "refusal" else "text"
    name = "response.refusal" if word == "refusal" else "response.output_text"
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    logprobs: Event = {"logprobs": []} if word == "text" else {}
    deltas = [{"type": f"{name}.delta", **place, "delta": piece, **logprobs} for piece in _pieces(part[word])]
    return [
        {"type": "response.content_part.added", **place, "part": {**part, word: ""}},
        *deltas,
        {"type": f"{name}.done", **place, word: part[word], **logprobs},
        {"type": "response.content_part.done", **place, "part": part},
    ]


def obfuscate(events: Iterable[Event]) -> list[Event]:
    """Return the events with `obfuscation` in each text delta, which hides how long its text is."""
    return [
        {**event, "obfuscation": "x" * (16 - len(event["delta"]) % 16)}
        if event["type"] == "response.output_text.delta"
        else event
        for event in events
    ]


def _pieces(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def _function(index: int, item: Event, _: Partials) -> list[Event]:
    place = {"item_id": item["id"], "output_index": index}
    name = "response.function_call_arguments"
    return [
        {"type": f"{name}.delta", **place, "delta": item["arguments"]},
        {"type": f"{name}.done", **place, "arguments": item["arguments"], "name": item["name"]},
    ]


def numbered(events: Iterable[Event]) -> list[Event]:
    """Return the events with a `sequence_number` each, keys in recorded order: `type`, then by alphabet.

    Comments get no number.
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


def frame(event: Event) -> bytes:
    """One event, or comment, as it goes over the wire."""
    if COMMENT in event:
        return f": {event[COMMENT]}\n\n".encode()
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {data}\n\n".encode()
