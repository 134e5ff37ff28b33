"""What a thread remembers after a fork, a restart or the loss of its messages, and the size of its checkpoints."""

from __future__ import annotations

import io
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware, before_model, wrap_model_call
from langchain_core.messages import AIMessage, RemoveMessage, trim_messages
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from PIL import Image

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageMemory, ImageStore, images_from
from langchain_imagegen.simulator import image
from tests.conversations import count_base64, database_sizes, open_saver
from tests.graphs import PLACES, THREAD, WITH_CHANNEL, Talk, agent, agent_with_middleware, state_graph
from tests.scripted import image_call, scripted_model

SMALL = {"size": "816x816", "quality": "low", "output_format": "jpeg"}
FOX, OWL, CAT = (image_call(f"call-{name}", f"draw {name}") for name in ("a fox", "an owl", "a cat"))
WINTER = "edit it: make it winter"
EDIT = image_call("call-edit", WINTER, images=["last"])


@pytest.fixture
def tool(generator):
    """Return a tool that draws small pictures."""
    return ImageGenerationTool(generator=generator(options=SMALL))


@pytest.fixture
def file(tmp_path):
    """Return the path of a checkpoint file that does not exist yet."""
    return tmp_path / "checkpoints.sqlite"


def prompts(memory):
    """Return the prompts of the images of a memory."""
    return [image.prompt for image in memory]


# --- branches


@pytest.mark.parametrize("place", PLACES)
def test_each_branch_shows_its_own_pictures(half, tool, simulator, place):
    """Each branch of a forked thread knows only the pictures drawn on it, and `last` names the latest of them."""
    talk = Talk(half, place, tool)
    talk.turn(FOX)
    fork = talk.snapshot.config
    talk.turn(OWL)
    tip = talk.snapshot.config

    assert prompts(talk.turn(CAT, config=fork)) == ["draw a fox", "draw a cat"]
    memory = talk.turn(EDIT)
    assert prompts(memory.lineage("last")) == ["draw a cat", WINTER]
    assert simulator.orders[-1].sources == (memory.get("2").read(),)
    abandoned = ImageMemory.from_state(talk.graph.get_state(tip))
    assert prompts(abandoned) == ["draw a fox", "draw an owl"]
    assert all(each.read() for each in abandoned)
    assert prompts(talk.turn(EDIT, config=tip).lineage("last")) == ["draw an owl", WINTER]


def test_history_shows_the_pictures_of_each_step(half, tool):
    """Each snapshot of a thread's history holds the pictures drawn up to that step."""
    talk = Talk(half, agent_with_middleware, tool)
    for call in (FOX, OWL, EDIT):
        talk.turn(call)

    counts = [len(ImageMemory.from_state(each)) for each in talk.graph.get_state_history(THREAD)]
    assert counts == sorted(counts, reverse=True)
    assert set(counts) == {3, 2, 1, 0}


def test_pictures_of_another_branch_are_unknown(half, tool, simulator):
    """The tool refuses a handle of another branch and sends nothing."""
    talk = Talk(half, agent_with_middleware, tool)
    talk.turn(FOX)
    fork = talk.snapshot.config
    owl = talk.turn(OWL).latest.handle

    talk.turn(image_call("call-lost", WINTER, images=[owl]), config=fork)
    assert talk.tool_messages[-1].status == "error"
    assert f"no image '{owl}'" in talk.tool_messages[-1].content
    assert simulator.pictures == 2


# --- restarts


@pytest.mark.parametrize("place", PLACES)
def test_a_thread_continues_after_a_restart(half, tool, generator, simulator, image_store, file, place):
    """A new saver, agent and store on the same folders find, read and edit every picture of the thread."""
    with open_saver(file, half) as saver:
        known = Talk(half, place, tool, saver).turn(FOX, OWL, EDIT)

    again = ImageStore(image_store.location)
    fresh = ImageGenerationTool(generator=generator(options=SMALL, image_store=again))
    with open_saver(file, half) as saver:
        talk = Talk(half, place, fresh, saver)
        memory = talk.turn(image_call("call-late", "edit it: add a hat", images=[known.get("1").handle]))
        bound = ImageMemory.from_state(talk.state, image_store=again)

    assert memory.to_records()[:3] == known.to_records()
    assert prompts(memory.lineage("last")) == ["draw a fox", "edit it: add a hat"]
    assert simulator.orders[-1].sources == (known.get("1").read(),)
    assert [each.sha256 for each in bound if each.read()] == [each.sha256 for each in memory]


def test_a_fork_continues_after_a_restart(half, tool, file):
    """With a new saver on the same file a thread and a fork of it continue, each with its own pictures."""
    with open_saver(file, half) as saver:
        talk = Talk(half, agent_with_middleware, tool, saver)
        talk.turn(FOX)
        fork = talk.snapshot.config
    with open_saver(file, half) as saver:
        talk = Talk(half, agent_with_middleware, tool, saver)
        both = talk.turn(OWL)
        forked = talk.turn(EDIT, config=fork)

    assert prompts(both) == ["draw a fox", "draw an owl"]
    assert prompts(forked) == ["draw a fox", WINTER]


