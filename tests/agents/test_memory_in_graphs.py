"""Memory, masks and the image channel in agents and graphs: every picture of a thread is found and can be edited."""

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
from tests.scripted import DONE, image_call, scripted_model, tool_messages

SMALL = {"size": "816x816", "quality": "low", "output_format": "jpeg"}


@pytest.fixture
def tool(generator):
    """Return a tool that draws small pictures."""
    return ImageGenerationTool(generator=generator(options=SMALL))


def ids(images):
    """Return the ids of the images, in order."""
    return [image.id for image in images]


def photo_message(color="orange", mode="RGB"):
    """Return a user's message with a picture of one color."""
    data = io.BytesIO()
    Image.new(mode, (64, 48), color).save(data, "PNG")
    block = {"type": "image", "base64": base64.b64encode(data.getvalue()).decode(), "mime_type": "image/png"}
    return HumanMessage([{"type": "text", "text": f"this is {color}"}, block])


# --- edits by handle


@pytest.mark.parametrize("place", PLACES)
def test_any_earlier_picture_can_be_edited(half, tool, simulator, place):
    """The tool edits the first of three pictures by handle, id and ordinal, and the third by `last`."""
    talk = Talk(half, place, tool)
    for n in "abc":
        memory = talk.turn(image_call(n, f"draw picture {n}"))
    first, _, third = memory
    names = [memory.handle(first), first.id, "1", "last"]

    edited = talk.turn([image_call(f"edit-{name}", f"edit it, take {name}", images=[name]) for name in names])

    assert [image.parents for image in list(edited)[3:]] == [(first.id,)] * 3 + [(third.id,)]
    assert [message.status for message in talk.tool_messages[3:]] == ["success"] * 4
    assert ids(edited.children("1")) == ids(edited)[3:6]
    found = {order.prompt[-6:].split()[-1]: order.sources for order in simulator.orders if order.action == "edit"}
    assert found["last"] == (third.read(),)
    assert found["1"] == (first.read(),)


@pytest.mark.parametrize("place", PLACES)
def test_several_pictures_are_combined(half, tool, simulator, place):
    """An edit of two pictures has both as parents, in the order in which the call names them."""
    talk = Talk(half, place, tool)
    fox, owl = talk.turn(image_call("a", "draw a fox"), image_call("b", "draw an owl"))

    memory = talk.turn(image_call("c", "edit the first by adding the second", images=["2", short_handle(fox)]))

    assert memory.latest.parents == (owl.id, fox.id)
    assert simulator.orders[-1].sources == (owl.read(), fox.read())
    assert ids(memory.lineage("last")) == ids(memory.lineage("3"))
    assert set(ids(memory.lineage("last"))) == set(ids(memory))


def short_handle(image):
    """Return the first digits of an image's handle."""
    return image.handle[:8]


@pytest.mark.parametrize("place", PLACES)
def test_uploads_are_edited_like_drawings(half, tool, simulator, place):
    """The user's picture is remembered without parents, and edits descend from it."""
    talk = Talk(half, place, tool)
    talk.turn(image_call("a", "draw a fox"))

    memory = talk.turn(
        image_call("b", "edit it", images=["last"]),
        image_call("c", "edit it again", images=["last"]),
        messages=[photo_message()],
    )

    fox, upload, edited, again = memory
    assert (upload.origin, upload.parents, edited.parents, again.parents) == ("user", (), (upload.id,), (edited.id,))
    assert upload.read() == simulator.orders[1].sources[0]
    assert fox.id not in ids(memory.lineage("last"))


@pytest.mark.parametrize("place", PLACES)
def test_uploads_keep_their_place(half, tool, place):
    """A picture that the user sent stands before one drawn later, although only the drawn one is in the channel."""
    talk = Talk(half, place, tool)

    memory = talk.turn(image_call("a", "draw a fox"), messages=[photo_message()])
    assert [image.origin for image in memory] == ["user", "model"]
    assert memory.get("last").prompt == "draw a fox"


def test_parent_graph_gets_the_pictures_of_its_agent(half, tool):
    """The result and the checkpoints of a graph hold the pictures that an agent inside it drew."""
    talk = Talk(half, PLACES[-1], tool)
    memory = talk.turn(image_call("a", "draw a fox"))

    assert list(talk.state["generated_images"]) == ids(memory)
    assert ImageMemory.from_state(talk.graph.get_state(THREAD)).to_records() == memory.to_records()


