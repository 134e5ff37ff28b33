"""Retries of hosted calls through the middleware: it never repeats a request that may have been billed."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
from langchain.agents.middleware import ModelRetryMiddleware
from langchain_core.runnables import RunnableBinding
from langgraph.graph import START, StateGraph
from langgraph.types import RetryPolicy

from langchain_imagegen import ImageGenerationMiddleware, retry_on
from langchain_imagegen.agents.chat_models import retries_of
from langchain_imagegen.errors import ConnectionLostError, ImageGenerationError, RateLimitError, ServiceError
from langchain_imagegen.http.clients import without_retries
from langchain_imagegen.simulator import (
    cut_body,
    delay,
    failed,
    html_page,
    http_error,
    nested_error_event,
    rate_limited,
    refuse_connection,
    server_error,
)
from tests.conversations import SMALL
from tests.graphs import THREAD, Gallery

SHORT = {"timeout": httpx2.Timeout(20, read=1.0)}
"""Only an answer that does not come runs out of this time, so that a busy machine fails no other part of a call."""

MAYBE_BILLED = {
    "cut": (cut_body(fraction=0.5), {"store": False}),
    "cut after the headers": (cut_body(after_bytes=1), {}),
    "stall": (delay(30.0), SHORT),
    "stall in the body": (delay(30.0, at="body"), SHORT),
    "no answer": (refuse_connection(), {}),
    "gateway": (html_page(502, drawn=True), {}),
    "gateway timeout": (html_page(504, drawn=True), {}),
    "proxy page": (html_page(500, drawn=True), {}),
}


@pytest.mark.parametrize("wire", [False, True], ids=["plain", "wire"])
@pytest.mark.parametrize("name", MAYBE_BILLED)
def test_request_that_may_be_billed_is_sent_once(talks, name, wire):
    """The middleware does not repeat a request after a cut, a stall or a gateway's page, despite `max_retries=2`."""
    fault, settings = MAYBE_BILLED[name]
    talks.simulator.script(fault)
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=wire), model=talks.model(max_retries=2, **settings))

    with pytest.raises(openai.APIError):
        talk.say("draw a fox")
    assert len(talk.requests) == 1
    assert talks.simulator.pictures <= 1


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
def test_a_cut_answer_is_found_by_its_response_id(talks, generator, half, streaming):
    """With `wire=True` an answer that cannot be fetched now is an error with the response id, which finds it later."""
    talks.simulator.script(cut_body(fraction=0.1))
    talks.simulator.script(http_error(403, message="Not now."), method="GET")
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True), model=talks.model(max_retries=2))

    with pytest.raises(ConnectionLostError) as caught:
        talk.say("draw a fox", streaming=streaming)
    assert half.call(generator(api_key="sk-a"), "resume", caught.value.response_id).image.read()
    assert talks.simulator.pictures == 1


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
@pytest.mark.parametrize("fault", [server_error(), rate_limited(0.01)], ids=["500", "429"])
def test_request_that_drew_nothing_is_repeated(talks, fault, streaming):
    """The middleware repeats a request after a rate limit or the service's own 500, and buys one picture."""
    talks.simulator.script(fault, fault)
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(max_retries=2))
    talk.say("draw a fox", streaming=streaming)

    assert len(talk.requests) == 3
    assert talks.simulator.pictures == len(talk.memory) == 1


def test_max_retries_of_the_model_is_respected(talks):
    """The middleware repeats a request at most `max_retries` times and then raises the model's error."""
    talks.simulator.script(*[server_error()] * 3)
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(max_retries=1))

    with pytest.raises(openai.InternalServerError, match="had an error while processing"):
        talk.say("draw a fox")
    assert len(talk.requests) == 2


def test_a_failed_response_is_not_repeated(talks):
    """The middleware does not repeat a request whose response began and then failed."""
    talks.simulator.script(failed())
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(max_retries=2))

    with pytest.raises(Exception, match="told to fail"):
        talk.say("draw a fox", streaming=True)
    assert len(talk.requests) == 1


