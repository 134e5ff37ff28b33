"""A picture's format, pixel size and completeness, read from its bytes."""

from __future__ import annotations

import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from langchain_imagegen.images.sniffing import EXTENSIONS, MIME_TYPES, Media, Sniffer, sniff

WIDTH, HEIGHT = 61, 47


def picture(kind: str, **options) -> bytes:
    """Return a small picture of noise."""
    file = io.BytesIO()
    Image.effect_noise((WIDTH, HEIGHT), 60).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def sniffer_of(data: bytes, step: int | None = None) -> Sniffer:
    """Return a sniffer that was fed all of `data`, in pieces of `step` bytes."""
    sniffer = Sniffer()
    for start in range(0, len(data), step or len(data) or 1):
        sniffer.feed(data[start : start + (step or len(data))])
    return sniffer


def jpeg_with(segment: bytes, data: bytes) -> bytes:
    """Return a JPEG with a further segment before its first one."""
    return data[:2] + segment + data[2:]


def segments(marker: int, size: int) -> bytes:
    """Return segments with `size` bytes in all, whose content looks like a frame header and an end marker."""
    filler = b"\xff\xc0\x00\x11\x08\x00\x01\x00\x01\xff\xd9"
    body = (filler * (size // len(filler) + 1))[:size]
    parts = [body[start : start + 65_000] for start in range(0, size, 65_000)]
    return b"".join(bytes([0xFF, marker]) + (len(part) + 2).to_bytes(2, "big") + part for part in parts)


PICTURES = {
    "png": ("png", picture("PNG")),
    "jpeg": ("jpg", picture("JPEG")),
    "progressive": ("jpg", picture("JPEG", progressive=True)),
    "jpeg with 75 KB of provenance": ("jpg", jpeg_with(segments(0xEB, 75_000), picture("JPEG"))),
    "jpeg with 100 KB of EXIF": ("jpg", jpeg_with(segments(0xE1, 100_000), picture("JPEG"))),
    "jpeg with fill bytes": ("jpg", jpeg_with(b"\xff\xff\xff", picture("JPEG"))),
    "gif": ("gif", picture("GIF")),
    "gif with frames": (
        "gif",
        picture("GIF", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))]),
    ),
    "webp": ("webp", picture("WEBP")),
    "lossless webp": ("webp", picture("WEBP", lossless=True)),
    "extended webp": ("webp", picture("WEBP", exif=b"Exif\0\0" + bytes(40))),
    "svg": ("svg", f'<svg width="{WIDTH}" height="{HEIGHT}">{"<rect/>" * 30}</svg>'.encode()),
}
if features.check("avif"):
    PICTURES["avif"] = ("avif", picture("AVIF"))

every_picture = pytest.mark.parametrize(("extension", "data"), PICTURES.values(), ids=PICTURES)


@every_picture
def test_format_and_size(extension, data):
    """A complete picture of each format has its MIME type, extension and pixel size, and no problem."""
    sniffer = sniffer_of(data)

    assert sniffer.media == Media(MIME_TYPES[extension], extension, WIDTH, HEIGHT)
    assert sniffer.problem() is None


@every_picture
@pytest.mark.parametrize("step", [1, 7, 4096])
def test_pieces_make_no_difference(extension, data, step):
    """The size of the pieces in which a picture arrives does not change the result."""
    sniffer = sniffer_of(data, step)

    assert sniffer.media == sniff(data)
    assert sniffer.problem() is None


@every_picture
@pytest.mark.parametrize("share", [0.3, 0.6, 0.999])
def test_truncated_picture(extension, data, share):
    """The problem of a truncated picture says that it breaks off, and after how many bytes."""
    cut = data[: int(len(data) * share)]

    assert f"breaks off after {len(cut)} bytes" in sniffer_of(cut).problem()


@every_picture
def test_bytes_after_the_end_are_allowed(extension, data):
    """Bytes after the end of a picture, as editors and phones append, are no problem."""
    assert sniffer_of(data + b"\0appended" * 1000).problem() is None


@given(st.sampled_from([data for _, data in PICTURES.values()]), st.integers(0), st.binary(max_size=40))
def test_damage_never_raises(data, position, noise):
    """Overwriting bytes of a picture never raises an exception."""
    start = position % len(data)

    sniffer_of(data[:start] + noise + data[start + len(noise) :], 1000).problem()


@given(st.binary(max_size=200))
def test_noise_never_raises(data):
    """Sniffing arbitrary bytes never raises an exception and gives no unknown extension."""
    media = sniff(data)

    assert media is None or media.extension in MIME_TYPES


