"""A tool call that is executed again gets the picture that it has bought, in agents, tool nodes and sub-agents."""

from __future__ import annotations

from typing import Any

import pytest
from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    ModelRetryMiddleware,
    ToolRetryMiddleware,
)
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.tools import tool as as_tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, RetryPolicy, interrupt

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageMemory
from langchain_imagegen.simulator import html_page
from tests.conversations import SMALL, open_saver
from tests.graphs import THREAD, agent, agent_with_middleware, state_graph
from tests.scripted import DONE, image_call, scripted_model, tool_messages

AGAIN = RetryPolicy(max_attempts=3, initial_interval=0.01, retry_on=Exception)


class OwnError(Exception):
    """An error of somebody's own code, which comes after the drawing."""


class FailsBehind(AgentMiddleware):
    """Raises an error of its own behind a tool call or a model call, so often."""

    def __init__(self, times: int, *, behind: str) -> None:
        super().__init__()
        self.times, self.behind = times, behind

    def _fail(self, place: str) -> None:
        if place == self.behind and self.times > 0:
            self.times -= 1
            raise OwnError(f"behind the {place}")

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        """Call the tool, then perhaps fail."""
        answer = handler(request)
        self._fail("tool")
        return answer

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        """Async twin of `wrap_tool_call`."""
        answer = await handler(request)
        self._fail("tool")
        return answer

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        """Call the model, then perhaps fail."""
        answer = handler(request)
        self._fail("model")
        return answer

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        """Async twin of `wrap_model_call`."""
        answer = await handler(request)
        self._fail("model")
        return answer


@pytest.fixture
def tool(low):
    """Return a tool that draws small pictures at the simulator."""
    return ImageGenerationTool(generator=low())


@pytest.fixture
def saver(half, tmp_path):
    """A checkpointer with a file."""
    with open_saver(tmp_path / "checkpoints.db", half) as opened:
        yield opened


def draw(half: Any, graph: Any) -> Any:
    """Ask for a picture on the thread; give the state."""
    return half.invoke(graph, {"messages": "draw a fox"}, config=THREAD)


def go_on(half: Any, graph: Any, given: Any = None, config: Any = THREAD) -> Any:
    """Run the open steps of the thread; give the state."""
    return half.invoke(graph, given, config=config)


def before(half: Any, graph: Any, node: str) -> Any:
    """Return the configuration of the latest checkpoint before a node."""
    if half.name == "sync":
        states = list(graph.get_state_history(THREAD))
    else:

        async def collect() -> list[Any]:
            return [state async for state in graph.aget_state_history(THREAD)]

        states = half.wait(collect)
    return next(state.config for state in states if node in state.next)


@pytest.mark.parametrize("place", [agent, agent_with_middleware, state_graph], ids=lambda place: place.__name__)
def test_a_replayed_tool_call_draws_once(half, tool, saver, simulator, place):
    """A replay of the tools' step, even twice, gets the picture; a replay of the model's step is a new tool call."""
    model = scripted_model(image_call("a"), DONE)
    graph = place(model, tool, checkpointer=saver)
    first = tool_messages(draw(half, graph))[0]
    tools, chat = before(half, graph, "tools"), before(half, graph, "model")
    for _ in range(2):
        model.messages = scripted_model(DONE).messages
        again = tool_messages(go_on(half, graph, config=tools))[0]
        assert again.artifact["images"] == first.artifact["images"]
        assert again.artifact["from_ledger"] is True
    assert simulator.pictures == 1

    model.messages = scripted_model(image_call("b"), DONE).messages
    go_on(half, graph, config=chat)
    assert simulator.pictures == 2


def test_an_agent_that_fails_behind_its_tool_draws_once(half, tool, saver, simulator):
    """A run whose own code failed behind the tool, and is resumed, buys one picture, and the channel has it once."""
    middleware = [FailsBehind(1, behind="tool"), ImageGenerationMiddleware(tool=tool, hosted=False)]
    graph = create_agent(scripted_model(image_call("a"), DONE), middleware=middleware, checkpointer=saver)
    with pytest.raises(OwnError):
        draw(half, graph)
    state = go_on(half, graph)

    assert simulator.pictures == len(ImageMemory.from_state(state)) == 1


def test_a_tool_that_others_repeat_draws_once(half, tool, saver, simulator):
    """`ToolRetryMiddleware` around code that fails behind the tool repeats the call, and one picture is bought."""
    middleware = [
        ToolRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False),
        FailsBehind(2, behind="tool"),
        ImageGenerationMiddleware(tool=tool, hosted=False),
    ]
    graph = create_agent(scripted_model(image_call("a"), DONE), middleware=middleware, checkpointer=saver)
    state = draw(half, graph)

    assert simulator.pictures == len(ImageMemory.from_state(state)) == 1


def tool_node(saver: Any, *tools: Any, **settings: Any) -> Any:
    """Return a graph of one `ToolNode`, which carries out all calls of a message in one step."""
    builder = StateGraph(MessagesState)
    builder.add_node("tools", ToolNode(list(tools)), **settings)
    builder.add_edge(START, "tools")
    return builder.compile(checkpointer=saver)


def calling(*calls: ToolCall) -> dict[str, Any]:
    """Return the input of a graph whose last message makes the calls."""
    return {"messages": [AIMessage("", tool_calls=list(calls))]}