# --- messages that are gone


def summarization():
    """Return LangChain's middleware that summarizes a conversation and keeps its last two messages."""
    model = scripted_model(*[AIMessage("Pictures were drawn.")] * 20)
    return SummarizationMiddleware(model, trigger=("messages", 4), keep=("messages", 2))


@before_model
def remove_from_state(state, runtime):
    """Remove all but the last two messages from the state."""
    kept = trim_messages(state["messages"], max_tokens=2, token_counter=len, start_on=("human", "ai"))
    return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), *kept]}


@wrap_model_call
def trim_request(request, handler):
    """Send the model only the last two messages."""
    kept = trim_messages(request.messages, max_tokens=2, token_counter=len)
    return handler(request.override(messages=kept))


@wrap_model_call
async def atrim_request(request, handler):
    """Async twin of `trim_request`."""
    kept = trim_messages(request.messages, max_tokens=2, token_counter=len)
    return await handler(request.override(messages=kept))


def other_first(other):
    """Return a builder of agents whose other middleware comes before ours."""

    def place(model, tool, **settings):
        own = ImageGenerationMiddleware(tool=tool, hosted=False)
        return create_agent(model, middleware=[other, own], **settings)

    return place


def other_last(other):
    """Return a builder of agents whose other middleware comes after ours."""
    return lambda model, tool, **settings: agent_with_middleware(model, tool, other, **settings)


@pytest.mark.parametrize(
    ("order", "lost"),
    [
        (other_first, "summarized"),
        (other_last, "summarized"),
        (other_first, "removed"),
        (other_last, "removed"),
        (other_first, "not shown"),
    ],
)
def test_no_picture_is_lost_with_its_message(half, tool, simulator, order, lost):
    """An agent whose messages are summarized, removed or trimmed still lists every picture and edits any of them."""
    trim = trim_request if half.name == "sync" else atrim_request
    other = {"summarized": summarization(), "removed": remove_from_state, "not shown": trim}[lost]
    talk = Talk(half, order(other), tool)
    for call in (FOX, OWL, CAT):
        memory = talk.turn(call)
    fox = memory.get("1")
    talk.turn()

    assert prompts(images_from(talk.state)) == ["draw a fox", "draw an owl", "draw a cat"]
    seen = "\n".join(message.text for message in talk.model.requests[-1])
    assert [each.handle in seen for each in memory] == [True] * 3
    edited = talk.turn(image_call("call-edit", WINTER, images=[fox.handle]))
    assert edited.latest.parents == (fox.id,)
    assert simulator.orders[-1].sources == (fox.read(),)


@pytest.mark.parametrize("place", WITH_CHANNEL)
def test_the_channel_needs_no_messages(half, tool, place):
    """The channel alone restores every picture in its order."""
    talk = Talk(half, place, tool)
    known = talk.turn(FOX, OWL, EDIT)

    memory = ImageMemory.from_state({"generated_images": talk.state["generated_images"]})
    assert memory.to_records() == known.to_records()


# --- strict checkpoints, and their size


@pytest.mark.parametrize("strict", ["true", "false"])
def test_strict_checkpoints_change_nothing(strict):
    """The tests of branches and restarts pass with LangGraph's strict serializer, and no warning names our types."""
    here = Path(__file__)
    logged = ["-o", "filterwarnings=default", "-o", "log_cli=true", "--log-cli-level=WARNING"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *logged, str(here)]
    run = subprocess.run(
        [*command, "-k", "restart or (each_branch or lost) and not async-"],
        env=os.environ | {"LANGGRAPH_STRICT_MSGPACK": strict},
        cwd=here.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout
    assert not re.search(r"WARNING.*(langchain_imagegen|unregistered type)", run.stdout)


def noise(seed):
    """Return a PNG of 2 MB of random pixels."""
    data = io.BytesIO()
    Image.frombytes("RGB", (816, 816), random.Random(seed).randbytes(816 * 816 * 3)).save(data, "PNG", compress_level=0)
    return data.getvalue()


@pytest.mark.parametrize(
    ("place", "limit"), [(agent, 900_000), (agent_with_middleware, 750_000), (state_graph, 750_000)]
)
def test_ten_turns_of_large_pictures_keep_checkpoints_small(half, generator, simulator, file, place, limit):
    """Ten turns of 2 MB pictures leave a checkpoint file under 1 MB without base64, and the store holds the bytes."""
    simulator.script(*(image(noise(seed)) for seed in range(10)))
    tool = ImageGenerationTool(generator=generator(options={**SMALL, "output_format": "png"}))
    with open_saver(file, half) as saver:
        talk = Talk(half, place, tool, saver)
        for turn in range(10):
            edit = {"images": ["last"]} if turn else {}
            talk.turn(image_call(f"call-{turn}", f"edit or draw picture {turn}", **edit))

    assert database_sizes(file)["file"] < limit
    assert count_base64(file) == 0
    assert [each.read() for each in talk.memory] == [noise(seed) for seed in range(10)]
