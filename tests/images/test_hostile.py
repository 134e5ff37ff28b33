"""Pictures and records made to do harm: views stay safe and quick, and no foreign exception leaves."""

from __future__ import annotations

import struct
import time
import zlib
from typing import Any

import pytest

from langchain_imagegen import GeneratedImage, ImageStore
from langchain_imagegen.errors import CorruptImageError
from langchain_imagegen.images.notebook import picture, thumbnail
from langchain_imagegen.images.sniffing import Sniffer, sniff
from langchain_imagegen.simulator.drawing import draw as paint

PNG = paint("a fox", size=(16, 16))
FORGED = 'image/x" onerror="alert(1)'


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


SIGNATURE = b"\x89PNG\r\n\x1a\n"
HUGE = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")
TEXT_BOMB = PNG[:33] + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000))) + PNG[33:]
SHORT = SIGNATURE + chunk(b"IHDR", b"\0\0\0\x10") + chunk(b"IEND", b"")


def test_a_forged_type_in_a_record_is_no_html(image_store: ImageStore):
    """A posted record with markup in its type shows a picture without that markup, and has a plain type."""
    blob = image_store.put(PNG)
    record = {"id": "ig_1", "sha256": blob.sha256, "size_bytes": 1, "mime_type": FORGED, "sent_mime_type": FORGED}
    image = GeneratedImage.model_validate(record)

    html = image._repr_mimebundle_()["text/html"]

    assert image.mime_type == image.sent_mime_type == "application/octet-stream"
    assert "onerror" not in html
    assert "onerror" not in str(image.record())
    assert image.read() == PNG


def test_every_attribute_is_escaped():
    """A type from anywhere cannot leave its attribute."""
    assert 'onerror="' not in picture(PNG, FORGED, alt="x")["text/html"]


def test_a_forged_type_does_not_keep_a_picture_from_being_saved(image_store: ImageStore, tmp_path: Any):
    """The suffix is told by the bytes."""
    record = {"id": "ig_1", "sha256": image_store.put(PNG).sha256, "size_bytes": 1, "mime_type": FORGED}

    assert GeneratedImage.model_validate(record).save(tmp_path / "fox").name == "fox.png"


@pytest.mark.parametrize("data", [HUGE, TEXT_BOMB, SHORT, b"", b"no picture", PNG[:40]], ids=range(6))
def test_a_thumbnail_of_anything_is_one_or_nothing(data: bytes):
    """A PNG of 30,000 x 30,000 pixels, a text bomb, a short header and noise never raise in a view."""
    assert thumbnail(data, alt="x") == ""


@pytest.mark.parametrize("data", [HUGE, TEXT_BOMB], ids=["huge", "text bomb"])
def test_to_pil_of_a_bomb_is_our_error(data: bytes, image_store: ImageStore):
    """`to_pil` refuses what Pillow would refuse, with our error."""
    image = GeneratedImage.of(image_store.put(data), id="ig_1").bind(image_store)

    with pytest.raises(CorruptImageError):
        image.to_pil().load()


@pytest.mark.parametrize(
    "attributes",
    [f'width="{"9" * 400}" height="1"', f'viewBox="0 0 {"9" * 400} 1"', f'width="1" height="1{"0" * 400}.5"'],
)
def test_an_svg_of_endless_digits_has_no_size(attributes: str):
    """A number that no picture has is no size, and raises nothing."""
    media = sniff(f"<svg {attributes}></svg>".encode())

    assert media is not None
    assert (media.mime_type, media.width, media.height) == ("image/svg+xml", None, None)


BLOCKS = {
    "gif": b"GIF89a" + struct.pack("<HHBBB", 9, 9, 0, 0, 0) + b"!\xfe" + b"\x01x" * 6_000_000,
    "gif extensions": b"GIF89a" + struct.pack("<HHBBB", 9, 9, 0, 0, 0) + b"!\xfe\0" * 4_000_000,
    "jpeg": b"\xff\xd8" + b"\xff\xe1\x00\x02" * 3_000_000,
    "png": SIGNATURE + chunk(b"tEXt", b"") * 1_000_000,
    "heif": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0\0\0\x08free" * 1_500_000,
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_millions_of_tiny_blocks_are_refused_quickly(kind: str):
    """12 MB of blocks that no encoder writes take no longer than a picture."""
    sniffer, began = Sniffer(), time.process_time()

    sniffer.feed(BLOCKS[kind])

    assert time.process_time() - began < 2
    assert "more than" in (sniffer.problem() or "")
