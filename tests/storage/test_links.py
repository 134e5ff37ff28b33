"""Links in the folder of an image store: nothing is read, written or removed through a link to something else."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from langchain_imagegen import ImageStore
from langchain_imagegen.errors import ImageStoreError
from langchain_imagegen.simulator.drawing import draw as paint

PNG = paint("a fox", size=(16, 16))
DIGEST = "ab" + "0" * 62


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a folder beside the store, with a file that is not the store's."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / f"{DIGEST}.png").write_bytes(PNG)
    os.utime(folder / f"{DIGEST}.png", (0, 0))
    return folder


def test_a_link_to_another_file_is_not_read(image_store: ImageStore, outside: Path):
    """A link in the place of a picture hands out no other bytes than those with its digest."""
    secret = outside / "secret"
    secret.write_text("a secret")
    link = Path(image_store.location) / "ab" / f"{DIGEST}.png"
    link.parent.mkdir(parents=True)
    link.symlink_to(secret)

    with pytest.raises(ImageStoreError, match="was changed or cut") as caught:
        image_store.get(DIGEST, "image/png")
    assert "a secret" not in str(caught.value)


def test_a_link_is_replaced_and_not_written_through(image_store: ImageStore, outside: Path):
    """`put` replaces a link in the place of a picture, and the file that it points to stays as it is."""
    blob = image_store.put(PNG)
    place = next(Path(image_store.location).rglob("*.png"))
    place.unlink()
    target = outside / "theirs"
    target.write_text("theirs")
    place.symlink_to(target)

    image_store.put(PNG)
    assert target.read_text() == "theirs"
    assert not place.is_symlink()
    assert image_store.get(blob.sha256) == PNG


def test_prune_removes_nothing_behind_a_link(image_store: ImageStore, outside: Path):
    """`prune` removes no file of a folder that a link in the store points to, be it named like a picture or not."""
    image_store.put(PNG)
    root = Path(image_store.location)
    (root / "ab").symlink_to(outside, target_is_directory=True)
    for leftovers in (root / ".partial").iterdir():
        leftovers.unlink()
    (root / ".partial").rmdir()
    (root / ".partial").symlink_to(outside, target_is_directory=True)

    assert DIGEST not in image_store.prune(older_than=timedelta(0))
    assert [path.name for path in outside.iterdir()] == [f"{DIGEST}.png"]


def test_prune_removes_only_its_own_leftovers(image_store: ImageStore):
    """Of the old files between unfinished pictures, `prune` removes those that a writer of the package left."""
    image_store.put(PNG)
    folder = Path(image_store.location) / ".partial"
    names = {"theirs.txt", f"{os.getpid()}-{'0' * 32}"}
    for name in names:
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (0, time.time() - 10 * 24 * 3600))

    image_store.prune(older_than=timedelta(days=1))
    assert {path.name for path in folder.iterdir()} == {"theirs.txt"}


@pytest.mark.parametrize("through", ["root", "parent"])
def test_a_store_may_lie_behind_a_link(through: str, tmp_path: Path):
    """The store's own folder or one above it may be a link, as in a home folder on another disk."""
    (tmp_path / "disk" / "images").mkdir(parents=True)
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path / "disk" / ("images" if through == "root" else ""), target_is_directory=True)
    store = ImageStore(linked if through == "root" else linked / "images")

    blob = store.put(PNG)
    assert store.get(blob.sha256) == PNG
    assert store.prune(older_than=timedelta(0)) == [blob.sha256]
