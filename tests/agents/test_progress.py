"""Events while a picture is drawn: who follows a run sees it begin, sharpen and end, wherever the tool is used."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from deepagents import create_deep_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langgraph.graph import START, StateGraph

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageMemory, ImageStore
from langchain_imagegen.simulator import moderated
from tests import events_page
from tests.conversations import SMALL
from tests.followers import FOLLOWERS, follow
from tests.graphs import PLACES, Gallery, agent, agent_with_middleware, state_graph
from tests.scripted import DONE, ScriptedModel, image_call, scripted_model

pytestmark = pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
KEYS = {"type", "handle", "tool_call_id", "index", "final", "mime_type", "sha256"}
ASK = {"messages": "draw a fox"}


def artist(*steps: Any) -> ScriptedModel:
    """Return a chat model that makes these calls, and that does not stream, since it cannot stream tool calls."""
    model = scripted_model(*(steps or (image_call("a"),)), DONE)
    model.disable_streaming = True
    return model


def deep_agent(model: Any, tool: Any) -> Any:
    """Return a deep agent that has the tool."""
    return create_deep_agent(model, tools=[tool])


def deep_agent_with_sub_agent(model: Any, tool: Any) -> Any:
    """Return a deep agent whose sub-agent draws."""
    painter = {
        "name": "artist",
        "description": "Draws.",
        "system_prompt": "Draw.",
        "model": model,
        "middleware": [ImageGenerationMiddleware(tool=tool, hosted=False)],
    }
    task = {"name": "task", "args": {"description": "draw", "subagent_type": "artist"}, "id": "t", "type": "tool_call"}
    return create_deep_agent(artist(task), subagents=[painter])


def agent_called_by_a_node(model: Any, tool: Any) -> Any:
    """Return a graph with a node that calls an agent as a function."""
    inner = agent_with_middleware(model, tool)
    builder = StateGraph(Gallery)
    builder.add_node("artist", lambda state: inner.invoke({"messages": state["messages"]}))
    builder.add_edge(START, "artist")
    return builder.compile()


@pytest.fixture
def make_tool(generator):
    """Return a function that makes tools that draw at the simulator."""
    return lambda **settings: ImageGenerationTool(generator=generator(options=SMALL), **settings)


@pytest.fixture
def addressed(tmp_path):
    """Return an image store with addresses."""
    return ImageStore(str(tmp_path / "images"), public_url="http://127.0.0.1/{name}")


def types(events: list[Any]) -> list[str]:
    """Return the types of events without their common beginning."""
    return [event["type"].removeprefix("image.") for event in events]


GIF = {"model": "gpt-image-2.6-flare", "output_format": "gif", "size": "960x960"}
SEQUENCE = ["started", "partial", "partial", "partial", "finished"]


@pytest.mark.parametrize("name", FOLLOWERS)
@pytest.mark.parametrize(
    "place",
    [*PLACES, agent_called_by_a_node, deep_agent, deep_agent_with_sub_agent],
    ids=lambda place: place.__name__,
)
def test_every_follower_in_every_place(place, name, half, make_tool, simulator):
    """Each way of following a run sees the picture begin, its two partials, the finished bytes and its end, once."""
    key = "chat" if place.__name__ == "graph_with_chat_key" else "messages"
    events = follow(half, name, place(artist(), make_tool(partials=2)), {key: [("user", "draw a fox")]})

    assert types(events) == SEQUENCE
    assert simulator.pictures == 1
    assert {event["tool_call_id"] for event in events} == {"a"}
    assert len({event["handle"] for event in events[1:]}) == 1


def test_events_are_small_json(half, make_tool, image_store):
    """Events are plain JSON that names bytes in the store; the last partial and the finished picture are the same."""
    events = follow(half, "custom", agent_with_middleware(artist(), make_tool(partials=2)), ASK)
    begin, *partials, end = json.loads(json.dumps(events))

    assert begin == {
        "type": "image.started",
        "handle": None,
        "tool_call_id": "a",
        "index": None,
        "final": False,
        "mime_type": None,
        "sha256": None,
        "prompt": "draw a fox",
    }
    assert [(event["index"], event["final"]) for event in partials] == [(0, False), (1, False), (2, True)]
    assert all(event.keys() == KEYS for event in partials)
    assert all(image_store.blob(event["sha256"]).mime_type == event["mime_type"] for event in (*partials, end))
    assert end["sha256"] == partials[2]["sha256"] not in (partials[0]["sha256"], partials[1]["sha256"])
    assert end["prompt"] == "draw a fox"
    assert end["revised_prompt"]
    assert len(json.dumps(events)) < 3000


def test_inline(half, make_tool, image_store):
    """With `partials="inline"` events have the bytes of partial pictures; the finished one is in the store."""
    events = follow(half, "custom", agent(artist(), make_tool(partials="inline")), ASK)

    assert types(events) == SEQUENCE
    assert all(base64.b64decode(event["data"]) == image_store.get(event["sha256"]) for event in events[1:4])
    assert "data" not in events[4]


def test_addresses(half, generator, addressed):
    """Where the store gives addresses, partial and finished pictures have theirs."""
    tool = ImageGenerationTool(generator=generator(options=SMALL, image_store=addressed), partials=1)
    _, *shown = follow(half, "custom", agent(artist(), tool), ASK)

    assert all(event["url"].startswith("http://127.0.0.1/") for event in shown)
    assert all(event["sha256"] in event["url"] for event in shown)


def test_links_of_the_tool(half, make_tool):
    """The finished picture has the link that `url_for` makes, which is called once."""
    asked: list[str] = []

    def link(image: Any) -> str:
        asked.append(image.handle)
        return f"https://pictures.example/{image.handle}"

    *_, end = follow(half, "custom", agent(artist(), make_tool(partials=1, url_for=link)), ASK)
    assert end["url"] == f"https://pictures.example/{end['handle']}"
    assert asked == [end["handle"]]


@pytest.mark.parametrize(
    ("partials", "options", "count"),
    [(None, {}, 0), (0, {"partial_images": 2}, 0), (None, {"partial_images": 2}, 2), (3, {}, 3), ("inline", {}, 2)],
)
def test_how_many(half, generator, simulator, partials, options, count):
    """`partials` overrides the generator's option, and nothing is asked for unless one of them says so."""
    tool = ImageGenerationTool(generator=generator(options={**SMALL, **options}), partials=partials)
    events = follow(half, "custom", agent(artist(), tool), ASK)

    assert types(events).count("partial") == (count + 1 if count else 0)
    assert simulator.requests[-1].body["tools"][0].get("partial_images", 0) == count


