"""The ledger: of all who want the picture of a call exactly one buys it, whoever is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from langchain_imagegen import ImageStore
from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.storage import heartbeat, ledger
from langchain_imagegen.storage.ledger import Busy, Claim, Done, Ledger
from langchain_imagegen.storage.processes import is_gone, this_process
from tests.s3 import Requests, conflicting

NAME = "ab" * 32
MONTH = timedelta(days=30)
RECORD = {"images": [{"id": "ig_1"}]}

WORKER = """
import sys, time
from datetime import timedelta
from langchain_imagegen import ImageStore

claim = ImageStore(sys.argv[1]).ledger(timedelta(days=30)).attempt(sys.argv[2], "request").begin()
claim.note_response("resp_1")
time.sleep(0.2)
print("begun", flush=True)
time.sleep(60)
"""


@pytest.fixture(params=["folder", "memory", "s3"])
def opened(request, tmp_path):
    """Opens the same ledger of each kind, which is fresh at first, again and again."""

    def open_ledger(keep: timedelta = MONTH) -> Ledger:
        return ImageStore(url, **options).ledger(keep)

    options = request.getfixturevalue("s3") if request.param == "s3" else {}
    fresh = uuid.uuid4().hex
    url = {"folder": str(tmp_path / "images"), "memory": f"memory://{fresh}", "s3": f"s3://pictures/{fresh}"}[
        request.param
    ]
    return open_ledger


@pytest.fixture
def notes(opened):
    """A fresh ledger of each kind."""
    return opened()


def begin(notes: Ledger, **settings: Any) -> Claim | Done | Busy:
    """What a caller who asks once is told."""
    return notes.attempt(NAME, "request", **settings).begin()


def claimed_elsewhere(notes: Ledger, **changes: Any) -> dict[str, Any]:
    """Write the claim of a process on another machine, and return its note."""
    owner = {"host": "elsewhere", "machine": "another", "pid": os.getpid(), "started": 1}
    note = {"token": "t", "owner": owner, "state": "running", "responses": ["resp_1"], "beat": time.time()}
    notes.write(f"{NAME}.begun.0", notes.dated({**note, **changes}))
    return {**note, **changes}


def test_one_buys_and_the_others_wait(notes):
    """The first caller gets the claim, others are told to look again, and all get the result once it is settled."""
    claim = begin(notes)
    assert isinstance(claim, Claim)
    assert claim.inherited == {}
    assert isinstance(begin(notes), Busy)

    claim.settle(RECORD)

    assert begin(notes) == Done(RECORD, "request")


def test_of_many_at_once_exactly_one_buys(opened):
    """Sixteen threads that begin the same call at the same moment make one claim."""
    ready = threading.Barrier(16)

    def ask(_: int) -> object:
        attempt = opened().attempt(NAME, "request")
        ready.wait()
        return attempt.begin()

    with ThreadPoolExecutor(16) as threads:
        told = list(threads.map(ask, range(16)))
    claims = [answer for answer in told if isinstance(answer, Claim)]
    claims[0].give_up(drew_nothing=True)

    assert len(claims) == 1


def test_of_many_that_wait_exactly_one_takes_over(opened):
    """When the first owner gives up, one of sixteen waiting threads gets the claim, with the response to look at."""
    first = begin(opened())
    attempts = [opened().attempt(NAME, "request") for _ in range(16)]
    assert all(isinstance(attempt.begin(), Busy) for attempt in attempts)
    ready = threading.Barrier(16)
    first.note_response("resp_1")
    first.give_up(drew_nothing=False)

    def ask(attempt: Any) -> object:
        ready.wait()
        return attempt.begin()

    with ThreadPoolExecutor(16) as threads:
        claims = [answer for answer in threads.map(ask, attempts) if isinstance(answer, Claim)]
    claims[0].give_up(drew_nothing=True)

    assert [tuple(claim.inherited) for claim in claims] == [("resp_1",)]


@pytest.mark.parametrize(("drew_nothing", "inherited"), [(True, {}), (False, {"resp_1": "request"})])
def test_after_a_failure_the_next_buys_at_once(notes, drew_nothing, inherited):
    """After a failure the next caller begins at once; responses that may have a picture are handed on, no others."""
    claim = begin(notes)
    claim.note_response("resp_1")
    claim.give_up(drew_nothing=drew_nothing)

    again = begin(notes)
    again.give_up(drew_nothing=True)

    assert isinstance(again, Claim)
    assert again.inherited == inherited


def test_a_response_that_the_failure_tells_of_is_handed_on(notes):
    """An id that becomes known only by the failure gets into the note that ends the claim."""
    begin(notes).give_up(drew_nothing=False, response_id="resp_1")
    again = notes.attempt(NAME, "another request").begin()
    again.give_up(drew_nothing=True)

    assert again.inherited == {"resp_1": "request"}


def test_a_lost_picture_is_bought_by_one(notes):
    """Of two callers who find that a noted picture is lost, one buys it again and the other waits for that."""
    begin(notes).settle(RECORD)
    attempts = [notes.attempt(NAME, "request") for _ in range(2)]
    for attempt in attempts:
        attempt.reject(attempt.begin())
    claim, other = (attempt.begin() for attempt in attempts)
    assert isinstance(claim, Claim)
    assert isinstance(other, Busy)

    claim.settle({"images": []})

    assert attempts[1].begin() == Done({"images": []}, "request", 1)


def test_responses_of_all_owners_are_handed_on(notes):
    """A third owner is told of the responses of the first and of the second."""
    for id in ("resp_1", "resp_2"):
        claim = begin(notes)
        claim.note_response(id)
        claim.give_up(drew_nothing=False)

    third = begin(notes)
    third.give_up(drew_nothing=True)

    assert tuple(third.inherited) == ("resp_1", "resp_2")


def test_abandoning_does_not_wait(notes):
    """A claim that is abandoned, as by a closed stream, is taken over as soon as its note is written."""
    claim = begin(notes)
    claim.note_response("resp_1")
    claim.abandon()
    attempt, told = notes.attempt(NAME, "request"), None
    while not isinstance(told, Claim):
        told = attempt.begin()
        time.sleep(0.01)
    told.give_up(drew_nothing=True)

    assert tuple(told.inherited) == ("resp_1",)


def test_regenerating_remembers_the_new_picture(notes):
    """`regenerate` gives a claim although there is a result, without the old response; the new result replaces it."""
    first = begin(notes)
    first.note_response("resp_1")
    first.write()
    first.settle(RECORD)

    claim = begin(notes, regenerate=True)
    assert isinstance(claim, Claim)
    assert claim.inherited == {}
    claim.settle({"images": []})

    assert begin(notes) == Done({"images": []}, "request", 1)


def test_what_has_expired_is_bought_again(tmp_path):
    """After its time a result is not given any more, nor is its response looked at."""
    brief = ImageStore(tmp_path / "images").ledger(timedelta(seconds=0.5))
    first = begin(brief)
    first.note_response("resp_1")
    first.write()
    first.settle(RECORD)
    assert isinstance(begin(brief), Done)
    time.sleep(0.5)

    claim = begin(brief)
    claim.give_up(drew_nothing=True)

    assert isinstance(claim, Claim)
    assert claim.inherited == {}


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b"\xff", b'{"record": 5, "expires": 9e99}'])
def test_a_damaged_result_is_none(notes, damaged):
    """A note that is no result, such as one of a full disk, leads to a new claim."""
    begin(notes).settle(RECORD)
    notes._place.write(f"ledger/{NAME}.done", damaged, "application/json")

    claim = begin(notes)
    claim.give_up(drew_nothing=True)

    assert isinstance(claim, Claim)


def test_a_damaged_claim_is_over(notes):
    """A claim that cannot be read, such as one of a full disk, does not make others wait for ever."""
    notes._place.write(f"ledger/{NAME}.begun.0", b"{", "application/json")

    claim = begin(notes)
    claim.give_up(drew_nothing=True)

    assert isinstance(claim, Claim)


@pytest.mark.skipif(not this_process()["machine"], reason="only Linux tells that a process is gone")
def test_a_killed_process_is_succeeded_at_once(tmp_path):
    """When the process that buys is killed, the next caller takes over without waiting and knows its response."""
    folder = str(tmp_path / "images")
    command = [sys.executable, "-c", WORKER, folder, NAME]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as worker:
        assert worker.stdout.readline() == "begun\n"
        attempt = ImageStore(folder).ledger(MONTH).attempt(NAME, "request")
        assert isinstance(attempt.begin(), Busy)
        worker.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 5
        while isinstance(claim := attempt.begin(), Busy) and time.monotonic() < deadline:
            time.sleep(0.01)
    claim.give_up(drew_nothing=True)

    assert tuple(claim.inherited) == ("resp_1",)


def test_the_claim_of_another_machine_lasts_while_it_is_renewed(notes, monkeypatch):
    """A claim from elsewhere is respected while it is renewed, and taken over after a lease without renewal."""
    monkeypatch.setattr(ledger, "LEASE", 0.2)
    claimed_elsewhere(notes)
    attempt = notes.attempt(NAME, "request")
    for _ in range(4):
        assert isinstance(attempt.begin(), Busy)
        time.sleep(0.1)
        claimed_elsewhere(notes)
    assert isinstance(attempt.begin(), Busy)
    time.sleep(0.21)

    claim = attempt.begin()
    claim.give_up(drew_nothing=True)

    assert tuple(claim.inherited) == ("resp_1",)


def test_a_wrong_clock_does_not_end_a_claim(notes):
    """A claim whose clock is minutes behind ours is still waited for; one that is hours old is over at once."""
    claimed_elsewhere(notes, beat=time.time() - 600)
    assert isinstance(begin(notes), Busy)
    claimed_elsewhere(notes, beat=time.time() - 3600)

    claim = begin(notes)
    claim.give_up(drew_nothing=True)

    assert isinstance(claim, Claim)


def test_a_result_that_came_while_looking_is_taken(notes):
    """The result of an owner that settled and ended after the first look is given, and nothing is claimed."""
    claim = begin(notes)
    attempt = notes.attempt(NAME, "request")
    assert isinstance(attempt.begin(), Busy)
    claim.settle(RECORD)

    assert attempt._next_claim(0) == Done(RECORD, "request")


def test_only_a_process_of_this_machine_is_ever_gone():
    """The same number in another container, on another machine or without a machine tells nothing."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    here = {**this_process(), "pid": ended.pid}

    assert not is_gone(this_process())
    assert is_gone(here) is bool(here["machine"])
    assert is_gone({**this_process(), "started": 1}) is bool(here["machine"])
    assert not is_gone({**here, "machine": f"{here['machine']} of another container"})
    assert not any(map(is_gone, ({}, {**here, "pid": None}, {**here, "pid": 0}, {**here, "machine": ""})))


