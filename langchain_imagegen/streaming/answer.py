"""An answer of the service as it arrives: pictures go into the store, the small rest is read at the end.

Fed with chunks of the HTTP body, whoever reads them; it knows no client and no connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import from_json

from langchain_imagegen.api.images_api import ImagesStreamReader, read_images
from langchain_imagegen.api.responses import StreamReader, read_response
from langchain_imagegen.errors import (
    ConnectionLostError,
    CorruptImageError,
    NoImageError,
    ServiceError,
)
from langchain_imagegen.images.image import Origin, PartialImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.images.sniffing import Blob
from langchain_imagegen.storage.store import ImageStore
from langchain_imagegen.streaming.decoder import Sink, decode
from langchain_imagegen.streaming.events import EventReader
from langchain_imagegen.streaming.extractor import Extractor, picture_number
from langchain_imagegen.streaming.sinks import Held, Repeated, Written, corrupt

_ID = re.compile(rb'"id"\s*:\s*"([^"]+)"')
_COMPLETED = re.compile(rb'"image_(?:generation|edit)\.completed"|event: ?image_(?:generation|edit)\.completed')
_EVENT_STREAM = "text/event-stream"
_SHOWN = 200
_HEAD = 4096


class Body:
    """One answer, from its first chunk to its result.

    Args:
        api: Which API answers.
        origin: What the caller knows of the call.
        store: Where pictures go.
        headers: The answer's; they say what it is, and perhaps how long.
        partials: Whether partial pictures are wanted; else they take no memory, and `feed` gives none.
    """

    def __init__(
        self, api: str, origin: Origin, store: ImageStore, headers: Mapping[str, str], *, partials: bool = True
    ) -> None:
        self._api, self._origin, self._store, self._partials = api, origin, store, partials
        self._content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        self._to_come = _length(headers)
        self._streamed = self._content_type == _EVENT_STREAM
        self._extractor = Extractor(self._open)
        self._events = EventReader()
        self._sinks: list[Held | Written | Repeated | None] = []
        self._latest: Held | Written | None = None  # what comes next may be a copy of it
        self._shown: Held | Written | None = None
        self._unfinished: list[Held | Written] = []
        self._text: list[bytes] = []
        make = ImagesStreamReader if api == "images" else StreamReader
        self._reader = make(origin, self._picture, self._partial)

    def feed(self, chunk: bytes) -> list[PartialImage]:
        """The partial pictures that this chunk completes; neither the disk nor a store is touched."""
        partials = self._read_text(self._extractor.feed(chunk))
        self._to_come -= len(chunk)
        return partials

    def work(self) -> Callable[[], None] | None:
        """What is to be hashed and written now, if anything; all that a picture holds in memory is a few hundred KB."""
        sink = self._sinks[-1] if self._sinks else None
        return sink.work() if sink else None

    def finish(self) -> ImageResult:
        """The result of an answer that has arrived to its end.

        Raises:
            ImageGenerationError: it holds no picture, or is no answer of this API.
        """
        self._read_text(self._extractor.finish())
        if self._streamed:
            self._read_last_event()
        result = self._reader.result() if self._streamed else self._read_whole()
        self.discard()
        return result

    def break_off(self, error: Exception) -> ImageResult:
        """The result of an answer that broke off, if its pictures had arrived before.

        Raises:
            ConnectionLostError: they had not.
            ImageGenerationError: the service's own error, if that had arrived.
        """
        self._read_text(self._extractor.finish())
        self._read_last_event()
        payload = self._reader.response if self._streamed else _parsed(b"".join(self._text), begun=True)
        self._reader.ended = True
        try:
            result = self._reader.result() if self._streamed else self._read(payload)
        except (ConnectionLostError, CorruptImageError, NoImageError) as cause:
            raise self._lost(payload.get("id"), error) from cause
        told = f"the answer broke off after the pictures had arrived ({error})"
        return result.model_copy(update={"warnings": (*result.warnings, told)})

    def discard(self) -> None:
        """Remove what was written of pictures that came to nothing."""
        for sink in self._sinks:
            if sink is not None:
                sink.discard()

    def _open(self, before: bytes) -> Sink | None:
        sink = self._sink(before)
        self._sinks.append(sink)
        if isinstance(sink, (Held, Written)):
            self._latest = sink
        return sink

    def _sink(self, before: bytes) -> Held | Written | Repeated | None:
        if not self._streamed or _COMPLETED.search(before):
            return Written(self._store, max(self._to_come, 0) // 4 * 3)
        if not before.rstrip(b" \t:").endswith(b'"result"'):
            return Held(self._store) if self._partials else Written(self._store)
        if self._delivered(before):
            return None
        return Repeated(self._latest, self._store) if self._latest else Written(self._store)

    def _delivered(self, before: bytes) -> bool:
        """Whether the picture that begins is a copy of one that arrived before, as in `response.completed`."""
        ids = list(_ID.finditer(before))
        return bool(ids) and b"}" not in before[ids[-1].end() :] and ids[-1][1].decode() in self._reader.delivered

    def _read_text(self, text: bytes) -> list[PartialImage]:
        if self._streamed:
            return self._read_events(self._events.feed(text))
        self._text.append(text)
        return []

    def _read_events(self, payloads: list[bytes]) -> list[PartialImage]:
        return [partial for payload in payloads if payload != b"[DONE]" for partial in self._read_event(payload)]

    def _read_event(self, payload: bytes) -> list[PartialImage]:
        self._shown = None
        partials = self._reader.feed(_parsed(payload))
        for partial in partials:
            self._let_go(partial)
        return partials if self._partials else []

    def _let_go(self, partial: PartialImage) -> None:
        """Keep nothing of partial pictures but the latest, of which the finished one may be a copy."""
        if self._shown is not None and not partial.final:
            self._unfinished.append(self._shown)
        for sink in self._unfinished:
            if sink is not self._latest:
                sink.discard()

    def _read_last_event(self) -> None:
        """The event at the end, which may have broken off behind its picture; then it closes nothing."""
        for payload in self._events.finish():
            whole, ended = _parsed(payload), self._reader.ended
            self._reader.feed(whole or _parsed(payload, begun=True))
            self._reader.ended = self._reader.ended if whole else ended

    def _read_whole(self) -> ImageResult:
        text = b"".join(self._text)
        if "json" not in self._content_type:
            raise ServiceError(_not_json(self._content_type, text), status=200)
        try:
            payload = from_json(text)
        except ValueError as error:  # the connection closed in good order within the JSON
            return self.break_off(error)
        return self._read(payload if isinstance(payload, dict) else {})

    def _read(self, payload: dict[str, Any]) -> ImageResult:
        if self._api == "images":
            return read_images(payload, self._origin, self._picture)
        return read_response(payload, self._origin, self._picture)

    def _picture(self, value: object) -> Blob:
        number = picture_number(value)
        if number is None:
            return self._store.put(_decoded(value))
        sink = self._sinks[number]
        if sink is None:
            raise CorruptImageError("the service sent a second copy of a picture in place of the first")
        return sink.blob()

    def _partial(self, value: object) -> bytes:
        """The bytes of a partial picture; only the first, by which its format is told, where none is wanted."""
        number = picture_number(value)
        if number is None:
            return _decoded(value)
        sink = self._sinks[number]
        if not isinstance(sink, Held if self._partials else Written):
            raise CorruptImageError("a partial picture stands where a finished one belongs")
        self._shown = sink
        return sink.data() if isinstance(sink, Held) else sink.read(0, _HEAD)

    def _lost(self, id: str | None, error: Exception) -> ConnectionLostError:
        found = f"; the service may still have it as response {id!r}" if id and self._api == "responses" else ""
        return ConnectionLostError(
            f"the answer broke off before the picture had arrived ({error}){found}", response_id=id
        )


def _length(headers: Mapping[str, str]) -> int:
    """How many bytes there are to come, as far as that is told; 0 if it is not, or of a body that is compressed."""
    told = headers.get("content-length", "")
    return int(told) if told.isdecimal() and not headers.get("content-encoding") else 0


def _parsed(text: bytes, *, begun: bool = False) -> dict[str, Any]:
    """A JSON object; with `begun` as much of it as had arrived. Of anything else, an empty one."""
    try:
        payload = from_json(text, allow_partial=begun)
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def _decoded(value: object) -> bytes:
    """The bytes of a string that the extractor did not take for a picture."""
    if not isinstance(value, str) or not value:
        raise corrupt(f"there is {value!r} where its base64 belongs")
    return decode(value)


def _not_json(content_type: str, text: bytes) -> str:
    begins = text[:_SHOWN].decode(errors="replace").strip()
    return (
        f"the answer is {content_type or 'of no type'} and no JSON, it begins {begins!r}; "
        "check base_url: it should end in /v1 and point at the API, not at a website or a proxy's login"
    )
