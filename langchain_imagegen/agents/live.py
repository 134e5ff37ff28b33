"""`show_events`: the pictures of a run sharpen in the output of a notebook cell while an agent draws them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from langchain_imagegen.drawing.live import LiveCell
from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.images import notebook
from langchain_imagegen.images.image import store_at_hand

Chunk = TypeVar("Chunk")


def show_events(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """Yield what a stream yields, and show the pictures that its events tell of in this notebook cell.

    Each picture has one output, which sharpens from partial picture to finished one. `partials=` of the tool or the
    middleware asks for partial pictures. Outside of a notebook nothing is shown.

    Args:
        stream: A run of a graph with `stream_mode="custom"`, alone or among other modes, also with `subgraphs=True` or
            `version="v2"`. What is no event of a picture is only passed on.

    Example:
        >>> for event in show_events(agent.stream({"messages": "Draw an owl"}, stream_mode="custom")):
        ...     print(event["type"])
    """
    outputs = _Outputs()
    for chunk in stream:
        outputs.show(chunk)
        yield chunk


async def ashow_events(stream: AsyncIterable[Chunk]) -> AsyncIterator[Chunk]:
    """Async twin of `show_events`; it also takes `astream_events(version="v2")`."""
    outputs = _Outputs()
    async for chunk in stream:
        await asyncio.to_thread(outputs.show, chunk)
        yield chunk


class _Outputs:
    """One output of the notebook cell for each picture; a call that has no picture yet has one too."""

    def __init__(self) -> None:
        self._cells: dict[str, LiveCell] = {}

    def show(self, chunk: object) -> None:
        """Show what the event in a chunk tells of, if there is one."""
        event = _event_in(chunk)
        if event is None or notebook.notebook_shell() is None:
            return
        cell = self._cell(event)
        if cell is not None and event["type"] != "image.started":
            cell.put_bundle(_view(event))

    def _cell(self, event: Mapping[str, Any]) -> LiveCell | None:
        """Return the output of a picture: the first one of a call takes over the output of the call."""
        call, handle = f"call {event.get('tool_call_id')}", event.get("handle") or ""
        cell = self._cells.get(handle) or self._cells.pop(call, None) or LiveCell.open()
        if cell is not None:
            self._cells[handle or call] = cell
        return cell


def _event_in(chunk: object) -> Mapping[str, Any] | None:
    """Return the event of a picture in a chunk of a stream, in whatever form the stream wraps it."""
    while True:
        if isinstance(chunk, tuple) and chunk:
            chunk = chunk[-1]
        elif not isinstance(chunk, Mapping):
            return None
        elif str(chunk.get("type")).startswith("image."):
            return chunk
        else:
            chunk = chunk.get("data")


def _view(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is shown of an event: its picture, or why there is none."""
    handle = str(event.get("handle") or "the picture")
    if event["type"] == "image.failed":
        return notebook.line(f"no picture: {event.get('error')}")
    try:
        data = _bytes_of(event, handle)
    except ImageStoreError as error:
        return notebook.missing(handle, str(error))
    alt = event.get("revised_prompt") or event.get("prompt") or f"partial {event.get('index')} of {handle}"
    return notebook.picture(data, str(event.get("mime_type")), alt=f"{handle}: {alt}")


def _bytes_of(event: Mapping[str, Any], handle: str) -> bytes:
    if "data" in event:
        return base64.b64decode(event["data"])
    sha256 = str(event.get("sha256"))
    return store_at_hand(handle, sha256).get(sha256, event.get("mime_type"))
