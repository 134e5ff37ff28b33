"""Fetching what an answer lacks: the rest of a response, by its id, and pictures that are named by web address.

These are flows like those of `flows`: no client, no clock, no file. A `GET` costs nothing, so it may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from langchain_imagegen.api.responses import UnfinishedError
from langchain_imagegen.drawing.steps import Call, Fetch, Flow, Retrieve, Step, Wait
from langchain_imagegen.errors import (
    ConnectionLostError,
    CorruptImageError,
    ImageGenerationError,
    ImageTimeoutError,
    RateLimitError,
    ServiceError,
)
from langchain_imagegen.images.image import Origin
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.images.sniffing import Blob
from langchain_imagegen.streaming.answer import Linked

T = TypeVar("T")

FAILURES_IN_A_ROW = 5
"""So many failed attempts to reach the service end a recovery."""

FIRST_POLL, SLOWEST_POLL = 0.5, 3.0  # seconds


def can_recover(error: ImageGenerationError, call: Call) -> bool:
    """Return True if the answer to a call is incomplete or damaged and the service keeps the response."""
    kept = call.body.get("store") is not False or bool(call.body.get("background"))
    damaged = isinstance(error, (ConnectionLostError, ImageTimeoutError, CorruptImageError))
    return damaged and kept and call.api == "responses" and error.response_id is not None


def recover(lost: ImageGenerationError, call: Call, patience: float) -> Flow:
    """Return the result of a call whose answer broke off, with a warning; the response is fetched by its id.

    Raises:
        ImageGenerationError: `lost`, if the response cannot be had; another error, if the response itself says why
            it has no picture.
    """
    id = lost.response_id or ""
    try:
        if call.body.get("background") and call.body.get("stream"):
            result = yield from _continue_stream(lost, call, patience)
        else:
            result = yield from fetch_response(id, call.origin, patience)
    except (ServiceError, ConnectionLostError, ImageTimeoutError, CorruptImageError) as failed:
        lost.add_note(f"response {id!r} could not be fetched either: {failed}")
        raise lost from failed
    warning = f"the answer was incomplete or damaged; the picture was fetched again as response {id!r}"
    return result.model_copy(update={"warnings": (*result.warnings, warning)})


def fetch_response(response_id: str, origin: Origin, patience: float) -> Flow:
    """Return the result of a response that the service keeps, and wait while it is being drawn.

    Args:
        response_id: The id, `resp_…`.
        origin: What the caller knows of the call.
        patience: Seconds to wait at most, in total.

    Raises:
        ImageTimeoutError: The picture is not finished by then; `resume` can be called again.
        ImageGenerationError: The service keeps no such response, or the response holds no picture.
    """
    result: ImageResult = yield from poll(Retrieve(response_id, origin), patience, fetch_linked)
    return result


def poll(step: Retrieve, patience: float, read: Callable[[Any], Generator[Step, Any, T]]) -> Generator[Step, Any, T]:
    """Return what `read` makes of a kept response, which is asked for until it is finished.

    Args:
        step: Asks for the response. Its error is an `UnfinishedError` while the service draws.
        patience: As for `fetch_response`.
        read: The steps that follow when the response is finished.

    Raises:
        ImageGenerationError: As `fetch_response`.
    """
    waited, polls, failures = 0.0, 0, 0
    while True:
        try:
            return (yield from read((yield step)))
        except UnfinishedError as error:
            unfinished: ImageGenerationError = error
            delay = min(FIRST_POLL * 1.5**polls, SLOWEST_POLL)
            polls, failures = polls + 1, 0
        except ImageGenerationError as error:
            unfinished = error
            failures += 1
            if not _is_temporary(error) or failures == FAILURES_IN_A_ROW:
                raise
            delay = _backoff(error, failures)
        if waited + delay > patience:
            raise still_drawing(step.response_id, waited) from unfinished
        yield Wait(delay)
        waited += delay


def _continue_stream(lost: ImageGenerationError, call: Call, patience: float) -> Flow:
    """Return the result of a background response whose stream broke off: read on behind the last event, or poll."""
    id, last_event = lost.response_id or "", lost.last_event
    while last_event is not None:
        try:
            return (yield from fetch_linked((yield Retrieve(id, call.origin, after=last_event))))
        except (ConnectionLostError, ImageTimeoutError) as again:
            last_event = again.last_event if again.last_event != last_event else None
        except ServiceError:
            break
    return (yield from fetch_response(id, call.origin, patience))


def fetch_linked(answer: ImageResult | Linked) -> Flow:
    """Return the result of an answer after fetching the pictures that it names by web address."""
    if isinstance(answer, ImageResult):
        return answer
    pictures: dict[str, Blob | ImageGenerationError] = {}
    for url in answer.urls:
        try:
            pictures[url] = yield Fetch(url)
        except ImageGenerationError as error:
            pictures[url] = error
    return answer.read(pictures)


def still_drawing(response_id: str, waited: float) -> ImageTimeoutError:
    """Return the error for a response that is not finished after all the time that the caller gave it."""
    return ImageTimeoutError(
        f"the service is still drawing after {waited:.0f} s; draw.resume({response_id!r}) fetches the picture later, "
        "in any process",
        response_id=response_id,
    )


def _is_temporary(error: ImageGenerationError) -> bool:
    if isinstance(error, (ConnectionLostError, ImageTimeoutError, RateLimitError)):
        return True
    return isinstance(error, ServiceError) and (error.status or 0) >= 500


def _backoff(error: ImageGenerationError, failures: int) -> float:
    asked = getattr(error, "retry_after", None)
    return float(asked) if asked and 0 < asked < float("inf") else min(0.25 * 2.0**failures, 8.0)
