"""The ladder under an agent: how the tool names a picture to the service, what fails, and what the thread remembers."""

from __future__ import annotations

import json
from datetime import timedelta

import openai
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langchain_imagegen import ImageGenerationTool, ImageGenerator
from langchain_imagegen.simulator import Fault, Simulator
from tests.graphs import PLACES, Talk, agent, agent_with_middleware, state_graph
from tests.scripted import asks

SMALL = {"size": "816x816", "quality": "low", "output_format": "jpeg"}
FOX = asks("fox", "draw a fox")
EDITS = [asks(f"edit-{n}", f"edit it, take {n}", images=["1"]) for n in range(3)]
ROOMS = [agent, agent_with_middleware, state_graph]


@pytest.fixture
def drawing(generator):
    """Makes tools of small pictures."""
    return lambda **settings: ImageGenerationTool(generator=generator(options=SMALL, **settings))


def rungs(talk):
    """How each call of a conversation named its source."""
    return [message.artifact.get("rung") for message in talk.answers]


def ways(simulator):
    """What each request held: a picture's id, its bytes, an earlier response, or nothing."""
    marks = {"id": '"image_generation_call"', "bytes": "data:image/", "response": "previous_response_id"}
    bodies = [json.dumps({**request.body, "tools": None, "tool_choice": None}) for request in simulator.requests]
    return ["+".join(way for way, mark in marks.items() if mark in body) for body in bodies]


def dead(talk):
    """The dead rungs of a conversation's first picture."""
    return talk.memory.get("1").dead_rungs


@pytest.mark.parametrize("place", PLACES)
def test_a_kept_picture_goes_by_its_id(half, drawing, simulator, place):
    """While the service keeps the picture, an edit is one small request without bytes."""
    talk = Talk(half, place, drawing())

    talk.turn(FOX, *EDITS[:2])
    assert ways(simulator) == ["", "id", "id"]
    assert rungs(talk) == [None, "call_id", "call_id"]
    assert simulator.requests[-1].size < 1_000


@pytest.mark.parametrize("place", ROOMS)
def test_an_unkept_picture_goes_by_its_bytes(half, drawing, simulator, place):
    """With `store=False` no id is ever sent back."""
    talk = Talk(half, place, drawing(store=False))

    talk.turn(FOX, EDITS[0])
    assert ways(simulator) == ["", "bytes"]
    assert (rungs(talk)[-1], dead(talk)) == ("bytes", ())


@pytest.mark.parametrize("place", PLACES)
def test_an_expired_id_is_tried_once_in_a_thread(half, drawing, simulator, place):
    """A dead id gives way to the bytes in the same call, the model is told, and later turns do not try it again."""
    talk = Talk(half, place, drawing())
    fox = talk.turn(FOX).latest
    simulator.expire(fox.id)

    talk.turn(EDITS[0])
    assert ways(simulator) == ["", "id", "bytes"]
    assert "earlier way to name the image failed" in json.loads(talk.answers[-1].content)["warnings"][0]
    talk.turn(EDITS[1])
    talk.turn(EDITS[2])
    assert ways(simulator) == ["", "id", "bytes", "bytes", "bytes"]
    assert (rungs(talk)[1:], dead(talk)) == (["bytes"] * 3, ("call_id",))
    assert "warnings" not in json.loads(talk.answers[-1].content)
    assert [order.sources for order in simulator.orders[1:]] == [(fox.read(),)] * 3


def test_what_is_dead_is_remembered_of_parallel_edits(half, drawing, simulator):
    """Edits of one step that find an id dead agree on it, and each draws once."""
    talk = Talk(half, agent_with_middleware, drawing())
    simulator.expire(talk.turn(FOX).latest.id)

    talk.turn(EDITS)
    assert (dead(talk), simulator.pictures) == (("call_id",), 4)
    assert talk.state["generated_images"][talk.memory.get("1").id]["dead_rungs"] == ["call_id"]


@pytest.mark.parametrize("reference", ["auto", "response_id"])
def test_a_deleted_response(half, drawing, simulator, reference):
    """With the response its items are gone: every rung by id dies once, and the bytes remain."""
    talk = Talk(half, agent_with_middleware, drawing(reference=reference))
    fox = talk.turn(FOX).latest
    with openai.OpenAI(base_url=simulator.base_url, api_key="simulated") as client:
        client.responses.delete(fox.response_id)

    tried = 1 if reference == "auto" else 2
    talk.turn(EDITS[0])
    assert [request.method for request in simulator.requests[2:]] == ["POST"] * (tried + 1)
    talk.turn(EDITS[1])
    assert len(simulator.requests) == 2 + tried + 2
    assert dead(talk) == (("call_id",) if reference == "auto" else ("response_id", "call_id"))
    assert rungs(talk)[1:] == ["bytes", "bytes"]


