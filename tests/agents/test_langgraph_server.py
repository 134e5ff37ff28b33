"""`langgraph dev` serves the agents of `examples/`: what clients do with threads works with pictures too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from langchain_imagegen import ImageMemory, ImageStore
from langchain_imagegen.simulator import Simulator
from tests.langgraph_server import serving

LATENCY = 1.5  # seconds that a drawing takes, so that there is something to cancel


@pytest.fixture(scope="module")
def drawing() -> Iterator[Simulator]:
    """A simulator that takes its time to draw."""
    with Simulator(latency=LATENCY) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the server's files and the images."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def client(drawing: Simulator, folder: Path) -> Iterator[SyncLangGraphClient]:
    """A client of the server."""
    environment = {
        "OPENAI_BASE_URL": drawing.base_url,
        "OPENAI_API_KEY": "sk-simulated",
        "LANGCHAIN_IMAGEGEN_STORE": str(folder / "images"),
    }
    with serving(folder, environment) as address, get_sync_client(url=address) as opened:
        yield opened


@pytest.fixture
def bought(drawing: Simulator) -> Callable[[], int]:
    """Returns how many pictures the test has bought."""
    before = drawing.pictures
    return lambda: drawing.pictures - before


@pytest.fixture
def draws(drawing: Simulator) -> Callable[[], bool]:
    """Tells whether the service has begun a picture in this test."""
    before = len(drawing.requests)
    return lambda: any(request.body and request.body.get("background") for request in drawing.requests[before:])


@pytest.fixture
def thread(client: SyncLangGraphClient) -> str:
    """The id of a new thread."""
    return client.threads.create()["thread_id"]


@pytest.fixture
def say(client: SyncLangGraphClient, thread: str) -> Callable[..., Any]:
    """Says something on the thread and returns the state after the answer."""

    def wait(text: str, assistant: str = "artist", **settings: Any) -> Any:
        return client.runs.wait(thread, assistant, input={"messages": text}, **settings)

    return wait


@pytest.fixture
def begin(client: SyncLangGraphClient, thread: str, draws: Callable[[], bool]) -> Callable[[str], str]:
    """Says something on the thread, waits until the service draws, and returns the id of the run."""

    def begin_run(text: str) -> str:
        run = client.runs.create(thread, "artist", input={"messages": text})
        wait_until(draws)
        return run["run_id"]

    return begin_run


def wait_until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def prompts(state: Any) -> list[str]:
    """Return the prompts of a state's pictures, oldest first."""
    return [str(image.prompt) for image in ImageMemory.from_state(state)]


def kinds(state: Any) -> list[str]:
    """Return the types of a state's messages."""
    return [message["type"] for message in state["messages"]]


def test_state_and_history(client, thread, say, folder):
    """State and history of a thread have its pictures, as small records whose bytes are in the image store."""
    say("Draw a fox")
    say("Make it night")
    state = client.threads.get_state(thread)["values"]
    fox, night = ImageMemory.from_state(state)
    states = [earlier["values"] for earlier in client.threads.get_history(thread, limit=50)]

    assert night.parents == (fox.id,)
    assert all(image.sha256 in ImageStore(str(folder / "images")) for image in (fox, night))
    assert sorted({len(prompts(values)) for values in states}) == [0, 1, 2]
    assert len(str(states)) < 200_000


def test_schemas(client):
    """The server knows the agent's schemas; clients read the channel of images and cannot write it."""
    (artist,) = client.assistants.search(graph_id="artist")
    schemas = client.assistants.get_schemas(artist["assistant_id"])

    assert "generated_images" not in schemas["input_schema"]["properties"]
    assert "generated_images" in schemas["output_schema"]["properties"]
    assert "generated_images" in schemas["state_schema"]["properties"]


def test_fork(client, thread, say, bought):
    """A branch from an earlier checkpoint edits the picture of its own past, and has none of the other branch."""
    say("Draw a fox")
    before = client.threads.get_state(thread)["checkpoint"]
    say("Make it night")
    branch = say("Make it winter", checkpoint=before)
    fox, winter = ImageMemory.from_state(branch)

    assert prompts(branch) == ["Draw a fox", "Make it winter"]
    assert winter.parents == (fox.id,)
    assert bought() == 3


