"""Events of hosted calls with `wire=True`: they are those of the function tool, and the chat model sees no partials."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any

import pytest
from deepagents import create_deep_agent
from langchain.agents import create_agent
from langgraph.graph import START, StateGraph
from pydantic import BaseModel

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageMemory, ImageOptions, ImageStore
from langchain_imagegen.agents.hosted_progress import hosted_progress
from langchain_imagegen.errors import ImageGenerationError, ModerationError, OptionError
from langchain_imagegen.http.drawing_events import Partial
from langchain_imagegen.http.rewriter import Arrived
from langchain_imagegen.simulator import Fault, flat_error_event, image, moderated, moderated_beside_good
from langchain_imagegen.simulator.faults import Delivery
from langchain_imagegen.storage.call_store import CallStore
from langchain_imagegen.streaming.placeholders import write_token
from tests.agents.test_progress import ASK, KEYS, Broken, artist, types
from tests.conversations import SMALL, VERSIONS, count_base64, photo
from tests.followers import Handler, follow
from tests.graphs import Gallery

pytestmark = pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
SEQUENCE = ["started", "partial", "partial", "partial", "finished"]
TWO = {"wire": True, "partials": 2}
sync_alone = pytest.mark.parametrize("half", ["sync"], indirect=True)
async_alone = pytest.mark.parametrize("half", ["async"], indirect=True)


def agent(model: Any, middleware: Any) -> Any:
    """Return an agent."""
    return create_agent(model, middleware=[middleware])


def agent_as_node(model: Any, middleware: Any) -> Any:
    """Return a graph that has an agent as its only node."""
    builder = StateGraph(Gallery)
    builder.add_node("artist", agent(model, middleware))
    builder.add_edge(START, "artist")
    return builder.compile()


def deep_agent(model: Any, middleware: Any) -> Any:
    """Return a deep agent."""
    return create_deep_agent(model, middleware=[middleware])


def deep_agent_with_sub_agent(model: Any, middleware: Any) -> Any:
    """Return a deep agent whose sub-agent draws."""
    painter = {"name": "artist", "description": "Draws.", "system_prompt": "Draw.", "model": model}
    task = {"name": "task", "args": {"description": "draw", "subagent_type": "artist"}, "id": "t", "type": "tool_call"}
    return create_deep_agent(artist(task), subagents=[{**painter, "middleware": [middleware]}])


@pytest.fixture
def middleware(image_store):
    """Return a function that makes the middleware, with two partial pictures beneath the chat model."""
    return lambda **settings: ImageGenerationMiddleware(SMALL, **{"image_store": image_store, **TWO, **settings})


def asked(talks: Any) -> Any:
    """Return how many partial pictures the last request asks for; None if it says nothing."""
    [tool] = talks.simulator.requests[-1].body["tools"]
    return tool.get("partial_images")


# Who sees them


@pytest.mark.parametrize("name", ["custom", "v2", "v3", "v3-unasked"])
def test_every_follower(talks, half, middleware, name):
    """Each way of following a run sees the picture begin, its partials and its end, streamed or not."""
    events = follow(half, name, agent(talks.model(), middleware()), ASK)

    assert types(events) == SEQUENCE
    assert (talks.simulator.pictures, asked(talks)) == (1, 2)
    assert [len({event[key] for event in events}) for key in ("tool_call_id", "handle")] == [1, 1]


@pytest.mark.parametrize("place", [agent_as_node, deep_agent, deep_agent_with_sub_agent], ids=lambda p: p.__name__)
def test_every_place(talks, half, middleware, place):
    """The events of sub-graphs, deep agents and their sub-agents reach who follows the outer run."""
    graph = place(talks.model(), middleware())

    assert types(follow(half, "custom", graph, {"messages": [("user", "draw a fox")]})) == SEQUENCE


@pytest.mark.parametrize("mode", ["custom", "messages"])
def test_a_partial_is_seen_while_the_service_draws(talks, half, middleware, image_store, mode):
    """A partial picture is in the store when its event comes, before the service has sent the finished one."""
    seen: list[bool] = []

    class Follower(Handler):
        def on_custom_event(self, name: str, data: Any, **facts: Any) -> None:
            if name == "image.partial":
                seen.append(data["sha256"] in image_store)

    talks.simulator.script(Fault("cut", delivery=Delivery(cut=lambda total: total // 3)))
    graph = agent(talks.model(store=False), middleware())
    with pytest.raises(ImageGenerationError):
        half.stream(graph, ASK, config={"callbacks": [Follower()]}, stream_mode=mode)

    assert seen
    assert all(seen)


# What they say


def test_events_are_small_json(talks, half, middleware, image_store):
    """Events are plain JSON that names bytes in the store, under the call's id, which is that of the picture."""
    talk = talks.start(middleware())
    config = {"configurable": {"thread_id": "one"}}
    events = json.loads(json.dumps(follow(half, "custom", talk.agent, ASK, config)))
    begin, *partials, end = events
    fox = ImageMemory.from_state(half.invoke(talk.agent, {"messages": []}, config=config)).get("1")

    assert begin.keys() == end.keys() - {"revised_prompt"} == KEYS | {"prompt"}
    assert (begin["tool_call_id"], begin["handle"], begin["prompt"]) == (fox.id, fox.handle, "draw a fox")
    assert [(event["index"], event["final"]) for event in partials] == [(0, False), (1, False), (2, True)]
    assert all(event.keys() == KEYS for event in partials)
    assert all(image_store.blob(event["sha256"]).mime_type == event["mime_type"] for event in (*partials, end))
    assert end["sha256"] == partials[2]["sha256"] == fox.sha256
    assert fox.partials == tuple(event["sha256"] for event in partials[:2])
    assert count_base64(talk.file) == 0
    assert len(json.dumps(events)) < 3000


