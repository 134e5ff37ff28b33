"""`around_image`: a function of the developer around every drawing, which may change, answer or refuse it.

The function calls for the drawing, which meanwhile yields partial pictures to the caller of the generator. So the
function runs in a thread or task of its own, and the pictures go through a queue.
"""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from langchain_imagegen.drawing.placed import AroundImage, Placed
from langchain_imagegen.errors import ImageGenerationError, OptionError, RefusedError
from langchain_imagegen.images.partial import PartialImage
from langchain_imagegen.images.result import ImageResult

if TYPE_CHECKING:
    from langchain_imagegen.conversation.messages import Conversation
    from langchain_imagegen.drawing.executions import Key
    from langchain_imagegen.drawing.listeners import Listener
    from langchain_imagegen.options.options import ImageOptions
    from langchain_imagegen.options.request import ImageRequest

Piece: TypeAlias = "PartialImage | ImageResult"
THREAD = "imagegen-around"
"""The name of the thread of a plain function around a drawing."""

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Asked:
    """A request that its `around_image` functions have not seen yet; nothing is resolved, checked or stored.

    Args:
        request: What is asked for, with all options that would be used.
        conversation: The earlier turns that the input brings along.
        placed: The input, with its place and its caller.
        model: The mainline model, for tracers.
        stream: Whether the answer comes as events.
        hooks: The functions, the outermost first.
        listeners: The functions that are called with partial pictures.
    """

    request: ImageRequest
    conversation: Conversation
    placed: Placed
    model: str
    stream: bool
    hooks: tuple[AroundImage, ...]
    listeners: tuple[Listener, ...] = ()
    keys: list[Key] = field(default_factory=list, compare=False)
    drawn: list[ImageResult] = field(default_factory=list, compare=False)

    @property
    def prompt(self) -> str:
        """What is asked for, for people."""
        return self.request.prompt

    @property
    def options(self) -> ImageOptions | None:
        """The options that would be used."""
        return self.request.options

    @property
    def place(self) -> int | None:
        """The place in the memory that is reserved for the result."""
        return self.placed.place

    @property
    def asks_for_partials(self) -> bool:
        """True if the caller asked for partial pictures."""
        return bool(self.request.options and self.request.options.partial_images)

    def trace(self) -> dict[str, Any]:
        """Return the request as tracers and callbacks see it: small JSON without image bytes."""
        fields = self.request.model_dump(exclude={"options"}, exclude_defaults=True)
        options = self.request.options.sent() if self.request.options else {}
        return {**fields, "model": self.model, **({"options": options} if options else {})}

    def run(self, draw: Callable[[ImageRequest], Iterator[Piece]]) -> Generator[Piece]:
        """Yield the partial pictures of the drawings that the functions call for, and the result of the outermost.

        Args:
            draw: Draws one request.
        """
        pieces: queue.SimpleQueue[Future[Piece]] = queue.SimpleQueue()
        _in_thread(partial(self._outermost, draw, pieces.put), pieces.put)
        while not isinstance(piece := pieces.get().result(), ImageResult):
            yield piece
        yield piece

    async def arun(self, draw: Callable[[ImageRequest], AsyncIterator[Piece]]) -> AsyncGenerator[Piece]:
        """Async twin of `run`."""
        pieces: asyncio.Queue[Future[Any]] = asyncio.Queue()
        with _task(_settle(self._aoutermost(draw, pieces.put_nowait), pieces.put_nowait)):
            while not isinstance(piece := (await pieces.get()).result(), ImageResult):
                yield piece
        yield piece

    def _outermost(self, draw: Callable[[ImageRequest], Iterator[Piece]], put: Callable[[Any], None]) -> ImageResult:
        call = partial(self._draw, draw, put)
        for hook in reversed(self.hooks):
            call = partial(self._called, hook, call)
        return call(self.request)

    async def _aoutermost(
        self, draw: Callable[[ImageRequest], AsyncIterator[Piece]], put: Callable[[Any], None]
    ) -> ImageResult:
        call = partial(self._adraw, draw, put)
        for hook in reversed(self.hooks):
            call = partial(self._acalled, hook, call)
        return await call(self.request)

    def _draw(
        self, draw: Callable[[ImageRequest], Iterator[Piece]], put: Callable[[Any], None], request: Any
    ) -> ImageResult:
        for piece in draw(self._parsed(request)):
            if isinstance(piece, ImageResult):
                self.drawn.append(piece)
                return piece
            put(_done(piece))
        raise AssertionError("a drawing ends with a result or an error")

    async def _adraw(
        self, draw: Callable[[ImageRequest], AsyncIterator[Piece]], put: Callable[[Any], None], request: Any
    ) -> ImageResult:
        async for piece in draw(self._parsed(request)):
            if isinstance(piece, ImageResult):
                self.drawn.append(piece)
                return piece
            put(_done(piece))
        raise AssertionError("a drawing ends with a result or an error")

    def _called(self, hook: AroundImage, call: Callable[[Any], ImageResult], request: Any) -> ImageResult:
        if is_async(hook):
            raise OptionError(
                f"around_image={_name(hook)} is async and this drawing is sync: use ainvoke, or give a plain function, "
                "which serves both"
            )
        with self._refusals():
            return _checked(hook, hook(self._parsed(request), call))

    async def _acalled(
        self, hook: AroundImage, call: Callable[[Any], Awaitable[ImageResult]], request: Any
    ) -> ImageResult:
        with self._refusals():
            if is_async(hook):
                return _checked(hook, await hook(self._parsed(request), call))
            return _checked(hook, await _in_own_thread(hook, self._parsed(request), call))

    def _give_back(self) -> None:
        """Let the same call, made again, have the same keys in the ledger."""
        if self.placed.caller is not None:
            self.placed.caller.give_back()
        for key in self.keys:
            key.give_back()

    def _parsed(self, request: Any) -> ImageRequest:
        return type(self.request).parse(request)

    @contextmanager
    def _refusals(self) -> Generator[None]:
        """Give back what a failed call holds; a chat model's tool call fails with one of our errors, or pauses."""
        try:
            yield
        except Exception as error:
            self._give_back()
            if isinstance(error, ImageGenerationError) or self.placed.call.ids is None or _pauses(error):
                raise
            refusal = RefusedError(str(error) or type(error).__name__)
            refusal.may_be_billed = any(not result.from_ledger for result in self.drawn)
            raise refusal from error


