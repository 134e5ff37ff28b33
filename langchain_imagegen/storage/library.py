"""`ImageLibrary`: pictures found again by their words, day, model, thread or tag, in any process and without a server.

The index is one small note for each picture under `library/` in the image store's place. Its name begins with the
time, so that the latest pictures are found without reading the others, and ends with the digest of the bytes, so that
a picture that is deleted or pruned leaves the index too. A search reads all notes once per process.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, Self

from pydantic import ValidationError

from langchain_imagegen.errors import OptionError, UnknownImageError
from langchain_imagegen.images import notebook
from langchain_imagegen.images.image import GeneratedImage, shown
from langchain_imagegen.images.image_list import ImageList
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.storage.keys import DIGEST, LIBRARY
from langchain_imagegen.storage.store import ImageStore, default_store, store_at

_TIME = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True)
class LibraryEntry:
    """A picture of the library, and when and where it was drawn.

    `added` is the time of the entry (UTC), `model` the mainline model, `thread` the id of the LangGraph thread.
    """

    image: GeneratedImage
    added: datetime
    model: str | None = None
    thread: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of its note in the index."""
        identity = hashlib.sha256(f"{self.image.provider}/{self.image.id}".encode()).hexdigest()[:16]
        return f"{self.added.strftime(_TIME)}-{identity}-{self.image.sha256}"

    def to_json(self) -> bytes:
        """Return what the note holds."""
        facts = {"record": self.image.record(), "model": self.model, "thread": self.thread, "tags": list(self.tags)}
        return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")

    @classmethod
    def of_note(cls, name: str, data: bytes, store: ImageStore) -> Self | None:
        """Return the entry of a note, with the image's bytes read from `store`; None for a damaged one."""
        try:
            facts = json.loads(data)
            image = GeneratedImage.model_validate(facts["record"]).bind(store)
            added = datetime.strptime(name.partition("-")[0], _TIME).replace(tzinfo=UTC)
        except (ValueError, KeyError, TypeError, ValidationError):
            return None
        model, thread, tags = facts.get("model"), facts.get("thread"), facts.get("tags") or ()
        return cls(image, added, _text(model), _text(thread), tuple(tag for tag in tags if isinstance(tag, str)))


