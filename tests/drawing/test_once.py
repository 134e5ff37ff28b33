"""A step of a graph that is run again gets the picture that it has bought; what is asked for anew is bought anew."""

from __future__ import annotations

import operator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt
from typing_extensions import TypedDict

from langchain_imagegen import ImageMemory, ImageStore
from langchain_imagegen.errors import GatewayError
from langchain_imagegen.simulator import cut_body, failed, html_page, rate_limited, server_error
from tests.conversations import open_saver

THREAD = {"configurable": {"thread_id": "one"}}
AGAIN = RetryPolicy(max_attempts=3, initial_interval=0.01, retry_on=Exception)


class Drawn(TypedDict):
    """What a graph has drawn: the digest of each picture, in order."""

    drawn: Annotated[list[str], operator.add]


class OwnError(Exception):
    """An error of the developer's own code, which comes after the drawing."""


@pytest.fixture
def saver(half, tmp_path):
    """A checkpointer with a file."""
    with open_saver(tmp_path / "checkpoints.db", half) as opened:
        yield opened


@pytest.fixture
def graph(half, saver):
    """Compiles a graph whose only node is the given function, which gets `draw` and the state."""

    def compile_graph(node: Any, *, checkpointer: Any = saver, **settings: Any) -> Any:
        builder = StateGraph(Drawn)
        builder.add_node("node", node, **settings)
        builder.add_edge(START, "node")
        return builder.compile(checkpointer=checkpointer)

    return compile_graph


def run(half: Any, graph: Any, given: Any = None, thread: str = "one") -> Any:
    """Run a graph on a thread; give its state."""
    given = {"drawn": []} if given is None else given
    return half.invoke(graph, given, config={"configurable": {"thread_id": thread}})


def resume(half: Any, graph: Any, given: Any = None, config: Any = THREAD) -> Any:
    """Run the open steps of a thread; give its state."""
    return half.invoke(graph, given, config=config)


def digest(result: Any) -> dict[str, list[str]]:
    """What a node returns of a result."""
    return {"drawn": [result.image.sha256]}


def drawing_node(half: Any, draw: Any, *behind: Any, **fields: Any) -> Any:
    """A node that draws a fox and then does what is `behind`; each half draws in its own way."""

    def then() -> None:
        for step in behind:
            step()

    def node(_: Any) -> Any:
        result = draw.invoke("draw a fox", **fields)
        then()
        return digest(result)

    async def anode(_: Any) -> Any:
        result = await draw.ainvoke("draw a fox", **fields)
        then()
        return digest(result)

    return node if half.name == "sync" else anode


def failing(times: int) -> Any:
    """A step that raises so often, and then does nothing."""
    left = [times]

    def step() -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise OwnError("after the drawing")

    return step


def test_a_retried_node_draws_once(half, low, graph, simulator):
    """A node that fails twice after its drawing, and is retried by LangGraph, buys one picture."""
    state = run(half, graph(drawing_node(half, low(), failing(2)), retry_policy=AGAIN))

    assert simulator.pictures == len(state["drawn"]) == 1


def test_a_resumed_run_draws_once(half, low, graph, simulator):
    """A run that failed after its drawing and is resumed gets the picture, and the result says where it comes from."""
    seen = []
    draw = low()

    def note(result: Any) -> Any:
        seen.append(result)
        if len(seen) == 1:
            raise OwnError("after the drawing")
        return result

    compiled = graph(drawing_node(half, draw | note))
    with pytest.raises(OwnError):
        run(half, compiled)
    state = resume(half, compiled)
    first, second = seen

    assert simulator.pictures == 1
    assert state["drawn"] == [first.image.sha256]
    assert (first.from_ledger, second.from_ledger) == (False, True)
    assert second.image == first.image
    assert second.image.read() == first.image.read()
    assert (second.usage, second.image_usage, second.response_id) == (first.usage, first.image_usage, first.response_id)


def test_an_interrupted_node_draws_once(half, low, graph, simulator):
    """A node that asks a person after its drawing, and is run again with the answer, buys one picture."""
    compiled = graph(drawing_node(half, low(), lambda: interrupt("is it good?")))
    run(half, compiled)
    state = resume(half, compiled, Command(resume="yes"))

    assert simulator.pictures == len(state["drawn"]) == 1


def test_a_replay_gets_the_picture(half, low, graph, simulator):
    """A run that is replayed from the checkpoint before the drawing, even twice, buys no other picture."""
    compiled = graph(drawing_node(half, low()))
    drawn = run(half, compiled)["drawn"]
    before = next(state for state in history(half, compiled) if state.next == ("node",))

    assert resume(half, compiled, config=before.config)["drawn"] == drawn
    assert resume(half, compiled, config=before.config)["drawn"] == drawn
    assert simulator.pictures == 1


