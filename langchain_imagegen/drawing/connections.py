"""The connections of a generator and its copies. The transport is imported on first use to keep imports fast."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_imagegen.drawing.transport import Transport


class Connections:
    """Holds the transport of a generator and its copies, made on first use."""

    def __init__(self, settings: Mapping[str, Any], **clients: Any) -> None:
        self._settings, self._clients = settings, clients
        self._made_in = os.getpid()
        self._made: dict[str, Transport] = {}

    @property
    def transport(self) -> Transport:
        """Return the transport. No lock guards it: another thread could hold the lock while the process forks."""
        if not self._made:
            from langchain_imagegen.drawing.transport import Transport

            self._made.setdefault("one", Transport(self._settings, made_in=self._made_in, **self._clients))
        return self._made["one"]

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Connections, **self._clients), (self._settings,)

    def __deepcopy__(self, memo: object) -> Connections:
        return self
