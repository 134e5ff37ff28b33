"""`ImageState`: the graph state's channel for the images of a conversation.

Loaded on first use, since it is the part of the memory that needs LangGraph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from typing_extensions import TypedDict

from langchain_imagegen.conversation.channel import Records, merge_images

try:
    from langgraph.channels.delta import DeltaChannel
except ImportError:  # LangGraph before 1.2 stores the whole value with each step
    DeltaChannel = None  # type: ignore[assignment, misc]


def merge_writes(left: Records | None, writes: Sequence[Records]) -> Records:
    """`merge_images` over several updates at once, as a `DeltaChannel` replays them."""
    merged = dict(left or {})
    for write in writes:
        merged = merge_images(merged, write)
    return merged


def channel() -> Any:
    """What makes a state's key the channel of images: it must be the last of the annotation's metadata."""
    return merge_images if DeltaChannel is None else DeltaChannel(merge_writes)


class ImageState(TypedDict, total=False):
    """The channel `generated_images`, to inherit from: `class State(MessagesState, ImageState)`.

    Like LangGraph's own states it is a `typing_extensions.TypedDict`; one of `typing` cannot stand beside it.
    """

    generated_images: Annotated[Records, channel()]
