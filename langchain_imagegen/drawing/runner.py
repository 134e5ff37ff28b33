"""Carry a flow out: send its calls, wait, read images. See `flows` for what is sent and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
from typing import Any

from langchain_imagegen.api.sdk_errors import translate
from langchain_imagegen.drawing.fetching import Fetcher
from langchain_imagegen.drawing.flows import Call, Fetch, Flow, Read, Step, Wait
from langchain_imagegen.drawing.transport import Transport
from langchain_imagegen.errors import ConnectionLostError, ImageGenerationError, ImageTimeoutError
from langchain_imagegen.images.image import PartialImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.storage.writer import Receiver
from langchain_imagegen.streaming.answer import Body

_READ_BY_THE_SDK = {"responses": ("stream",), "images": ("model", "prompt", "stream")}
"""What the SDK reads of a request itself; Azure's client finds an image model's deployment by its name."""


class Runner:
    """Carries flows out with the clients of a transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._fetcher = Fetcher()

    def run(self, flow: Flow, store: Receiver, *, partials: bool = True) -> Generator[PartialImage | ImageResult]:
        """Yield partial pictures as they arrive, if they are wanted, and the result last."""
        drive = Drive(flow)
        for step in drive:
            with drive.attempt():
                if isinstance(step, Wait):
                    time.sleep(step.seconds)
                elif isinstance(step, Read):
                    drive.answer(step.image.sent_data_url())
                elif isinstance(step, Fetch):
                    drive.answer(self._fetcher.fetch(step.url, store))
                else:
                    with self._transport.borrowed() as client, self._send(client, step) as response:
                        body = drive.body = _body_of(step, response, store, partials=partials)
                        http = response.http_response
                        with closing(http.iter_raw() if body.raw else http.iter_bytes()) as chunks:
                            for chunk in chunks:
                                yield from body.feed(chunk)
                                if piece := body.work():
                                    piece()
                    drive.answer(body.finish())
            if drive.has_leftovers:
                drive.settle()
        yield _finished(drive)

    async def arun(
        self, flow: Flow, store: Receiver, *, partials: bool = True
    ) -> AsyncGenerator[PartialImage | ImageResult]:
        """Async twin of `run`."""
        drive = Drive(flow)
        for step in drive:
            with drive.attempt():
                if isinstance(step, Wait):
                    await asyncio.sleep(step.seconds)
                elif isinstance(step, Read):
                    drive.answer(await asyncio.to_thread(step.image.sent_data_url))
                elif isinstance(step, Fetch):
                    drive.answer(await self._fetcher.afetch(step.url, store))
                else:
                    async with self._transport.async_borrowed() as client, self._send(client, step) as response:
                        body = drive.body = _body_of(step, response, store, partials=partials)
                        http = response.http_response
                        async with aclosing(http.aiter_raw() if body.raw else http.aiter_bytes()) as chunks:
                            async for chunk in chunks:
                                for partial in body.feed(chunk):
                                    yield partial
                                if piece := body.work():
                                    await asyncio.to_thread(piece)
                    drive.answer(await asyncio.to_thread(body.finish))
            if drive.has_leftovers:
                await asyncio.to_thread(drive.settle)
        yield _finished(drive)

    def _send(self, client: Any, call: Call) -> Any:
        """Send the request; all but what the SDK looks at goes as `extra_body`, which it sends as it is."""
        read_by_the_sdk = {name: call.body[name] for name in _READ_BY_THE_SDK[call.api] if name in call.body}
        rest = {name: value for name, value in call.body.items() if name not in read_by_the_sdk}
        if call.api == "responses":
            send = client.responses.with_streaming_response.create
        else:
            send = client.images.with_streaming_response.generate
        return send(**read_by_the_sdk, extra_body=rest, extra_headers=self._transport.headers)


class Drive:
    """The state of a running flow: its next step, and the answer or error of the last one. No clock, no connection."""

    def __init__(self, flow: Flow) -> None:
        self.result: ImageResult | None = None
        self.body: Body | None = None
        self._flow = flow
        self._answer: object = None
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[Step]:
        while True:
            try:
                step = self._flow.throw(self._error) if self._error else self._flow.send(self._answer)
            except StopIteration as stop:
                self.result = stop.value
                return
            self._answer = self._error = self.body = None
            yield step

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
            if isinstance(error, ImageTimeoutError):
                error.response_id = lost.response_id
        except ImageGenerationError as own:
            self._error = own

    def _discard(self) -> None:
        if self.body is not None:
            self.body.discard()


def _body_of(call: Call, response: Any, store: Receiver, *, partials: bool) -> Body:
    return Body(call.api, call.origin, store, response.headers, partials=partials)


def _finished(drive: Drive) -> ImageResult:
    assert drive.result is not None  # a flow ends with a result or an error
    return drive.result
