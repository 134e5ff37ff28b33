"""Sync batches that Ctrl-C ends at once, although LangChain's thread pool waits for the calls under way.

The pool runs in a thread of its own, so that the main thread can leave. Calls that were sent go on, and image store,
memory and ledger keep their results. Those that were not are never sent: not when the pool comes to them, and not when
a rate limiter lets them pass or their wait before a retry is over.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TypeVar

from langchain_imagegen.drawing.presence import Presence

THREAD = "imagegen-batch"
"""The name of the thread of a batch."""

_Value = TypeVar("_Value")


def interruptible(work: Callable[[], Iterable[_Value]]) -> Generator[_Value]:
    """Yield what a batch gives, which runs in another thread if this is the main one."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread is interrupted
        yield from work()
        return
    caller, values = Presence(), queue.SimpleQueue[Future[_Value] | None]()
    context = copy_context()
    context.run(caller.include)
    threading.Thread(target=context.run, args=(_work, work, values.put), name=THREAD, daemon=True).start()
    try:
        while (value := values.get()) is not None:
            yield value.result()
    finally:
        caller.leave()


def _work(work: Callable[[], Iterable[_Value]], put: Callable[[Future[_Value] | None], None]) -> None:
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
