"""`max_images` and `max_cost`: the call beyond a limit is refused before it is sent, and the model reads what to do."""

from __future__ import annotations

import pickle
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain.agents.middleware import PIIMiddleware
from langchain_core.messages import HumanMessage, ToolCall
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Send

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageMemory
from langchain_imagegen.errors import OptionError
from langchain_imagegen.simulator import server_error
from tests.conversations import image_block, open_saver, photo
from tests.graphs import PLACES, THREAD, WITH_CHANNEL, Gallery, Talk, agent_with_middleware, state_graph
from tests.scripted import DONE, image_call, scripted_model, tool_messages

FULL = "No picture was made: 2 of 2 pictures of this run are drawn; tell the user."


def statuses(messages: Any) -> list[str]:
    """Return the statuses of tool messages, sorted: parallel calls end in any order."""
    return sorted(message.status for message in messages)


@pytest.fixture
def tool(low):
    """Return a maker of tools with limits."""
    return lambda **limits: ImageGenerationTool(generator=low(), **limits)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_a_run_draws_so_many(half, tool, simulator, place):
    """The third call of a run is refused with advice, before anything is sent; the next run may draw again."""
    talk = Talk(half, place, tool(max_images=2))
    talk.turn(*(image_call(id, f"draw fox {id}") for id in "abc"))
    assert talk.tool_messages[-1].content == FULL
    assert [message.status for message in talk.tool_messages] == ["success", "success", "error"]
    assert simulator.pictures == len(simulator.requests) == 2

    talk.turn(image_call("d", "draw fox d"))
    assert simulator.pictures == 3


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_parallel_calls_count_before_they_start(half, tool, simulator, place):
    """Of five calls of one message, two are drawn, although none is finished when the others begin."""
    talk = Talk(half, place, tool(max_images=2))
    talk.turn([image_call(id, f"draw fox {id}") for id in "abcde"])

    assert statuses(talk.tool_messages) == ["error"] * 3 + ["success"] * 2
    assert simulator.pictures == len(simulator.requests) == 2


def test_parallel_tasks_count_too(half, tool, simulator):
    """Tool nodes that run beside each other in one step share the run's places."""
    node = ToolNode([tool(max_images=2)])
    builder = StateGraph(Gallery)
    builder.add_node("tools", node)
    calls = [image_call(id, f"draw fox {id}") for id in "abcd"]

    def ask(state: Any) -> Any:
        message = scripted_model(calls).invoke(state["messages"])
        sent = {**state, "messages": [*state["messages"], message]}
        return [
            Send("tools", {**sent, "messages": [message.model_copy(update={"tool_calls": [call]})]}) for call in calls
        ]

    builder.add_conditional_edges(START, ask, ["tools"])
    graph = builder.compile(checkpointer=InMemorySaver())
    state = half.invoke(graph, {"messages": "draw"}, config=THREAD)

    assert statuses(tool_messages(state)) == ["error"] * 2 + ["success"] * 2
    assert simulator.pictures == 2


@pytest.mark.parametrize("place", WITH_CHANNEL, ids=lambda place: place.__name__)
def test_a_thread_draws_so_many(half, tool, simulator, place):
    """The limit of a thread holds over its runs and a restart; another thread has its own."""
    saver = InMemorySaver()
    for id in "abc":
        talk = Talk(half, place, tool(max_images={"thread": 2}), saver)
        talk.turn(image_call(id, f"draw fox {id}"))

    assert talk.tool_messages[-1].content == FULL.replace("run", "thread")
    assert simulator.pictures == 2
    other = Talk(half, place, tool(max_images={"thread": 2}))
    other.turn(image_call("a", "draw a bear"))
    assert simulator.pictures == 3


def test_a_branch_counts_its_own_past(half, tool, simulator):
    """A branch from before the second picture may draw one more."""
    talk = Talk(half, agent_with_middleware, tool(max_images={"thread": 2}))
    talk.turn(image_call("a", "draw a fox"))
    past = talk.snapshot.config
    talk.turn(image_call("b", "draw an owl"))
    talk.turn(image_call("c", "draw a bear"), config=past)
    assert talk.tool_messages[-1].status == "success"
    talk.turn(image_call("d", "draw a cat"))

    assert talk.tool_messages[-1].content == FULL.replace("run", "thread")
    assert simulator.pictures == 3


def test_a_call_that_drew_nothing_gives_its_place_back(half, low, simulator):
    """After an error that certainly drew nothing, the model may call again; a picture that may be paid for counts."""
    tool = ImageGenerationTool(generator=low(max_retries=0), max_images=1)
    talk = Talk(half, agent_with_middleware, tool)
    simulator.script(server_error(503))
    talk.turn(image_call("a"), image_call("b"), image_call("c"))

    assert [message.status for message in talk.tool_messages] == ["error", "success", "error"]
    assert "1 of 1 pictures of this run are drawn" in talk.tool_messages[-1].content
    assert simulator.pictures == 1


def test_a_step_executed_again_keeps_its_place(half, tool, simulator, tmp_path):
    """A picture from the ledger is not counted twice: the step that failed behind it is executed again."""
    with open_saver(tmp_path / "checkpoints.db", half) as saver:
        failing = [True]

        def fails_once(request: Any, call: Any) -> Any:
            result = call(request)
            if failing.pop():
                raise ConnectionAbortedError("behind the drawing")
            return result

        limited = tool(max_images={"thread": 1}).model_copy(update={"around_image": fails_once})
        limited.handle_tool_error = False
        graph = state_graph(scripted_model(image_call("a"), DONE), limited, checkpointer=saver)
        with pytest.raises(Exception, match="behind the drawing"):
            half.invoke(graph, {"messages": "draw a fox"}, config=THREAD)
        failing.append(False)
        state = half.invoke(graph, None, config=THREAD)

    assert statuses(tool_messages(state)) == ["success"]
    assert simulator.pictures == len(ImageMemory.from_state(state)) == 1


