"""Markup in anything that a view shows: it is text there, whoever wrote it."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_imagegen import GeneratedImage, ImageMemory, ImageResult, ImageStore, PartialImage
from langchain_imagegen.images.notebook import Shown, img, picture, pictures, tree
from langchain_imagegen.simulator.drawing import draw as paint
from tests.images.test_svg import Tags

MARKUP = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</code></div><iframe src=javascript:alert(1)>",
    "<!--",
    "&lt;script&gt;",
]
PICTURES = {"png": paint("a fox", size=(16, 16)), "svg": b'<svg width="9" height="9"></svg>'}
ALLOWED = {"img", "div", "figure", "figcaption", "p", "code"}
ATTRIBUTES = {"alt", "src", "style"}


def check(bundle: dict[str, Any]) -> None:
    """Assert that a view's HTML has no element and no attribute but its own."""
    elements = Tags(bundle.get("text/html", "")).found
    assert {tag for tag, _ in elements} <= ALLOWED
    assert {name for _, attributes in elements for name in attributes} <= ATTRIBUTES
    assert all(str(attributes["src"]).startswith("data:") for tag, attributes in elements if tag == "img")
    assert set(bundle) <= {"text/html", "text/plain", "image/png", "image/jpeg", "image/gif"}


@pytest.mark.parametrize("written", MARKUP)
@pytest.mark.parametrize("kind", PICTURES)
def test_markup_in_a_record_is_text_in_every_view(kind: str, written: str, image_store: ImageStore):
    """Markup in every text of a record and of a result adds no element and no attribute to any view."""
    blob = image_store.put(PICTURES[kind])
    texts = dict.fromkeys(TEXTS, written)
    record = {**GeneratedImage.of(blob, id=written, provider=written, parents=(written, "ig_1")).record(), **texts}
    image = GeneratedImage.model_validate(record).bind(image_store)
    known = {**record, "mime_type": blob.mime_type}
    memory = ImageMemory([known, {**known, "id": "ig_1", "parents": [written]}], image_store=image_store)
    assert len(memory) == 2
    partial = PartialImage(index=0, data=PICTURES[kind], mime_type=written, id=written, provider=written)
    results = [ImageResult(images=images, text=written, warnings=(written,)) for images in ((image,), (image, image))]

    for shown in (image, memory, partial, *results):
        check(shown._repr_mimebundle_())


TEXTS = (
    "prompt", "revised_prompt", "action", "size", "quality", "background", "output_format", "image_model",
    "response_id", "mime_type", "handle",
)  # fmt: skip


@pytest.mark.parametrize("written", MARKUP)
def test_markup_is_text_in_each_part_of_a_page(written: str):
    """A name, a caption, a label and a MIME type with markup add no element and no attribute."""
    nodes = [{"name": written, "label": written, "depth": 1, "picture": img(b"x", written, alt=written)}]
    whole, absent = Shown(written, "image/webp", b"x"), Shown(written, "image/webp", why_missing=written)
    html = [
        picture(b"x", f"image/{written}", alt=written).get("text/html", ""),
        pictures([whole, absent], caption=written)["text/html"],
        tree(nodes)[1],
    ]

    for page in html:
        elements = Tags(page).found
        assert {tag for tag, _ in elements} <= ALLOWED
        assert {name for _, attributes in elements for name in attributes} <= ATTRIBUTES