def test_claims_are_renewed_by_one_thread_that_ends(notes, monkeypatch):
    """However many calls are under way, one thread has their claims renewed, and it ends with the last of them."""
    monkeypatch.setattr(heartbeat, "BEAT", 0.05)

    def beats() -> list[float]:
        return [notes.read(f"{n:064x}.begun.0")["beat"] for n in range(8)]

    claims = [notes.attempt(f"{n:064x}", "request").begin() for n in range(8)]
    first = beats()
    threads = [thread for thread in threading.enumerate() if "ledger" in thread.name]
    time.sleep(1)
    later = beats()
    for claim in claims:
        claim.give_up(drew_nothing=True)
    threads[0].join(5)

    assert len(threads) == 1
    assert not threads[0].is_alive()
    assert all(after > before for before, after in zip(first, later, strict=True))


@pytest.mark.skipif(not this_process()["machine"], reason="elsewhere the lease has to run out as well")
def test_a_claim_is_not_renewed_for_ever(tmp_path, monkeypatch):
    """A call that is never ended, such as a stream that nobody reads on, loses its claim after a while."""
    monkeypatch.setattr(heartbeat, "BEAT", 0.1)
    monkeypatch.setattr(heartbeat, "LONGEST", 0.5)
    notes = ImageStore(tmp_path / "images").ledger(MONTH)
    begin(notes)
    assert isinstance(begin(notes), Busy)
    time.sleep(0.8)

    claim = begin(notes)
    claim.give_up(drew_nothing=True)

    assert isinstance(claim, Claim)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes can be forked")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_renews_none_of_its_parents_claims(tmp_path, monkeypatch):
    """A child waits for its parent's claim and leaves its note alone; it makes and renews claims of its own."""
    monkeypatch.setattr(heartbeat, "BEAT", 0.05)
    notes = ImageStore(tmp_path / "images").ledger(MONTH)
    claim, (ready, go) = begin(notes), os.pipe()
    if not (child := os.fork()):
        failed = True
        signal.alarm(20)  # a lock that its parent held would hang it
        try:
            waits = isinstance(begin(notes), Busy)
            os.read(ready, 1)
            own = notes.attempt("cd" * 32, "request").begin()
            first = notes.read(f"{'cd' * 32}.begun.0")
            time.sleep(0.3)
            failed = not waits or notes.read(f"{'cd' * 32}.begun.0") == first
            own.give_up(drew_nothing=True)
        finally:
            os._exit(failed)
    time.sleep(0.2)
    claim.give_up(drew_nothing=True)
    os.write(go, b"x")
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(ready)
    os.close(go)

    assert ended == 0
    assert notes.read(f"{NAME}.begun.0")["state"] == "released"


