"""`ImageMemory`: the ordered images of a conversation and their family tree; the graph state's channel for them.

Bytes never enter it, and a store is never asked what there is: truth comes from messages and the state's channel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_imagegen.conversation.channel import _of_state, as_update, channel_of, merge_record, values_of
from langchain_imagegen.conversation.messages import images_in, images_of_result
from langchain_imagegen.errors import ImageStoreError, UnknownImageError
from langchain_imagegen.images import notebook
from langchain_imagegen.images.image import GeneratedImage, is_record, name_of
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.storage.store import ImageStore, default_store

_SHORTEST = 8
_LISTED = 20
_DIGITS = 9  # of an ordinal; `int` refuses some thousands of them


class ImageMemory:
    """The images of a conversation in order of appearance.

    A snapshot made by `from_state` or `from_messages` stands for itself: changing it changes no state.

    Args:
        images: Images, results or records to begin with.
        image_store: Where their bytes are read; `None` is the default store.
    """

    def __init__(
        self,
        images: Iterable[GeneratedImage | ImageResult | Mapping[str, Any]] = (),
        *,
        image_store: ImageStore | None = None,
    ) -> None:
        self._store = image_store
        self._records: dict[str, Mapping[str, Any]] = {}
        self._images: dict[str, GeneratedImage] = {}
        self._order: list[str] = []
        self._buckets: dict[str, list[str]] = {}
        self.add(*images)

    @classmethod
    def from_messages(cls, messages: Iterable[object], *, image_store: ImageStore | None = None) -> ImageMemory:
        """The images in some messages: our tool's, hosted calls of any `output_version`, and the user's own."""
        return cls(images_in(messages, image_store or default_store()), image_store=image_store)

    @classmethod
    def from_state(
        cls,
        state: object,
        *,
        image_store: ImageStore | None = None,
        messages_key: str | None = None,
        trust: str = "all",
    ) -> ImageMemory:
        """The images of a graph state or an agent's result: its channel and its messages, merged.

        Args:
            state: A mapping, an object with the state's keys as attributes, or a snapshot that `get_state` gave.
            image_store: Where bytes are read, and put where a message still holds some.
            messages_key: Name of the state's messages; `None`: `messages`, else the first list of messages.
            trust: `"channel"` believes the channel alone; for servers whose clients may write messages.

        Raises:
            TypeError: the state uses the channel's name for something else.
        """
        state = values_of(state)
        records = channel_of(state)
        if trust == "channel":
            return cls(records.values(), image_store=image_store)
        found = images_in(messages_of(state, messages_key), image_store or default_store())
        told = as_update(found)
        memory = cls(({**told, **records}[id] for id in joined(list(records), told)), image_store=image_store)
        memory.add(*found)
        return memory

    def add(self, *items: GeneratedImage | ImageResult | Mapping[str, Any]) -> None:
        """Remember images; what is known of an image already is merged, and its place kept."""
        for item in items:
            if isinstance(item, ImageResult):
                self.add(*images_of_result(item))
            elif isinstance(item, GeneratedImage):
                self._add(item.record())
            elif is_record(item):
                self._add(item)
            else:
                raise TypeError(
                    f"an ImageMemory holds GeneratedImage, ImageResult or records, not {type(item).__name__}"
                )

    @property
    def image_store(self) -> ImageStore:
        """Where bytes are put that come without a store."""
        return default_store() if self._store is None else self._store

    @property
    def latest(self) -> GeneratedImage | None:
        """The image that came last; `None` while there is none."""
        return self._image(self._order[-1]) if self._order else None

    def get(self, reference: object) -> GeneratedImage:
        """The image that a handle, a unique beginning of one, an ordinal from `"1"`, `"last"` or a call id names.

        Raises:
            UnknownImageError: there is none such, or several; it lists the handles there are.
        """
        return self._image(self._id(reference))

    def handle(self, reference: object) -> str:
        """The handle of an image, longer than `img_` and 8 digits where another image here begins alike."""
        return self._handle(self._id(reference))

    def lineage(self, reference: object) -> list[GeneratedImage]:
        """The ancestors of an image, the oldest first, and last the image itself."""
        done: dict[str, None] = {}
        begun: set[str] = set()
        ahead = [self._id(reference)]
        while ahead:
            id = ahead[-1]
            if id in begun:
                done.setdefault(ahead.pop())
                continue
            begun.add(id)
            ahead += [parent for parent in reversed(self._parents(id)) if parent not in begun]
        return [self._image(id) for id in done]

    def children(self, reference: object) -> list[GeneratedImage]:
        """The images made directly from one, in order."""
        parent = self._id(reference)
        return [self._image(id) for id in self._order if parent in self._parents(id)]

    def to_records(self) -> list[dict[str, Any]]:
        """The memory as plain JSON; `ImageMemory(records)` gives it back."""
        return [dict(self._records[id]) for id in self._order]

    def __iter__(self) -> Iterator[GeneratedImage]:
        return (self._image(id) for id in self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, reference: object) -> bool:
        return len(self._find(_written(reference))) == 1

    def __repr__(self) -> str:
        return f"ImageMemory({', '.join(map(self._handle, self._order[-5:]))}; {len(self)} in all)"

    def _add(self, record: Mapping[str, Any]) -> None:
        id, fresh = record["id"], dict(record)
        known = self._records.setdefault(id, fresh)  # one step: threads of a batch may bring the same image
        if known is fresh:
            self._buckets.setdefault(self._name(id)[:_SHORTEST], []).append(id)
            self._order.append(id)
        else:
            self._records[id] = merge_record(known, fresh)
            self._images.pop(id, None)

    def _id(self, reference: object) -> str:
        found = self._find(_written(reference))
        if len(found) == 1:
            return found[0]
        known = [self._handle(id) for id in self._order]
        if found:
            names = ", ".join(map(self._handle, found))
            raise UnknownImageError(f"{reference!r} names several images: {names}; use more digits", known=known)
        raise UnknownImageError(f"no image {reference!r}; {_those(known)}", known=known)

    def _image(self, id: str) -> GeneratedImage:
        if id not in self._images:
            self._images[id] = GeneratedImage.model_validate(self._records[id]).bind(self._store)
        return self._images[id]

    def _find(self, reference: str) -> Sequence[str]:
        if reference == "last":
            return self._order[-1:]
        if reference in self._records:
            return [reference]
        if reference.isdecimal() and len(reference) <= _DIGITS:
            position = int(reference)
            return self._order[position - 1 : position] if position else []
        return self._beginning(reference.removeprefix("img_").lower()) if reference.startswith("img_") else []

    def _beginning(self, digits: str) -> list[str]:
        """Ids of the images whose name begins with some hex digits; one look-up from 8 digits on."""
        if len(digits) >= _SHORTEST:
            near = self._buckets.get(digits[:_SHORTEST], [])
            return [id for id in near if self._name(id).startswith(digits)]
        return [id for start, ids in self._buckets.items() if digits and start.startswith(digits) for id in ids]

    def _handle(self, id: str) -> str:
        name, length = self._name(id), _SHORTEST
        rivals = [self._name(other) for other in self._beginning(name[:length]) if other != id]
        while any(rival.startswith(name[:length]) for rival in rivals):
            length += 1
        return f"img_{name[:length]}"

    def _name(self, id: str) -> str:
        return name_of(self._records[id].get("provider") or "", id)

    def _parents(self, id: str) -> list[str]:
        return [parent for parent in self._records[id].get("parents") or () if parent in self._records]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """The family tree, as a notebook shows it."""
        del include, exclude
        text, html = notebook.tree([self._node(id, depth) for id, depth in self._family()])
        return {"text/plain": text, "text/html": html}

    def _family(self) -> Iterator[tuple[str, int]]:
        """Each image below the first of its parents, and its depth; a circle of parents begins anywhere."""
        below: dict[str | None, list[str]] = {}
        for id in self._order:
            below.setdefault(next(iter(self._parents(id)), None), []).append(id)
        shown: set[str] = set()
        for root in (*below.get(None, ()), *self._order):
            ahead = [(root, 0)]
            while ahead:
                id, depth = ahead.pop()
                if id not in shown:
                    shown.add(id)
                    yield id, depth
                    ahead += [(child, depth + 1) for child in reversed(below.get(id, ()))]

    def _node(self, id: str, depth: int) -> dict[str, Any]:
        record = self._records[id]
        label = str(record.get("prompt") or record.get("revised_prompt") or "sent by the user")[:80]
        others = ", ".join(map(self._handle, self._parents(id)[1:]))
        named = f"{label} (with {others})" if others else label
        return {"name": self._handle(id), "label": named, "depth": depth, "picture": self._thumbnail(id)}

    def _thumbnail(self, id: str) -> str:
        try:
            return notebook.thumbnail(self._image(id).read(), alt=self._handle(id))
        except ImageStoreError:  # the tree is worth seeing without it
            return ""


def _written(reference: object) -> str:
    return reference.id if isinstance(reference, GeneratedImage) else str(reference).strip()


def joined(remembered: Sequence[str], seen: Iterable[str]) -> list[str]:
    """One order out of two: an id that only the messages tell stands before what follows it there, else at the end."""
    places = set(remembered)
    before: dict[str, list[str]] = {}
    ahead: list[str] = []
    for id in seen:
        if id in places:
            before[id], ahead = ahead, []
        else:
            ahead.append(id)
    return [*(each for id in remembered for each in (*before.get(id, ()), id)), *ahead]


def messages_of(state: object, key: str | None) -> Sequence[object]:
    """The messages of a graph state: under `key`, else under `messages`, else the first list of messages."""
    named = _of_state(state, key or "messages")
    if named is not None or key:
        return named or ()
    values = state.values() if isinstance(state, Mapping) else vars(state).values()
    lists = (value for value in values if isinstance(value, list) and value and isinstance(value[-1], BaseMessage))
    return next(lists, ())


def _those(known: Sequence[str]) -> str:
    if not known:
        return "there is no image in this conversation yet: draw one first"
    more = f"{len(known) - _LISTED} older, " if len(known) > _LISTED else ""
    return f"known here, oldest first: {more}{', '.join(known[-_LISTED:])}; or 'last'"
