"""The tool in `create_agent` and in a plain `ToolNode`: parallel calls, edits, channels, checkpoints and traces."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph, add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import Command
from pydantic import BaseModel, Field

from langchain_imagegen import ImageGenerationTool, ImageMemory, merge_images
from langchain_imagegen.simulator import moderated, quota_exceeded
from tests.conversations import open_saver
from tests.graphs import THREAD, Chat
from tests.scripted import DONE, Spy, image_call, scripted_model, tool_messages

JPEG = {"output_format": "jpeg"}
BASE64 = re.compile(rb"[A-Za-z0-9+/]{400,}")


class Gallery(MessagesState):
    """A state that declares the image channel itself, without `ImageState`."""

    generated_images: Annotated[dict[str, dict[str, Any]], merge_images]


class ChatGallery(Chat):
    """A state with messages under the key `chat` that declares the image channel itself."""

    generated_images: Annotated[dict[str, dict[str, Any]], merge_images]


class GalleryModel(BaseModel):
    """A state that is a pydantic model instead of a dict."""

    messages: Annotated[list[AnyMessage], add_messages] = Field(default_factory=list)
    generated_images: Annotated[dict[str, dict[str, Any]], merge_images] = Field(default_factory=dict)


@pytest.fixture
def tool(generator):
    """Return a tool that draws at the simulator and never retries."""
    return ImageGenerationTool(generator=generator(max_retries=0, options=JPEG))


def node_graph(tool, state, key="messages", **settings):
    """Return a graph of one `ToolNode`; `settings` are passed to `compile`."""
    builder = StateGraph(state)
    builder.add_node("tools", ToolNode([tool], messages_key=key))
    builder.add_edge(START, "tools")
    return builder.compile(**settings)


def model_message(*calls):
    """Return a chat model's message with these tool calls."""
    return AIMessage("", tool_calls=list(calls))


def handles(messages):
    """Return the handles in the content of successful tool messages, in order."""
    contents = [json.loads(message.content) for message in messages if message.status == "success"]
    return [image["handle"] for content in contents for image in content["images"]]


# Agents


def test_agent_draws(tool, half, simulator):
    """An agent draws with the tool, and its chat model answers after it."""
    model = scripted_model(image_call("a"), DONE)

    state = half.invoke(create_agent(model, [tool]), {"messages": "a fox, please"})
    [message] = tool_messages(state)
    assert [type(entry).__name__ for entry in state["messages"]][-3:] == ["AIMessage", "ToolMessage", "AIMessage"]
    assert message.artifact["images"][0]["handle"] in message.content
    assert simulator.pictures == 1


def test_model_is_offered_the_tool(tool, half):
    """The agent offers the tool to its chat model and sends the tool's short answer back to it."""
    model = scripted_model(image_call("a"), DONE)
    half.invoke(create_agent(model, [tool]), {"messages": "a fox, please"})

    assert model.offered_tools[0] is tool
    assert isinstance(model.requests[-1][-1], ToolMessage)
    assert len(model.requests[-1][-1].content) < 500


def test_model_can_correct_its_call(tool, half, simulator):
    """A locked option, a bad value and a moderated prompt become error messages, and the next call draws."""
    simulator.script(moderated("input", ["violence"]))
    turns = [
        image_call("a", input_fidelity="high"),
        image_call("b", quality="best"),
        image_call("c"),
        image_call("d"),
        DONE,
    ]

    state = half.invoke(create_agent(scripted_model(*turns), [tool]), {"messages": "draw"})
    assert [message.status for message in tool_messages(state)] == ["error", "error", "error", "success"]
    assert simulator.pictures == 1


@pytest.mark.parametrize("state", [MessagesState, Gallery])
def test_one_failure_of_three_loses_nothing(tool, half, simulator, state):
    """If one of three parallel calls fails, the other two pictures arrive and are each bought once."""
    simulator.script(None, None, quota_exceeded())
    calls = [image_call(id, f"draw {id}") for id in ("a", "b", "c")]

    result = half.invoke(node_graph(tool, state), {"messages": [model_message(*calls)]})
    messages = tool_messages(result)
    assert [message.tool_call_id for message in messages] == ["a", "b", "c"]
    assert sorted(message.status for message in messages) == ["error", "success", "success"]
    assert len(handles(messages)) == simulator.pictures == 2


