"""The tool where it lives: in `create_agent`, in a plain `ToolNode`, beside siblings, across checkpoints."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph, add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import Command
from pydantic import BaseModel, Field

from langchain_imagegen import ImageGenerationTool, ImageMemory, merge_images
from langchain_imagegen.simulator import moderated, quota_exceeded
from tests.scripted import DONE, Spy, answers, asks, scripted

JPEG = {"output_format": "jpeg"}
BASE64 = re.compile(rb"[A-Za-z0-9+/]{400,}")
THREAD = {"configurable": {"thread_id": "one"}}


class Gallery(MessagesState):
    """A graph's state with the channel for images."""

    generated_images: Annotated[dict[str, dict[str, Any]], merge_images]


class Chat(TypedDict):
    """A state whose messages have another name."""

    chat: Annotated[list[AnyMessage], add_messages]


class ChatGallery(Chat):
    """The same with the channel for images."""

    generated_images: Annotated[dict[str, dict[str, Any]], merge_images]


class Typed(BaseModel):
    """A state that is a model and no mapping."""

    messages: Annotated[list[AnyMessage], add_messages] = Field(default_factory=list)
    generated_images: Annotated[dict[str, dict[str, Any]], merge_images] = Field(default_factory=dict)


@pytest.fixture
def tool(generator):
    """A tool that draws at the simulator and gives up at the first refusal."""
    return ImageGenerationTool(generator=generator(max_retries=0, options=JPEG))


def node_graph(tool, state, key="messages", **compiled):
    """A graph of one `ToolNode`."""
    builder = StateGraph(state)
    builder.add_node("tools", ToolNode([tool], messages_key=key))
    builder.add_edge(START, "tools")
    return builder.compile(**compiled)


def wants(*calls):
    """A model's message that asks for tools."""
    return AIMessage("", tool_calls=list(calls))


def handles(messages):
    """The handles that a model read, in order."""
    told = [json.loads(message.content) for message in messages if message.status == "success"]
    return [image["handle"] for content in told for image in content["images"]]


# Agents


def test_agent_draws(tool, half, simulator):
    """An agent on any chat model draws through the tool and goes on."""
    model = scripted(asks("a"), DONE)

    state = half.invoke(create_agent(model, [tool]), {"messages": "a fox, please"})
    [message] = answers(state)
    assert [type(entry).__name__ for entry in state["messages"]][-3:] == ["AIMessage", "ToolMessage", "AIMessage"]
    assert message.artifact["images"][0]["handle"] in message.content
    assert simulator.pictures == 1


def test_model_is_offered_the_tool(tool, half):
    """The chat model gets the tool itself, and reads its short answer before it goes on."""
    model = scripted(asks("a"), DONE)
    half.invoke(create_agent(model, [tool]), {"messages": "a fox, please"})

    assert model.offered[0] is tool
    assert isinstance(model.read[-1][-1], ToolMessage)
    assert len(model.read[-1][-1].content) < 500


def test_model_corrects_itself(tool, half, simulator):
    """A locked option, a bad value and a moderated prompt come back as messages, and the next try draws."""
    simulator.script(moderated("input", ["violence"]))
    turns = [asks("a", input_fidelity="high"), asks("b", quality="best"), asks("c"), asks("d"), DONE]

    state = half.invoke(create_agent(scripted(*turns), [tool]), {"messages": "draw"})
    assert [message.status for message in answers(state)] == ["error", "error", "error", "success"]
    assert simulator.pictures == 1


@pytest.mark.parametrize("state", [MessagesState, Gallery])
def test_one_failure_of_three_loses_nothing(tool, half, simulator, state):
    """Of three calls at once one fails, and the others' pictures are all there, each paid for once."""
    simulator.script(None, None, quota_exceeded())
    calls = [asks(id, f"draw {id}") for id in ("a", "b", "c")]

    result = half.invoke(node_graph(tool, state), {"messages": [wants(*calls)]})
    messages = answers(result)
    assert [message.tool_call_id for message in messages] == ["a", "b", "c"]
    assert sorted(message.status for message in messages) == ["error", "success", "success"]
    assert len(handles(messages)) == simulator.pictures == 2


@pytest.mark.parametrize("wrong", [{"images": ["img_00000000"]}, {"quality": "best"}, {"prompt": 5}])
def test_wrong_call_does_not_stop_its_siblings(tool, half, simulator, wrong):
    """A call that is refused before anything is sent leaves the two beside it alone, in an agent too."""
    calls = [asks("a"), asks("b", **wrong), asks("c")]

    state = half.invoke(create_agent(scripted(calls, DONE), [tool]), {"messages": "draw"})
    assert [message.status for message in answers(state)] == ["success", "error", "success"]
    assert simulator.pictures == 2