def test_a_new_turn_draws_anew(half, low, graph, simulator):
    """The same request in a later turn of the thread, and in another thread, is another picture."""
    compiled = graph(drawing_node(half, low()))
    run(half, compiled)
    run(half, compiled)
    run(half, compiled, thread="two")

    assert simulator.pictures == 3


def test_a_branch_draws_anew(half, low, graph, simulator):
    """A branch that `update_state` began is a new step, and buys its own picture."""
    compiled = graph(drawing_node(half, low()))
    run(half, compiled)
    before = next(state for state in history(half, compiled) if state.next == ("node",))
    update = compiled.update_state if half.name == "sync" else partial(half.wait, compiled.aupdate_state)
    branch = update(before.config, {"drawn": ["changed"]})
    resume(half, compiled, config=branch)

    assert simulator.pictures == 2


def test_variations_are_told_apart(half, low, graph, simulator):
    """Three equal requests of a node are three pictures; the node run again gets the same three, in order."""
    draw, seen, fail = low(), [], failing(1)

    def node(_: Any) -> Any:
        pictures = [draw.invoke("draw a fox") for _ in range(3)]
        seen.append([result.image.id for result in pictures])
        fail()
        return {"drawn": seen[-1]}

    async def anode(_: Any) -> Any:
        pictures = [await draw.ainvoke("draw a fox") for _ in range(3)]
        seen.append([result.image.id for result in pictures])
        fail()
        return {"drawn": seen[-1]}

    state = run(half, graph(node if half.name == "sync" else anode, retry_policy=AGAIN))

    assert simulator.pictures == 3
    assert seen[0] == seen[1] == state["drawn"]
    assert len(set(seen[0])) == 3


def test_a_batch_keeps_its_order(half, low, graph, simulator):
    """Equal inputs of a batch are counted in the order of the inputs, however long each takes."""
    draw, seen, fail = low(), [], failing(1)
    inputs = ["draw a fox", {"prompt": "draw an owl"}, "draw a fox", {"prompt": "draw an owl"}]

    def note(pictures: Any) -> Any:
        seen.append([result.image.id for result in pictures])
        fail()
        return {"drawn": seen[-1]}

    def node(_: Any) -> Any:
        return note(draw.batch(inputs))

    async def anode(_: Any) -> Any:
        return note(await draw.abatch(inputs))

    run(half, graph(node if half.name == "sync" else anode, retry_policy=AGAIN))

    assert simulator.pictures == 4
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 4


def test_a_request_in_other_words_is_counted_too(low, graph, simulator):
    """The same request once as text and once as a dict are two pictures of a node, and the same two again."""
    draw, seen, fail = low(), [], failing(1)

    def node(_: Any) -> Any:
        seen.append([draw.invoke(given).image.id for given in ("draw a fox", {"prompt": "draw a fox"})])
        fail()
        return {"drawn": seen[-1]}

    graph(node, retry_policy=AGAIN, checkpointer=InMemorySaver()).invoke({"drawn": []}, THREAD)

    assert simulator.pictures == 2
    assert seen[0] == seen[1]


@pytest.mark.parametrize("thread", [None, "one"])
def test_without_a_checkpointer_nothing_is_remembered(half, low, graph, simulator, thread):
    """Two runs of a graph that keeps nothing buy two pictures, with a thread id or without."""
    compiled = graph(drawing_node(half, low()), checkpointer=None)
    config = {"configurable": {"thread_id": thread}} if thread else {}
    for _ in range(2):
        half.invoke(compiled, {"drawn": []}, config=config)

    assert simulator.pictures == 2


def test_outside_a_graph_nothing_is_looked_up(half, low, simulator, image_store):
    """The same call in a script is bought each time, and nothing is noted."""
    draw = low()
    results = [half.invoke(draw, "draw a fox") for _ in range(2)]

    assert simulator.pictures == 2
    assert not any(result.from_ledger for result in results)
    assert "ledger" not in [path.name for path in sorted_paths(image_store)]
    assert not [request for request in simulator.requests if request.body.get("stream")]


@pytest.mark.parametrize("off", [None, False])
def test_it_can_be_switched_off(half, low, graph, simulator, image_store, off):
    """With `once=None`, or with `once=False` of a call, a node buys each time it is run."""
    draw = low(once=None) if off is None else low()
    fields = {} if off is None else {"once": False}
    run(half, graph(drawing_node(half, draw, failing(2), **fields), retry_policy=AGAIN))

    assert simulator.pictures == 3
    assert "ledger" not in [path.name for path in sorted_paths(image_store)]


