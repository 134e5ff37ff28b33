"""Retries of hosted calls through the middleware: it never repeats a request that may have been billed."""

from __future__ import annotations

import openai
import pytest
from langchain_core.runnables import RunnableBinding

from langchain_imagegen import ImageGenerationMiddleware
from langchain_imagegen.agents.middleware import retries_of
from langchain_imagegen.http.clients import without_retries
from langchain_imagegen.simulator import (
    cut_body,
    delay,
    failed,
    html_page,
    rate_limited,
    refuse_connection,
    server_error,
)
from tests.conversations import SMALL

MAYBE_BILLED = {
    "cut": (cut_body(fraction=0.5), {}),
    "cut after the headers": (cut_body(after_bytes=1), {}),
    "stall": (delay(1.0), {"timeout": 0.3}),
    "stall in the body": (delay(1.0, at="body"), {"timeout": 0.3}),
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
