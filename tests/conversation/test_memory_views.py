"""What people see and keep of a memory: tree, grid, page, files, and portable copies."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from langchain_imagegen import GeneratedImage, ImageGenerator, ImageMemory, ImageStore
from langchain_imagegen.errors import OptionError
from langchain_imagegen.simulator.drawing import draw as paint
from tests.images.test_svg import Tags
from tests.images.test_views import MARKUP

FOX = paint("a fox", size=(64, 48))


@pytest.fixture
def drawn(half: Any, low: Any) -> ImageMemory:
    """Return the memory of a fox that was drawn and edited."""
    draw: ImageGenerator = low(memory=ImageMemory())
    half.invoke(draw, "Draw a fox, please!")
    half.invoke(draw, "Make it winter", images=["last"], output_format="webp")
    return draw.memory


def image(store: ImageStore, id: str = "ig_1", data: bytes = FOX, **facts: Any) -> GeneratedImage:
    """Return an image whose bytes are in a store."""
    return GeneratedImage.of(store.put(data), **{"id": id, "provider": "api.example", **facts}).bind(store)


# Views


def test_the_tree_has_size_quality_tokens_price_and_seconds(drawn: ImageMemory):
    """Each line of the tree, and each picture of the grid, says what it took; a sum over both is the memory's cost."""
    facts = re.compile(r"816x816 · low · [\d,]+ tokens · \$0\.\d{4} · \d+\.\d s$")

    for text in (repr(drawn.grid()), drawn._repr_mimebundle_()["text/plain"]):
        assert [bool(facts.search(line)) for line in text.splitlines()] == [True, True]
    assert all(isinstance(each.seconds, float) for each in drawn)
    assert drawn.cost().total is not None


def test_a_grid_shows_every_picture(drawn: ImageMemory):
    """The grid has a preview, the handle and the prompt of each picture, in so many columns."""
    html = drawn.grid(columns=3).bundle["text/html"]

    assert html.count("<img") == html.count("<figure") == 2
    assert "repeat(3,minmax(0," in html  # no wider than the notebook
    assert all(text in html for text in (drawn.handle("1"), "Draw a fox, please!", "Make it winter", "\u00a0tokens"))


def test_a_page_needs_nothing_else(drawn: ImageMemory):
    """The page is complete HTML with its previews inside, and names no other file and no script."""
    page = drawn.to_html(title="Foxes & friends")
    tags = Tags(page).found

    assert page.startswith("<!doctype html>")
    assert "<title>Foxes &amp; friends</title>" in page
    assert len([tag for tag, _ in tags if tag == "img"]) == 4
    assert all(str(found["src"]).startswith("data:image/") for tag, found in tags if tag == "img")
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe"}


def test_a_page_is_written_to_a_path(drawn: ImageMemory, tmp_path: Path):
    """With a path, the page is written there; a file that is there stays."""
    paths = [drawn.to_html(tmp_path / "new" / "foxes.html", title="Foxes") for _ in range(2)]

    assert [path.name for path in paths] == ["foxes.html", "foxes-2.html"]
    assert paths[0].read_text(encoding="utf-8") == drawn.to_html(title="Foxes")


def test_an_empty_memory_says_so():
    """A memory without images says that it has none, instead of showing nothing."""
    for bundle in (ImageMemory()._repr_mimebundle_(), ImageMemory().grid().bundle):
        assert bundle == {"text/plain": "no picture yet", "text/html": "<p>no picture yet</p>"}


@pytest.mark.parametrize("written", MARKUP)
def test_markup_is_text_in_grid_and_page(written: str, image_store: ImageStore):
    """Markup in a prompt, id or title adds no element to a grid or a page."""
    memory = ImageMemory([image(image_store, written, prompt=written, quality=written)], image_store=image_store)
    allowed = {"html", "head", "meta", "title", "style", "body", "h1", "hr", "div", "img", "figure", "figcaption", "p"}

    for html in (memory.grid().bundle["text/html"], memory.to_html(title=written)):
        found = Tags(html).found
        assert {tag for tag, _ in found} <= allowed | {"code"}
        assert not [name for _, attributes in found for name in attributes if name.startswith("on")]


# Files


def test_saved_names_say_what_is_in_them(drawn: ImageMemory, tmp_path: Path):
    """Every picture is a file named by number, prompt and handle, with the suffix of its format and its exact bytes."""
    paths = drawn.save(tmp_path / "new" / "foxes")

    one, two = (drawn.handle(number) for number in ("1", "2"))
    assert [path.name for path in paths] == [f"01-draw-a-fox-please-{one}.png", f"02-make-it-winter-{two}.webp"]
    assert [path.read_bytes() for path in paths] == [each.read() for each in drawn]


def test_saving_overwrites_nothing(image_store: ImageStore, tmp_path: Path):
    """Saving twice writes no file twice, and a file of another content keeps its name and its bytes."""
    memory = ImageMemory([image(image_store, prompt="../../ein Füchslein/\0")], image_store=image_store)
    first = memory.save(tmp_path)
    assert memory.save(tmp_path) == first
    first[0].write_bytes(b"mine")

    (second,) = memory.save(tmp_path)
    assert second.name == first[0].name.replace(".png", "-2.png")
    assert "ein-füchslein" in second.name
    assert (first[0].read_bytes(), second.read_bytes()) == (b"mine", FOX)
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "images", first[0], second])


