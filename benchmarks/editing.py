"""Measures a conversation of ten turns, each an edit of 2 MB: checkpoints, requests, traces and the time of turns.

The agents are `create_agent` with `ChatOpenAI` and checkpoints in a file: one with the hosted tool alone, one with
`ImageGenerationMiddleware`, and one whose turns are text only, which is the lower bound. "Chained" agents send the id
of the previous response instead of all messages. The request of an edit is also measured for `ImageGenerator`.
"""

from __future__ import annotations

import gc
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.tracers import BaseTracer
from langchain_core.tracers.schemas import Run
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from openai import DefaultHttpxClient
from pydantic_core import to_json

from benchmarks.contestants import CHAINED, CHAINED_WORDS, CHAT, KEY, MODEL, OURS, TOOL, WIRED, WORDS, Shelf
from benchmarks.rounds import MEMORY, Bench, Row, quartiles, round_order
from benchmarks.server import Server
from langchain_imagegen import ImageGenerationMiddleware, ImageGenerator, ImageMemory

SIZE = "2 MB"
TURNS = 10
SESSIONS = {WORDS: 11, CHAINED_WORDS: 11, CHAT: 2, OURS: 11, WIRED: 11, CHAINED: 11}
THREAD = {"configurable": {"thread_id": "one"}}

MakeAgent = Callable[[ChatOpenAI, Shelf, Any], Any]


def words_agent(model: ChatOpenAI, shelf: Shelf, saver: Any) -> Any:
    """Return an agent without any tool, so that the service answers with text."""
    del shelf
    return create_agent(model, checkpointer=saver)


def plain_agent(model: ChatOpenAI, shelf: Shelf, saver: Any) -> Any:
    """Return an agent with the hosted tool."""
    del shelf
    return create_agent(model, [TOOL], checkpointer=saver)


def our_agent(model: ChatOpenAI, shelf: Shelf, saver: Any, **settings: Any) -> Any:
    """Return an agent with the middleware."""
    middleware = ImageGenerationMiddleware(image_store=shelf.store, **settings)
    return create_agent(model, middleware=[middleware], checkpointer=saver)


def wired_agent(model: ChatOpenAI, shelf: Shelf, saver: Any) -> Any:
    """Return an agent with the middleware and `wire=True`."""
    return our_agent(model, shelf, saver, wire=True)


def chain(make: MakeAgent) -> MakeAgent:
    """Return a factory of the same agent whose chat model sends the id of the previous response."""
    return lambda model, shelf, saver: make(model.model_copy(update={"use_previous_response_id": True}), shelf, saver)


AGENTS: dict[str, MakeAgent] = {
    WORDS: words_agent,
    CHAINED_WORDS: chain(words_agent),
    CHAT: plain_agent,
    OURS: our_agent,
    WIRED: wired_agent,
    CHAINED: chain(our_agent),
}


def measure(bench: Bench) -> Iterator[Row]:
    """Yield checkpoint sizes, turn times, request sizes and trace sizes."""
    turns = 3 if bench.quick else TURNS
    with bench.shelf(MEMORY) as shelf:
        for name, sessions in _run_sessions(bench, shelf, turns).items():
            yield from _session_rows(name, sessions)
        yield _edit_request_row(bench.server, shelf, turns)
        for name, make in AGENTS.items():
            yield from _trace_rows(bench.server, shelf, name, make, turns)


@dataclass
class Session:
    """The figures of one conversation.

    Args:
        turn_times: Milliseconds of each turn.
        request_sizes: Bytes of each request.
        file_size: Bytes of the checkpoint file.
    """

    turn_times: list[float] = field(default_factory=list)
    request_sizes: list[int] = field(default_factory=list)
    file_size: int = 0


def _run_sessions(bench: Bench, shelf: Shelf, turns: int) -> dict[str, list[Session]]:
    """Hold several conversations with each agent, round by round, after a short one each that is not counted."""
    for make in AGENTS.values():
        _run_session(bench.server, shelf, make, 2)
    sessions: dict[str, list[Session]] = {name: [] for name in AGENTS}
    for number in range(bench.rounds(max(SESSIONS.values()))):
        for name in round_order(list(AGENTS), number):
            if number < SESSIONS[name]:
                sessions[name].append(_run_session(bench.server, shelf, AGENTS[name], turns))
    return sessions


