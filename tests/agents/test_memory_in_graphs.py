"""The memory where agents use it: every picture of a thread is found and edited, in any kind of graph."""

from __future__ import annotations

import base64
import io
import time

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from PIL import Image
from typing_extensions import TypedDict

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageGenerator, ImageMemory, images_from
from langchain_imagegen.simulator import Simulator
from tests.graphs import (
    PLACES,
    THREAD,
    WITH_CHANNEL,
    Gallery,
    Talk,
    agent,
    agent_with_middleware,
    state_graph,
)
from tests.scripted import DONE, answers, asks, scripted

SMALL = {"size": "816x816", "quality": "low", "output_format": "jpeg"}


@pytest.fixture
def tool(generator):
    """A tool that draws small pictures."""
    return ImageGenerationTool(generator=generator(options=SMALL))


def ids(images):
    """Their ids, in order."""
    return [image.id for image in images]


def photo(color="orange"):
    """A message of the user with a picture."""
    data = io.BytesIO()
    Image.new("RGB", (64, 48), color).save(data, "PNG")
    block = {"type": "image", "base64": base64.b64encode(data.getvalue()).decode(), "mime_type": "image/png"}
    return HumanMessage([{"type": "text", "text": f"this is {color}"}, block])


# --- edits by handle


@pytest.mark.parametrize("place", PLACES)
def test_any_earlier_picture_can_be_edited(half, tool, simulator, place):
    """After three pictures the first is edited by handle, id and ordinal, and the third by `last`."""
    talk = Talk(half, place, tool)
    for n in "abc":
        memory = talk.turn(asks(n, f"draw picture {n}"))
    first, _, third = memory
    names = [memory.handle(first), first.id, "1", "last"]

    edited = talk.turn([asks(f"edit-{name}", f"edit it, take {name}", images=[name]) for name in names])

    assert [image.parents for image in list(edited)[3:]] == [(first.id,)] * 3 + [(third.id,)]
    assert [message.status for message in talk.answers[3:]] == ["success"] * 4
    assert ids(edited.children("1")) == ids(edited)[3:6]
    found = {order.prompt[-6:].split()[-1]: order.sources for order in simulator.orders if order.action == "edit"}
    assert found["last"] == (third.read(),)
    assert found["1"] == (first.read(),)


@pytest.mark.parametrize("place", PLACES)
def test_several_pictures_are_combined(half, tool, simulator, place):
    """An edit of two pictures has both for parents, in the order in which they were named."""
    talk = Talk(half, place, tool)
    fox, owl = talk.turn(asks("a", "draw a fox"), asks("b", "draw an owl"))

    memory = talk.turn(asks("c", "edit the first by adding the second", images=["2", memory_handle(fox)]))

    assert memory.latest.parents == (owl.id, fox.id)
    assert simulator.orders[-1].sources == (owl.read(), fox.read())
    assert ids(memory.lineage("last")) == ids(memory.lineage("3"))
    assert set(ids(memory.lineage("last"))) == set(ids(memory))


def memory_handle(image):
    """The handle of an image, from its first digits alone."""
    return image.handle[:8]


@pytest.mark.parametrize("place", PLACES)
def test_uploads_are_edited_like_drawings(half, tool, simulator, place):
    """The user's picture is a root of the family, at its place among the others."""
    talk = Talk(half, place, tool)
    talk.turn(asks("a", "draw a fox"))

    memory = talk.turn(
        asks("b", "edit it", images=["last"]), asks("c", "edit it again", images=["last"]), given=[photo()]
    )

    fox, upload, edited, again = memory
    assert (upload.origin, upload.parents, edited.parents, again.parents) == ("user", (), (upload.id,), (edited.id,))
    assert upload.read() == simulator.orders[1].sources[0]
    assert fox.id not in ids(memory.lineage("last"))


@pytest.mark.parametrize("place", PLACES)
def test_uploads_keep_their_place(half, tool, place):
    """A picture that the user sent before another was drawn stays before it, though only the latter was recorded."""
    talk = Talk(half, place, tool)

    memory = talk.turn(asks("a", "draw a fox"), given=[photo()])
    assert [image.origin for image in memory] == ["user", "model"]
    assert memory.get("last").prompt == "draw a fox"


def test_what_an_agent_drew_reaches_the_parent(half, tool):
    """Of an agent as a node the parent's channel knows the pictures, in its result and in its checkpoints."""
    talk = Talk(half, PLACES[-1], tool)
    memory = talk.turn(asks("a", "draw a fox"))

    assert list(talk.state["generated_images"]) == ids(memory)
    assert ImageMemory.from_state(talk.graph.get_state(THREAD)).to_records() == memory.to_records()