@pytest.mark.parametrize("wrong", [{"images": ["img_00000000"]}, {"quality": "best"}, {"prompt": 5}])
def test_wrong_call_does_not_stop_its_siblings(tool, half, simulator, wrong):
    """In an agent the tool refuses one wrong call and draws for the two parallel ones."""
    calls = [image_call("a"), image_call("b", **wrong), image_call("c")]

    state = half.invoke(create_agent(scripted_model(calls, DONE), [tool]), {"messages": "draw"})
    assert [message.status for message in tool_messages(state)] == ["success", "error", "success"]
    assert simulator.pictures == 2


def test_unknown_handle_lists_those_of_the_thread(tool, half):
    """The error message about an unknown handle lists the handles of the conversation."""
    state = half.invoke(
        create_agent(scripted_model(image_call("a"), image_call("b", images=["img_00000000"]), DONE), [tool]),
        {"messages": "draw"},
    )

    drawn, refused = tool_messages(state)
    assert handles([drawn])[0] in refused.content


# Edits


@pytest.mark.parametrize("reference", ["handle", "1", "last", "call id"])
def test_edits_in_a_later_turn(tool, simulator, reference):
    """A later turn of the thread can edit a picture by its handle, ordinal, call id or `last`."""
    model = scripted_model(image_call("a"), DONE)
    agent = create_agent(model, [tool], checkpointer=InMemorySaver())
    [drawn] = tool_messages(agent.invoke({"messages": "a fox, please"}, THREAD))
    record = drawn.artifact["images"][0]
    named = {"handle": record["handle"], "call id": record["id"]}.get(reference, reference)
    model.messages = scripted_model(image_call("b", "edit it: make it winter", images=[named]), DONE).messages

    state = agent.invoke({"messages": "make it winter"}, THREAD)
    fox, winter = simulator.orders
    assert (fox.action, winter.action, len(winter.sources)) == ("generate", "edit", 1)
    assert tool_messages(state)[-1].artifact["images"][0]["parents"] == [record["id"]]


def test_lineage_of_a_thread(tool, half):
    """The messages of a thread record which picture was made from which."""
    turns = [
        image_call("a"),
        image_call("b", "edit it", images=["last"]),
        image_call("c", "edit it", images=["1", "2"]),
        DONE,
    ]

    state = half.invoke(create_agent(scripted_model(*turns), [tool]), {"messages": "draw"})
    memory = ImageMemory.from_state(state)
    assert len(memory) == 3
    assert [len(memory.lineage(ordinal)) for ordinal in "123"] == [1, 2, 3]


def test_other_threads_cannot_be_named(tool, half, simulator):
    """The tool refuses a handle or call id of another thread and draws nothing."""
    [drawn] = tool_messages(
        half.invoke(create_agent(scripted_model(image_call("a"), DONE), [tool]), {"messages": "draw"})
    )
    record = drawn.artifact["images"][0]
    calls = [image_call("b", images=[record["handle"]]), image_call("c", images=[record["id"]])]

    state = half.invoke(create_agent(scripted_model(calls, DONE), [tool]), {"messages": "draw"})
    assert [message.status for message in tool_messages(state)] == ["error", "error"]
    assert simulator.pictures == 1


def test_edits_an_upload(tool, half, simulator, ask):
    """The tool edits a picture that the user sent when the model names `last`."""
    data = simulated_base64(ask)
    photo = HumanMessage(
        [{"type": "text", "text": "edit this"}, {"type": "image", "base64": data, "mime_type": "image/jpeg"}]
    )

    half.invoke(
        create_agent(scripted_model(image_call("a", "edit it", images=["last"]), DONE), [tool]), {"messages": [photo]}
    )
    assert simulator.orders[-1].action == "edit"
    assert len(simulator.orders[-1].sources) == 1


def simulated_base64(ask):
    """Return the base64 of a picture that the simulator draws."""
    return next(item.result for item in ask().output if item.type == "image_generation_call")


# Nodes and channels


