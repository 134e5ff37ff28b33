"""The ledger: which call has bought which picture, so that the same call made again gets the picture it paid for.

The notes are small JSON objects under `ledger/` in the image store's place. For each call there are

- `<name>.begun.0`, `<name>.begun.1`, …: claims. A claim is the right to buy the picture. Of several processes only one
  can create it, and its owner renews it until the picture is there. A claim that is over stays: the next caller creates
  the next number, which again only one process can do.
- `<name>.done`: the result, and the number of the claim that bought it.

`pictures` is the index of the results, see `picture_index`; `forgetting` removes what names a deleted picture.
`drawing.once` names the calls, and `drawing.purchase` buys. All methods wait for a disk or a network.
"""

from __future__ import annotations

import atexit
import json
import logging
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, Literal

from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.storage.backends import Place
from langchain_imagegen.storage.heartbeat import BEAT, Heartbeat
from langchain_imagegen.storage.processes import is_gone, is_here, this_process

FOLDER, INDEX = "ledger", "pictures"

LEASE = 4 * BEAT
"""Seconds without a renewal after which a claim is over, measured by the caller that waits, since clocks differ."""

FORGOTTEN = 15 * 60.0
"""Seconds: a claim that says it was renewed so long ago is over at once. S3 refuses clocks that are off by as much."""

UNREAD = timedelta(days=30)
"""Younger notes are never removed, so that `ImageStore.prune` does not have to read every note for its expiry."""

_SHORTEST, _LONGEST, _GROWTH = 0.02, 1.0, 1.5  # seconds between two looks at another's claim, and their ratio

_heart = Heartbeat()
atexit.register(_heart.wait, 2.0)  # a response id that is known is noted before the process ends
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Done:
    """A picture that was bought: the result's record, the digest of its request, and the number of its claim."""

    record: Mapping[str, Any]
    request: str
    claim: int = 0


@dataclass(frozen=True)
class Busy:
    """Another call is buying the picture; look again after some seconds."""

    seconds: float


class Ledger:
    """The notes of one place.

    Args:
        place: Where the image store keeps its files.
        keep: How long a picture that was bought is remembered.
        fallback: The ledger of the store's fallback, for calls that begin while the place cannot be reached.
    """

    def __init__(self, place: Place, keep: timedelta, fallback: Ledger | None = None) -> None:
        self._place, self._keep, self.fallback = place, keep.total_seconds(), fallback

    def attempt(self, name: str, request: str, *, original: str | None = None, regenerate: bool = False) -> Attempt:
        """Return an attempt to get the picture of a call.

        Args:
            name: What names the call, 64 hex digits.
            request: The digest of its request, which is noted with the result.
            original: What named the call before a replay; its result is taken, but nothing is noted under this name.
            regenerate: Whether another picture is bought although there is one.
        """
        return Attempt(self, name, request, original=original, regenerate=regenerate)

    def read(self, key: str) -> dict[str, Any] | None:
        """Return a note, an empty one if it is damaged; None where there is none."""
        data = self._place.read(f"{FOLDER}/{key}")
        if data is None:
            return None
        try:
            note = json.loads(data)
        except ValueError:
            return {}
        return note if isinstance(note, dict) else {}

    def create(self, key: str, note: Mapping[str, Any]) -> bool:
        """Write a note unless there is one. Of several writers exactly one gets True."""
        return self._place.create(f"{FOLDER}/{key}", _json(note))

    def write(self, key: str, note: Mapping[str, Any]) -> None:
        """Write a note, in place of an earlier one."""
        self._place.write(f"{FOLDER}/{key}", _json(note), "application/json")

    def dated(self, note: Mapping[str, Any]) -> dict[str, Any]:
        """Return a note with the time at which it expires, in seconds since 1970."""
        return {**note, "expires": time.time() + self._keep}

    def sweep(self, listing: Iterable[tuple[str, float]]) -> None:
        """Remove the notes of calls that have expired.

        Args:
            listing: Keys of the place, with the time at which each was written.
        """
        oldest = time.time() - UNREAD.total_seconds()
        for notes in calls_in(listing).values():
            if max(notes.values()) < oldest and not any(_is_live(self.read(name)) for name in notes):
                self._remove(notes)

    def _remove(self, names: Iterable[str]) -> None:
        for name in sorted(names, reverse=True):
            self._place.remove(f"{FOLDER}/{name}")


