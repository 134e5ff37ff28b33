"""Drawing as generator flows: a flow yields steps, receives their values and returns the result.

This module and `ladder` decide what is sent and when it is sent again, once for sync and async. They use no client,
no clock and no file: `runner` runs the steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

from langchain_imagegen.api import images_api, responses
from langchain_imagegen.api.responses import UnfinishedError
from langchain_imagegen.api.service_errors import after_drawing_began
from langchain_imagegen.conversation.references import Remote, Source
from langchain_imagegen.drawing.allowances import within
from langchain_imagegen.drawing.fallbacks import MODEL_ERRORS, first_error, next_model
from langchain_imagegen.drawing.ladder import (
    Drawing,
    Rungs,
    context_of,
    finish_result,
    key_of,
    next_rung,
    origin_of,
    rung_of,
)
from langchain_imagegen.drawing.recovery import can_recover, fetch_linked, fetch_response, recover
from langchain_imagegen.drawing.steps import Call, Do, Flow, Step, Wait
from langchain_imagegen.errors import (
    CorruptImageError,
    ImageGenerationError,
    ImageStoreError,
    NotConnectedError,
    RateLimitError,
    ServiceError,
    UnknownImageError,
)
from langchain_imagegen.options.text import replace_surrogates

LONGEST_WAIT = 120.0  # seconds; if the service asks for a longer wait, its error is raised instead


def draw(drawing: Drawing, note_id: Callable[[str], None] | None = None) -> Flow:
    """Draw or edit with the first image model that can.

    Args:
        drawing: The request.
        note_id: Called with the id of each response as soon as it is known; see `steps.Call`.

    Raises:
        LimitError: A limit of the tool is reached; nothing is sent.
        ImageGenerationError: That of the first model if all failed without drawing anything, else that of the last.
    """
    if drawing.resumed is not None:
        return (yield from fetch_response(drawing.resumed, origin_of(drawing), drawing.patience))
    flow = _draw_with_models(drawing, note_id)
    if drawing.allowance is None:
        return (yield from flow)
    shown = len(drawing.sources) + len(context_of(drawing))
    model = drawing.model if drawing.api == "responses" else None
    facts = {"sources": shown, "prompt": drawing.prompt, "model": model}
    return (yield from within(drawing.allowance, flow, drawing.options, **facts))


def _draw_with_models(drawing: Drawing, note_id: Callable[[str], None] | None) -> Flow:
    """Draw or edit with the first image model that can; see `draw`."""
    failed: list[ImageGenerationError] = []
    while True:
        try:
            return (yield from _draw_with_one_model(drawing, note_id))
        except MODEL_ERRORS as error:
            failed.append(error)
            next_drawing = next_model(drawing, error)
            if next_drawing is None:
                raise first_error(failed) from failed[0].__cause__
            drawing = next_drawing


def _draw_with_one_model(drawing: Drawing, note_id: Callable[[str], None] | None) -> Flow:
    """Draw or edit, naming each source by the first rung that works.

    Raises:
        UnknownImageError: No rung is left for a source. The error lists each rung and why it failed.
    """
    while True:
        call, rungs = yield from _build_call(drawing)
        try:
            result = yield from _send(replace(call, note_id=note_id), drawing)
        except ServiceError as error:
            next_drawing = next_rung(drawing, rungs, error)
            if next_drawing is None:
                raise
            drawing = next_drawing
        except (CorruptImageError, ImageStoreError) as error:
            error.may_be_billed = True  # the picture came in the answer
            raise
        else:
            return finish_result(drawing, result, rungs)


def retry_delay(error: ImageGenerationError, attempt: int, max_wait: float = LONGEST_WAIT) -> float | None:
    """Return the seconds to wait before the request is sent again, or None if the error is not `retryable`.

    It is None too if the service asks for a wait that is longer than `max_wait`.
    """
    if not error.retryable:
        return None
    asked = error.retry_after if isinstance(error, ServiceError) else None
    if asked is None or not 0 <= asked < math.inf or (asked == 0 and not isinstance(error, RateLimitError)):
        return min(0.5 * 2.0**attempt, 8.0)
    return asked if asked <= max_wait else None


def _send(call: Call, drawing: Drawing) -> Flow:
    """Return the result of a call, which is repeated if it certainly drew nothing."""
    attempt = 0
    while True:
        try:
            return (yield from _answer(call, drawing.patience))
        except ImageGenerationError as error:
            if not error.retryable or attempt == drawing.max_retries:
                raise
            delay = retry_delay(error, attempt, drawing.max_wait)
            if delay is None:
                raise _explain_wait(error, drawing.max_wait) from error.__cause__
        yield Wait(delay, idle=True)
        attempt += 1


def _explain_wait(error: ImageGenerationError, max_wait: float) -> ImageGenerationError:
    """Return the error with advice about a wait that is longer than `max_wait`."""
    asked = f"The service asks to wait {getattr(error, 'retry_after', 0):g} seconds"
    error.args = (f"{error} {asked}: try again then, or raise max_wait= (now {max_wait:g}) to wait in the call.",)
    return error


def _answer(call: Call, patience: float) -> Flow:
    """Return the result of one request; an answer that is unfinished or broke off is fetched by its response id."""
    try:
        return (yield from fetch_linked((yield call)))
    except UnfinishedError as error:
        rest = fetch_response(str(error.response_id), call.origin, patience)
    except ImageGenerationError as error:
        if not can_recover(error, call):
            raise
        rest = recover(error, call, patience)
    try:
        return (yield from rest)
    except (ServiceError, NotConnectedError) as error:
        if isinstance(error, ServiceError) and error.status is None:
            raise  # the response itself says that it failed
        raise after_drawing_began(error) from error.__cause__


def _build_call(drawing: Drawing) -> Generator[Step, Any, tuple[Call, Rungs]]:
    """Return the request, and the rung by which it names each source."""
    if drawing.api == "images":
        tool = drawing.options.tool()
        body = images_api.build_body(drawing.prompt, tool, stream=drawing.stream)
        return Call("images", replace_surrogates(body | dict(drawing.model_kwargs)), origin_of(drawing)), {}
    rungs = {key_of(source): rung_of(source, drawing) for source in (*context_of(drawing), *drawing.sources)}
    items = yield from _items(drawing, rungs)
    mask = None
    if drawing.mask is not None:
        mask = responses.mask_field(**(yield from _address(drawing.mask, drawing)))
    body = replace_surrogates(_body(drawing, items, mask, rungs))
    return Call("responses", body, origin_of(drawing)), rungs


def _items(drawing: Drawing, rungs: Rungs) -> Generator[Step, Any, list[responses.Item]]:
    """Return the earlier turns, the pictures in the order in which the prompt counts them, and the prompt."""
    items: list[responses.Item] = [responses.turn(role, text) for role, text in drawing.turns]
    parts: list[responses.Item] = []
    for source in (*context_of(drawing), *drawing.sources):
        rung = rungs[key_of(source)]
        if rung == "call_id":
            items += [responses.user_turn("", parts)] if parts else []
            items += _call_items(source, items)
            parts = []
        elif rung != "response_id":
            parts.append(responses.image_part(**(yield from _address(source, drawing))))
    return [*items, responses.user_turn(drawing.prompt, parts)]


def _body(
    drawing: Drawing, items: Sequence[responses.Item], mask: responses.Item | None, rungs: Rungs
) -> dict[str, Any]:
    chained = next((s.response_id for s in drawing.sources if rungs[key_of(s)] == "response_id"), None)  # type: ignore[union-attr]
    body = responses.build_body(
        model=drawing.model,
        items=items,
        tool=drawing.options.tool(mask),
        tool_choice=drawing.tool_choice,
        previous_response_id=drawing.previous_response_id or chained,
        conversation=drawing.conversation,
        instructions=drawing.instructions,
        store=drawing.store,
        stream=drawing.stream or None,
        background=drawing.background or None,
        reasoning=drawing.reasoning,
    )
    tools = [*body["tools"], *drawing.model_kwargs.get("tools", ())]
    one = {} if drawing.allowance is None else {"max_tool_calls": 1}  # a limited request has the place of one picture
    return {**body, **drawing.model_kwargs, "tools": tools, **one}


def _call_items(source: Source, before: Sequence[responses.Item]) -> list[dict[str, Any]]:
    if isinstance(source, Remote):
        return [{"type": responses.CALL, "id": source.call_id}]
    return responses.call_items(source, [item["id"] for item in before if "id" in item])


def _address(source: Source, drawing: Drawing) -> Generator[Step, Any, dict[str, str | None]]:
    if isinstance(source, Remote):
        return {"url": source.url, "file_id": source.file_id}
    try:
        return {"url": (yield Do(source.sent_data_url))}
    except ImageStoreError as error:
        tried = "; ".join((*drawing.failed, f"bytes: {error}"))
        raise UnknownImageError(
            f"{source.handle} can no longer be edited, every way of naming it failed: {tried}",
            known=[source.handle],
        ) from error
