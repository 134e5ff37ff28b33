"""LangGraph's `ui` messages for pictures: streamed while a picture is drawn, and kept when it is finished."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.ui import AnyUIMessage, ui_message_reducer

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageMemory, ImageStore
from langchain_imagegen.errors import OptionError
from langchain_imagegen.simulator import moderated
from tests.conversations import SMALL
from tests.graphs import THREAD, Gallery, agent, state_graph
from tests.scripted import DONE, image_call, scripted_model

ADDRESS = "https://images.example.com/{sha256}.{ext}"


class UiGallery(Gallery):
    """A state with messages, images and `ui` messages, as LangGraph's guide declares them."""

    ui: Annotated[Sequence[AnyUIMessage], ui_message_reducer]


@pytest.fixture
def tool(generator, tmp_path):
    """Return a tool that pushes `ui` messages."""
    store = ImageStore(str(tmp_path / "images"), public_url=ADDRESS)
    return ImageGenerationTool(generator=generator(options=SMALL, image_store=store), ui=True)


def streamed(half: Any, graph: Any, text: str) -> tuple[list[Any], Any]:
    """Return the `ui` messages that a front end receives during a turn, and the state after it."""
    chunks = half.stream(graph, {"messages": text}, config=THREAD, stream_mode=["custom", "values"])
    pushed = [chunk for mode, chunk in chunks if mode == "custom" and chunk.get("type") == "ui"]
    return pushed, [chunk for mode, chunk in chunks if mode == "values"][-1]


@pytest.mark.parametrize("place", ["agent", "graph"])
def test_one_message_from_start_to_finish(half, tool, place):
    """The message of a call begins without a picture and ends with it, beside the message that made the call."""
    model, saver = scripted_model(image_call("a"), DONE), InMemorySaver()
    if place == "agent":
        middleware = ImageGenerationMiddleware(tool=tool, hosted=False)
        graph = agent(model, tool, middleware=[middleware], checkpointer=saver)
    else:
        graph = state_graph(model, tool, UiGallery, checkpointer=saver)
    pushed, state = streamed(half, graph, "a fox")

    [fox] = ImageMemory.from_state(state)
    [kept] = state["ui"]
    assert {(each["id"], each["name"]) for each in [*pushed, kept]} == {("imagegen-a", "generated_image")}
    assert [each["props"]["state"] for each in pushed] == ["started", "finished"]
    assert kept["metadata"]["message_id"] == state["messages"][1].id
    assert kept["props"]["url"] == f"https://images.example.com/{fox.sha256}.png"
    assert (kept["props"]["handle"], kept["props"]["prompt"]) == (fox.handle, "draw a fox")
    assert "versions" not in kept["props"]
    assert len(json.dumps(kept)) < 1_500
    assert ui_message_reducer([], pushed)[0]["props"] == kept["props"]


def test_versions_and_several_calls(half, tool):
    """Each call has its message, and that of an edit lists the pictures that led to it."""
    model = scripted_model([image_call("a"), image_call("b", "draw a cat")], DONE)
    middleware = ImageGenerationMiddleware(tool=tool, hosted=False)
    graph = agent(model, tool, middleware=[middleware], checkpointer=InMemorySaver())
    half.invoke(graph, {"messages": "two"}, config=THREAD)
    model.messages = scripted_model(image_call("c", "edit it", images=["1"]), DONE).messages
    state = half.invoke(graph, {"messages": "edit the first"}, config=THREAD)

    memory = ImageMemory.from_state(state)
    props = {each["id"]: each["props"] for each in state["ui"]}
    assert set(props) == {"imagegen-a", "imagegen-b", "imagegen-c"}
    assert [each["handle"] for each in props["imagegen-c"]["versions"]] == [memory[0].handle, memory[2].handle]


def test_hosted_picture(talks, tmp_path):
    """A hosted call's picture is pushed beside the message that has the call, and kept in the state."""
    store = ImageStore(str(tmp_path / "images"), public_url=ADDRESS)
    talk = talks.start(ImageGenerationMiddleware(SMALL, image_store=store, ui=True))
    answer = talk.say("draw a fox")["messages"][-1]

    [kept] = talk.state["ui"]
    assert kept["metadata"]["message_id"] == answer.id
    assert kept["props"]["handle"] == talk.handles[0]
    assert kept["props"]["state"] == "finished"


STATES = ["started", "partial", "partial", "partial", "finished"]


@pytest.mark.parametrize("place", [agent, state_graph], ids=["agent", "graph"])
def test_unfinished_pictures(half, tool, place):
    """Each partial picture of a call updates its message in place, with its address and in order."""
    graph = place(
        scripted_model(image_call("a"), DONE), tool.model_copy(update={"partials": 2}), checkpointer=InMemorySaver()
    )
    pushed, _ = streamed(half, graph, "a fox")

    assert [each["props"]["state"] for each in pushed] == STATES
    assert {each["id"] for each in pushed} == {"imagegen-a"}
    check_partials(pushed)