def sorted_paths(store: ImageStore) -> list[Any]:
    """The folders and files of a store."""
    return sorted(Path(store.location).iterdir())


def history(half: Any, compiled: Any) -> list[Any]:
    """The states of the thread, the latest first."""
    if half.name == "sync":
        return list(compiled.get_state_history(THREAD))

    async def collect() -> list[Any]:
        return [state async for state in compiled.aget_state_history(THREAD)]

    return half.wait(collect)


def test_a_task_and_its_workflow_draw_once(low, simulator, tmp_path):
    """Equal calls in tasks and in the workflow itself are told apart, and none is bought again on resume."""
    draw, fail = low(), failing(1)

    @task
    def paint(prompt: str) -> str:
        return draw.invoke(prompt).image.id

    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db")) as checkpointer:

        @entrypoint(checkpointer=checkpointer)
        def workflow(prompt: str) -> list[str]:
            painted = [future.result() for future in [paint(prompt), paint(prompt)]]
            painted.append(draw.invoke(prompt).image.id)
            fail()
            return painted

        with pytest.raises(OwnError):
            workflow.invoke("draw a fox", THREAD)
        painted = workflow.invoke(None, THREAD)

    assert simulator.pictures == len(set(painted)) == 3


def test_parallel_steps_draw_a_picture_each(half, low, saver, simulator):
    """Steps that `Send` starts with the same request buy one picture each, and a replay gets them again."""
    node = drawing_node(half, low())
    builder = StateGraph(Drawn)
    builder.add_node("node", node)
    builder.add_conditional_edges(START, lambda _: [Send("node", {"drawn": []})] * 3)
    compiled = builder.compile(checkpointer=saver)
    drawn = run(half, compiled)["drawn"]
    before = next(state for state in history(half, compiled) if "node" in state.next)

    assert resume(half, compiled, config=before.config)["drawn"] == drawn
    assert simulator.pictures == 3


def test_a_loop_draws_at_each_step(half, low, saver, simulator):
    """A node that runs three times in a row with the same request buys three pictures, also when it is replayed."""
    builder = StateGraph(Drawn)
    builder.add_node("node", drawing_node(half, low()))
    builder.add_edge(START, "node")
    builder.add_conditional_edges("node", lambda state: "node" if len(state["drawn"]) < 3 else "__end__")
    compiled = builder.compile(checkpointer=saver)
    run(half, compiled)
    first = [state for state in history(half, compiled) if state.next == ("node",)][-1]
    resume(half, compiled, config=first.config)

    assert simulator.pictures == 5  # the first step of the replay is known, the others are new steps


def test_a_resumed_subgraph_draws_once(half, low, saver, simulator):
    """A step of a subgraph that is run again after an error gets its picture."""
    inner = StateGraph(Drawn)
    inner.add_node("node", drawing_node(half, low(), failing(1)))
    inner.add_edge(START, "node")
    outer = StateGraph(Drawn)
    outer.add_node("inner", inner.compile())
    outer.add_edge(START, "inner")
    compiled = outer.compile(checkpointer=saver)
    with pytest.raises(OwnError):
        run(half, compiled)
    resume(half, compiled)

    assert simulator.pictures == 1


def test_a_stream_gives_the_result_alone(low, simulator):
    """Streaming a call whose picture is known gives no partial pictures, and buys nothing."""
    draw, seen = low(options={"size": "816x816", "quality": "low", "partial_images": 2}), []

    def node(_: Any) -> Any:
        seen.append(list(draw.stream("draw a fox")))
        if len(seen) == 1:
            raise OwnError("after the drawing")
        return digest(seen[-1][-1])

    builder = StateGraph(Drawn)
    builder.add_node("node", node, retry_policy=AGAIN)
    builder.add_edge(START, "node")
    builder.compile(checkpointer=InMemorySaver()).invoke({"drawn": []}, THREAD)

    assert [len(pieces) for pieces in seen] == [4, 1]
    assert seen[1][0].from_ledger
    assert simulator.pictures == 1


def test_the_memory_has_the_picture_once(half, low, graph):
    """A picture that comes from the ledger is remembered once, under the same handle, and can be edited."""
    memory = ImageMemory()
    draw = low(memory=memory)
    run(half, graph(drawing_node(half, draw, failing(2)), retry_policy=AGAIN))

    assert len(memory) == 1
    assert half.invoke(draw, "make it winter", images=["last"]).rung == "call_id"