def test_the_images_api(half, generator):
    """The Images API shows partial pictures too; the events of a call belong together by its id."""
    tool = ImageGenerationTool(generator=generator(options=SMALL, api="images"), partials=2)
    events = follow(half, "custom", agent(artist(), tool), ASK)

    assert types(events)[0] == "started"
    assert types(events)[-1] == "finished"
    assert types(events).count("partial") >= 2
    assert {event["tool_call_id"] for event in events} == {"a"}


def test_a_format_without_partials(half, generator):
    """A picture whose format has no partial pictures is drawn without them."""
    tool = ImageGenerationTool(generator=generator(options=GIF), partials=2)

    assert types(follow(half, "custom", agent(artist(), tool), ASK)) == ["started", "finished"]


def test_parallel_calls(half, make_tool):
    """Calls made at once tell of their pictures under the ids of their own."""
    model = artist([image_call("a", "draw a fox"), image_call("b", "draw an owl")])
    events = follow(half, "custom", agent_with_middleware(model, make_tool(partials=1)), ASK)

    for id in "ab":
        assert types([event for event in events if event["tool_call_id"] == id]) == [
            "started",
            "partial",
            "partial",
            "finished",
        ]


def test_failure(half, make_tool, simulator):
    """A picture that is refused ends with `image.failed` and the reason."""
    simulator.script(moderated("input", ["violence"]))
    events = follow(half, "custom", agent(artist(), make_tool(partials=2)), ASK)

    assert types(events) == ["started", "failed"]
    assert "moderation" in events[1]["error"] or "safety" in events[1]["error"]


