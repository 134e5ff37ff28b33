"""SVG with scripts, external entities and entities that grow: it is measured as text, never parsed and never run."""

from __future__ import annotations

import time
from html.parser import HTMLParser
from typing import Any

import pytest

from langchain_imagegen import GeneratedImage, ImageGenerationTool, ImageMemory, ImageResult, ImageStore
from langchain_imagegen.agents.tool_answer import view
from langchain_imagegen.conversation.references import prepare_sources, resolve
from langchain_imagegen.errors import CorruptImageError
from langchain_imagegen.images.notebook import thumbnail
from langchain_imagegen.images.sniffing import Sniffer, sniff
from langchain_imagegen.simulator import image as instead

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
SVGS = {
    "script": '<svg width="9" height="9" onload="alert(1)"><script>alert(1)</script></svg>',
    "link": '<svg width="9" height="9"><a href="javascript:alert(1)"><image href="https://evil.test/x"/></a></svg>',
    "entity": '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg width="9" height="9">&x;</svg>',
    "stylesheet": '<?xml-stylesheet href="https://evil.test/x.css"?><svg width="9" height="9"></svg>',
    "laughs": f'<!DOCTYPE svg [<!ENTITY l0 "ha">{LAUGHS}]><svg width="9" height="9">&l9;</svg>',
    "end of a page": '<svg width="9" height="9"></svg></script></div><img src=x onerror=alert(1)>',
}
svgs = pytest.mark.parametrize("text", SVGS.values(), ids=SVGS)


class Tags(HTMLParser):
    """Collects the elements of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect an element."""
        self.found.append((tag, dict(attrs)))


@svgs
def test_an_svg_is_measured_and_kept_as_it_is(text: str, image_store: ImageStore):
    """The size of a hostile SVG is read at once, no entity is expanded, and its bytes are not changed."""
    began = time.process_time()
    blob = image_store.put(text.encode())

    assert time.process_time() - began < 1
    assert (blob.mime_type, blob.width, blob.height, blob.size_bytes) == ("image/svg+xml", 9, 9, len(text))
    assert image_store.get(blob.sha256) == text.encode()


@svgs
def test_a_notebook_shows_an_svg_inside_an_img_alone(text: str, image_store: ImageStore):
    """All views of an SVG hold it as the base64 of an `<img>`, in which a browser runs no script and loads nothing."""
    image = GeneratedImage.of(image_store.put(text.encode()), id="ig_1", prompt="a fox").bind(image_store)
    result = ImageResult(images=(image, image), text="")

    for shown in (image, ImageResult(images=(image,)), result, ImageMemory([image], image_store=image_store)):
        bundle = shown._repr_mimebundle_()
        assert set(bundle) == {"text/html", "text/plain"}
        elements = Tags(bundle["text/html"]).found
        assert {tag for tag, _ in elements} <= {"img", "div", "figure", "figcaption", "p", "code"}
        pictures = [attributes for tag, attributes in elements if tag == "img"]
        assert all(str(each["src"]).startswith("data:image/svg+xml;base64,") for each in pictures)
        assert not any(name.startswith("on") for _, attributes in elements for name in attributes)


@svgs
def test_an_svg_is_sent_unread(text: str, image_store: ImageStore):
    """Preparation sends an SVG as it is; the functions that decode pictures refuse it and say what to do."""
    sources = resolve([text.encode()], None, image_store)
    image = sources[0]
    assert isinstance(image, GeneratedImage)

    assert prepare_sources(sources, image_store) == sources
    assert thumbnail(text.encode(), alt="x") == ""
    assert view(image) is None
    with pytest.raises(CorruptImageError, match="cannot read SVG"):
        image.to_pil()


def test_an_svg_from_the_service_is_not_shown_to_a_model(half: Any, generator: Any, simulator: Any):
    """With `show_to_model`, the model reads the handle of an SVG and gets no view of it."""
    tool = ImageGenerationTool(generator=generator(), show_to_model=True)
    simulator.script(instead(SVGS["laughs"].encode()))

    message = half.invoke(tool, {"name": tool.name, "args": {"prompt": "draw a fox"}, "id": "a", "type": "tool_call"})
    assert message.status == "success"
    assert "script" not in str(message.content)
    assert [block["type"] for block in message.content] == ["text"]


SLOW = {
    "comments": "<!-->" * 13_000,
    "comment without end": "<!-- >" + "-" * 60_000,
    "doctype without end": "<!DOCTYPE svg [" + ">]" * 30_000,
    "attributes without end": "<svg " + "a='>' " * 10_000,
    "spaces": "<svg width" + " " * 60_000 + ">",
    "widths": "<svg " + "width =  " * 7_000 + ">",
    "view box": "<svg viewBox='" + "0 " * 30_000 + "'>",
    "names": "<" + "a" * 60_000 + ":svg>",
}


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_no_svg_takes_long_to_measure(text: str):
    """64 KB of what makes patterns slow are read in less than a second, whole and in pieces of 1 KB."""
    data, began = text.encode(), time.process_time()
    sniff(data)
    pieces = Sniffer()
    for start in range(0, len(data), 1_000):
        pieces.feed(data[start : start + 1_000])

    assert time.process_time() - began < 1