@pytest.mark.parametrize(("state", "key"), [(MessagesState, "messages"), (Chat, "chat"), (ChatGallery, "chat")])
def test_node_with_any_messages_key(tool, half, simulator, state, key):
    """A plain `ToolNode` draws and edits, whichever key its state keeps the messages under."""
    graph = node_graph(tool, state, key)
    drawn = half.invoke(graph, {key: [model_message(image_call("a"))]})

    edited = half.invoke(
        graph, {**drawn, key: [*drawn[key], model_message(image_call("b", "edit it", images=["last"]))]}
    )
    assert [message.tool_call_id for message in tool_messages(edited, key)] == ["a", "b"]
    assert [order.action for order in simulator.orders] == ["generate", "edit"]


@pytest.mark.parametrize(("state", "key"), [(Gallery, "messages"), (ChatGallery, "chat")])
def test_channel_gets_the_records(tool, half, state, key):
    """Parallel calls add their records to the channel in the order of the calls, and each returns its message."""
    result = half.invoke(node_graph(tool, state, key), {key: [model_message(*(image_call(id) for id in "abc"))]})

    records = result["generated_images"]
    assert [record["handle"] for record in records.values()] == handles(tool_messages(result, key))
    assert len(records) == 3
    assert json.loads(json.dumps(records)) == records


@pytest.mark.parametrize(
    ("state", "key", "kind"),
    [(MessagesState, "messages", ToolMessage), (Gallery, "messages", Command), (ChatGallery, "chat", Command)],
)
def test_wrap_tool_call_gets_one_message_or_command(tool, state, key, kind):
    """The `wrap_tool_call` of a `ToolNode` receives one `ToolMessage` or one `Command` per call, never a list."""
    received = []

    def record(request, execute):
        received.append(execute(request))
        return received[-1]

    builder = StateGraph(state)
    builder.add_node("tools", ToolNode([tool], messages_key=key, wrap_tool_call=record))
    builder.add_edge(START, "tools")
    result = builder.compile().invoke({key: [model_message(image_call("a"), image_call("b"))]})

    assert [type(answer) for answer in received] == [kind, kind]
    assert [message.tool_call_id for message in tool_messages(result, key)] == ["a", "b"]


def test_channel_works_without_messages(tool, half, simulator):
    """The tool finds a picture in the channel after a summary has replaced its messages."""
    graph = node_graph(tool, Gallery)
    drawn = half.invoke(graph, {"messages": [model_message(image_call("a"))]})
    summarized = {
        **drawn,
        "messages": [HumanMessage("so far: a fox"), model_message(image_call("b", "edit it", images=["last"]))],
    }

    half.invoke(graph, summarized)
    assert simulator.orders[-1].action == "edit"


def test_trusting_the_channel_alone(generator, half, simulator):
    """With `trust="channel"` the tool refuses a picture that only a client's artifact names."""
    free = ImageGenerationTool(generator=generator(options=JPEG))
    strict = ImageGenerationTool(generator=generator(options=JPEG), trust="channel")
    posted = tool_messages(half.invoke(node_graph(free, MessagesState), {"messages": [model_message(image_call("a"))]}))

    result = half.invoke(
        node_graph(strict, Gallery), {"messages": [*posted, model_message(image_call("b", "edit it", images=["last"]))]}
    )
    assert tool_messages(result)[-1].status == "error"
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
    """The tool skips a message whose picture cannot be read, and draws."""
    result = half.invoke(node_graph(tool, MessagesState), {"messages": [message, model_message(image_call("a"))]})

    assert tool_messages(result)[-1].status == "success"


def test_state_can_be_a_pydantic_model(tool, half, simulator):
    """The tool fills the channel of a pydantic state and edits its pictures."""
    graph = node_graph(tool, GalleryModel)
    drawn = half.invoke(graph, {"messages": [model_message(image_call("a"))]})

    edited = half.invoke(graph, {**drawn, "messages": [model_message(image_call("b", "edit it", images=["last"]))]})
    assert len(drawn["generated_images"]) == 1
    assert len(edited["generated_images"]) == 2
    assert simulator.orders[-1].action == "edit"