def _run_session(server: Server, shelf: Shelf, make: MakeAgent, turns: int) -> Session:
    session = Session()
    server.request_sizes()
    with tempfile.TemporaryDirectory() as folder, chat_model(server) as model:
        file = Path(folder) / "checkpoints.sqlite"
        with SqliteSaver.from_conn_string(str(file)) as saver:
            session.turn_times = list(_turn_times(make(model, shelf, saver), turns))
        session.file_size = _size_on_disk(file)
    session.request_sizes = server.request_sizes()
    shelf.clear()
    return session


def _turn_times(agent: Any, turns: int, **config: Any) -> Iterator[float]:
    """Hold a conversation with an agent and yield the milliseconds of each turn."""
    for number in range(turns):
        prompt = "make it blue" if number else "draw a fox"
        gc.collect()  # so that no turn pays for the garbage of earlier ones
        began = time.perf_counter()
        agent.invoke({"messages": [{"role": "user", "content": prompt}]}, {**THREAD, **config})
        yield (time.perf_counter() - began) * 1000


def _size_on_disk(file: Path) -> int:
    """Return the bytes of a checkpoint file after its journal was merged into it."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file.stat().st_size


def _session_rows(name: str, sessions: Sequence[Session]) -> Iterator[Row]:
    slowdowns = [session.turn_times[-1] / session.turn_times[1] for session in sessions]
    second_turns = [session.turn_times[1] for session in sessions]
    file_sizes = [session.file_size for session in sessions]
    yield Row(measure="checkpoints", contestant=name, value=statistics.median(file_sizes), unit="B")
    yield Row(
        measure="last turn",
        contestant=name,
        value=statistics.median(slowdowns),
        unit="x",
        quartiles=quartiles(slowdowns),
    )
    yield Row(measure="turn", contestant=name, value=statistics.median(second_turns), unit="ms")
    yield Row(measure="request of the last turn", contestant=name, value=sessions[-1].request_sizes[-1], unit="B")


def _edit_request_row(server: Server, shelf: Shelf, turns: int) -> Row:
    """Return the size of the longest request when `ImageGenerator` edits its last picture repeatedly."""
    draw = ImageGenerator(
        model=MODEL, base_url=server.url(SIZE), api_key=KEY, image_store=shelf.store, memory=ImageMemory()
    )
    draw.invoke("draw a fox")
    server.request_sizes()
    for _ in range(turns - 1):
        draw.invoke("make it blue", images=["last"])
    draw.close()
    shelf.clear()
    return Row(measure="request of an edit", contestant=OURS, value=max(server.request_sizes()), unit="B")


def _trace_rows(server: Server, shelf: Shelf, name: str, make: MakeAgent, turns: int) -> Iterator[Row]:
    """Yield the bytes that a tracer sees in a conversation: for the chat model's runs, and for all runs."""
    tracer = Tracer()
    with chat_model(server) as model:
        list(_turn_times(make(model, shelf, InMemorySaver()), turns, callbacks=[tracer]))
    shelf.clear()
    yield Row(measure="model traces", contestant=name, value=tracer.of_models, unit="B")
    yield Row(measure="all traces", contestant=name, value=tracer.of_all, unit="B")


class Tracer(BaseTracer):
    """Counts the bytes of the inputs and outputs of all runs as JSON."""

    def __init__(self) -> None:
        super().__init__(_schema_format="original+chat")  # complete messages, as LangSmith receives them
        self.of_models = self.of_all = 0

    def _end_trace(self, run: Run) -> None:
        size = len(to_json([run.inputs, run.outputs], serialize_unknown=True))
        self.of_all += size
        self.of_models += size * (run.run_type in ("llm", "chat_model"))
        super()._end_trace(run)

    def _persist_run(self, run: Run) -> None:
        """Do nothing: `_end_trace` has counted the run."""


@contextmanager
def chat_model(server: Server) -> Iterator[ChatOpenAI]:
    """Yield a chat model whose connections are closed after the block."""
    with DefaultHttpxClient() as client:
        yield ChatOpenAI(
            model=MODEL, base_url=server.url(SIZE), api_key=KEY, use_responses_api=True, http_client=client
        )
