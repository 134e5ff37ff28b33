"""`imagegen draw` and `imagegen edit` when something goes wrong: what is said, and what the same command does then."""

from __future__ import annotations

import json
import re
import shutil
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from langchain_imagegen import ImageStore
from langchain_imagegen.cli.exit_codes import ExitCode
from langchain_imagegen.simulator import (
    Simulator,
    bad_key,
    cut_body,
    http_error,
    moderated,
    no_image,
    organization_not_verified,
    quota_exceeded,
)
from tests.cli.conftest import SMALL, Imagegen
from tests.cli.test_session import ended_process


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (moderated("input", ["violence"]), ExitCode.REFUSED, "violence"),
        (bad_key(), ExitCode.ACCOUNT, "key"),
        (quota_exceeded(), ExitCode.ACCOUNT, "credit"),
        (organization_not_verified(), ExitCode.ACCOUNT, "verif"),
    ],
    ids=["moderated", "key", "quota", "verified"],
)
def test_what_the_service_refuses(run: Imagegen, service, fault, code: ExitCode, words: str):
    """A refusal is one line that says why, and has an exit code of its own."""
    service.script(fault)
    ended = run("draw", "a fox", *SMALL, "--json")

    assert ended.code == code
    assert words in ended.err
    assert ended.err.startswith("imagegen: ")
    assert ended.err.count("\n") == 1
    assert ended.json["error"]["exit_code"] == code


def test_an_answer_without_a_picture(run: Imagegen, service):
    """If the model answers in words, the line has them."""
    service.script(no_image("I would rather write a poem."))
    ended = run("draw", "a fox", *SMALL)

    assert ended.code == ExitCode.FAILED
    assert "I would rather write a poem." in ended.err


def test_a_service_that_cannot_be_reached(run: Imagegen, service, monkeypatch: pytest.MonkeyPatch):
    """Without a connection the exit code is that of the service, and the line says what to check."""
    service.stop()
    ended = run("draw", "a fox", *SMALL, "--debug")
    service.start()

    assert ended.code == ExitCode.SERVICE
    assert "Traceback" in ended.err


def test_pictures_that_are_not_there(run: Imagegen, service):
    """An unknown picture is named, with what to do."""
    assert "no picture yet" in run("edit", "last", "make it night").err
    assert "there is no file 'fox.png'" in run("edit", "fox.png", "make it night").err
    ended = run("edit", "img_00000000", "make it night")

    assert ended.code == ExitCode.NO_PICTURE
    assert "imagegen list" in ended.err


def test_a_store_that_cannot_be_written(run: Imagegen, service, tmp_path: Path):
    """Without a place for the picture nothing is bought."""
    Path("file").write_text("")
    ended = run("draw", "a fox", *SMALL, "--store", "file/inside")

    assert ended.code == ExitCode.STORAGE
    assert service.pictures == 0


def test_a_command_that_bought_nothing_leaves_nothing(run: Imagegen, service, own_state: Path):
    """After a store error that came before the purchase, the same command looks for no earlier picture."""
    Path("file").write_text("")
    run("draw", "a fox", *SMALL, "--store", "file/inside")
    session = own_state / "state" / "sessions" / "default.jsonl"
    session.write_text(re.sub(r'"process": \{.*?\}', f'"process": {json.dumps(ended_process())}', session.read_text()))
    again = run("draw", "a fox", *SMALL)

    assert "looking for that one first" not in again.err
    assert service.pictures == 1


def test_without_a_key(run: Imagegen):
    """Without a key the line says what to set, and how to try it offline."""
    ended = run("draw", "a fox")

    assert ended.code == ExitCode.ACCOUNT
    for words in ("export OPENAI_API_KEY=", "OPENAI_BASE_URL", "--simulate", "imagegen simulate"):
        assert words in ended.err


