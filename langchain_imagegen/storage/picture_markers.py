"""Which pictures a result in the ledger names, as told by the name of an empty note beside it.

A deletion finds the notes of a picture by listing these markers, and reads no others. The marker of the claim that
bought a result is `<name>.names.<claim>.<shortened digests>`. It has no content and no authority: a result without the
marker of its latest claim is read, and so is one whose marker seems to name the picture.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_SHORTENED = 12  # hex digits of a digest
_MOST = 12  # digests that fit into a file name; file systems take 255 bytes
_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_CLAIM, _MARKER = re.compile(r"\w+\.begun\.(\d+)"), re.compile(r"\w+\.names\.(\d+)\.([0-9a-f-]*)")


def marker_of(name: str, claim: int, record: bytes) -> str | None:
    """Return the name of the marker of a result; None if it names too many pictures.

    Args:
        name: What names the call.
        claim: The number of the claim that bought the result.
        record: The result's record as JSON.
    """
    digests = sorted({digest[:_SHORTENED].decode() for digest in _DIGEST.findall(record)})
    return f"{name}.names.{claim}.{'-'.join(digests)}" if len(digests) <= _MOST else None


def is_marker(name: str) -> bool:
    """Return True if a note is a marker, which has no content."""
    return _MARKER.fullmatch(name) is not None


def may_name(sha256: str, notes: Collection[str]) -> bool:
    """Return False if the notes of a call tell, by their names alone, that its result does not name a picture."""
    markers = [marker for name in notes if (marker := _MARKER.fullmatch(name))]
    latest = max((int(claim[1]) for name in notes if (claim := _CLAIM.fullmatch(name))), default=0)
    if not any(int(marker[1]) == latest for marker in markers):
        return True
    return any(sha256[:_SHORTENED] in marker[2].split("-") for marker in markers)