def check_partials(pushed: list[Any]) -> None:
    """Check that each message of a partial picture updates the one before, which keeps the prompt."""
    _, *partials, finished = (each["props"] for each in pushed)
    assert [each["index"] for each in partials] == [0, 1, 2]
    assert partials[2]["url"] == finished["url"] != partials[1]["url"] != partials[0]["url"]
    [shown] = ui_message_reducer([pushed[0]], pushed[1:3])
    assert shown["props"] == {**pushed[0]["props"], **partials[1]}


@pytest.mark.parametrize("mode", ["custom", "messages"])
def test_unfinished_pictures_of_hosted_calls(talks, half, tmp_path, mode):
    """With `wire=True` a hosted call's message is updated in place too, beside the answer, streamed or not."""
    store = ImageStore(str(tmp_path / "images"), public_url=ADDRESS)
    settings = {"image_store": store, "ui": True, "wire": True, "partials": 2}
    graph = create_agent(
        talks.model(), middleware=[ImageGenerationMiddleware(SMALL, **settings)], checkpointer=InMemorySaver()
    )
    chunks = half.stream(graph, {"messages": "draw a fox"}, config=THREAD, stream_mode=[mode, "custom", "values"])
    pushed = [chunk for mode, chunk in chunks if mode == "custom" and chunk["type"] == "ui"]
    state = [chunk for mode, chunk in chunks if mode == "values"][-1]

    [fox], [kept] = ImageMemory.from_state(state), state["ui"]
    assert [each["props"]["state"] for each in pushed] == STATES
    assert {each["id"] for each in (*pushed, kept)} == {f"imagegen-{fox.id}"}
    assert {each["metadata"]["message_id"] for each in (*pushed, kept)} == {state["messages"][-1].id}
    assert (pushed[0]["props"]["prompt"], kept["props"]["handle"]) == ("draw a fox", fox.handle)
    check_partials(pushed)


def test_a_refused_hosted_picture(talks, tmp_path):
    """A hosted picture that was refused is shown as such in the state, and why."""
    talks.simulator.script(moderated("output", ["violence"], at="item"))
    store = ImageStore(str(tmp_path / "images"), public_url=ADDRESS)
    talk = talks.start(ImageGenerationMiddleware(SMALL, image_store=store, ui=True, wire=True, partials=1))
    talk.say("draw a fox")

    [kept] = talk.state["ui"]
    assert (kept["props"]["state"], kept["metadata"]["message_id"]) == ("failed", talk.state["messages"][-1].id)
    assert "violence" in kept["props"]["error"]


def test_failure(half, tool, simulator):
    """A picture that was refused is shown as such, and why."""
    simulator.script(moderated("input", ["violence"]))
    graph = state_graph(scripted_model(image_call("a"), DONE), tool, UiGallery, checkpointer=InMemorySaver())
    _, state = streamed(half, graph, "a fox")

    [kept] = state["ui"]
    assert kept["props"]["state"] == "failed"
    assert "violence" in kept["props"]["error"]


def test_graph_without_a_place_for_them(half, tool, caplog):
    """In a graph whose state has no `ui` key the messages are streamed, and nothing is logged."""
    graph = state_graph(scripted_model(image_call("a"), DONE), tool, Gallery, checkpointer=InMemorySaver())
    pushed, state = streamed(half, graph, "a fox")

    assert [each["props"]["state"] for each in pushed] == ["started", "finished"]
    assert "ui" not in state
    assert not caplog.records


def test_outside_a_graph(half, tool):
    """A tool that is called by itself draws as ever."""
    assert "img_" in half.invoke(tool, {"prompt": "draw a fox"})


def test_a_forgotten_picture(half, tool):
    """The message of a forgotten picture goes with the next turn."""
    model = scripted_model(image_call("a"), DONE)
    middleware = ImageGenerationMiddleware(tool=tool, hosted=False)
    graph = agent(model, tool, middleware=[middleware], checkpointer=InMemorySaver())
    state = half.invoke(graph, {"messages": "a fox"}, config=THREAD)
    update = {"generated_images": ImageMemory.from_state(state).forget("last")}
    if half.name == "async":
        half.wait(graph.aupdate_state, THREAD, update)
    else:
        graph.update_state(THREAD, update)
    model.messages = scripted_model(AIMessage("Well.")).messages

    assert half.invoke(graph, {"messages": "well?"}, config=THREAD)["ui"] == []


def test_without_addresses(image_store):
    """A middleware whose pictures have no address says so when it is built."""
    with pytest.raises(OptionError, match=r"ui=True needs an address"):
        ImageGenerationMiddleware(image_store=image_store, ui=True)