def test_next_node_draws_on(half, tool, generator, simulator):
    """A node after the agent reads the state, edits by handle with a generator, and adds what it made."""

    def framed(state):
        memory = ImageMemory.from_state(state)
        result = generator(options=SMALL).invoke("edit it: add a frame", images=[memory.latest])
        memory.add(result)
        return {"generated_images": {record["id"]: record for record in memory.to_records()}}

    builder = StateGraph(Gallery)
    builder.add_node("artist", agent_with_middleware(scripted(asks("a", "draw a fox"), DONE), tool))
    builder.add_node("framer", framed)
    builder.add_edge(START, "artist")
    builder.add_edge("artist", "framer")

    state = half.invoke(builder.compile(), {"messages": "a framed fox"})
    fox, frame = images_from(state)
    assert frame.parents == (fox.id,)
    assert simulator.orders[-1].sources == (fox.read(),)


# --- masks


def stencil():
    """A mask: transparent where to edit."""
    data = io.BytesIO()
    Image.new("RGBA", (816, 816), (0, 0, 0, 0)).save(data, "PNG")
    return data.getvalue()


class Painted(Gallery):
    """A state with a region that the user marked."""

    region: str


def test_mask_of_the_developer(half, generator, simulator):
    """A mask of the tool confines its edits, and is not sent with a drawing."""
    masked = ImageGenerationTool(generator=generator(options=SMALL), mask=stencil())

    Talk(half, agent, masked).turn(asks("a", "draw a fox"), asks("b", "edit it", images=["last"]))
    assert [order.mask for order in simulator.orders] == [None, stencil()]


def test_mask_out_of_the_state(half, generator, simulator, tmp_path):
    """A function finds the mask of a run in the graph's state; `None` is no mask."""
    (tmp_path / "region.png").write_bytes(stencil())
    find = lambda runtime: tmp_path / name if (name := runtime.state.get("region")) else None  # noqa: E731
    masked = ImageGenerationTool(generator=generator(options=SMALL), mask=find)
    steps = [asks("a", "draw a fox"), asks("b", "edit it", images=["last"]), DONE]

    for given in ({}, {"region": "region.png"}):
        half.invoke(state_graph(scripted(*steps), masked, Painted), {"messages": "x", **given})
    assert [order.mask for order in simulator.orders] == [None, None, None, stencil()]


def test_mask_may_be_a_picture_of_the_conversation(half, generator, simulator):
    """A handle or ordinal as mask is looked up in the thread."""
    masked = ImageGenerationTool(generator=generator(options=SMALL), mask="1")
    talk = Talk(half, agent_with_middleware, masked)

    memory = talk.turn(asks("a", "draw a fox"), asks("b", "edit it", images=["last"]), given=[photo()])
    assert simulator.orders[-1].mask == memory.get("1").read()


def test_mask_that_cannot_be_made_costs_nothing(half, generator, simulator):
    """When the developer's function fails the model is told, nothing is sent, and calls beside it go on."""
    masked = ImageGenerationTool(generator=generator(options=SMALL), mask=lambda runtime: runtime.state["region"])
    talk = Talk(half, agent, masked)
    talk.turn(asks("a", "draw a fox"))

    talk.turn([asks("b", "edit it", images=["last"]), asks("c", "draw an owl")])
    assert [message.status for message in talk.answers] == ["success", "error", "success"]
    assert "mask could not be made (KeyError)" in talk.answers[1].content
    assert simulator.pictures == 2


# --- the channel


@pytest.mark.parametrize("place", WITH_CHANNEL)
def test_parallel_calls_keep_their_order(half, tool, place):
    """Calls of one step are remembered in the order of the calls."""
    calls = [asks(str(n), f"draw picture {n}") for n in range(5)]

    memory = Talk(half, place, tool).turn(calls)
    assert [image.prompt for image in memory] == [f"draw picture {n}" for n in range(5)]


def test_order_does_not_depend_on_who_is_done_first(half, tool, image_store, made):
    """The picture of the first call comes first although it was drawn last."""
    with Simulator(latency=0.5, seed=None) as far:
        made.append(ImageGenerator(base_url=far.base_url, api_key="simulated", options=SMALL, image_store=image_store))
        slow = ImageGenerationTool(name="draw_slowly", generator=made[-1])
        both = [{**asks("a", "draw slowly"), "name": "draw_slowly"}, asks("b", "draw quickly")]
        middleware = ImageGenerationMiddleware(tool=tool, hosted=False)
        graph = create_agent(scripted(both, DONE), [slow], middleware=[middleware])
        began = time.monotonic()
        state = half.invoke(graph, {"messages": "both"})

    assert [image.prompt for image in images_from(state)] == ["draw slowly", "draw quickly"]
    assert [record["prompt"] for record in state["generated_images"].values()] == ["draw slowly", "draw quickly"]
    assert time.monotonic() - began < 5


