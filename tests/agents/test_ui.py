"""LangGraph's `ui` messages for pictures: streamed while a picture is drawn, and kept when it is finished."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import pytest
from langchain_core.callbacks import dispatch_custom_event
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.ui import AnyUIMessage, ui_message_reducer

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageMemory, ImageStore
from langchain_imagegen.errors import OptionError
from langchain_imagegen.simulator import moderated
from tests.conftest import Sync
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


def test_an_unfinished_picture(tool):
    """An event of an unfinished picture, sent while the tool draws, updates the message of the call."""

    def around(request, call):
        dispatch_custom_event("image.partial", {"tool_call_id": "a", "index": 0, "url": "https://images.example.com/p"})
        return call(request)

    drawing = tool.model_copy(update={"around_image": around})
    graph = state_graph(scripted_model(image_call("a"), DONE), drawing, UiGallery, checkpointer=InMemorySaver())
    pushed, state = streamed(Sync(), graph, "a fox")

    started, partial, finished = (each["props"] for each in pushed)
    assert (started["state"], finished["state"]) == ("started", "finished")
    assert partial == {"state": "partial", "index": 0, "url": "https://images.example.com/p"}
    assert ui_message_reducer([pushed[0]], [pushed[1]])[0]["props"]["prompt"] == "draw a fox"
    assert len({each["id"] for each in pushed}) == len(state["ui"]) == 1


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
