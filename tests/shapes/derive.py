"""Derives the shapes of recorded traffic: keys, types, order of events and request options, but no content or ids.

Run as `python tests/shapes/derive.py FOLDER` (default: `$IMAGEGEN_RECORDINGS`), which rewrites the JSON files in this
folder. A recording is `{"exchanges": [{"request", "response"}]}`; a request has a `body` or is null, and a response
has `status`, `content_type`, and `json` or `sse`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PLACEHOLDER = "…"
_VOCABULARY = {"type", "object", "status", "role"}
_OPTIONS = {"model", "stream", "store", "include", "tool_choice", "previous_response_id"}
_TYPES = {str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}

Paths = dict[str, str]


def recordings(folder: Path) -> dict[str, Any]:
    """Return the recordings of the Responses API in a folder and in its subfolder `more`, by name."""
    files = sorted([*folder.glob("*.json"), *folder.glob("more/*.json")])
    found = {path.stem: json.loads(path.read_text()) for path in files}
    return {name: record for name, record in found.items() if "exchanges" in record}


def shape(recording: dict[str, Any]) -> dict[str, Any]:
    """Return the shape of each exchange of a recording."""
    return {"exchanges": [_exchange(each["request"], each["response"]) for each in recording["exchanges"]]}


def _exchange(request: dict[str, Any] | None, response: dict[str, Any]) -> dict[str, Any]:
    streamed = "sse" in response
    answer = stream_shape(response["sse"]) if streamed else json_shape(response["json"])
    options = _request_shape(request["body"]) if request else _guess_request(response, streamed=streamed)
    head = {"status": response["status"], "content_type": response["content_type"]}
    return {"request": options, **head, **answer}


# Answers


def json_shape(body: dict[str, Any]) -> dict[str, Any]:
    """Return the order of the output items, and all key paths with their types."""
    return {"order": [item["type"] for item in body["output"]], "paths": paths(body)}


def stream_shape(text: str) -> dict[str, Any]:
    """Return the order of the events, with equal consecutive deltas once, and the key paths of each event type."""
    events = list(_events(text))
    kinds = [event["type"] for event in events]
    order = [kind for n, kind in enumerate(kinds) if n == 0 or kind != kinds[n - 1] or not kind.endswith(".delta")]
    merged: dict[str, Paths] = {}
    for event in events:
        known = merged.setdefault(event["type"], {})
        for path, kind in paths(event).items():
            known[path] = _union(known.get(path, kind), kind)
    return {"order": order, "events": merged}


def _events(text: str) -> Iterator[dict[str, Any]]:
    for block in re.split(r"\r?\n\r?\n", text.strip()):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" not in fields:
            continue
        event = json.loads(fields["data"]) if fields["data"] != "[DONE]" else {"type": "[DONE]"}
        if fields.get("event") != event["type"]:
            raise ValueError(f"the event line says {fields.get('event')!r}, the data {event['type']!r}")
        yield event


def paths(value: Any) -> Paths:
    """Return each key path with its type; list items are marked with their `type`, and the API's words are quoted."""
    found: Paths = {}
    for path, kind in _walk(value, "", "", inside=""):
        found[path] = _union(found.get(path, kind), kind)
    return found


def _walk(value: Any, path: str, key: str, *, inside: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if not value or path:
            yield path, "object"
        for name, child in value.items():
            label = f"[{child['type']}]" if name in {"item", "part"} and isinstance(child, dict) else ""
            yield from _walk(child, f"{path}.{name}{label}".lstrip("."), name, inside=inside or key)
    elif isinstance(value, list):
        yield path, "array"
        for child in value:
            label = child.get("type", "") if isinstance(child, dict) else ""
            yield from _walk(child, f"{path}[{label}]", key, inside=inside or key)
    elif key in _VOCABULARY and isinstance(value, str) and inside != "parameters":
        yield path, f"'{value}'"
    else:
        yield path, _TYPES[type(value)]


def _union(*kinds: str) -> str:
    return " | ".join(sorted({each for kind in kinds for each in kind.split(" | ")}))


# Requests


def _request_shape(body: dict[str, Any]) -> dict[str, Any]:
    options = {key: value for key, value in body.items() if key in _OPTIONS}
    tools = [_tool(tool) for tool in body["tools"]]
    return {**options, "tools": tools, "input": [_input(item) for item in body["input"]]}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {key: _tool_value(key, value) for key, value in tool.items()}


def _tool_value(key: str, value: Any) -> Any:
    if key == "input_image_mask":
        return dict.fromkeys(value, PLACEHOLDER)
    return PLACEHOLDER if key in {"name", "description"} and value else value


def _input(item: dict[str, Any]) -> dict[str, Any]:
    return {key: _input_value(key, value) for key, value in item.items()}


def _input_value(key: str, value: Any) -> Any:
    if key == "content" and isinstance(value, list):
        return [_input(part) for part in value]
    return value if key in _VOCABULARY else PLACEHOLDER


def _guess_request(response: dict[str, Any], *, streamed: bool) -> dict[str, Any]:
    """Return the request of a recording that has none, as far as its answer repeats it."""
    body = next(_events(response["sse"]))["response"] if streamed else response["json"]
    tools = [{key: value for key, value in tool.items() if key != "n"} for tool in body["tools"]]
    model = re.sub(r"-\d{4}-\d{2}-\d{2}$", "", body["model"])
    return {"model": model, "stream": streamed, "tools": tools, "input": [{"role": "user", "content": PLACEHOLDER}]}


def text_of(shape_: dict[str, Any]) -> str:
    """Return the content of a shape's file."""
    return json.dumps(shape_, indent=1, ensure_ascii=False) + "\n"


def main(arguments: Iterable[str] | None = None) -> None:
    """Write the shape of each recording in a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", default=os.environ.get("IMAGEGEN_RECORDINGS"), type=Path)
    folder = parser.parse_args(arguments and list(arguments)).folder
    if folder is None:
        parser.error("say where the recordings are: a folder, or IMAGEGEN_RECORDINGS in the environment")
    for name, recording in recordings(folder).items():
        (HERE / f"{name}.json").write_text(text_of(shape(recording)))


if __name__ == "__main__":
    main()
