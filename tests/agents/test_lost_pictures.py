"""The middleware where the service does not know a picture: never stored, expired, deleted, or another account's."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage

from langchain_imagegen import ImageGenerationError, ImageGenerationMiddleware
from langchain_imagegen.simulator import Simulator, http_error, server_error
from tests.conversations import SMALL, VERSIONS, Rewriting, called, copies, only_the_last, parts, words

NOT_FOUND = "Item with id '{}' not found."


@pytest.fixture
def talk(talks, request):
    """A conversation that has drawn a fox and an owl, by a model of any `output_version`."""
    started = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=request.param))
    started.say("draw a fox")
    started.say("draw an owl")
    return started


def every_version(test: Any) -> Any:
    """Run the test with a `talk` of each `output_version`."""
    return pytest.mark.parametrize("talk", VERSIONS, indirect=True)(test)


def unstored(talks: Any, version: str, *, by_settings: bool = False, **settings: Any) -> Any:
    """A conversation whose service keeps nothing."""
    model = talks.model(output_version=version, **({} if by_settings else {"store": False}))
    outer = [Rewriting(lambda request: request.override(model_settings={"store": False}))] if by_settings else []
    return talks.start(*outer, ImageGenerationMiddleware(SMALL, **settings), model=model)


# Never stored


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("by_settings", [False, True], ids=["store=False", "model_settings"])
def test_unstored_picture_goes_along_as_bytes(talks, version, by_settings):
    """No image call is ever sent back; the latest picture goes along with the user's message and is what is edited."""
    talk = unstored(talks, version, by_settings=by_settings)
    for asked in ("draw a fox", "draw an owl", "make it winter"):
        talk.say(asked)

    owl = talk.memory.get("2")
    assert [called(request.body["input"]) for request in talk.requests] == [[], [], []]
    assert len(parts(talk.asked)) == 1
    assert f"(Image {owl.handle}:)" in words(talk.asked)
    assert talks.simulator.orders[-1].sources == (owl.read(),)
    assert (owl.stored, talk.requests[-1].body["store"]) == (False, False)


@pytest.mark.parametrize("version", VERSIONS)
def test_unstored_picture_that_is_named(talks, version):
    """The pictures that the user names go along, no others, and they are the parents."""
    talk = unstored(talks, version)
    for asked in ("draw a fox", "draw an owl", "draw a hat"):
        talk.say(asked)
    fox, _, hat = talk.memory
    talk.say(f"edit {fox.handle}: add {hat.handle}")

    assert talks.simulator.orders[-1].sources == (fox.read(), hat.read())
    assert talk.memory.latest.parents == (fox.id, hat.id)


@pytest.mark.parametrize(("carry", "carried"), [(0, 0), (1, 1), (2, 2), (9, 3)])
def test_carry_is_how_many_go_along(talks, carry, carried):
    """So many of the latest pictures go along where the user names none."""
    talk = unstored(talks, "v1", carry=carry)
    for asked in ("draw a fox", "draw an owl", "draw a hat", "hello"):
        talk.say(asked)

    assert len(parts(talk.asked)) == carried


@pytest.mark.parametrize("version", VERSIONS)
def test_unstored_conversation_is_light(talks, version):
    """Ten turns leave no base64 in any checkpoint, and each request carries one picture."""
    talk = unstored(talks, version)
    for turn in range(10):
        talk.say("make it blue" if turn else "draw a fox")

    assert copies(talk.file) == 0
    assert [len(parts(request.body["input"])) for request in talk.requests] == [0] + 9 * [1]


@pytest.mark.parametrize("version", VERSIONS)
def test_unstored_reasoning_is_left_out(talks, version):
    """Reasoning whose picture is not sent does not go back to a service that keeps nothing."""
    talk = talks.start(
        ImageGenerationMiddleware(SMALL), model=talks.model(model="gpt-5", store=False, output_version=version)
    )
    talk.say("draw a fox")
    talk.say("make it winter")

    assert not [item for item in talk.asked if item["type"] == "reasoning"]
    assert len(talks.simulator.orders[-1].sources) == 1


# Lost


@every_version
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
def test_expired_picture_is_sent_as_bytes(talk, talks, streaming):
    """The request is repaired and sent again in the same call; the record remembers, the next turn sends one."""
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
    assert called(talk.asked) == [fox.id, talk.memory.get("3").id]


@every_version
def test_several_expired_pictures(talk, talks):
    """Pictures that are reported lost one by one are left out one by one."""
    for drawn in talk.memory:
        talks.simulator.expire(drawn.id)
    talk.say("make it winter")

    assert [drawn.dead_rungs for drawn in talk.memory] == [("call_id",), ("call_id",), ()]
    assert len(talk.requests) == 5