def test_private_chunk_in_png():
    """A PNG with a private chunk of 75 KB is complete, and is truncated if it is cut inside that chunk."""
    data = picture("PNG")
    chunk = (75_000).to_bytes(4, "big") + b"caBX" + bytes(75_000) + b"\0\0\0\0"
    data = data[:33] + chunk + data[33:]

    assert sniffer_of(data).problem() is None
    assert sniffer_of(data[:70_000]).problem() == "the PNG breaks off after 70000 bytes: no IEND chunk"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ('<svg width="30px" height="20.4"/>', (30, 20)),
        ("\ufeff<?xml version='1.0'?>\n<!-- a > b --><svg width='3' height='4'></svg>", (3, 4)),
        ('<!DOCTYPE svg PUBLIC "a" "b" [<!ENTITY c "d">]><svg viewBox="0 0 100 50"></svg>', (100, 50)),
        ('\n\n\n\n\n<svg width="100%" height="100%" viewBox="0,0,10.0,20"></svg>', (10, 20)),
        ('<svg data-note="a>b" width="5" height="6"></svg >', (5, 6)),
        ('<s:svg xmlns:s="urn:x" width="7" height="8"></s:svg>', (7, 8)),
        ("<svg></svg>", (None, None)),
    ],
)
def test_svg_size(text, size):
    """An SVG's size is read from its attributes, else from its viewBox, after any prolog or comment."""
    sniffer = sniffer_of(text.encode())

    assert (sniffer.media.width, sniffer.media.height) == size
    assert sniffer.problem() is None


@pytest.mark.parametrize(
    "data",
    [
        b"<html><body><svg width='1' height='1'/></body></html>",
        b"<!DOCTYPE html><html></html>",
        b'{"error": {"message": "no"}}',
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        b"%PDF-1.7",
        b"<!-- -->" * 50_000,
    ],
)
def test_other_data(data):
    """HTML, JSON, sound, video and PDF have no media, and the problem quotes their beginning."""
    sniffer = sniffer_of(data, 10_000)

    assert sniffer.media is None
    assert "not a picture" in sniffer.problem()
    assert repr(data[:16]) in sniffer.problem()


def test_no_bytes():
    """The problem of no bytes is that they are empty."""
    assert sniffer_of(b"").problem() == "it is empty"
    assert sniff(b"") is None


def test_head_is_enough():
    """The format is known from the first bytes, and the pixel size as soon as its bytes have arrived."""
    assert sniff(picture("PNG")[:12]) == Media("image/png", "png")
    assert sniff(picture("PNG")[:24]) == Media("image/png", "png", WIDTH, HEIGHT)


def test_damaged_jpeg():
    """Bytes between a JPEG's segments are reported as damage and not as truncation."""
    data = jpeg_with(segments(0xEB, 100), picture("JPEG"))
    data = data[:106] + b"\0\0" + data[108:]

    assert "the JPEG is damaged" in sniffer_of(data).problem()


def test_tiled_heic():
    """The size of a tiled HEIC is that of the whole picture and not of a tile."""

    def box(kind: bytes, *content: bytes) -> bytes:
        body = b"".join(content)
        return (len(body) + 8).to_bytes(4, "big") + kind + body

    def ispe(width: int, height: int) -> bytes:
        return box(b"ispe", bytes(4), width.to_bytes(4, "big"), height.to_bytes(4, "big"))

    head = box(b"ftyp", b"mif1", bytes(4), b"mif1heic")
    meta = box(b"meta", bytes(4), box(b"iprp", box(b"ipco", ispe(512, 512), ispe(4032, 3024), ispe(320, 240))))
    data = head + meta + box(b"mdat", bytes(900))

    assert sniffer_of(data, 5).media == Media("image/heic", "heic", 4032, 3024)
    assert sniffer_of(data).problem() is None
    assert "breaks off" in sniffer_of(data[:-1]).problem()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_memory_stays_small(kind):
    """Sniffing a picture of more than 4 MB takes less than 400 KB of memory."""
    file = io.BytesIO()
    Image.effect_noise((2500, 2500), 90).save(file, kind, quality=98, compress_level=0)
    data = memoryview(file.getvalue())
    sniffer = Sniffer()

    tracemalloc.start()
    for start in range(0, len(data), 65_536):
        sniffer.feed(data[start : start + 65_536])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert sniffer.problem() is None
    assert len(data) > 4_000_000
    assert peak < 400_000


def test_extensions():
    """Each MIME type maps to its extension and back, and `image/jpg` maps to `jpg`."""
    assert EXTENSIONS["image/jpg"] == EXTENSIONS["image/jpeg"] == "jpg"
    assert all(MIME_TYPES[EXTENSIONS[mime]] == mime for mime in MIME_TYPES.values())
