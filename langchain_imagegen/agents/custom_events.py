"""LangGraph's `custom` events in runs that are followed with version v3, which streams them only if something asks."""

from __future__ import annotations

from typing import Any

from langgraph.stream import ProtocolEvent, StreamTransformer


class CustomEvents(StreamTransformer):
    """Asks for the `custom` events of a run, and changes none.

    Unlike LangGraph's `CustomTransformer` it adds no attribute to the run, so that callers can use that one too.
    """

    required_stream_modes = ("custom",)

    def init(self) -> dict[str, Any]:
        """Return no projection."""
        return {}

    def process(self, event: ProtocolEvent) -> bool:
        """Pass an event on."""
        del event
        return True
