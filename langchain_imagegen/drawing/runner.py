"""Carry a flow out: send its calls, wait, read images. See `flows` for what is sent and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import aclosing, closing, contextmanager
from typing import Any

from langchain_core.rate_limiters import BaseRateLimiter

from langchain_imagegen.api.sdk_errors import translate
from langchain_imagegen.drawing.fetching import Fetcher
from langchain_imagegen.drawing.presence import Presence
from langchain_imagegen.drawing.rate_limits import Permissions
from langchain_imagegen.drawing.steps import Call, Do, Fetch, Flow, Retrieve, Step, Wait
from langchain_imagegen.drawing.transport import Transport
from langchain_imagegen.errors import ConnectionLostError, ImageGenerationError, ImageTimeoutError
from langchain_imagegen.images.partial import PartialImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.storage.call_store import CallStore
from langchain_imagegen.streaming.answer import Body

_READ_BY_THE_SDK = {"responses": ("stream",), "images": ("model", "prompt", "stream")}
"""What the SDK reads of a request itself; Azure's client finds an image model's deployment by its name."""


class Runner:
    """Carries flows out with the clients of a transport."""

    def __init__(self, transport: Transport, limiter: BaseRateLimiter | None = None) -> None:
        self._transport, self._permissions = transport, Permissions(limiter)
        self.presence = Presence()
        self._fetcher = Fetcher()
        self._drive: Drive | None = None

    @property
    def response_id(self) -> str | None:
        """The id of the latest response, as soon as it is known."""
        return self._drive.response_id if self._drive else None

    def run(self, flow: Flow, store: CallStore, *, partials: bool = True) -> Generator[PartialImage | ImageResult]:
        """Yield partial pictures as they arrive, if they are wanted, and the result last."""
        drive = self._drive = Drive(flow, store, partials=partials)
        for step in drive:
            with drive.attempt():
                if isinstance(step, Wait):
                    with self.presence.idle(step):
                        self.presence.sleep(step)
                elif isinstance(step, Do):
                    drive.answer(step.function())
                elif isinstance(step, Fetch):
                    drive.answer(self._fetcher.fetch(step.url, store))
                else:
                    with self.presence.idle(step):
                        self._permissions.acquire(step)
                    drive.note_sent(step, time.monotonic())
                    with self._transport.borrowed() as client, self._send(client, step) as response:
                        body = drive.open(step, response.headers)
                        http = response.http_response
                        with closing(http.iter_raw() if body.raw else http.iter_bytes()) as chunks:
                            for chunk in chunks:
                                yield from body.feed(chunk)
                                for piece in drive.work():
                                    piece()
                    drive.answer(drive.timed(body.finish(), time.monotonic()))
            if drive.has_leftovers:
                drive.settle()
        yield store.deliver(drive.finished)

    async def arun(
        self, flow: Flow, store: CallStore, *, partials: bool = True
    ) -> AsyncGenerator[PartialImage | ImageResult]:
        """Async twin of `run`."""
        drive = self._drive = Drive(flow, store, partials=partials)
        for step in drive:
            with drive.attempt():
                if isinstance(step, Wait):
                    with self.presence.idle(step):
                        await self.presence.asleep(step)
                elif isinstance(step, Do):
                    drive.answer(await asyncio.to_thread(step.function))
                elif isinstance(step, Fetch):
                    drive.answer(await self._fetcher.afetch(step.url, store))
                else:
                    with self.presence.idle(step):
                        await self._permissions.aacquire(step)
                    drive.note_sent(step, time.monotonic())
                    async with self._transport.async_borrowed() as client, self._send(client, step) as response:
                        body = drive.open(step, response.headers)
                        http = response.http_response
                        async with aclosing(http.aiter_raw() if body.raw else http.aiter_bytes()) as chunks:
                            async for chunk in chunks:
                                for partial in body.feed(chunk):
                                    yield partial
                                for piece in drive.work():
                                    await asyncio.to_thread(piece)
                    drive.answer(drive.timed(await asyncio.to_thread(body.finish), time.monotonic()))
            if drive.has_leftovers:
                await asyncio.to_thread(drive.settle)
        yield store.deliver(drive.finished)

    def ask(self, method: Callable[[Any], Any]) -> Any:
        """Return what a method of the SDK's client returns; its errors become ours."""
        with _translated(), self._transport.borrowed() as client:
            return method(client)

    async def aask(self, method: Callable[[Any], Any]) -> Any:
        """Async twin of `ask`."""
        with _translated():
            async with self._transport.async_borrowed() as client:
                return await method(client)

    def _send(self, client: Any, step: Call | Retrieve) -> Any:
        """Send the request; all but what the SDK looks at goes as `extra_body`, which it sends as it is."""
        if isinstance(step, Retrieve):
            behind = {} if step.after is None else {"stream": True, "starting_after": step.after}
            retrieve = client.responses.with_streaming_response.retrieve
            return retrieve(step.response_id, **behind, extra_headers=self._transport.headers)
        read_by_the_sdk = {name: step.body[name] for name in _READ_BY_THE_SDK[step.api] if name in step.body}
        rest = {name: value for name, value in step.body.items() if name not in read_by_the_sdk}
        if step.api == "responses":
            send = client.responses.with_streaming_response.create
        else:
            send = client.images.with_streaming_response.generate
        return send(**read_by_the_sdk, extra_body=rest, extra_headers=self._transport.headers)


