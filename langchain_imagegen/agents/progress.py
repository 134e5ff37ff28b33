"""Events of a drawing on their way to whoever follows a run: they are made in `events`, and sent here.

No single way reaches every follower. LangGraph's stream writer reaches `stream_mode="custom"`, a custom callback event
`astream_events` (v2) and callback handlers, and the output of a tool the `tools` stream and `astream_events` (v3). A
follower that fails is logged, and harms neither the drawing nor the other followers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias, cast, get_args

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.runnables import RunnableConfig

from langchain_imagegen.agents import events
from langchain_imagegen.agents.events import ImageEvent
from langchain_imagegen.errors import ImageGenerationError, ImageStoreError, OptionError
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.images.partial import PartialImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.options.options import ImageOptions
from langchain_imagegen.storage.store import ImageStore

logger = logging.getLogger(__name__)

Partials: TypeAlias = Literal[0, 1, 2, 3, "inline"]
"""How many partial pictures the service is asked for, 0 to 3; `"inline"` puts their bytes into the events too."""

INLINE = 2  # partial pictures that `"inline"` asks for if the options do not say how many
WITHOUT_PARTIALS = ("gif", "svg")  # formats


def check_partials(value: Any) -> Partials | None:
    """Return the value.

    Raises:
        OptionError: It is neither a number from 0 to 3 nor `"inline"` nor None.
    """
    if value is None or (isinstance(value, (int, str)) and value in get_args(Partials)):
        return cast("Partials | None", value)
    raise OptionError(f'partials={value!r}: it is 0, 1, 2, 3 or "inline"')


def count_of(partials: Partials | None, options: ImageOptions) -> int:
    """Return how many partial pictures are asked for; `None` leaves it to the options."""
    if options.sent().get("output_format") in WITHOUT_PARTIALS:
        return 0
    if isinstance(partials, int):
        return partials
    return options.partial_images or (INLINE if partials == "inline" else 0)


class Emitter:
    """Sends events to the followers of a run.

    Args:
        runtime: LangGraph's runtime of the tool or node; anything else has no stream.
        config: The configuration of the run, whose callback handlers get the events.
    """

    def __init__(self, runtime: Any, config: RunnableConfig | None) -> None:
        self._config = config
        names = ("stream_writer", "emit_output_delta")
        self._writers = {name: write for name in names if callable(write := getattr(runtime, name, None))}

    def emit(self, event: ImageEvent) -> None:
        """Send an event."""
        self._write(event)
        with logged("callbacks"):
            dispatch_custom_event(event["type"], dict(event), config=self._config)

    async def aemit(self, event: ImageEvent) -> None:
        """Async twin of `emit`."""
        self._write(event)
        with logged("callbacks"):
            await adispatch_custom_event(event["type"], dict(event), config=self._config)

    def _write(self, event: ImageEvent) -> None:
        """Send an event into the streams of the graph, which take it without waiting."""
        for name, write in self._writers.items():
            with logged(name):
                write(dict(event))


class Progress:
    """The events of one tool call, from its start to its pictures or its error.

    Args:
        emitter: Sends the events.
        call_id: The id of the call.
        store: Where partial pictures go.
        inline: True if events have the bytes of partial pictures too.
    """

    def __init__(self, emitter: Emitter, call_id: str | None, store: ImageStore, *, inline: bool = False) -> None:
        self._emitter, self._call_id, self._store, self._inline = emitter, call_id, store, inline
        self._stored: list[tuple[str, str]] = []  # the call id and the digest of each partial picture

    def start(self, prompt: str) -> None:
        """Tell that the call begins."""
        self._emitter.emit(events.started(self._call_id, prompt))

    async def astart(self, prompt: str) -> None:
        """Async twin of `start`."""
        await self._emitter.aemit(events.started(self._call_id, prompt))

    def show(self, picture: PartialImage) -> None:
        """Store a partial picture and tell of it."""
        self._emitter.emit(self._unfinished(picture))

    async def ashow(self, picture: PartialImage) -> None:
        """Async twin of `show`."""
        await self._emitter.aemit(await asyncio.to_thread(self._unfinished, picture))

    def tell(self, last: Iterable[ImageEvent]) -> None:
        """Send the last events of the call."""
        for event in last:
            self._emitter.emit(event)

    async def atell(self, last: Iterable[ImageEvent]) -> None:
        """Async twin of `tell`."""
        for event in last:
            await self._emitter.aemit(event)

    def fail(self, error: Exception) -> None:
        """Tell that the call failed."""
        self._emitter.emit(events.failed(self._call_id, error))

    async def afail(self, error: Exception) -> None:
        """Async twin of `fail`."""
        await self._emitter.aemit(events.failed(self._call_id, error))

    def keep(self, result: ImageResult) -> ImageResult:
        """Return the result whose pictures name their partial pictures, so that both are pruned together."""
        return result.model_copy(update={"images": with_partials(result.images, self._stored)})

    def last(self, result: ImageResult, links: Sequence[str]) -> list[ImageEvent]:
        """Return the last events of the call; links are the pictures' addresses if the tool makes some."""
        urls: Sequence[str | None] = links or [address_of(image.url) for image in result.images]
        return list(events.of_result(result, self._call_id, urls))

    def _unfinished(self, picture: PartialImage) -> ImageEvent:
        stored = self._put(picture)
        if stored and not picture.final:
            self._stored.append((picture.id, picture.sha256))
        return events.unfinished(
            self._call_id,
            picture.handle,
            picture.index,
            final=picture.final,
            mime_type=picture.mime_type,
            sha256=picture.sha256 if stored else None,
            url=address_of(picture.bind(self._store).url) if stored else None,
            data=picture.data if self._inline else None,
        )

    def _put(self, picture: PartialImage) -> bool:
        """Return True if the picture is in the store."""
        try:
            return self._store.put(picture.data).sha256 == picture.sha256
        except ImageGenerationError as error:
            logger.warning("a partial picture is not stored: %s", error)
            return False


def with_partials(images: Sequence[GeneratedImage], stored: Sequence[tuple[str, str]]) -> tuple[GeneratedImage, ...]:
    """Return images with the digests of their partial pictures; `stored` has the id and digest of each of these.

    The Images API gives partial pictures no id: they belong to the only picture of the call.
    """

    def digests(image: GeneratedImage) -> tuple[str, ...]:
        own = [digest for id, digest in stored if id == image.id or len(images) == 1]
        return tuple(dict.fromkeys(digest for digest in own if digest != image.sha256))

    return tuple(
        image.model_copy(update={"partials": found}) if (found := digests(image)) else image for image in images
    )


def address_of(url: Callable[[], str]) -> str | None:
    """Return where a browser finds a picture, as its method `url` says; None if its store gives no addresses."""
    try:
        return url()
    except ImageStoreError:
        return None
    except Exception:
        logger.warning("a picture has no address in its event", exc_info=True)
        return None


@contextmanager
def logged(channel: str) -> Iterator[None]:
    """Log an error in place of raising it: no follower of a drawing harms it."""
    try:
        yield
    except Exception:
        logger.warning("an event of a drawing was not delivered (%s)", channel, exc_info=True)