def test_next_node_edits_the_picture_of_the_agent(half, tool, generator, simulator):
    """A node after the agent reads the state, edits its picture with a generator, and adds the edit to the channel."""

    def add_frame(state):
        memory = ImageMemory.from_state(state)
        result = generator(options=SMALL).invoke("edit it: add a frame", images=[memory.latest])
        memory.add(result)
        return {"generated_images": {record["id"]: record for record in memory.to_records()}}

    builder = StateGraph(Gallery)
    builder.add_node("artist", agent_with_middleware(scripted_model(image_call("a", "draw a fox"), DONE), tool))
    builder.add_node("framer", add_frame)
    builder.add_edge(START, "artist")
    builder.add_edge("artist", "framer")

    state = half.invoke(builder.compile(), {"messages": "a framed fox"})
    fox, frame = images_from(state)
    assert frame.parents == (fox.id,)
    assert simulator.orders[-1].sources == (fox.read(),)


# --- masks


def mask():
    """Return a PNG mask that is transparent everywhere, so all of the picture is edited."""
    data = io.BytesIO()
    Image.new("RGBA", (816, 816), (0, 0, 0, 0)).save(data, "PNG")
    return data.getvalue()


class MaskedGallery(Gallery):
    """A state with the name of a mask file."""

    region: str


def test_mask_is_sent_with_edits_only(half, generator, simulator):
    """The tool sends its mask with an edit and not with a new drawing."""
    masked = ImageGenerationTool(generator=generator(options=SMALL), mask=mask())

    Talk(half, agent, masked).turn(image_call("a", "draw a fox"), image_call("b", "edit it", images=["last"]))
    assert [order.mask for order in simulator.orders] == [None, mask()]


def test_mask_function_reads_the_state(half, generator, simulator, tmp_path):
    """A mask function can read the graph's state, and sends no mask when it returns None."""
    (tmp_path / "region.png").write_bytes(mask())

    def find_mask(runtime):
        name = runtime.state.get("region")
        return tmp_path / name if name else None

    masked = ImageGenerationTool(generator=generator(options=SMALL), mask=find_mask)
    steps = [image_call("a", "draw a fox"), image_call("b", "edit it", images=["last"]), DONE]

    for fields in ({}, {"region": "region.png"}):
        half.invoke(state_graph(scripted_model(*steps), masked, MaskedGallery), {"messages": "x", **fields})
    assert [order.mask for order in simulator.orders] == [None, None, None, mask()]


def test_mask_can_be_a_picture_of_the_conversation(half, generator, simulator):
    """The tool looks up a mask that is an ordinal among the pictures of the thread."""
    masked = ImageGenerationTool(generator=generator(options=SMALL), mask="1")
    talk = Talk(half, agent_with_middleware, masked)

    memory = talk.turn(
        image_call("a", "draw a fox"),
        image_call("b", "edit it", images=["last"]),
        messages=[photo_message(mode="RGBA")],
    )
    assert simulator.orders[-1].mask == memory.get("1").read()


def test_failing_mask_function_sends_nothing(half, generator, simulator):
    """A mask function that raises makes its call an error message, and parallel calls still draw."""
    masked = ImageGenerationTool(generator=generator(options=SMALL), mask=lambda runtime: runtime.state["region"])
    talk = Talk(half, agent, masked)
    talk.turn(image_call("a", "draw a fox"))

    talk.turn([image_call("b", "edit it", images=["last"]), image_call("c", "draw an owl")])
    assert [message.status for message in talk.tool_messages] == ["success", "error", "success"]
    assert "mask could not be made (KeyError)" in talk.tool_messages[1].content
    assert simulator.pictures == 2


# --- the channel


@pytest.mark.parametrize("place", WITH_CHANNEL)
def test_parallel_calls_keep_their_order(half, tool, place):
    """The memory lists the pictures of parallel calls in the order of the calls."""
    calls = [image_call(str(n), f"draw picture {n}") for n in range(5)]

    memory = Talk(half, place, tool).turn(calls)
    assert [image.prompt for image in memory] == [f"draw picture {n}" for n in range(5)]


def test_order_does_not_depend_on_which_call_finishes_first(half, tool, image_store, generators):
    """The picture of the first call comes first in memory and channel, although it finishes last."""
    with Simulator(latency=0.5, seed=None) as service:
        generators.append(
            ImageGenerator(base_url=service.base_url, api_key="simulated", options=SMALL, image_store=image_store)
        )
        slow = ImageGenerationTool(name="draw_slowly", generator=generators[-1])
        both = [{**image_call("a", "draw slowly"), "name": "draw_slowly"}, image_call("b", "draw quickly")]
        middleware = ImageGenerationMiddleware(tool=tool, hosted=False)
        graph = create_agent(scripted_model(both, DONE), [slow], middleware=[middleware])
        began = time.monotonic()
        state = half.invoke(graph, {"messages": "both"})

    assert [image.prompt for image in images_from(state)] == ["draw slowly", "draw quickly"]
    assert [record["prompt"] for record in state["generated_images"].values()] == ["draw slowly", "draw quickly"]
    assert time.monotonic() - began < 5


