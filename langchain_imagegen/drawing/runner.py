"""What drives a flow: which step is next, and what comes of it. No network here."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager

from langchain_imagegen.api.sdk_errors import translate
from langchain_imagegen.drawing.flows import Flow, Step
from langchain_imagegen.errors import ConnectionLostError, ImageGenerationError, ImageTimeoutError
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.streaming.answer import Body


class Drive:
    """A flow under way: which step is next, and what comes of it. Holds no clock and no connection."""

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
        """What the step gave."""
        self._answer = value

    @contextmanager
    def attempt(self) -> Generator[None]:
        """Carry a step out; an error is kept for `settle`, all that stops the caller leaves nothing behind."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the flow raises what it does not handle
            self._error = translate(error)
        except BaseException:
            self._discard()
            raise

    @property
    def unsettled(self) -> bool:
        """Whether something of an answer is left to be saved or removed."""
        return self.body is not None and self._error is not None

    def settle(self) -> None:
        """After an error, the pictures that had arrived are the answer; else it goes into the flow."""
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
        except ImageGenerationError as told:
            self._error = told

    def _discard(self) -> None:
        if self.body is not None:
            self.body.discard()
