"""The remembered session: a file that several commands append to, and that survives crashes."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from langchain_imagegen import ImageStore
from langchain_imagegen.cli import session as module
from langchain_imagegen.cli.exit_codes import ExitCode
from langchain_imagegen.cli.session import Session
from langchain_imagegen.storage.processes import this_process
from tests.cli.conftest import SMALL, Imagegen

REQUEST = {"prompt": "a fox"}


@pytest.fixture
def file(own_state: Path) -> Path:
    """Return the file of the session."""
    return own_state / "state" / "sessions" / "default.jsonl"


def opened() -> Session:
    """Return the session as a new command reads it."""
    return Session("default", ImageStore())


def ended_process() -> dict:
    """Return what a process that has ended said of itself."""
    code = (
        "import json; from langchain_imagegen.storage.processes import this_process; print(json.dumps(this_process()))"
    )
    return json.loads(subprocess.check_output([sys.executable, "-c", code], text=True))


def test_a_request_that_was_cut_off_is_taken_up(file: Path):
    """A request whose process ended without an answer has the same name again; one that is over has a new one."""
    first = opened().begin(REQUEST)
    assert opened().begin(REQUEST).once != first.once  # that of a process that still runs is its own

    gone = ended_process()
    text = file.read_text().replace(json.dumps(this_process()), json.dumps(gone))
    file.write_text(text)
    again = opened().begin(REQUEST)
    assert again.begun_before
    assert again.once in text
    assert not opened().begin({"prompt": "an owl"}).begun_before

    opened().leave(again)  # as after Ctrl-C, where nobody can tell whether the process is gone
    assert opened().begin(REQUEST).once == again.once
    assert opened().begin(REQUEST).once != again.once  # the one before has taken it up

    opened().end(again)
    file.write_text(file.read_text().replace(json.dumps(this_process()), json.dumps(gone)))
    assert opened().begin(REQUEST).once != again.once


def test_a_line_that_was_cut_by_a_crash(run: Imagegen, service, file: Path):
    """A line that is not whole is passed over, and later ones are read."""
    run("draw", "a fox", *SMALL)
    text = file.read_text()
    file.write_text(f"{text}{text[:40]}\n[]\n")
    owl = run("draw", "an owl", *SMALL, "--json").json["images"][0]

    assert run("show", "last", "--json").json["id"] == owl["id"]
    assert run("show", "1", "--json").json["prompt"] == "a fox"


def test_the_file_is_private(run: Imagegen, service, file: Path):
    """Only the user reads the session, which holds prompts."""
    run("draw", "a fox", *SMALL)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_long_file_is_shortened(monkeypatch: pytest.MonkeyPatch, run: Imagegen, service, file: Path):
    """A file that has grown long keeps its latest pictures and the requests that are not over."""
    monkeypatch.setattr(module, "_LONGEST", 6)
    monkeypatch.setattr(module, "_KEPT", 2)
    for words in ("a fox", "an owl", "a hare"):
        run("draw", words, *SMALL)
    opened().begin(REQUEST)
    _ = opened().memory
    lines = [json.loads(line) for line in file.read_text().splitlines()]

    assert [line["image"]["prompt"] for line in lines if "image" in line] == ["an owl", "a hare"]
    assert len([line for line in lines if "begun" in line]) == 1


def test_a_folder_that_cannot_be_written(run: Imagegen, service, monkeypatch: pytest.MonkeyPatch):
    """Without a place for the session nothing is bought, and the line says what to do."""
    Path("file").write_text("")
    monkeypatch.setenv("LANGCHAIN_IMAGEGEN_STATE", "file/inside")
    ended = run("draw", "a fox", *SMALL)

    assert ended.code == ExitCode.STORAGE
    assert "--session off" in ended.err
    assert service.pictures == 0
    assert run("draw", "a fox", *SMALL, "--session", "off").code == 0


def test_names_of_sessions():
    """A name leads out of no folder."""
    for name in ("../other", "", "a/b", "a" * 65):
        with pytest.raises(ValueError, match="is no name"):
            Session(name, ImageStore())
