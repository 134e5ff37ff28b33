"""The pictures of one answer in the order in which they arrive, and what of them can be delivered in any case."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from langchain_imagegen.errors import CorruptImageError
from langchain_imagegen.images.image import GeneratedImage, Origin
from langchain_imagegen.images.sniffing import Blob
from langchain_imagegen.streaming.sinks import DuplicateSink, MemorySink, StoreSink

_ID = re.compile(rb'"(?:item_)?id"\s*:\s*"([\w-]{1,128})"')
_RESULT = re.compile(rb'"result"\s*:\s*(?:[\[{][^{}\[\]]*)?\Z')


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


def id_of(before: bytes) -> str | None:
    """Return the id of the object that a picture begins in, if it stands before the picture."""
    ids = list(_ID.finditer(before))
    return ids[-1][1].decode() if ids and b"}" not in before[ids[-1].end() :] else None


def is_result(before: bytes) -> bool:
    """Return True if a picture is the finished one of an image call, by the text before it."""
    return _RESULT.search(before) is not None


def undelivered(
    arrivals: list[Arrival], origin: Origin, delivered: tuple[GeneratedImage, ...], *, partials: bool
) -> Iterator[GeneratedImage]:
    """Yield the pictures that arrived whole and that the rest of the answer does not account for.

    Args:
        arrivals: What was taken out of the answer.
        origin: What the caller knows of the call.
        delivered: The pictures that were read.
        partials: Whether a partial picture may be the finished one, as where no partials were asked for.
    """
    digests, ids = {image.sha256 for image in delivered}, {image.id for image in delivered}
    for arrived in arrivals:
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