@sync_alone
def test_inline(talks, half, middleware, image_store):
    """With `partials="inline"` events have the bytes of partial pictures; the finished one is in the store."""
    events = follow(half, "custom", agent(talks.model(), middleware(partials="inline")), ASK)

    assert types(events) == SEQUENCE
    assert all(base64.b64decode(event["data"]) == image_store.get(event["sha256"]) for event in events[1:4])
    assert "data" not in events[4]


@sync_alone
def test_addresses(talks, half, middleware, tmp_path):
    """Where the store gives addresses, partial and finished pictures have theirs."""
    store = ImageStore(str(tmp_path / "addressed"), public_url="http://127.0.0.1/{name}")
    _, *shown = follow(half, "custom", agent(talks.model(), middleware(image_store=store)), ASK)

    assert all(event["sha256"] in event["url"] for event in shown)


@sync_alone
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", ["custom", "messages"])
def test_the_chat_model_answers_as_without(talks, half, middleware, version, mode):
    """Message, usage and metadata are those of a call without partials, in every output version, streamed or not."""
    answers = []
    for partials in (None, 2):
        model = talks.model(output_version=version)
        graph = agent(model, middleware(partials=partials))
        chunks = half.stream(graph, ASK, stream_mode=[mode, "values"])
        answers.append([value for mode, value in chunks if mode == "values"][-1]["messages"][-1])

    plain, watched = (answer.model_dump() for answer in answers)
    assert shape(watched) == shape(plain)
    assert answers[1].usage_metadata == answers[0].usage_metadata


