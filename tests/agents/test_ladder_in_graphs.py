"""The ladder inside an agent: how the tool refers to a picture at the service, and which ways a thread gives up."""

from __future__ import annotations

import json
from datetime import timedelta

import openai
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langchain_imagegen import ImageGenerationTool, ImageGenerator
from langchain_imagegen.simulator import Fault, Simulator
from tests.graphs import PLACES, Talk, agent, agent_with_middleware, state_graph
from tests.scripted import image_call

SMALL = {"size": "816x816", "quality": "low", "output_format": "jpeg"}
FOX = image_call("fox", "draw a fox")
EDITS = [image_call(f"edit-{n}", f"edit it, take {n}", images=["1"]) for n in range(3)]
ROOMS = [agent, agent_with_middleware, state_graph]


@pytest.fixture
def make_tool(generator):
    """Return a function that makes tools of small pictures."""
    return lambda **settings: ImageGenerationTool(generator=generator(options=SMALL, **settings))


def rungs(talk):
    """Return the rung that each call of a conversation used."""
    return [message.artifact.get("rung") for message in talk.tool_messages]


def sources_sent(simulator):
    """Return how each request refers to its source: by id, by bytes, by an earlier response, or not at all."""
    marks = {"id": '"image_generation_call"', "bytes": "data:image/", "response": "previous_response_id"}
    bodies = [json.dumps({**request.body, "tools": None, "tool_choice": None}) for request in simulator.requests]
    return ["+".join(way for way, mark in marks.items() if mark in body) for body in bodies]


def dead_rungs(talk):
    """Return the dead rungs of the first picture of a conversation."""
    return talk.memory.get("1").dead_rungs


@pytest.mark.parametrize("place", PLACES)
def test_a_stored_picture_is_sent_by_its_id(half, make_tool, simulator, place):
    """An edit of a picture that the service stores is one small request with the picture's id."""
    talk = Talk(half, place, make_tool())

    talk.turn(FOX, *EDITS[:2])
    assert sources_sent(simulator) == ["", "id", "id"]
    assert rungs(talk) == [None, "call_id", "call_id"]
    assert simulator.requests[-1].size < 1_000


@pytest.mark.parametrize("place", ROOMS)
def test_a_picture_that_is_not_stored_is_sent_by_its_bytes(half, make_tool, simulator, place):
    """With `store=False` an edit sends the picture's bytes and no id."""
    talk = Talk(half, place, make_tool(store=False))

    talk.turn(FOX, EDITS[0])
    assert sources_sent(simulator) == ["", "bytes"]
    assert (rungs(talk)[-1], dead_rungs(talk)) == ("bytes", ())


@pytest.mark.parametrize("place", PLACES)
def test_an_expired_id_is_tried_once_in_a_thread(half, make_tool, simulator, place):
    """An edit that finds the id expired sends the bytes and warns the model; later turns send the bytes at once."""
    talk = Talk(half, place, make_tool())
    fox = talk.turn(FOX).latest
    simulator.expire(fox.id)

    talk.turn(EDITS[0])
    assert sources_sent(simulator) == ["", "id", "bytes"]
    assert "earlier way to name the image failed" in json.loads(talk.tool_messages[-1].content)["warnings"][0]
    talk.turn(EDITS[1])
    talk.turn(EDITS[2])
    assert sources_sent(simulator) == ["", "id", "bytes", "bytes", "bytes"]
    assert (rungs(talk)[1:], dead_rungs(talk)) == (["bytes"] * 3, ("call_id",))
    assert "warnings" not in json.loads(talk.tool_messages[-1].content)
    assert [order.sources for order in simulator.orders[1:]] == [(fox.read(),)] * 3


def test_parallel_edits_record_a_dead_rung_once(half, make_tool, simulator):
    """Parallel edits that find the same id expired record it once, and each draws one picture."""
    talk = Talk(half, agent_with_middleware, make_tool())
    simulator.expire(talk.turn(FOX).latest.id)

    talk.turn(EDITS)
    assert (dead_rungs(talk), simulator.pictures) == (("call_id",), 4)
    assert talk.state["generated_images"][talk.memory.get("1").id]["dead_rungs"] == ["call_id"]


@pytest.mark.parametrize("reference", ["auto", "response_id"])
def test_a_deleted_response_leaves_the_bytes(half, make_tool, simulator, reference):
    """After its response is deleted, an edit tries each rung by id once, then sends the bytes."""
    talk = Talk(half, agent_with_middleware, make_tool(reference=reference))
    fox = talk.turn(FOX).latest
    with openai.OpenAI(base_url=simulator.base_url, api_key="simulated") as client:
        client.responses.delete(fox.response_id)

    tried = 1 if reference == "auto" else 2
    talk.turn(EDITS[0])
    assert [request.method for request in simulator.requests[2:]] == ["POST"] * (tried + 1)
    talk.turn(EDITS[1])
    assert len(simulator.requests) == 2 + tried + 2
    assert dead_rungs(talk) == (("call_id",) if reference == "auto" else ("response_id", "call_id"))
    assert rungs(talk)[1:] == ["bytes", "bytes"]


