"""Faults of a single call, as small values for `Simulator.script`. No HTTP and no drawing here.

Each fault acts at one stage: it answers instead of the service or after its work, changes the plan of a
response, spoils the picture, rewrites items or events, or breaks the delivery.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from langchain_imagegen.simulator.errors import USER_ERROR, ApiError, error_detail
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


def unchanged(value: T) -> T:
    """Return the value as it is."""
    return value


@dataclass(frozen=True)
class Canned:
    """A fixed answer, sent as it is."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Delivery:
    """How an answer is delivered. `cut` takes the length of the body and returns how many bytes to send."""

    before_headers: float = 0.0
    before_body: float = 0.0
    cut: Callable[[int], int] | None = None
    refuse: bool = False


@dataclass(frozen=True)
class Fault:
    """One fault, or none. Create it with the functions below."""

    name: str = "nothing"
    instead: Canned | None = None
    afterwards: Canned | None = None
    plan: Callable[[Plan], Plan] = unchanged
    drawn_as: str | None = None
    picture: Callable[[bytes], bytes] = unchanged
    partials: tuple[bytes, ...] = ()
    encoded: Callable[[str], str] = unchanged
    item: Callable[[Event], Event] = unchanged
    events: Callable[[list[Event]], list[Event]] = unchanged
    sent: Callable[[list[Event]], list[Event]] = unchanged
    delivery: Delivery = Delivery()


NOTHING = Fault()


# Answers instead of the service