class Attempt:
    """One caller's attempt to get the picture of a call: `begin` until it says something other than `Busy`."""

    def __init__(self, ledger: Ledger, name: str, request: str, *, original: str | None, regenerate: bool) -> None:
        self._ledger, self._name, self._request, self._regenerate = ledger, name, request, regenerate
        self._original = original
        self._begun = False
        self._rejected = -1
        self._seen: tuple[int, object, float] | None = None  # a claim, its latest renewal, and when that was first seen
        self._seconds = _SHORTEST

    def begin(self) -> Claim | Done | Busy:
        """Return the picture that was bought, or a claim to buy it, or that another call is at it.

        Raises:
            ImageStoreError: The ledger cannot be read or written; nothing was bought.
        """
        if self._original and (done := self._valid(self._ledger.read(f"{self._original}.done"))):
            return done
        self._original = None
        if not self._begun:
            self._begun = True
            claim = Claim(self._ledger, self._name, self._request)
            if claim.create():
                return claim
        note = self._ledger.read(f"{self._name}.done")
        return self._valid(note) or self._next_claim(_claim_of(note) + 1)

    def done(self) -> Done | None:
        """Return the picture that was bought, if there is one."""
        return self._valid(self._ledger.read(f"{self._name}.done"))

    def reject(self, done: Done) -> None:
        """Look for no result of this claim or an earlier one any more: its picture is lost."""
        if self._original is None:
            self._rejected = done.claim
        self._original = None

    def _next_claim(self, first: int) -> Claim | Done | Busy:
        """Return a claim behind those that are over; `first` is the first that has no result."""
        number, responses = first, dict[str, str | None]()
        while (claim := self._ledger.read(f"{self._name}.begun.{number}")) is not None:
            if self._is_over(number, claim):
                responses = {} if claim.get("state") == "released" else _responses_of(claim)
            elif not self._regenerate:
                return self._busy()
            number += 1
        # The last owner may have written its result since, and then gone.
        if number > first and (done := self.done()):
            return done
        new = Claim(self._ledger, self._name, self._request, number, responses)
        return new if new.create() else self._busy()

    def _valid(self, note: Mapping[str, Any] | None) -> Done | None:
        """Return the picture of a note; None if it has expired or another one is wanted."""
        if note is None or self._regenerate or not _is_live(note) or not isinstance(note.get("record"), dict):
            return None
        done = Done(note["record"], str(note.get("request")), _claim_of(note))
        return done if done.claim > self._rejected else None

    def _busy(self) -> Busy:
        seconds, self._seconds = self._seconds, min(self._seconds * _GROWTH, _LONGEST)
        return Busy(seconds)

    def _is_over(self, number: int, claim: Mapping[str, Any]) -> bool:
        """Return True if nobody is at work on a claim: its owner said so, is gone, or renews it no more."""
        if _heart.holds(claim.get("token")):
            return False
        owner, beat, now = claim.get("owner"), claim.get("beat"), time.monotonic()
        if claim.get("state") != "running" or not isinstance(owner, dict) or not isinstance(beat, (int, float)):
            return True
        if is_gone(owner) or is_here(owner) or time.time() - beat > FORGOTTEN:
            return True
        if self._seen is None or self._seen[:2] != (number, beat):
            self._seen = number, beat, now
        return now - self._seen[2] > LEASE


