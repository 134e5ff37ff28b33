"""Faults that affect a single request, as values for `Simulator.script`. No HTTP and no drawing here.

Each fault acts at one stage: it replaces the service's answer, before or after the picture is made,
changes the plan of a response, spoils the picture, rewrites items or events, or breaks the delivery.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from langchain_imagegen.simulator.errors import USER_ERROR, error_detail
from langchain_imagegen.simulator.plans import Plan

Event = dict[str, Any]
T = TypeVar("T")

COMMENT = "comment"
OPENING = ("response.created", "response.queued", "response.in_progress")
TERMINAL = frozenset(
    {
        "response.completed",
        "response.failed",
        "response.incomplete",
        "image_generation.completed",
        "image_edit.completed",
    }
)


def identity(value: T) -> T:
    """Return the value as it is."""
    return value


@dataclass(frozen=True)
class CannedAnswer:
    """An HTTP answer that is sent in place of the service's own."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Delivery:
    """How an answer is sent.

    Attributes:
        before_headers, before_body: Delays in seconds.
        cut: Takes the length of the body and returns how many bytes to send. The connection then breaks.
        refuse: Close the connection without an answer and without any work.
        compress: Send the body with gzip.
        chunk: Send the body in chunks of this many bytes.
        chunked: How many bytes of the body are sent so; the rest follows as usual. `None`: all.
        declare: Takes the length of the body and returns the `content-length` to send in place of chunks.
    """

    before_headers: float = 0.0
    before_body: float = 0.0
    cut: Callable[[int], int] | None = None
    refuse: bool = False
    compress: bool = False
    chunk: int | None = None
    chunked: int | None = None
    declare: Callable[[int], int] | None = None


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request. Create it with the functions of this module, `http_faults` or `dialects`.

    Attributes:
        instead: Answer to send before any work is done.
        afterwards: Answer to send after the picture was made, in place of the service's own.
        plan, item, events: Change the plan, each image item, and the events that are numbered and stored.
        drawn_as: Image format to draw in, whatever the item declares.
        picture, encoded: Change the bytes of the picture, and the base64 that is sent.
        partials: Bytes of the partial pictures.
        sent: Changes the events that this client gets. The stored events stay.
        delivery: How the bytes of the answer are sent.
    """

    name: str = "nothing"
    instead: CannedAnswer | None = None
    afterwards: CannedAnswer | None = None
    plan: Callable[[Plan], Plan] = identity
    drawn_as: str | None = None
    picture: Callable[[bytes], bytes] = identity
    partials: tuple[bytes, ...] = ()
    encoded: Callable[[str], str] = identity
    item: Callable[[Event], Event] = identity
    events: Callable[[list[Event]], list[Event]] = identity
    sent: Callable[[list[Event]], list[Event]] = identity
    delivery: Delivery = Delivery()


NOTHING = Fault()


# Changed plans


def moderated(
    stage: str = "input",
    categories: Sequence[str] = (),
    at: Literal["request", "item", "stream", "response"] = "request",
) -> Fault:
    """Let the safety system reject the request or its picture.

    Args:
        stage: Where the check failed: `input`, `output` or `unknown`.
        categories: Violated categories, such as `violence`.
        at: `request`: HTTP 400. `item`: a completed response with one failed picture. `response`: a failed
            response. `stream`: a failed response whose stream has an `error` event before the last event.
    """
    detail = _moderation_detail(stage, categories)
    if at == "request":
        return Fault("moderated(request)", instead=CannedAnswer(json.dumps({"error": detail}).encode(), 400))
    if at == "item":
        return Fault("moderated(item)", plan=lambda plan: _plan_with_failed_picture(plan, detail, keep=0))
    failing = Fault("moderated(response)", plan=lambda plan: _failed_plan(plan, detail))
    if at == "response":
        return failing
    # A guess: the event is nested, because a flat one has no field for the categories.
    return replace(failing, name="moderated(stream)", events=_add_error_before_end({"error": detail}))


def moderated_beside_good(stage: str = "output", categories: Sequence[str] = ()) -> Fault:
    """Complete the response with one good picture and one that the safety system rejected."""
    detail = _moderation_detail(stage, categories)
    return Fault("moderated_beside_good", plan=lambda plan: _plan_with_failed_picture(plan, detail, keep=1))


def _moderation_detail(stage: str, categories: Sequence[str]) -> dict[str, Any]:
    violations = f" safety_violations=[{', '.join(categories)}]." if categories else ""
    return error_detail(
        f"Your request was rejected by the safety system.{violations}",
        code="moderation_blocked",
        kind=USER_ERROR,
        moderation={"moderation_stage": stage, "categories": list(categories)},
    )


def _plan_with_failed_picture(plan: Plan, detail: Mapping[str, Any], *, keep: int) -> Plan:
    """Return a plan that makes the first `keep` pictures and then fails one. A plan without pictures stays as it is."""
    if not plan.pictures:
        return plan
    failing = replace(plan.pictures[0], error=detail)
    return replace(plan, pictures=(*plan.pictures[:keep], failing))


def refusal(text: str, part: Literal["output_text", "refusal"] = "output_text") -> Fault:
    """Complete the response with a refusal, as ordinary text or as a `refusal` part."""
    if part == "output_text":
        return no_image(text)
    return Fault("refusal", plan=lambda plan: replace(plan, pictures=(), calls=(), text=None, refusal=text))


def no_image(text: str) -> Fault:
    """Complete the response with text and no picture."""
    return Fault("no_image", plan=lambda plan: replace(plan, pictures=(), calls=(), text=text))


def incomplete(reason: str = "max_output_tokens") -> Fault:
    """End the response as `incomplete`, without a picture."""
    return Fault(
        "incomplete",
        plan=lambda plan: replace(plan, pictures=(), calls=(), text=None, status="incomplete", incomplete=reason),
    )


def failed(code: str = "server_error", message: str = "The simulator was told to fail.") -> Fault:
    """End the response as `failed`: with the event `response.failed`, or as a JSON body with that status."""
    return Fault("failed", plan=lambda plan: _failed_plan(plan, {"code": code, "message": message}))


def _failed_plan(plan: Plan, error: Mapping[str, Any]) -> Plan:
    return replace(plan, pictures=(), calls=(), text=None, status="failed", error=error)


# Changed events


def flat_error_event(code: str = "server_error", message: str = "The simulator was told to fail.") -> Fault:
    """Send an `error` event with its fields at the top level, then `response.failed`.

    An answer without a stream is a JSON body with the status `failed`.
    """
    flat = {"code": code, "message": message, "param": None}
    return replace(failed(code, message), name="flat_error_event", events=_add_error_before_end(flat))


def nested_error_event(code: str = "server_error", message: str = "The simulator was told to fail.") -> Fault:
    """Send an `error` event with its fields under `error`, then `response.failed`.

    An answer without a stream is a JSON body with the status `failed`.
    """
    nested = {"error": error_detail(message, code=code, kind="server_error")}
    return replace(failed(code, message), name="nested_error_event", events=_add_error_before_end(nested))


def _add_error_before_end(fields: Mapping[str, Any]) -> Callable[[list[Event]], list[Event]]:
    return lambda events: [*events[:-1], {"type": "error", **fields}, *events[-1:]]


def unknown_event() -> Fault:
    """Send an event of an unknown type before the picture."""
    return Fault(
        "unknown_event", events=lambda events: _add_after_start(events, [{"type": "response.simulated.novelty"}])
    )


def keepalive(events: int = 1) -> Fault:
    """Send this many keepalives before the picture, each as a comment line and as an event."""
    both: list[Event] = [{COMMENT: "keepalive"}, {"type": "keepalive"}]
    return Fault("keepalive", events=lambda stream: _add_after_start(stream, both * events))


def _add_after_start(events: list[Event], new: list[Event]) -> list[Event]:
    """Return the events with `new` after the opening ones. Those are sent before the others exist."""
    opening = [event for event in events if event["type"] in OPENING]
    return [*opening, *new, *events[len(opening) :]]


# Spoiled pictures


def corrupt_base64() -> Fault:
    """Send base64 that has the right length but contains invalid characters."""
    return Fault("corrupt_base64", encoded=lambda text: text[: len(text) // 2] + "!*!*" + text[len(text) // 2 + 4 :])


def shortened_base64() -> Fault:
    """Send base64 whose middle is replaced by `...`, as in some logs and fixtures."""
    return Fault("shortened_base64", encoded=lambda text: f"{text[:120]}...{text[-120:]}")


def not_an_image() -> Fault:
    """Send valid base64 whose bytes are not a picture."""
    return Fault("not_an_image", picture=lambda _: b"These bytes are not a picture.")


def mislabelled(format: str) -> Fault:
    """Send a picture in this format, but declare the requested format."""
    return Fault("mislabelled", drawn_as=format)


def image(data: bytes, partials: Sequence[bytes] = ()) -> Fault:
    """Send `data` as the picture and `partials` as its partial pictures, for example to test a picture of 12 MB."""
    return Fault("image", picture=lambda _: data, partials=tuple(partials))


# Broken deliveries


def cut_body(after_bytes: int | None = None, *, fraction: float = 0.5) -> Fault:
    """Close the connection within the body. The picture was made, and a stored response can still be retrieved."""
    limit = (lambda total: int(total * fraction)) if after_bytes is None else (lambda _: after_bytes)
    return Fault("cut_body", delivery=Delivery(cut=limit))


def cut_before_terminal() -> Fault:
    """End the stream cleanly, but without its last event."""
    return Fault("cut_before_terminal", sent=drop_terminal)


def drop_terminal(events: list[Event]) -> list[Event]:
    """Return the events without the one that ends the stream."""
    return [event for event in events if event.get("type") not in TERMINAL]


def delay(seconds: float, at: Literal["headers", "body"] = "headers") -> Fault:
    """Make the picture, then wait before sending the headers, or between headers and body."""
    if at == "headers":
        return Fault("delay", delivery=Delivery(before_headers=seconds))
    return Fault("delay", delivery=Delivery(before_body=seconds))


def refuse_connection() -> Fault:
    """Close the connection before the answer starts. No work was done."""
    return Fault("refuse_connection", delivery=Delivery(refuse=True))


def gzipped() -> Fault:
    """Send the answer compressed with gzip."""
    return Fault("gzipped", delivery=Delivery(compress=True))


def small_chunks(size: int = 1, *, first: int | None = None) -> Fault:
    """Send the answer in chunks of this many bytes: all of it, or its first bytes only."""
    return Fault("small_chunks", delivery=Delivery(chunk=size, chunked=first))


def wrong_length(more: int) -> Fault:
    """Declare a `content-length` that is this many bytes more, or less, than the body has."""
    return Fault("wrong_length", delivery=Delivery(declare=lambda total: total + more))
