"""A thread of each process that has the notes of calls under way renewed, so that others see that they are.

It runs while there is something to renew, and each note is written in a thread of its own. A forked child starts
without it, and without the notes of its parent.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Protocol

from langchain_imagegen.errors import ImageStoreError

BEAT = 15.0
"""Seconds between two renewals."""

LONGEST = 30 * 60.0
"""Seconds after which a note is renewed no more: no drawing takes so long, but a stream may be left unread for ever."""

THREAD, WRITER = "langchain_imagegen-ledger", "langchain_imagegen-note"
"""The names of the thread, and of those that write."""

_AGAIN, _LOOK = 0.5, 0.005  # seconds until a note is written that was being written, and between two looks at the exit

logger = logging.getLogger(__name__)


class Note(Protocol):
    """A note that is renewed until it has ended."""

    @property
    def token(self) -> str:
        """What tells the note from all others."""

    @property
    def ended(self) -> bool:
        """True if it needs no renewal once it is written."""

    def write(self) -> None:
        """Write the note."""


class Heartbeat:
    """The notes that this process holds."""

    _thread: threading.Thread | None

    def __init__(self) -> None:
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def holds(self, token: object) -> bool:
        """Return True if this process holds the note with this token."""
        return token in self._held

    def hold(self, note: Note) -> None:
        """Hold a note that is not written yet; it is renewed from `renew` on."""
        self._held[note.token] = note

    def renew(self, note: Note, *, now: bool = False) -> None:
        """Renew a note that is held from now on, at once if `now`; drop it when it has ended.

        Raises:
            RuntimeError: No thread can be started for it.
        """
        moment = time.monotonic()
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
                thread.start()  # it waits for this lock
                self._thread = thread
            self._held[note.token] = note
            self._last.setdefault(note.token, moment + LONGEST)
            self._due[note.token] = moment if now else moment + BEAT
            if now:
                self._changed.notify()

    def drop(self, note: Note) -> None:
        """Hold a note no more."""
        with self._changed:
            self._forget(note.token)
            self._changed.notify()

    def wait(self, seconds: float) -> None:
        """Wait for the writes that are due or under way, for so many seconds at most."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            with self._changed:
                if not self._writing and all(moment > now for moment in self._due.values()):
                    return
            time.sleep(_LOOK)

    def _run(self) -> None:
        while (due := self._next()) is not None:
            for note in due:
                try:  # in a thread of its own, since one that hangs must not hold up the others
                    threading.Thread(target=self._write, args=(note,), name=WRITER, daemon=True).start()
                except RuntimeError:  # no thread can be started
                    self._write(note)

    def _write(self, note: Note) -> None:
        try:
            note.write()
        except ImageStoreError as error:
            logger.warning("a call under way could not be noted, so others may repeat it: %s", error)
        finally:
            with self._changed:
                self._writing.discard(note.token)
        if note.ended:
            self.drop(note)

    def _next(self) -> list[Note] | None:
        """Wait for notes to renew; None once there are none. One that is being written is due again soon."""
        with self._changed:
            while True:
                now = time.monotonic()
                for token in [token for token, last in self._last.items() if last <= now]:
                    self._forget(token)
                if not self._due:
                    self._thread = None
                    return None
                due = [token for token, moment in self._due.items() if moment <= now]
                self._due.update((token, now + (_AGAIN if token in self._writing else BEAT)) for token in due)
                if ready := [self._held[token] for token in due if token not in self._writing]:
                    self._writing.update(note.token for note in ready)
                    return ready
                self._changed.wait(min(self._due.values()) - now)

    def _forget(self, token: str) -> None:
        for notes in (self._held, self._due, self._last):
            notes.pop(token, None)

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._thread = None
        self._held: dict[str, Note] = {}
        self._due: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._writing: set[str] = set()