def test_forged_runtime_in_a_graph(tool, half, simulator):
    """The tool ignores a `runtime` argument from the model and still finds the thread's pictures."""
    turns = [image_call("a"), image_call("b", "edit it", images=["last"], runtime="x"), DONE]

    state = half.invoke(create_agent(scripted_model(*turns), [tool]), {"messages": "draw"})
    assert [message.status for message in tool_messages(state)] == ["success", "success"]
    assert simulator.orders[-1].action == "edit"


# Checkpoints


@pytest.mark.parametrize("state", [MessagesState, Gallery])
def test_checkpoint_keeps_the_artifact(tool, half, tmp_path, state):
    """Another saver on the same checkpoint file reads the state back equal."""
    file = tmp_path / "checkpoints.sqlite"
    calls = {"messages": [model_message(image_call("a"), image_call("b"))]}
    with open_saver(file, half) as saver:
        written = half.invoke(node_graph(tool, state, checkpointer=saver), calls, config=THREAD)

    with open_saver(file, half) as saver:
        graph = node_graph(tool, state, checkpointer=saver)
        snapshot = half.wait(graph.aget_state, THREAD) if half.name == "async" else graph.get_state(THREAD)
    assert len(handles(tool_messages(written))) == 2
    assert snapshot.values == written


def test_messages_hold_no_picture(tool, half):
    """No message of an agent's result holds base64 anywhere."""
    state = half.invoke(
        create_agent(scripted_model(image_call("a"), image_call("b", images=["last"]), DONE), [tool]),
        {"messages": "draw"},
    )

    for message in state["messages"]:
        assert not BASE64.search(message.model_dump_json().encode())


def test_traces_of_an_agent_hold_no_picture(tool, half):
    """Callbacks receive no base64 during an agent's run."""
    spy = Spy()
    agent = create_agent(scripted_model(image_call("a"), image_call("b", images=["last"]), DONE), [tool])

    half.invoke(agent, {"messages": "draw"}, config={"callbacks": [spy]})
    assert len(spy.records) > 10
    assert not any(BASE64.search(text.encode()) for text in spy.records)


STRICT = """
    import logging, sys
    from typing import Annotated, Any
    from langchain.agents import create_agent
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langchain_imagegen import ImageGenerationTool, ImageGenerator
    from tests.scripted import DONE, image_call, scripted_model, tool_messages
    from test_tool_in_graphs import Gallery, node_graph, model_message

    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="LOG %(name)s %(levelname)s %(message)s")
    for noisy in ("openai", "httpx2", "httpcore2", "httpx", "httpcore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    logging.getLogger("langchain_imagegen").setLevel(logging.ERROR)
    thread = {"configurable": {"thread_id": "one"}}
    tool = ImageGenerationTool(generator=ImageGenerator(options={"output_format": "jpeg"}))
    written, read = [], []
    for make in (lambda saver: node_graph(tool, Gallery, checkpointer=saver),
                 lambda saver: create_agent(scripted_model(image_call("a"), DONE), [tool], checkpointer=saver)):
        file = f"{sys.argv[1]}/{len(written)}.sqlite"
        inputs = {"messages": "draw"} if written else {"messages": [model_message(image_call("a"))]}
        with SqliteSaver.from_conn_string(file) as saver:
            written.append(make(saver).invoke(inputs, thread))
        with SqliteSaver.from_conn_string(file) as saver:
            read.append(make(saver).get_state(thread).values)
    assert read == written
    assert all(tool_messages(state)[0].artifact["images"] for state in read)
    assert list(read[0]["generated_images"].values())[0]["handle"]
    print("equal")
"""


@pytest.mark.parametrize("strict", ["true", "false"])
def test_strict_checkpoints_know_all_types(simulator, tmp_path, strict):
    """A checkpoint is read back equal with and without strict mode, and no warning names our types."""
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


def test_cancelled_call_leaves_the_tool_usable(tool, generators, simulator):
    """The tool draws after an earlier call was cancelled."""

    async def cancel_and_call_again():
        first = asyncio.create_task(tool.ainvoke(image_call("a")))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        again = await tool.ainvoke(image_call("b"))
        await generators[0]._transport.async_client.close()
        return again

    assert asyncio.run(cancel_and_call_again()).status == "success"