def shape(value: Any) -> Any:
    """Return a value with its names and kinds alone, since ids and times differ."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items() if name != "sha256"}
    return [shape(each) for each in value] if isinstance(value, (list, tuple)) else type(value)


@sync_alone
def test_a_structured_answer(talks, half, middleware):
    """An agent with a `response_format` gets its structured answer beside the picture."""

    class Title(BaseModel):
        title: str

    graph = create_agent(talks.model(), middleware=[middleware()], response_format=Title)
    state = half.invoke(graph, ASK)

    assert state["structured_response"] == Title(title="simulated")
    assert len(state["generated_images"]) == asked(talks) - 1 == 1


@sync_alone
def test_two_pictures(talks, half, middleware):
    """The pictures of one answer are told apart by the ids of their calls."""
    events = follow(half, "custom", agent(talks.model(), middleware()), {"messages": "draw two pictures of a fox"})

    ids = list(dict.fromkeys(event["tool_call_id"] for event in events))
    assert [types([event for event in events if event["tool_call_id"] == id]) for id in ids] == [SEQUENCE, SEQUENCE]


@sync_alone
def test_the_store_fails(talks, half, tmp_path):
    """Pictures that cannot be stored have no digest in their events; `"inline"` still shows the partial ones."""
    (tmp_path / "file").write_bytes(b"")
    store = ImageStore(str(tmp_path / "file"))
    middleware = ImageGenerationMiddleware(SMALL, wire=True, partials="inline", image_store=store)
    events = follow(half, "custom", agent(talks.model(), middleware), ASK)

    assert types(events) == SEQUENCE
    assert {event["sha256"] for event in events} == {None}
    assert all(base64.b64decode(event["data"]).startswith(b"\x89PNG") for event in events[1:4])


@sync_alone
def test_partials_are_pruned_with_their_picture(talks, half, middleware, image_store):
    """Pruning keeps the partial pictures of the images that it keeps; deleting an image deletes its partials."""
    state = half.invoke(agent(talks.model(), middleware()), ASK)
    memory = ImageMemory.from_state(state, image_store=image_store)
    fox = memory["last"]

    assert len(fox.partials) == 2
    assert image_store.prune(keep=state["generated_images"]) == []
    image_store.delete(fox)
    assert not any(digest in image_store for digest in (fox.sha256, *fox.partials))


# How many


@pytest.mark.parametrize("mode", ["custom", "messages"])
def test_unset(talks, half, middleware, mode):
    """Without `partials` the requests are as without `wire`, and only the beginning and the end are told."""
    bodies, handler = [], Handler()
    for wire in (False, True):
        graph = agent(talks.model(), middleware(partials=None, wire=wire))
        half.stream(graph, ASK, config={"callbacks": [handler]}, stream_mode=mode)
        bodies.append((talks.simulator.requests[-1].body, talks.simulator.requests[-1].size))

    assert bodies[0] == bodies[1]
    assert types(handler.events) == ["started", "finished"]


@pytest.mark.parametrize(
    ("settings", "options", "count"),
    [
        ({"partials": 3}, {}, 3),
        ({"partials": 0}, {"partial_images": 2}, None),
        ({"partials": None}, {"partial_images": 1}, 1),
        ({"partials": None, "tool": ImageGenerationTool(partials=1)}, {}, 1),
        ({}, {"model": "gpt-image-2.6-flare", "output_format": "gif", "size": "960x960"}, None),
    ],
)
@sync_alone
def test_how_many(talks, half, image_store, settings, options, count):
    """`partials` overrides the option and the tool's; formats that have no partial pictures ask for none."""
    middleware = ImageGenerationMiddleware({**SMALL, **options}, **{"image_store": image_store, **TWO, **settings})
    events = follow(half, "custom", agent(talks.model(), middleware), ASK)

    assert asked(talks) == count
    assert types(events).count("partial") == (count + 1 if count else 0)


@sync_alone
def test_partials_count_towards_a_limit(talks, half, middleware):
    """A picture whose partial pictures might exceed `max_cost` is not drawn; without them it fits."""
    for partials in (3, None):
        half.invoke(agent(talks.model(), middleware(partials=partials, max_cost="$0.05")), ASK)

    assert talks.simulator.pictures == 1


@sync_alone
def test_without_wire(talks, half):
    """Partials of hosted calls without `wire=True` are refused before anything is sent, with what to set."""
    with pytest.raises(OptionError, match="wire=True"):
        ImageGenerationMiddleware(hosted=True, partials=2)
    with pytest.raises(OptionError, match="wire=True"):
        half.invoke(agent(talks.model(), ImageGenerationMiddleware(SMALL, partials=2)), ASK)
    assert not talks.simulator.requests


# What goes wrong


def test_inline_without_bytes(image_store, caplog):
    """If the bytes for an event cannot be read back, the event comes without them."""
    events: list[Any] = []
    runtime = SimpleNamespace(stream_writer=events.append)
    facts = {"store": CallStore(image_store), "arrived": Arrived(), "provider": "", "prompt": "draw a fox"}
    progress = hosted_progress(runtime, "inline", ImageOptions(), wire=True, **facts)
    progress.tell(Partial("ig_1", 0, final=False, picture=write_token("a" * 64, "image/png")))

    assert types(events) == ["partial"]
    assert "data" not in events[0]
    assert "without its bytes" in caplog.text


