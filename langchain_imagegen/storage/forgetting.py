"""What the ledger forgets when a picture is deleted: the calls that drew it, and that others were made from it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from datetime import timedelta

from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.storage.backends import Place
from langchain_imagegen.storage.ledger import FOLDER, INDEX, Ledger, calls_in
from langchain_imagegen.storage.picture_index import PictureIndex

_CLAIM = re.compile(r"\.begun\.(\d+)\Z")

logger = logging.getLogger(__name__)


def forget(place: Place, sha256: str) -> None:
    """Remove the notes of the calls that drew a picture, and the picture's record from those of its edits, which stay.

    Results that the index knows are not read.

    Args:
        place: Where the notes are.
        sha256: The digest of the picture.

    Raises:
        ImageStoreError: A note cannot be read, written or removed. Deleting the picture again goes on.
    """
    ledger = Ledger(place, timedelta(0))
    calls = calls_in(place.listing(FOLDER))
    written = {name: notes[done] for name, notes in calls.items() if (done := f"{name}.done") in notes}
    index = _read_index(ledger, written)
    read = {f"{FOLDER}/{name}.done": name for name in index.to_read(sha256)}
    for key, result in place.read_several(read).items():
        if sha256.encode() in result:
            _forget_call(place, ledger, calls[read[key]], key, sha256)
            index.drop(read[key])
        else:
            index.add(read[key], result)
    if index.has_changed:
        _write_index(place, ledger, index)


def _forget_call(place: Place, ledger: Ledger, notes: Iterable[str], key: str, sha256: str) -> None:
    """Remove the notes of a call, or the source of an edit; nothing if the call has another result by now.

    The claims lose their response ids first, by which the service would give the picture again, and the result goes
    when they have, so that a deletion that is killed is found when it is repeated. A later claim, whose owner draws
    another picture now, needs the numbers before its own.
    """
    result = place.read(key) or b""
    if sha256.encode() not in result or _strip_source(place, key, result, sha256):
        return
    last = _claim_of(result)
    numbers = {name: int(found[1]) for name in notes if (found := _CLAIM.search(name))}
    earlier = sorted((name for name in numbers if numbers[name] <= last), key=numbers.__getitem__, reverse=True)
    for name in earlier:
        try:
            ledger.write(name, ledger.dated({"state": "released"}))
        except ImageStoreError:  # on a full disk, for example, which deletions are to free
            place.remove(f"{FOLDER}/{name}")
    place.remove(key)
    if ledger.read(key.removeprefix(f"{FOLDER}/").removesuffix("done") + f"begun.{last + 1}") is None:
        for name in earlier:
            place.remove(f"{FOLDER}/{name}")


def _strip_source(place: Place, key: str, result: bytes, sha256: str) -> bool:
    """Take a picture out of the sources of a result; return True if nothing of the result names it any more."""
    try:
        note = json.loads(result)
        sources = note["record"]["sources"]
        note["record"]["sources"] = [source for source in sources if sha256 not in json.dumps(source)]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    stripped = json.dumps(note, separators=(",", ":"))
    if sha256 in stripped:
        return False
    try:
        place.write(key, stripped.encode(), "application/json")
    except ImageStoreError:  # on a full disk, for example
        return False
    return True


def _claim_of(result: bytes) -> int:
    """Return the number of the claim that bought a result; 0 if the result does not tell."""
    try:
        claim = json.loads(result)["claim"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return claim if isinstance(claim, int) else 0


def _read_index(ledger: Ledger, written: dict[str, float]) -> PictureIndex:
    """Return the index; an empty one, with which all results are read, if it cannot be read."""
    try:
        return PictureIndex(ledger.read(INDEX), written)
    except (ImageStoreError, RecursionError) as error:
        logger.warning("the ledger's index cannot be read, so all results are: %s", error)
        return PictureIndex(None, written)


def _write_index(place: Place, ledger: Ledger, index: PictureIndex) -> None:
    """Write the index; remove an old one that cannot be written, as on a full disk, which deletions are to free."""
    try:
        if index.entries:
            ledger.write(INDEX, index.entries)
        else:
            place.remove(f"{FOLDER}/{INDEX}")
    except ImageStoreError as error:
        logger.warning("the ledger's index cannot be written, so the next deletion reads more: %s", error)
        try:
            place.remove(f"{FOLDER}/{INDEX}")
        except ImageStoreError:
            logger.warning("and the old one cannot be removed")