def test_pruning_removes_calls_that_have_expired(tmp_path):
    """`prune` removes the notes of old calls, and keeps those of young ones and of those that are kept for longer."""
    store = ImageStore(tmp_path / "images")
    for name, keep in (("aa" * 32, MONTH), ("bb" * 32, timedelta(days=90)), ("cc" * 32, timedelta(0))):
        store.ledger(keep).attempt(name, "request").begin().settle(RECORD)
    old = time.time() - timedelta(days=31).total_seconds()
    for path in sorted((tmp_path / "images" / "ledger").glob("[ab]*")):
        note = json.loads(path.read_text() or "{}")
        if note:
            path.write_text(json.dumps({**note, "expires": note["expires"] + old - time.time()}))
        os.utime(path, (old, old))

    assert store.prune(older_than=timedelta(days=365)) == []
    assert {path.name[:2] for path in (tmp_path / "images" / "ledger").iterdir()} == {"bb", "cc"}


def test_a_ledger_that_cannot_be_written_buys_nothing(tmp_path):
    """Where the claim cannot be written the caller gets the store's error before anything is bought."""
    (tmp_path / "images").write_text("a file where a folder should be")
    notes = ImageStore(tmp_path / "images").ledger(MONTH)

    with pytest.raises(ImageStoreError):
        begin(notes)
    assert not [thread for thread in threading.enumerate() if "ledger" in thread.name]


