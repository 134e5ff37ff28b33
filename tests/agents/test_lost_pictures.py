"""The middleware when the service cannot find a picture: not stored, expired, deleted, or of another account."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage

from langchain_imagegen import ImageGenerationError, ImageGenerationMiddleware
from langchain_imagegen.simulator import Simulator, http_error, server_error
from tests.conversations import (
    SMALL,
    VERSIONS,
    RequestEditor,
    count_base64,
    image_call_ids,
    image_urls,
    keep_last_message,
    request_text,
)

NOT_FOUND = "Item with id '{}' not found."


@pytest.fixture
def talk(talks, request):
    """Return a conversation that has drawn a fox and an owl, with the `output_version` of the parameter."""
    started = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=request.param))
    started.say("draw a fox")
    started.say("draw an owl")
    return started


def every_version(test: Any) -> Any:
    """Run the test once with a `talk` of each `output_version`."""
    return pytest.mark.parametrize("talk", VERSIONS, indirect=True)(test)


def start_unstored(talks: Any, version: str, *, by_settings: bool = False, **settings: Any) -> Any:
    """Return a conversation with `store=False`, set on the model or in `model_settings` of each request."""
    model = talks.model(output_version=version, **({} if by_settings else {"store": False}))
    outer = [RequestEditor(lambda request: request.override(model_settings={"store": False}))] if by_settings else []
    return talks.start(*outer, ImageGenerationMiddleware(SMALL, **settings), model=model)


# Pictures that the service does not store


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("by_settings", [False, True], ids=["store=False", "model_settings"])
def test_unstored_picture_is_sent_as_bytes(talks, version, by_settings):
    """With `store=False` each request carries the bytes of the latest picture and no image call, and edits it."""
    talk = start_unstored(talks, version, by_settings=by_settings)
    for text in ("draw a fox", "draw an owl", "make it winter"):
        talk.say(text)

    owl = talk.memory.get("2")
    assert [image_call_ids(request.body["input"]) for request in talk.requests] == [[], [], []]
    assert len(image_urls(talk.last_input)) == 1
    assert f"(Image {owl.handle}:)" in request_text(talk.last_input)
    assert talks.simulator.orders[-1].sources == (owl.read(),)
    assert (owl.stored, talk.requests[-1].body["store"]) == (False, False)


@pytest.mark.parametrize("version", VERSIONS)
def test_unstored_pictures_that_the_user_names_are_sent(talks, version):
    """With `store=False` the request carries exactly the pictures that the user names, and records them as parents."""
    talk = start_unstored(talks, version)
    for text in ("draw a fox", "draw an owl", "draw a hat"):
        talk.say(text)
    fox, _, hat = talk.memory
    talk.say(f"edit {fox.handle}: add {hat.handle}")

    assert talks.simulator.orders[-1].sources == (fox.read(), hat.read())
    assert talk.memory.latest.parents == (fox.id, hat.id)


@pytest.mark.parametrize(("carry", "carried"), [(0, 0), (1, 1), (2, 2), (9, 3)])
def test_carry_limits_the_pictures_sent(talks, carry, carried):
    """With `store=False` the request carries the latest `carry` pictures if the user names none."""
    talk = start_unstored(talks, "v1", carry=carry)
    for text in ("draw a fox", "draw an owl", "draw a hat", "hello"):
        talk.say(text)

    assert len(image_urls(talk.last_input)) == carried


@pytest.mark.parametrize("version", VERSIONS)
def test_unstored_conversation_keeps_checkpoints_small(talks, version):
    """With `store=False` ten turns leave no base64 in the checkpoints, and each edit carries one picture."""
    talk = start_unstored(talks, version)
    for turn in range(10):
        talk.say("make it blue" if turn else "draw a fox")

    assert count_base64(talk.file) == 0
    assert [len(image_urls(request.body["input"])) for request in talk.requests] == [0] + 9 * [1]


@pytest.mark.parametrize("version", VERSIONS)
def test_unstored_reasoning_is_not_sent(talks, version):
    """With `store=False` an edit sends no reasoning item of an earlier picture."""
    talk = talks.start(
        ImageGenerationMiddleware(SMALL), model=talks.model(model="gpt-5", store=False, output_version=version)
    )
    talk.say("draw a fox")
    talk.say("make it winter")

    assert not [item for item in talk.last_input if item["type"] == "reasoning"]
    assert len(talks.simulator.orders[-1].sources) == 1


# Pictures that the service has lost


@every_version
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
def test_expired_picture_is_sent_as_bytes(talk, talks, streaming):
    """The middleware resends an expired picture as bytes in the same turn, and the next turn needs no retry."""
    fox, owl = talk.memory
    talks.simulator.expire(owl.id)
    talk.say("make it winter", streaming=streaming)
    repaired = len(talk.requests)
    source = talks.simulator.orders[-1].sources
    talk.say("make it night")

    assert source == (owl.read(),)
    assert talk.memory.get(owl.id).dead_rungs == ("call_id",)
    assert talk.memory.get(fox.id).dead_rungs == ()
    assert (repaired, len(talk.requests)) == (4, 5)
    assert image_call_ids(talk.last_input) == [fox.id, talk.memory.get("3").id]


@every_version
def test_several_expired_pictures_are_dropped_one_by_one(talk, talks):
    """The middleware drops one id after each error about it, until the request succeeds."""
    for drawn in talk.memory:
        talks.simulator.expire(drawn.id)
    talk.say("make it winter")

    assert [drawn.dead_rungs for drawn in talk.memory] == [("call_id",), ("call_id",), ()]
    assert len(talk.requests) == 5


def test_another_account_gets_the_bytes(talks):
    """After the API key changes, the first turn is retried with the bytes and later turns need one request."""
    keys = iter(["sk-a", "sk-b", "sk-b"])
    change = RequestEditor(lambda request: request.override(model=talks.model(api_key=next(keys))))
    talk = talks.start(change, ImageGenerationMiddleware(SMALL))
    for text in ("draw a fox", "make it winter", "make it night"):
        talk.say(text)

    assert [len(order.sources) for order in talks.simulator.orders] == [0, 1, 1]
    assert len(talk.requests) == 4


def test_another_service_gets_the_bytes_at_once(talks):
    """After the host changes, the first request carries the bytes, because the id means nothing there."""
    here = talks.simulator.base_url
    hosts = iter([here, here.replace("127.0.0.1", "localhost")])
    change = RequestEditor(lambda request: request.override(model=talks.model(base_url=next(hosts))))
    talk = talks.start(change, ImageGenerationMiddleware(SMALL))
    talk.say("draw a fox")
    talk.say("make it winter")

    fox, winter = talk.memory
    assert (fox.provider, winter.provider) == ("127.0.0.1", "localhost")
    assert fox.dead_rungs == ()
    assert [image_call_ids(request.body["input"]) for request in talk.requests] == [[], []]
    assert talks.simulator.orders[-1].sources == (fox.read(),)


@pytest.mark.parametrize("version", VERSIONS)
def test_expired_reasoning_drops_the_id_of_its_picture(talks, version):
    """When a reasoning item has expired, this turn and the next send its picture as bytes."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(model="gpt-5", output_version=version))
    talk.say("draw a fox")
    fox = talk.memory.latest
    talks.simulator.expire(fox.companion_ids[0])
    talk.say("make it winter")
    sent = len(talk.requests)
    talk.say("make it night")

    assert len(fox.companion_ids) == 1
    assert fox.id not in image_call_ids(talk.last_input)
    assert fox.companion_ids[0] not in [item.get("id") for item in talk.last_input]
    assert talks.simulator.orders[1].sources == (fox.read(),)
    assert (sent, len(talk.requests)) == (3, 4)


