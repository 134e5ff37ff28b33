"""Records of images by each of their names: id, handle, ordinal, digest and `"last"`; what was forgotten is known too.

The index reads no record and opens no store. `memory` turns its records into images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from langchain_imagegen.conversation.channel import merge_record
from langchain_imagegen.conversation.names import NameIndex
from langchain_imagegen.conversation.order import CallOrder
from langchain_imagegen.conversation.records import Record, is_upload
from langchain_imagegen.images.image import name_of

_DIGITS = 9  # of an ordinal; `int` refuses text of some thousands of them


class RecordIndex:
    """Records in the order of their calls, found by name.

    `records` and `order` have the images, `forgotten` has the traces of those that were forgotten.
    """

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.order = CallOrder()
        self.forgotten: dict[str, Record] = {}
        self._names = NameIndex()
        self._forgotten_names = NameIndex()
        self._digests: dict[str, str] = {}

    def put(self, record: Record, place: int | None = None) -> None:
        """Add a checked record, which the index may keep; merge what is new about a known image.

        A forgotten image stays forgotten, and an upload with the bytes of a known image is that image.
        """
        id, digest = record["id"], record["sha256"]
        if id in self.forgotten or (self._digests.get(digest, id) != id and is_upload(record)):
            return
        name = name_of(record.get("provider") or "", id)
        known = self.records.setdefault(id, record)  # one step: threads of a batch may bring the same image
        if known is record:
            self._names.put(id, name)
            self._digests.setdefault(digest, id)
            self.order.put(id, place)
            return
        self.records[id] = merged = merge_record(known, record)
        self._names.put(id, name_of(merged.get("provider") or "", id))

    def claim_digests(self, records: Mapping[str, Record]) -> None:
        """Let the bytes of these images mean these images, the first of them first, before they are added."""
        self._digests.update((records[id]["sha256"], id) for id in reversed(list(records)))

    def forget(self, trace: Record) -> None:
        """Put the trace of a forgotten image in place of its record; uploads of its bytes are the same image."""
        id = trace["id"]
        self.forgotten[id] = merge_record(self.forgotten.get(id, trace), trace)
        self._forgotten_names.put(id, name_of(trace.get("provider") or "", id))
        record = self.records.pop(id, None)
        if record is not None:
            self._names.remove(id)
            self.order.drop(id)
        if digest := trace.get("sha256"):
            self._digests[digest] = next((i for i in self.order if self.records[i]["sha256"] == digest), id)

    def has_met(self, id: str) -> bool:
        """Return True if the image is here or was forgotten here."""
        return id in self.records or id in self.forgotten

    def has_forgotten(self, name: str) -> bool:
        """Return True if an id or handle names an image that was forgotten here."""
        digits = name.removeprefix("img_").lower() if name.startswith("img_") else ""
        return name in self.forgotten or bool(self._forgotten_names.beginning_with(digits))

    def find(self, name: str) -> Sequence[str]:
        """Return the ids of the images that a name may mean."""
        if name == "last":
            return self.order[-1:]
        if name in self.records:
            return [name]
        if name.startswith("sha256:"):
            known = self._digests.get(name[7:])
            return [known] if known in self.records else []
        if name.isdecimal() and len(name) <= _DIGITS:
            position = int(name)
            return self.order[position - 1 : position] if position else []
        return self._names.beginning_with(name.removeprefix("img_").lower()) if name.startswith("img_") else []

    def handle(self, id: str) -> str:
        """Return the handle of an image: `img_` and 8 digits, or more if another image here begins alike."""
        return self._names.handle(id)

    def parents(self, id: str) -> list[str]:
        """Return the ids of the known images that an image was made from."""
        named = (parent for parent in self.records[id].get("parents") or () if _is_id(parent))
        return list(dict.fromkeys(known for parent in named for known in self.find(parent)))

    def all_records(self) -> Iterator[Record]:
        """Yield the traces of forgotten images, then the records in order."""
        yield from self.forgotten.values()
        yield from (self.records[id] for id in self.order)


def _is_id(parent: str) -> bool:
    """True if a parent is written as an id; records hold no ordinals and no handles."""
    return parent != "last" and not parent.isdecimal() and not parent.startswith("img_")