class ImageLibrary:
    """The pictures that were drawn into an image store since the library was opted into.

    `ImageGenerator(library=ImageLibrary())` adds what it draws. An entry holds prompt and record, not the bytes; it
    goes when `ImageStore.delete` or `prune` removes the picture.

    Args:
        image_store: The store, or its folder or URL (`s3://…` too); `None`: the default store.
        tags: Words that every picture added through this object gets.

    Examples:
        >>> draw = ImageGenerator(library=ImageLibrary())
        >>> draw.invoke("draw a fox in the snow")
        >>> fox = ImageLibrary().find("fox snow")[0]  # tomorrow, in another notebook
        >>> draw.invoke("make it night", images=[fox])
    """

    def __init__(
        self, image_store: ImageStore | str | os.PathLike[str] | None = None, *, tags: Iterable[str] | str = ()
    ) -> None:
        self.image_store = store_at(image_store) or default_store()
        self.tags = _words(tags)
        self._notes = self.image_store.notes(LIBRARY)

    def latest(self, count: int = 20) -> list[GeneratedImage]:
        """Return the pictures that were added last, the latest first."""
        return ImageList(entry.image for entry in self._entries_of(self._names()[: max(0, count)]))

    def find(
        self,
        text: str = "",
        *,
        day: date | str | tuple[date | str, date | str] | None = None,
        model: str | None = None,
        thread: str | None = None,
        tag: str | None = None,
        limit: int | None = None,
    ) -> list[GeneratedImage]:
        """Return the pictures that match everything that is given, the latest first.

        Args:
            text: Words that all occur in the prompt or the revised prompt, in any order and case; or a handle.
            day: A day in UTC (`"2026-11-26"` or a `date`), or the first and the last day of a span.
            model: The image model or the mainline model.
            thread: The id of the LangGraph thread that drew it.
            tag: One of its tags.
            limit: So many at most; `None`: all.

        Raises:
            OptionError: `day` is no day.
            ImageStoreError: The index cannot be read.
        """
        wanted = {"model": model, "thread": thread, "tag": tag}
        return ImageList(entry.image for entry in self.find_entries(text, day=day, limit=limit, **wanted))

    def find_entries(
        self,
        text: str = "",
        *,
        day: date | str | tuple[date | str, date | str] | None = None,
        limit: int | None = None,
        **wanted: str | None,
    ) -> list[LibraryEntry]:
        """Return the entries of the pictures that `find` returns, with the time, thread and tags of each.

        Args:
            text: As for `find`.
            day: As for `find`.
            limit: As for `find`.
            wanted: `model`, `thread` and `tag`, as for `find`.
        """
        names, limit = _within(self._names(), day), None if limit is None else max(0, limit)
        if not text and not any(wanted.values()):
            names = names[:limit]  # without reading the others
        found = (entry for entry in self._entries_of(names) if _matches(entry, text, wanted))
        return list(islice(found, limit))

    def entry(self, image: GeneratedImage | str) -> LibraryEntry:
        """Return a picture's entry, with its thread and tags.

        Args:
            image: An image or its handle.

        Raises:
            UnknownImageError: The library has no such picture.
        """
        handle = image if isinstance(image, str) else image.handle
        found = next((entry for entry in self if entry.image.handle == handle), None)
        if found is None:
            raise UnknownImageError(
                f"{handle[:40]!r} is not in this library: it was drawn without library=, into another image store, "
                "or deleted; library.find('a word of its prompt') looks for others"
            )
        return found

    def add(
        self,
        item: ImageResult | GeneratedImage,
        *,
        model: str | None = None,
        thread: str | None = None,
        tags: Iterable[str] | str = (),
    ) -> list[LibraryEntry]:
        """Add the pictures of a result, or one image, and return their entries. Pictures from the ledger are there.

        Raises:
            ImageStoreError: The index cannot be written.
        """
        result = item if isinstance(item, ImageResult) else None
        images = (item,) if isinstance(item, GeneratedImage) else item.images
        mainline = model or (result.model if result else None)
        known = self._known() if result is None or result.from_ledger else set()
        labels = (*self.tags, *_words(tags))
        now = datetime.now(UTC)
        new = [
            LibraryEntry(image, now + timedelta(microseconds=number), mainline, thread, tuple(dict.fromkeys(labels)))
            for number, image in enumerate(images)
        ]
        new = [entry for entry in new if _identity(entry.name) not in known]
        for entry in new:
            self._notes.write(entry.name, entry.to_json())
        return new

    def tag(self, image: GeneratedImage | str, *tags: str) -> LibraryEntry:
        """Add tags to a picture, and return its entry.

        Raises:
            UnknownImageError: The library has no such picture.
        """
        entry = self.entry(image)
        return self._replace(entry, dict.fromkeys((*entry.tags, *_words(tags))))

    def untag(self, image: GeneratedImage | str, *tags: str) -> LibraryEntry:
        """Remove tags from a picture, and return its entry.

        Raises:
            UnknownImageError: The library has no such picture.
        """
        entry = self.entry(image)
        return self._replace(entry, (tag for tag in entry.tags if tag not in tags))

    def remove(self, image: GeneratedImage | str) -> None:
        """Remove a picture from the library; its bytes stay. `ImageStore.delete` removes both.

        Raises:
            UnknownImageError: The library has no such picture.
        """
        self._notes.remove(self.entry(image).name)

    def clear(self) -> None:
        """Remove all entries; the bytes of the pictures stay."""
        for name, _ in self._names():
            self._notes.remove(name)

    async def alatest(self, count: int = 20) -> list[GeneratedImage]:
        """Async twin of `latest`."""
        return await asyncio.to_thread(self.latest, count)

    async def afind(self, text: str = "", **wanted: Any) -> list[GeneratedImage]:
        """Async twin of `find`."""
        return await asyncio.to_thread(self.find, text, **wanted)

    async def aadd(self, item: ImageResult | GeneratedImage, **facts: Any) -> list[LibraryEntry]:
        """Async twin of `add`."""
        return await asyncio.to_thread(self.add, item, **facts)

    def __iter__(self) -> Iterator[LibraryEntry]:
        return self._entries_of(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return partial(type(self), tags=self.tags), (self.image_store,)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __repr__(self) -> str:
        return f"ImageLibrary({self.image_store.location!r})"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        del include, exclude
        latest = self.latest(12)
        if not latest:
            return {"text/plain": f"{self!r}: no picture yet"}
        return notebook.pictures(list(map(shown, latest)), caption=f"the latest {len(latest)} of {len(self)} pictures")

    def _names(self) -> list[tuple[str, float]]:
        """Return the names of all notes with the times at which they were written, the latest picture first."""
        return [note for note in reversed(self._notes.names().items()) if _identity(note[0])]

    def _known(self) -> set[str]:
        return {_identity(name) for name, _ in self._names()}

    def _entries_of(self, names: Iterable[tuple[str, float]]) -> Iterator[LibraryEntry]:
        notes = self._notes.read_all(names)
        entries = (LibraryEntry.of_note(name, data, self.image_store) for name, data in notes)
        return (entry for entry in entries if entry is not None)

    def _replace(self, entry: LibraryEntry, tags: Iterable[str]) -> LibraryEntry:
        new = replace(entry, tags=tuple(tags))
        self._notes.write(new.name, new.to_json())
        return new


def _identity(name: str) -> str:
    """Return what tells a note's image from others; an empty string for a name that is no entry's."""
    _, _, rest = name.partition("-")
    identity, _, sha256 = rest.partition("-")
    return f"{identity}-{sha256}" if DIGEST.fullmatch(sha256) else ""


def _matches(entry: LibraryEntry, text: str, wanted: Mapping[str, str | None]) -> bool:
    """Return True if an entry has the words, and the model, thread and tag that are wanted."""
    image = entry.image
    has = {"model": (image.image_model, entry.model), "thread": (entry.thread,), "tag": entry.tags}
    if any(value is not None and value not in has[name] for name, value in wanted.items()):
        return False
    words = f"{image.prompt or ''} {image.revised_prompt or ''} {image.handle}".casefold()
    return all(word in words for word in text.casefold().split())


def _within(names: Iterable[tuple[str, float]], day: Any) -> list[tuple[str, float]]:
    """Return the names of entries that were added on a day or in a span of days."""
    if day is None:
        return list(names)
    first, last = map(_day, day if isinstance(day, tuple) else (day, day))
    return [note for note in names if first <= note[0][:8] <= last]


def _day(value: date | str) -> str:
    try:
        given = value if isinstance(value, date) else date.fromisoformat(value)
    except (ValueError, TypeError):
        raise OptionError(f"day={str(value)[:40]!r} is no day: write it as '2026-11-26'") from None
    return given.strftime("%Y%m%d")


def _words(tags: Iterable[str] | str) -> tuple[str, ...]:
    words = (tags,) if isinstance(tags, str) else tuple(tags)
    if not all(isinstance(word, str) and word for word in words):
        raise OptionError(f"tags={str(words)[:60]}: give texts, such as tags=['fox', 'draft']")
    return words


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
