"""What is sent again, and when: only what certainly drew nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from langchain_imagegen import ImageGenerator
from langchain_imagegen.drawing.flows import retry_delay
from langchain_imagegen.errors import ConnectionLostError, ImageGenerationError, RateLimitError, ServiceError
from langchain_imagegen.simulator import Simulator, html_page, http_error

Make = Callable[..., ImageGenerator]


@pytest.mark.parametrize("status", [500, 502, 503, 504, 524])
def test_a_page_of_a_gateway_is_not_sent_again(status: int, half: Any, low: Make, simulator: Simulator):
    """Behind a gateway's error page a picture may have been drawn: it is asked for once."""
    simulator.script(html_page(status, drawn=True))

    with pytest.raises(ServiceError):
        half.invoke(low(), "draw a fox")
    assert (len(simulator.requests), simulator.pictures) == (1, 1)


@pytest.mark.parametrize("status", [504, 524])
def test_a_gateway_that_gave_up_waiting_is_not_sent_again(status: int, half: Any, low: Make, simulator: Simulator):
    """A timeout of a gateway says nothing about the picture, even as JSON."""
    simulator.script(http_error(status))

    with pytest.raises(ServiceError):
        half.invoke(low(), "draw a fox")
    assert len(simulator.requests) == 1


def test_a_service_that_says_so_is_asked_again(half: Any, low: Make, simulator: Simulator):
    """`x-should-retry: true` is believed whatever the status."""
    simulator.script(http_error(504, headers={"x-should-retry": "true", "retry-after-ms": "5"}))

    assert half.invoke(low(), "draw a fox").image
    assert len(simulator.requests) == 2


def test_a_service_that_is_away_for_an_hour_is_not_waited_for(half: Any, low: Make, simulator: Simulator):
    """`retry-after: 3600` ends the call at once, for a 503 as for a 429."""
    simulator.script(http_error(503, headers={"retry-after": "3600"}))

    with pytest.raises(ServiceError) as caught:
        half.invoke(low(), "draw a fox")
    assert caught.value.retry_after == 3600
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "-inf"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_that_is_no_time_is_passed_over(seconds: str, status: int, half: Any, low: Make, simulator: Simulator):
    """A negative or endless `retry-after` is replaced by a pause of our own."""
    simulator.script(http_error(status, headers={"retry-after": seconds}))

    assert half.invoke(low(), "draw a fox").image
    assert len(simulator.requests) == 2


@pytest.mark.parametrize(
    ("error", "delay"),
    [
        (ServiceError("", status=503, own=True), 0.5),
        (ServiceError("", status=503, own=True, retry_after=120.0), 120.0),
        (ServiceError("", status=503, own=True, retry_after=121.0), None),
        (ServiceError("", status=503, own=True, retry_after=float("nan")), 0.5),
        (ServiceError("", status=503), None),
        (ServiceError("", status=503, own=True, retryable=False), None),
        (RateLimitError("", status=429, retry_after=-1.0), 0.5),
        (RateLimitError("", status=429, retry_after=0.0), 0.0),
        (RateLimitError("", status=None), None),
        (ConnectionLostError("", sent=False), 0.5),
        (ConnectionLostError(""), None),
        (ImageGenerationError(""), None),
    ],
)
def test_the_rule(error: ImageGenerationError, delay: float | None):
    """Each kind of error has its wait, and None if the request may have been paid for."""
    assert retry_delay(error, 0) == delay


def test_a_request_that_never_left_is_not_said_to_be_billed(half: Any, generator: Make):
    """Where nobody listens, nothing can have been drawn, and the error does not say so."""
    with pytest.raises(ConnectionLostError) as caught:
        half.invoke(generator(base_url="http://127.0.0.1:9/v1", max_retries=0), "draw a fox")
    assert caught.value.sent is False
    assert "billed" not in str(caught.value)
