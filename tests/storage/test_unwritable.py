"""Stores that cannot be written fail before anything is bought, with errors that contain no local path."""

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
def unwritable(tmp_path: Path) -> Path:
    """Return a folder that cannot be created, since its parent is a file."""
    (tmp_path / "file").write_bytes(b"")
    return tmp_path / IN_A_FILE


@pytest.mark.parametrize("stored", ["given", "default"])
def test_an_unwritable_store_costs_nothing(
    stored: str,
    unwritable: Path,
    half: Any,
    generator: Any,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
):
    """A store that cannot be written raises an error before any request is sent."""
    monkeypatch.setenv("LANGCHAIN_IMAGEGEN_STORE", str(unwritable))
    draw = generator(image_store=ImageStore(unwritable) if stored == "given" else None)

    with pytest.raises(ImageStoreError, match="the image store cannot be written"):
        half.invoke(draw, "a fox")
    assert simulator.requests == []


def test_check_writable_leaves_no_file(image_store: ImageStore, tmp_path: Path):
    """`check_writable` sets `known_writable` and leaves no file in the folder."""
    assert not image_store.known_writable

    image_store.check_writable()

    assert image_store.known_writable
    assert [path for path in (tmp_path / "images").rglob("*") if path.is_file()] == []


def test_check_writable_leaves_no_object():
    """`check_writable` sets `known_writable` and leaves no object in the bucket."""
    bucket = ImageStore("memory://tried")

    bucket.check_writable()

    assert bucket.known_writable
    assert list(bucket._shelf.place.listing()) == []


def test_a_local_path_is_only_in_the_traceback(unwritable: Path):
    """An error's message has no local path, since chat models read it; `.location` and the traceback have it."""
    with pytest.raises(ImageStoreError) as caught:
        ImageStore(unwritable).put(paint("a fox", size=(16, 16)))

    assert str(unwritable) not in str(caught.value)
    assert caught.value.location == str(unwritable)
    assert f"image store: {unwritable}" in "".join(traceback.format_exception(caught.value))


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


@pytest.mark.skipif(sys.platform == "win32", reason="users without a home folder exist on POSIX only")
def test_without_a_home_folder():
    """If the user has no home folder, the error says which environment variable to set."""
    plain = {name: value for name, value in os.environ.items() if name not in ("HOME", "LANGCHAIN_IMAGEGEN_STORE")}
    plain.pop("XDG_DATA_HOME", None)
    root = str(Path(__file__).parents[2])

    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_HOME],
        env={**plain, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert "set the environment variable LANGCHAIN_IMAGEGEN_STORE" in run.stdout


def test_an_unwritable_default_store_names_the_variable(unwritable: Path, monkeypatch: pytest.MonkeyPatch):
    """If the default folder cannot be created, the error says which environment variable to set."""
    monkeypatch.delenv("LANGCHAIN_IMAGEGEN_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(unwritable))
    monkeypatch.setenv("LOCALAPPDATA", str(unwritable))

    with pytest.raises(ImageStoreError, match="set the environment variable LANGCHAIN_IMAGEGEN_STORE"):
        ImageStore().check_writable()


@pytest.mark.parametrize("place", ["a\0b", "~nobody-of-this-name/images", "file://a\0b"])
def test_an_impossible_path_is_refused(place: str):
    """A path with NUL or of an unknown user raises an `OptionError` when the store is made."""
    with pytest.raises(OptionError, match="ImageStore cannot lie in"):
        ImageStore(place)


@pytest.mark.parametrize("password", ["hunter2", "hunter2/slash", "hunter2@at", "hunter2/a@b"])
def test_a_password_in_a_url_is_shown_nowhere(password: str):
    """Neither repr, location nor errors show the password of a URL, whatever characters it has."""
    store = ImageStore(f"memory://user:{password}@pictures")

    with pytest.raises(ImageStoreError) as caught:
        store.get("0" * 64)
    for text in (repr(store), store.location, "".join(traceback.format_exception(caught.value))):
        assert "hunter2" not in text


@pytest.mark.parametrize("age", [30, 0, "1 day", 1.5])
def test_prune_takes_a_timedelta(age: Any, image_store: ImageStore):
    """`prune(older_than=…)` refuses a bare number, which has no unit, and the error shows a `timedelta`."""
    with pytest.raises(OptionError, match=r"older_than=.*timedelta\(days="):
        image_store.prune(older_than=age)


def test_put_during_prune(tmp_path: Path):
    """`put` succeeds while another thread prunes everything."""
    store = ImageStore(tmp_path)
    pictures = [paint(f"a fox {number}", size=(16, 16)) for number in range(4)]
    errors: list[Exception] = []
    finished = threading.Event()

    def put() -> None:
        for number in range(150):
            try:
                store.put(pictures[number % 4])
            except ImageGenerationError as error:
                errors.append(error)

    def prune() -> None:
        while not finished.is_set():
            store.prune(older_than=timedelta(0))

    pruner = threading.Thread(target=prune)
    writers = [threading.Thread(target=put) for _ in range(4)]
    for thread in (pruner, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    finished.set()
    pruner.join()
    assert errors == []


def test_a_long_mime_type_is_quoted_in_part(image_store: ImageStore):
    """An error about an invalid MIME type of 10,000 characters stays shorter than 400 characters."""
    with pytest.raises(ImageStoreError) as caught:
        image_store.url("0" * 64, "x" * 10_000)
    assert len(str(caught.value)) < 400
