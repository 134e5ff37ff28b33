"""Hosted calls with `wire=True` whose answer breaks off: it is fetched again, or its whole pictures are delivered."""

from __future__ import annotations

import json

import openai
import pytest
from langchain_core.messages import AIMessage

from langchain_imagegen import ImageGenerationMiddleware, images_from
from langchain_imagegen.conversation.messages import hosted_items
from langchain_imagegen.errors import ConnectionLostError, ModerationError
from langchain_imagegen.simulator import Fault, answer, http_error, server_error
from langchain_imagegen.simulator.faults import Delivery
from tests.conversations import SMALL, VERSIONS, count_base64, image_call_ids, photo, to_base64
from tests.loopback import JSON, SSE, serving


def cut(before_end: int) -> Fault:
    """Return a fault that closes the connection `before_end` bytes before the end of the body."""
    return Fault("cut", delivery=Delivery(cut=lambda total: total - before_end))


plain_and_streaming = pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])

BROKEN = {
    "answer": (cut(20), False),
    "stream, last event": (cut(20), True),
    "stream, second copy": (cut(40_000), True),
}


WARNINGS = {True: "the answer broke off; it was fetched again as response 'resp_", False: "its picture had arrived: "}


@pytest.mark.parametrize("kept", WARNINGS, ids=["kept", "not kept"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", BROKEN)
def test_broken_answer_delivers_its_picture(talks, caplog, name, version, kept):
    """The agent answers with the picture and a warning, buys it once, and keeps base64 out of the checkpoints."""
    fault, streaming = BROKEN[name]
    talks.simulator.script(fault)
    model = talks.model(output_version=version, max_retries=2, store=kept)
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True), model=model)
    talk.say("draw a fox", streaming=streaming)

    fox = talk.memory.latest
    [answer] = [message for message in talk.state["messages"] if isinstance(message, AIMessage)]
    assert (talks.simulator.pictures, len(talk.requests), len(talk.memory)) == (1, 1, 1)
    assert (fox.id[:3], fox.width, fox.prompt) == ("ig_", 816, "draw a fox")
    assert fox.read().startswith(b"\x89PNG")
    assert count_base64(talk.file) == 0
    assert WARNINGS[kept] in answer.response_metadata["warnings"][0]
    assert WARNINGS[kept] in caplog.text


@pytest.mark.parametrize("version", VERSIONS)
@plain_and_streaming
def test_picture_of_a_broken_answer_can_be_edited(talks, version, streaming):
    """The next turn edits a picture of a broken answer by its id."""
    talks.simulator.script(cut(20))
    model = talks.model(output_version=version)
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True), model=model)
    talk.say("draw a fox", streaming=streaming)
    talk.say("make it winter", streaming=streaming)

    fox, _ = talk.memory
    assert image_call_ids(talk.last_input) == [fox.id]
    assert talks.simulator.orders[-1].sources == (fox.read(),)


def test_broken_answer_delivers_every_picture(talks):
    """A broken answer delivers each of its two complete pictures once."""
    talks.simulator.script(cut(20))
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True))
    talk.say("draw two pictures of a fox", streaming=True)

    assert len(talk.memory) == len({image.sha256 for image in talk.memory}) == talks.simulator.pictures == 2


def half(*, streaming: bool) -> Fault:
    """Return a fault that closes the connection within the only or the partial picture."""
    return Fault("cut", delivery=Delivery(cut=lambda total: total // (8 if streaming else 2)))


@plain_and_streaming
def test_half_a_picture_that_is_not_kept_is_an_error(talks, streaming, own_folder):
    """A picture that breaks off and is not kept raises an error after one request and leaves no file."""
    talks.simulator.script(half(streaming=streaming))
    model = talks.model(max_retries=2, store=False)
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True), model=model)

    with pytest.raises(openai.APIConnectionError):
        talk.say("draw a fox", streaming=streaming)
    assert len(talk.requests) == 1
    assert not [file for file in own_folder.rglob("*") if file.is_file()]


@pytest.mark.parametrize("version", VERSIONS)
@plain_and_streaming
def test_answer_that_is_fetched_again_is_the_answer(talks, streaming, version):
    """An answer fetched after a break within its picture is like a whole one: items, text, usage, and edits by id."""
    talk = talks.start(
        ImageGenerationMiddleware(SMALL, wire=True), model=talks.model(output_version=version, max_retries=2)
    )
    whole = talk.say("draw a fox", thread="whole", streaming=streaming)["messages"][-1]
    talks.simulator.script(half(streaming=streaming))
    fetched = talk.say("draw a fox", streaming=streaming)["messages"][-1]

    assert talks.simulator.pictures == len(talk.requests) == 2
    assert (fetched.text, fetched.usage_metadata) == (whole.text, whole.usage_metadata)
    assert [item["type"] for item in hosted_items(fetched)] == [item["type"] for item in hosted_items(whole)]
    assert talk.memory.latest.prompt == "draw a fox"
    talk.say("make it winter", streaming=streaming)
    assert image_call_ids(talk.last_input) == [talk.memory[0].id]


def unfinished(polls: int) -> list[Fault]:
    """Return faults that make a kept response look as if the service was still drawing for so many requests."""
    body = {"id": "resp_1", "object": "response", "created_at": 1, "status": "in_progress", "output": [], "tools": []}
    return [answer({**body, "model": "gpt-5.4", "parallel_tool_calls": True, "tool_choice": "auto"})] * polls


def test_answer_that_breaks_off_while_the_service_draws(talks):
    """A stream that ends properly before its pictures is fetched until both pictures are drawn."""
    talks.simulator.script(Fault("cut", sent=lambda events: events[:2]))
    talks.simulator.script(*unfinished(2), method="GET")
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True))
    talk.say("draw two pictures of a fox", streaming=True)

    assert (talks.simulator.pictures, len(talk.memory), len(talk.requests)) == (2, 2, 1)