@pytest.mark.parametrize("mode", ["custom", "messages"])
def test_a_failing_follower(talks, half, middleware, caplog, mode):
    """A follower that fails at each event is logged; the picture is drawn, and other followers see every event."""
    handler = Handler()
    config = {"callbacks": [Broken(), handler]}
    chunks = half.stream(agent(talks.model(), middleware()), ASK, config=config, stream_mode=[mode, "custom", "values"])

    assert types([chunk for mode, chunk in chunks if mode == "custom"]) == SEQUENCE
    assert len([chunk for mode, chunk in chunks if mode == "values"][-1]["generated_images"]) == 1
    assert caplog.text.count("was not delivered") == 5


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (moderated("output", ["violence"], at="item"), ["started", "failed"]),
        (moderated_beside_good("output", ["violence"]), [*SEQUENCE[:4], "started", "finished", "failed"]),
    ],
    ids=["alone", "beside a good one"],
)
def test_a_refused_picture(talks, half, middleware, fault, told):
    """A picture that the safety system refuses ends with `image.failed` and the reason."""
    talks.simulator.script(fault)
    events = follow(half, "custom", agent(talks.model(), middleware()), ASK)

    assert types(events) == told
    assert "violence" in events[-1]["error"]
    assert events[-1]["handle"] == events[-2 if len(told) == 2 else -3]["handle"]


@sync_alone
def test_a_refused_request(talks, half, middleware):
    """A request that is refused before anything is drawn ends with `image.failed` alone."""
    talks.simulator.script(moderated("input", ["violence"]))
    handler = Handler()
    with pytest.raises(ModerationError):
        half.invoke(agent(talks.model(), middleware()), ASK, config={"callbacks": [handler]})

    assert types(handler.events) == ["failed"]
    assert handler.events[0]["tool_call_id"] is None


def break_off(after: str, *more: dict[str, Any]) -> Fault:
    """Return a fault that ends a stream behind the first event of this type, with other events."""

    def sent(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        end = next(n for n, event in enumerate(events) if event["type"].endswith(after))
        return [*events[: end + 1], *more]

    return Fault("broken off", sent=sent)


ERROR = {"type": "error", "code": "server_error", "message": "The server had an error.", "param": None}


@pytest.mark.parametrize("mode", ["custom", "messages"])
def test_a_broken_answer(talks, half, middleware, mode):
    """An answer that breaks off while it is drawn is fetched again; its events go on, and it is bought once."""
    talks.simulator.script(break_off(".partial_image"))
    handler = Handler()
    graph = agent(talks.model(max_retries=2), middleware())
    half.stream(graph, ASK, config={"callbacks": [handler]}, stream_mode=mode)

    assert types(handler.events) == ["started", "partial", "finished"]
    assert [request.method for request in talks.simulator.requests] == ["POST", "GET"]
    assert talks.simulator.pictures == 1


@sync_alone
@pytest.mark.parametrize("mode", ["custom", "messages"])
@pytest.mark.parametrize("error", [ERROR, {"type": "error", "error": {**ERROR, "type": "server_error"}}])
def test_an_error_while_it_is_drawn(talks, half, middleware, error, mode):
    """An error of the service while it draws is raised, told, and never answered with a second request."""
    talks.simulator.script(break_off(".partial_image", error))
    handler = Handler()
    graph = agent(talks.model(max_retries=2), middleware())
    with pytest.raises(ImageGenerationError) as caught:
        half.stream(graph, ASK, config={"callbacks": [handler]}, stream_mode=mode)

    assert types(handler.events) == ["started", "partial", "failed"]
    assert caught.value.may_be_billed
    assert len(talks.simulator.requests) == 1


def test_an_error_before_it_is_drawn(talks, half, middleware):
    """An error of the service before it draws is treated like that of a request without partials: it is sent again."""
    busy = "Rate limit reached for gpt-image. Please try again in 1ms."
    talks.simulator.script(flat_error_event("rate_limit_exceeded", busy), flat_error_event())
    events = follow(half, "custom", agent(talks.model(max_retries=2), middleware()), ASK)

    assert types(events) == SEQUENCE
    assert (len(talks.simulator.requests), talks.simulator.pictures) == (3, 1)


@async_alone
def test_a_large_picture_is_held_once(talks, half, middleware, image_store):
    """Partial and finished pictures of several MB go into the store as they are."""
    drafts = [photo(f"draft {n}", size_bytes=2_000_000) for n in range(2)]
    final = photo("final", size_bytes=4_000_000)
    talks.simulator.script(image(final, drafts))
    events = follow(half, "custom", agent(talks.model(), middleware()), ASK)

    assert [image_store.get(event["sha256"]) for event in events[1:]] == [*drafts, final, final]
