"""Images that a conversation was told to forget, and records whose bytes are gone."""

from __future__ import annotations

import json
import logging
import pickle
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, RemoveMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph

from langchain_imagegen import (
    GeneratedImage,
    ImageGenerationMiddleware,
    ImageGenerationTool,
    ImageMemory,
    ImageStore,
    merge_images,
)
from langchain_imagegen.conversation.channel import as_update
from langchain_imagegen.errors import ImageStoreError, UnknownImageError
from langchain_imagegen.simulator import Simulator
from tests import graphs
from tests.conversations import SMALL, VERSIONS, image_block, image_call_ids, photo, request_text, user_message
from tests.scripted import image_call


def image(id: str, digit: str = "0", **facts: Any) -> GeneratedImage:
    """Return an image whose digest is 64 times a digit."""
    return GeneratedImage(id=id, sha256=digit * 64, size_bytes=1, mime_type="image/png", **facts)


FOX = image("ig_fox", "a", prompt="draw a fox")
WINTER = image("ig_winter", "b", prompt="make it winter", parents=("ig_fox",))
NIGHT = image("ig_night", "c", prompt="make it night", parents=("ig_winter",))


@pytest.fixture
def family() -> ImageMemory:
    """A fox, its edit, and the edit of that."""
    return ImageMemory([FOX, WINTER, NIGHT])


# --- in a memory


def test_forget(family: ImageMemory):
    """A forgotten image is not listed, `"last"` and ordinals skip it, and the error of a reference says so."""
    family.forget("last")

    assert list(family) == [FOX, WINTER]
    assert family["last"] == family.get("2") == WINTER
    assert NIGHT not in family
    for reference in (NIGHT.id, NIGHT.handle, NIGHT.handle[:9], NIGHT):
        with pytest.raises(UnknownImageError, match=rf"was deleted; known here.*{WINTER.handle}") as caught:
            family.get(reference)
        assert caught.value.known == [FOX.handle, WINTER.handle]
    with pytest.raises(UnknownImageError, match="no image 'img_12345678'"):
        family.get("img_12345678")


def test_children_keep_their_history(family: ImageMemory):
    """What was made from a forgotten image stays, names it as its parent, and the tree says that it is gone."""
    family.forget(WINTER)

    assert family[NIGHT].parents == ("ig_winter",)
    assert family.lineage("last") == [NIGHT]
    assert family.children(FOX) == []
    assert "make it night (made from an image that was deleted" in family._repr_mimebundle_()["text/plain"]
    assert "draw a fox (made" not in family._repr_mimebundle_()["text/plain"]


def test_a_trace_holds_nothing_of_the_image(family: ImageMemory):
    """What is left of an image is its id, its digest and the host: no prompt, no response, no size."""
    update = family.forget(FOX)

    assert update == {"ig_fox": {"id": "ig_fox", "provider": "", "sha256": "a" * 64, "forgotten": True}}
    assert json.loads(json.dumps(update)) == update


def test_it_does_not_come_back(family: ImageMemory):
    """However often it is added again, as an image, a record or an upload of its bytes, it stays forgotten."""
    family.forget(FOX)
    family.add(FOX, FOX.record(), image("sha256:" + "a" * 64, "a", origin="user"))

    assert list(family) == [WINTER, NIGHT]


def test_an_upload_is_forgotten():
    """An upload that comes again in the same conversation stays forgotten too."""
    upload = image("sha256:" + "d" * 64, "d", origin="user")
    memory = ImageMemory([upload, FOX])
    memory.forget("1")
    memory.add(upload)

    assert list(memory) == [FOX]
    assert f"sha256:{'d' * 64}" not in memory


def test_another_image_with_the_same_bytes_stays():
    """Two images of one digest are two images: forgetting the first leaves the second, also by its digest."""
    twin = image("ig_twin", "a")
    memory = ImageMemory([FOX, twin])
    memory.forget("ig_fox")

    assert list(memory) == [twin]
    assert memory.get("sha256:" + "a" * 64) == twin


def test_several_at_once(family: ImageMemory):
    """A list forgets each of its images."""
    assert list(family.forget([FOX, "last"])) == ["ig_fox", "ig_night"]
    assert list(family) == [WINTER]
    assert len(family) == 1


def test_unknown_images_cannot_be_forgotten(family: ImageMemory):
    """A reference that names no image forgets nothing."""
    with pytest.raises(UnknownImageError):
        family.forget("img_12345678")
    assert len(family) == 3