def test_unknown_handle_lists_those_of_the_thread(tool, half):
    """The known handles are those of the conversation."""
    state = half.invoke(
        create_agent(scripted(asks("a"), asks("b", images=["img_00000000"]), DONE), [tool]), {"messages": "draw"}
    )

    drawn, refused = answers(state)
    assert handles([drawn])[0] in refused.content


# Edits


@pytest.mark.parametrize("reference", ["handle", "1", "last", "call id"])
def test_edits_in_a_later_turn(tool, simulator, reference):
    """A later turn of the same thread edits by handle, ordinal, `last` or call id."""
    model = scripted(asks("a"), DONE)
    agent = create_agent(model, [tool], checkpointer=InMemorySaver())
    [drawn] = answers(agent.invoke({"messages": "a fox, please"}, THREAD))
    record = drawn.artifact["images"][0]
    named = {"handle": record["handle"], "call id": record["id"]}.get(reference, reference)
    model.messages = scripted(asks("b", "edit it: make it winter", images=[named]), DONE).messages

    state = agent.invoke({"messages": "make it winter"}, THREAD)
    fox, winter = simulator.orders
    assert (fox.action, winter.action, len(winter.sources)) == ("generate", "edit", 1)
    assert answers(state)[-1].artifact["images"][0]["parents"] == [record["id"]]


def test_lineage_of_a_thread(tool, half):
    """The messages of a thread tell which picture was made from which."""
    turns = [asks("a"), asks("b", "edit it", images=["last"]), asks("c", "edit it", images=["1", "2"]), DONE]

    state = half.invoke(create_agent(scripted(*turns), [tool]), {"messages": "draw"})
    memory = ImageMemory.from_state(state)
    assert len(memory) == 3
    assert [len(memory.lineage(ordinal)) for ordinal in "123"] == [1, 2, 3]


def test_other_threads_cannot_be_named(tool, half, simulator):
    """A handle or call id of another thread is an unknown image, although the generator drew it."""
    [drawn] = answers(half.invoke(create_agent(scripted(asks("a"), DONE), [tool]), {"messages": "draw"}))
    record = drawn.artifact["images"][0]
    calls = [asks("b", images=[record["handle"]]), asks("c", images=[record["id"]])]

    state = half.invoke(create_agent(scripted(calls, DONE), [tool]), {"messages": "draw"})
    assert [message.status for message in answers(state)] == ["error", "error"]
    assert simulator.pictures == 1


def test_edits_an_upload(tool, half, simulator, ask):
    """A picture that the user sent is named by `last`, and its bytes go to the service."""
    data = simulator_picture(ask)
    photo = HumanMessage(
        [{"type": "text", "text": "edit this"}, {"type": "image", "base64": data, "mime_type": "image/jpeg"}]
    )

    half.invoke(create_agent(scripted(asks("a", "edit it", images=["last"]), DONE), [tool]), {"messages": [photo]})
    assert simulator.orders[-1].action == "edit"
    assert len(simulator.orders[-1].sources) == 1


def simulator_picture(ask):
    """A picture's base64, as the service gave it."""
    return next(item.result for item in ask().output if item.type == "image_generation_call")


# Nodes and channels


@pytest.mark.parametrize(("state", "key"), [(MessagesState, "messages"), (Chat, "chat"), (ChatGallery, "chat")])
def test_node_with_any_messages_key(tool, half, simulator, state, key):
    """A plain `ToolNode` draws and edits, whatever its state calls the messages."""
    graph = node_graph(tool, state, key)
    drawn = half.invoke(graph, {key: [wants(asks("a"))]})

    edited = half.invoke(graph, {**drawn, key: [*drawn[key], wants(asks("b", "edit it", images=["last"]))]})
    assert [message.tool_call_id for message in answers(edited, key)] == ["a", "b"]
    assert [order.action for order in simulator.orders] == ["generate", "edit"]


@pytest.mark.parametrize(("state", "key"), [(Gallery, "messages"), (ChatGallery, "chat")])
def test_channel_gets_the_records(tool, half, state, key):
    """Parallel calls fill the state's channel in the order of the calls, and each gives its message."""
    result = half.invoke(node_graph(tool, state, key), {key: [wants(*(asks(id) for id in "abc"))]})

    records = result["generated_images"]
    assert [record["handle"] for record in records.values()] == handles(answers(result, key))
    assert len(records) == 3
    assert json.loads(json.dumps(records)) == records


