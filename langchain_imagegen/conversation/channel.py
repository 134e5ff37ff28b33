"""The state channel `generated_images`: plain JSON records by image id, and how two sets of them merge.

No messages are read here and no bytes are kept; `memory` puts the channel and the messages together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_imagegen.conversation.records import (
    FORGOTTEN,
    ID_LISTS,
    Record,
    clean_records,
    is_trace,
    pass_over,
    trace_of,
)
from langchain_imagegen.conversation.states import value_in
from langchain_imagegen.images.image import GeneratedImage, is_record
from langchain_imagegen.images.result import ImageResult

CHANNEL = "generated_images"
"""Name of the state channel; it does not collide with a user's own `images`."""


MISDECLARED = (
    f"the state declares {CHANNEL!r} as something else than the channel of images: rename that key, or declare it by "
    "inheriting ImageState; with ImageGenerationMiddleware leave it out of state_schema, the middleware brings it"
)


Records = dict[str, Record]


def merge_record(old: Mapping[str, Any], new: Mapping[str, Any]) -> Record:
    """Merge two records of the same image: a known value wins over None, and lists of ids grow.

    The trace of a forgotten image wins over any record of it, whichever comes first.
    """
    if old.get(FORGOTTEN) is True or new.get(FORGOTTEN) is True:
        return trace_of({**old, **new})
    news = {key: value for key, value in new.items() if value is not None and key not in ID_LISTS}
    if old.get("provider") and not new.get("provider"):  # without the provider the handle is another one
        news = {key: value for key, value in news.items() if key not in ("provider", "handle")}
    if old.get("origin") == "model":  # a drawn picture that is sent back is still a drawn picture
        news.pop("origin", None)
    lists = {key: list(dict.fromkeys([*_words(old.get(key)), *_words(new.get(key))])) for key in ID_LISTS}
    return {**old, **news, **{key: words for key, words in lists.items() if words}}


def merge_images(left: Records | None, right: Any) -> Records:
    """Merge an update into the channel: the reducer of `ImageState`.

    Records of the same image are merged field by field: `None` never overwrites a value; `parents` and other
    lists are unions. The first appearance fixes the order. Neither input is changed. An image that was forgotten
    (`ImageMemory.forget`) leaves a trace in place of its record, which no record of it overwrites.

    Args:
        left: What the channel holds.
        right: Records by image id. A node may also return an `ImageResult`, an image, a record or a list of these.

    Raises:
        TypeError: `right` is none of these.
    """
    merged = dict(left or {})
    merge_into(merged, records_of(right))
    return merged


def merge_into(records: Records, update: Mapping[str, Mapping[str, Any]]) -> None:
    """Merge an update into `records` in place; the records themselves are replaced, not changed."""
    for id, record in update.items():
        if id in records:
            records[id] = merge_record(records[id], record)
        else:
            records[id] = trace_of(record) if record.get(FORGOTTEN) is True else dict(record)


def records_of(update: Any) -> Mapping[str, Record]:
    """Return an update of the channel, in any form that a node may return, as records by image id.

    Raises:
        TypeError: the update holds no images.
    """
    if update is None:
        return {}
    if isinstance(update, Mapping) and not is_record(update) and not is_trace(update):
        return _mappings(update)
    items = list(update) if isinstance(update, (list, tuple, set, frozenset)) else [update]
    if not all(isinstance(item, (GeneratedImage, ImageResult)) or is_record(item) or is_trace(item) for item in items):
        raise TypeError(
            f"the state's {CHANNEL!r} takes records by image id, an ImageResult, a GeneratedImage or a list of these, "
            f"not {type(update).__name__}"
        )
    return as_update(items)


def as_update(images: Iterable[GeneratedImage | ImageResult | Mapping[str, Any]]) -> Records:
    """Return images as an update of the state channel."""
    update: Records = {}
    for item in images:
        for record in _records_in(item):
            merge_into(update, {record["id"]: record})
    return update


def images_of_result(result: ImageResult) -> tuple[GeneratedImage, ...]:
    """Return the images of a result, after the images that they were made from."""
    return (*result.sources, *result.images)


def channel_of(state: object) -> Records:
    """Return the records in a graph state's channel by image id, traces of forgotten images among them.

    It is empty if the state has no such channel.

    Raises:
        TypeError: the state uses the name for something else.
    """
    records = value_in(state, CHANNEL)
    if records is None:
        return {}
    if not isinstance(records, Mapping) or (
        records and not any(isinstance(each, Mapping) for each in records.values())
    ):
        raise TypeError(MISDECLARED)
    traces = {value["id"]: trace_of(value) for value in records.values() if is_trace(value)}
    known = clean_records(value for value in records.values() if not is_trace(value))
    return {**{record["id"]: record for record in known}, **traces}


def _mappings(update: Mapping[Any, Any]) -> Mapping[str, Record]:
    """Return the update without entries that are no records; clients may post anything."""
    images = {id: item.record() if isinstance(item, GeneratedImage) else item for id, item in update.items()}
    odd = {id: item for id, item in images.items() if not (isinstance(id, str) and isinstance(item, Mapping))}
    for item in odd.values():
        pass_over(f"an entry of {CHANNEL!r} that is no record", item)
    return {id: item for id, item in images.items() if id not in odd}


def _words(value: object) -> list[str]:
    """Return the ids of a list, without what a client may have put among them."""
    return [word for word in value if isinstance(word, str)] if isinstance(value, (list, tuple)) else []


def _records_in(item: GeneratedImage | ImageResult | Mapping[str, Any]) -> Iterable[Record]:
    if isinstance(item, ImageResult):
        return [image.record() for image in images_of_result(item)]
    if is_trace(item):
        return [trace_of(item)]
    return [item.record()] if isinstance(item, GeneratedImage) else clean_records([item])