@pytest.mark.parametrize("again", ["records", "pickle", "update"])
def test_a_memory_made_again_has_forgotten_too(again: str, family: ImageMemory):
    """Records, pickles and updates of the channel carry the trace."""
    family.forget(WINTER)
    memory = {
        "records": lambda: ImageMemory(family.to_records()),
        "pickle": lambda: pickle.loads(pickle.dumps(family)),
        "update": lambda: ImageMemory.from_state({"generated_images": as_update(family.to_records())}),
    }[again]()
    memory.add(WINTER)

    assert list(memory) == [FOX, NIGHT]
    assert memory.has_forgotten(WINTER.handle)
    assert memory.to_records() == family.to_records()


def test_pruning_does_not_keep_it(image_store: ImageStore, low: Any):
    """Neither a memory nor a state's channel keeps the bytes of what was forgotten."""
    memory = ImageMemory(image_store=image_store)
    draw = low(memory=memory)
    fox, owl = draw.invoke("draw a fox"), draw.invoke("draw an owl")
    channel = merge_images(as_update(memory.to_records()), memory.forget(fox))

    assert image_store.prune(keep=channel) == [fox.image.sha256]
    assert image_store.prune(keep=memory) == []
    assert owl.image.read()


def test_a_forgotten_id_is_not_sent(low: Any, simulator: Simulator):
    """A forgotten call id is not taken for one that only the service knows."""
    memory = ImageMemory()
    draw = low(memory=memory)
    fox = draw.invoke("draw a fox")
    memory.forget(fox)
    before = len(simulator.requests)

    for reference in (fox.image.id, fox.image.handle, {"type": "image_generation_call", "id": fox.image.id}):
        with pytest.raises(UnknownImageError, match="was deleted"):
            draw.invoke("make it winter", images=[reference])
    assert len(simulator.requests) == before


# --- in the channel

TRACE = ImageMemory([FOX]).forget("last")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (TRACE, {FOX.id: FOX.record()}),
        ({FOX.id: FOX.record()}, TRACE),
        (TRACE, [FOX]),
        (TRACE, TRACE),
        ({}, {FOX.id: {**FOX.record(), "forgotten": True}}),
    ],
    ids=["record behind", "record before", "image behind", "twice", "with a record in it"],
)
def test_the_trace_wins(left: Any, right: Any):
    """Whichever comes first, older records do not bring a forgotten image back, and nothing of it is left."""
    assert merge_images(left, right) == TRACE


def test_older_channels_load(caplog: pytest.LogCaptureFixture):
    """A channel with traces among its records is read without a warning, in order, and so is one without."""
    channel = merge_images(as_update([FOX, WINTER, NIGHT]), ImageMemory([WINTER]).forget("last"))

    with caplog.at_level(logging.WARNING):
        memory = ImageMemory.from_state({"generated_images": channel})
        trusted = ImageMemory.from_state({"generated_images": channel, "messages": []}, trust="channel")
        older = ImageMemory.from_state({"generated_images": as_update([FOX, WINTER])})

    assert list(memory) == list(trusted) == [FOX, NIGHT]
    assert list(older) == [FOX, WINTER]
    assert caplog.records == []


def forgetting_node(reference: str) -> Any:
    """Return a node that forgets an image of the state."""
    return lambda state: {"generated_images": ImageMemory.from_state(state).forget(reference)}


@pytest.mark.parametrize("how", ["node", "update_state"])
def test_a_graph_forgets(how: str, half: Any, low: Any):
    """After a node's update or `update_state` older messages, whose artifacts have the record, do not bring it back."""
    saver = InMemorySaver()
    talk = graphs.Talk(half, graphs.state_graph, ImageGenerationTool(generator=low()), saver)
    talk.turn(image_call("call_1", "draw a fox"))
    fox = talk.memory["last"]
    talk.turn(image_call("call_2", "draw an owl"))
    if how == "node":
        builder = StateGraph(graphs.Gallery)
        builder.add_node("forget", forgetting_node(fox.handle))
        builder.add_edge(START, "forget")
        half.invoke(builder.compile(checkpointer=saver), {"messages": []}, config=graphs.THREAD)
    else:
        talk.graph.update_state(graphs.THREAD, {"generated_images": talk.memory.forget(fox)}, as_node="model")
    memory = talk.turn(image_call("call_3", "make it winter", images=["last"]))
    again = ImageMemory.from_state(talk.graph.get_state(graphs.THREAD))
    talk.turn(image_call("call_4", "make it night", images=[fox.handle]))

    assert [each.prompt for each in memory] == [each.prompt for each in again] == ["draw an owl", "make it winter"]
    assert memory.latest.parents == (memory[0].id,)
    assert "was deleted" in talk.tool_messages[-1].content
    assert talk.state["generated_images"][fox.id]["forgotten"] is True


