"""What the ledger forgets when a picture is deleted, and what a deletion reads to find it."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from langchain_imagegen import ImageStore
from langchain_imagegen.simulator.drawing import draw as paint
from langchain_imagegen.storage.ledger import Busy, Claim, Done, Ledger

MONTH = timedelta(days=30)
FOX, CAT = f"{1:064x}"[::-1], f"{2:064x}"[::-1]


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    """A fresh store of each kind."""
    if request.param == "s3":
        return ImageStore(f"s3://pictures/{uuid.uuid4().hex}", **request.getfixturevalue("s3"))
    return ImageStore(tmp_path / "images" if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


def age(folder: Path, age: timedelta) -> None:
    """Make the notes of a store older."""
    then = time.time() - age.total_seconds()
    for path in (folder / "images" / "ledger").iterdir():
        os.utime(path, (then, then))


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


def test_only_the_notes_of_the_picture_are_read_again(tmp_path: Path):
    """A deletion does not read the results that an earlier one has read, but for those that name the picture."""
    store = ImageStore(tmp_path / "images")
    notes = store.ledger(MONTH)
    for number in range(8):
        buy(notes, number, CAT)
    buy(notes, 8, FOX)
    buy(notes, 9, CAT, FOX)
    age(tmp_path, timedelta(hours=2))
    store.delete("00" * 32)
    unread = tmp_path / "images" / "ledger" / f"{0:064x}.done"
    written = unread.stat().st_mtime_ns
    unread.write_text(unread.read_text().replace(CAT, FOX))  # so that it would go if it was read
    os.utime(unread, ns=(written, written))
    store.delete(FOX)

    assert [is_noted(notes, number) for number in range(10)] == [True] * 8 + [False] * 2
    assert FOX[:12] not in str(notes.read("pictures"))


def test_a_result_that_was_written_again_is_read_again(tmp_path: Path):
    """A result that takes the place of one that the index knows is found by its picture."""
    store = ImageStore(tmp_path / "images")
    notes = store.ledger(MONTH)
    buy(notes, 1, CAT)
    age(tmp_path, timedelta(hours=2))
    store.delete("00" * 32)
    buy(notes, 1, FOX, regenerate=True)
    store.delete(FOX)

    assert not is_noted(notes, 1)
    assert FOX[:12] not in left_in(store)


def test_young_results_are_read_each_time(store: ImageStore):
    """A result of the last hour does not get into the index, since it may be written again with the same time."""
    notes = store.ledger(MONTH)
    buy(notes, 1, CAT)
    store.delete("00" * 32)

    assert notes.read("pictures") is None


def test_a_damaged_index_is_made_again(tmp_path: Path):
    """An index that cannot be read, or that says something else, hides no result."""
    store = ImageStore(tmp_path / "images")
    notes = store.ledger(MONTH)
    for number, damaged in enumerate(("", "[]", '{"%064x": 5}', '{"%064x": [1]}', '{"%064x": []}')):
        buy(notes, number, FOX)
        age(tmp_path, timedelta(hours=2))
        (tmp_path / "images" / "ledger" / "pictures").write_text(damaged.replace("%064x", f"{number:064x}"))
        store.delete(FOX)
        assert not is_noted(notes, number)


def test_nothing_of_a_deleted_picture_stays(store: ImageStore):
    """Neither prompt nor record nor digest of a deleted picture is left, nor of another one of the same call."""
    notes = store.ledger(MONTH)
    buy(notes, 1, FOX)
    buy(notes, 2, CAT, FOX)
    store.delete(FOX)

    assert left_in(store) == ""


def test_an_edit_outlives_its_source(store: ImageStore):
    """The result of an edit stays, since its picture is still there; the deleted source is out of it."""
    notes = store.ledger(MONTH)
    claim = notes.attempt(f"{1:064x}", "request").begin()
    assert isinstance(claim, Claim)
    claim.settle({**record(CAT), "sources": record(FOX)["images"] + record("ab" * 32)["images"]})
    store.delete(FOX)

    found = notes.attempt(f"{1:064x}", "request").begin()
    assert found == Done({**record(CAT), "sources": record("ab" * 32)["images"]}, "request")
    assert FOX not in left_in(store)
    store.delete(CAT)
    assert left_in(store) == ""


def test_a_result_of_many_pictures_is_found(store: ImageStore):
    """A result is forgotten with any of its pictures."""
    notes = store.ledger(MONTH)
    digests = [f"{number:064x}"[::-1] for number in range(40)]
    buy(notes, 1, *digests)
    store.delete(digests[-1])

    assert left_in(store) == ""


@pytest.mark.parametrize("before", ["", "画像", "é", "?p=ab%2f", "0123abc"])
def test_a_digest_in_a_text_is_found(tmp_path: Path, before: str):
    """A result that the index knows is found by a digest in its texts, whatever stands before it there."""
    store = ImageStore(tmp_path / "images")
    notes = store.ledger(MONTH)
    claim = notes.attempt("ab" * 32, "request").begin()
    assert isinstance(claim, Claim)
    claim.settle(record(CAT) | {"text": f"{before}{FOX} in blue"})
    age(tmp_path, timedelta(hours=2))
    store.delete("00" * 32)
    store.delete(FOX)

    assert left_in(store) == ""


def test_a_redraw_under_way_keeps_its_place(store: ImageStore):
    """A picture that is deleted while its call draws another one leaves the claim of that one, and its result."""
    notes = store.ledger(MONTH)
    buy(notes, 1, FOX)
    redraw = notes.attempt(f"{1:064x}", "request", regenerate=True).begin()
    assert isinstance(redraw, Claim)
    store.delete(FOX)
    assert isinstance(notes.attempt(f"{1:064x}", "request").begin(), Busy)
    redraw.settle(record(CAT))

    assert is_noted(notes, 1)
    assert FOX not in left_in(store)


def test_a_deletion_that_was_killed_is_finished_by_the_next(tmp_path: Path):
    """Where the claims stayed, with the response ids by which the service gives the picture, they go with the next."""
    store = ImageStore(tmp_path / "images")
    notes = store.ledger(MONTH)
    claim = notes.attempt(f"{1:064x}", "request").begin()
    assert isinstance(claim, Claim)
    claim.note_response("resp_1")
    while "resp_1" not in left_in(store):
        time.sleep(0.01)
    claim.settle(record(FOX))
    if not (child := os.fork()):
        removals = iter(range(3))
        sys.addaudithook(lambda event, _: event == "os.remove" and next(removals) == 1 and os._exit(9))
        store.delete(FOX)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert "resp_1" not in left_in(store)
    store.delete(FOX)

    found = notes.attempt(f"{1:064x}", "request").begin()
    assert isinstance(found, Claim)
    assert not found.inherited
    found.give_up(drew_nothing=True)


def test_an_index_that_cannot_be_written_stops_no_deletion(tmp_path: Path):
    """The index only saves time: a folder in its place, or nonsense in it, does not keep a picture from deletion."""
    store = ImageStore(tmp_path / "images")
    notes = store.ledger(MONTH)
    for number in range(2):
        buy(notes, number, FOX)
        buy(notes, number + 8, CAT)
        age(tmp_path, timedelta(hours=2))
        index = tmp_path / "images" / "ledger" / "pictures"
        index.unlink(missing_ok=True)
        if number:
            index.mkdir()
        else:
            index.write_text("[" * 200_000)
        store.delete(FOX)
        assert not is_noted(notes, number)


def test_a_ledger_behind_a_link_is_read(tmp_path: Path):
    """Notes in a folder that was moved and linked are forgotten too."""
    store = ImageStore(tmp_path / "images")
    notes = store.ledger(MONTH)
    buy(notes, 1, FOX)
    (tmp_path / "images" / "ledger").rename(tmp_path / "elsewhere")
    (tmp_path / "images" / "ledger").symlink_to(tmp_path / "elsewhere")
    store.delete(FOX)

    assert not list((tmp_path / "elsewhere").glob("*.done"))


def test_a_full_disk_is_freed_by_deletions(tmp_path: Path):
    """Where nothing can be written any more, a picture and the notes of its call are deleted nevertheless."""
    resource = pytest.importorskip("resource", reason="only where a process can be limited")
    store = ImageStore(tmp_path / "images")
    picture = store.put(paint("a fox", size=(16, 16)))
    buy(store.ledger(MONTH), 1, picture.sha256)
    if not (child := os.fork()):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        os._exit(0 if store.delete(picture.sha256) else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert picture.sha256 not in store
    assert left_in(store) == ""