def test_calls_in_one_step_are_told_apart(half, tool, saver, simulator):
    """Equal calls of one message buy a picture each; the step executed again gets each its own."""
    graph = tool_node(saver, tool)
    calls = [image_call(id) for id in ("a", "b", "c")]
    first = half.invoke(graph, calling(*calls), config=THREAD)
    again = go_on(half, graph, config=before(half, graph, "tools"))

    drawn = [[message.artifact["images"][0]["id"] for message in tool_messages(state)] for state in (first, again)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == simulator.pictures == 3


def test_a_sibling_that_asks_a_person(half, tool, saver, simulator):
    """When another tool of the step interrupts, the step is executed again, and the picture is not bought again."""

    @as_tool
    def ask() -> str:
        """Ask a person."""
        return str(interrupt("go on?"))

    graph = tool_node(saver, tool, ask)
    half.invoke(graph, calling(image_call("a"), ToolCall(name="ask", args={}, id="b")), config=THREAD)
    state = go_on(half, graph, Command(resume="yes"))

    assert simulator.pictures == 1
    assert [message.name for message in tool_messages(state)] == ["generate_image", "ask"]


def test_a_failed_sibling(half, tool, saver, simulator):
    """When another tool of the same step fails and the node is retried, the picture is not bought again."""
    left = [2]

    @as_tool
    def fail() -> str:
        """Fail twice."""
        left[0] -= 1
        if left[0] >= 0:
            raise OwnError("beside the drawing")
        return "done"

    graph = tool_node(saver, tool, fail, retry_policy=AGAIN)
    half.invoke(graph, calling(image_call("a"), ToolCall(name="fail", args={}, id="b")), config=THREAD)

    assert simulator.pictures == 1


@pytest.mark.parametrize(("decision", "pictures"), [("approve", 1), ("edit", 2)])
def test_approval(half, tool, saver, simulator, decision, pictures):
    """An approved call buys one picture, also when it is replayed; edited arguments are another call."""
    middleware = [
        HumanInTheLoopMiddleware({"generate_image": True}),
        ImageGenerationMiddleware(tool=tool, hosted=False),
    ]
    model = scripted_model(image_call("a"), DONE)
    graph = create_agent(model, middleware=middleware, checkpointer=saver)
    draw(half, graph)
    edited = {"type": "edit", "edited_action": {"name": "generate_image", "args": {"prompt": "draw an owl"}}}
    answer = {"type": "approve"} if decision == "approve" else edited
    asked = before(half, graph, "HumanInTheLoopMiddleware.after_model")
    go_on(half, graph, Command(resume={"decisions": [{"type": "approve"}]}))
    for _ in range(2):
        model.messages = scripted_model(DONE).messages
        go_on(half, graph, config=asked)
        go_on(half, graph, Command(resume={"decisions": [answer]}))

    assert simulator.pictures == pictures


def test_the_same_words_in_a_later_turn_draw_anew(half, tool, saver, simulator):
    """A chat model whose tool calls have the same id in each turn buys a picture in each turn."""
    model = scripted_model(image_call("call_0"), DONE)
    graph = agent_with_middleware(model, tool, checkpointer=saver)
    draw(half, graph)
    model.messages = scripted_model(image_call("call_0"), DONE).messages
    draw(half, graph)

    assert simulator.pictures == 2


def test_a_sub_agent_that_is_resumed_draws_once(half, tool, saver, simulator):
    """A deep agent whose sub-agent failed behind its drawing, and is resumed, buys one picture."""
    ours = [FailsBehind(1, behind="tool"), ImageGenerationMiddleware(tool=tool, hosted=False)]
    model = scripted_model(image_call("a"), AIMessage("drawn"))
    artist = {"name": "artist", "description": "Draws.", "system_prompt": "Draw.", "model": model, "middleware": ours}
    ask = ToolCall(name="task", args={"description": "draw a fox", "subagent_type": "artist"}, id="t", type="tool_call")
    graph = create_deep_agent(scripted_model(ask, DONE), subagents=[artist], checkpointer=saver)
    with pytest.raises(OwnError):
        draw(half, graph)
    go_on(half, graph)

    assert simulator.pictures == 1


def test_a_gateway_costs_one_picture_a_call(half, tool, saver, simulator):
    """After a page of a gateway, retries of others around the tool buy nothing; a new call of the model does."""
    simulator.script(html_page(502, drawn=True))
    model = scripted_model(image_call("a"), image_call("b"), DONE)
    middleware = [
        ToolRetryMiddleware(max_retries=2, initial_delay=0.0),
        ImageGenerationMiddleware(tool=tool, hosted=False),
    ]
    graph = create_agent(model, middleware=middleware, checkpointer=saver)
    answers = tool_messages(draw(half, graph))

    assert [message.status for message in answers] == ["error", "success"]
    assert simulator.pictures == 2


# --- hosted calls: the chat model's own request, which the ledger does not know


def test_what_a_hosted_call_buys(talks, half, saver):
    """A hosted picture is bought again if its model step is executed again, and not if a later step is."""
    middleware = [FailsBehind(1, behind="model"), ImageGenerationMiddleware(SMALL, hosted=True)]
    graph = create_agent(talks.model(), middleware=middleware, checkpointer=saver)
    with pytest.raises(OwnError):
        draw(half, graph)
    assert talks.simulator.pictures == 1
    go_on(half, graph)
    assert talks.simulator.pictures == 2

    go_on(half, graph)
    assert talks.simulator.pictures == 2


def test_what_model_retries_buy(talks, half, saver):
    """`ModelRetryMiddleware` around code that fails behind a hosted call buys a picture each time."""
    middleware = [
        ModelRetryMiddleware(max_retries=2, initial_delay=0.0),
        FailsBehind(2, behind="model"),
        ImageGenerationMiddleware(SMALL, hosted=True),
    ]
    draw(half, create_agent(talks.model(), middleware=middleware, checkpointer=saver))

    assert talks.simulator.pictures == 3
