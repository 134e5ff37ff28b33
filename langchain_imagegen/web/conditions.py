"""What the headers of a request ask for: the whole picture, a part of it, or only a newer one. Pure.

The rules are those of RFC 9110, sections 13 and 14.
"""

from __future__ import annotations

import re

_TAG = re.compile(r'(?:W/)?("[^"]*")')
_RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.IGNORECASE | re.ASCII)
_LONGEST = 18  # digits


class UnsatisfiableRangeError(Exception):
    """The range begins behind the end of the picture."""


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Return True if the client says that it has the version with this ETag."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in _TAG.findall(if_none_match)


def range_of(range_header: str | None, if_range: str | None, etag: str, size: int) -> tuple[int, int] | None:
    """Return which bytes are asked for: the first, and one behind the last. None means all of them.

    A header that cannot be read, one with several ranges, and one for another version are ignored, as RFC 9110 allows.

    Raises:
        UnsatisfiableRangeError: The picture has no such bytes.
    """
    found = _RANGE.fullmatch(range_header.strip()) if range_header else None
    if found is None or (if_range is not None and if_range.strip() != etag):
        return None
    first, last = found[1], found[2]
    if (not first and not last) or max(len(first), len(last)) > _LONGEST:
        return None
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= stop:
        raise UnsatisfiableRangeError
    return start, stop
