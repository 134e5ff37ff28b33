"""A store with a fallback: written to when the first fails twice, and read like the first."""

from __future__ import annotations

import logging
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from langchain_imagegen import ImageStore
from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.simulator import Simulator
from tests.broken_folders import full_disk, left_in, replaced_by_a_file
from tests.s3 import serving
from tests.streaming.test_sinks import png

PICTURE = png(50_000)
WAYS: list[dict[str, Any]] = [{}, {"delivery": "stream"}, {"api": "images"}]


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """The folder of the first store."""
    return tmp_path / "first"


@pytest.fixture
def second(tmp_path: Path) -> ImageStore:
    """The fallback: a bucket in memory, since a full disk is full for all folders of a process."""
    return ImageStore(f"memory://{tmp_path.name}")


@pytest.fixture
def store(first: Path, second: ImageStore) -> ImageStore:
    """A store with a fallback; a write has succeeded."""
    made = ImageStore(first, fallback=second)
    made.check_writable()
    return made


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_call_uses_the_fallback(way: dict[str, Any], half: Any, low: Any, store: ImageStore, second: ImageStore):
    """If the first store fails after the picture was paid for, the picture is in the fallback, with a warning."""
    draw = low(image_store=store, **way)
    with full_disk(Path(store.location)):
        result = half.invoke(draw, "draw a fox")

    assert any("fallback of the image store is used" in warning for warning in result.warnings)
    assert any("File too large" in warning for warning in result.warnings)
    assert result.image.sha256 in second
    assert result.image.read() == second.get(result.image.sha256)


def test_a_healthy_store_leaves_the_fallback_alone(low: Any, store: ImageStore, second: ImageStore):
    """While the first store works, nothing is written to the fallback and nobody is warned."""
    result = low(image_store=store).invoke("draw a fox")

    assert result.warnings == ()
    assert result.image.sha256 not in second
    assert result.image.sha256 in store


def test_the_fallback_is_logged(store: ImageStore, caplog: pytest.LogCaptureFixture):
    """A picture that goes into the fallback without a call is told of in the log."""
    with full_disk(Path(store.location)), caplog.at_level(logging.WARNING):
        store.put(PICTURE)

    assert "fallback of the image store is used" in caplog.text


def test_reading_looks_in_both(store: ImageStore, second: ImageStore, first: Path):
    """`get`, `blob` and `in` find what is in either store, whichever broke; the error names the first store's cause."""
    here, there = store.put(PICTURE), second.put(png(1000, seed=2))
    again = ImageStore(first, fallback=second)

    for each in (store, again):
        for blob in (here, there):
            assert blob.sha256 in each
            assert each.blob(blob.sha256) == blob
    assert again.get(there.sha256, "image/png") == second.get(there.sha256)
    with pytest.raises(ImageStoreError, match="no image 0000"):
        again.get("0" * 64)
    with replaced_by_a_file(first):
        assert again.get(there.sha256) == second.get(there.sha256)
        assert there.sha256 in again


def test_a_damaged_file_is_read_from_the_fallback(store: ImageStore, second: ImageStore, first: Path):
    """Bytes that were changed in the first store are not handed out if the fallback has the right ones."""
    blob = store.put(PICTURE)
    second.put(PICTURE)
    next(first.rglob("*.png")).write_bytes(b"changed")

    assert store.get(blob.sha256) == PICTURE


def test_links_lead_to_the_store_that_has_the_picture(first: Path, tmp_path: Path):
    """`url` links to the fallback for what is there, for stores that have just written and for those that have not."""
    bucket = f"memory://{tmp_path.name}"
    second = ImageStore(bucket, public_url="https://second.example/{name}")
    store = ImageStore(first, public_url="https://first.example/{name}", fallback=second)
    here = store.put(PICTURE)
    with full_disk(first):
        there = store.put(png(60_000, seed=3))

    for each in (store, pickle.loads(pickle.dumps(store))):
        assert each.url(here.sha256, "image/png").startswith("https://first.example/")
        assert each.url(there.sha256, "image/png").startswith("https://second.example/")
        assert each.url("0" * 64, "image/png").startswith("https://first.example/")