class Drive:
    """The state of a running flow: its next step, and the answer or error of the last one. No clock, no connection."""

    def __init__(self, flow: Flow, store: CallStore, *, partials: bool) -> None:
        self.result: ImageResult | None = None
        self.body: Body | None = None
        self._earlier_body: Body | None = None
        self._note_id: Callable[[str], None] | None = None
        self._flow, self._store, self._partials = flow, store, partials
        self._sent_at: float | None = None
        self._answer: object = None
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[Step]:
        while True:
            try:
                step = self._flow.throw(self._error) if self._error else self._flow.send(self._answer)
            except StopIteration as stop:
                self.result = stop.value
                return
            self._earlier_body, self.body = self.body or self._earlier_body, None
            self._answer = self._error = None
            yield step

    def open(self, step: Call | Retrieve, headers: Mapping[str, str]) -> Body:
        """Return the body of the answer to a request, which may go on with that of the request before."""
        if isinstance(step, Retrieve) and step.after is not None and self._earlier_body is not None:
            self._earlier_body.reopen(headers)
            self.body = self._earlier_body
        else:
            api = step.api if isinstance(step, Call) else "responses"
            self.body = Body(api, step.origin, self._store, headers, partials=self._partials)
        self._note_id = step.note_id if isinstance(step, Call) else None
        return self.body

    def work(self) -> Iterator[Callable[[], None]]:
        """Yield the next piece of a picture that is to be written now, and note the response id once."""
        assert self.body is not None
        if piece := self.body.work():
            yield piece
        if self._note_id and (id := self.body.response_id):
            note, self._note_id = self._note_id, None
            note(id)

    def answer(self, value: object) -> None:
        """Keep the value that the step gave."""
        self._answer = value

    @contextmanager
    def attempt(self) -> Generator[None]:
        """Run a step. Keep its error for the flow; if the caller is stopped, leave nothing behind."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the flow raises what it does not handle
            self._error = translate(error)
        except BaseException:
            self._discard()
            raise

    def note_sent(self, step: Call | Retrieve, now: float) -> None:
        """Note that a request is sent now, in seconds of any clock; the first that draws counts."""
        if isinstance(step, Call) and self._sent_at is None:
            self._sent_at = now

    def timed(self, answer: Any, now: float) -> Any:
        """Return an answer; the pictures of a result have the seconds since the first request, for the ledger too."""
        if self._sent_at is None or not isinstance(answer, ImageResult):
            return answer
        seconds = round(now - self._sent_at, 2)
        images = tuple(image.model_copy(update={"seconds": seconds}) for image in answer.images)
        return answer.model_copy(update={"images": images})

    @property
    def finished(self) -> ImageResult:
        """The result of the flow, which ends with one or with an error."""
        assert self.result is not None
        return self.result

    @property
    def response_id(self) -> str | None:
        """The id of the latest response, as soon as it is known."""
        body = self.body or self._earlier_body
        return body.response_id if body else None

    @property
    def has_leftovers(self) -> bool:
        """Return True if a failed answer has pictures to be saved or removed."""
        return self.body is not None and self._error is not None

    def settle(self) -> None:
        """After an error, answer with the pictures that had arrived; without any, pass the error to the flow."""
        if isinstance(self._error, (ConnectionLostError, ImageTimeoutError)):
            self._salvage(self._error)
        self._discard()

    def _salvage(self, error: ConnectionLostError | ImageTimeoutError) -> None:
        assert self.body is not None
        try:
            self._answer, self._error = self.body.break_off(error), None
        except ConnectionLostError as lost:
            self._error = lost if isinstance(error, ConnectionLostError) else error
            error.response_id, error.last_event, error.partials = lost.response_id, lost.last_event, lost.partials
        except ImageGenerationError as own:
            self._error = own

    def _discard(self) -> None:
        if self.body is not None:
            self.body.discard()


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except Exception as error:
        raise translate(error) from error
