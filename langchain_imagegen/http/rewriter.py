"""Moves the pictures of an HTTP answer into the image store and puts a token in their place.

No client and no connection is known here. Only `Reader.fill` and `Reader.discard` touch the store, so that the async
transport can run them in a thread. A picture that cannot be stored passes unchanged.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from langchain_imagegen.errors import CorruptImageError, ImageGenerationError
from langchain_imagegen.http.usage import UsageFinder
from langchain_imagegen.storage.store import ImageStore
from langchain_imagegen.storage.writer import BlobWriter
from langchain_imagegen.streaming.arrivals import id_of, is_result
from langchain_imagegen.streaming.decoder import Sink
from langchain_imagegen.streaming.extractor import Extractor, Gap
from langchain_imagegen.streaming.placeholders import write_token
from langchain_imagegen.streaming.sinks import WRITE_SIZE

Parts = Sequence["bytes | Gap"]

logger = logging.getLogger(__name__)

_BEGINNING = 4096
_RESPONSE_ID = re.compile(rb'"id"\s*:\s*"(resp_[\w-]{1,128})"')


class StoredCall(NamedTuple):
    """An image call whose finished picture is in the store: the call's id if it is known, and the picture's token."""

    id: str | None
    token: str


@dataclass
class Arrived:
    """What has arrived of an answer: the response id, the image calls whose pictures are stored, the image tokens."""

    response_id: str | None = None
    calls: list[StoredCall] = field(default_factory=list)
    tokens: UsageFinder = field(default_factory=UsageFinder)

    def clear(self) -> None:
        """Forget the answer: the request is sent again."""
        self.response_id = None
        self.calls.clear()
        self.tokens = UsageFinder()


class Picture(Sink):
    """A picture on its way into the store, whose original text can still be restored."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._writer: BlobWriter | None = None
        self._waiting: list[bytes] = []
        self._held = self._written = 0
        self._group = self._last = b""
        self._spilled: list[bytes] = []
        self._fault: str | None = None

    @property
    def due(self) -> bool:
        """True if a whole piece is buffered; after a fault everything stays buffered."""
        return self._held >= WRITE_SIZE and self._fault is None

    def known(self, text: memoryview) -> bool:
        """Return False. Keep the last group of characters, which base64 may spell in several ways."""
        self._group = bytes(text[-4:])
        return False

    def write(self, data: bytes) -> None:
        """Buffer the next bytes."""
        self._waiting.append(data)
        self._held += len(data)
        self._last = self._group

    def spill(self, text: bytes) -> None:
        """Keep text that is not base64 as it stands in the JSON."""
        self._spilled.append(text)

    def close(self, error: str | None = None) -> None:
        """End the string."""
        self._fault = self._fault or error

    def flush(self) -> None:
        """Hash and write what is buffered; it stays buffered if the store fails."""
        if self._fault is not None or not self._held:
            return
        data = b"".join(self._waiting)
        try:
            self._writer = self._writer or self._store.writer()
            self._writer.write(data)
        except ImageGenerationError as error:
            self._fault = str(error)
            return
        self._waiting.clear()
        self._written += self._held
        self._held = 0

    def token(self, stored: set[str]) -> str:
        """Store the picture and return its token; `stored` holds the digests of pictures stored before.

        Raises:
            ImageGenerationError: the picture is not stored; `text` returns it as it came.
        """
        self.flush()
        if self._fault is not None or self._writer is None:
            raise CorruptImageError(self._fault or "it is empty")
        media = self._writer.media
        if media is None or self._writer.sha256 not in stored:
            blob = self._writer.commit()
            stored.add(blob.sha256)
            return write_token(blob.sha256, blob.mime_type)
        return write_token(self._writer.sha256, media.mime_type)

    def text(self) -> bytes:
        """Return the original string without its quotes."""
        from pybase64 import b64encode

        written = self._writer.read(0, self._written) if self._writer else b""
        encoded = b64encode(b"".join((written, *self._waiting)))
        return b"".join((encoded[: -len(self._last)] if self._last else encoded, self._last, *self._spilled))

    def discard(self) -> None:
        """Remove what was written of a picture that is not stored."""
        if self._writer is not None:
            self._writer.abort()


class Reader:
    """Rewrites one answer: the client gets `fill(split(chunk))` for each chunk.

    Args:
        store: Where pictures go.
        arrived: Gets the response id, and each image call whose picture was stored; nothing of partial pictures.
    """

    def __init__(self, store: ImageStore, arrived: Arrived | None = None) -> None:
        self._store = store
        self._arrived = arrived or Arrived()
        self._beginning = b""
        self._ids: dict[int, str | None] = {}
        self._extractor = Extractor(self._open)
        self._pictures: dict[int, Picture] = {}
        self._count = 0
        self._stored: set[str] = set()
        self._logged: set[str] = set()
        self._using = threading.Lock()  # a cancelled task discards while its thread still fills

    @property
    def has_open(self) -> bool:
        """True if a picture has begun and not ended."""
        return bool(self._pictures)

    def split(self, chunk: bytes) -> Parts:
        """Return text, with gaps where pictures ended; the store is not touched."""
        return self._extractor.split(chunk)

    def split_rest(self) -> Parts:
        """Return what was held back when the answer ended."""
        return self._extractor.split_rest()

    def is_due(self, parts: Parts) -> bool:
        """Return True if `fill` will touch the store for these parts."""
        return any(isinstance(part, Gap) for part in parts) or any(each.due for each in self._pictures.values())

    def fill(self, parts: Parts) -> bytes:
        """Return the text with a token or the original picture in each gap; write what is buffered of the next one."""
        with self._using:
            text = b"".join(self._string(part) if isinstance(part, Gap) else part for part in parts)
            self._note_id(text)
            self._arrived.tokens.feed(text)
            for picture in self._pictures.values():
                if picture.due:
                    picture.flush()
            return text

    def discard(self) -> None:
        """Remove what was written of pictures that did not end."""
        with self._using:
            pictures, self._pictures = self._pictures, {}
            _discard(pictures.values())

    def _note_id(self, text: bytes) -> None:
        """Look for the response id at the beginning of the answer."""
        if self._arrived.response_id is None and len(self._beginning) < _BEGINNING:
            self._beginning += text[:_BEGINNING]
            found = _RESPONSE_ID.search(self._beginning)
            self._arrived.response_id = found and found[1].decode()

    def _open(self, before: bytes) -> Picture:
        picture = self._pictures[self._count] = Picture(self._store)
        if is_result(before):
            self._ids[self._count] = id_of(before)
        self._count += 1
        return picture

    def _string(self, gap: Gap) -> bytes:
        picture = self._pictures.pop(gap.number)
        try:
            token = picture.token(self._stored)
            if gap.number in self._ids:
                self._arrived.calls.append(StoredCall(self._ids[gap.number], token))
            return b'"%b"' % token.encode()
        except ImageGenerationError as error:
            self._tell(str(error))
            return b'"%b%b' % (picture.text(), b'"' if gap.closed else b"")
        finally:
            picture.discard()

    def _tell(self, reason: str) -> None:
        if reason not in self._logged:
            self._logged.add(reason)
            logger.warning("a picture is not taken out of an answer and passes as base64: %s", reason)


def _discard(pictures: Iterable[Picture]) -> None:
    for picture in pictures:
        picture.discard()
