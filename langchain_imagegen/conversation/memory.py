"""`ImageMemory`: the ordered images of a conversation and their family tree.

It holds no bytes, and never asks a store which images exist: messages and the state's channel say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from langchain_imagegen.conversation.channel import (
    channel_of,
    images_of_result,
    merge_into,
    merge_record,
)
from langchain_imagegen.conversation.content_blocks import name_in
from langchain_imagegen.conversation.family_tree import tree_node, tree_order
from langchain_imagegen.conversation.messages import found_in
from langchain_imagegen.conversation.order import CallOrder
from langchain_imagegen.conversation.records import Record, clean_record, read_record
from langchain_imagegen.conversation.states import joined, messages_of, values_of
from langchain_imagegen.errors import UnknownImageError
from langchain_imagegen.images import notebook
from langchain_imagegen.images.image import GeneratedImage, is_record, name_of
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.storage.store import ImageStore, default_store

_SHORTEST = 8  # hex digits of a handle
_LISTED = 20
_DIGITS = 9  # of an ordinal; `int` refuses text of some thousands of them
_QUOTED = 40  # characters of a reference in an error
_UPLOADED = ("user", "tool")


class ImageMemory:
    """The images of a conversation in order of appearance.

    It works like a list (`memory[0]`, `memory[-3:]`) and like a dict (`memory["last"]`, `memory["img_1a2b3c4d"]`).
    A memory made by `from_state` or `from_messages` is a copy: changing it changes no state.

    Args:
        images: Images, results or records to begin with.
        image_store: Where the bytes of the images are read; `None` is the default store.
    """

    def __init__(
        self,
        images: Iterable[GeneratedImage | ImageResult | Mapping[str, Any]] = (),
        *,
        image_store: ImageStore | None = None,
    ) -> None:
        self._store = image_store
        self._records: dict[str, Record] = {}
        self._images: dict[str, GeneratedImage] = {}
        self._order = CallOrder()
        self._names: dict[str, str] = {}
        self._buckets: dict[str, list[str]] = {}
        self._digests: dict[str, str] = {}
        self._unclaimed: list[ImageResult] = []
        self.add(*images)

    @classmethod
    def from_messages(cls, messages: Iterable[object], *, image_store: ImageStore | None = None) -> ImageMemory:
        """Return the images in some messages: drawn by our tool or by a model, returned by tools, sent by the user."""
        return cls(found_in(messages, image_store or default_store()), image_store=image_store)

    @classmethod
    def from_state(
        cls,
        state: object,
        *,
        image_store: ImageStore | None = None,
        messages_key: str | None = None,
        trust: str = "all",
    ) -> ImageMemory:
        """Return the images of a graph state or an agent's result: those of its channel and its messages, merged.

        Clients can write messages. So the record in the channel is the truth about an image that both name; a message
        only adds ways of naming it that have failed.

        Args:
            state: A mapping, an object with the state's keys as attributes, or a snapshot that `get_state` gave.
            image_store: Where bytes are read, and where they are put if a message still holds some.
            messages_key: Name of the state's messages; `None`: `messages`, else the first list of messages.
            trust: `"channel"` reads the channel alone; for servers whose clients may write messages.

        Raises:
            TypeError: the state uses the channel's name for something else.
        """
        state = values_of(state)
        records = channel_of(state)
        if trust == "channel":
            return cls(records.values(), image_store=image_store)
        seen: dict[str, Record] = {}
        for found in found_in(messages_of(state, messages_key), image_store or default_store()):
            record = found.record() if isinstance(found, GeneratedImage) else found
            merge_into(seen, {record["id"]: record})
        memory = cls(image_store=image_store)
        memory._digests.update((records[id]["sha256"], id) for id in reversed(records))
        for id in joined(list(records), seen):
            memory._remember(records.get(id) or seen[id])
        for id in seen.keys() & records.keys():
            memory._remember({**records[id], "dead_rungs": seen[id].get("dead_rungs")})
        return memory

    def add(self, *items: GeneratedImage | ImageResult | Mapping[str, Any], place: int | None = None) -> None:
        """Remember images. A known image keeps its place, and what is new about it is merged.

        `place` is what `reserve` gave when the call began; without one, new images come last.
        A picture that was sent or saved and comes back as an upload is the known picture, not a new one.
        """
        for item in items:
            if isinstance(item, ImageResult):
                self.add(*images_of_result(item), place=place)
            elif isinstance(item, GeneratedImage):
                self._remember(item.record(), place)
            elif is_record(item):
                if record := clean_record(item):
                    self._remember(record, place)
            else:
                raise TypeError(
                    f"an ImageMemory holds GeneratedImage, ImageResult or records, not {type(item).__name__}"
                )

    def unclaimed(self) -> list[ImageResult]:
        """Return the results of calls that were cancelled or interrupted, in the order in which they arrived.

        They are no part of the memory, so that `"last"` does not change by itself; `memory.add(result)` claims one.
        """
        return [result for result in list(self._unclaimed) if any(i.id not in self._records for i in result.images)]

    def keep_unclaimed(self, result: ImageResult) -> None:
        """Keep a result that nobody waits for any more."""
        self._unclaimed.append(result)

    def reserve(self) -> int:
        """Return the place of a call that begins, so that order is that of calls and not of their ends."""
        return self._order.reserve()

    @property
    def image_store(self) -> ImageStore:
        """The store in which the images find their bytes."""
        return default_store() if self._store is None else self._store

    @property
    def latest(self) -> GeneratedImage | None:
        """The image that came last; `None` if there is none."""
        return self._image(self._order[-1]) if self._order else None

    def get(self, reference: object) -> GeneratedImage:
        """Return the image that a reference names.

        Args:
            reference: A handle or a unique beginning of one, an ordinal from `"1"`, `"last"`, a call id, an image, a
                result of one image, a record, an image block or the picture's bytes.

        Raises:
            UnknownImageError: it names no image here, or several; the error lists the handles there are.
        """
        return self._image(self._id(reference))

    def handle(self, reference: object) -> str:
        """Return the handle of an image: `img_` and 8 digits, or more if another image here begins alike."""
        return self._handle(self._id(reference))

    def lineage(self, reference: object) -> list[GeneratedImage]:
        """Return the ancestors of an image, the oldest first, and the image itself last."""
        done: dict[str, None] = {}
        begun: set[str] = set()
        ahead = list(reversed(self._ids(reference)))
        while ahead:
            id = ahead[-1]
            if id in begun:
                done.setdefault(ahead.pop())
                continue
            begun.add(id)
            ahead += [parent for parent in reversed(self._parents(id)) if parent not in begun]
        return [self._image(id) for id in done]

    def children(self, reference: object) -> list[GeneratedImage]:
        """Return the images made directly from an image, in order."""
        parents = set(self._ids(reference))
        return [self._image(id) for id in self._order if parents.intersection(self._parents(id))]

    def digests(self) -> set[str]:
        """Return the digests of all bytes that the images need, for `ImageStore.prune(keep=memory)`."""
        named = ((record["sha256"], record.get("sent_sha256")) for record in self._records.values())
        return {digest for digests in named for digest in digests if isinstance(digest, str)}

    def to_records(self) -> list[dict[str, Any]]:
        """Return the memory as plain JSON; `ImageMemory(records)` makes the same memory again."""
        return [dict(self._records[id]) for id in self._order]

    def __iter__(self) -> Iterator[GeneratedImage]:
        return (self._image(id) for id in self._order)

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, reference: slice) -> list[GeneratedImage]: ...  # type: ignore[overload-overlap]

    @overload
    def __getitem__(self, reference: object) -> GeneratedImage: ...

    def __getitem__(self, reference: object) -> GeneratedImage | list[GeneratedImage]:
        """Return images by position as a list does (`memory[0]` is the first), and by reference as `get` does."""
        if isinstance(reference, slice):
            return [self._image(id) for id in self._order[reference]]
        if isinstance(reference, int) and not isinstance(reference, bool):
            return self._image(self._order[reference])
        return self.get(reference)

    def __contains__(self, reference: object) -> bool:
        return len(self._find(reference)) == 1

    def __repr__(self) -> str:
        return f"ImageMemory({', '.join(map(self._handle, self._order[-5:]))}; {len(self)} in all)"

    def __getstate__(self) -> dict[str, Any]:
        return {"_store": self._store, "_records": self._records, "_order": list(self._order)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Build the indexes anew: version 0.1.0 had others."""
        self.__init__((state["_records"][id] for id in state["_order"]), image_store=state["_store"])  # type: ignore[misc]

    def _remember(self, record: Record, place: int | None = None) -> None:
        """Add a checked record, which the memory may keep."""
        id, digest = record["id"], record["sha256"]
        if self._digests.get(digest, id) != id and _is_upload(record):
            return
        name = name_of(record.get("provider") or "", id)
        known = self._records.setdefault(id, record)  # one step: threads of a batch may bring the same image
        if known is record:
            self._index(id, name)
            self._digests.setdefault(digest, id)
            self._order.put(id, place)
            return
        self._records[id] = merged = merge_record(known, record)
        self._images.pop(id, None)
        if (name := name_of(merged.get("provider") or "", id)) != self._names.get(id):
            self._index(id, name)

    def _index(self, id: str, name: str) -> None:
        """Let an image be found by its name, and by an earlier name of it no more."""
        if earlier := self._names.get(id):
            self._buckets[earlier[:_SHORTEST]].remove(id)
        self._names[id] = name
        self._buckets.setdefault(name[:_SHORTEST], []).append(id)

    def _id(self, reference: object) -> str:
        found = self._find(reference)
        if len(found) == 1:
            return found[0]
        known = [self._handle(id) for id in self._order]
        if found:
            names = ", ".join(map(self._handle, found[:_LISTED]))
            more = f" and {len(found) - _LISTED} others" if len(found) > _LISTED else ""
            raise UnknownImageError(
                f"{_quoted(reference)} names several images: {names}{more}; {_advice(reference)}", known=known
            )
        raise UnknownImageError(f"no image {_quoted(reference)}; {_listed(known)}", known=known)

    def _ids(self, reference: object) -> list[str]:
        """Return the ids of all images that a reference names; a result stands for all its images."""
        several = reference.images if isinstance(reference, ImageResult) else reference
        items = several if isinstance(several, (list, tuple)) else [several]
        return list(dict.fromkeys(self._id(item) for item in items))

    def _image(self, id: str) -> GeneratedImage:
        if id not in self._images:
            image = read_record(self._records[id])
            if image is None:
                raise UnknownImageError(f"the record of {self._handle(id)} cannot be read: draw the picture again")
            self._images[id] = image.bind(self._store)
        return self._images[id]

    def _find(self, reference: object) -> Sequence[str]:
        """Return the ids of the images that a reference may mean."""
        if isinstance(reference, ImageResult):
            found = [id for image in reference.images for id in self._find(image)]
            return list(dict.fromkeys(found))
        text = name_in(reference)
        if text == "last":
            return self._order[-1:]
        if text in self._records:
            return [text]
        if text.startswith("sha256:"):
            return [self._digests[text[7:]]] if text[7:] in self._digests else []
        if text.isdecimal() and len(text) <= _DIGITS:
            position = int(text)
            return self._order[position - 1 : position] if position else []
        return self._beginning(text.removeprefix("img_").lower()) if text.startswith("img_") else []

    def _beginning(self, digits: str) -> list[str]:
        """Return the ids of the images whose name begins with some hex digits; one look-up from 8 digits on."""
        if len(digits) >= _SHORTEST:
            near = self._buckets.get(digits[:_SHORTEST], [])
            return [id for id in near if self._names[id].startswith(digits)]
        return [id for start, ids in self._buckets.items() if digits and start.startswith(digits) for id in ids]

    def _handle(self, id: str) -> str:
        name, length = self._names[id], _SHORTEST
        rivals = [self._names[other] for other in self._beginning(name[:length]) if other != id]
        while any(rival.startswith(name[:length]) for rival in rivals):
            length += 1
        return f"img_{name[:length]}"

    def _parents(self, id: str) -> list[str]:
        """Return the ids of the known images that an image was made from."""
        found = (self._find(parent) for parent in self._records[id].get("parents") or () if _is_id(parent))
        return list(dict.fromkeys(parent for each in found for parent in each))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Return the family tree as a notebook shows it."""
        del include, exclude
        parents = {id: self._parents(id) for id in self._order}
        nodes = [
            tree_node(self._image(id), self._handle(id), depth, others=list(map(self._handle, parents[id][1:])))
            for id, depth in tree_order(parents)
        ]
        text, html = notebook.tree(nodes)
        return {"text/plain": text, "text/html": html}


def _is_upload(record: Mapping[str, Any]) -> bool:
    return record.get("origin") in _UPLOADED and record["id"] == f"sha256:{record['sha256']}"


def _is_id(parent: str) -> bool:
    """True if a parent is written as an id; records hold no ordinals and no handles."""
    return parent != "last" and not parent.isdecimal() and not parent.startswith("img_")


def _quoted(reference: object) -> str:
    return repr(reference[:_QUOTED] if isinstance(reference, str) else reference)[: _QUOTED + 2]


def _advice(reference: object) -> str:
    return "give one of its images" if isinstance(reference, ImageResult) else "use more digits"


def _listed(known: Sequence[str]) -> str:
    if not known:
        return "there is no image in this conversation yet: draw one first"
    more = f"{len(known) - _LISTED} older, " if len(known) > _LISTED else ""
    return f"known here, oldest first: {more}{', '.join(known[-_LISTED:])}; or 'last'"
