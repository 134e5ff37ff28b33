"""Buying a picture once: the ledger is asked first, then the service for earlier responses; only then is one bought.

A flow like those of `flows`: no client, no clock, no file.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

from pydantic import ValidationError

from langchain_imagegen.api.service_errors import after_drawing_began
from langchain_imagegen.drawing.executions import Key
from langchain_imagegen.drawing.flows import draw
from langchain_imagegen.drawing.ladder import Drawing, finish_result, origin_of
from langchain_imagegen.drawing.recovery import fetch_response
from langchain_imagegen.drawing.steps import Do, Flow, Step, Wait
from langchain_imagegen.errors import (
    AuthenticationError,
    CorruptImageError,
    ImageGenerationError,
    ImageStoreError,
    ModerationError,
    NoImageError,
    OptionRefusedError,
    ServiceError,
)
from langchain_imagegen.images.lookup import ByteStore
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.storage.ledger import Busy, Claim, Done, Ledger

_HAS_NO_SUCH_RESPONSE = (None, 400, 404, 405, 410, 422, 501)
"""Statuses of a response that is unknown, expired or of an unknown form; `None`: the response says that it failed."""

_LOST = "the picture of this call was bought before, but neither the image store nor the service has it"
_NOT_KNOWN = (
    "Nothing was bought now: response {id!r} of an earlier try may have the picture, which was paid for. The same call "
    "asks for it again, and regenerate=True buys another picture."
)
_NOT_SENT_AGAIN = (
    "the request was not sent again: the first try of this step may have been billed, and nothing says which response "
    "it became. Resume the run to buy another picture."
)


def buy_once(drawing: Drawing, key: Key, ledger: Ledger, store: ByteStore) -> Flow:
    """Return the picture that the call has bought before; else buy it and note it in the ledger.

    Raises:
        ImageStoreError: The ledger cannot be read or written, and nothing was bought.
        ImageGenerationError: As `flows.draw`. What may have been billed is looked for when the call is made again.
    """
    attempt = ledger.attempt(key.name, key.request, original=key.original, regenerate=key.regenerate)
    earlier = yield from _bought_while_down(drawing, key, ledger.fallback, store)
    if earlier is not None:
        return earlier
    try:
        found: Claim | Done | Busy = yield Do(attempt.begin)
    except ImageStoreError:
        if ledger.fallback is None:
            raise
        return (yield from buy_once(drawing, key, ledger.fallback, store))
    warnings: tuple[str, ...] = ()
    while not isinstance(found, Claim):
        if isinstance(found, Busy):
            yield Wait(found.seconds, idle=True)
        elif result := (yield from _remembered(found, drawing, key, store)):
            return result
        else:
            attempt.reject(found)
            warnings = (_LOST,)
        found = yield Do(attempt.begin)
    return warned((yield from _buy(drawing, key, found)), *warnings)


def _bought_while_down(
    drawing: Drawing, key: Key, fallback: Ledger | None, store: ByteStore
) -> Generator[Step, Any, ImageResult | None]:
    """Return the picture that was bought while only the fallback could be reached, if there is one."""
    if fallback is None:
        return None
    attempt = fallback.attempt(key.name, key.request, original=key.original, regenerate=key.regenerate)
    try:
        done: Done | None = yield Do(attempt.done)
    except ImageStoreError:  # the store itself may work, and says so
        return None
    return (yield from _remembered(done, drawing, key, store)) if done else None


def warned(result: ImageResult, *warnings: str) -> ImageResult:
    """Return the result with more warnings."""
    return result.model_copy(update={"warnings": (*result.warnings, *warnings)}) if warnings else result


def _remembered(done: Done, drawing: Drawing, key: Key, store: ByteStore) -> Generator[Step, Any, ImageResult | None]:
    """Return the result that the ledger has noted, with its bytes in the store; None if they are nowhere."""
    try:
        result = ImageResult.model_validate({**done.record, "from_ledger": True})
    except ValidationError:
        return None
    if key.by_hand is not None and done.request != key.request:
        result = warned(result, _by_another_request(key))
    if (yield Do(lambda: all(image.sha256 in store for image in result.images))):
        return result
    fetched = (yield from _fetch(result.response_id, drawing)) if result.response_id else None
    if fetched is None:
        return None
    warning = f"the image store had lost the picture; it was fetched again as response {result.response_id!r}"
    return warned(result.model_copy(update={"images": fetched.images}), warning)


def _by_another_request(key: Key) -> str:
    return f"the picture named once={key.by_hand!r} was bought with another request; regenerate=True buys a new one"


def _buy(drawing: Drawing, key: Key, claim: Claim) -> Flow:
    """Return the picture of a claim, and settle or give up the claim."""
    request = key.request
    try:
        earlier = yield from _bought_earlier(drawing, key, claim)
        if earlier is not None:
            result, request = earlier
        else:
            result = yield from _bought_now(drawing, key, claim)
    except ImageGenerationError as error:
        key.note_failure(error)
        yield Do(partial(claim.give_up, drew_nothing=not error.may_be_billed, response_id=error.response_id))
        raise
    except BaseException:  # the caller has gone, or the process ends
        claim.abandon()
        raise
    try:
        yield Do(partial(claim.settle, result.record(), request))
    except ImageStoreError as error:
        result = warned(result, f"the ledger could not note the picture, so the same call may buy it again: {error}")
    return result if request == key.request else warned(result, _by_another_request(key))


def _bought_earlier(drawing: Drawing, key: Key, claim: Claim) -> Generator[Step, Any, tuple[ImageResult, str] | None]:
    """Return the picture of a response that an earlier try of the call has begun, with the digest of that request.

    Raises:
        ImageGenerationError: The service does not say whether there is one, so that nothing can be bought safely.
    """
    for id, request in reversed([*claim.inherited.items()]):
        try:
            result = yield from _fetch(id, drawing)
        except ImageGenerationError as error:
            if key.regenerate and isinstance(error, AuthenticationError):
                continue  # the account may not look, and another picture is wanted anyway
            unknown = after_drawing_began(error)
            unknown.add_note(_NOT_KNOWN.format(id=id))
            raise unknown from error.__cause__
        if result is None:
            continue
        warning = f"an earlier try of this call had begun the picture; it was fetched as response {id!r}"
        result = warned(result.model_copy(update={"from_ledger": True}), warning)
        if request in (None, key.request):
            return result, key.request
        images = tuple(image.model_copy(update={"prompt": None}) for image in result.images)
        return result.model_copy(update={"images": images}), request
    return None


def _bought_now(drawing: Drawing, key: Key, claim: Claim) -> Flow:
    """Return a picture that is bought now, but none if the same run has just failed to and may have been billed."""
    failure = key.failure
    if failure is not None and not claim.inherited:
        failure.add_note(_NOT_SENT_AGAIN)
        raise failure
    return (yield from draw(drawing, claim.note_response))


def _fetch(response_id: str, drawing: Drawing) -> Generator[Step, Any, ImageResult | None]:
    """Return the result of a response; None if the service certainly has no picture of it."""
    try:
        result = yield from fetch_response(response_id, origin_of(drawing), drawing.patience)
    except (NoImageError, ModerationError, CorruptImageError, OptionRefusedError):
        return None
    except ServiceError as error:
        if error.status in _HAS_NO_SUCH_RESPONSE:
            return None
        raise
    return finish_result(drawing, result, {})