def test_the_images_api_is_asked_once_too(half, low, graph, simulator):
    """With `api="images"` a retried node buys one picture as well, although no response id is known."""
    draw = low(api="images", options={"model": "gpt-image-2", "quality": "low"})
    run(half, graph(drawing_node(half, draw, failing(2)), retry_policy=AGAIN))

    assert simulator.pictures == 1
    assert not [request for request in simulator.requests if request.body.get("stream")]


def test_a_lost_picture_is_fetched_again(half, low, graph, simulator, image_store):
    """When its bytes have been pruned, the picture is fetched again by its response, and the result says so."""
    seen = []

    def forget(result: Any) -> Any:
        seen.append(result)
        if len(seen) == 1:
            image_store.prune(older_than=timedelta(0))
            raise OwnError("after the drawing")
        return result

    run(half, graph(drawing_node(half, low() | forget), retry_policy=AGAIN))

    assert simulator.pictures == 1
    assert seen[1].from_ledger
    assert seen[1].image.read()
    assert "the image store had lost the picture" in seen[1].warnings[0]


def test_a_picture_that_is_nowhere_is_bought_again(half, low, graph, simulator, image_store):
    """When neither the store nor the service has the picture, another is bought, and the result says so."""
    seen = []

    def forget(result: Any) -> Any:
        seen.append(result)
        if len(seen) == 1:
            image_store.prune(older_than=timedelta(0))
            simulator.expire(result.response_id)
        if len(seen) <= 2:
            raise OwnError("after the drawing")
        return result

    run(half, graph(drawing_node(half, low() | forget), retry_policy=AGAIN))

    assert simulator.pictures == 2
    assert [result.from_ledger for result in seen] == [False, False, True]
    assert "neither the image store nor the service has it" in seen[1].warnings[0]
    assert seen[2].image == seen[1].image


def test_threads_of_a_node(low, simulator):
    """A node that draws in threads of its own, to which it passes its configuration, is known there too."""
    draw, fail = low(), failing(1)

    def node(_: Any, config: RunnableConfig) -> Any:
        with ThreadPoolExecutor(2) as threads:
            pictures = list(threads.map(lambda prompt: draw.invoke(prompt, config), ["draw a fox", "draw an owl"]))
        fail()
        return {"drawn": [result.image.sha256 for result in pictures]}

    builder = StateGraph(Drawn)
    builder.add_node("node", node, retry_policy=AGAIN)
    builder.add_edge(START, "node")
    builder.compile(checkpointer=InMemorySaver()).invoke({"drawn": []}, THREAD)

    assert simulator.pictures == 2


# --- limits, as docs/how-to/buy-once.md tells them


def test_a_retried_chain_looks_like_variations(half, low, graph, simulator):
    """A chain that `with_retry` repeats behind its drawing, in one node, buys again; with a name it does not."""
    for fields, pictures in (({}, 2), ({"once": "poster-7"}, 3)):
        fail = failing(1)
        chain = low().bind(**fields) | (lambda result, fail=fail: fail() or result)
        again = chain.with_retry(retry_if_exception_type=(OwnError,), wait_exponential_jitter=False)
        run(half, graph(drawing_node(half, again)), thread=str(pictures))
        assert simulator.pictures == pictures


def test_threads_of_a_node_without_its_configuration(low, simulator):
    """A node that draws in threads of its own and passes them no configuration buys again: nothing names its thread."""
    draw, fail = low(), failing(1)

    def node(_: Any) -> Any:
        with ThreadPoolExecutor(1) as threads:
            result = threads.submit(draw.invoke, "draw a fox").result()
        fail()
        return digest(result)

    builder = StateGraph(Drawn)
    builder.add_node("node", node, retry_policy=AGAIN)
    builder.add_edge(START, "node")
    builder.compile(checkpointer=InMemorySaver()).invoke({"drawn": []}, THREAD)

    assert simulator.pictures == 2


def test_a_subgraph_that_is_started_anew_draws_anew(half, low, saver, simulator):
    """A retried node that is a subgraph starts it from its beginning, with new ids, and buys again."""
    inner = StateGraph(Drawn)
    inner.add_node("node", drawing_node(half, low(), failing(1)))
    inner.add_edge(START, "node")
    outer = StateGraph(Drawn)
    outer.add_node("inner", inner.compile(), retry_policy=AGAIN)
    outer.add_edge(START, "inner")
    run(half, outer.compile(checkpointer=saver))

    assert simulator.pictures == 2


# --- failures


