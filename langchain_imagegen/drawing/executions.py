"""Which step of a LangGraph run a call is made in, and which of the equal calls of that step it is.

LangGraph runs a step again after an error, an interrupt or a crash, and in a replay. A step is named by what stays the
same then:

- A retried node and a resumed run start from the same checkpoint, so the thread, the checkpoint, the step's number and
  its node name the step; for `Send`, its index too. The name of a step in a subgraph or `@task` is LangGraph's
  `checkpoint_ns`, which has the task ids of all graphs around it.
- A replay starts from a copy of the checkpoint: all its ids are new, and its steps count one more. The run's metadata
  has the id of the original checkpoint, so `original` can name the step as it was at first. This works for the first
  step of a replay only. Later steps are new, and so are all steps of a branch that `update_state` began.

Equal calls of one step are numbered. The numbers start at 0 in each attempt of the step, and a call that failed gives
its number back, so that `with_retry` repeats the same call.

Only LangGraph's public `get_runtime` and the run's metadata are read, and only if LangGraph is already imported.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig

from langchain_imagegen.errors import ImageGenerationError

_Kept = TypeVar("_Kept")

_REMEMBERED = 4096  # executions of steps; a forgotten one counts its calls from 0 again
_LONG = 1000  # characters; a longer text is compared by its hash


@dataclass(frozen=True)
class Step:
    """A step of a run on a thread: what names it, what names the step that it repeats, and its present execution."""

    thread: str
    place: str
    original: str | None
    execution: tuple[str, float | None]
    attempt: int


class Numbers:
    """The numbers of equal calls in one attempt of a step: each is held by one call, until that fails."""

    def __init__(self) -> None:
        self._held: dict[Hashable, set[int]] = {}
        self._choosing = threading.Lock()

    def take(self, call: Hashable, at_least: int = 0) -> int:
        """Return the lowest free number of a call."""
        with self._choosing:
            held = self._held.setdefault(call, set())
            number = next(number for number in range(at_least, at_least + len(held) + 1) if number not in held)
            held.add(number)
            return number

    def give_back(self, call: Hashable, number: int) -> None:
        """Free a number."""
        with self._choosing:
            self._held.get(call, set()).discard(number)


@dataclass(frozen=True)
class Caller:
    """Who makes a call: a step of a run, perhaps for a chat model's tool call.

    `tool_call` has the ids of the message and of the call in it; `rank` says how many calls with an input of the same
    `shape` the step has made before.
    """

    step: Step
    tool_call: tuple[str, str] | None = None
    shape: Hashable = None
    rank: int = 0

    def give_back(self) -> None:
        """Note that the call failed: it does not count among the equal calls of its step."""
        if self.shape is not None:
            numbers_of(self.step).give_back(self.shape, self.rank)


@dataclass(frozen=True)
class Key:
    """What names a call in the ledger.

    `original` is the name that the call had before a replay, `by_hand` what the developer calls it, `number` which of
    the equal calls of its step it is.
    """

    name: str
    request: str
    original: str | None = None
    by_hand: str | None = None
    regenerate: bool = False
    caller: Caller | None = None
    number: int | None = None

    def give_back(self) -> None:
        """Note that the call does not count among the equal calls of its step."""
        if self.caller is None:
            return
        self.caller.give_back()
        if self.number is not None:
            numbers_of(self.caller.step).give_back(self.request, self.number)

    def note_failure(self, error: ImageGenerationError) -> None:
        """Note that the call failed, so that the same call made again has the same key."""
        self.give_back()
        if self.caller is not None and error.may_be_billed:
            noted = copy(error)  # without its traceback, which holds all that was in use
            noted.partials = ()
            _keep(_here().failures, (self.name, self.caller.step.execution), noted)

    @property
    def failure(self) -> ImageGenerationError | None:
        """How the call failed before in this execution of its step, if a picture may have been billed then."""
        if self.caller is None:
            return None
        failure = _here().failures.get((self.name, self.caller.step.execution))
        return copy(failure) if failure else None


class _Process:
    """What one process knows of the steps it executes. A forked child starts anew, with locks of its own."""

    def __init__(self) -> None:
        self.numbers: dict[Hashable, Numbers] = {}
        self.failures: dict[Hashable, ImageGenerationError] = {}


_processes: dict[int, _Process] = {}


def caller_of(
    given: object, config: RunnableConfig | None, tool_call: tuple[str | None, str | None] | None = None
) -> Caller | None:
    """Return who makes a call; None outside a LangGraph run, and without a thread id.

    Args:
        given: The call's input and fields.
        config: The call's configuration, for a thread that the step's context did not reach.
        tool_call: The ids of the message and of the tool call that ask for the picture.
    """
    step = step_of(config)
    if step is None:
        return None
    if tool_call is not None and tool_call[1]:
        return Caller(step, (tool_call[0] or step.place, tool_call[1]))
    shape = shape_of(given)
    return Caller(step, None, shape, numbers_of(step).take(shape)) if shape is not None else Caller(step)


def step_of(config: RunnableConfig | None = None) -> Step | None:
    """Return the step of a LangGraph run in which this is called; None outside, and without a thread id."""
    if "langgraph" not in sys.modules:
        return None
    info, metadata = _context(config)
    thread = getattr(info, "thread_id", None)
    if info is None or not thread:
        return None
    execution = (str(info.task_id), getattr(info, "node_first_attempt_time", None))
    place, original = _places(info, metadata)
    return Step(str(thread), place, original, execution, getattr(info, "node_attempt", 1))


def numbers_of(step: Step) -> Numbers:
    """Return the numbers of this attempt of a step."""
    return _keep(_here().numbers, (step.place, step.execution, step.attempt), Numbers())


def shape_of(value: object) -> Hashable | None:
    """Return something that is equal for equal inputs of plain texts, numbers, lists and dicts; None for any other."""
    if value is None or isinstance(value, (bool, int, float)):
        return (type(value).__name__, value)
    if isinstance(value, str):
        return value if len(value) < _LONG else (len(value), hash(value))
    if isinstance(value, Mapping):
        value = [part for name in sorted(map(str, value)) for part in (name, value.get(name))]
    if not isinstance(value, Sequence) or isinstance(value, (bytes, bytearray, memoryview)):
        return None
    shapes = tuple(map(shape_of, value))
    return None if None in shapes else shapes


def _context(config: RunnableConfig | None) -> tuple[Any, Mapping[str, Any]]:
    """Return LangGraph's execution info and the metadata of the run."""
    from langchain_core.runnables.config import set_config_context

    found = _look()
    if found[0] is None and config and config.get("configurable"):
        with set_config_context(config) as context:
            found = context.run(_look)
    return found


def _look() -> tuple[Any, Mapping[str, Any]]:
    try:
        from langgraph.config import get_config
        from langgraph.runtime import get_runtime

        return getattr(get_runtime(), "execution_info", None), get_config().get("metadata") or {}
    except (ImportError, RuntimeError, LookupError):  # an older version, or no run
        return None, {}


def _places(info: Any, metadata: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return what names a step, and what named it before a replay."""
    names, number = str(info.checkpoint_ns), metadata.get("langgraph_step")
    if "|" in names or not isinstance(number, int):
        return names, None
    here, asked_for = str(info.checkpoint_id), metadata.get("checkpoint_id")
    node = f"{names.partition(':')[0]} {metadata.get('langgraph_path')}"
    original = f"{asked_for} {number - 1} {node}" if asked_for and asked_for != here else None
    return f"{here} {number} {node}", original


def _here() -> _Process:
    return _processes.setdefault(os.getpid(), _Process())


def _keep(table: dict[Hashable, _Kept], key: Hashable, value: _Kept) -> _Kept:
    """Return what a table holds, else add the value; the oldest entries make room."""
    found = table.setdefault(key, value)
    while len(table) > _REMEMBERED:
        table.pop(next(iter(table)), None)
    return found