def test_both_fail(store: ImageStore, half: Any, low: Any, tmp_path: Path):
    """If the fallback fails as well, the error gives both causes and carries the picture."""
    other = tmp_path / "other"
    both = ImageStore(store.location, fallback=other)
    both.check_writable()
    with (
        full_disk(other),
        pytest.raises(ImageStoreError, match=r"File too large.*nor can its fallback.*File too") as caught,
    ):
        half.invoke(low(image_store=both), "draw a fox")

    assert caught.value.result.image.to_pil()
    assert left_in(tmp_path) == []


def test_a_fallback_that_takes_less(store: ImageStore, first: Path):
    """A picture that is too large for the fallback is still not lost."""
    small = ImageStore(first, fallback=ImageStore("memory://small", max_bytes=1000))
    with full_disk(first), pytest.raises(ImageStoreError, match="max_bytes=1000"):
        small.put(PICTURE)


def test_drawing_goes_on_with_the_fallback(low: Any, first: Path, second: ImageStore, simulator: Simulator):
    """A first store that never worked costs nothing: the fallback is tried with a write, and takes the pictures."""
    first.write_bytes(b"")
    draw = low(image_store=ImageStore(first, fallback=second))

    fox, owl = draw.invoke("draw a fox"), draw.invoke("draw an owl")

    assert fox.image.sha256 in second
    assert owl.image.sha256 in second
    assert simulator.pictures == 2


def test_a_store_and_a_fallback_that_never_worked(low: Any, first: Path, tmp_path: Path, simulator: Simulator):
    """If neither can be written, both causes are told before anything is paid for."""
    first.write_bytes(b"")
    (tmp_path / "second").write_bytes(b"")
    draw = low(image_store=ImageStore(first, fallback=tmp_path / "second" / "folder"))

    with pytest.raises(ImageStoreError, match="nor can its fallback"):
        draw.invoke("draw a fox")
    assert simulator.requests == []


def test_repr_equality_and_pickles(first: Path, tmp_path: Path):
    """The fallback is shown, compared and pickled; it may be given as a folder, a URL or a store."""
    store = ImageStore(first, fallback="memory://second")

    assert repr(store) == f"ImageStore({str(first)!r}, fallback=ImageStore('memory://second'))"
    assert store == ImageStore(first, fallback=ImageStore("memory://second"))
    assert store != ImageStore(first)
    assert store != ImageStore(first, fallback=tmp_path)
    assert repr(pickle.loads(pickle.dumps(store))) == repr(store)


def test_notes_are_kept_in_the_first_alone(store: ImageStore, second: ImageStore, first: Path):
    """What exactly one writer may claim is never claimed a second time in the fallback."""
    assert store.put_if_absent("key", b"1")
    assert second.read_key("key") is None
    with replaced_by_a_file(first), pytest.raises(ImageStoreError):
        store.put_if_absent("other", b"1")


def test_deleting_and_pruning_reach_the_fallback(store: ImageStore, second: ImageStore):
    """What is deleted or pruned is gone from both stores."""
    here, there = store.put(PICTURE), second.put(PICTURE)
    other = second.put(png(1000, seed=4))

    assert here == there
    assert store.delete(here.sha256)
    assert here.sha256 not in second
    assert store.prune(older_than=timedelta(0)) == [other.sha256]
    assert other.sha256 not in store


def test_s3_that_goes_down(half: Any, low: Any, tmp_path: Path):
    """When S3 is gone the picture is in the folder that was named as fallback; without one it is in the error."""
    with serving() as options:
        once = {**options, "config_kwargs": {"retries": {"max_attempts": 1}, "connect_timeout": 2}}
        bucket = ImageStore("s3://pictures/down", fallback=tmp_path / "fallback", **once)
        alone = ImageStore("s3://pictures/alone", **once)
        for each in (bucket, alone):
            each.check_writable()

    result = half.invoke(low(image_store=bucket), "draw a fox")
    with pytest.raises(ImageStoreError, match="s3://pictures/alone cannot be written") as caught:
        half.invoke(low(image_store=alone), "draw a fox")

    assert any("s3://pictures/down cannot be written" in warning for warning in result.warnings)
    assert result.image.to_pil().size == (816, 816)
    assert len(left_in(tmp_path / "fallback")) == 1
    assert caught.value.result.image.to_pil().size == (816, 816)