def test_s3_is_asked_twice(s3):
    """A drawing asks S3 once before and once after it; the same call again asks twice as well."""
    notes = ImageStore(f"s3://pictures/{uuid.uuid4().hex}", **s3).ledger(MONTH)
    begin(notes).settle(RECORD)  # opens the connection
    with Requests() as requests:
        claim = notes.attempt("cd" * 32, "request").begin()
        before = requests.to("ledger")
        claim.settle(RECORD)
    with Requests() as again:
        assert isinstance(notes.attempt("cd" * 32, "request").begin(), Done)

    assert before == ["PUT"]
    assert requests.to("ledger") == ["PUT", "PUT"]
    assert again.to("ledger") == ["PUT", "GET"]


def test_the_response_id_costs_one_request_beside_the_drawing(s3):
    """The note of a response id is one more request, which another thread makes."""
    notes = ImageStore(f"s3://pictures/{uuid.uuid4().hex}", **s3).ledger(MONTH)
    claim = begin(notes)
    with Requests() as requests:
        claim.note_response("resp_1")
        claim.note_response("resp_1")
        deadline = time.monotonic() + 5
        while not requests.lines and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
    claim.give_up(drew_nothing=True)

    assert requests.to("ledger") == ["PUT"]
    assert notes.read(f"{NAME}.begun.0")["responses"] == ["resp_1"]