def test_a_picture_that_is_gone_is_named(image_store: ImageStore, tmp_path: Path):
    """Saving and dumping leave out a picture whose bytes are gone, with a warning that names it."""
    gone = image(image_store, "ig_2", paint("b", size=(16, 16)))
    memory = ImageMemory([image(image_store), gone], image_store=image_store)
    image_store.delete(gone)

    with pytest.warns(UserWarning, match=f"not at hand: {memory.handle('2')}"):
        assert len(memory.save(tmp_path / "files")) == 1
    with pytest.warns(UserWarning, match=f"not at hand: {memory.handle('2')}"):
        assert len(ImageMemory.load(memory.dump(tmp_path / "copy.zip"))) == 2


# Portable copies


@pytest.mark.parametrize("name", ["copy.zip", "copy", "copy/"])
def test_a_dump_is_read_on_another_machine(name: str, drawn: ImageMemory, tmp_path: Path):
    """A ZIP file or a folder gives the same images, links, forgotten images and bytes in an empty store."""
    drawn.add({**drawn[0].record(), "id": "ig_secret"})
    drawn.forget("ig_secret")
    path = drawn.dump(f"{tmp_path}/{name}")
    elsewhere = ImageStore(str(tmp_path / "elsewhere"))

    memory = ImageMemory.load(path, image_store=elsewhere)

    assert memory.to_records() == drawn.to_records()
    assert [each.read() for each in memory] == [each.read() for each in drawn]
    assert all(each.sha256 in elsewhere for each in memory)
    assert memory.lineage("last")[0] == memory[0]
    assert pickle.loads(pickle.dumps(memory)).to_records() == memory.to_records()


def test_a_dump_without_pictures_is_small(drawn: ImageMemory, tmp_path: Path):
    """Without bytes the copy has a few KB, and its pictures are read where the store is the same."""
    path = drawn.dump(tmp_path / "copy.zip", pictures=False)

    assert path.stat().st_size < 5_000
    memory = ImageMemory.load(path, image_store=drawn[0]._store)
    assert [each.read() for each in memory] == [each.read() for each in drawn]


def test_a_dump_replaces_an_earlier_one(image_store: ImageStore, tmp_path: Path):
    """Dumping to the same path again leaves the later memory and no unfinished file."""
    memory = ImageMemory([image(image_store)], image_store=image_store)
    for name in ("copy.zip", "copy"):
        memory.dump(tmp_path / name)
    memory.add(image(image_store, "ig_2"))

    for name in ("copy.zip", "copy"):
        assert len(ImageMemory.load(memory.dump(tmp_path / name))) == 2
    assert not [*tmp_path.glob(".*.partial"), *(tmp_path / "copy").rglob(".*.partial")]


def zip_of(path: Path, **files: bytes) -> Path:
    """Write a ZIP file whose names are arguments, and return its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name.replace("__", "/").replace("_json", ".json"), data)
    return path


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (None, "holds no memory.json"),
        (b"{", "holds no memory.json"),
        (b"[]", "holds no memory.json"),
        (b'{"format": "langchain_imagegen.memory", "version": 9, "records": []}', "a later version"),
        (b'{"format": "langchain_imagegen.memory", "version": 1, "records": {}}', "holds no memory.json"),
    ],
)
def test_what_is_no_dump_is_refused(index: bytes | None, words: str, tmp_path: Path):
    """A file that `dump` did not write, or a later version did, is an `OptionError` that says so."""
    path = zip_of(tmp_path / "a.zip", **({} if index is None else {"memory_json": index}))

    with pytest.raises(OptionError, match=words):
        ImageMemory.load(path)
    (tmp_path / "b.zip").write_bytes(b"no zip")
    with pytest.raises(OptionError, match="no ZIP file"):
        ImageMemory.load(tmp_path / "b.zip")
    with pytest.raises(FileNotFoundError):
        ImageMemory.load(tmp_path / "c.zip")


def test_a_hostile_dump_does_no_harm(image_store: ImageStore, tmp_path: Path):
    """Bytes that do not fit their digest, or are too many, are not taken, and no record names a file elsewhere."""
    good = image(image_store).record()
    bomb = {**good, "id": "ig_2", "sha256": "1" * 64}
    odd = {**good, "id": "ig_3", "sha256": "../../../etc/passwd"}
    index = {"format": "langchain_imagegen.memory", "version": 1, "records": [good, bomb, odd, 7, "x"]}
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("memory.json", json.dumps(index))
        file.writestr(f"images/{good['sha256']}.png", paint("another", size=(16, 16)))
        file.writestr(f"images/{'1' * 64}.png", b"\0" * 3_000_000)
        file.writestr("../../../etc/passwd.png", FOX)
    elsewhere = ImageStore(str(tmp_path / "elsewhere"), max_bytes=1_000_000)

    with pytest.warns(UserWarning, match="their bytes are damaged"):
        memory = ImageMemory.load(path, image_store=elsewhere)
    assert [each.id for each in memory] == ["ig_1", "ig_2"]
    assert not [each for each in memory if each.sha256 in elsewhere]
