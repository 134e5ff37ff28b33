"""The state channel `generated_images`: plain JSON records by image id, and how two sets of them merge.

No messages are read here and no bytes are kept; see `memory` for what a conversation knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_imagegen.images.image import GeneratedImage, is_record

CHANNEL = "generated_images"
"""Name of the state channel; it does not collide with a user's own `images`."""


MISDECLARED = (
    f"the state declares {CHANNEL!r} as something else than the channel of images: rename that key, or declare it by "
    "inheriting ImageState; with ImageGenerationMiddleware leave it out of state_schema, the middleware brings it"
)


Records = dict[str, dict[str, Any]]


_UNION = ("parents", "companion_ids", "dead_rungs")


def merge_record(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """One record out of two of the same image: what is known wins over `None`, lists of ids grow."""
    told = {key: value for key, value in new.items() if value is not None and key not in _UNION}
    if old.get("provider") and not new.get("provider"):  # who does not know the provider has another handle
        told = {key: value for key, value in told.items() if key not in ("provider", "handle")}
    grown = {key: list(dict.fromkeys([*(old.get(key) or ()), *(new.get(key) or ())])) for key in _UNION}
    return {**old, **told, **{key: ids for key, ids in grown.items() if ids}}


def merge_images(left: Records | None, right: Records | None) -> Records:
    """The state channel's reducer: per id, field by field; the first appearance fixes the order.

    `None` never overwrites a value; `parents`, `companion_ids` and `dead_rungs` are unions. Neither input is changed.
    """
    merged = dict(left or {})
    for id, record in (right or {}).items():
        merged[id] = merge_record(merged[id], record) if id in merged else dict(record)
    return merged


def as_update(images: Iterable[GeneratedImage]) -> Records:
    """Images as an update of the state channel."""
    update: Records = {}
    for image in images:
        update = merge_images(update, {image.id: image.record()})
    return update


def _of_state(state: object, key: str) -> Any:
    return state.get(key) if isinstance(state, Mapping) else getattr(state, key, None)


def values_of(state: object) -> object:
    """A graph's state: that of a snapshot, and anything else as it is."""
    values = getattr(state, "values", None)
    return values if hasattr(state, "config") and isinstance(values, Mapping) else state


def channel_of(state: object) -> Mapping[str, Any]:
    """The records in a graph state's channel; none where it has no such channel.

    Raises:
        TypeError: what stands there is something else.
    """
    records = _of_state(state, CHANNEL)
    if records is None or (isinstance(records, Mapping) and all(map(is_record, records.values()))):
        return records or {}
    raise TypeError(MISDECLARED)
