"""Whether the caller of a call still waits for it: no request is sent for a caller who has gone."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from langchain_imagegen.drawing.steps import Call, Step, Wait
from langchain_imagegen.errors import ImageGenerationError

_GONE = "the caller had gone before the request was sent, so nothing was bought"


class NotSentError(ImageGenerationError):
    """The caller had gone before the request was sent, so that nothing was bought. Nobody is there to see it."""


class Presence:
    """Notes that a caller goes away. Then no further request is sent; one that was sent before is not stopped.

    The caller of a batch is the caller of all of its calls; see `include`.
    """

    def __init__(self) -> None:
        self._left = threading.Event()
        self._idle_task: asyncio.Task[object] | None = None
        self._calls = weakref.WeakSet[Presence]()
        self._joining = threading.Lock()
        batch = _batch.get()
        if batch is not None:
            batch.join(self)

    @property
    def has_left(self) -> bool:
        """True once the caller has gone."""
        return self._left.is_set()

    def leave(self) -> None:
        """Note that the caller has gone. A task that is idle ends, and a thread that sleeps wakes up."""
        with self._joining:
            self._left.set()
            calls = list(self._calls)
        if self._idle_task is not None:
            self._idle_task.cancel()
        for call in calls:
            call.leave()

    def include(self) -> None:
        """Take all calls that begin in this context for calls of this caller."""
        _batch.set(self)

    def join(self, call: Presence) -> None:
        """Let a call end its waiting with this caller's."""
        with self._joining:
            self._calls.add(call)
        if self.has_left:
            call.leave()

    @contextmanager
    def idle(self, step: Step) -> Generator[None]:
        """Wait within it before a request is sent. For other steps than those it does nothing.

        Raises:
            NotSentError: The caller has gone.
        """
        if not isinstance(step, Call) and not (isinstance(step, Wait) and step.idle):
            yield
            return
        self._check()
        self._idle_task = _running_task()
        try:
            yield
        except asyncio.CancelledError:
            self._check()
            raise
        finally:
            self._idle_task = None
        self._check()

    def sleep(self, wait: Wait) -> None:
        """Sleep; if the wait is idle, only until the caller has gone."""
        if wait.idle:
            self._left.wait(wait.seconds)
        else:
            time.sleep(wait.seconds)

    async def asleep(self, wait: Wait) -> None:
        """Async twin of `sleep`; `leave` cancels it."""
        await asyncio.sleep(wait.seconds)

    def _check(self) -> None:
        if not self.has_left:
            return
        if self._idle_task is not None and self._idle_task.cancelling():
            self._idle_task.uncancel()
        raise NotSentError(_GONE)


_batch: ContextVar[Presence | None] = ContextVar("imagegen_batch", default=None)


def check_batch() -> None:
    """Refuse to begin a call of a batch whose caller has gone.

    Raises:
        NotSentError: The caller has gone.
    """
    batch = _batch.get()
    if batch is not None and batch.has_left:
        raise NotSentError(_GONE)


def _running_task() -> asyncio.Task[object] | None:
    with suppress(RuntimeError):  # no event loop runs in this thread
        return asyncio.current_task()
    return None