def test_partials_are_pruned_with_their_picture(half, make_tool, image_store):
    """Pruning keeps the partial pictures of the images that it keeps; deleting an image deletes its partials."""
    graph = agent_with_middleware(artist(), make_tool(partials=2))
    state = half.invoke(graph, ASK)
    memory = ImageMemory.from_state(state, image_store=image_store)
    fox = memory["last"]

    assert len(fox.partials) == 2
    assert image_store.prune(keep=memory) == []
    assert image_store.prune(keep=state["generated_images"]) == []
    image_store.delete(fox)
    assert not any(digest in image_store for digest in (fox.sha256, *fox.partials))


def test_partials_of_a_failed_call_are_pruned(half, generator, image_store, simulator):
    """Partial pictures that came to nothing stay until the next pruning, which keeps them for no image."""
    tool = ImageGenerationTool(generator=generator(options=SMALL), partials=1)
    state = half.invoke(agent_with_middleware(artist(), tool), ASK)
    memory = ImageMemory.from_state(state)
    stray = image_store.put(memory["last"].read() + b"stray").sha256

    assert image_store.prune(keep=memory) == [stray]


class Broken(BaseCallbackHandler):
    """A callback handler that fails at each custom event."""

    raise_error = True

    def on_custom_event(self, name: str, data: Any, **facts: Any) -> None:
        """Fail."""
        raise RuntimeError("the front end is gone")


@pytest.mark.parametrize("place", [agent, agent_with_middleware, state_graph], ids=lambda place: place.__name__)
def test_a_failing_follower(place, half, make_tool, caplog):
    """A follower that fails at each event is logged; the picture is drawn, and other followers see every event."""
    config = {"callbacks": [Broken()]}
    events = follow(half, "custom", place(artist(), make_tool(partials=2)), ASK, config)

    assert types(events) == SEQUENCE
    assert caplog.text.count("was not delivered") == 5


def test_the_middleware_passes_it_on(half, simulator, image_store, make_tool):
    """`partials` of the middleware holds for its function tool, be it made by it or given."""
    for tool in (None, make_tool(partials=3)):
        middleware = ImageGenerationMiddleware(tool=tool, hosted=False, partials=1)

        assert middleware.tool.partials == 1
    assert ImageGenerationMiddleware(tool=make_tool(partials=3), hosted=False).tool.partials == 3


@pytest.mark.parametrize("wrong", [4, -1, "all", 1.5])
def test_a_wrong_number(wrong):
    """Anything but 0 to 3 and "inline" is refused at once, with what is accepted."""
    with pytest.raises(ValueError, match="inline"):
        ImageGenerationTool(partials=wrong)
    with pytest.raises(ValueError, match="inline"):
        ImageGenerationMiddleware(partials=wrong)


def test_outside_a_graph(half, make_tool):
    """Without a graph, callback handlers get the events under the id of the tool's run."""
    from tests.followers import Handler

    handler = Handler()
    half.invoke(make_tool(partials=1), {"prompt": "draw a fox"}, config={"callbacks": [handler]})

    assert types(handler.events) == ["started", "partial", "partial", "finished"]
    assert len({event["tool_call_id"] for event in handler.events}) == 1


def test_a_tool_that_a_model_does_not_stream(half, make_tool):
    """An agent that nobody follows draws as before."""
    state = half.invoke(agent(artist(), make_tool(partials=2)), ASK)

    assert isinstance(state["messages"][-1], AIMessage)


def test_the_page_of_events():
    """`docs/events.md` shows the events as they are."""
    assert events_page.PAGE.read_text(encoding="utf-8") == events_page.page()
