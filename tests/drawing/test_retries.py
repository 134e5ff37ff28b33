"""When a request is repeated: only after an error that certainly drew no picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from langchain_imagegen import ImageGenerator, retry_on
from langchain_imagegen.drawing.flows import retry_delay
from langchain_imagegen.errors import (
    AuthenticationError,
    ConnectionLostError,
    CorruptImageError,
    GatewayError,
    ImageGenerationError,
    ImageTimeoutError,
    InvalidRequestError,
    ModerationError,
    NoImageError,
    NotConnectedError,
    OptionError,
    QuotaError,
    RateLimitError,
    ServiceError,
    ServiceUnavailableError,
    drew_nothing,
)
from langchain_imagegen.simulator import (
    Simulator,
    bad_key,
    flat_error_event,
    html_page,
    http_error,
    nested_error_event,
    no_image,
    rate_limited,
)
from langchain_imagegen.simulator.faults import NOTHING

Make = Callable[..., ImageGenerator]


@pytest.mark.parametrize("status", [500, 502, 503, 504, 524])
def test_no_retry_after_a_gateway_page(status: int, half: Any, low: Make, simulator: Simulator):
    """A gateway's error page ends the call after one request, since the service may have drawn the picture."""
    simulator.script(html_page(status, drawn=True))

    with pytest.raises(GatewayError):
        half.invoke(low(), "draw a fox")
    assert (len(simulator.requests), simulator.pictures) == (1, 1)


@pytest.mark.parametrize("status", [502, 504, 524])
def test_no_retry_after_a_gateways_json(status: int, half: Any, low: Make, simulator: Simulator):
    """A gateway's failure ends the call after one request, even if its body looks like the service's JSON error."""
    simulator.script(http_error(status))

    with pytest.raises(GatewayError):
        half.invoke(low(), "draw a fox")
    assert len(simulator.requests) == 1


def test_the_service_can_ask_for_a_retry(half: Any, low: Make, simulator: Simulator):
    """A response with `x-should-retry: true` is retried whatever its status."""
    simulator.script(http_error(504, headers={"x-should-retry": "true", "retry-after-ms": "5"}))

    assert half.invoke(low(), "draw a fox").image
    assert len(simulator.requests) == 2


def test_no_retry_if_the_service_asks_for_an_hour(half: Any, low: Make, simulator: Simulator):
    """A 503 with `retry-after: 3600` raises its error at once instead of waiting."""
    simulator.script(http_error(503, headers={"retry-after": "3600"}))

    with pytest.raises(ServiceUnavailableError) as caught:
        half.invoke(low(), "draw a fox")
    assert caught.value.retry_after == 3600
    assert "asks to wait 3600 seconds" in str(caught.value)
    assert "raise max_wait= (now 120)" in str(caught.value)
    assert len(simulator.requests) == 1


@pytest.mark.parametrize(("max_wait", "requests"), [(0.01, 1), (0.1, 2)])
def test_max_wait(max_wait: float, requests: int, half: Any, low: Make, simulator: Simulator):
    """A wait that the service asks for is taken up to `max_wait`, and a longer one raises at once."""
    simulator.script(rate_limited(0.05), no_image("No."))

    with pytest.raises(ImageGenerationError):
        half.invoke(low(max_wait=max_wait), "draw a fox")
    assert len(simulator.requests) == requests


def test_max_wait_does_not_end_our_own_pauses(half: Any, low: Make, simulator: Simulator):
    """`max_wait=0` refuses waits that the service asks for; a failed connection is still retried."""
    simulator.script(http_error(503))

    assert half.invoke(low(max_wait=0), "draw a fox").image


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_an_impossible_max_wait_is_refused(value: float):
    """A negative or endless `max_wait` is an `OptionError` that names it."""
    with pytest.raises(OptionError, match="max_wait"):
        ImageGenerator(max_wait=value)


@pytest.mark.parametrize("event", [flat_error_event, nested_error_event])
@pytest.mark.parametrize("delivery", ["direct", "stream"])
def test_a_rate_limit_within_a_stream_is_waited_out(
    event: Any, delivery: str, half: Any, low: Make, simulator: Simulator
):
    """A rate limit that arrives after the status 200 is retried after the delay in its message."""
    simulator.script(event("rate_limit_exceeded", "Rate limit reached for gpt-image-2. Please try again in 46ms."))

    assert half.invoke(low(delivery=delivery), "draw a fox").image
    assert (len(simulator.requests), simulator.pictures) == (2, 1)