def test_no_message_speaks_python(run: Imagegen, service, monkeypatch: pytest.MonkeyPatch, own_folder: Path):
    """What Python users write otherwise is said in the words of the command line, in errors, warnings and notes."""
    run("draw", "a fox", *SMALL, "--once", "poster")
    named = run("draw", "an owl", *SMALL, "--once", "poster").err
    ImageStore(own_folder).prune(older_than=timedelta(0))
    lost = [run("show").err, run("show", "-o", "fox.png").err]
    day = run("find", "--day", "yesterday").err
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    unreachable = run("draw", "a fox", *SMALL).err

    assert "the picture named --once 'poster' was bought with another request; another --once buys a new one" in named
    assert all("written to another store; pass that one as --store\n" in each for each in lost)
    assert "--day 'yesterday' is no day: write it as '2026-11-26'\n" in day
    assert "check OPENAI_BASE_URL and the network" in unreachable


def test_a_mask_without_alpha(run: Imagegen, service):
    """A mask that marks nothing is a wrong call, which names `--box`, and nothing is bought."""
    run("draw", "a fox", *SMALL)
    sent = len(service.requests)
    Image.new("L", (64, 64)).save("mask.png")
    ended = run("edit", "last", "make it night", *SMALL, "--mask", "mask.png")

    assert ended.code == ExitCode.USAGE
    assert "--mask 'img_" in ended.err
    assert "transparent where that may change; --box makes one\n" in ended.err
    assert len(service.requests) == sent


def test_a_broken_connection_is_recovered(run: Imagegen, service):
    """A connection that breaks while the service draws loses nothing: the command fetches the picture by its id."""
    service.script(cut_body(fraction=0.5))
    ended = run("draw", "a fox", *SMALL)

    assert ended.code == 0
    assert "warning" in ended.err
    assert service.pictures == 1


def test_a_lost_picture_is_fetched_by_the_same_command(run: Imagegen, service):
    """If a picture cannot be fetched after the connection broke, the same command later gets it and buys nothing."""
    service.script(cut_body(6_000))
    service.script(http_error(404), method="GET")
    lost = run("draw", "a fox", *SMALL, "--delivery", "stream")
    again = run("draw", "a fox", *SMALL, "--delivery", "stream", "--json")

    assert lost.code == ExitCode.SERVICE
    assert "the same command again looks for it first" in lost.err
    assert again.json["from_ledger"]
    assert "An earlier run of this command could not keep its picture" in again.err
    assert service.pictures == 1


def test_a_file_that_cannot_be_written(run: Imagegen, service):
    """If `--out` fails after the picture was bought, the line says where the picture is."""
    Path("file").write_text("")
    ended = run("draw", "a fox", *SMALL, "-o", "file/fox.png")
    handle = re.search(r"imagegen show (img_\w+) --out", ended.err)

    assert ended.code == ExitCode.STORAGE
    assert run("show", handle[1], "--json").json["prompt"] == "a fox"
    assert run("edit", "last", "make it night", *SMALL).code == 0


def test_a_store_that_fails_too_late(run: Imagegen, monkeypatch: pytest.MonkeyPatch, own_folder: Path):
    """A picture that is paid for and cannot be stored is written beside, and its file is named."""
    with Simulator(latency=0.3) as simulator:
        monkeypatch.setenv("OPENAI_BASE_URL", simulator.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-test")
        breaking = threading.Thread(target=break_when_asked, args=(simulator, own_folder))
        breaking.start()
        ended = run("draw", "a fox", *SMALL, "--session", "off")
        breaking.join()

    written = list(Path().glob("img_*.png"))
    assert ended.code == ExitCode.STORAGE
    assert len(written) == 1
    assert str(written[0]) in ended.err


def break_when_asked(simulator: Simulator, folder: Path) -> None:
    """Put a file in the place of a folder as soon as a request has arrived."""
    while not simulator.requests:
        threading.Event().wait(0.01)
    shutil.rmtree(folder)
    folder.write_bytes(b"")
