"""`ImageMemory`: the ordered images of a conversation and their family tree.

It holds no bytes, and never asks a store which images exist: messages and the state's channel say so.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, overload

from langchain_imagegen.conversation.channel import (
    channel_of,
    images_of_result,
    merge_into,
)
from langchain_imagegen.conversation.content_blocks import name_in
from langchain_imagegen.conversation.index import RecordIndex
from langchain_imagegen.conversation.memory_views import MemoryViews
from langchain_imagegen.conversation.messages import found_in
from langchain_imagegen.conversation.records import Record, clean_record, is_trace, read_record, trace_of
from langchain_imagegen.conversation.spending import cost_of_images
from langchain_imagegen.conversation.states import joined, messages_of, values_of
from langchain_imagegen.conversation.unknown import unknown_image
from langchain_imagegen.errors import OptionError, UnknownImageError
from langchain_imagegen.images.cost import Cost
from langchain_imagegen.images.image import GeneratedImage, digests_in, is_record
from langchain_imagegen.images.image_list import ImageList
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.storage.store import ImageStore, default_store, store_at


class ImageMemory(MemoryViews):
    """The images of a conversation in order of appearance.

    It works like a list (`memory[0]`, `memory[-3:]`) and like a dict (`memory["last"]`, `memory["img_1a2b3c4d"]`).
    A memory made by `from_state` or `from_messages` is a copy: changing it changes no state.

    Args:
        images: Images, results or records to begin with.
        image_store: Where the bytes of the images are read, or its folder or URL; `None` is the default store.
    """

    def __init__(
        self,
        images: Iterable[GeneratedImage | ImageResult | Mapping[str, Any]] = (),
        *,
        image_store: ImageStore | str | os.PathLike[str] | None = None,
    ) -> None:
        self._store = store_at(image_store)
        self._index = RecordIndex()
        self._read: dict[str, tuple[Record, GeneratedImage]] = {}
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
            OptionError: `trust` is neither `"all"` nor `"channel"`.
            TypeError: the state uses the channel's name for something else.
        """
        check_trust(trust)
        state = values_of(state)
        records = channel_of(state)
        if trust == "channel":
            return cls(records.values(), image_store=image_store)
        seen: dict[str, Record] = {}
        for found in found_in(messages_of(state, messages_key), image_store or default_store()):
            record = found.record() if isinstance(found, GeneratedImage) else found
            merge_into(seen, {record["id"]: record})
        memory = cls(image_store=image_store)
        memory.add(*(records.pop(id) for id in [id for id, record in records.items() if is_trace(record)]))
        index = memory._index
        index.claim_digests(records)
        for id in joined(list(records), seen):
            index.put(records.get(id) or seen[id])
        for id in seen.keys() & records.keys():
            index.put({**records[id], "dead_rungs": seen[id].get("dead_rungs")})
        return memory

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, image_store: ImageStore | None = None) -> Self:
        """Return the memory that `dump` wrote; its pictures, if they came along, go into the image store.

        Args:
            path: The ZIP file or folder. Every picture is checked against its digest.
            image_store: Where the bytes of the images are put and read; `None` is the default store.

        Raises:
            OptionError: It is nothing that `dump` wrote.
            FileNotFoundError: Nothing is there.
        """
        from langchain_imagegen.conversation.portable import read_records, restore_pictures

        memory = cls(
            (each for each in read_records(path) if is_record(each) or is_trace(each)), image_store=image_store
        )
        restore_pictures(memory, path, memory.image_store)
        return memory

    def forget(self, reference: object) -> dict[str, dict[str, Any]]:
        """Forget an image, and return the update that makes a graph's state forget it too.

        Write it to the channel: `graph.update_state(config, {"generated_images": memory.forget("last")})`, or return it
        from a node. Id and digest stay there, so that no older message brings the image back, nor does an upload of it.
        Images made from it stay, and so do its bytes (`ImageStore.delete`), its response at the service
        (`ImageGenerator.delete_remote`), messages and earlier checkpoints.

        Args:
            reference: As for `get`; a result stands for all its images.

        Raises:
            UnknownImageError: as `get`.
        """
        update = {id: trace_of(self._index.records[id]) for id in self._ids(reference)}
        for trace in update.values():
            self._forget(trace)
        return update

    def has_forgotten(self, reference: object) -> bool:
        """Return True if a handle or id names an image that was forgotten here."""
        return self._index.has_forgotten(name_in(reference))

    def add(self, *items: GeneratedImage | ImageResult | Mapping[str, Any], place: int | None = None) -> None:
        """Remember images. A known image keeps its place, and what is new about it is merged.

        `place` is what `reserve` gave when the call began; without one, new images come last.
        A picture that was sent or saved and comes back as an upload is the known picture, not a new one.
        """
        for item in items:
            if isinstance(item, ImageResult):
                self.add(*images_of_result(item), place=place)
            elif isinstance(item, GeneratedImage):
                self._index.put(item.record(), place)
            elif is_trace(item):
                self._forget(trace_of(item))
            elif is_record(item):
                if record := clean_record(item):
                    self._index.put(record, place)
            else:
                raise TypeError(
                    f"an ImageMemory holds GeneratedImage, ImageResult or records, not {type(item).__name__}"
                )

    def unclaimed(self) -> list[ImageResult]:
        """Return the results of calls that were cancelled or interrupted, in the order in which they arrived.

        They are no part of the memory, so that `"last"` does not change by itself; `memory.add(result)` claims one.
        """
        return [result for result in list(self._unclaimed) if not self._knows(result)]

    def _knows(self, result: ImageResult) -> bool:
        return all(self._index.has_met(image.id) for image in result.images)

    def keep_unclaimed(self, result: ImageResult) -> None:
        """Keep a result that nobody waits for any more."""
        self._unclaimed.append(result)

    def reserve(self) -> int:
        """Return the place of a call that begins, so that order is that of calls and not of their ends."""
        return self._index.order.reserve()

    @property
    def image_store(self) -> ImageStore:
        """The store in which the images find their bytes."""
        return default_store() if self._store is None else self._store

    @property
    def latest(self) -> GeneratedImage | None:
        """The image that came last; `None` if there is none."""
        return self._image(self._index.order[-1]) if self._index.order else None

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
        return self._index.handle(self._id(reference))

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
            ahead += [parent for parent in reversed(self._index.parents(id)) if parent not in begun]
        return ImageList(map(self._image, done))

    def children(self, reference: object) -> list[GeneratedImage]:
        """Return the images made directly from an image, in order."""
        parents = set(self._ids(reference))
        return ImageList(self._image(id) for id in self._index.order if parents.intersection(self._index.parents(id)))

    def cost(self) -> Cost:
        """Return what the images cost: each response once, forgotten images too, and uploads nothing.

        Its `total` is `None` if the tokens of a picture are not recorded; `reason` says of how many. Calls without a
        picture and a graph's abandoned branches are not in it: no record of them is in the state.
        """
        return cost_of_images(self, self._index.forgotten)

    def digests(self) -> set[str]:
        """Return the digests of all bytes that the images need, for `ImageStore.prune(keep=memory)`."""
        return {digest for record in self._index.records.values() for digest in digests_in(record)}

    def to_records(self) -> list[dict[str, Any]]:
        """Return the memory as plain JSON; `ImageMemory(records)` makes the same memory again.

        Traces of forgotten images come first.
        """
        return list(map(dict, self._index.all_records()))

    def __iter__(self) -> Iterator[GeneratedImage]:
        return (self._image(id) for id in self._index.order)

    def __len__(self) -> int:
        return len(self._index.order)

    @overload
    def __getitem__(self, reference: slice) -> list[GeneratedImage]: ...  # type: ignore[overload-overlap]

    @overload
    def __getitem__(self, reference: object) -> GeneratedImage: ...

    def __getitem__(self, reference: object) -> GeneratedImage | list[GeneratedImage]:
        """Return images by position as a list does (`memory[0]` is the first), and by reference as `get` does."""
        if isinstance(reference, slice):
            return ImageList(map(self._image, self._index.order[reference]))
        if isinstance(reference, int) and not isinstance(reference, bool):
            return self._image(self._index.order[reference])
        return self.get(reference)

    def __contains__(self, reference: object) -> bool:
        return len(self._find(reference)) == 1

    def __repr__(self) -> str:
        return f"ImageMemory({', '.join(map(self._index.handle, self._index.order[-5:]))}; {len(self)} in all)"

    def __getstate__(self) -> dict[str, Any]:
        records = {record["id"]: record for record in self._index.all_records()}
        return {"_store": self._store, "_records": records, "_order": list(records)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Build the indexes anew: version 0.1.0 had others."""
        self.__init__((state["_records"][id] for id in state["_order"]), image_store=state["_store"])  # type: ignore[misc]

    def _forget(self, trace: Record) -> None:
        self._index.forget(trace)
        self._read.pop(trace["id"], None)

    def _id(self, reference: object) -> str:
        found = self._find(reference)
        if len(found) == 1:
            return found[0]
        known, rivals = (list(map(self._index.handle, ids)) for ids in (self._index.order, found))
        raise unknown_image(reference, known, rivals=rivals, forgotten=self.has_forgotten(reference))

    def _ids(self, reference: object) -> list[str]:
        """Return the ids of all images that a reference names; a result stands for all its images."""
        several = reference.images if isinstance(reference, ImageResult) else reference
        items = several if isinstance(several, (list, tuple)) else [several]
        return list(dict.fromkeys(self._id(item) for item in items))

    def _image(self, id: str) -> GeneratedImage:
        record = self._index.records[id]
        known, image = self._read.get(id, (None, None))
        if image is None or known is not record:
            image = read_record(record)
            if image is None:
                raise UnknownImageError(f"the record of {id[:40]!r} cannot be read: draw the picture again")
            image = image.bind(self._store)
            self._read[id] = (record, image)
        return image

    def _find(self, reference: object) -> Sequence[str]:
        """Return the ids of the images that a reference may mean."""
        if isinstance(reference, ImageResult):
            found = [id for image in reference.images for id in self._find(image)]
            return list(dict.fromkeys(found))
        return self._index.find(name_in(reference))

    def _parents(self, id: str) -> Sequence[str]:
        return self._index.parents(id)


def check_trust(trust: str) -> None:
    """Check whose word counts for the images of a state.

    Raises:
        OptionError: It is neither `"all"` nor `"channel"`; a misspelt `"channel"` would believe everybody.
    """
    if trust not in ("all", "channel"):
        raise OptionError(f"trust={trust!r}: it takes 'all' or 'channel'")
