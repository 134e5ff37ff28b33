"""Small files that claim 30,000 x 30,000 pixels: nothing decodes them, wherever a picture is opened."""

from __future__ import annotations

import io
import struct
from typing import Any

import pillow_heif
import pytest
from PIL import Image

from langchain_imagegen import GeneratedImage, ImageGenerationTool, ImageMemory, ImageStore, PartialImage
from langchain_imagegen.conversation.references import prepare_sources, resolve
from langchain_imagegen.errors import CorruptImageError
from langchain_imagegen.images.notebook import thumbnail
from langchain_imagegen.images.pillow import rewrite
from langchain_imagegen.simulator import image as instead
from tests.images.test_hostile import HUGE
from tests.scripted import image_call

EDGE = 30_000


def encoded(format: str, mode: str = "RGB") -> bytearray:
    """Return a picture of 8 x 8 pixels."""
    data = io.BytesIO()
    Image.new(mode, (8, 8)).save(data, format)
    return bytearray(data.getvalue())


def webp() -> bytes:
    """Return a WebP whose canvas is huge."""
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + 2 * (EDGE - 1).to_bytes(3, "little")
    body = b"WEBP" + canvas + encoded("WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif() -> bytes:
    """Return a GIF whose screen is huge."""
    data = encoded("GIF", "P")
    data[6:10] = struct.pack("<HH", EDGE, EDGE)
    return bytes(data)


def jpeg(before: bytes = b"") -> bytes:
    """Return a JPEG whose frame is huge and stands behind some other segments."""
    data = encoded("JPEG")
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", EDGE, EDGE)
    return bytes(data[:2] + before + data[2:])


def bmp() -> bytes:
    """Return a BMP whose header is huge."""
    data = encoded("BMP")
    data[18:26] = struct.pack("<ii", EDGE, EDGE)
    return bytes(data)


def tiff(offset: int = 8) -> bytes:
    """Return a TIFF whose directory, at this offset, says that it is huge."""
    tags = [(256, EDGE), (257, EDGE), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, EDGE), (279, 64)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", offset) + bytes(offset - 8) + directory + bytes(64)


def heif(format: str) -> bytes:
    """Return a HEIC or an AVIF whose `ispe` box says that it is huge."""
    pillow_heif.register_heif_opener()
    data = encoded(format)
    box = data.index(b"ispe")
    data[box + 8 : box + 16] = struct.pack(">II", EDGE, EDGE)
    return bytes(data)


LATE = (b"\xff\xe5" + struct.pack(">H", 65_535) + bytes(65_533)) * 20
BOMBS = {
    "png": HUGE,
    "webp": webp(),
    "gif": gif(),
    "jpeg": jpeg(),
    "jpeg, late": jpeg(LATE),
    "bmp": bmp(),
    "tiff": tiff(),
    "tiff, late": tiff(1_400_000),
    "heic": heif("HEIF"),
    "avif": heif("AVIF"),
}
bombs = pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)


@bombs
def test_to_pil_refuses_a_bomb(data: bytes, image_store: ImageStore):
    """`to_pil` of a picture or of a partial picture says how many pixels it has and how many are allowed."""
    shown = PartialImage(index=0, data=data, mime_type="image/png", id="ig_1")
    with pytest.raises(CorruptImageError, match="to_pil"):
        shown.to_pil()

    record = {"id": "ig_1", "sha256": image_store.put(padded(data)).sha256, "size_bytes": 1, "mime_type": "image/png"}
    with pytest.raises(CorruptImageError, match=r"30000x30000.*MAX_IMAGE_PIXELS|DecompressionBombError"):
        GeneratedImage.model_validate(record).bind(image_store).to_pil()


def padded(data: bytes) -> bytes:
    """Return a bomb that the store takes: a BMP and a TIFF are as long as their headers say."""
    return data[:2] + struct.pack("<I", len(data)) + data[6:] if data[:2] == b"BM" else data


@bombs
def test_a_thumbnail_of_a_bomb_is_empty(data: bytes, image_store: ImageStore):
    """The family tree in a notebook leaves the thumbnail of a bomb out and shows the rest."""
    image = GeneratedImage.of(image_store.put(padded(data)), id="ig_1", prompt="a fox")

    html = ImageMemory([image], image_store=image_store)._repr_mimebundle_()["text/html"]
    assert thumbnail(data, alt="x") == ""
    assert "a fox" in html
    assert "<img" not in html


@bombs
def test_preparation_refuses_a_bomb(data: bytes, image_store: ImageStore):
    """A bomb that would have to be rewritten raises an error; one that need not be is not decoded here."""
    with pytest.raises(CorruptImageError, match=r"30000x30000|DecompressionBombError"):
        rewrite(data, "too large")

    sources = resolve([padded(data)], None, image_store)
    if data[:2] in (b"BM", b"II") or data[4:8] == b"ftyp":  # the service takes none of these
        with pytest.raises(CorruptImageError):
            prepare_sources(sources, image_store)
    else:
        assert prepare_sources(sources, image_store) == sources


@pytest.mark.parametrize("data", [HUGE, webp(), jpeg(LATE)], ids=["png", "webp", "jpeg"])
def test_a_bomb_from_the_service_is_not_shown_to_a_model(data: bytes, half: Any, generator: Any, simulator: Any):
    """With `show_to_model`, a bomb that the service sends is delivered with a warning in place of a view."""
    tool = ImageGenerationTool(generator=generator(), show_to_model=True)
    simulator.script(instead(data))

    message = half.invoke(tool, image_call("a"))
    assert message.status == "success"
    assert [block["type"] for block in message.content] == ["text"]
    assert "no view" in message.content[0]["text"]
    assert message.artifact["images"][0]["size_bytes"] == len(data)


@pytest.mark.parametrize(
    "data", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\xc5\xd0\xd3\xc6" + bytes(99)]
)
def test_no_other_reader_of_pillow_is_used(data: bytes):
    """Data of a format that the service never sends, such as PostScript, is not given to Pillow."""
    shown = PartialImage(index=0, data=data, mime_type="image/png", id="ig_1")

    with pytest.raises(CorruptImageError, match="no picture of a known format"):
        shown.to_pil()
