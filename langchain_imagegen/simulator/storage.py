"""What the service keeps, per API key: responses, items, files, conversations. Values only."""

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

    `kind` is `user`, `assistant`, `picture`, `call`, `output`, `reasoning` or `other`; `companion` is the
    reasoning item that led to a picture.
    """

    kind: str
    text: str = ""
    images: tuple[bytes, ...] = ()
    id: str | None = None
    companion: str | None = None


@dataclass
class Finished:
    """A response that is done: its body, its event stream, and the conversation up to and with it."""

    body: Body
    events: list[Body]
    parts: list[Part]


@dataclass
class Job:
    """A background response: `finish` is run once, when somebody looks after it is `due`.

    Nobody can tell a picture that is drawn when looked at from one that was drawn on time.
    """

    shell: Body
    due: float
    finish: Callable[[], Finished]
    looks: int = 0
    done: Finished | None = None

    def settle(self) -> Finished | None:
        """The finished response, or `None` while it is not due or was cancelled."""
        if self.done is None and self.shell["status"] != "cancelled" and time.monotonic() >= self.due:
            self.done = self.finish()
        return self.done

    def look(self) -> Body:
        """The body as a poll sees it: the first poll always finds it in progress, which is a guess."""
        self.looks += 1
        finished = self.settle()
        if finished is not None and self.looks > 1:
            return finished.body
        status = self.shell["status"] if self.shell["status"] == "cancelled" else "in_progress"
        return {**self.shell, "status": status}

    def cancel(self) -> Body:
        """Stop it; one that is finished stays as it is."""
        if self.done is None:
            self.shell = {**self.shell, "status": "cancelled"}
            return self.shell
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
        """The file object of the Files API."""
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
    """Everything that one API key made."""

    responses: dict[str, Finished | Job] = field(default_factory=dict)
    items: dict[str, Part] = field(default_factory=dict)
    unstored: set[str] = field(default_factory=set)
    files: dict[str, StoredFile] = field(default_factory=dict)
    conversations: dict[str, list[Part]] = field(default_factory=dict)

    def item(self, item_id: str, *, store: bool = True) -> Part:
        """The stored item; an unknown one is refused."""
        if (part := self.items.get(item_id)) is None:
            raise item_not_found(item_id, unstored=not store or item_id in self.unstored)
        return part

    def response(self, response_id: str) -> Finished | Job:
        """The stored response, finished or still in the background."""
        if (entry := self.responses.get(response_id)) is None:
            raise response_not_found(response_id)
        return entry

    def conversation_until(self, response_id: str) -> list[Part]:
        """The items up to and with an earlier response."""
        entry = self.responses.get(response_id)
        finished = entry.settle() if isinstance(entry, Job) else entry
        if finished is None:
            raise previous_response_not_found(response_id)
        return finished.parts

    def keep_items(self, parts: list[Part], *, store: bool) -> None:
        """Make items resolve by id, or remember that they never will."""
        known = {part.id: part for part in parts if part.id}
        if store:
            self.items.update(known)
        else:
            self.unstored.update(known)

    def delete(self, response_id: str) -> None:
        """Forget a response together with its items; that the items go too is a guess."""
        entry = self.response(response_id)
        body = entry.look() if isinstance(entry, Job) else entry.body
        for item in body["output"]:
            self.items.pop(item["id"], None)
        del self.responses[response_id]


class Storage:
    """The accounts. One lock guards background work, which several polls may try to finish at once."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._accounts: dict[str, Account] = {}

    def account(self, key: str) -> Account:
        """The account of an API key, made on first use."""
        with self.lock:
            return self._accounts.setdefault(key, Account())

    def expire(self, thing_id: str) -> None:
        """Let exactly this id stop resolving, whosoever it is."""
        with self.lock:
            for account in self._accounts.values():
                for shelf in (account.responses, account.items, account.files, account.conversations):
                    shelf.pop(thing_id, None)

    def settle(self) -> None:
        """Finish every background response that is due."""
        with self.lock:
            for account in self._accounts.values():
                for entry in list(account.responses.values()):
                    if isinstance(entry, Job):
                        entry.settle()
