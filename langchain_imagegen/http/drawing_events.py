"""What the events of a streamed response say of its image calls, and which events the chat model gets.

Pure: the text of the response comes in, with tokens in place of pictures. There is no client and no store here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_imagegen.api.fields import Fields
from langchain_imagegen.api.json_text import read_json
from langchain_imagegen.api.response_stream import StreamReader
from langchain_imagegen.api.responses import CALL
from langchain_imagegen.streaming.events import EventReader

_MARK = CALL.encode()
_ADDED, _DONE = "response.output_item.added", "response.output_item.done"
_GENERATING = f"response.{CALL}.generating"
_PARTIAL = f"response.{CALL}.partial_image"
_BEGIN = (f"response.{CALL}.in_progress", _GENERATING, _PARTIAL)
_PLACE = ("sequence_number", "output_index", "item_id")
_LINE_ENDS = (b"\n", b"\r", b"\r\n")
_EVENT_ENDS = (b"\n\n", b"\r\r", b"\n\r\n")
_OF_THE_EVENT = ("type", "sequence_number")
_STATUS = {"rate_limit_exceeded": 429, "insufficient_quota": 429, "server_error": 500}


@dataclass(frozen=True)
class Begun:
    """An image call begins."""

    call_id: str


@dataclass(frozen=True)
class Partial:
    """A partial picture of an image call.

    `final` is true if it is the finished picture, which the service sends as one partial picture more than it was asked
    for. `picture` is the token of the picture, or its base64 if it is not in the store.
    """

    call_id: str
    index: int
    final: bool
    picture: str


Sign: TypeAlias = Begun | Partial
"""What an event says of an image call."""


class Watch:
    """Reads the events of one streamed response, and takes its partial pictures out.

    In place of a partial picture the client gets an event that says that the call is at work. `ChatOpenAI` ignores it;
    but if no event came for `stream_chunk_timeout` seconds, it would give up the answer.

    Args:
        partials: How many partial pictures the request asks for; 0: those that come all the same are passed on.
    """

    def __init__(self, partials: int) -> None:
        self._partials = partials
        self._events = EventReader()
        self._held = b""  # the event that is arriving
        self._begun: set[str] = set()
        self._signs: list[Sign] = []

    def feed(self, text: bytes) -> tuple[bytes, list[Sign]]:
        """Return the events for the client that this text completes, and what they say of image calls."""
        passed = b"".join(map(self._line, text.splitlines(keepends=True)))
        signs, self._signs = self._signs, []
        return passed, signs

    def finish(self) -> tuple[bytes, list[Sign]]:
        """Return what is left of a stream that has ended within an event."""
        held, self._held = self._held, b""
        return held, []

    def _line(self, line: bytes) -> bytes:
        """Return the event that a line, or a part of one, completes; empty if it completes none."""
        self._held += line
        payloads = self._events.feed(line)
        if not payloads and not self._held.endswith(_EVENT_ENDS) and self._held not in _LINE_ENDS:
            return b""
        event, self._held = self._held, b""
        for payload in payloads:
            event = self._passed(event, payload)
        return event

    def _passed(self, event: bytes, payload: bytes) -> bytes:
        """Return what the client gets of an event with this data."""
        return self._read(event, read_object(payload)) if _MARK in payload else event

    def _read(self, event: bytes, told: Mapping[str, Any]) -> bytes:
        fields = Fields(told)
        kind, item = fields.text("type"), fields.inside("item")
        if kind == _ADDED and item.text("type") == CALL:
            self._begin(item.text("id"))
        elif kind in _BEGIN:
            self._begin(fields.text("item_id"))
        if kind != _PARTIAL or not self._partials:
            return event
        id, picture = fields.text("item_id"), fields.text("partial_image_b64")
        if id and picture:
            index = fields.count("partial_image_index") or 0
            self._signs.append(Partial(id, index, index >= self._partials, picture))
        return _at_work(told)

    def _begin(self, id: str | None) -> None:
        if id and id not in self._begun:
            self._begun.add(id)
            self._signs.append(Begun(id))


class Collector(Watch):
    """Reads a streamed response, of which a client that did not ask for a stream gets the JSON alone."""

    def __init__(self, partials: int) -> None:
        super().__init__(partials)
        self._response: Mapping[str, Any] = {}
        self._done: list[Mapping[str, Any]] = []
        self._error: Mapping[str, Any] | None = None
        self._ended = False

    def finish(self) -> tuple[bytes, list[Sign]]:
        """Read the last event, whose end may be missing."""
        for payload in self._events.finish():
            self._passed(b"", payload)
        return self.feed(b"")

    def answer(self) -> tuple[int, Mapping[str, Any]] | None:
        """Return the HTTP status and the JSON of the answer; None if the stream ended before its last event.

        An `error` event is an HTTP error if no image call had begun, so that it is treated like any other. After that
        it makes a failed response, whose request is never sent again, since a picture may be paid for.
        """
        if self._error is not None and not self._begun:
            return _status_of(self._error), {"error": self._error}
        whole = {**self._response, "output": self._response.get("output") or self._done}
        if self._error is not None:
            return 200, {**whole, "status": "failed", "error": self._error}
        return (200, whole) if self._ended else None

    def _passed(self, event: bytes, payload: bytes) -> bytes:
        told = read_object(payload)
        kind, response, item = told.get("type"), told.get("response"), told.get("item")
        if kind == "error" and self._error is None:
            nested = told.get("error")
            flat = {name: value for name, value in told.items() if name not in _OF_THE_EVENT}
            self._error = nested if isinstance(nested, Mapping) else flat
        elif kind == _DONE and isinstance(item, Mapping):
            self._done.append(item)
        elif isinstance(response, Mapping):
            self._response, self._ended = response, kind in StreamReader.TERMINAL
        self._read(event, told)
        return b""


def read_object(text: bytes) -> Mapping[str, Any]:
    """Return a JSON object; of anything else, an empty one."""
    value, _ = read_json(text)
    return value if isinstance(value, Mapping) else {}


def _at_work(told: Mapping[str, Any]) -> bytes:
    """Return an event that says no more than that a call is at work, at the place of another."""
    event = {"type": _GENERATING, **{name: told[name] for name in _PLACE if name in told}}
    return b"event: %b\ndata: %b\n\n" % (_GENERATING.encode(), json.dumps(event).encode())


def _status_of(error: Mapping[str, Any]) -> int:
    """Return the status with which the service answers such an error where nothing is streamed."""
    return next((_STATUS[each] for each in (error.get("code"), error.get("type")) if each in _STATUS), 400)
