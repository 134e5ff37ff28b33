"""The data that the service keeps for each API key: responses, items, files and conversations."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from langchain_imagegen.simulator.errors import (
    item_not_found,
    previous_response_not_found,
    response_not_found,
)

Body = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One item of a conversation as a model sees it.

    Attributes:
        kind: `user`, `assistant`, `picture`, `call` (of a function), `output` (of a function), `reasoning` or `other`.
        companion: The id of the reasoning item that preceded a picture.
    """

    kind: str
    text: str = ""
    images: tuple[bytes, ...] = ()
    id: str | None = None
    companion: str | None = None


@dataclass
class FinishedResponse:
    """A finished response: its body, its numbered events, and the parts of the conversation up to and including it."""

    body: Body
    events: list[Body]
    parts: list[Part]


@dataclass
class Job:
    """A background response. `finish` runs once, at the first access after `due`.

    A client cannot distinguish this from a response that finished at the time `due`.

    Attributes:
        pending: The body before the response is finished.
        due: Time of `time.monotonic()` at which the response is finished.
        polls: How often the client retrieved the response.
    """

    pending: Body
    due: float
    finish: Callable[[], FinishedResponse]
    polls: int = 0
    done: FinishedResponse | None = None

    def finish_if_due(self) -> FinishedResponse | None:
        """Return the finished response, or `None` if it is not due yet or was cancelled."""
        if self.done is None and self.pending["status"] != "cancelled" and time.monotonic() >= self.due:
            self.done = self.finish()
        return self.done

    def poll(self) -> Body:
        """Return the body for one poll. A guess: the first poll always shows `in_progress`."""
        self.polls += 1
        finished = self.finish_if_due()
        if finished is not None and self.polls > 1:
            return finished.body
        status = self.pending["status"] if self.pending["status"] == "cancelled" else "in_progress"
        return {**self.pending, "status": status}

    def cancel(self) -> Body:
        """Cancel the response and return its body. A finished response does not change."""
        if self.done is None:
            self.pending = {**self.pending, "status": "cancelled"}
            return self.pending
        return self.done.body


@dataclass(frozen=True)
class StoredFile:
    """One uploaded file."""

    id: str
    filename: str
    purpose: str
    content_type: str
    data: bytes
    created_at: int

    def describe(self) -> Body:
        """Return the file object of the Files API."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.data),
            "created_at": self.created_at,
            "expires_at": None,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


@dataclass
class Account:
    """Everything that was created with one API key. `unstored` has the ids of items that were not stored."""

    responses: dict[str, FinishedResponse | Job] = field(default_factory=dict)
    items: dict[str, Part] = field(default_factory=dict)
    unstored: set[str] = field(default_factory=set)
    files: dict[str, StoredFile] = field(default_factory=dict)
    conversations: dict[str, list[Part]] = field(default_factory=dict)

    def item(self, item_id: str, *, store: bool = True) -> Part:
        """Return the stored item. Raise the service's 404 if the id is unknown."""
        if (part := self.items.get(item_id)) is None:
            raise item_not_found(item_id, unstored=not store or item_id in self.unstored)
        return part

    def response(self, response_id: str) -> FinishedResponse | Job:
        """Return the stored response, finished or in the background. Raise the service's 404 if the id is unknown."""
        if (entry := self.responses.get(response_id)) is None:
            raise response_not_found(response_id)
        return entry

    def conversation_until(self, response_id: str) -> list[Part]:
        """Return the parts up to and including a response. Raise the service's 400 if it is unknown or unfinished."""
        entry = self.responses.get(response_id)
        finished = entry.finish_if_due() if isinstance(entry, Job) else entry
        if finished is None:
            raise previous_response_not_found(response_id)
        return finished.parts

    def keep_items(self, parts: list[Part], *, store: bool) -> None:
        """Store the items that have an id. With `store=False`, record only that their ids were not stored."""
        known = {part.id: part for part in parts if part.id}
        if store:
            self.items.update(known)
        else:
            self.unstored.update(known)

    def delete(self, response_id: str) -> None:
        """Delete a response and its items. A guess: the live service deletes the items too."""
        entry = self.response(response_id)
        body = entry.poll() if isinstance(entry, Job) else entry.body
        for item in body["output"]:
            self.items.pop(item["id"], None)
        del self.responses[response_id]


class Storage:
    """The accounts by API key. `lock` makes sure that concurrent polls finish a background response only once."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._accounts: dict[str, Account] = {}

    def account(self, key: str) -> Account:
        """Return the account of an API key. The first call creates it."""
        with self.lock:
            return self._accounts.setdefault(key, Account())

    def expire(self, thing_id: str) -> None:
        """Remove this one id from every account."""
        with self.lock:
            for account in self._accounts.values():
                for table in (account.responses, account.items, account.files, account.conversations):
                    table.pop(thing_id, None)

    def finish_due_responses(self) -> None:
        """Finish every background response that is due."""
        with self.lock:
            for account in self._accounts.values():
                for entry in list(account.responses.values()):
                    if isinstance(entry, Job):
                        entry.finish_if_due()