def test_one_call_draws_one_picture(half, tool, simulator):
    """A limited call asks the service for one picture at most, whatever its prompt says."""
    talk = Talk(half, agent_with_middleware, tool(max_images=2))
    talk.turn(image_call("a", "draw two pictures of a fox"))

    assert simulator.requests[-1].body["max_tool_calls"] == 1
    assert simulator.pictures == 1


def test_dollars(half, tool, simulator):
    """A call whose estimate does not fit any more is refused, and the model reads the amounts."""
    talk = Talk(half, agent_with_middleware, tool(max_cost={"thread": "$0.12"}))
    for id in "abcdefgh":
        talk.turn(image_call(id, f"draw fox {id}"))
    last = talk.tool_messages[-1]

    assert 1 <= simulator.pictures < 8
    assert last.status == "error"
    assert "of $0.1200 of this thread are spent and the picture may cost $" in last.content


def test_parallel_dollars(half, tool, simulator):
    """Calls beside each other count with their estimates before they start."""
    talk = Talk(half, agent_with_middleware, tool(max_cost=Decimal("0.12")))
    talk.turn([image_call(id, f"draw fox {id}") for id in "abcdefgh"])

    assert 1 <= simulator.pictures < 8
    assert "error" in statuses(talk.tool_messages)


def test_an_unknown_price(half, low, simulator):
    """Where dollars are limited and no table tells the price, nothing is sent."""
    tool = ImageGenerationTool(generator=low(options={"model": "gpt-image-9"}), max_cost="$5")
    talk = Talk(half, agent_with_middleware, tool)
    talk.turn(image_call("a"))

    assert "what this picture would cost is not known" in talk.tool_messages[0].content
    assert simulator.requests == []


def test_an_answer_from_elsewhere_is_free(half, low, simulator):
    """A picture that `around_image` has from elsewhere takes no place, and the ones behind it may be drawn."""
    known = half.invoke(low(), "draw a fox")

    def cached(request: Any, call: Any) -> Any:
        return known if "fox" in request.prompt else call(request)

    tool = ImageGenerationTool(generator=low(), max_images=1, around_image=cached)
    talk = Talk(half, agent_with_middleware, tool)
    talk.turn([image_call("a"), image_call("b", "draw an owl")])

    assert statuses(talk.tool_messages) == ["success", "success"]
    assert simulator.pictures == 2


def test_without_a_graph(half, tool, simulator):
    """Outside a graph a tool counts its own calls."""
    limited = tool(max_images=1)
    answers = [half.invoke(limited, {"prompt": f"draw fox {number}"}) for number in range(2)]

    assert "1 of 1 pictures of this run are drawn" in answers[1]
    assert simulator.pictures == 1


def test_a_place_is_given_back_beside_others(half, low, simulator):
    """Among calls that are counted together, the one that drew nothing has left its place to the next."""
    limited = ImageGenerationTool(generator=low(max_retries=0), max_images=1)
    simulator.script(server_error(503))
    failed, drawn, refused = (half.invoke(limited, {"prompt": f"draw fox {number}"}) for number in range(3))

    assert "The fault is the service's" in failed
    assert '"images"' in drawn
    assert "1 of 1 pictures" in refused
    assert simulator.pictures == 1


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_images": -1}, "max_images=-1: it takes a number of pictures"),
        ({"max_images": True}, "max_images=True"),
        ({"max_images": {"day": 3}}, "'day' is no scope"),
        ({"max_cost": "cheap"}, "max_cost='cheap': it takes dollars"),
        ({"max_cost": {"run": float("inf")}}, "it takes dollars"),
    ],
)
def test_limits_that_mean_nothing(limits, words):
    """The error for a limit that is none says what is accepted."""
    with pytest.raises(OptionError, match=words):
        ImageGenerationTool(**limits)


def test_uploads_are_not_counted(half, tool):
    """Pictures that the user sends are in the state, and take no place."""
    talk = Talk(half, agent_with_middleware, tool(max_images={"thread": 1}))
    talk.turn(image_call("a", "edit it", images=["last"]), messages=[HumanMessage([image_block(photo())])])

    assert statuses(talk.tool_messages) == ["success"]


def test_sub_agents_count_towards_a_named_run(half, tool, simulator):
    """Where the run has an id, as on LangGraph's server, sub-agents one after the other share its places."""

    def task(id: str) -> ToolCall:
        return ToolCall(name="task", args={"description": "draw", "subagent_type": "artist"}, id=id, type="tool_call")

    model = scripted_model(image_call("a"), DONE, image_call("b", "draw an owl"), DONE)
    limited = [ImageGenerationMiddleware(tool=tool(max_images=1), hosted=False)]
    artist = {"name": "artist", "description": "Draws.", "system_prompt": "Draw.", "model": model}
    planner = scripted_model(task("t1"), task("t2"), DONE)
    graph = create_deep_agent(planner, subagents=[{**artist, "middleware": limited}])
    half.invoke(graph, {"messages": "draw"}, config={"metadata": {"run_id": uuid4().hex}})

    assert simulator.pictures == 1


def test_a_pickle_of_a_middleware_in_use(talks, half):
    """A middleware that knows the others of its agent is pickled without them."""
    ours = ImageGenerationMiddleware(max_images=1, approval="$0.10")
    create_agent(talks.model(), middleware=[PIIMiddleware("email", detector=lambda text: []), ours])

    assert pickle.loads(pickle.dumps(ours)).limits == ours.limits