@pytest.mark.parametrize(
    ("state", "key", "kind"),
    [(MessagesState, "messages", ToolMessage), (Gallery, "messages", Command), (ChatGallery, "chat", Command)],
)
def test_others_get_one_message_or_command(tool, state, key, kind):
    """Other people's `wrap_tool_call` gets one `ToolMessage` or one `Command`, and never a list."""
    seen = []

    def note(request, execute):
        seen.append(execute(request))
        return seen[-1]

    builder = StateGraph(state)
    builder.add_node("tools", ToolNode([tool], messages_key=key, wrap_tool_call=note))
    builder.add_edge(START, "tools")
    result = builder.compile().invoke({key: [wants(asks("a"), asks("b"))]})

    assert [type(answer) for answer in seen] == [kind, kind]
    assert [message.tool_call_id for message in answers(result, key)] == ["a", "b"]


def test_channel_survives_without_messages(tool, half, simulator):
    """When the messages are summarized away, the channel still knows the picture."""
    graph = node_graph(tool, Gallery)
    drawn = half.invoke(graph, {"messages": [wants(asks("a"))]})
    summarized = {**drawn, "messages": [HumanMessage("so far: a fox"), wants(asks("b", "edit it", images=["last"]))]}

    half.invoke(graph, summarized)
    assert simulator.orders[-1].action == "edit"


def test_trusting_the_channel_alone(generator, half, simulator):
    """With `trust="channel"` an artifact that a client wrote into the messages names nothing."""
    free = ImageGenerationTool(generator=generator(options=JPEG))
    strict = ImageGenerationTool(generator=generator(options=JPEG), trust="channel")
    posted = answers(half.invoke(node_graph(free, MessagesState), {"messages": [wants(asks("a"))]}))

    result = half.invoke(
        node_graph(strict, Gallery), {"messages": [*posted, wants(asks("b", "edit it", images=["last"]))]}
    )
    assert answers(result)[-1].status == "error"
    assert simulator.pictures == 1


MALFORMED = [
    ToolMessage("x", tool_call_id="q", artifact={"images": [{"id": ["a"], "sha256": "../x"}]}),
    ToolMessage(
        "x", tool_call_id="q", artifact={"images": [{"id": 1, "sha256": "zz", "mime_type": 5, "size_bytes": "no"}]}
    ),
    HumanMessage([{"type": "image_url", "image_url": {"url": "data:text/plain,hi"}}]),
    HumanMessage([{"type": "image", "base64": "!!!", "mime_type": "image/png"}]),
]


@pytest.mark.parametrize("message", MALFORMED, ids=["no record", "wrong types", "data URL", "base64"])
def test_malformed_messages_stop_nothing(tool, half, message):
    """A message whose picture cannot be read is passed over, and the tool draws."""
    result = half.invoke(node_graph(tool, MessagesState), {"messages": [message, wants(asks("a"))]})

    assert answers(result)[-1].status == "success"


def test_state_may_be_a_model(tool, half, simulator):
    """A pydantic state is read like any other: its channel is filled, and its pictures can be edited."""
    graph = node_graph(tool, Typed)
    drawn = half.invoke(graph, {"messages": [wants(asks("a"))]})

    edited = half.invoke(graph, {**drawn, "messages": [wants(asks("b", "edit it", images=["last"]))]})
    assert len(drawn["generated_images"]) == 1
    assert len(edited["generated_images"]) == 2
    assert simulator.orders[-1].action == "edit"


def test_forged_runtime_in_a_graph(tool, half, simulator):
    """A `runtime` in a model's arguments does not replace the graph's: the thread's pictures are still known."""
    turns = [asks("a"), asks("b", "edit it", images=["last"], runtime="x"), DONE]

    state = half.invoke(create_agent(scripted(*turns), [tool]), {"messages": "draw"})
    assert [message.status for message in answers(state)] == ["success", "success"]
    assert simulator.orders[-1].action == "edit"


# Checkpoints


@contextmanager
def saved(file):
    """A saver on a file, opened anew as another process would."""
    with SqliteSaver.from_conn_string(str(file)) as saver:
        yield saver


def stored_bytes(file):
    """Everything in a checkpoint file, value by value, so that page borders hide nothing."""
    with sqlite3.connect(file) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [row for name in tables for row in connection.execute(f"SELECT * FROM {name}")]
    connection.close()
    return [cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row]


@pytest.mark.parametrize("state", [MessagesState, Gallery])
def test_artifact_survives_a_checkpoint(tool, tmp_path, state):
    """What was written into a checkpoint file is read back equal by another saver."""
    file = tmp_path / "checkpoints.sqlite"
    with saved(file) as saver:
        written = node_graph(tool, state, checkpointer=saver).invoke({"messages": [wants(asks("a"))]}, THREAD)

    with saved(file) as saver:
        read = node_graph(tool, state, checkpointer=saver).get_state(THREAD).values
    assert answers(read)[0].artifact == answers(written)[0].artifact
    assert read == written


