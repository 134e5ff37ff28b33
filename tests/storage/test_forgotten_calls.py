"""What the ledger forgets when a picture is deleted, and what a deletion reads to find it."""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from langchain_imagegen import ImageStore
from langchain_imagegen.storage.ledger import Claim, Done, Ledger
from tests.s3 import Requests

MONTH = timedelta(days=30)
FOX, CAT = f"{1:064x}"[::-1], f"{2:064x}"[::-1]


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    """A fresh store of each kind."""
    if request.param == "s3":
        return ImageStore(f"s3://pictures/{uuid.uuid4().hex}", **request.getfixturevalue("s3"))
    return ImageStore(tmp_path / "images" if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


def record(*digests: str) -> dict[str, Any]:
    """Return the record of a result that names pictures."""
    return {"images": [{"id": "ig_1", "prompt": "a secret fox", "sha256": digest} for digest in digests]}


def buy(notes: Ledger, number: int, *digests: str, **settings: Any) -> None:
    """Note the result of a call that names pictures."""
    claim = notes.attempt(f"{number:064x}", "request", **settings).begin()
    assert isinstance(claim, Claim)
    claim.settle(record(*digests))


def is_noted(notes: Ledger, number: int) -> bool:
    """Return True if the ledger has the result of a call; a call without one is begun, and given up."""
    found = notes.attempt(f"{number:064x}", "request").begin()
    if isinstance(found, Claim):
        found.give_up(drew_nothing=True)
    return isinstance(found, Done)


def left_in(store: ImageStore) -> str:
    """Return the names and contents of all notes of the ledger."""
    notes = store.notes("ledger")
    return "".join(f"{name}{(notes.read(name) or b'').decode()}" for name in notes.names())


def test_only_the_notes_of_the_picture_are_read(s3: dict[str, Any]):
    """A deletion reads the results that name the picture, no others, and removes all that their calls noted."""
    store = ImageStore(f"s3://pictures/{uuid.uuid4().hex}", **s3)
    notes = store.ledger(MONTH)
    for number in range(8):
        buy(notes, number, CAT)
    buy(notes, 8, FOX)
    buy(notes, 9, CAT, FOX)
    with Requests() as requests:
        store.delete(FOX)

    lines = [line for line in requests.lines if "/ledger/" in line and "list-type" not in line]
    assert Counter(line.partition(" ")[0] for line in lines) == {"GET": 2, "DELETE": 6}
    assert [is_noted(notes, number) for number in range(10)] == [True] * 8 + [False] * 2


def test_nothing_of_a_deleted_picture_stays(store: ImageStore):
    """Neither prompt nor record nor digest of a deleted picture is left, also where it was the source of another."""
    notes = store.ledger(MONTH)
    buy(notes, 1, FOX)
    buy(notes, 2, CAT, FOX)
    store.delete(FOX)

    assert left_in(store) == ""


def test_notes_of_older_versions_are_found(store: ImageStore):
    """A result without a marker is read, and forgotten if it names the picture."""
    notes = store.ledger(MONTH)
    for number, digest in enumerate((FOX, CAT)):
        note = {"record": record(digest), "request": "request", "claim": 0}
        notes.write(f"{number:064x}.begun.0", notes.dated({"state": "running", "token": "t"}))
        notes.write(f"{number:064x}.done", notes.dated(note))
    store.delete(FOX)

    assert FOX not in left_in(store)
    assert is_noted(notes, 1)


def test_the_marker_of_an_earlier_result_does_not_hide_a_later_one(store: ImageStore):
    """A worker may be killed before it marks a second result of a call, which is found by its picture nevertheless."""
    notes = store.ledger(MONTH)
    buy(notes, 1, CAT)
    buy(notes, 1, FOX, regenerate=True)
    [marker] = [name for name in store.notes("ledger").names() if ".names.1." in name]
    store.notes("ledger").remove(marker)
    store.delete(FOX)

    assert left_in(store) == ""


def test_a_result_of_many_pictures_is_found(store: ImageStore):
    """A result that names more pictures than fit into the name of a file is forgotten with any of them."""
    notes = store.ledger(MONTH)
    digests = [f"{number:064x}"[::-1] for number in range(40)]
    buy(notes, 1, *digests)
    store.delete(digests[-1])

    assert left_in(store) == ""


def test_markers_expire_with_their_results(tmp_path: Path):
    """`prune` removes the marker of a result that has expired, and keeps that of a young one."""
    store = ImageStore(tmp_path / "images")
    for number in range(2):
        buy(store.ledger(timedelta(0)), number, FOX)
    old = time.time() - timedelta(days=31).total_seconds()
    for path in (tmp_path / "images" / "ledger").glob(f"{0:064x}.*"):
        os.utime(path, (old, old))

    store.prune(older_than=timedelta(days=365))

    assert {path.name.partition(".")[0] for path in (tmp_path / "images" / "ledger").iterdir()} == {f"{1:064x}"}
