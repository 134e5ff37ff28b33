"""Branches, restarts and lost messages: what a thread remembers wherever it is resumed, and what it weighs."""

from __future__ import annotations

import io
import os
import random
import re
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware, before_model, wrap_model_call
from langchain_core.messages import AIMessage, RemoveMessage, trim_messages
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from PIL import Image

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageMemory, ImageStore, images_from
from langchain_imagegen.simulator import image
from tests.graphs import PLACES, THREAD, WITH_CHANNEL, Talk, agent, agent_with_middleware, state_graph
from tests.scripted import asks, scripted

SMALL = {"size": "816x816", "quality": "low", "output_format": "jpeg"}
FOX, OWL, CAT = (asks(f"call-{name}", f"draw {name}") for name in ("a fox", "an owl", "a cat"))
WINTER = "edit it: make it winter"
EDIT = asks("call-edit", WINTER, images=["last"])
BASE64 = re.compile(rb"[A-Za-z0-9+/]{400,}")


@pytest.fixture
def tool(generator):
    """A tool that draws small pictures."""
    return ImageGenerationTool(generator=generator(options=SMALL))


@contextmanager
def saved(folder):
    """A saver on a file, opened anew as another process would."""
    with SqliteSaver.from_conn_string(str(folder / "checkpoints.sqlite")) as saver:
        yield saver


def prompts(memory):
    """What the images of a memory were asked for."""
    return [image.prompt for image in memory]


# --- branches


@pytest.mark.parametrize("place", PLACES)
def test_each_branch_shows_its_own_pictures(half, tool, simulator, place):
    """After a fork before the second picture, either branch knows what was drawn on it, and `last` follows it."""
    talk = Talk(half, place, tool)
    talk.turn(FOX)
    fork = talk.graph.get_state(THREAD).config
    talk.turn(OWL)
    tip = talk.graph.get_state(THREAD).config

    assert prompts(talk.turn(CAT, config=fork)) == ["draw a fox", "draw a cat"]
    memory = talk.turn(EDIT)
    assert prompts(memory.lineage("last")) == ["draw a cat", WINTER]
    assert simulator.orders[-1].sources == (memory.get("2").read(),)
    abandoned = ImageMemory.from_state(talk.graph.get_state(tip))
    assert prompts(abandoned) == ["draw a fox", "draw an owl"]
    assert all(each.read() for each in abandoned)
    assert prompts(talk.turn(EDIT, config=tip).lineage("last")) == ["draw an owl", WINTER]


def test_history_shows_what_was_known_when(half, tool):
    """Each snapshot of a thread's history holds the pictures up to it, the newest snapshot first."""
    talk = Talk(half, agent_with_middleware, tool)
    for call in (FOX, OWL, EDIT):
        talk.turn(call)

    counts = [len(ImageMemory.from_state(each)) for each in talk.graph.get_state_history(THREAD)]
    assert counts == sorted(counts, reverse=True)
    assert set(counts) == {3, 2, 1, 0}


def test_pictures_of_another_branch_are_unknown(half, tool, simulator):
    """A handle of the abandoned branch names nothing on this one, and nothing is sent."""
    talk = Talk(half, agent_with_middleware, tool)
    talk.turn(FOX)
    fork = talk.graph.get_state(THREAD).config
    owl = talk.turn(OWL).latest.handle

    talk.turn(asks("call-lost", WINTER, images=[owl]), config=fork)
    assert talk.answers[-1].status == "error"
    assert f"no image '{owl}'" in talk.answers[-1].content
    assert simulator.pictures == 2


# --- restarts


@pytest.mark.parametrize("place", PLACES)
def test_a_thread_goes_on_after_a_restart(tool, generator, simulator, image_store, tmp_path, place):
    """With a new saver, agent and store on the same folders every picture resolves, reads and can be edited."""
    with saved(tmp_path) as saver:
        known = Talk(_Sync, place, tool, saver).turn(FOX, OWL, EDIT)

    again = ImageStore(image_store.location)
    fresh = ImageGenerationTool(generator=generator(options=SMALL, image_store=again))
    with saved(tmp_path) as saver:
        talk = Talk(_Sync, place, fresh, saver)
        memory = talk.turn(asks("call-late", "edit it: add a hat", images=[known.get("1").handle]))
        bound = ImageMemory.from_state(talk.state, image_store=again)

    assert memory.to_records()[:3] == known.to_records()
    assert prompts(memory.lineage("last")) == ["draw a fox", "edit it: add a hat"]
    assert simulator.orders[-1].sources == (known.get("1").read(),)
    assert [each.sha256 for each in bound if each.read()] == [each.sha256 for each in memory]


async def test_a_thread_goes_on_with_the_async_saver(tool, made, tmp_path):
    """The same through the async saver, and a fork of it."""
    config = {**THREAD}
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "checkpoints.sqlite")) as saver:
        graph = agent_with_middleware(scripted(FOX, AIMessage("1")), tool, checkpointer=saver)
        await graph.ainvoke({"messages": "go"}, config)
        fork = (await graph.aget_state(config)).config
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "checkpoints.sqlite")) as saver:
        graph = agent_with_middleware(scripted(OWL, AIMessage("2"), EDIT, AIMessage("3")), tool, checkpointer=saver)
        both = await graph.ainvoke({"messages": "go"}, config)
        forked = await graph.ainvoke({"messages": "go"}, fork)
    await made[0]._transport.async_client.close()

    assert prompts(images_from(both)) == ["draw a fox", "draw an owl"]
    assert prompts(images_from(forked)) == ["draw a fox", WINTER]