def test_edits_can_be_chained(half, drawing, simulator):
    """With `reference="response_id"` an edit names the response alone, and each edit the one that it continues."""
    talk = Talk(half, agent_with_middleware, drawing(reference="response_id"))
    talk.turn(FOX)
    talk.turn(asks("a", "edit it", images=["last"]))

    memory = talk.turn(asks("b", "edit it again", images=["last"]))
    assert ways(simulator) == ["", "response", "response"]
    assert [request.body["previous_response_id"] for request in simulator.requests[1:]] == [
        image.response_id for image in list(memory)[:2]
    ]
    assert rungs(talk) == [None, "response_id", "response_id"]
    assert [image.parents for image in list(memory)[1:]] == [(memory.get("1").id,), (memory.get("2").id,)]


@pytest.mark.parametrize("companion", ["kept", "deleted"])
def test_reasoning_that_the_service_wants_beside_a_picture(half, generator, companion):
    """The reasoning item goes along by id; when it is gone, the bytes do, and it is not asked for again."""
    with Simulator(reasoning_required=True) as strict:
        tool = ImageGenerationTool(generator=generator(model="gpt-5", base_url=strict.base_url, options=SMALL))
        talk = Talk(half, agent_with_middleware, tool)
        fox = talk.turn(FOX).latest
        if companion == "deleted":
            strict.expire(fox.companion_ids[0])

        talk.turn(EDITS[0])
        talk.turn(EDITS[1])
        assert (fox.companion_ids[0][:3], strict.pictures) == ("rs_", 3)
        assert ways(strict) == (["", "id", "id"] if companion == "kept" else ["", "id", "bytes", "bytes"])
        assert dead(talk) == (() if companion == "kept" else ("call_id",))


def continued(talk, half, tool):
    """The same thread with another tool, as after a new deployment."""
    later = Talk(half, agent_with_middleware, tool, talk.graph.checkpointer)
    later.turn(*EDITS[:1])
    later.turn(*EDITS[1:2])
    return later


def test_another_account(half, drawing, simulator):
    """Ids of another account are refused once, then the bytes are sent; the other account is not touched."""
    talk = Talk(half, agent_with_middleware, drawing(), InMemorySaver())
    fox = talk.turn(FOX).latest

    later = continued(talk, half, drawing(api_key="another"))
    assert ways(simulator) == ["", "id", "bytes", "bytes"]
    assert [order.sources for order in simulator.orders[1:]] == [(fox.read(),)] * 2
    assert dead(later) == ("call_id",)


def test_another_provider(half, drawing, simulator):
    """An id means nothing to another service, so that it is not even tried there; at home it is still alive."""
    talk = Talk(half, agent_with_middleware, drawing(), InMemorySaver())
    talk.turn(FOX)

    elsewhere = drawing(base_url=simulator.base_url.replace("127.0.0.1", "localhost"))
    later = continued(talk, half, elsewhere)
    assert ways(simulator) == ["", "bytes", "bytes"]
    assert dead(later) == ()
    assert [image.provider for image in later.memory] == ["127.0.0.1", "localhost", "localhost"]


@pytest.mark.parametrize("place", ROOMS)
def test_when_no_rung_is_left(half, drawing, simulator, image_store, place):
    """With the id expired and the bytes pruned nothing is drawn, and the model reads why each rung failed."""
    talk = Talk(half, place, drawing())
    simulator.expire(talk.turn(FOX).latest.id)
    image_store.prune(older_than=timedelta(0))

    talk.turn(EDITS[0])
    told = talk.answers[-1]
    assert told.status == "error"
    assert all(words in told.content for words in ("every way", "call_id: ", "not found", "bytes: ", "pruned"))
    assert simulator.pictures == 1


def test_an_edit_is_never_silently_a_new_drawing(half, drawing, simulator):
    """When the service draws anew instead, the model is told so, and the picture claims no parent."""
    talk = Talk(half, agent_with_middleware, drawing())
    simulator.script(None, Fault("redrawn", item=lambda item: {**item, "action": "generate"}))

    memory = talk.turn(FOX, EDITS[0])
    assert "drew a new picture instead of editing" in talk.answers[-1].content
    assert (rungs(talk)[-1], memory.latest.parents) == (None, ())


def test_uploads_have_one_rung(half, drawing, simulator, tmp_path):
    """A picture that never was the service's goes by its bytes, and nothing is tried before."""
    tool = drawing()
    photo = ImageGenerator(base_url=simulator.base_url, api_key="x", options=SMALL).invoke("draw a photo").image
    talk = Talk(half, agent_with_middleware, tool)
    block = {key: value for key, value in photo.to_content_block().items() if key != "id"}

    talk.turn(asks("a", "edit it", images=["last"]), given=[{"role": "user", "content": [block]}])
    assert ways(simulator)[1:] == ["bytes"]
    assert talk.memory.latest.parents == (f"sha256:{photo.sha256}",)