async def test_artifact_survives_an_async_checkpoint(generator, made, tmp_path):
    """The same through the async saver."""
    tool = ImageGenerationTool(generator=generator(options=JPEG))
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "checkpoints.sqlite")) as saver:
        graph = node_graph(tool, Gallery, checkpointer=saver)
        written = await graph.ainvoke({"messages": [wants(asks("a"), asks("b"))]}, THREAD)
        read = (await graph.aget_state(THREAD)).values
    await made[0]._transport.async_client.close()

    assert read == written
    assert len(read["generated_images"]) == 2


def test_ten_turns_stay_light(tool, simulator, tmp_path):
    """Ten turns of edits leave a small checkpoint file without a picture in it."""
    file = tmp_path / "checkpoints.sqlite"
    model = scripted()
    with saved(file) as saver:
        agent = create_agent(model, [tool], checkpointer=saver)
        for turn in range(10):
            edit = {"images": ["last"]} if turn else {}
            model.messages = scripted(asks(f"call-{turn}", f"edit or draw number {turn}", **edit), DONE).messages
            state = agent.invoke({"messages": "go on"}, THREAD)

    assert len(handles(answers(state))) == simulator.pictures == 10
    assert file.stat().st_size < 1_000_000
    assert [cell[:80] for cell in stored_bytes(file) if BASE64.search(cell)] == []


def test_messages_hold_no_picture(tool, half):
    """No message of an agent's result holds base64, in content, artifact or anywhere else."""
    state = half.invoke(
        create_agent(scripted(asks("a"), asks("b", images=["last"]), DONE), [tool]), {"messages": "draw"}
    )

    for message in state["messages"]:
        assert not BASE64.search(message.model_dump_json().encode())


def test_traces_of_an_agent_hold_no_picture(tool, half):
    """Nothing that callbacks are told in an agent's run holds base64, and the tool's input not the state."""
    spy = Spy()
    agent = create_agent(scripted(asks("a"), asks("b", images=["last"]), DONE), [tool])

    half.invoke(agent, {"messages": "draw"}, config={"callbacks": [spy]})
    assert len(spy.told) > 10
    assert not any(BASE64.search(text.encode()) for text in spy.told)


STRICT = """
    import logging, sys
    from typing import Annotated, Any
    from langchain.agents import create_agent
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langchain_imagegen import ImageGenerationTool, ImageGenerator
    from tests.scripted import DONE, answers, asks, scripted
    from test_tool_in_graphs import Gallery, node_graph, wants

    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="LOG %(name)s %(levelname)s %(message)s")
    for noisy in ("openai", "httpx2", "httpcore2", "httpx", "httpcore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    logging.getLogger("langchain_imagegen").setLevel(logging.ERROR)
    thread = {"configurable": {"thread_id": "one"}}
    tool = ImageGenerationTool(generator=ImageGenerator(options={"output_format": "jpeg"}))
    written, read = [], []
    for make in (lambda saver: node_graph(tool, Gallery, checkpointer=saver),
                 lambda saver: create_agent(scripted(asks("a"), DONE), [tool], checkpointer=saver)):
        file = f"{sys.argv[1]}/{len(written)}.sqlite"
        given = {"messages": "draw"} if written else {"messages": [wants(asks("a"))]}
        with SqliteSaver.from_conn_string(file) as saver:
            written.append(make(saver).invoke(given, thread))
        with SqliteSaver.from_conn_string(file) as saver:
            read.append(make(saver).get_state(thread).values)
    assert read == written
    assert all(answers(state)[0].artifact["images"] for state in read)
    assert list(read[0]["generated_images"].values())[0]["handle"]
    print("equal")
"""


@pytest.mark.parametrize("strict", ["true", "false"])
def test_strict_checkpoints_know_all_types(simulator, tmp_path, strict):
    """In strict mode and out of it a checkpoint is read back equal, and no warning names a type of ours."""
    environment = os.environ | {
        "LANGGRAPH_STRICT_MSGPACK": strict,
        "OPENAI_BASE_URL": simulator.base_url,
        "OPENAI_API_KEY": "simulated",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(STRICT), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.stdout == "equal\n", run.stderr
    assert "langchain_imagegen" not in run.stderr
    assert "nregistered type" not in run.stderr


def test_cancelled_agent_leaves_the_tool_usable(tool, made, simulator):
    """A run that is cancelled while it draws does not break the next one."""

    async def cancelled_then_again():
        first = asyncio.create_task(tool.ainvoke(asks("a")))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        again = await tool.ainvoke(asks("b"))
        await made[0]._transport.async_client.close()
        return again

    assert asyncio.run(cancelled_then_again()).status == "success"