@pytest.mark.parametrize(("behind", "created"), [((), True), ([(412, "PreconditionFailed")], False)])
def test_a_conflict_of_two_writers_is_resolved(behind, created):
    """S3 may tell one of two writers at the same moment to try again: then it has the note, or the other has it."""
    with conflicting((409, "ConditionalRequestConflict"), *behind) as options:
        store = ImageStore("s3://pictures/conflict", **options)

        assert store.put_if_absent("key", b"1") is created


def test_a_conflict_that_lasts_is_told():
    """A conflict that does not end is the store's error."""
    with conflicting(*[(409, "ConditionalRequestConflict")] * 4) as options:
        store = ImageStore("s3://pictures/conflict", **options)

        with pytest.raises(ImageStoreError, match="cannot be written"):
            store.put_if_absent("key", b"1")


def test_a_redraw_that_was_killed_is_fetched_by_the_next(notes):
    """`regenerate` buys another picture, but not two: what a killed one had begun is handed on."""
    begin(notes).settle(RECORD)
    killed = notes.attempt(NAME, "request", regenerate=True).begin()
    killed.note_response("resp_1")
    killed.give_up(drew_nothing=False)

    claim = notes.attempt(NAME, "request", regenerate=True).begin()
    claim.give_up(drew_nothing=True)
    assert tuple(claim.inherited) == ("resp_1",)


# --- the heartbeat


class Note:
    """A note that takes its time to be written."""

    ended = False

    def __init__(self, token: str, may_end: threading.Event) -> None:
        self.token, self.written = token, threading.Event()
        self._may_end = may_end

    def write(self) -> None:
        """Write it, when it may."""
        assert self._may_end.wait(10)
        self.written.set()


def test_a_write_that_hangs_holds_up_no_other():
    """While the note of one call cannot be written, those of others are; the end of the process waits for them."""
    heart, free, never = heartbeat.Heartbeat(), threading.Event(), threading.Event()
    free.set()
    hanging, other = Note("hanging", never), Note("other", free)
    heart.renew(hanging, now=True)
    time.sleep(0.05)
    heart.renew(other, now=True)

    assert other.written.wait(5)
    began = time.monotonic()
    heart.wait(0.2)
    assert time.monotonic() - began >= 0.2
    never.set()
    heart.wait(5)
    assert hanging.written.is_set()
    for note in (hanging, other):
        heart.drop(note)


def test_without_a_thread_nothing_is_bought(notes, monkeypatch):
    """Where no thread can be started, the caller is told before anything is bought, and the next call goes on."""
    start, failures = threading.Thread.start, iter([RuntimeError("can't start new thread")])

    def start_the_second(self: threading.Thread) -> None:
        if self.name == heartbeat.THREAD and (failure := next(failures, None)):
            raise failure
        start(self)

    monkeypatch.setattr(threading.Thread, "start", start_the_second)
    with pytest.raises(ImageStoreError, match="nothing was bought: can't start new thread"):
        begin(notes)
    claim = begin(notes)
    assert isinstance(claim, Claim)
    claim.note_response("resp_1")
    claim.settle(RECORD)
    assert isinstance(begin(notes), Done)