@plain_and_streaming
def test_answer_that_cannot_be_fetched_names_its_response(talks, streaming):
    """If the service has lost the response, the error says so, has its id, and nothing is asked for twice."""
    talks.simulator.script(half(streaming=streaming))
    talks.simulator.script(http_error(404, message="Response not found."), method="GET")
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True), model=talks.model(max_retries=2))

    with pytest.raises(ConnectionLostError) as caught:
        talk.say("draw a fox", streaming=streaming)
    assert caught.value.response_id.startswith("resp_")
    assert len(talk.requests) == 1


def test_answer_is_fetched_over_a_bad_network(talks):
    """Fetching goes on after a lost connection and a 500, since it costs nothing."""
    talks.simulator.script(half(streaming=False))
    talks.simulator.script(cut(200), server_error(500), method="GET")
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True))
    talk.say("draw a fox")

    assert (talks.simulator.pictures, len(talk.memory), len(talk.requests)) == (1, 1, 1)


ERROR = {"message": "The server had an error.", "param": None}
NESTED = {"type": "error", "error": {**ERROR, "type": "server_error", "code": None}}
FLAT = {**ERROR, "type": "error", "code": "server_error"}


@pytest.mark.parametrize("error", [NESTED, FLAT], ids=["nested", "flat"])
def test_error_after_the_picture_delivers_it(talks, error):
    """A stream that ends in an error of the service after a picture delivers that picture."""
    talks.simulator.script(Fault("late error", sent=lambda events: [*events[:-1], error]))
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True), model=talks.model(max_retries=2))
    talk.say("draw a fox", streaming=True)

    assert (talks.simulator.pictures, len(talk.memory), len(talk.requests)) == (1, 1, 1)


def test_refusal_after_the_picture_is_an_error(talks):
    """A stream that ends in a refusal of the safety system raises `ModerationError` and delivers no picture."""
    detail = {"message": "Your request was rejected by the safety system.", "code": "moderation_blocked"}
    refusal = {"type": "error", "error": {**detail, "type": "image_generation_user_error"}}
    talks.simulator.script(Fault("late refusal", sent=lambda events: [*events[:-1], refusal]))
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True))

    with pytest.raises(ModerationError):
        talk.say("draw a fox", streaming=True)
    assert not talk.state.get("generated_images")


CALL = {"type": "image_generation_call", "id": "ig_1", "status": "completed"}


def events(*, result: str) -> bytes:
    """Return a stream up to its finished picture; its last event is whole."""
    started = {"id": "resp_1", "object": "response", "created_at": 1, "status": "in_progress", "model": "gpt-5.4"}
    done = {**CALL, "result": result}
    sent = [
        {"type": "response.created", "sequence_number": 0, "response": {**started, "output": [], "tools": []}},
        {"type": "response.output_item.done", "sequence_number": 1, "output_index": 0, "item": done},
    ]
    return b"".join(b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps(each).encode()) for each in sent)


def document(*, result: str) -> bytes:
    """Return a JSON answer up to its finished picture."""
    body = json.dumps({"id": "resp_1", "object": "response", "output": [{**CALL, "result": result}]})
    return body[: -len("]}")].encode()


KINDS = {"plain": (document, JSON), "streaming": (events, SSE)}


@pytest.mark.parametrize("kind", KINDS)
def test_stalled_answer_delivers_its_picture(talks, kind):
    """An answer that stalls after its picture delivers that picture when the timeout expires."""
    begin, content_type = KINDS[kind]
    data = photo()
    with serving([begin(result=to_base64(data)), 30.0], content_type) as server:
        model = talks.model(base_url=server.base_url, timeout=0.5, max_retries=2)
        talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True), model=model)
        talk.say("draw a fox", streaming=kind == "streaming")

    assert server.posts == 1
    assert talk.memory.latest.read() == data


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_answer_that_ends_early_delivers_its_picture(talks, kind, version):
    """A body that is cut after its picture, but ends properly for HTTP, delivers the picture in the last message."""
    begin, content_type = KINDS[kind]
    data = photo()
    with serving([begin(result=to_base64(data))[:-1]], content_type) as server:
        model = talks.model(base_url=server.base_url, output_version=version)
        talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True), model=model)
        state = talk.say("draw a fox", streaming=kind == "streaming")

    assert [image.read() for image in images_from(state["messages"][-1])] == [data]
    assert [message.type for message in state["messages"]] == ["human", "ai"]
    assert len(state["messages"][-1].response_metadata["warnings"]) == 1


@pytest.mark.parametrize("version", VERSIONS)
@plain_and_streaming
def test_whole_answer_is_left_alone(talks, caplog, streaming, version):
    """No image call is added to an answer that holds all its pictures, and no warning is logged."""
    talk = talks.start(ImageGenerationMiddleware(SMALL, wire=True), model=talks.model(output_version=version))
    talk.say("draw two pictures of a fox", streaming=streaming)

    answer = talk.state["messages"][-1]
    calls = [item for item in hosted_items(answer) if item["type"] == "image_generation_call"]
    assert [call["id"] for call in calls] == [image.id for image in talk.memory]
    assert "warnings" not in answer.response_metadata
    assert caplog.text == ""


def test_broken_answer_without_wire_is_an_error(talks):
    """Without `wire` a broken answer raises an error, because its response id is not known and nothing was stored."""
    talks.simulator.script(cut(20))
    talk = talks.start(ImageGenerationMiddleware(SMALL))

    with pytest.raises(openai.APIConnectionError):
        talk.say("draw a fox")