class _Sync:
    """The half that an SQLite saver has."""

    invoke = staticmethod(lambda runnable, given, **fields: runnable.invoke(given, **fields))


# --- messages that are gone


def summarizes():
    """LangChain's own summarization: two messages are left."""
    model = scripted(*[AIMessage("Pictures were drawn.")] * 20)
    return SummarizationMiddleware(model, trigger=("messages", 4), keep=("messages", 2))


@before_model
def forgets(state, runtime):
    """Leaves the last two messages in the state."""
    kept = trim_messages(state["messages"], max_tokens=2, token_counter=len, start_on=("human", "ai"))
    return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), *kept]}


@wrap_model_call
def shortens(request, handler):
    """Shows the model the last two messages."""
    kept = trim_messages(request.messages, max_tokens=2, token_counter=len)
    return handler(request.override(messages=kept))


@wrap_model_call
async def ashortens(request, handler):
    """Async twin of `shortens`."""
    kept = trim_messages(request.messages, max_tokens=2, token_counter=len)
    return await handler(request.override(messages=kept))


def first(other):
    """An agent with another middleware before ours."""

    def place(model, tool, **settings):
        own = ImageGenerationMiddleware(tool=tool, hosted=False)
        return create_agent(model, middleware=[other, own], **settings)

    return place


def last(other):
    """An agent with another middleware behind ours."""
    return lambda model, tool, **settings: agent_with_middleware(model, tool, other, **settings)


@pytest.mark.parametrize(
    ("order", "lost"),
    [(first, "summarized"), (last, "summarized"), (first, "removed"), (last, "removed"), (first, "not shown")],
)
def test_no_picture_is_lost_with_its_message(half, tool, simulator, order, lost):
    """Whatever becomes of messages, state and result know each picture, and the model can name and edit each."""
    hides = shortens if half.name == "sync" else ashortens
    talk = Talk(half, order({"summarized": summarizes(), "removed": forgets, "not shown": hides}[lost]), tool)
    for call in (FOX, OWL, CAT):
        memory = talk.turn(call)
    fox = memory.get("1")
    talk.turn()

    assert prompts(images_from(talk.state)) == ["draw a fox", "draw an owl", "draw a cat"]
    seen = "\n".join(message.text for message in talk.model.read[-1])
    assert [each.handle in seen for each in memory] == [True] * 3
    edited = talk.turn(asks("call-edit", WINTER, images=[fox.handle]))
    assert edited.latest.parents == (fox.id,)
    assert simulator.orders[-1].sources == (fox.read(),)


@pytest.mark.parametrize("place", WITH_CHANNEL)
def test_the_channel_outlives_all_messages(half, tool, place):
    """With every message gone the channel still knows the pictures and their order."""
    talk = Talk(half, place, tool)
    known = talk.turn(FOX, OWL, EDIT)

    memory = ImageMemory.from_state({"generated_images": talk.state["generated_images"]})
    assert memory.to_records() == known.to_records()


# --- strict checkpoints, and their weight


@pytest.mark.parametrize("strict", ["true", "false"])
def test_strict_checkpoints_change_nothing(strict):
    """All of this holds with LangGraph's strict serializer too, and no log names a type of ours."""
    here = Path(__file__)
    command = [sys.executable, "-m", "pytest", "-q", "-o", "log_cli=true", "--log-cli-level=WARNING", str(here)]
    run = subprocess.run(
        [*command, "-k", "(each_branch or restart or async_saver or lost) and not async-", "-p", "no:cacheprovider"],
        env=os.environ | {"LANGGRAPH_STRICT_MSGPACK": strict},
        cwd=here.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout
    assert not re.search(r"WARNING.*(langchain_imagegen|unregistered type)", run.stdout)


def weight(folder):
    """Bytes of a checkpoint file with all of its log written into it, and whether base64 is in it."""
    file = folder / "checkpoints.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return file.stat().st_size, bool(BASE64.search(file.read_bytes()))


def noise(seed):
    """A PNG of 2 MB."""
    data = io.BytesIO()
    Image.frombytes("RGB", (816, 816), random.Random(seed).randbytes(816 * 816 * 3)).save(data, "PNG", compress_level=0)
    return data.getvalue()


@pytest.mark.parametrize(
    ("place", "limit"), [(agent, 900_000), (agent_with_middleware, 700_000), (state_graph, 700_000)]
)
def test_ten_turns_of_large_pictures_are_light(generator, simulator, image_store, tmp_path, place, limit):
    """Ten turns of 2 MB pictures leave a small checkpoint file without base64; the bytes are in the store."""
    simulator.script(*(image(noise(seed)) for seed in range(10)))
    tool = ImageGenerationTool(generator=generator(options={**SMALL, "output_format": "png"}))
    with saved(tmp_path) as saver:
        talk = Talk(_Sync, place, tool, saver)
        for turn in range(10):
            talk.turn(asks(f"call-{turn}", f"edit or draw picture {turn}", **({"images": ["last"]} if turn else {})))

    size, heavy = weight(tmp_path)
    print(f"{place.__name__}: {size:,} bytes")  # noqa: T201 - the number is worth reading
    assert (size < limit, heavy) == (True, False)
    assert [each.read() for each in talk.memory] == [noise(seed) for seed in range(10)]
