"""Calls that outlive their callers: each paid request that can be left runs in a task or thread of the generator.

A caller who is cancelled, interrupted or who closes a stream stops waiting at once. A request that was sent goes on
until it has its picture or fails, so that what was paid for reaches the image store. One that was not is never sent.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import queue
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import aclosing, closing, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import TypeAlias

from langchain_imagegen.drawing.presence import NotSentError, Presence
from langchain_imagegen.images.partial import PartialImage
from langchain_imagegen.images.result import ImageResult

logger = logging.getLogger("langchain_imagegen")

THREAD = "imagegen-call"
"""The name of the thread of a call."""

Piece: TypeAlias = "PartialImage | ImageResult"


@dataclass(frozen=True)
class Outcome:
    """A piece that a call gave, or the error with which it ended. Neither: it has ended."""

    piece: Piece | None = None
    error: BaseException | None = None


@dataclass(frozen=True)
class UnderWay:
    """A call without an answer yet: the beginning of its prompt, and its response id as soon as that is known."""

    prompt: str
    response_id: str | None = None


class OwnedCall:
    """One paid call: it hands its pieces to its caller, and keeps the result if the caller has gone.

    Args:
        about: What it draws, for people.
        presence: Learns that the caller has gone.
        response_id: Returns the response id as soon as it is known.
        keep: Called with a result that nobody waits for any more, if there is a memory for it.
    """

    def __init__(
        self,
        about: str,
        presence: Presence,
        response_id: Callable[[], str | None],
        keep: Callable[[ImageResult], None] | None,
    ) -> None:
        self.process = os.getpid()
        self.task: asyncio.Task[None] | None = None
        self.ended: Future[None] = Future()
        self._about, self._presence, self._response_id, self._keep = about, presence, response_id, keep
        self._leaving = threading.Lock()

    @property
    def has_caller(self) -> bool:
        """True while somebody waits for the call."""
        return not self._presence.has_left

    @property
    def state(self) -> UnderWay:
        """What is known of the call."""
        return UnderWay(self._about, self._response_id())

    def deliver(self, outcome: Outcome, put: Callable[[Outcome], None]) -> None:
        """Hand an outcome to the caller, or settle it if the caller has gone."""
        with self._leaving:
            if self.has_caller:
                put(outcome)
                return
        self._settle(outcome)

    def leave(self, unread: Iterable[Outcome]) -> None:
        """Note that the caller has gone, and settle what the caller did not read."""
        with self._leaving:
            self._presence.leave()
        for outcome in unread:
            self._settle(outcome)

    def __str__(self) -> str:
        id = self._response_id()
        found = f", response {id!r}: draw.resume({id!r}) may still fetch it" if id else ""
        return f"the picture of {self._about!r}{found}"

    def _settle(self, outcome: Outcome) -> None:
        """Keep a result that nobody waits for, and log an error that nobody sees."""
        result: Piece | None = outcome.piece
        if isinstance(outcome.error, (asyncio.CancelledError, GeneratorExit)):
            logger.warning("abandoned before it was finished: %s", self)
        elif isinstance(outcome.error, NotSentError):
            logger.info("not sent, since its caller had gone: %s", self)
        elif outcome.error is not None:
            logger.warning("a call failed whose caller had gone: %s: %r", self, outcome.error)
            result = getattr(outcome.error, "result", None)
        if isinstance(result, ImageResult):
            logger.info("a picture arrived after its caller had gone: %s", ", ".join(i.handle for i in result.images))
            if self._keep is not None:
                self._keep(result)


class Calls:
    """The calls of a generator that are under way."""

    def __init__(self) -> None:
        self._running: set[OwnedCall] = set()
        _all.add(self)

    def relay(self, call: OwnedCall, pieces: Generator[Piece]) -> Generator[Piece]:
        """Yield the pieces of a call, which runs in a thread of its own."""
        outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        run = copy_context().run
        drain = (self._drain, call, pieces, outcomes.put)
        threading.Thread(target=run, args=drain, name=THREAD, daemon=True).start()
        try:
            while (outcome := outcomes.get()) is not _END:
                yield _piece_of(outcome)
        finally:
            call.leave(_unread(outcomes.get_nowait, queue.Empty))

    async def arelay(self, call: OwnedCall, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[Piece]:
        """Async twin of `relay`, with a task in place of the thread."""
        outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
        call.task = asyncio.create_task(self._adrain(call, pieces, outcomes.put_nowait))
        try:
            while (outcome := await outcomes.get()) is not _END:
                yield _piece_of(outcome)
        finally:
            call.leave(_unread(outcomes.get_nowait, asyncio.QueueEmpty))

    def watch(self, call: OwnedCall, pieces: Generator[Piece]) -> Generator[Piece]:
        """Yield the pieces of a call that its caller cannot leave, which needs no thread of its own."""
        with self._under_way(call), closing(pieces):
            yield from pieces

    def under_way(self) -> tuple[UnderWay, ...]:
        """Return the calls of this process that have no answer yet."""
        return tuple(call.state for call in self._here())

    async def wait(self) -> None:
        """Wait for the calls of this event loop, and for sync ones whose callers have gone; log abandoned others."""
        loop, calls = asyncio.get_running_loop(), self._here()
        ends: list[asyncio.Future[None]] = [call.task for call in calls if call.task and call.task.get_loop() is loop]
        ends += [asyncio.wrap_future(call.ended) for call in calls if call.task is None and not call.has_caller]
        if ends:
            await asyncio.wait(ends)
        self.report()

    def report(self, *, with_callers: bool = False) -> None:
        """Log what is still under way for callers who have gone, or for all callers."""
        for call in self._here():
            if with_callers or not call.has_caller:
                logger.warning("still under way: %s", call)

    def _drain(self, call: OwnedCall, pieces: Generator[Piece], put: Callable[[Outcome], None]) -> None:
        with self._under_way(call):
            try:
                with closing(pieces):
                    for piece in pieces:
                        call.deliver(Outcome(piece), put)
            except BaseException as error:  # noqa: BLE001 - the caller raises it
                call.deliver(Outcome(error=error), put)
        call.deliver(_END, put)

    async def _adrain(self, call: OwnedCall, pieces: AsyncGenerator[Piece], put: Callable[[Outcome], None]) -> None:
        with self._under_way(call):
            try:
                async with aclosing(pieces):
                    async for piece in pieces:
                        call.deliver(Outcome(piece), put)
            except BaseException as error:  # noqa: BLE001 - the caller raises it
                call.deliver(Outcome(error=error), put)
        call.deliver(_END, put)

    @contextmanager
    def _under_way(self, call: OwnedCall) -> Generator[None]:
        self._running.add(call)
        try:
            yield
        finally:
            self._running.discard(call)
            call.ended.set_result(None)

    def _here(self) -> list[OwnedCall]:
        return [call for call in list(self._running) if call.process == os.getpid()]


_END = Outcome()
_all: weakref.WeakSet[Calls] = weakref.WeakSet()


@atexit.register
def _report_at_exit() -> None:
    for calls in list(_all):
        calls.report(with_callers=True)


def _piece_of(outcome: Outcome) -> Piece:
    if outcome.error is not None:
        raise outcome.error
    assert outcome.piece is not None
    return outcome.piece


def _unread(get: Callable[[], Outcome], empty: type[Exception]) -> Iterator[Outcome]:
    """Yield what waits in a queue."""
    while True:
        try:
            yield get()
        except empty:
            return
