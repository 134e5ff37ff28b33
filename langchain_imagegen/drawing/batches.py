"""A sync batch that Ctrl-C ends at once, although LangChain's thread pool waits for the calls under way.

The pool runs in a thread of its own, so that the main thread can leave. Calls that were sent go on, and the memory
keeps their results. Those that were not are refused when the pool comes to them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import TypeVar

from langchain_imagegen.drawing.placed import Placed
from langchain_imagegen.drawing.presence import NotSentError

THREAD = "imagegen-batch"
"""The name of the thread of a batch."""

_Value = TypeVar("_Value")


class Batch:
    """One batch, and whether its caller still waits for it.

    Args:
        inputs: What is drawn, each with its place in the memory.
    """

    def __init__(self, inputs: Iterable[Placed]) -> None:
        self._left = threading.Event()
        self.inputs = [replace(placed, check=self._check) for placed in inputs]

    def run(self, work: Callable[[], Iterable[_Value]]) -> Iterator[_Value]:
        """Yield what `work` gives, which runs in another thread if this is the main one."""
        if threading.current_thread() is not threading.main_thread():  # only the main thread is interrupted
            yield from work()
            return
        values: queue.SimpleQueue[Future[_Value] | None] = queue.SimpleQueue()
        run = partial(copy_context().run, self._work, work, values.put)
        threading.Thread(target=run, name=THREAD, daemon=True).start()
        try:
            while (value := values.get()) is not None:
                yield value.result()
        finally:
            self._left.set()

    def _check(self) -> None:
        """Refuse to begin a call whose batch was interrupted.

        Raises:
            NotSentError: It was.
        """
        if self._left.is_set():
            raise NotSentError("the batch was interrupted before this request was sent, so nothing was bought")

    def _work(self, work: Callable[[], Iterable[_Value]], put: Callable[[Future[_Value] | None], None]) -> None:
        """Hand over each value, and the error if there is one."""
        try:
            for value in work():
                done: Future[_Value] = Future()
                done.set_result(value)
                put(done)
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            failed: Future[_Value] = Future()
            failed.set_exception(error)
            put(failed)
        put(None)
