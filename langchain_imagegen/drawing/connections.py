"""The connections and calls of a generator and its copies. What does the work is imported on first use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_imagegen.drawing.calls import Calls
    from langchain_imagegen.drawing.transport import Transport


class Connections:
    """Holds the transport and the calls of a generator and its copies, made on first use."""

    def __init__(self, settings: Mapping[str, Any], **clients: Any) -> None:
        self._settings, self._clients = settings, clients
        self._made_in = os.getpid()
        self._made: dict[str, Any] = {}

    @property
    def transport(self) -> Transport:
        """Return the transport. No lock guards it: another thread could hold the lock while the process forks."""
        if "transport" not in self._made:
            from langchain_imagegen.drawing.transport import Transport

            self._made.setdefault("transport", Transport(self._settings, made_in=self._made_in, **self._clients))
        return self._made["transport"]  # type: ignore[no-any-return]

    @property
    def calls(self) -> Calls:
        """Return the calls that are under way."""
        if "calls" not in self._made:
            from langchain_imagegen.drawing.calls import Calls

            self._made.setdefault("calls", Calls())
        return self._made["calls"]  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Connections, **self._clients), (without_secrets(self._settings),)

    def __deepcopy__(self, memo: object) -> Connections:
        return self


def without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings for a pickle: without a key, unless a function gives it, and without a password in an address."""
    from langchain_imagegen.drawing.credentials import split_user

    key, url = settings.get("api_key"), settings.get("base_url")
    return {**settings, "api_key": key if callable(key) else None, "base_url": split_user(url)[0] if url else url}
