"""The events of hosted calls: what a `PartialsTransport` sees of a chat model's answer, and what came of it.

They are those of the function tool, and go the same ways; see `events` and `progress`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self

from langchain_core.messages import AIMessage

from langchain_imagegen.agents import events
from langchain_imagegen.agents.display import Display
from langchain_imagegen.agents.events import ImageEvent
from langchain_imagegen.agents.progress import Emitter, Partials, address_of, count_of, logged, with_partials
from langchain_imagegen.agents.ui import PARTIAL, UiMessages
from langchain_imagegen.api.responses import CALL, read_calls
from langchain_imagegen.conversation.messages import RECORD, hosted_items, into
from langchain_imagegen.drawing.accounting import callbacks_here
from langchain_imagegen.errors import ImageStoreError, ModerationError, NoImageError, OptionError
from langchain_imagegen.http.drawing_events import Begun, Partial, Sign
from langchain_imagegen.http.rewriter import Arrived
from langchain_imagegen.images.image import GeneratedImage, Origin, handle_of
from langchain_imagegen.images.sniffing import sniff
from langchain_imagegen.options.options import ImageOptions
from langchain_imagegen.storage.call_store import CallStore
from langchain_imagegen.streaming.placeholders import Token, read_token

logger = logging.getLogger(__name__)


@dataclass
class HostedProgress:
    """Tells the followers of a run of the hosted calls in one answer of its chat model.

    It is a context around the model call: at its end the followers learn which pictures are drawn, or that they failed.

    Args:
        emitter: Sends the events.
        store: Has the pictures.
        arrived: Has the id of the response.
        provider: The host of the service.
        prompt: What the user asked for; the prompts of hosted calls are not told.
        partials: How many partial pictures are asked for.
        inline: True if events have the bytes of partial pictures too.
        ui: Gives addresses for `ui` messages; None: none are pushed.
    """

    emitter: Emitter
    store: CallStore
    arrived: Arrived
    provider: str
    prompt: str
    partials: int = 0
    inline: bool = False
    ui: Display | None = None
    _begun: dict[str, None] = field(default_factory=dict)
    _stored: list[tuple[str, str]] = field(default_factory=list)  # as in `Progress`
    _last: list[ImageEvent] = field(default_factory=list)

    def tell(self, sign: Sign) -> None:
        """Send the event of a sign in the answer."""
        with logged("hosted call"):
            event = self._event_of(sign)
            if event is not None:
                self._show(event)
                self.emitter.emit(event)

    async def atell(self, sign: Sign) -> None:
        """Async twin of `tell`."""
        with logged("hosted call"):
            event = await asyncio.to_thread(self._event_of, sign)
            if event is not None:
                self._show(event)
                await self.emitter.aemit(event)

    def keep(self, images: Sequence[GeneratedImage], answer: AIMessage) -> list[GeneratedImage]:
        """Return the pictures of an answer, which name their partial pictures; note what to tell of the answer."""
        kept = list(with_partials(images, self._stored))
        with logged("hosted call"):
            self._note(kept, answer)
        return kept

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with logged("hosted call"):
            for event in self._ending(error):
                self.emitter.emit(event)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with logged("hosted call"):
            for event in self._ending(error):
                await self.emitter.aemit(event)

    def _note(self, images: Sequence[GeneratedImage], answer: AIMessage) -> None:
        """Note the events of the pictures of an answer, and of its image calls that gave none."""
        finished = {image.id: self._finished(image) for image in images}
        failed = {id: error for id, error in self._failures_in(answer).items() if id not in finished}
        self._last += [self._start(id) for id in (*finished, *failed) if id not in self._begun]
        self._last += [*finished.values(), *(self._failed(id, error) for id, error in failed.items())]
        if self.ui is not None:
            messages = UiMessages(self.ui, answer.id, kept=True)
            for id, error in failed.items():
                messages.fail(id, self.prompt, error)

    def _event_of(self, sign: Sign) -> ImageEvent | None:
        """Return the event of a sign; None for a partial picture that is corrupt."""
        if isinstance(sign, Begun):
            return self._start(sign.call_id)
        token = read_token(sign.picture)
        return self._unstored(sign) if token is None else self._partial(sign, token)

    def _start(self, call_id: str) -> ImageEvent:
        self._begun[call_id] = None
        return events.started(call_id, self.prompt, self._handle(call_id))

    def _partial(self, sign: Partial, token: Token) -> ImageEvent:
        self._stored.append((sign.call_id, token.sha256))
        return events.unfinished(
            sign.call_id,
            self._handle(sign.call_id),
            sign.index,
            final=sign.final,
            mime_type=token.mime_type,
            sha256=token.sha256,
            url=address_of(partial(self.store.url, token.sha256, token.mime_type)),
            data=self._bytes_of(token) if self.inline else None,
        )

    def _bytes_of(self, token: Token) -> bytes | None:
        """Return the bytes of a stored picture; None, with a logged warning, if the store cannot be read."""
        try:
            return self.store.get(token.sha256, token.mime_type)
        except ImageStoreError as error:
            logger.warning("the event of a partial picture is without its bytes: %s", error)
            return None

    def _unstored(self, sign: Partial) -> ImageEvent | None:
        """Return the event of a partial picture that could not be stored."""
        try:
            data = base64.b64decode(sign.picture, validate=True)
        except (binascii.Error, ValueError):
            return None
        seen, handle = sniff(data[:4096]), self._handle(sign.call_id)
        if seen is None:
            return None
        facts: dict[str, Any] = {"final": sign.final, "mime_type": seen.mime_type}
        return events.unfinished(sign.call_id, handle, sign.index, **facts, data=data if self.inline else None)

    def _finished(self, image: GeneratedImage) -> ImageEvent:
        event = events.finished(image, image.id, address_of(partial(self.store.url, image.sha256, image.mime_type)))
        if self.store.why_unsaved(image.sha256):
            event["sha256"] = None
        return event

    def _failed(self, call_id: str, error: object) -> ImageEvent:
        return events.failed(call_id, error, self._handle(call_id))

    def _failures_in(self, answer: AIMessage) -> dict[str, Exception]:
        """Return why the image calls that gave no picture failed, by id."""
        items = [item for item in hosted_items(answer) if item.get("type") == CALL and RECORD not in item]
        empty = [item for item in items if item.get("id") and not item.get("result")]
        _, failed = read_calls({"output": empty}, Origin(), into(self.store))
        missing = {id: NoImageError("the service did not send the picture") for id in self._begun}
        return {**missing, **{item["id"]: error for item, error in failed}}

    def _ending(self, error: BaseException | None) -> Iterator[ImageEvent]:
        """Yield the last events of the model call: what came of the answer, or that there is none."""
        if error is None:
            yield from self._last
        elif isinstance(error, Exception):
            for id in self._begun:
                if self.ui:
                    UiMessages(self.ui, self.arrived.response_id, kept=False).fail(id, self.prompt, error)
                yield self._failed(id, error)
            if not self._begun and isinstance(error, ModerationError):
                yield events.failed(None, error)

    def _handle(self, call_id: str) -> str:
        return handle_of(self.provider, call_id)

    def _show(self, event: Mapping[str, Any]) -> None:
        """Push the `ui` message of an event, beside the message that the answer will be."""
        if self.ui is None:
            return
        messages = UiMessages(self.ui, self.arrived.response_id, kept=False)
        if event["type"] == PARTIAL:
            messages.sharpen(event)
        else:
            messages.start(event["tool_call_id"], self.prompt)


def hosted_progress(
    runtime: Any, partials: Partials | None, options: ImageOptions, *, wire: bool, **facts: Any
) -> HostedProgress | None:
    """Return what tells of one model call that draws by itself; None without `wire`, where nothing is seen of it.

    Args:
        runtime: LangGraph's runtime of the node that calls the chat model.
        partials: As that of the tool.
        options: What pictures are drawn with.
        wire: Whether the chat model is called with an `ImageTransport`.
        facts: The other arguments of `HostedProgress`.

    Raises:
        OptionError: Partial pictures are asked for without `wire`.
    """
    check_wire(partials, wire=wire)
    if not wire:
        return None
    emitter = Emitter(runtime, {"callbacks": callbacks_here()})
    return HostedProgress(emitter, partials=count_of(partials, options), inline=partials == "inline", **facts)


def check_wire(partials: Partials | None, *, wire: bool) -> None:
    """Refuse partial pictures of hosted calls without `wire`.

    Raises:
        OptionError: Partial pictures are asked for, and the chat model would be called without an `ImageTransport`; or
            `wire` is neither True nor False.
    """
    if not isinstance(wire, bool):
        raise OptionError(f"wire={wire!r}: it takes True or False")
    if partials and not wire:
        raise OptionError(
            f"partials={partials!r} needs wire=True where the chat model draws with the hosted tool: ChatOpenAI cannot "
            "ask for partial pictures, and wire=True does it beneath. Set ImageGenerationMiddleware(wire=True), or "
            "hosted=False to draw with the function tool"
        )
