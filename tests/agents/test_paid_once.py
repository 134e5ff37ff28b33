"""Hosted calls through the middleware: a request that may have been paid for is not sent again."""

from __future__ import annotations

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

MAYBE_PAID = {
    "cut": (cut_body(fraction=0.5), {}),
    "cut behind the headers": (cut_body(after_bytes=1), {}),
    "stall": (delay(1.0), {"timeout": 0.3}),
    "stall in the body": (delay(1.0, at="body"), {"timeout": 0.3}),
    "no answer": (refuse_connection(), {}),
    "gateway": (html_page(502, drawn=True), {}),
    "gateway in time": (html_page(504, drawn=True), {}),
    "page of a proxy": (html_page(500, drawn=True), {}),
}


@pytest.mark.parametrize("wire", [False, True], ids=["plain", "wire"])
@pytest.mark.parametrize("name", MAYBE_PAID)
def test_what_may_be_paid_is_sent_once(talks, name, wire):
    """After a cut, a stall or a gateway's page the paid request is not repeated, whatever `max_retries` says."""
    fault, settings = MAYBE_PAID[name]
    talks.simulator.script(fault)
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=wire), model=talks.model(max_retries=2, **settings))

    with pytest.raises(Exception, match=r".+"):
        talk.say("draw a fox")
    assert len(talk.requests) == 1
    assert talks.simulator.pictures <= 1


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
@pytest.mark.parametrize("fault", [server_error(), rate_limited(0.01)], ids=["500", "429"])
def test_what_drew_nothing_is_sent_again(talks, fault, streaming):
    """A rate limit and the service's own error before any work are repeated, and one picture is bought."""
    talks.simulator.script(fault, fault)
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(max_retries=2))
    talk.say("draw a fox", streaming=streaming)

    assert len(talk.requests) == 3
    assert talks.simulator.pictures == len(talk.memory) == 1


def test_retries_end_where_the_user_says(talks):
    """The model's own `max_retries` says how often, and its error is the one that the caller reads."""
    talks.simulator.script(*[server_error()] * 3)
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(max_retries=1))

    with pytest.raises(Exception, match="had an error while processing"):
        talk.say("draw a fox")
    assert len(talk.requests) == 2


def test_a_failed_response_is_not_repeated(talks):
    """A response that says it failed after it had begun is not bought again."""
    talks.simulator.script(failed())
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(max_retries=2))

    with pytest.raises(Exception, match="told to fail"):
        talk.say("draw a fox", streaming=True)
    assert len(talk.requests) == 1


def test_the_users_model_is_not_changed(talks):
    """The middleware makes its calls with a copy; clients, settings and retries of the user's own model stay."""
    model = talks.model(max_retries=2, timeout=7.0)
    clients = model.root_client, model.root_async_client, model.client
    talks.start(ImageGenerationMiddleware(SMALL), model=model).say("draw a fox")
    once = without_retries(RunnableBinding(bound=model, kwargs={"store": True}))

    assert (model.root_client, model.root_async_client, model.client) == clients
    assert retries_of(model) == model.root_client.max_retries == 2
    assert (once.kwargs, retries_of(once), once.bound.root_client.timeout) == ({"store": True}, 0, 7.0)
    assert once.bound.root_client.base_url == model.root_client.base_url