def test_picture_of_another_account(talks):
    """A conversation that goes on with another key sends the bytes, and from then on one request a turn."""
    keys = iter(["sk-a", "sk-b", "sk-b"])
    change = Rewriting(lambda request: request.override(model=talks.model(api_key=next(keys))))
    talk = talks.start(change, ImageGenerationMiddleware(SMALL))
    for asked in ("draw a fox", "make it winter", "make it night"):
        talk.say(asked)

    assert [len(order.sources) for order in talks.simulator.orders] == [0, 1, 1]
    assert len(talk.requests) == 4


def test_picture_of_another_service(talks):
    """A conversation that goes on at another host sends the bytes at once: the id would mean nothing there."""
    here = talks.simulator.base_url
    hosts = iter([here, here.replace("127.0.0.1", "localhost")])
    change = Rewriting(lambda request: request.override(model=talks.model(base_url=next(hosts))))
    talk = talks.start(change, ImageGenerationMiddleware(SMALL))
    talk.say("draw a fox")
    talk.say("make it winter")

    fox, winter = talk.memory
    assert (fox.provider, winter.provider) == ("127.0.0.1", "localhost")
    assert fox.dead_rungs == ()
    assert [called(request.body["input"]) for request in talk.requests] == [[], []]
    assert talks.simulator.orders[-1].sources == (fox.read(),)


@pytest.mark.parametrize("version", VERSIONS)
def test_lost_reasoning(talks, version):
    """A reasoning item that expired takes its picture's id with it, now and in the next turn."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(model="gpt-5", output_version=version))
    talk.say("draw a fox")
    fox = talk.memory.latest
    talks.simulator.expire(fox.companion_ids[0])
    talk.say("make it winter")
    sent = len(talk.requests)
    talk.say("make it night")

    assert len(fox.companion_ids) == 1
    assert fox.id not in called(talk.asked)
    assert fox.companion_ids[0] not in [item.get("id") for item in talk.asked]
    assert talks.simulator.orders[1].sources == (fox.read(),)
    assert (sent, len(talk.requests)) == (3, 4)


@pytest.mark.parametrize("version", VERSIONS)
def test_trimmed_picture_comes_with_its_reasoning(half, tmp_path, version):
    """A picture by id brings the reasoning item that its service wants beside it, also when trimming dropped both."""
    from tests.conversations import Talks

    with Simulator(reasoning_required=True) as strict:
        talks = Talks(half, strict, tmp_path)
        model = talks.model(model="gpt-5", output_version=version)
        talk = talks.start(only_the_last(), ImageGenerationMiddleware(SMALL), model=model)
        talk.say("draw a fox")
        talk.say(f"edit {talk.handles[0]}: make it winter")
        sources = [len(order.sources) for order in strict.orders]
        talks.close()

    assert sources == [0, 1]
    assert len(talk.requests) == 2
    assert called(talk.asked) == [talk.memory.get("1").id]


@pytest.mark.parametrize("talk", ["v1"], indirect=True)
def test_service_that_names_no_id(talk, talks):
    """An error that does not say which item is lost leaves out all of them, once."""
    talks.simulator.script(http_error(404, message="Item not found."))
    talk.say("make it winter")

    assert called(talk.asked) == []
    assert len(talk.requests) == 4


@pytest.mark.parametrize("talk", ["v1"], indirect=True)
@pytest.mark.parametrize(
    "fault",
    [
        server_error(),
        http_error(401, code="invalid_api_key", message="Incorrect API key provided."),
        http_error(404, code="model_not_found", message="The model 'gpt-5.4' does not exist or is not found."),
        http_error(404, message=NOT_FOUND.format("file-abcdef")),
        http_error(400, message="Previous response with id 'resp_abcdef' not found."),
    ],
    ids=["500", "401", "model", "file", "response"],
)
def test_unrelated_error_is_raised_unchanged(talk, talks, fault):
    """What has nothing to do with earlier pictures comes out as the chat model raised it, after one request."""
    talks.simulator.script(fault)

    with pytest.raises(openai.APIStatusError) as caught:
        talk.say("make it winter")
    assert not isinstance(caught.value, ImageGenerationError)
    assert caught.value.status_code == fault.instead.status
    assert len(talk.requests) == 3


@pytest.mark.parametrize("talk", ["v1"], indirect=True)
def test_repair_ends(talk, talks):
    """A service that goes on saying that something is lost is believed once for each id, then its error is raised."""
    talks.simulator.script(*10 * [http_error(404, message="Item not found.")])

    with pytest.raises(openai.NotFoundError):
        talk.say("make it winter")
    assert len(talk.requests) == 4


@pytest.mark.parametrize("talk", ["v1"], indirect=True)
def test_error_of_a_turn_leaves_the_next_alone(talk, talks):
    """After a turn that failed for good the pictures can still be edited by id."""
    talks.simulator.script(server_error())
    with pytest.raises(openai.InternalServerError):
        talk.say("make it winter")
    talk.say("make it night")

    assert len(called(talk.asked)) == 2
    assert not [message for message in talk.state["messages"][:-1] if isinstance(message, AIMessage) and not message.id]
