"""Malicious pictures and records: views stay safe and fast, and every exception is one of ours."""

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
    """Return one chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


SIGNATURE = b"\x89PNG\r\n\x1a\n"
HUGE = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")
TEXT_BOMB = PNG[:33] + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000))) + PNG[33:]
SHORT = SIGNATURE + chunk(b"IHDR", b"\0\0\0\x10") + chunk(b"IEND", b"")


def test_a_forged_type_in_a_record(image_store: ImageStore):
    """Markup in a record's MIME type is replaced with a plain MIME type and does not appear in HTML."""
    blob = image_store.put(PNG)
    record = {"id": "ig_1", "sha256": blob.sha256, "size_bytes": 1, "mime_type": FORGED, "sent_mime_type": FORGED}
    image = GeneratedImage.model_validate(record)

    html = image._repr_mimebundle_()["text/html"]

    assert image.mime_type == image.sent_mime_type == "application/octet-stream"
    assert "onerror" not in html
    assert "onerror" not in str(image.record())
    assert image.read() == PNG


def test_html_attributes_are_escaped():
    """A forged MIME type does not end its HTML attribute."""
    assert 'onerror="' not in picture(PNG, FORGED, alt="x")["text/html"]


def test_save_with_a_forged_type(image_store: ImageStore, tmp_path: Any):
    """`save` takes the suffix from the bytes if the record's MIME type is forged."""
    record = {"id": "ig_1", "sha256": image_store.put(PNG).sha256, "size_bytes": 1, "mime_type": FORGED}

    assert GeneratedImage.model_validate(record).save(tmp_path / "fox").name == "fox.png"


@pytest.mark.parametrize("data", [HUGE, TEXT_BOMB, SHORT, b"", b"no picture", PNG[:40]], ids=range(6))
def test_thumbnail_of_a_malicious_picture(data: bytes):
    """The thumbnail of a pixel bomb, a text bomb, a truncated picture or other data is empty and raises nothing."""
    assert thumbnail(data, alt="x") == ""


@pytest.mark.parametrize("data", [HUGE, TEXT_BOMB], ids=["huge", "text bomb"])
def test_to_pil_of_a_bomb(data: bytes, image_store: ImageStore):
    """`to_pil` of a pixel bomb or a text bomb raises a `CorruptImageError`."""
    image = GeneratedImage.of(image_store.put(data), id="ig_1").bind(image_store)

    with pytest.raises(CorruptImageError):
        image.to_pil().load()


@pytest.mark.parametrize(
    "attributes",
    [f'width="{"9" * 400}" height="1"', f'viewBox="0 0 {"9" * 400} 1"', f'width="1" height="1{"0" * 400}.5"'],
)
def test_an_svg_with_a_huge_number_has_no_size(attributes: str):
    """An SVG whose size has hundreds of digits has no pixel size and raises nothing."""
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
def test_millions_of_tiny_blocks(kind: str):
    """12 MB of tiny blocks, which no encoder writes, are refused in seconds of CPU time, not minutes."""
    sniffer, start = Sniffer(), time.process_time()

    sniffer.feed(BLOCKS[kind])

    assert time.process_time() - start < 10
    assert "more than" in (sniffer.problem() or "")
