"""Measures the cost per image in conversations of 10,000 and 100,000 images, relative to one of 1,000.

A ratio of 1 means that the total cost grows in proportion to the number of images.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import Runnable

from benchmarks.contestants import OURS
from benchmarks.rounds import Bench, Row, comparison_rows, run_rounds
from langchain_imagegen import GeneratedImage, ImageGenerationMiddleware, ImageMemory
from langchain_imagegen.conversation.channel import as_update

COUNTS = {"1,000 images": 1_000, "10,000 images": 10_000, "100,000 images": 100_000}
BASE = next(iter(COUNTS))
ROUNDS = 3
_GETS = 1_000


def measure(bench: Bench) -> Iterator[Row]:
    """Yield the times to read a state, to add to a memory, to look images up, and to run one turn of an agent."""
    counts = dict(list(COUNTS.items())[: -1 if bench.quick else None])
    states = {name: _state(count) for name, count in counts.items()}
    memories = {name: ImageMemory.from_state(state) for name, state in states.items()}
    works: dict[str, Callable[[str], Callable[[], float]]] = {
        "from_state": lambda name: _time_per_image(lambda: ImageMemory.from_state(states[name]), counts[name]),
        "add": lambda name: _time_per_image(
            lambda: memories[name].add(*states[name]["generated_images"].values()), counts[name]
        ),
        "get": lambda name: _time_per_image(lambda: [memories[name].get(str(n)) for n in range(1, _GETS + 1)], _GETS),
        "agent turn": lambda name: _time_per_image(lambda: _run_turn(states[name]), counts[name]),
    }
    for title, work in works.items():
        times = run_rounds({name: work(name) for name in counts}, bench.rounds(ROUNDS), lambda: None)
        for row in comparison_rows(times, BASE, measure=f"many images: {title}", unit="ms"):
            yield _by_size(row)


def _by_size(row: Row) -> Row:
    """Return the row of a number of images as one of this package, with that number as its size."""
    facts: Mapping[str, Any] = {**row.as_json(), "contestant": OURS, "size": row.contestant}
    return Row(**{**facts, "quartiles": row.quartiles, "value": row.value, "ratio": row.ratio})


def _time_per_image(work: Callable[[], object], count: int) -> Callable[[], float]:
    """Return a function that does the work and returns the milliseconds it took, divided by `count`."""

    def run() -> float:
        began = time.perf_counter()
        work()
        return (time.perf_counter() - began) * 1000 / count

    return run


def _state(count: int) -> dict[str, Any]:
    """Return a state with `count` images in its channel, each an edit of the previous one, and 100 in messages."""
    images = [_image(n) for n in range(count)]
    records = [image.record() for image in images]
    messages = [ToolMessage("Drawn.", tool_call_id=f"call_{n}", artifact={"images": [records[n]]}) for n in range(100)]
    return {"messages": messages, "generated_images": as_update(images)}


def _image(n: int) -> GeneratedImage:
    return GeneratedImage(
        id=f"ig_{n}",
        provider="api.example",
        sha256=hashlib.sha256(str(n).encode()).hexdigest(),
        size_bytes=2_000_000,
        mime_type="image/png",
        prompt=f"make it {n} shades darker",
        parents=(f"ig_{n - 1}",) if n else (),
    )


def _run_turn(state: Mapping[str, Any]) -> Any:
    """Run one turn of an agent that starts with this state, and return its final state."""
    model = _TextModel(messages=iter([AIMessage("Done.")]))
    agent = create_agent(model, middleware=[_MiddlewareWithState(state)])
    return agent.invoke({"messages": [("user", "Which image is the last one?")]})


class _TextModel(GenericFakeChatModel):
    """A chat model that accepts tools and never calls one."""

    def bind_tools(self, tools: Any, **settings: Any) -> Runnable[Any, AIMessage]:
        del tools, settings
        return self


class _MiddlewareWithState(ImageGenerationMiddleware):
    """The middleware with a given state, since callers of an agent cannot write its channel of images."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        super().__init__(hosted=True)
        self._state = state

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        return super().wrap_model_call(request.override(state={**request.state, **self._state}), handler)