class Claim:
    """The sole right to buy the picture of a call, until it is settled or given up.

    `inherited` has the ids of responses that earlier owners asked for, each with the digest of its request if that is
    known: one may hold the picture, which is paid for.
    """

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        request: str,
        number: int = 0,
        inherited: Mapping[str, str | None] = MappingProxyType({}),
    ) -> None:
        self.inherited = inherited
        self.token = secrets.token_hex(8)
        self._ledger, self._name, self._request, self._number = ledger, name, request, number
        self._responses = dict(inherited)
        self._state: Literal["running", "released", "left", "settled"] = "running"
        self._began = time.time()
        self._writing = threading.Lock()

    @property
    def ended(self) -> bool:
        """True once the claim is given up."""
        return self._state != "running"

    def create(self) -> bool:
        """Write the claim and renew it from now on; return False if another has this number."""
        created = False
        _heart.hold(self)
        try:
            created = self._ledger.create(self._key, self._note())
            if created:
                _heart.renew(self)
        except RuntimeError as error:  # no thread can be started
            created = False
            raise ImageStoreError(f"the ledger cannot renew its notes, so nothing was bought: {error}") from error
        finally:
            if not created:
                _heart.drop(self)
        return created

    def note_response(self, response_id: str) -> None:
        """Note the id of a response that is being made. This does not wait: the note is written by another thread."""
        if response_id not in self._responses:
            self._responses = {**self._responses, response_id: self._request}
            self._renew_now()

    def settle(self, record: Mapping[str, Any], request: str | None = None) -> None:
        """Note the result.

        Args:
            record: The result's record.
            request: The digest of the request that bought it, if that was another than the claim's.

        Raises:
            ImageStoreError: It cannot be written; the claim is given up.
        """
        try:
            done = {"record": record, "request": request or self._request, "claim": self._number}
            self._ledger.write(f"{self._name}.done", self._ledger.dated(done))
        except ImageStoreError:
            self.give_up(drew_nothing=False)
            raise
        self._state = "settled"
        _heart.drop(self)

    def give_up(self, *, drew_nothing: bool, response_id: str | None = None) -> None:
        """End the claim without a result.

        Args:
            drew_nothing: Whether no response, of this owner or an earlier one, has a picture. Else they are handed on.
            response_id: The id of a response that became known by the failure.
        """
        if response_id is not None:
            self._responses.setdefault(response_id, self._request)
        self._state = "released" if drew_nothing else "left"
        try:
            self.write()
        except ImageStoreError as error:
            logger.warning("a call could not be noted as ended, so others wait for it: %s", error)
        _heart.drop(self)

    def abandon(self) -> None:
        """End the claim as `give_up` does, without waiting; no-op if it has ended."""
        if _heart.holds(self.token) and not self.ended:
            self._state = "left"
            self._renew_now()

    def write(self) -> None:
        """Write the claim as it is now, unless it has a result, which somebody may have deleted since."""
        with self._writing:
            if self._state != "settled":
                self._ledger.write(self._key, self._note())

    def _renew_now(self) -> None:
        try:
            _heart.renew(self, now=True)
        except RuntimeError as error:
            logger.warning("a call under way could not be noted, so others may repeat it: %s", error)

    @property
    def _key(self) -> str:
        return f"{self._name}.begun.{self._number}"

    def _note(self) -> dict[str, Any]:
        owner = {"token": self.token, "owner": this_process(), "state": self._state}
        asked = {"responses": [*self._responses], "requests": [*self._responses.values()]}
        return self._ledger.dated({**owner, **asked, "began": self._began, "beat": time.time()})


def calls_in(listing: Iterable[tuple[str, float]]) -> dict[str, dict[str, float]]:
    """Return the names of the notes of each call, with the time at which each was written."""
    calls: dict[str, dict[str, float]] = {}
    for key, written in listing:
        folder, _, name = key.partition("/")
        if folder == FOLDER and name != INDEX:
            calls.setdefault(name.partition(".")[0], {})[name] = written
    return calls


def _is_live(note: Mapping[str, Any] | None) -> bool:
    expires = (note or {}).get("expires")
    return isinstance(expires, (int, float)) and expires > time.time()


def _claim_of(note: Mapping[str, Any] | None) -> int:
    """Return the number of the claim that a result came from; -1 without a result."""
    claim = (note or {}).get("claim")
    return claim if isinstance(claim, int) else -1


def _responses_of(claim: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the ids of the responses of a claim, with the digests of their requests."""
    ids, requests = (each if isinstance(each, list) else [] for each in (claim.get("responses"), claim.get("requests")))
    pairs = zip_longest(ids, requests[: len(ids)])
    return {id: request if isinstance(request, str) else None for id, request in pairs if isinstance(id, str)}


def _json(note: Mapping[str, Any]) -> bytes:
    return json.dumps(note, separators=(",", ":")).encode()
