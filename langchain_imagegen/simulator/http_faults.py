"""Faults that answer in place of the service: HTTP errors, pages of gateways, and given bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_imagegen.simulator.errors import ApiError
from langchain_imagegen.simulator.faults import CannedAnswer, Fault


def http_error(
    status: int,
    *,
    code: str | None = None,
    message: str = "",
    type: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """Answer with an HTTP error whose body is the service's error object."""
    kind = type or ("server_error" if status >= 500 else "invalid_request_error")
    text = message or f"The simulator was told to answer {status}."
    error = ApiError(status, text, code=code, kind=kind, param=param, headers=headers)
    return _error_fault(f"http_error({status})", error)


def _error_fault(name: str, error: ApiError) -> Fault:
    body = json.dumps({"error": error.detail}).encode()
    return Fault(name, instead=CannedAnswer(body, error.status, headers=tuple(error.headers.items())))


def rate_limited(retry_after: float | None = None) -> Fault:
    """Answer 429 `rate_limit_exceeded`. `retry_after`, in seconds, goes into the header and the message."""
    wait = "" if retry_after is None else f" Please try again in {retry_after:g}s."
    return http_error(
        429,
        code="rate_limit_exceeded",
        type="requests",
        message=f"Rate limit reached for gpt-image-2 (for limit gpt-image): Limit 5, Used 5.{wait}",
        headers=None if retry_after is None else {"retry-after": f"{retry_after:g}"},
    )


def quota_exceeded() -> Fault:
    """Answer 429 `insufficient_quota`. Unlike a rate limit, it does not go away by waiting."""
    message = "You exceeded your current quota, please check your plan and billing details."
    return http_error(429, code="insufficient_quota", type="insufficient_quota", message=message)


def bad_key() -> Fault:
    """Answer 401 `invalid_api_key`."""
    return http_error(401, code="invalid_api_key", message="Incorrect API key provided: sk-***.")


def organization_not_verified() -> Fault:
    """Answer 403 and ask for a verified organization. The service's error code varies, so none is sent."""
    message = (
        "Your organization must be verified to use the model `gpt-image-2`."
        " Please go to the organization settings and click on Verify Organization."
        " If you just verified, it can take up to 15 minutes for access to propagate."
    )
    return http_error(403, message=message)


def server_error(status: int = 500, *, drawn: bool = False) -> Fault:
    """Answer with a 5xx error object, before any work or, with `drawn`, after the picture was made and charged."""
    fault = http_error(status, message="The server had an error while processing your request.")
    return _after_drawing(fault) if drawn else fault


def html_page(status: int = 200, *, drawn: bool = False) -> Fault:
    """Answer with the HTML page of a gateway or proxy in place of the service's answer.

    Args:
        status: HTTP status. A gateway that stops waiting for the service sends 502, 504 or 524.
        drawn: The service got the request, and the picture was made and charged. Otherwise no work was done.
    """
    page = b"<!doctype html><html><body><h1>Simulated gateway page</h1></body></html>"
    fault = Fault("html_page", instead=CannedAnswer(page, status, "text/html; charset=utf-8"))
    return _after_drawing(fault) if drawn else fault


def _after_drawing(fault: Fault) -> Fault:
    """Return the fault with its answer sent after the picture was made, not before."""
    return replace(fault, name=f"{fault.name} after drawing", instead=None, afterwards=fault.instead)


def answer(body: Mapping[str, Any] | str, status: int = 200, content_type: str | None = None) -> Fault:
    """Answer with this body: a mapping is sent as JSON, a text as an event stream, for example from a recording."""
    if isinstance(body, str):
        canned = CannedAnswer(body.encode(), status, content_type or "text/event-stream; charset=utf-8")
    else:
        canned = CannedAnswer(json.dumps(body).encode(), status, content_type or "application/json")
    return Fault("answer", instead=canned)