def test_a_rate_limit_after_a_partial_picture_is_not_retried(half: Any, low: Make, simulator: Simulator):
    """Once a part of a picture has arrived, a rate limit may come after the bill: nothing is sent again."""
    limited = {"type": "error", "code": "rate_limit_exceeded", "message": "Please try again in 1ms.", "param": None}
    simulator.script(replace(NOTHING, events=lambda events: [*until_partial(events), limited]))

    with pytest.raises(ServiceError, match="try again in 1ms") as caught:
        half.stream(low(), "draw a fox", partial_images=2)
    assert (caught.value.may_be_billed, isinstance(caught.value, retry_on)) == (True, False)
    assert (len(simulator.requests), simulator.pictures) == (1, 1)


@pytest.mark.parametrize("fault", [bad_key(), http_error(404, message="No such response.")], ids=["401", "404"])
def test_an_error_while_polling_may_be_billed(fault: Any, half: Any, low: Make, simulator: Simulator):
    """Once a background response was accepted, an error of a later GET says nothing about its picture."""
    simulator.script(fault, method="GET")

    with pytest.raises(ServiceError) as caught:
        half.invoke(low(delivery="background"), "draw a fox")
    assert (caught.value.may_be_billed, isinstance(caught.value, drew_nothing)) == (True, False)
    assert [request.method for request in simulator.requests] == ["POST", "GET"]


def until_partial(events: list[Any]) -> list[Any]:
    """Return the events up to the first partial picture."""
    first = next(number for number, event in enumerate(events) if event["type"].endswith("partial_image"))
    return events[: first + 1]


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "-inf"])
@pytest.mark.parametrize("status", [429, 503])
def test_an_impossible_retry_after_is_ignored(seconds: str, status: int, half: Any, low: Make, simulator: Simulator):
    """A `retry-after` that is negative, infinite or NaN is replaced by our own backoff."""
    simulator.script(http_error(status, headers={"retry-after": seconds}))

    assert half.invoke(low(), "draw a fox").image
    assert len(simulator.requests) == 2


@pytest.mark.parametrize(
    ("error", "attempt", "delay"),
    [
        (RateLimitError("", status=429, retry_after=7), 0, 7),
        (RateLimitError("", status=429, retry_after=0), 0, 0),
        (RateLimitError("", status=429, retry_after=-1), 0, 0.5),
        (RateLimitError("", status=429, retry_after=120), 0, 120),
        (RateLimitError("", status=429, retry_after=121), 0, None),
        (RateLimitError("", status=429), 0, 0.5),
        (RateLimitError("", status=429), 2, 2),
        (RateLimitError("", status=429), 9, 8),
        (RateLimitError(""), 0, 0.5),
        (RateLimitError("", retry_after=0.467), 0, 0.467),
        (ServiceUnavailableError("", status=500), 1, 1),
        (ServiceUnavailableError("", status=503), 0, 0.5),
        (ServiceUnavailableError("", status=503, retry_after=0), 0, 0.5),
        (ServiceUnavailableError("", status=503, retry_after=3), 0, 3),
        (ServiceUnavailableError("", status=503, retry_after=120), 0, 120),
        (ServiceUnavailableError("", status=503, retry_after=121), 0, None),
        (ServiceUnavailableError("", status=503, retry_after=float("nan")), 0, 0.5),
        (ServiceUnavailableError("", status=503, retry_after=float("inf")), 0, 0.5),
        (GatewayError("", status=503, retry_after=3), 0, None),
        (InvalidRequestError("", status=400), 0, None),
        (ServiceError("", status=503, own=True), 0, None),
        (ServiceError(""), 0, None),
        (QuotaError("", status=429), 0, None),
        (AuthenticationError("", status=401), 0, None),
        (NotConnectedError(""), 0, 0.5),
        (ConnectionLostError(""), 0, None),
        (ImageTimeoutError(""), 0, None),
        (ModerationError(""), 0, None),
        (NoImageError(""), 0, None),
        (CorruptImageError(""), 0, None),
        (OptionError(""), 0, None),
        (ImageGenerationError(""), 0, None),
    ],
)
def test_retry_delay(error: ImageGenerationError, attempt: int, delay: float | None):
    """`retry_delay` returns the wait in seconds, or None if the request may have been billed or cannot succeed."""
    assert retry_delay(error, attempt) == delay
