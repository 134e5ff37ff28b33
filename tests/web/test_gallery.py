"""`write_gallery`: pictures as one page that needs no server and no network, used in headless Chromium."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from langchain_imagegen import ImageLibrary, ImageMemory
from langchain_imagegen.conversation.messages import upload
from langchain_imagegen.errors import OptionError
from langchain_imagegen.web import write_gallery
from tests.browser import launched

EVIL = "</script><script>window.harm = 1</script><img src=x onerror='window.harm = 1'>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Yield a headless Chromium, for this module."""
    with launched() as opened:
        yield opened


@pytest.fixture
def memory(low, image_store):
    """Return a memory of a fox, its two edits and an owl."""
    memory = ImageMemory(image_store=image_store)
    draw = low(memory=memory)
    draw.invoke("draw a fox")
    draw.invoke("make it winter", images=["last"])
    draw.invoke("make it night", images=["1"])
    draw.invoke(f"draw an owl {EVIL}")
    return memory


@pytest.fixture
def page(browser, memory, tmp_path):
    """Yield the gallery of the memory in a browser; it must log no error."""
    path = write_gallery(memory, tmp_path / "gallery.html", title=f"Foxes {EVIL}")
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(path.as_uri())
    yield page
    assert page.evaluate("window.harm") is None
    page.close()
    assert not errors


def entries(path: Any) -> list[dict[str, Any]]:
    """Return what a page knows of its pictures."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(found[1])["images"]


def test_search_and_open(page):
    """The search leaves what has all words; a click opens a picture with its facts, and the arrows go on."""
    assert page.locator(".card").count() == 4
    page.keyboard.press("/")
    page.keyboard.type("WINTER make")
    assert page.locator(".card").count() == 1
    assert page.locator("#count").inner_text() == "1 of 4 pictures"

    page.locator("#search").fill("")
    page.locator(".card").first.click()
    assert page.locator("dialog h2").inner_text() == "draw a fox"
    facts = page.locator("dialog dl").inner_text()
    assert "gpt-image-2" in facts
    assert "$0.0" in facts
    page.keyboard.press("ArrowRight")
    assert page.locator("dialog h2").inner_text() == "make it winter"
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()


def test_family_and_slider(page):
    """The tree puts edits below their source; an opened edit has a slider that shows the picture before it."""
    page.locator("#tree").click()
    depths = page.evaluate(
        "[...document.querySelectorAll('#cards li')].map((li) => li.style.getPropertyValue('--depth'))"
    )
    assert depths == ["0", "1", "1", "0"]

    page.get_by_text("make it winter").click()
    slider = page.get_by_label("show the picture before the edit")
    slider.click(position={"x": 5, "y": 5})  # nothing lies over it
    slider.fill("75")
    assert page.locator(".stage").evaluate("(stage) => stage.style.getPropertyValue('--cut')") == "75%"
    page.get_by_label(re.compile("made from")).click()
    assert page.locator("dialog h2").inner_text() == "draw a fox"


def test_texts_are_text(page):
    """Nothing in a title, prompt or revised prompt becomes an element or runs."""
    assert EVIL in page.locator("h1").inner_text()
    assert EVIL in page.locator(".card b").nth(3).text_content()


def test_where_the_originals_are(memory, tmp_path):
    """Full pictures lie beside the page, in it, or nowhere."""
    beside = entries(write_gallery(memory, tmp_path / "a.html"))
    embedded = entries(write_gallery(memory, tmp_path / "b.html", originals="embedded"))
    nowhere = entries(write_gallery(memory, tmp_path / "c.html", originals=None))

    assert (tmp_path / beside[0]["original"]).read_bytes() == memory[0].read()
    assert embedded[0]["original"] == memory[0].to_data_url()
    assert nowhere[0]["original"] == ""
    assert [path.name for path in tmp_path.iterdir() if path.is_dir() and path.name != "images"] == ["a_files"]


def test_a_file_of_the_user_stays(memory, tmp_path):
    """An earlier gallery is replaced, so that a cell can run again; any other file stays, and the page is numbered."""
    first = write_gallery(memory, tmp_path / "foxes.html")
    assert write_gallery(memory, tmp_path / "foxes.html") == first
    (tmp_path / "keep.html").write_text("<!doctype html><title>My page</title>")
    page = write_gallery(memory, tmp_path / "keep.html")

    assert page.name == "keep-2.html"
    assert "My page" in (tmp_path / "keep.html").read_text()


def test_a_device_is_no_file_of_the_user(memory):
    """A page can be written to a device, such as standard output."""
    assert str(write_gallery(memory, os.devnull, originals=None)) == os.devnull


def test_a_folder_is_no_page(memory, tmp_path, monkeypatch):
    """A path that is a folder is refused with the name of a file in it."""
    monkeypatch.chdir(tmp_path)
    for path in (".", tmp_path, "new/", ""):
        with pytest.raises(OptionError, match=r"is a folder: name the file to write, such as '.*/gallery.html'"):
            write_gallery(memory, path)


def test_every_kind_of_source(memory, low, tmp_path):
    """Images, results and libraries are shown as well; what has no images is refused."""
    library = ImageLibrary(memory.image_store)
    result = low(library=library).invoke("draw a hill")

    assert len(entries(write_gallery(result, tmp_path / "a.html"))) == 1
    assert len(entries(write_gallery([result, *memory, result.image], tmp_path / "b.html"))) == 5
    assert [each["prompt"] for each in entries(write_gallery(library, tmp_path / "c.html"))] == ["draw a hill"]
    for nothing in ([], "a text", {"a": 1}):
        with pytest.raises(OptionError, match="write_gallery"):
            write_gallery(nothing, tmp_path / "d.html")
    with pytest.raises(OptionError, match="originals="):
        write_gallery(result, tmp_path / "d.html", originals="there")


def test_previews_keep_transparency(low, tmp_path):
    """A transparent picture has a transparent preview, and no black ground."""
    result = low().invoke("draw a fox", background="transparent")

    (fox,) = entries(write_gallery(result, tmp_path / "a.html"))
    assert fox["preview"].startswith("data:image/webp")


def test_a_lost_picture_says_so(memory, tmp_path):
    """A picture whose bytes are gone keeps its place, with the reason."""
    memory.image_store.delete(memory[0])

    first = entries(write_gallery(memory, tmp_path / "a.html"))[0]
    assert "no image" in first["missing"]


def test_five_hundred_pictures(browser, memory, tmp_path):
    """The page of 500 pictures has less than 5 MB without originals, with long prompts too, and shows all of them."""
    noise = io.BytesIO()
    Image.effect_noise((96, 96), 30).convert("RGB").save(noise, format="PNG")  # its previews fill what is left
    fox = upload(noise.getvalue(), memory.image_store)
    long = "A red fox in the snow at dusk. " * 100  # longer than the revised prompts of recorded calls
    many = [fox.model_copy(update={"id": f"ig_{number}", "revised_prompt": long}) for number in range(500)]
    path = write_gallery([each.bind(memory.image_store) for each in many], tmp_path / "many.html", originals=None)

    assert path.stat().st_size < 5_000_000
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.locator(".card").count() == 500
    page.close()