@pytest.mark.parametrize("version", VERSIONS)
def test_trimmed_picture_is_sent_with_its_reasoning(half, tmp_path, version):
    """A trimmed picture is sent by id together with the reasoning item that the service requires."""
    from tests.conversations import Talks

    with Simulator(reasoning_required=True) as strict:
        talks = Talks(half, strict, tmp_path)
        model = talks.model(model="gpt-5", output_version=version)
        talk = talks.start(keep_last_message(), ImageGenerationMiddleware(SMALL), model=model)
        talk.say("draw a fox")
        talk.say(f"edit {talk.handles[0]}: make it winter")
        sources = [len(order.sources) for order in strict.orders]
        talks.close()

    assert sources == [0, 1]
    assert len(talk.requests) == 2
    assert image_call_ids(talk.last_input) == [talk.memory.get("1").id]


@pytest.mark.parametrize("talk", ["v1"], indirect=True)
def test_error_without_an_id_drops_all_ids(talk, talks):
    """After an error that does not name the lost item, the middleware retries once without any id."""
    talks.simulator.script(http_error(404, message="Item not found."))
    talk.say("make it winter")

    assert image_call_ids(talk.last_input) == []
    assert len(talk.requests) == 4


@pytest.mark.parametrize("talk", ["v1"], indirect=True)
@pytest.mark.parametrize(
    "fault",
    [
        http_error(401, code="invalid_api_key", message="Incorrect API key provided."),
        http_error(404, code="model_not_found", message="The model 'gpt-5.4' does not exist or is not found."),
        http_error(404, message=NOT_FOUND.format("file-abcdef")),
        http_error(400, message="Previous response with id 'resp_abcdef' not found."),
    ],
    ids=["401", "model", "file", "response"],
)
def test_unrelated_error_is_raised_unchanged(talk, talks, fault):
    """An error that is not about an earlier picture reaches the caller unchanged after one request."""
    talks.simulator.script(fault)

    with pytest.raises(openai.APIStatusError) as caught:
        talk.say("make it winter")
    assert not isinstance(caught.value, ImageGenerationError)
    assert caught.value.status_code == fault.instead.status
    assert len(talk.requests) == 3


@pytest.mark.parametrize("talk", ["v1"], indirect=True)
def test_repair_gives_up(talk, talks):
    """The middleware raises the service's error when it persists after every id is dropped."""
    talks.simulator.script(*10 * [http_error(404, message="Item not found.")])

    with pytest.raises(openai.NotFoundError):
        talk.say("make it winter")
    assert len(talk.requests) == 4


@pytest.mark.parametrize("talk", ["v1"], indirect=True)
def test_failed_turn_does_not_affect_the_next(talk, talks):
    """After a turn that raised an error, the next turn still sends the earlier pictures by id."""
    talks.simulator.script(server_error())
    with pytest.raises(openai.InternalServerError):
        talk.say("make it winter")
    talk.say("make it night")

    assert len(image_call_ids(talk.last_input)) == 2
    assert not [message for message in talk.state["messages"][:-1] if isinstance(message, AIMessage) and not message.id]
