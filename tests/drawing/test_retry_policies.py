"""LangGraph's and LangChain's own retries and fallbacks around a generator: they never buy a second picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.runnables import Runnable, RunnableLambda
from langgraph.graph import START, StateGraph
from langgraph.types import RetryPolicy
from typing_extensions import TypedDict  # LangGraph builds its own states on this one

from langchain_imagegen import ImageGenerator, retry_on
from langchain_imagegen.errors import ImageGenerationError, drew_nothing
from langchain_imagegen.simulator import (
    Simulator,
    bad_key,
    corrupt_base64,
    cut_body,
    delay,
    failed,
    html_page,
    http_error,
    moderated,
    quota_exceeded,
    rate_limited,
    server_error,
)

Make = Callable[..., ImageGenerator]
FAST = {"initial_interval": 0.01, "jitter": False, "max_attempts": 3}

MAYBE_BILLED = {
    "cut": cut_body(fraction=0.3),
    "stalled": delay(5.0),
    "page of a gateway": html_page(502, drawn=True),
    "failed response": failed(),
    "corrupt picture": corrupt_base64(),
    "refused picture": moderated("output"),
}
CERTAINLY_FREE = {
    "rate limit": rate_limited(0.01),
    "rate limit in the answer": failed("rate_limit_exceeded", "Please try again in 5ms."),
    "service failed": server_error(),
}
USELESS = {
    "refused prompt": moderated("input"),
    "no credit": quota_exceeded(),
    "bad key": bad_key(),
    "invalid request": http_error(400, message="No."),
}


class State(TypedDict):
    """The state of a graph with one drawing node."""

    prompt: str
    handle: str


def graph(policy: RetryPolicy) -> Callable[[ImageGenerator, ImageGenerator], Runnable[Any, Any]]:
    """Return a function that makes a graph whose one node draws under a retry policy."""

    def build(draw: ImageGenerator, other: ImageGenerator) -> Any:
        del other
        node = RunnableLambda(lambda state: state["prompt"]) | draw | (lambda result: {"handle": result.image.handle})
        builder = StateGraph(State)
        builder.add_node("draw", node, retry_policy=policy)
        builder.add_edge(START, "draw")
        return builder.compile()

    return build


def chain(wrap: Callable[[ImageGenerator, ImageGenerator], Any]) -> Callable[..., Runnable[Any, Any]]:
    """Return a function that makes a chain of the wrapped generator, with the same input and output as the graph."""

    def build(draw: ImageGenerator, other: ImageGenerator) -> Any:
        wrapped = wrap(draw, other)
        return (
            RunnableLambda(lambda state: state["prompt"]) | wrapped | (lambda result: {"handle": result.image.handle})
        )

    return build


WAYS: dict[str, Any] = {
    "RetryPolicy": graph(RetryPolicy(retry_on=retry_on, **FAST)),
    "with_retry": chain(
        lambda draw, _: draw.with_retry(retry_if_exception_type=retry_on, wait_exponential_jitter=False)
    ),
    "with_retry by default": chain(lambda draw, _: draw.with_retry(wait_exponential_jitter=False)),
    "with_retry behind bind": chain(lambda draw, _: draw.bind(quality="low").with_retry(wait_exponential_jitter=False)),
    "with_fallbacks": chain(lambda draw, other: draw.with_fallbacks([other])),
    "with_fallbacks behind bind": chain(
        lambda draw, other: draw.bind(quality="low").with_fallbacks([other], exceptions_to_handle=drew_nothing)
    ),
    "with_fallbacks behind with_config": chain(
        lambda draw, other: draw.with_config(tags=["fox"]).with_fallbacks([other], exceptions_to_handle=drew_nothing)
    ),
    "with_retry behind with_fallbacks": chain(
        lambda draw, other: draw.with_fallbacks([other]).with_retry(
            retry_if_exception_type=retry_on, wait_exponential_jitter=False
        )
    ),
}


@pytest.fixture
def run(half: Any, low: Make) -> Callable[..., Any]:
    """Draws in one of the ways, with generators that retry nothing themselves."""

    def drawn(build: Any, **settings: Any) -> Any:
        plain = {"max_retries": 0, "store": False}  # without `store` a cut answer is lost
        draw, other = (low(**{**plain, **settings}) for _ in range(2))
        return half.invoke(build(draw, other), {"prompt": "draw a fox"})

    return drawn


@pytest.mark.parametrize("way", [*WAYS, "RetryPolicy by default"])
@pytest.mark.parametrize("fault", MAYBE_BILLED)
def test_what_may_be_billed_is_bought_once(way: str, fault: str, run: Any, simulator: Simulator):
    """After an error with `.may_be_billed` the request is not sent again, whoever retries."""
    simulator.script(MAYBE_BILLED[fault])

    with pytest.raises(ImageGenerationError) as caught:
        run(WAYS.get(way) or graph(RetryPolicy(**FAST)), timeout=1.0 if fault == "stalled" else 20.0)
    assert caught.value.may_be_billed
    assert len(simulator.requests) == 1
    assert simulator.pictures <= 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", CERTAINLY_FREE)
def test_what_drew_nothing_is_tried_again(way: str, fault: str, run: Any, simulator: Simulator):
    """After an error that is `.retryable` a second request delivers the one picture that is bought."""
    simulator.script(CERTAINLY_FREE[fault])

    assert run(WAYS[way])["handle"].startswith("img_")
    assert (len(simulator.requests), simulator.pictures) == (2, 1)


@pytest.mark.parametrize("way", ["RetryPolicy", "with_retry"])
@pytest.mark.parametrize("fault", USELESS)
def test_what_fails_again_is_not_retried(way: str, fault: str, run: Any, simulator: Simulator):
    """Refused prompts, quota, keys and invalid requests are raised at once: they drew nothing and would fail again."""
    simulator.script(USELESS[fault])

    with pytest.raises(ImageGenerationError) as caught:
        run(WAYS[way])
    assert (caught.value.retryable, caught.value.may_be_billed) == (False, False)
    assert (len(simulator.requests), simulator.pictures) == (1, 0)


def test_a_request_that_never_left_is_retried(half: Any, low: Make, simulator: Simulator):
    """Where nobody listens, LangChain's fallback draws, since nothing can have been bought."""
    nobody = low(base_url="http://127.0.0.1:9/v1", max_retries=0)

    assert half.invoke(nobody.with_fallbacks([low()]), "draw a fox").image
    assert simulator.pictures == 1
