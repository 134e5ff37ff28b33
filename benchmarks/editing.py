"""Ten turns of a conversation, each an edit of 2 MB: what is kept, sent and traced, and how turns slow down.

`ChatOpenAI` in `create_agent` with its checkpoints in a file, with the hosted tool bound as it is and with
`ImageGenerationMiddleware`; next to them ten turns of words alone, which is the least; and `ImageGenerator`. Chained
is what names the previous response in place of sending all messages again.
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
from benchmarks.rounds import MEMORY, Bench, Row, quartiles, rotated
from benchmarks.server import Server
from langchain_imagegen import ImageGenerationMiddleware, ImageGenerator, ImageMemory

SIZE = "2 MB"
TURNS = 10
SESSIONS = {WORDS: 11, CHAINED_WORDS: 11, CHAT: 2, OURS: 11, WIRED: 11, CHAINED: 11}
THREAD = {"configurable": {"thread_id": "one"}}

MakeAgent = Callable[[ChatOpenAI, Shelf, Any], Any]


def words_agent(model: ChatOpenAI, shelf: Shelf, saver: Any) -> Any:
    """An agent that was given nothing, and so gets words."""
    del shelf
    return create_agent(model, checkpointer=saver)


def plain_agent(model: ChatOpenAI, shelf: Shelf, saver: Any) -> Any:
    """An agent that was given the hosted tool."""
    del shelf
    return create_agent(model, [TOOL], checkpointer=saver)


def our_agent(model: ChatOpenAI, shelf: Shelf, saver: Any, **settings: Any) -> Any:
    """An agent that was given the middleware."""
    middleware = ImageGenerationMiddleware(image_store=shelf.store, **settings)
    return create_agent(model, middleware=[middleware], checkpointer=saver)


def wired_agent(model: ChatOpenAI, shelf: Shelf, saver: Any) -> Any:
    """The same with the transport below the chat model."""
    return our_agent(model, shelf, saver, wire=True)


def chained(make: MakeAgent) -> MakeAgent:
    """The same agent with a chat model that names the previous response."""
    return lambda model, shelf, saver: make(model.model_copy(update={"use_previous_response_id": True}), shelf, saver)


AGENTS: dict[str, MakeAgent] = {
    WORDS: words_agent,
    CHAINED_WORDS: chained(words_agent),
    CHAT: plain_agent,
    OURS: our_agent,
    WIRED: wired_agent,
    CHAINED: chained(our_agent),
}


def measure(bench: Bench) -> Iterator[Row]:
    """Checkpoints, turns and requests of the agents, requests of the generator, and traces."""
    turns = 3 if bench.quick else TURNS
    with bench.shelf(MEMORY) as shelf:
        for name, talks in _sessions(bench, shelf, turns).items():
            yield from _told(name, talks)
        yield _edits(bench.server, shelf, turns)
        for name, make in AGENTS.items():
            yield from _traced(bench.server, shelf, name, make, turns)


@dataclass
class Session:
    """What one conversation took: milliseconds and request bytes of each turn, bytes of the checkpoint file."""

    turns: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    file: int = 0


def _sessions(bench: Bench, shelf: Shelf, turns: int) -> dict[str, list[Session]]:
    """Some conversations with each agent, in turn, after a short one that is not counted."""
    for make in AGENTS.values():
        _session(bench.server, shelf, make, 2)
    talks: dict[str, list[Session]] = {name: [] for name in AGENTS}
    for number in range(bench.rounds(max(SESSIONS.values()))):
        for name in rotated(list(AGENTS), number):
            if number < SESSIONS[name]:
                talks[name].append(_session(bench.server, shelf, AGENTS[name], turns))
    return talks


def _session(server: Server, shelf: Shelf, make: MakeAgent, turns: int) -> Session:
    session = Session()
    server.lengths()
    with tempfile.TemporaryDirectory() as folder, chat_model(server) as model:
        file = Path(folder) / "checkpoints.sqlite"
        with SqliteSaver.from_conn_string(str(file)) as saver:
            session.turns = list(_talk(make(model, shelf, saver), turns))
        session.file = _written(file)
    session.requests = server.lengths()
    shelf.clear()
    return session


def _talk(agent: Any, turns: int, **config: Any) -> Iterator[float]:
    """Talk to an agent; the time of each turn, garbage of the turns before it not counted."""
    for number in range(turns):
        words = "make it blue" if number else "draw a fox"
        gc.collect()
        began = time.perf_counter()
        agent.invoke({"messages": [{"role": "user", "content": words}]}, {**THREAD, **config})
        yield (time.perf_counter() - began) * 1000


def _written(file: Path) -> int:
    """Bytes of a checkpoint file with its journal written into it."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file.stat().st_size


def _told(name: str, talks: Sequence[Session]) -> Iterator[Row]:
    last, later = talks[-1], [talk.turns[-1] / talk.turns[1] for talk in talks]
    yield Row(measure="checkpoints", contestant=name, value=statistics.median(talk.file for talk in talks), unit="B")
    yield Row(
        measure="last turn", contestant=name, value=statistics.median(later), unit="x", quartiles=quartiles(later)
    )
    yield Row(measure="turn", contestant=name, value=statistics.median(talk.turns[1] for talk in talks), unit="ms")
    yield Row(measure="request of the last turn", contestant=name, value=last.requests[-1], unit="B")


def _edits(server: Server, shelf: Shelf, turns: int) -> Row:
    """The longest request of edits of the last picture."""
    with_memory = ImageGenerator(
        model=MODEL, base_url=server.url(SIZE), api_key=KEY, image_store=shelf.store, memory=ImageMemory()
    )
    with_memory.invoke("draw a fox")
    server.lengths()
    for _ in range(turns - 1):
        with_memory.invoke("make it blue", images=["last"])
    with_memory.close()
    shelf.clear()
    return Row(measure="request of an edit", contestant=OURS, value=max(server.lengths()), unit="B")


def _traced(server: Server, shelf: Shelf, name: str, make: MakeAgent, turns: int) -> Iterator[Row]:
    """What a tracer is shown in a conversation: of the chat model's runs, and of all runs."""
    tracer = Tracer()
    with chat_model(server) as model:
        list(_talk(make(model, shelf, InMemorySaver()), turns, callbacks=[tracer]))
    shelf.clear()
    yield Row(measure="model traces", contestant=name, value=tracer.of_models, unit="B")
    yield Row(measure="all traces", contestant=name, value=tracer.of_all, unit="B")


class Tracer(BaseTracer):
    """Counts the bytes of inputs and outputs, written as JSON, of each run that ends."""

    def __init__(self) -> None:
        super().__init__(_schema_format="original+chat")  # messages as they are, which is what LangSmith is sent
        self.of_models = self.of_all = 0

    def _end_trace(self, run: Run) -> None:
        size = len(to_json([run.inputs, run.outputs], serialize_unknown=True))
        self.of_all += size
        self.of_models += size * (run.run_type in ("llm", "chat_model"))
        super()._end_trace(run)

    def _persist_run(self, run: Run) -> None:
        """It was counted when it ended."""


@contextmanager
def chat_model(server: Server) -> Iterator[ChatOpenAI]:
    """A chat model whose connections end with the block."""
    with DefaultHttpxClient() as client:
        yield ChatOpenAI(
            model=MODEL, base_url=server.url(SIZE), api_key=KEY, use_responses_api=True, http_client=client
        )
