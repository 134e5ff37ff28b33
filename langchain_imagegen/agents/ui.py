"""LangGraph's `ui` messages for pictures: one for each picture, updated in place while it is drawn.

The component that shows them is `web/ui.tsx`. Unfinished pictures are streamed alone; the finished one is in the state.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage

from langchain_imagegen.agents.display import Display, images_found
from langchain_imagegen.agents.runtime import ids_of_call, state_of
from langchain_imagegen.agents.wording import without_paths
from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.images.image import GeneratedImage

logger = logging.getLogger(__name__)

UI = "ui"
"""Key of the state that holds `ui` messages; LangGraph's front ends read this one."""

COMPONENT = "generated_image"
"""Name of the component, as `web/ui.tsx` exports it."""

PARTIAL = "image.partial"
"""Type of the event of an unfinished picture."""

_TOLD = ("handle", "url", "index", "mime_type")
_LONGEST = 500  # characters of a prompt: the state holds it once for each picture
_VERSIONS = 6  # of a picture, the latest


def merge_ui(messages: list[Any] | None, writes: Sequence[Any]) -> list[Any]:
    """Merge several updates of the `ui` messages at once, as a `DeltaChannel` replays them."""
    from langgraph.graph.ui import ui_message_reducer

    merged: list[Any] = list(messages or [])
    for write in writes:
        merged = list(ui_message_reducer(merged, write))
    return merged


def ui_channel() -> Any:
    """Return the annotation that makes a state's key the channel of `ui` messages; it must be the key's last one."""
    from langgraph.graph.ui import ui_message_reducer

    from langchain_imagegen.conversation import state

    return ui_message_reducer if state.DeltaChannel is None else state.DeltaChannel(merge_ui)  # type: ignore[attr-defined]


class UiMessages:
    """Pushes the `ui` messages of one call, or of one answer of a chat model. A failure is logged and harms no picture.

    Args:
        display: Gives the pictures' addresses.
        message_id: The message beside which the pictures are shown.
        kept: True if the graph's state has a place for `ui` messages.
    """

    def __init__(self, display: Display, message_id: str | None, *, kept: bool) -> None:
        self._display, self._message_id, self._kept = display, message_id, kept

    @classmethod
    def of_call(cls, display: Display, runtime: Any) -> UiMessages | None:
        """Return the messages of a tool call; None outside a graph."""
        state, (message_id, call_id) = state_of(runtime), ids_of_call(runtime)
        if state is None or call_id is None:
            return None
        return cls(display, message_id, kept=UI in state if isinstance(state, Mapping) else hasattr(state, UI))

    def start(self, call_id: str, prompt: str) -> None:
        """Show that a picture is being drawn."""
        self._push(call_id, {"state": "started", "prompt": prompt[:_LONGEST]})

    def follow(self) -> BaseCallbackHandler:
        """Return the callback handler that shows each unfinished picture of a drawing, as its events tell of it."""
        return _Follower(self)

    def sharpen(self, event: Mapping[str, Any]) -> None:
        """Show an unfinished picture, which an event of the type `image.partial` tells of."""
        if isinstance(event, Mapping) and (call_id := event.get("tool_call_id")):
            told = {name: event[name] for name in _TOLD if event.get(name) is not None}
            self._push(call_id, {"state": "partial", **told})

    def fail(self, call_id: str, prompt: str, error: Exception) -> None:
        """Show that there is no picture, and why."""
        props = {"state": "failed", "prompt": prompt[:_LONGEST], "error": without_paths(str(error))[:_LONGEST]}
        self._push(call_id, props, kept=self._kept)

    def finish(self, call_id: str, images: Sequence[GeneratedImage], memory: ImageMemory) -> None:
        """Show the pictures that a call drew; the first one takes the place of the call's unfinished ones."""
        for number, image in enumerate(images, 1):
            id = call_id if number == 1 else f"{call_id}-{number}"
            self._push(id, finished(image, memory, self._display), kept=self._kept)

    def _push(self, id: str, props: dict[str, Any], *, kept: bool = False) -> None:
        from langgraph.graph.ui import push_ui_message

        message: Any = {"id": self._message_id} if self._message_id else None
        key = UI if kept else None
        try:
            push_ui_message(COMPONENT, props, id=f"imagegen-{id}", message=message, state_key=key, merge=True)
        except Exception:
            logger.warning("a picture is not shown in the front end (ui message)", exc_info=True)


class _Follower(BaseCallbackHandler):
    """Passes the events of unfinished pictures on."""

    run_inline = True  # in order, and where LangGraph finds its stream

    def __init__(self, messages: UiMessages) -> None:
        self._messages = messages

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        """Show an unfinished picture."""
        if name == PARTIAL:
            self._messages.sharpen(data)


def finished(image: GeneratedImage, memory: ImageMemory, display: Display) -> dict[str, Any]:
    """Return the component's props for a picture: its address, its prompts, and the pictures that led to it."""
    versions = memory.lineage(image)[-_VERSIONS:] if image in memory else []
    link = display.link(image, image.handle)
    facts = {
        "handle": image.handle,
        "url": link and link.url,
        "until": link and link.until,
        "mime_type": image.mime_type,
        "width": image.width,
        "height": image.height,
        "prompt": (image.prompt or "")[:_LONGEST],
        "revised_prompt": (image.revised_prompt or "")[:_LONGEST],
        "versions": [_version(each, display) for each in versions] if len(versions) > 1 else None,
    }
    return {"state": "finished", **{name: fact for name, fact in facts.items() if fact}}


def renewed_ui(messages: Iterable[Any], memory: ImageMemory, display: Display) -> list[dict[str, Any]]:
    """Return those `ui` messages whose links are past half their time, with new ones.

    Those of forgotten pictures are removed.
    """
    renewed: list[dict[str, Any]] = []
    for message in messages:
        if not isinstance(message, Mapping) or message.get("name") != COMPONENT:
            continue
        props = message["props"]
        if not isinstance(handle := props.get("handle"), str):
            continue
        if memory.has_forgotten(handle):
            renewed.append({"type": "remove-ui", "id": message["id"]})
        elif handle in memory and display.is_stale(props.get("until")):
            renewed.append({**message, "props": finished(memory.get(handle), memory, display)})
    return renewed


def push_answers(
    answers: Iterable[BaseMessage], state: Mapping[str, Any], memory: ImageMemory, display: Display
) -> dict[str, Any]:
    """Push the messages of the pictures in a chat model's answers; return the update that renews earlier messages."""
    for answer in answers:
        for image in images_found([answer], memory):
            UiMessages(display, answer.id, kept=True).finish(image.id, [image], memory)
    renewed = renewed_ui(state.get(UI) or (), memory, display)
    return {UI: renewed} if renewed else {}


def _version(image: GeneratedImage, display: Display) -> dict[str, Any]:
    link = display.link(image, image.handle)
    told = {"handle": image.handle, "url": link and link.url, "prompt": (image.prompt or "")[:100]}
    return {name: fact for name, fact in told.items() if fact}
