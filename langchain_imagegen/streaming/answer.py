"""An answer of the service as it arrives: pictures go into the store, the small rest is read at the end.

It is fed with chunks of the HTTP body and knows no client and no connection. A picture that arrived whole is delivered
whatever is wrong with the rest of its answer; what is wrong becomes a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_imagegen.api.fields import Fields
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
from langchain_imagegen.images.image import GeneratedImage, Origin
from langchain_imagegen.images.partial import PartialImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.images.sniffing import Blob
from langchain_imagegen.storage.writer import Receiver
from langchain_imagegen.streaming.arrivals import Arrivals
from langchain_imagegen.streaming.body_kinds import BLANK, EVENT_STREAM, is_stream, length, not_json
from langchain_imagegen.streaming.decoder import Sink
from langchain_imagegen.streaming.decompression import inflater_for
from langchain_imagegen.streaming.events import EventReader
from langchain_imagegen.streaming.extractor import Extractor


@dataclass(frozen=True)
class Linked:
    """An answer that gives web addresses in place of pictures.

    `read` takes the picture, or the error, of each address and returns the result.
    """

    urls: tuple[str, ...]
    read: Callable[[Mapping[str, Blob | ImageGenerationError]], ImageResult]


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
        self._api, self._origin, self._partials = api, origin, partials
        self._begin(headers)
        self._warnings: list[str] = []
        self._unfinished: list[PartialImage] = []
        self._arrivals = Arrivals(store, self._warn, partials=partials)
        make = ImagesStreamReader if api == "images" else StreamReader
        self._reader = make(origin, self._arrivals.read, self._arrivals.read_partial)

    def _begin(self, headers: Mapping[str, str]) -> None:
        self._content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        self._to_come = length(headers)
        self._inflater = inflater_for(headers)
        self._streamed: bool | None = None  # not known before the first bytes
        self._beginning = b""
        self._extractor = Extractor(self._open)
        self._events = EventReader()
        self._text: list[bytes] = []

    @property
    def response_id(self) -> str | None:
        """The id of the response, as soon as an event of its stream or the end of its JSON names it."""
        return Fields(self._reader.response).text("id")

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
        return self._arrivals.work()

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
        self._arrivals.discard()

    def reopen(self, headers: Mapping[str, str]) -> None:
        """Go on with a second answer, whose events follow those that arrived whole in the first."""
        self._arrivals.forget()
        self._reader.forget_pictures()
        self._begin(headers)

    def _open(self, before: bytes) -> Sink | None:
        expected = max(self._to_come, 0) // 4 * 3
        delivered = self._reader.delivered if self._streamed else ()
        return self._arrivals.open(before, streamed=bool(self._streamed), expected=expected, delivered=delivered)

    # --- text as it comes

    def _read_text(self, text: bytes) -> list[PartialImage]:
        if self._streamed:
            return self._read_events(self._events.feed(text))
        self._text.append(text)
        return []

    def _read_events(self, payloads: list[bytes]) -> list[PartialImage]:
        return [partial for payload in payloads if payload != b"[DONE]" for partial in self._read_event(payload)]

    def _read_event(self, payload: bytes) -> list[PartialImage]:
        partials = self._reader.feed(self._object(payload))
        self._arrivals.release(partials)
        if not self._partials:
            return []
        self._unfinished += [partial for partial in partials if not partial.final]
        return partials

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
        if self._arrivals.wanted:
            urls = tuple(dict.fromkeys(self._arrivals.wanted))
            return Linked(urls, lambda fetched: self._read_again(fetched, error))
        if isinstance(result, ImageGenerationError):
            raise self._described(result)
        self.discard()
        return result

    def _read_again(self, fetched: Mapping[str, Blob | ImageGenerationError], error: Exception | None) -> ImageResult:
        self._arrivals.fetched, self._arrivals.wanted = fetched, []
        result = self._result(error)
        if isinstance(result, ImageGenerationError):
            raise self._described(result)
        return result

    def _described(self, error: ImageGenerationError) -> ImageGenerationError:
        """Return the error with what is needed to fetch the response again, and the partial pictures."""
        error.response_id = error.response_id or self.response_id
        error.last_event = self._reader.last_event
        error.partials = tuple(self._unfinished)
        return error

    def _read_last_event(self) -> None:
        """Read the last event. If it is cut behind its picture, it does not end the stream."""
        for payload in self._events.finish():
            whole, before = self._object(payload), (self._reader.ended, self._reader.last_event)
            self._reader.feed(whole or self._object(payload, cut=True))
            if not whole:
                self._reader.ended, self._reader.last_event = before

    def _result(self, error: Exception | None) -> ImageResult | ImageGenerationError:
        """Return the result with every picture that arrived whole, or the error."""
        problem: ImageGenerationError | None = None
        result: ImageResult | None
        try:
            result = self._read_stream(error) if self._streamed else self._read_document(error)
        except (ConnectionLostError, CorruptImageError, NoImageError, ServiceError) as read:
            problem, result = read, None
        except ImageGenerationError as refusal:
            return after_drawing_began(refusal) if self._arrivals.begun else refusal
        images = _once(result.images) if result else ()
        partials = not self._reader.failed and bool(self._streamed) and not self._origin.partial_images
        rescued = tuple(self._arrivals.undelivered(self._origin, images, partials=partials))
        if problem and not rescued:
            return after_drawing_began(problem) if self._arrivals.begun else problem
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
        return self._unless_lost(self._reader.result, error)

    def _read_document(self, error: Exception | None) -> ImageResult:
        text = b"".join(self._text)
        payload = self._object(text) if error is None else {}
        if not payload:
            if not text.lstrip(BLANK).startswith((b"{", b"[")) and error is None:
                raise ServiceError(not_json(self._content_type, text), status=200)
            payload = self._object(text, cut=True)
            error = error or ValueError("the JSON is not complete")
        self._reader.response = payload
        read = read_images if self._api == "images" else read_response
        return self._unless_lost(lambda: read(payload, self._origin, self._arrivals.read), error)

    def _unless_lost(self, read: Callable[[], ImageResult], error: Exception | None) -> ImageResult:
        """Return the result; of an answer that broke off, with a warning or as a lost connection."""
        if error is None:
            return read()
        try:
            result = read()
        except (ConnectionLostError, CorruptImageError, NoImageError) as cause:
            raise self._lost(error) from cause
        warning = f"the answer broke off after the pictures had arrived ({error})"
        return result.model_copy(update={"warnings": (*result.warnings, warning)})

    # --- what is wrong with it

    def _warn(self, warning: str) -> None:
        if warning not in self._warnings:
            self._warnings.append(warning)

    def _lost(self, error: Exception) -> ConnectionLostError:
        known = self.response_id if self._api == "responses" else None
        found = f"; the service may still have it as response {known!r}" if known else ""
        return ConnectionLostError(
            f"the answer broke off before the picture had arrived ({error}){found}", response_id=known
        )


def _once(images: tuple[GeneratedImage, ...]) -> tuple[GeneratedImage, ...]:
    """Return the images without those whose bytes are those of another: copies of a picture that lost their id."""
    named_first = sorted(images, key=lambda image: image.id.startswith("sha256:"))
    kept = {image.sha256: image for image in reversed(named_first)}
    return tuple(image for image in images if kept[image.sha256] is image)