@pytest.mark.parametrize("name", MAYBE_BILLED)
@pytest.mark.parametrize("policy", [RetryPolicy(), RetryPolicy(retry_on=retry_on)], ids=["default", "retry_on"])
def test_a_node_with_a_retry_policy_buys_once(talks, half, policy, name):
    """An agent that is a node under a retry policy does not run again after an error that may have been billed."""
    fault, settings = MAYBE_BILLED[name]
    talks.simulator.script(fault)
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(**settings))

    with pytest.raises(ImageGenerationError) as caught:
        half.invoke(as_node(talk.agent, policy), {"messages": "draw a fox"}, config=THREAD)
    assert caught.value.may_be_billed
    assert len(talks.simulator.requests) == 1


@pytest.mark.parametrize("fault", [server_error(), rate_limited(0.01)], ids=["500", "429"])
def test_the_retries_of_others_take_our_errors(talks, half, fault):
    """`retry_on` fits LangGraph's policy and LangChain's `ModelRetryMiddleware` around a hosted call."""
    talks.simulator.script(fault, fault)
    retry = ModelRetryMiddleware(retry_on=retry_on, max_retries=1, initial_delay=0.0, on_failure="error")
    talk = talks.start(retry, ImageGenerationMiddleware(SMALL))
    node = as_node(talk.agent, RetryPolicy(retry_on=retry_on, initial_interval=0.01))
    half.invoke(node, {"messages": "draw a fox"}, config=THREAD)

    assert (len(talks.simulator.requests), talks.simulator.pictures) == (3, 1)


def test_an_error_of_a_hosted_call_is_of_both_classes(talks):
    """Code that expects the SDK's error catches it with its facts, and ours tells what was billed."""
    talks.simulator.script(rate_limited(0.2))
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model())

    with pytest.raises(openai.RateLimitError, match="Rate limit reached") as caught:
        talk.say("draw a fox")
    error: Any = caught.value
    assert isinstance(error, RateLimitError)
    assert (error.status_code, error.status, error.response.status_code) == (429, 429, 429)
    assert (error.retry_after, error.retryable, error.may_be_billed) == (0.2, True, False)
    assert not isinstance(error.__cause__, ImageGenerationError)


def test_a_rate_limit_within_a_hosted_stream_may_be_billed(talks):
    """A picture may have arrived in the stream before, which the chat model does not tell: it is not repeated."""
    talks.simulator.script(nested_error_event("rate_limit_exceeded", "Please try again in 1ms."))
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(max_retries=2))

    with pytest.raises(ServiceError, match="try again in 1ms") as caught:
        talk.say("draw a fox", streaming=True)
    assert not isinstance(caught.value, retry_on)
    assert len(talk.requests) == 1


def as_node(agent: Any, policy: RetryPolicy) -> Any:
    """Return a graph whose one node is the agent, under a retry policy."""
    builder = StateGraph(Gallery)
    builder.add_node("artist", agent, retry_policy=policy)
    builder.add_edge(START, "artist")
    return builder.compile()


def test_the_users_model_is_not_changed(talks):
    """The middleware calls a copy of the user's model and leaves its clients, settings and retries unchanged."""
    model = talks.model(max_retries=2, timeout=7.0)
    clients = model.root_client, model.root_async_client, model.client
    talks.start(ImageGenerationMiddleware(SMALL), model=model).say("draw a fox")
    once = without_retries(RunnableBinding(bound=model, kwargs={"store": True}))

    assert (model.root_client, model.root_async_client, model.client) == clients
    assert retries_of(model) == model.root_client.max_retries == 2
    assert (once.kwargs, retries_of(once), once.bound.root_client.timeout) == ({"store": True}, 0, 7.0)
    assert once.bound.root_client.base_url == model.root_client.base_url