def is_async(hook: AroundImage) -> bool:
    """Return True for an async function, and for an object that is called like one."""
    kind: Any = type(hook)
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(kind.__call__)


def _checked(hook: AroundImage, result: object) -> ImageResult:
    if isinstance(result, ImageResult):
        return result
    if inspect.iscoroutine(result):
        result.close()
    raise OptionError(
        f"around_image={_name(hook)} returned a {type(result).__name__}: it returns what call(request) returns, or an "
        "ImageResult from elsewhere"
    )


def _name(hook: AroundImage) -> str:
    return str(getattr(hook, "__qualname__", None) or type(hook).__name__)


def _pauses(error: Exception) -> bool:
    """Return True for the exceptions by which LangGraph interrupts or leaves a graph."""
    return any(base.__name__ == "GraphBubbleUp" for base in type(error).__mro__)


def _done(value: _Value) -> Future[_Value]:
    done: Future[_Value] = Future()
    done.set_result(value)
    return done


def _in_thread(work: Callable[[], _Value], put: Callable[[Future[_Value]], object]) -> None:
    """Run a function in a thread that does not keep the process alive; hand over its value or error."""

    def run() -> None:
        done: Future[_Value] = Future()
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            done.set_exception(error)
        put(done)

    threading.Thread(target=copy_context().run, args=(run,), name=THREAD, daemon=True).start()


async def _settle(work: Awaitable[_Value], put: Callable[[Future[_Value]], object]) -> None:
    """Hand over the value or error of a coroutine."""
    done: Future[_Value] = Future()
    try:
        done.set_result(await work)
    except BaseException as error:  # noqa: BLE001 - the caller raises it
        done.set_exception(error)
    put(done)


@contextmanager
def _task(work: Coroutine[Any, Any, None]) -> Generator[None]:
    """Run a coroutine as a task, until the caller has what it waits for or leaves."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()


async def _in_own_thread(
    hook: AroundImage, request: ImageRequest, call: Callable[[Any], Awaitable[ImageResult]]
) -> object:
    """Run a plain function beside the event loop. Its `call` waits in the function's thread, and draws in the loop.

    The thread is none of the loop's executor: all of those could be waiting here while the drawings need one.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Future[object]] = loop.create_future()

    def draw(request: Any) -> ImageResult:
        drawing: Future[ImageResult] = asyncio.run_coroutine_threadsafe(cast("Any", call)(request), loop)
        return drawing.result()

    def hand_over(outcome: Future[object]) -> None:
        loop.call_soon_threadsafe(lambda: None if done.done() else done.set_result(outcome))

    _in_thread(partial(hook, request, draw), hand_over)
    return (await done).result()