def test_an_earlier_checkpoint_knows_it_still(half: Any, low: Any):
    """A checkpoint from before still loads with the image; a fork from there goes on with it."""
    talk = graphs.Talk(half, graphs.state_graph, ImageGenerationTool(generator=low()))
    talk.turn(image_call("call_1", "draw a fox"))
    before = talk.graph.get_state(graphs.THREAD).config
    talk.graph.update_state(graphs.THREAD, {"generated_images": talk.memory.forget("last")}, as_node="model")

    assert len(ImageMemory.from_state(talk.graph.get_state(graphs.THREAD))) == 0
    assert len(ImageMemory.from_state(talk.graph.get_state(before))) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_hosted_picture_is_forgotten(version: str, talks: Any):
    """The next request of an agent neither sends the call's id nor shows the picture: it says that it was deleted."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    talk.say("draw a fox")
    talk.say("make it winter")
    fox = talk.memory[0]
    config = {"configurable": {"thread_id": "one"}}
    update = {"generated_images": talk.memory.forget(fox)}
    if talks.half.name == "sync":
        talk.agent.update_state(config, update)
    else:
        talks.half.wait(talk.agent.aupdate_state, config, update)
    talk.say("hello")

    assert fox.id not in image_call_ids(talk.last_input)
    assert "(A picture was here, and was deleted.)" in request_text(talk.last_input)
    assert [each.prompt for each in talk.memory] == ["make it winter"]


def test_a_forgotten_upload_is_not_shown(talks: Any):
    """Where the user's upload stood, the model reads that it was deleted, and the tree of its edit says so."""
    talk = talks.start(ImageGenerationMiddleware(SMALL))
    talk.say(user_message("edit this: make it winter", photo()))
    config = {"configurable": {"thread_id": "one"}}
    update = {"generated_images": talk.memory.forget("1")}
    if talks.half.name == "sync":
        talk.agent.update_state(config, update)
    else:
        talks.half.wait(talk.agent.aupdate_state, config, update)
    talk.say("hello")

    assert image_block(photo())["base64"] not in json.dumps(talk.last_input)
    assert "(A picture was here, and was deleted.)" in request_text(talk.last_input)
    assert "made from an image that was deleted" in talk.memory._repr_mimebundle_()["text/plain"]


def test_all_traces_can_be_removed(half: Any, low: Any, image_store: ImageStore):
    """What a user asked to be deleted is gone from the store, the service, the messages and the channel."""
    draw = low(image_store=image_store)
    talk = graphs.Talk(half, graphs.state_graph, ImageGenerationTool(generator=draw))
    talk.turn(image_call("call_1", "draw a secret"), messages=HumanMessage("draw", id="asked"))
    memory = ImageMemory.from_state(talk.state, image_store=image_store)
    secret = memory["last"]

    assert image_store.delete(secret)
    assert draw.delete_remote(secret)
    removed = [RemoveMessage(id=message.id) for message in talk.state["messages"]]
    update = {"messages": removed, "generated_images": memory.forget(secret)}
    talk.graph.update_state(graphs.THREAD, update, as_node="tools")

    values = talk.graph.get_state(graphs.THREAD).values
    assert "secret" not in str(values)
    assert values["messages"] == []


# --- records whose bytes are gone


@pytest.fixture
def gone(low: Any, image_store: ImageStore) -> Any:
    """A result of two pictures and a memory with it; the bytes of the first were deleted."""
    memory = ImageMemory(image_store=image_store)
    result = low(memory=memory).invoke("draw two pictures of a forgotten fox")  # in no store of another test
    image_store.delete(result.image)
    return result, memory


def test_reading_says_that_the_bytes_are_gone(gone: Any):
    """The error of a bound image and of an unbound one says so, and what to do."""
    result, _ = gone

    for each in (result.image, GeneratedImage.model_validate(result.image.record())):
        with pytest.raises(ImageStoreError, match="it was deleted"):
            each.read()


def test_views_say_that_the_bytes_are_gone(gone: Any):
    """In a notebook an image, a result and a memory are shown with what is left, and no view raises."""
    result, memory = gone
    views = [result.image._repr_mimebundle_(), result._repr_mimebundle_(), memory._repr_mimebundle_()]

    for view in views:
        assert result.image.handle in view["text/plain"]
        assert "not at hand" in view["text/plain"]
        assert result.image.handle in view["text/html"]
    assert views[1]["text/html"].count("<img") == 1
    assert "image/png" in result.images[1]._repr_mimebundle_()
