"""The pictures of one answer in the order in which they arrive, and what of them can be delivered in any case."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from langchain_imagegen.errors import CorruptImageError, ImageGenerationError
from langchain_imagegen.images.image import GeneratedImage, Origin
from langchain_imagegen.images.partial import PartialImage
from langchain_imagegen.images.sniffing import Blob
from langchain_imagegen.storage.writer import Receiver
from langchain_imagegen.streaming.odd_forms import Address, find_picture
from langchain_imagegen.streaming.sinks import DuplicateSink, MemorySink, StoreSink, corrupt_image_error

_COMPLETED = re.compile(rb'"image_(?:generation|edit)\.completed"|event: ?image_(?:generation|edit)\.completed')
_RESULT = re.compile(rb'"result"\s*:\s*(?:[\[{][^{}\[\]]*)?\Z')
_HEAD = 4096
_ODD_FORM = "the picture did not come as plain base64; it was decoded all the same"
_ID = re.compile(rb'"(?:item_)?id"\s*:\s*"([\w-]{1,128})"')


@dataclass
class Arrival:
    """A picture taken out of an answer; `sink` is `None` for a copy that was not kept."""

    sink: MemorySink | StoreSink | DuplicateSink | None
    id: str | None
    final: bool

    def blob(self) -> Blob | None:
        """Return the picture put into the store, `None` if it is not whole."""
        try:
            return self.sink.blob() if self.sink else None
        except CorruptImageError:
            return None


class LinkedError(CorruptImageError):
    """A picture must be fetched from its web address first."""


class Arrivals:
    """The pictures of one answer: a sink for each as it begins, and the picture that a JSON value stands for.

    Args:
        store: Where pictures go.
        warn: Called with each warning.
        partials: Whether partial pictures are wanted; else they take no memory.
    """

    def __init__(self, store: Receiver, warn: Callable[[str], None], *, partials: bool) -> None:
        self._store, self._warn, self._partials = store, warn, partials
        self._all: list[Arrival] = []
        self._latest: MemorySink | StoreSink | None = None  # what comes next may be a copy of it
        self._shown: MemorySink | StoreSink | None = None
        self._unfinished: list[MemorySink | StoreSink] = []
        self.wanted: list[str] = []
        self.fetched: Mapping[str, Blob | ImageGenerationError] = {}

    @property
    def begun(self) -> bool:
        """True if at least part of a picture has arrived."""
        return bool(self._all)

    def open(
        self, before: bytes, *, streamed: bool, expected: int, delivered: Collection[str]
    ) -> MemorySink | StoreSink | DuplicateSink | None:
        """Return the sink for a picture that begins, or None for a copy of one that arrived whole.

        Args:
            before: The text of the answer before the picture.
            streamed: Whether the answer is an event stream.
            expected: Bytes that the picture may have.
            delivered: Ids of the pictures that arrived before.
        """
        sink = self._sink(before, streamed=streamed, expected=expected, delivered=delivered)
        final = not streamed or is_result(before) or _COMPLETED.search(before)
        self._all.append(Arrival(sink, id_of(before), final=bool(final)))
        if isinstance(sink, (MemorySink, StoreSink)):
            self._latest = sink
        return sink

    def work(self) -> Callable[[], None] | None:
        """Return the pending hash-and-write step of the picture that is arriving."""
        sink = self._all[-1].sink if self._all else None
        return sink.work() if sink else None

    def read(self, value: object) -> Blob:
        """Return the finished picture that a JSON value stands for.

        Raises:
            CorruptImageError: It stands for none, or for one that is damaged or still to be fetched.
        """
        found = find_picture(value)
        if found is None:
            raise corrupt_image_error(f"there is {_kind(value)} where its base64 belongs")
        if isinstance(found, Address):
            return self._linked(found)
        if isinstance(found, bytes):
            self._warn(_ODD_FORM)
            return self._store.put(found)
        sink = self._sink_at(found)
        if sink is None:
            raise CorruptImageError("the service sent a second copy of a picture in place of the first")
        if sink.repaired or not isinstance(value, dict) or len(value) != 1 or "$picture" not in value:
            self._warn(_ODD_FORM)
        return sink.blob()

    def read_partial(self, value: object) -> bytes:
        """Return the bytes of a partial picture; only the first, by which its format is known, if none is wanted."""
        found = find_picture(value)
        if isinstance(found, bytes):
            return found
        sink = self._sink_at(found) if isinstance(found, int) else None
        if not isinstance(sink, MemorySink if self._partials else StoreSink):
            raise CorruptImageError("a partial picture stands where a finished one belongs")
        if sink.flawed:
            raise CorruptImageError("a partial picture is corrupt")
        self._shown = sink
        return sink.data() if isinstance(sink, MemorySink) else sink.read(0, _HEAD)

    def release(self, partials: Collection[PartialImage]) -> None:
        """Keep nothing of partial pictures but the latest, of which the finished one may be a copy."""
        for partial in partials:
            if self._shown is not None and not partial.final:
                self._unfinished.append(self._shown)
            for sink in self._unfinished:
                if sink is not self._latest:
                    sink.discard()
        self._shown = None

    def discard(self) -> None:
        """Remove what was written of pictures that came to nothing."""
        for arrived in self._all:
            if arrived.sink is not None:
                arrived.sink.discard()

    def forget(self) -> None:
        """Discard every picture: those of a second answer are numbered anew, and none is a copy of an earlier one."""
        self.discard()
        self._all = []
        self._latest = self._shown = None
        self._unfinished = []

    def undelivered(
        self, origin: Origin, delivered: tuple[GeneratedImage, ...], *, partials: bool
    ) -> Iterator[GeneratedImage]:
        """Yield the pictures that arrived whole and that the rest of the answer does not account for.

        Args:
            origin: What the caller knows of the call.
            delivered: The pictures that were read.
            partials: Whether a partial picture may be the finished one, as where no partials were asked for.
        """
        digests, ids = {image.sha256 for image in delivered}, {image.id for image in delivered}
        for arrived in self._all:
            if arrived.id in ids or not (arrived.final or partials):
                continue
            blob = arrived.blob()
            if blob is None or blob.sha256 in digests:
                continue
            digests.add(blob.sha256)
            ids |= {arrived.id} if arrived.id else set()
            yield GeneratedImage.of(
                blob,
                id=arrived.id or f"sha256:{blob.sha256}",
                provider=origin.provider,
                prompt=origin.prompt,
                image_model=origin.image_model,
                parents=origin.parents,
                stored=origin.stored if arrived.id else False,
            )

    def _sink(
        self, before: bytes, *, streamed: bool, expected: int, delivered: Collection[str]
    ) -> MemorySink | StoreSink | DuplicateSink | None:
        if not streamed or _COMPLETED.search(before):
            return StoreSink(self._store, expected)
        if not is_result(before):
            return MemorySink(self._store) if self._partials else StoreSink(self._store)
        if (id_of(before) or "") in self._whole(delivered):
            return None
        return DuplicateSink(self._latest, self._store) if self._latest else StoreSink(self._store)

    def _whole(self, delivered: Collection[str]) -> set[str]:
        """Return the ids of the pictures of which a good copy arrived before, as `response.completed` repeats them."""
        flawed = {arrived.id for arrived in self._all if arrived.sink is None or arrived.sink.flawed}
        return set(delivered) - flawed

    def _sink_at(self, place: int) -> MemorySink | StoreSink | DuplicateSink | None:
        return self._all[place].sink if place < len(self._all) else None

    def _linked(self, url: str) -> Blob:
        fetched = self.fetched.get(url)
        if fetched is None:
            self.wanted.append(url)
            raise LinkedError("the picture is still to be fetched from its address")
        if isinstance(fetched, ImageGenerationError):
            raise fetched
        return fetched


def id_of(before: bytes) -> str | None:
    """Return the id of the object that a picture begins in, if it stands before the picture."""
    ids = list(_ID.finditer(before))
    return ids[-1][1].decode() if ids and b"}" not in before[ids[-1].end() :] else None


def is_result(before: bytes) -> bool:
    """Return True if a picture is the finished one of an image call, by the text before it."""
    return _RESULT.search(before) is not None


def _kind(value: object) -> str:
    return repr(value)[:40] if value is None or isinstance(value, (int, float)) else type(value).__name__
