"""Which pictures the results in the ledger name, so that a deletion does not read all of them.

The index is a note beside the results. Deletions write it, so no drawing waits for it. It tells of each result that a
deletion has read when it was written, and shortened digests of its pictures. Any other result is read: one that is not
in the index, one that was written at another time, and one that may name the picture.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping

SETTLED = 3600.0
"""Seconds after which a result gets into the index. A younger one may be written again at what S3 and a folder on
another machine call the same time: their clocks differ, and S3's time has whole seconds.
"""

_SHORTENED = 12  # hex digits of a digest
_DIGEST = re.compile(rb"(?=([0-9a-f]{64}))")  # each one, also where a hex digit stands before or behind it


class PictureIndex:
    """The pictures of results, by what names the result.

    Args:
        note: What the note says; None where there is none.
        written: The results that there are now, with the time at which each was written. The index drops all others.
    """

    def __init__(self, note: Mapping[str, object] | None, written: Mapping[str, float]) -> None:
        self._written = written
        self.entries = {
            name: entry
            for name, entry in (note or {}).items()
            if isinstance(entry, list) and entry and entry[0] == written.get(name)
        }
        self._before = dict(note or {})

    @property
    def has_changed(self) -> bool:
        """True if the note does not say the same."""
        return self.entries != self._before

    def to_read(self, sha256: str) -> Collection[str]:
        """Return the results that may name a picture."""
        short = sha256[:_SHORTENED]
        return [name for name in self._written if name not in self.entries or short in self.entries[name]]

    def add(self, name: str, result: bytes) -> None:
        """Note which pictures a result names."""
        if (written := self._written[name]) < time.time() - SETTLED:
            digests = {digest[:_SHORTENED].decode() for digest in _DIGEST.findall(result)}
            self.entries[name] = [written, *sorted(digests)]

    def drop(self, name: str) -> None:
        """Note that a result is removed."""
        self.entries.pop(name, None)
