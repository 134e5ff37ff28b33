"""Stores that cannot be written or named are told of before anything is paid for, and without their local paths."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from langchain_imagegen import ImageStore
from langchain_imagegen.errors import ImageGenerationError, ImageStoreError, OptionError
from langchain_imagegen.simulator import Simulator
from langchain_imagegen.simulator.drawing import draw as paint

IN_A_FILE = "file/folder"


@pytest.fixture
def blocked(tmp_path: Path) -> Path:
    """A folder that cannot be made, since a file stands in its way."""
    (tmp_path / "file").write_bytes(b"")
    return tmp_path / IN_A_FILE


@pytest.mark.parametrize("stored", ["given", "default"])
def test_a_store_that_cannot_be_written_costs_nothing(
    stored: str,
    blocked: Path,
    half: Any,
    generator: Any,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
):
    """The store is tried with a write before the first request, so that no paid picture is lost."""
    monkeypatch.setenv("LANGCHAIN_IMAGEGEN_STORE", str(blocked))
    draw = generator(image_store=ImageStore(blocked) if stored == "given" else None)

    with pytest.raises(ImageStoreError, match="the image store cannot be written"):
        half.invoke(draw, "a fox")
    assert simulator.requests == []


def test_a_store_is_tried_once(image_store: ImageStore, tmp_path: Path):
    """After one write has succeeded nothing is tried again, and the try leaves no file."""
    assert not image_store.known_writable

    image_store.check_writable()

    assert image_store.known_writable
    assert [path for path in (tmp_path / "images").rglob("*") if path.is_file()] == []


def test_a_bucket_is_tried_too():
    """A bucket takes a small object, which is removed."""
    bucket = ImageStore("memory://tried")

    bucket.check_writable()

    assert bucket.known_writable
    assert list(bucket._place.listing()) == []


def test_an_error_has_no_local_path_but_its_traceback_has(blocked: Path):
    """A chat model reads the message; a developer reads `.location` and the note in the traceback."""
    with pytest.raises(ImageStoreError) as caught:
        ImageStore(blocked).put(paint("a fox", size=(16, 16)))

    assert str(blocked) not in str(caught.value)
    assert caught.value.location == str(blocked)
    assert f"image store: {blocked}" in "".join(traceback.format_exception(caught.value))


WITHOUT_HOME = """
import pwd
def nobody(uid):
    raise KeyError(uid)
pwd.getpwuid = nobody
from langchain_imagegen import ImageGenerator
from langchain_imagegen.errors import ImageStoreError
try:
    ImageGenerator(api_key="k", base_url="http://127.0.0.1:9/v1").invoke("a fox")
except ImageStoreError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a user without a home folder is a matter of POSIX")
def test_without_a_home_folder_the_error_names_the_variable():
    """In a container whose user is unknown the error comes before anything is sent, and says what to set."""
    plain = {name: value for name, value in os.environ.items() if name not in ("HOME", "LANGCHAIN_IMAGEGEN_STORE")}
    plain.pop("XDG_DATA_HOME", None)
    root = str(Path(__file__).parents[2])

    told = subprocess.run(
        [sys.executable, "-c", WITHOUT_HOME],
        env={**plain, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert "set the environment variable LANGCHAIN_IMAGEGEN_STORE" in told.stdout


def test_a_private_folder_that_cannot_be_made_names_the_variable(blocked: Path, monkeypatch: pytest.MonkeyPatch):
    """With a home folder that is read-only, as `/` is in many containers, the error says what to set."""
    monkeypatch.delenv("LANGCHAIN_IMAGEGEN_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(blocked))
    monkeypatch.setenv("LOCALAPPDATA", str(blocked))

    with pytest.raises(ImageStoreError, match="set the environment variable LANGCHAIN_IMAGEGEN_STORE"):
        ImageStore().check_writable()


@pytest.mark.parametrize("place", ["a\0b", "~nobody-of-this-name/images", "file://a\0b"])
def test_a_place_that_cannot_be_is_our_error(place: str):
    """NUL in a path and the home folder of an unknown user are refused when the store is made."""
    with pytest.raises(OptionError, match="ImageStore cannot lie in"):
        ImageStore(place)


@pytest.mark.parametrize("password", ["hunter2", "hunter2/slash", "hunter2@at", "hunter2/a@b"])
def test_a_password_in_a_url_is_shown_nowhere(password: str):
    """Neither repr, location nor errors show the user part of a URL, whatever letters are in it."""
    store = ImageStore(f"memory://user:{password}@pictures")

    with pytest.raises(ImageStoreError) as caught:
        store.get("0" * 64)
    for text in (repr(store), store.location, "".join(traceback.format_exception(caught.value))):
        assert "hunter2" not in text


@pytest.mark.parametrize("age", [30, 0, "1 day", 1.5])
def test_an_age_must_have_a_unit(age: Any, image_store: ImageStore):
    """A bare number could be days or seconds, and pictures are deleted by it: the error says what to give."""
    with pytest.raises(OptionError, match=r"older_than=.*timedelta\(days="):
        image_store.prune(older_than=age)


def test_pruning_everything_fails_no_writer(tmp_path: Path):
    """Pictures can be put while others prune all of them."""
    store = ImageStore(tmp_path)
    pictures = [paint(f"a fox {number}", size=(16, 16)) for number in range(4)]
    failed: list[Exception] = []
    ended = threading.Event()

    def put() -> None:
        for number in range(150):
            try:
                store.put(pictures[number % 4])
            except ImageGenerationError as error:
                failed.append(error)

    def prune() -> None:
        while not ended.is_set():
            store.prune(older_than=timedelta(0))

    pruning = threading.Thread(target=prune)
    writers = [threading.Thread(target=put) for _ in range(4)]
    for thread in (pruning, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    pruning.join()
    assert failed == []


def test_a_forged_type_is_shown_in_part(image_store: ImageStore):
    """What should be a MIME type is quoted with 40 characters at most."""
    with pytest.raises(ImageStoreError) as caught:
        image_store.url("0" * 64, "x" * 10_000)
    assert len(str(caught.value)) < 400