def http_error(
    status: int,
    *,
    code: str | None = None,
    message: str = "",
    type: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """An HTTP error with the service's error object as its body."""
    kind = type or ("server_error" if status >= 500 else "invalid_request_error")
    text = message or f"The simulator was told to answer {status}."
    error = ApiError(status, text, code=code, kind=kind, param=param, headers=headers)
    return _refused(f"http_error({status})", error)


def _refused(name: str, error: ApiError) -> Fault:
    body = json.dumps({"error": error.detail}).encode()
    return Fault(name, instead=Canned(body, error.status, headers=tuple(error.headers.items())))


def rate_limited(retry_after: float | None = None) -> Fault:
    """429 `rate_limit_exceeded`; `retry_after` in seconds goes into the header and the message."""
    wait = "" if retry_after is None else f" Please try again in {retry_after:g}s."
    return http_error(
        429,
        code="rate_limit_exceeded",
        type="requests",
        message=f"Rate limit reached for gpt-image-2 (for limit gpt-image): Limit 5, Used 5.{wait}",
        headers=None if retry_after is None else {"retry-after": f"{retry_after:g}"},
    )


def quota_exceeded() -> Fault:
    """429 `insufficient_quota`, which waiting does not resolve."""
    message = "You exceeded your current quota, please check your plan and billing details."
    return http_error(429, code="insufficient_quota", type="insufficient_quota", message=message)


def bad_key() -> Fault:
    """401 `invalid_api_key`."""
    return http_error(401, code="invalid_api_key", message="Incorrect API key provided: sk-***.")


def organization_not_verified() -> Fault:
    """403 that asks for a verified organization; its code is unreliable, so there is none."""
    message = (
        "Your organization must be verified to use the model `gpt-image-2`."
        " Please go to the organization settings and click on Verify Organization."
        " If you just verified, it can take up to 15 minutes for access to propagate."
    )
    return http_error(403, message=message)


def server_error(status: int = 500, *, drawn: bool = False) -> Fault:
    """Answer with a 5xx error object: before any work, or with `drawn` after the picture was made and paid."""
    fault = http_error(status, message="The server had an error while processing your request.")
    return _after_drawing(fault) if drawn else fault


def html_page(status: int = 200, *, drawn: bool = False) -> Fault:
    """Answer with the HTML page of a gateway or proxy in place of the service's answer.

    Args:
        status: Of the page, such as 502, 504 or 524 where a gateway gave up waiting.
        drawn: The service received the request, and the picture was made and paid. Otherwise no work was done.
    """
    page = b"<!doctype html><html><body><h1>Simulated gateway page</h1></body></html>"
    fault = Fault("html_page", instead=Canned(page, status, "text/html; charset=utf-8"))
    return _after_drawing(fault) if drawn else fault


def _after_drawing(fault: Fault) -> Fault:
    return replace(fault, name=f"{fault.name} after drawing", instead=None, afterwards=fault.instead)


def answer(body: Mapping[str, Any] | str, status: int = 200, content_type: str | None = None) -> Fault:
    """Serve this body: a mapping as JSON, a text as an event stream (say, a recording)."""
    if isinstance(body, str):
        canned = Canned(body.encode(), status, content_type or "text/event-stream; charset=utf-8")
    else:
        canned = Canned(json.dumps(body).encode(), status, content_type or "application/json")
    return Fault("answer", instead=canned)


# Other plans


def moderated(
    stage: str = "input",
    categories: Sequence[str] = (),
    at: Literal["request", "item", "stream", "response"] = "request",
) -> Fault:
    """The safety system refuses.

    Args:
        stage: `input`, `output` or `unknown`.
        categories: What it names, such as `violence`.
        at: `request`: HTTP 400. `item`: a completed response whose only picture failed. `stream`: an
            `error` event, then `response.failed`. `response`: `response.failed` alone. In JSON both are a
            body of status `failed`.
    """
    detail = _moderation(stage, categories)
    if at == "request":
        return Fault("moderated(request)", instead=Canned(json.dumps({"error": detail}).encode(), 400))
    if at == "item":
        return Fault("moderated(item)", plan=lambda plan: _fail_pictures(plan, detail, keep=0))
    failing = Fault("moderated(response)", plan=lambda plan: _fail(plan, detail))
    if at == "response":
        return failing
    # That the event is nested is a guess; a flat one has no room for the categories.
    return replace(failing, name="moderated(stream)", events=_error_before_end({"error": detail}))


def moderated_beside_good(stage: str = "output", categories: Sequence[str] = ()) -> Fault:
    """Answer with one picture that was made and one that was refused."""
    detail = _moderation(stage, categories)
    return Fault("moderated_beside_good", plan=lambda plan: _fail_pictures(plan, detail, keep=1))


def _moderation(stage: str, categories: Sequence[str]) -> dict[str, Any]:
    violations = f" safety_violations=[{', '.join(categories)}]." if categories else ""
    return error_detail(
        f"Your request was rejected by the safety system.{violations}",
        code="moderation_blocked",
        kind=USER_ERROR,
        moderation={"moderation_stage": stage, "categories": list(categories)},
    )


def _fail_pictures(plan: Plan, detail: Mapping[str, Any], *, keep: int) -> Plan:
    """The first `keep` pictures are made, then one fails."""
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
    """A response that ends `incomplete`, without a picture."""
    return Fault(
        "incomplete",
        plan=lambda plan: replace(plan, pictures=(), calls=(), text=None, status="incomplete", incomplete=reason),
    )


def failed(code: str = "server_error", message: str = "The simulator was told to fail.") -> Fault:
    """`response.failed`, or a JSON body of status `failed`."""
    return Fault("failed", plan=lambda plan: _fail(plan, {"code": code, "message": message}))


def _fail(plan: Plan, error: Mapping[str, Any]) -> Plan:
    return replace(plan, pictures=(), calls=(), text=None, status="failed", error=error)


# Other events


def flat_error_event(code: str = "server_error", message: str = "The simulator was told to fail.") -> Fault:
    """An `error` event with its fields at the top, then `response.failed`; in JSON only the latter."""
    flat = {"code": code, "message": message, "param": None}
    return replace(failed(code, message), name="flat_error_event", events=_error_before_end(flat))


def nested_error_event(code: str = "server_error", message: str = "The simulator was told to fail.") -> Fault:
    """An `error` event with its fields under `error`, then `response.failed`; in JSON only the latter."""
    nested = {"error": error_detail(message, code=code, kind="server_error")}
    return replace(failed(code, message), name="nested_error_event", events=_error_before_end(nested))


def _error_before_end(fields: Mapping[str, Any]) -> Callable[[list[Event]], list[Event]]:
    return lambda events: [*events[:-1], {"type": "error", **fields}, *events[-1:]]


def unknown_event() -> Fault:
    """An event of a type that no client knows, before the picture."""
    return Fault("unknown_event", events=lambda events: _after_start(events, [{"type": "response.simulated.novelty"}]))


def keepalive(events: int = 1) -> Fault:
    """Send this many keepalives before the picture, each as a comment line and as an event."""
    both: list[Event] = [{COMMENT: "keepalive"}, {"type": "keepalive"}]
    return Fault("keepalive", events=lambda stream: _after_start(stream, both * events))


def _after_start(events: list[Event], new: list[Event]) -> list[Event]:
    """Insert events after the opening ones, which are sent before the rest is known."""
    opening = [event for event in events if event["type"] in OPENING]
    return [*opening, *new, *events[len(opening) :]]


# Spoiled pictures


def corrupt_base64() -> Fault:
    """Send base64 of the right length with invalid characters in it."""
    return Fault("corrupt_base64", encoded=lambda text: text[: len(text) // 2] + "!*!*" + text[len(text) // 2 + 4 :])


def shortened_base64() -> Fault:
    """Base64 with its middle replaced by `...`, as some logs and fixtures have it."""
    return Fault("shortened_base64", encoded=lambda text: f"{text[:120]}...{text[-120:]}")


def not_an_image() -> Fault:
    """Send valid base64 of bytes that are not a picture."""
    return Fault("not_an_image", picture=lambda _: b"These bytes are not a picture.")


def mislabelled(format: str) -> Fault:
    """Send a picture in this format, whichever format was requested and is declared."""
    return Fault("mislabelled", drawn_as=format)


def image(data: bytes, partials: Sequence[bytes] = ()) -> Fault:
    """Send `data` as the picture and `partials` as the partial pictures, for example to test 12 MB."""
    return Fault("image", picture=lambda _: data, partials=tuple(partials))


# Broken deliveries


def cut_body(after_bytes: int | None = None, *, fraction: float = 0.5) -> Fault:
    """The connection closes in the middle of the body. The picture was made and, when stored, is kept."""
    limit = (lambda total: int(total * fraction)) if after_bytes is None else (lambda _: after_bytes)
    return Fault("cut_body", delivery=Delivery(cut=limit))


def cut_before_terminal() -> Fault:
    """End the stream cleanly but without its terminal event."""
    return Fault("cut_before_terminal", sent=without_terminal)


def without_terminal(events: list[Event]) -> list[Event]:
    """Return the events without the terminal one."""
    return [event for event in events if event.get("type") not in TERMINAL]


def delay(seconds: float, at: Literal["headers", "body"] = "headers") -> Fault:
    """Delay the finished answer before its headers, or between the headers and the body."""
    if at == "headers":
        return Fault("delay", delivery=Delivery(before_headers=seconds))
    return Fault("delay", delivery=Delivery(before_body=seconds))


def refuse_connection() -> Fault:
    """Close the connection before any byte of an answer, with no work done."""
    return Fault("refuse_connection", delivery=Delivery(refuse=True))
