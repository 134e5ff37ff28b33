"""`ImageState`: the graph state's channel for the images of a conversation.

Loaded on first use, since it is the only part of the memory that needs LangGraph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from typing_extensions import TypedDict

from langchain_imagegen.conversation.channel import Records, merge_images, merge_into, records_of

try:
    from langgraph.channels.delta import DeltaChannel
except ImportError:  # LangGraph before 1.2 stores the whole value with each step
    DeltaChannel = None  # type: ignore[assignment, misc]


def merge_writes(left: Records | None, writes: Sequence[Any]) -> Records:
    """Merge several updates at once, as a `DeltaChannel` replays them; see `merge_images`."""
    merged = dict(left or {})
    for write in writes:
        merge_into(merged, records_of(write))
    return merged


def channel() -> Any:
    """Return the annotation that makes a state's key the channel of images; it must be the last one of the key."""
    return merge_images if DeltaChannel is None else DeltaChannel(merge_writes)


class ImageState(TypedDict, total=False):
    """The channel `generated_images`, to inherit from: `class State(MessagesState, ImageState)`.

    It is a `typing_extensions.TypedDict`, as LangGraph's own states are; one from `typing` cannot be combined with it.
    """

    generated_images: Annotated[Records, channel()]