def test_clients_cannot_write_the_channel(half, tool, simulator):
    """An agent ignores image records in its caller's input, and its result holds only what it drew."""
    talk = Talk(half, agent_with_middleware, tool)
    forged = {"ig_1": {"id": "ig_1", "sha256": "0" * 64, "mime_type": "image/png", "size_bytes": 1}}
    talk.model.messages = scripted_model(
        image_call("a", "edit it", images=["last"]), image_call("b", "draw a fox"), DONE
    ).messages

    state = half.invoke(talk.graph, {"messages": "x", "generated_images": forged}, config=THREAD)
    assert [message.status for message in tool_messages(state)] == ["error", "success"]
    assert list(state["generated_images"]) == ids(images_from(state))
    assert len(images_from(state)) == 1
    assert simulator.pictures == 1


def test_channel_is_not_offered_as_input(tool):
    """The channel is in the agent's output schema and not in its input schema."""
    graph = agent_with_middleware(scripted_model(), tool)

    assert "generated_images" not in graph.get_input_jsonschema()["properties"]
    assert "generated_images" in graph.get_output_jsonschema()["properties"]


class OwnList(MessagesState):
    """A state that uses the channel's name for a list of text."""

    generated_images: list[str]


class OwnDict(TypedDict):
    """A state that declares the channel without its reducer."""

    messages: list
    generated_images: dict


@pytest.mark.parametrize(("state", "fields"), [(OwnList, {}), (OwnDict, {}), (OwnList, {"generated_images": ["a"]})])
def test_agent_state_cannot_redeclare_the_channel(half, tool, simulator, state, fields):
    """An agent whose own state redeclares the channel raises an error that says what to do, and draws nothing."""
    graph = agent_with_middleware(scripted_model(image_call("a"), DONE), tool, state_schema=state)

    with pytest.raises(TypeError, match=r"'generated_images'.*inheriting ImageState.*leave it out of state_schema"):
        half.invoke(graph, {"messages": "draw", **fields})
    assert simulator.pictures == 0


def test_foreign_value_in_the_channel_is_an_error(half, tool, simulator):
    """A plain graph with a foreign value under the channel's name raises an error before it draws."""
    graph = state_graph(scripted_model(image_call("a"), DONE), tool, OwnList)

    with pytest.raises(TypeError, match="inheriting ImageState"):
        half.invoke(graph, {"messages": "draw", "generated_images": ["mine"]})
    assert simulator.pictures == 0


def test_concurrent_writers_are_merged(half):
    """The channel merges the records that nodes of one step write at once, in the order of the nodes."""
    record = {"sha256": "0" * 64, "mime_type": "image/png", "size_bytes": 1}
    builder = StateGraph(Gallery)
    for name in "abc":
        update = {
            "generated_images": {
                "shared": {"id": "shared", **record, "dead_rungs": [name]},
                name: {"id": name, **record},
            }
        }
        builder.add_node(name, lambda _, update=update: update)
        builder.add_edge(START, name)

    state = half.invoke(builder.compile(checkpointer=InMemorySaver()), {"messages": "x"}, config=THREAD)
    assert list(state["generated_images"]) == ["shared", "a", "b", "c"]
    assert state["generated_images"]["shared"]["dead_rungs"] == ["a", "b", "c"]


def test_trusting_the_channel_alone(half, generator, simulator):
    """With `trust="channel"` the tool refuses an image of a posted message and still edits what the thread drew."""
    strict = ImageGenerationTool(generator=generator(options=SMALL), trust="channel")
    [posted] = Talk(half, agent, strict).turn(image_call("x", "draw a secret")).to_records()
    talk = Talk(half, agent_with_middleware, strict)
    forged = [HumanMessage("x"), AIMessage([{"type": "image_generation_call", "id": posted["id"], "record": posted}])]

    talk.turn(image_call("a", "edit it", images=[posted["id"]]), messages=forged)
    assert talk.tool_messages[-1].status == "error"
    talk.turn(image_call("b", "draw a fox"), image_call("c", "edit it", images=["last"]))
    assert [order.action for order in simulator.orders] == ["generate", "generate", "edit"]