def test_approval(client, thread, say, bought):
    """A person is asked before a picture is bought; it is bought when they agree, with the prompt that they edited."""
    resume = partial(client.runs.wait, thread, "supervised_artist")
    (asked,) = say("Draw an owl", "supervised_artist")["__interrupt__"]
    assert asked["value"]["action_requests"][0]["name"] == "generate_image"
    assert "**Price:** at most $" in asked["value"]["action_requests"][0]["description"]
    assert bought() == 0

    action = {"name": "generate_image", "args": {"prompt": "Draw a white owl"}}
    edited = resume(command={"resume": {"decisions": [{"type": "edit", "edited_action": action}]}})
    assert prompts(edited) == ["Draw a white owl"]
    assert bought() == 1

    say("Draw a mouse", "supervised_artist")
    refused = resume(command={"resume": {"decisions": [{"type": "reject", "message": "no mice"}]}})
    assert prompts(refused) == ["Draw a white owl"]
    assert bought() == 1


def test_cancel_while_drawing(client, thread, begin, bought):
    """A run that is cancelled while the service draws, and resumed, gets the picture that it had begun."""
    run = begin("Draw a bear")
    client.runs.cancel(thread, run, wait=True)
    assert client.runs.get(thread, run)["status"] == "interrupted"
    assert client.threads.get_state(thread)["next"] == ["tools"]
    resumed = client.runs.wait(thread, "artist", input=None)

    assert prompts(resumed) == ["Draw a bear"]
    assert kinds(resumed) == ["human", "ai", "tool", "ai"]
    assert bought() == 1


def test_second_message_is_rejected(client, thread, begin, say, bought):
    """With `reject` a message that comes while the agent draws is refused, and buys nothing."""
    run = begin("Draw a bear")
    with pytest.raises(httpx.HTTPStatusError) as caught:
        say("Draw a cat", multitask_strategy="reject")
    assert caught.value.response.status_code == 409

    assert prompts(client.runs.join(thread, run)) == ["Draw a bear"]
    assert bought() == 1


def test_second_message_is_enqueued(begin, say, bought):
    """With `enqueue` a message that comes while the agent draws is answered after it, and edits what it drew."""
    begin("Draw a bear")
    bear, night = ImageMemory.from_state(say("Make it night", multitask_strategy="enqueue"))

    assert night.parents == (bear.id,)
    assert bought() == 2


@pytest.mark.parametrize(("strategy", "said"), [("interrupt", 2), ("rollback", 1)])
def test_second_message_stops_the_first(begin, say, bought, strategy, said):
    """With `interrupt` and `rollback` a message that comes while the agent draws is answered instead of the first."""
    begin("Draw a bear")
    state = say("Draw a cat", multitask_strategy=strategy)

    assert prompts(state) == ["Draw a cat"]
    assert kinds(state).count("human") == said
    assert bought() == 2


@pytest.mark.parametrize("assistant", ["artist", "hosted_artist"], ids=["tool", "hosted"])
def test_events_over_http(client, thread, folder, assistant):
    """A client that streams `custom` sees a picture begin, sharpen and end, and the image store has each partial."""
    parts = client.runs.stream(thread, assistant, input={"messages": "Draw a fox"}, stream_mode="custom")
    events = [part.data for part in parts if part.event == "custom"]
    started, *partials, finished = (event for event in events if str(event.get("type")).startswith("image."))
    store = ImageStore(str(folder / "images"))

    assert (started["type"], finished["type"]) == ("image.started", "image.finished")
    assert [event["type"] for event in partials] == ["image.partial"] * 3
    assert [event["index"] for event in partials] == [0, 1, 2]
    assert len({event["tool_call_id"] for event in (started, *partials, finished)}) == 1
    assert all(event["sha256"] in store for event in (*partials, finished))
