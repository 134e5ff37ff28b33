"""An answer of the service as it arrives: pictures go into the store, the small rest is read at the end.

It is fed with chunks of the HTTP body and knows no client and no connection. A picture that arrived whole is delivered
whatever is wrong with the rest of its answer; what is wrong becomes a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_imagegen.api.images_api import ImagesStreamReader, read_images
from langchain_imagegen.api.json_text import read_json
from langchain_imagegen.api.response_stream import StreamReader
from langchain_imagegen.api.responses import read_response
from langchain_imagegen.api.service_errors import after_drawing_began
from langchain_imagegen.errors import (
    ConnectionLostError,
    CorruptImageError,
    ImageGenerationError,
    NoImageError,
    ServiceError,
)
from langchain_imagegen.images.image import GeneratedImage, Origin, PartialImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.images.sniffing import Blob
from langchain_imagegen.storage.writer import Receiver
from langchain_imagegen.streaming.arrivals import Arrival, id_of, is_result, undelivered
from langchain_imagegen.streaming.body_kinds import BLANK, EVENT_STREAM, is_stream, length, not_json
from langchain_imagegen.streaming.decoder import Sink
from langchain_imagegen.streaming.decompression import inflater_for
from langchain_imagegen.streaming.events import EventReader
from langchain_imagegen.streaming.extractor import Extractor
from langchain_imagegen.streaming.odd_forms import Address, find_picture
from langchain_imagegen.streaming.sinks import DuplicateSink, MemorySink, StoreSink, corrupt_image_error

_COMPLETED = re.compile(rb'"image_(?:generation|edit)\.completed"|event: ?image_(?:generation|edit)\.completed')
_HEAD = 4096
_ODD_FORM = "the picture did not come as plain base64; it was decoded all the same"


@dataclass(frozen=True)
class Linked:
    """An answer that gives web addresses in place of pictures.

    `read` takes the picture, or the error, of each address and returns the result.
    """

    urls: tuple[str, ...]
    read: Callable[[Mapping[str, Blob | ImageGenerationError]], ImageResult]


class _LinkedError(CorruptImageError):
    """A picture is to be fetched first."""


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
        self, api: str, origin: Origin, store: Receiver, headers: Mapping[str, str], *, partials: bool = True
    ) -> None:
        self._api, self._origin, self._store, self._partials = api, origin, store, partials
        self._content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        self._to_come = length(headers)
        self._inflater = inflater_for(headers)
        self._streamed: bool | None = None  # not known before the first bytes
        self._beginning = b""
        self._extractor = Extractor(self._open)
        self._events = EventReader()
        self._arrivals: list[Arrival] = []
        self._latest: MemorySink | StoreSink | None = None  # what comes next may be a copy of it
        self._shown: MemorySink | StoreSink | None = None
        self._unfinished: list[MemorySink | StoreSink] = []
        self._text: list[bytes] = []
        self._warnings: list[str] = []
        self._wanted: list[str] = []
        self._fetched: Mapping[str, Blob | ImageGenerationError] = {}
        make = ImagesStreamReader if api == "images" else StreamReader
        self._reader = make(origin, self._picture, self._partial)

    @property
    def raw(self) -> bool:
        """True if `feed` takes the body as it came, still compressed."""
        return self._inflater is not None

    def feed(self, chunk: bytes) -> list[PartialImage]:
        """Return the partial pictures that this chunk completes; neither the disk nor a store is touched."""
        text = self._inflater.feed(chunk) if self._inflater else chunk
        if self._streamed is None:
            text = self._beginning + text
            self._streamed = is_stream(text, self._content_type)
            if self._streamed is None:
                self._beginning = text
                return []
        partials = self._read_text(self._extractor.feed(text))
        self._to_come -= len(text)  # afterwards: a picture that begins in this chunk needs room for the rest of it
        return partials

    def work(self) -> Callable[[], None] | None:
        """Return what is to be hashed and written now, if anything; in memory a picture takes a few hundred KB."""
        sink = self._arrivals[-1].sink if self._arrivals else None
        return sink.work() if sink else None

    def finish(self) -> ImageResult | Linked:
        """Return the result of an answer that has arrived to its end.

        Raises:
            ImageGenerationError: it holds no picture, or is no answer of this API.
        """
        return self._conclude(None)

    def break_off(self, error: Exception) -> ImageResult | Linked:
        """Return the result of an answer that broke off, if its pictures had arrived before.

        Raises:
            ConnectionLostError: they had not.
            ImageGenerationError: the service's own error, if that had arrived.
        """
        return self._conclude(error)

    def discard(self) -> None:
        """Remove what was written of pictures that came to nothing."""
        for arrived in self._arrivals:
            if arrived.sink is not None:
                arrived.sink.discard()

    # --- pictures as they begin

    def _open(self, before: bytes) -> Sink | None:
        sink = self._sink(before)
        final = not self._streamed or is_result(before) or _COMPLETED.search(before)
        self._arrivals.append(Arrival(sink, id_of(before), final=bool(final)))
        if isinstance(sink, (MemorySink, StoreSink)):
            self._latest = sink
        return sink

    def _sink(self, before: bytes) -> MemorySink | StoreSink | DuplicateSink | None:
        if not self._streamed or _COMPLETED.search(before):
            return StoreSink(self._store, max(self._to_come, 0) // 4 * 3)
        if not is_result(before):
            return MemorySink(self._store) if self._partials else StoreSink(self._store)
        if (id_of(before) or "") in self._whole():
            return None
        return DuplicateSink(self._latest, self._store) if self._latest else StoreSink(self._store)

    def _whole(self) -> set[str]:
        """Return the ids of the pictures of which a good copy arrived before, as `response.completed` repeats them."""
        flawed = {arrived.id for arrived in self._arrivals if arrived.sink is None or arrived.sink.flawed}
        return set(self._reader.delivered) - flawed

    # --- text as it comes

    def _read_text(self, text: bytes) -> list[PartialImage]:
        if self._streamed:
            return self._read_events(self._events.feed(text))
        self._text.append(text)
        return []

    def _read_events(self, payloads: list[bytes]) -> list[PartialImage]:
        return [partial for payload in payloads if payload != b"[DONE]" for partial in self._read_event(payload)]

    def _read_event(self, payload: bytes) -> list[PartialImage]:
        self._shown = None
        partials = self._reader.feed(self._object(payload))
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

    def _object(self, text: bytes, *, cut: bool = False) -> dict[str, Any]:
        """Return a JSON object; of anything else, an empty one."""
        payload, warning = read_json(text, cut=cut)
        if isinstance(payload, list):
            payload = next((item for item in payload if isinstance(item, dict)), None)
        if warning and isinstance(payload, dict) and not cut:
            self._warn(warning)
        return payload if isinstance(payload, dict) else {}

    # --- the end

    def _conclude(self, error: Exception | None) -> ImageResult | Linked:
        if self._streamed is None:
            self._streamed = self._content_type == EVENT_STREAM
            self._read_text(self._extractor.feed(self._beginning))
        self._read_text(self._extractor.finish())
        if self._streamed:
            self._read_last_event()
        if self._inflater and self._inflater.flaw:
            self._warn(f"the answer's compression is damaged ({self._inflater.flaw})")
        result = self._result(error)
        if self._wanted:
            return Linked(tuple(dict.fromkeys(self._wanted)), lambda fetched: self._read_again(fetched, error))
        if isinstance(result, ImageGenerationError):
            raise result
        self.discard()
        return result

    def _read_again(self, fetched: Mapping[str, Blob | ImageGenerationError], error: Exception | None) -> ImageResult:
        self._fetched, self._wanted = fetched, []
        result = self._result(error)
        if isinstance(result, ImageGenerationError):
            raise result
        return result

    def _read_last_event(self) -> None:
        """Read the last event. If it is cut behind its picture, it does not end the stream."""
        for payload in self._events.finish():
            whole, ended = self._object(payload), self._reader.ended
            self._reader.feed(whole or self._object(payload, cut=True))
            self._reader.ended = self._reader.ended if whole else ended

    def _result(self, error: Exception | None) -> ImageResult | ImageGenerationError:
        """Return the result with every picture that arrived whole, or the error."""
        problem: ImageGenerationError | None = None
        result: ImageResult | None
        try:
            result = self._read_stream(error) if self._streamed else self._read_document(error)
        except (ConnectionLostError, CorruptImageError, NoImageError, ServiceError) as read:
            problem, result = read, None
        except ImageGenerationError as refusal:
            return after_drawing_began(refusal) if self._arrivals else refusal
        images = _once(result.images) if result else ()
        partials = not self._reader.failed and bool(self._streamed) and not self._origin.partial_images
        rescued = tuple(undelivered(self._arrivals, self._origin, images, partials=partials))
        if problem and not rescued:
            return after_drawing_began(problem) if self._arrivals else problem
        warnings = (*(result.warnings if result else ()), *self._warnings)
        if rescued:
            why = f"; reading the rest failed: {problem}" if problem else ""
            warnings += (f"a picture had arrived whole, but the answer does not say what it belongs to{why}",)
        images = (*images, *rescued)
        if result is None:
            return ImageResult(images=images, warnings=warnings)
        return result.model_copy(update={"images": images, "warnings": warnings})

    def _read_stream(self, error: Exception | None) -> ImageResult:
        if error is not None:
            self._reader.ended = True
        return self._unless_lost(self._reader.result, self._reader.response, error)

    def _read_document(self, error: Exception | None) -> ImageResult:
        text = b"".join(self._text)
        payload = self._object(text) if error is None else {}
        if not payload:
            if not text.lstrip(BLANK).startswith((b"{", b"[")) and error is None:
                raise ServiceError(not_json(self._content_type, text), status=200)
            payload = self._object(text, cut=True)
            error = error or ValueError("the JSON is not complete")
        read = read_images if self._api == "images" else read_response
        return self._unless_lost(lambda: read(payload, self._origin, self._picture), payload, error)

    def _unless_lost(
        self, read: Callable[[], ImageResult], payload: Mapping[str, Any], error: Exception | None
    ) -> ImageResult:
        """Return the result; of an answer that broke off, with a warning or as a lost connection."""
        if error is None:
            return read()
        try:
            result = read()
        except (ConnectionLostError, CorruptImageError, NoImageError) as cause:
            raise self._lost(payload.get("id"), error) from cause
        warning = f"the answer broke off after the pictures had arrived ({error})"
        return result.model_copy(update={"warnings": (*result.warnings, warning)})

    # --- JSON values as pictures

    def _picture(self, value: object) -> Blob:
        found = find_picture(value)
        if found is None:
            raise corrupt_image_error(f"there is {_kind(value)} where its base64 belongs")
        if isinstance(found, Address):
            return self._linked(found)
        if isinstance(found, bytes):
            self._warn(_ODD_FORM)
            return self._store.put(found)
        sink = self._arrivals[found].sink if found < len(self._arrivals) else None
        if sink is None:
            raise CorruptImageError("the service sent a second copy of a picture in place of the first")
        if sink.repaired or not isinstance(value, dict) or len(value) != 1 or "$picture" not in value:
            self._warn(_ODD_FORM)
        return sink.blob()

    def _linked(self, url: str) -> Blob:
        fetched = self._fetched.get(url)
        if fetched is None:
            self._wanted.append(url)
            raise _LinkedError("the picture is still to be fetched from its address")
        if isinstance(fetched, ImageGenerationError):
            raise fetched
        return fetched

    def _partial(self, value: object) -> bytes:
        """Return the bytes of a partial picture; only the first, by which its format is known, if none is wanted."""
        found = find_picture(value)
        if isinstance(found, bytes):
            return found
        sink = self._arrivals[found].sink if isinstance(found, int) and found < len(self._arrivals) else None
        if not isinstance(sink, MemorySink if self._partials else StoreSink):
            raise CorruptImageError("a partial picture stands where a finished one belongs")
        if sink.flawed:
            raise CorruptImageError("a partial picture is corrupt")
        self._shown = sink
        return sink.data() if isinstance(sink, MemorySink) else sink.read(0, _HEAD)

    def _warn(self, warning: str) -> None:
        if warning not in self._warnings:
            self._warnings.append(warning)

    def _lost(self, id: object, error: Exception) -> ConnectionLostError:
        known = id if isinstance(id, str) else None
        found = f"; the service may still have it as response {known!r}" if known and self._api == "responses" else ""
        return ConnectionLostError(
            f"the answer broke off before the picture had arrived ({error}){found}", response_id=known
        )


def _once(images: tuple[GeneratedImage, ...]) -> tuple[GeneratedImage, ...]:
    """Return the images without those whose bytes are those of another: copies of a picture that lost their id."""
    named_first = sorted(images, key=lambda image: image.id.startswith("sha256:"))
    kept = {image.sha256: image for image in reversed(named_first)}
    return tuple(image for image in images if kept[image.sha256] is image)


def _kind(value: object) -> str:
    return repr(value)[:40] if value is None or isinstance(value, (int, float)) else type(value).__name__
