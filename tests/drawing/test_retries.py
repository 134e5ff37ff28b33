"""When a request is repeated: only after an error that certainly drew no picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from langchain_imagegen import ImageGenerator
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
)
from langchain_imagegen.simulator import Simulator, html_page, http_error

Make = Callable[..., ImageGenerator]


@pytest.mark.parametrize("status", [500, 502, 503, 504, 524])
def test_no_retry_after_a_gateway_page(status: int, half: Any, low: Make, simulator: Simulator):
    """A gateway's error page ends the call after one request, since the service may have drawn the picture."""
    simulator.script(html_page(status, drawn=True))

    with pytest.raises(GatewayError):
        half.invoke(low(), "draw a fox")
    assert (len(simulator.requests), simulator.pictures) == (1, 1)


@pytest.mark.parametrize("status", [504, 524])
def test_no_retry_after_a_gateway_timeout(status: int, half: Any, low: Make, simulator: Simulator):
    """A gateway's timeout ends the call after one request, even if its body is the service's JSON error."""
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
    assert len(simulator.requests) == 1


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