def test_a_gateway_is_not_asked_again_in_the_same_run(half, low, graph, simulator):
    """After a page of a gateway a retried node does not buy again; the run that is resumed by a person does."""
    simulator.script(html_page(502, drawn=True))
    compiled = graph(drawing_node(half, low()), retry_policy=AGAIN)
    with pytest.raises(GatewayError) as caught:
        run(half, compiled)
    assert simulator.pictures == 1
    assert "was not sent again" in "".join(caught.value.__notes__)

    assert len(resume(half, compiled)["drawn"]) == 1
    assert simulator.pictures == 2


def test_a_name_is_not_asked_again_in_the_same_run_either(half, low, graph, simulator):
    """A picture with a name of its own is not bought again by a retry policy after a page of a gateway."""
    simulator.script(*[html_page(504, drawn=True)] * 2)
    with pytest.raises(GatewayError) as caught:
        run(half, graph(drawing_node(half, low().bind(once="poster-7")), retry_policy=AGAIN))

    assert simulator.pictures == 1
    assert "was not sent again" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("way", ["with_retry", "with_fallbacks"])
def test_retries_of_langchain_buy_nothing_twice(half, low, graph, simulator, way):
    """`with_retry` and `with_fallbacks`, told to repeat every error, do not buy again what may have been bought."""
    simulator.script(html_page(502, drawn=True))
    draw = low()
    if way == "with_retry":
        again = draw.with_retry(retry_if_exception_type=(Exception,), wait_exponential_jitter=False)
    else:
        again = draw.with_fallbacks([draw, draw], exceptions_to_handle=(Exception,))
    with pytest.raises(GatewayError):
        run(half, graph(drawing_node(half, again)))

    assert simulator.pictures == 1


def test_a_broken_answer_is_fetched_by_the_next_try(half, low, graph, simulator):
    """A stream that broke off, and could not be fetched then, is fetched by its response when the node is run again."""
    simulator.script(cut_body(after_bytes=3000))
    simulator.script(*[html_page(502)] * 5, method="GET")
    seen = []
    compiled = graph(drawing_node(half, low() | (lambda result: seen.append(result) or result)), retry_policy=AGAIN)
    state = run(half, compiled)

    assert simulator.pictures == len(state["drawn"]) == 1
    assert seen[0].from_ledger
    assert "an earlier try of this call had begun the picture" in seen[0].warnings[0]


def test_a_response_without_a_picture_is_bought_again(half, low, graph, simulator):
    """A response that failed is looked at once more, and then the picture is bought."""
    simulator.script(failed())
    state = run(half, graph(drawing_node(half, low()), retry_policy=AGAIN))

    assert simulator.pictures == len(state["drawn"]) == 1


@pytest.mark.parametrize("fault", [rate_limited(0.01), server_error()], ids=["429", "500"])
def test_what_drew_nothing_is_bought_by_the_next_try(half, low, graph, simulator, fault):
    """A failure that drew nothing is not remembered: LangGraph's retry buys the picture."""
    simulator.script(fault)
    state = run(half, graph(drawing_node(half, low(max_retries=0)), retry_policy=AGAIN))

    assert simulator.pictures == len(state["drawn"]) == 1


def test_a_failed_call_keeps_its_number(half, low, graph, simulator):
    """Three variations of which the second fails at first are the same three when the node is run again."""
    simulator.script(None, rate_limited(0.01))
    draw, seen, fail = low(max_retries=0), [], failing(1)

    def node(_: Any) -> Any:
        retried = draw.with_retry(wait_exponential_jitter=False)
        seen.append([retried.invoke("draw a fox").image.id for _ in range(3)])
        fail()
        return {"drawn": seen[-1]}

    graph(node, retry_policy=AGAIN, checkpointer=InMemorySaver()).invoke({"drawn": []}, THREAD)

    assert simulator.pictures == 3
    assert seen[0] == seen[1]


def test_a_closed_stream_is_fetched_by_the_next_try(low, simulator):
    """A node that stops reading its stream half-way, and is run again, gets the picture of the same response."""
    draw, seen = low(options={"size": "816x816", "quality": "low", "partial_images": 2}), []

    def node(_: Any) -> Any:
        if not seen:
            pieces = draw.stream("draw a fox")
            seen.append(next(pieces))
            pieces.close()
            raise OwnError("within the drawing")
        return digest(draw.invoke("draw a fox"))

    builder = StateGraph(Drawn)
    builder.add_node("node", node, retry_policy=AGAIN)
    builder.add_edge(START, "node")
    state = builder.compile(checkpointer=InMemorySaver()).invoke({"drawn": []}, THREAD)

    assert simulator.pictures == len(state["drawn"]) == 1