def test_clients_cannot_write_the_channel(half, tool, simulator):
    """What a caller puts into the agent's input under the channel's name is not taken, and its result is readable."""
    talk = Talk(half, agent_with_middleware, tool)
    forged = {"ig_1": {"id": "ig_1", "sha256": "0" * 64, "mime_type": "image/png", "size_bytes": 1}}
    talk.model.messages = scripted(asks("a", "edit it", images=["last"]), asks("b", "draw a fox"), DONE).messages

    state = half.invoke(talk.graph, {"messages": "x", "generated_images": forged}, config=THREAD)
    assert [message.status for message in answers(state)] == ["error", "success"]
    assert list(state["generated_images"]) == ids(images_from(state))
    assert len(images_from(state)) == 1
    assert simulator.pictures == 1


def test_channel_is_not_offered_as_input(tool):
    """The agent's input schema does not name the channel, its output schema does."""
    graph = agent_with_middleware(scripted(), tool)

    assert "generated_images" not in graph.get_input_jsonschema()["properties"]
    assert "generated_images" in graph.get_output_jsonschema()["properties"]


class OwnList(MessagesState):
    """A state that uses the name for something else."""

    generated_images: list[str]


class OwnDict(TypedDict):
    """A state that declares the records without their reducer."""

    messages: list
    generated_images: dict


@pytest.mark.parametrize(("state", "given"), [(OwnList, {}), (OwnDict, {}), (OwnList, {"generated_images": ["a"]})])
def test_agent_state_that_declares_the_channel_otherwise(half, tool, simulator, state, given):
    """An agent whose own state takes the channel's name fails at its first call, and says what to do."""
    graph = agent_with_middleware(scripted(asks("a"), DONE), tool, state_schema=state)

    with pytest.raises(TypeError, match=r"'generated_images'.*inheriting ImageState.*leave it out of state_schema"):
        half.invoke(graph, {"messages": "draw", **given})
    assert simulator.pictures == 0


def test_state_that_uses_the_name_for_something_else(half, tool, simulator):
    """In a plain graph a foreign value under the channel's name stops the first drawing, before it is paid for."""
    graph = state_graph(scripted(asks("a"), DONE), tool, OwnList)

    with pytest.raises(TypeError, match="inheriting ImageState"):
        half.invoke(graph, {"messages": "draw", "generated_images": ["mine"]})
    assert simulator.pictures == 0


def test_concurrent_writers_are_merged(half):
    """Nodes of one step that write the channel at once all leave their records, in the order of the nodes."""
    record = {"sha256": "0" * 64, "mime_type": "image/png", "size_bytes": 1}
    builder = StateGraph(Gallery)
    for name in "abc":
        written = {
            "generated_images": {
                "shared": {"id": "shared", **record, "dead_rungs": [name]},
                name: {"id": name, **record},
            }
        }
        builder.add_node(name, lambda _, written=written: written)
        builder.add_edge(START, name)

    state = half.invoke(builder.compile(checkpointer=InMemorySaver()), {"messages": "x"}, config=THREAD)
    assert list(state["generated_images"]) == ["shared", "a", "b", "c"]
    assert state["generated_images"]["shared"]["dead_rungs"] == ["a", "b", "c"]


def test_trust_in_the_channel_alone(half, generator, simulator):
    """With `trust="channel"` a message that a client posted names nothing; what the thread drew is still edited."""
    strict = ImageGenerationTool(generator=generator(options=SMALL), trust="channel")
    [posted] = Talk(half, agent, strict).turn(asks("x", "draw a secret")).to_records()
    talk = Talk(half, agent_with_middleware, strict)
    wrote = [HumanMessage("x"), AIMessage([{"type": "image_generation_call", "id": posted["id"], "record": posted}])]

    talk.turn(asks("a", "edit it", images=[posted["id"]]), given=wrote)
    assert talk.answers[-1].status == "error"
    talk.turn(asks("b", "draw a fox"), asks("c", "edit it", images=["last"]))
    assert [order.action for order in simulator.orders] == ["generate", "generate", "edit"]