def test_edits_can_be_chained_by_response(half, make_tool, simulator):
    """With `reference="response_id"` each edit refers only to the response that it continues."""
    talk = Talk(half, agent_with_middleware, make_tool(reference="response_id"))
    talk.turn(FOX)
    talk.turn(image_call("a", "edit it", images=["last"]))

    memory = talk.turn(image_call("b", "edit it again", images=["last"]))
    assert sources_sent(simulator) == ["", "response", "response"]
    assert [request.body["previous_response_id"] for request in simulator.requests[1:]] == [
        image.response_id for image in list(memory)[:2]
    ]
    assert rungs(talk) == [None, "response_id", "response_id"]
    assert [image.parents for image in list(memory)[1:]] == [(memory.get("1").id,), (memory.get("2").id,)]


@pytest.mark.parametrize("companion", ["kept", "deleted"])
def test_an_id_is_sent_with_its_reasoning(half, generator, companion):
    """An edit sends the reasoning item with the picture's id, or the picture's bytes if that item is gone."""
    with Simulator(reasoning_required=True) as strict:
        tool = ImageGenerationTool(generator=generator(model="gpt-5", base_url=strict.base_url, options=SMALL))
        talk = Talk(half, agent_with_middleware, tool)
        fox = talk.turn(FOX).latest
        if companion == "deleted":
            strict.expire(fox.companion_ids[0])

        talk.turn(EDITS[0])
        talk.turn(EDITS[1])
        assert (fox.companion_ids[0][:3], strict.pictures) == ("rs_", 3)
        assert sources_sent(strict) == (["", "id", "id"] if companion == "kept" else ["", "id", "bytes", "bytes"])
        assert dead_rungs(talk) == (() if companion == "kept" else ("call_id",))


def continue_thread(talk, half, tool):
    """Edit the thread's first picture twice with another tool, as after a deployment, and return the conversation."""
    later = Talk(half, agent_with_middleware, tool, talk.graph.checkpointer)
    later.turn(*EDITS[:1])
    later.turn(*EDITS[1:2])
    return later


def test_another_account_gets_the_bytes(half, make_tool, simulator):
    """A second account is refused the id once, then each edit sends the bytes."""
    talk = Talk(half, agent_with_middleware, make_tool(), InMemorySaver())
    fox = talk.turn(FOX).latest

    later = continue_thread(talk, half, make_tool(api_key="another"))
    assert sources_sent(simulator) == ["", "id", "bytes", "bytes"]
    assert [order.sources for order in simulator.orders[1:]] == [(fox.read(),)] * 2
    assert dead_rungs(later) == ("call_id",)


def test_another_provider_gets_the_bytes_at_once(half, make_tool, simulator):
    """An edit at another provider sends the bytes without trying the id, which stays valid at its own provider."""
    talk = Talk(half, agent_with_middleware, make_tool(), InMemorySaver())
    talk.turn(FOX)

    elsewhere = make_tool(base_url=simulator.base_url.replace("127.0.0.1", "localhost"))
    later = continue_thread(talk, half, elsewhere)
    assert sources_sent(simulator) == ["", "bytes", "bytes"]
    assert dead_rungs(later) == ()
    assert [image.provider for image in later.memory] == ["127.0.0.1", "localhost", "localhost"]


@pytest.mark.parametrize("place", ROOMS)
def test_model_reads_why_every_rung_failed(half, make_tool, simulator, image_store, place):
    """With the id expired and the bytes pruned, the tool draws nothing and tells the model why each rung failed."""
    talk = Talk(half, place, make_tool())
    simulator.expire(talk.turn(FOX).latest.id)
    image_store.prune(older_than=timedelta(0))

    talk.turn(EDITS[0])
    message = talk.tool_messages[-1]
    assert message.status == "error"
    assert all(words in message.content for words in ("every way", "call_id: ", "not found", "bytes: ", "pruned"))
    assert simulator.pictures == 1


def test_a_new_picture_in_place_of_an_edit_is_reported(half, make_tool, simulator):
    """If the service draws a new picture instead of editing, the tool tells the model and records no parent."""
    talk = Talk(half, agent_with_middleware, make_tool())
    simulator.script(None, Fault("redrawn", item=lambda item: {**item, "action": "generate"}))

    memory = talk.turn(FOX, EDITS[0])
    assert "drew a new picture instead of editing" in talk.tool_messages[-1].content
    assert (rungs(talk)[-1], memory.latest.parents) == (None, ())


def test_an_upload_is_sent_by_its_bytes(half, make_tool, simulator):
    """An edit of an uploaded picture sends its bytes in the first request."""
    tool = make_tool()
    photo = ImageGenerator(base_url=simulator.base_url, api_key="x", options=SMALL).invoke("draw a photo").image
    talk = Talk(half, agent_with_middleware, tool)
    block = {key: value for key, value in photo.to_content_block().items() if key != "id"}

    talk.turn(image_call("a", "edit it", images=["last"]), messages=[{"role": "user", "content": [block]}])
    assert sources_sent(simulator)[1:] == ["bytes"]
    assert talk.memory.latest.parents == (f"sha256:{photo.sha256}",)
