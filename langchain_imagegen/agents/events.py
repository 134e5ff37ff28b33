"""The events of a drawing: what a front end learns while a picture is drawn. Plain JSON, and no emission here."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Literal, NotRequired, TypedDict

from langchain_imagegen.agents.wording import without_paths
from langchain_imagegen.images.image import GeneratedImage, handle_of
from langchain_imagegen.images.result import ImageFailure, ImageResult

EventType = Literal["image.started", "image.partial", "image.finished", "image.failed"]


class ImageEvent(TypedDict):
    """One event of a drawing. What is not known yet is None.

    Args:
        type: `image.started`, then any number of `image.partial`, then `image.finished` for each picture that was
            drawn and `image.failed` for each that was not.
        handle: The picture's short name (`img_…`); None until the service has named it.
        tool_call_id: The id of the chat model's tool call, of a hosted call (`ig_…`), or else of the tool's run. All
            events of a call have the same.
        index: Which partial picture it is, from 0; None in other events.
        final: True if the bytes are those of the finished picture. The service may send that as a last partial too.
        mime_type: The format of the bytes.
        sha256: The digest of the bytes, their address in the image store; None if they are not stored.
        url: Where a browser finds the bytes, if the store or `url_for` gives addresses.
        data: The bytes as base64; only in `image.partial`, and only with `partials="inline"`.
        prompt: What the chat model asked for, in `image.started` and `image.finished`.
        revised_prompt: The prompt as the mainline model rewrote it, in `image.finished`.
        error: Why there is no picture, in `image.failed`.
    """

    type: EventType
    handle: str | None
    tool_call_id: str | None
    index: int | None
    final: bool
    mime_type: str | None
    sha256: str | None
    url: NotRequired[str]
    data: NotRequired[str]
    prompt: NotRequired[str]
    revised_prompt: NotRequired[str]
    error: NotRequired[str]


def started(call_id: str | None, prompt: str | None = None, handle: str | None = None) -> ImageEvent:
    """Return the event of a call that begins."""
    event = _event("image.started", call_id, handle)
    if prompt:
        event["prompt"] = prompt
    return event


def unfinished(
    call_id: str | None,
    handle: str,
    index: int,
    *,
    final: bool,
    mime_type: str,
    sha256: str | None = None,
    url: str | None = None,
    data: bytes | None = None,
) -> ImageEvent:
    """Return the event of a partial picture.

    Args:
        call_id: The id of the call.
        handle: The handle that the finished picture will have.
        index: Which partial picture it is, from 0.
        final: True if its bytes are those of the finished picture.
        mime_type: Its format.
        sha256: The digest of its bytes if they are in the image store.
        url: Their address, if there is one.
        data: The bytes themselves, if the event is to have them.
    """
    event = _event("image.partial", call_id, handle)
    event["index"], event["final"], event["mime_type"], event["sha256"] = index, final, mime_type, sha256
    if url:
        event["url"] = url
    if data is not None:
        event["data"] = base64.b64encode(data).decode()
    return event


def finished(image: GeneratedImage, call_id: str | None, url: str | None = None) -> ImageEvent:
    """Return the event of a picture that is drawn and stored."""
    event = _event("image.finished", call_id, image.handle)
    event["final"], event["mime_type"], event["sha256"] = True, image.mime_type, image.sha256
    if url:
        event["url"] = url
    if image.prompt:
        event["prompt"] = image.prompt
    if image.revised_prompt:
        event["revised_prompt"] = image.revised_prompt
    return event


def failed(call_id: str | None, error: object, handle: str | None = None) -> ImageEvent:
    """Return the event of a picture that could not be drawn; `error` is an exception or its message."""
    event = _event("image.failed", call_id, handle)
    event["error"] = without_paths(str(error))
    return event


def of_result(result: ImageResult, call_id: str | None, urls: Sequence[str | None]) -> Iterator[ImageEvent]:
    """Yield the last events of a call: one for each picture of its result, with its address, and for each failure."""
    for image, url in zip(result.images, urls, strict=True):
        yield finished(image, call_id, url)
    for failure in result.failures:
        yield failed(call_id, failure.message, _handle_of(failure, result))


def _handle_of(failure: ImageFailure, result: ImageResult) -> str | None:
    return handle_of(result.images[0].provider, failure.id) if failure.id else None


def _event(type: EventType, call_id: str | None, handle: str | None) -> ImageEvent:
    return {
        "type": type,
        "handle": handle,
        "tool_call_id": call_id,
        "index": None,
        "final": False,
        "mime_type": None,
        "sha256": None,
    }
