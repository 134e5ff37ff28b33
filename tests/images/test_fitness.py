"""Source images in a form that the service refuses are converted before they are sent; all others stay unchanged."""

from __future__ import annotations

import base64
import io
import struct
import sys
import zlib
from typing import Any

import numpy as np
import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from PIL import Image

from langchain_imagegen import GeneratedImage, ImageGenerationMiddleware, ImageStore
from langchain_imagegen.conversation.references import prepare_sources, resolve
from langchain_imagegen.errors import CorruptImageError, OptionError
from langchain_imagegen.images import pillow
from langchain_imagegen.images.fitness import unfit_because
from langchain_imagegen.images.pillow import rewrite
from langchain_imagegen.images.sniffing import sniff


def exif_of(orientation: int) -> Image.Exif:
    """Return EXIF data with this orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def encode(format: str, mode: str = "RGB", **options: Any) -> bytes:
    """Return a picture of 80 x 60 pixels with a red left half and a blue right half."""
    picture = Image.new("RGB", (80, 60), "blue")
    picture.paste("red", (0, 0, 40, 60))
    data = io.BytesIO()
    picture.convert(mode).save(data, format=format, **options)
    return data.getvalue()


def heic() -> bytes:
    """Return a HEIC of 80 x 60 pixels."""
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return encode("HEIF")


def sixteen_bit_png() -> bytes:
    """Return a grey PNG of 16 bits and medium brightness."""
    data = io.BytesIO()
    Image.fromarray(np.full((60, 80), 32768, np.uint16)).save(data, "PNG")
    return data.getvalue()


def bomb() -> bytes:
    """Return the header of a BMP of 30,000 x 30,000 pixels."""
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0)


def pictures_in(value: Any) -> list[bytes]:
    """Return the pictures that a request's body has as data URLs."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [picture for part in value for picture in pictures_in(part)]
    is_picture = isinstance(value, str) and value.startswith("data:image/")
    return [base64.b64decode(value.partition(",")[2])] if is_picture else []


UNFIT = {
    "BMP": lambda: encode("BMP"),
    "TIFF": lambda: encode("TIFF"),
    "HEIC": heic,
    "AVIF": lambda: encode("AVIF"),
    "MPO": lambda: encode("MPO", save_all=True, append_images=[Image.new("RGB", (80, 60))]),
    "CMYK": lambda: encode("JPEG", "CMYK"),
    "16 bits": sixteen_bit_png,
    "EXIF-rotated": lambda: encode("JPEG", exif=exif_of(6)),
    "EXIF-rotated PNG": lambda: encode("PNG", exif=exif_of(8)),
    "EXIF-rotated WebP": lambda: encode("WEBP", exif=exif_of(3)),
    "TIFF of CMYK": lambda: encode("TIFF", "CMYK"),
    "BMP of a palette": lambda: encode("BMP", "P"),
}
FIT = {
    "PNG": lambda: encode("PNG"),
    "RGBA": lambda: encode("PNG", "RGBA"),
    "JPEG": lambda: encode("JPEG"),
    "grey JPEG": lambda: encode("JPEG", "L"),
    "upright JPEG": lambda: encode("JPEG", exif=exif_of(1)),
    "WebP": lambda: encode("WEBP"),
    "GIF": lambda: encode("GIF"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_an_unfit_source_is_converted(kind: str, half: Any, low: Any, simulator: Any):
    """The service gets an upright 8-bit PNG or JPEG, and the record keeps the original and says what was sent."""
    data = UNFIT[kind]()

    result = half.invoke(low(), "edit it: make it winter", images=[data])

    (source,) = result.sources
    sent = base64.b64decode(source.sent_data_url().partition(",")[2])
    seen = Image.open(io.BytesIO(sent))
    assert source.read() == data
    assert source.sent_mime_type in ("image/png", "image/jpeg")
    assert unfit_because(sent) is None
    assert seen.mode in ("RGB", "RGBA")
    assert seen.size == ((60, 80) if kind in ("EXIF-rotated", "EXIF-rotated PNG") else (80, 60))
    assert GeneratedImage.model_validate(source.record()) == source


@pytest.mark.parametrize("kind", UNFIT)
def test_an_unfit_upload_of_an_earlier_turn_is_converted(kind: str, half: Any, low: Any, simulator: Any):
    """A picture of an earlier message is sent in a form that the service accepts."""
    url = f"data:image/png;base64,{base64.b64encode(UNFIT[kind]()).decode()}"
    photo = HumanMessage([{"type": "text", "text": "my street"}, {"type": "image_url", "image_url": {"url": url}}])

    half.invoke(low(), [photo, AIMessage("Nice."), HumanMessage("draw it in winter")])

    (sent,) = pictures_in(simulator.requests[-1].body)
    assert unfit_because(sent) is None


@pytest.mark.parametrize("kind", UNFIT)
def test_an_unfit_upload_in_an_agent_is_converted(kind: str, talks: Any):
    """The hosted tool gets an upload in a form that the service accepts, and the memory keeps the original."""
    data = UNFIT[kind]()
    block = {"type": "image", "base64": base64.b64encode(data).decode(), "mime_type": "image/png"}
    talk = talks.start(ImageGenerationMiddleware({"quality": "low"}))

    talk.say(HumanMessage([{"type": "text", "text": "make it night"}, block]))

    (source,) = talks.simulator.orders[0].sources
    assert unfit_because(source) is None
    assert talk.memory[0].read() == data


def test_an_upload_that_cannot_be_converted(talks: Any, caplog: pytest.LogCaptureFixture):
    """An upload in an agent that cannot be converted is sent unchanged, with a logged warning."""
    data = encode("BMP")
    data = data[:18] + (60_000).to_bytes(4, "little") * 2 + data[26:]
    block = {"type": "image", "base64": base64.b64encode(data).decode(), "mime_type": "image/bmp"}
    talk = talks.start(ImageGenerationMiddleware({"quality": "low"}))

    with pytest.raises(openai.BadRequestError, match="unsupported image"):
        talk.say(HumanMessage([{"type": "text", "text": "make it night"}, block]))

    assert "is sent as it is" in caplog.text


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_a_media_block_of_gemini_is_a_source(kind: str, half: Any, low: Any):
    """A `media` block of Gemini can be a source in `images`."""
    data = encode(kind)
    block = {"type": "media", "mime_type": f"image/{kind.lower()}", "data": base64.b64encode(data).decode()}

    result = half.invoke(low(), "make it winter", images=[block])

    (source,) = result.sources
    assert source.read() == data


@pytest.mark.parametrize("kind", FIT)
def test_a_fit_source_is_sent_unchanged(kind: str, image_store: ImageStore):
    """A source in a form that the service accepts is sent unchanged, and its record mentions no conversion."""
    (source,) = prepare_sources(resolve([FIT[kind]()], None, image_store), image_store)

    assert isinstance(source, GeneratedImage)
    assert source.sent_sha256 is None
    assert "sent_sha256" not in source.record()
    assert source.sent_data_url() == source.to_data_url()


def test_conversion_can_be_switched_off(half: Any, low: Any):
    """With `prepare=False` a source is sent unchanged."""
    result = half.invoke(low(prepare=False), "edit it", images=[encode("JPEG", exif=exif_of(6))])

    assert result.sources[0].sent_sha256 is None


def test_transparency_survives(image_store: ImageStore):
    """A TIFF with an alpha channel, such as a mask, becomes an RGBA PNG."""
    data = io.BytesIO()
    Image.new("RGBA", (8, 6), (0, 0, 0, 0)).save(data, "TIFF")

    (source,) = prepare_sources(resolve([data], None, image_store), image_store)

    assert isinstance(source, GeneratedImage)
    sent = Image.open(io.BytesIO(base64.b64decode(source.sent_data_url().partition(",")[2])))
    assert (sent.format, sent.mode, sent.getpixel((0, 0))) == ("PNG", "RGBA", (0, 0, 0, 0))


def test_a_source_is_converted_once(image_store: ImageStore):
    """A source is converted again only if its converted copy is no longer in the store."""
    (source,) = prepare_sources(resolve([encode("BMP")], None, image_store), image_store)
    assert isinstance(source, GeneratedImage)

    assert prepare_sources([source], image_store) == [source]
    image_store.prune(keep=[source.sha256])
    (again,) = prepare_sources([source], image_store)
    assert isinstance(again, GeneratedImage)
    assert again.sent_data_url().startswith("data:image/png")


def test_colors_survive(image_store: ImageStore):
    """Converting CMYK, 16 bits and HEIC keeps the colors."""
    grey = Image.open(io.BytesIO(rewrite(sixteen_bit_png(), "16 bits")))
    red = [Image.open(io.BytesIO(rewrite(data, "x"))).getpixel((10, 30)) for data in (encode("TIFF", "CMYK"), heic())]

    assert 120 <= grey.getpixel((0, 0))[0] <= 136
    assert all(r > 230 and g < 40 and b < 40 for r, g, b in red)


def test_a_large_source_is_shrunk(monkeypatch: pytest.MonkeyPatch):
    """A converted picture above the service's limit in bytes becomes a smaller JPEG."""
    data = io.BytesIO()
    Image.effect_noise((800, 600), 90).convert("RGB").save(data, "BMP")
    monkeypatch.setattr(pillow, "LARGEST_SENT", 100_000)

    small = rewrite(data.getvalue(), "BMP")

    assert len(small) <= 100_000
    assert sniff(small).mime_type == "image/jpeg"


def test_edges_are_limited():
    """A converted picture has edges of at most 8192 pixels."""
    data = io.BytesIO()
    Image.new("1", (9000, 100)).save(data, "BMP")

    assert sniff(rewrite(data.getvalue(), "BMP")).width == 8192


def test_a_pixel_bomb_is_refused(image_store: ImageStore):
    """A picture of 30,000 x 30,000 pixels raises a `CorruptImageError`."""
    with pytest.raises(CorruptImageError, match=r"30000x30000.*MAX_IMAGE_PIXELS"):
        prepare_sources(resolve([bomb()], None, image_store), image_store)


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "CMYK", "HEIC"])
def test_without_pillow(kind: str, image_store: ImageStore, monkeypatch: pytest.MonkeyPatch):
    """Without Pillow or pillow-heif, the error names the extra to install; a picture that is only rotated is sent."""
    data, rotated = UNFIT[kind](), encode("JPEG", exif=exif_of(6))
    monkeypatch.setitem(sys.modules, "pillow_heif" if kind == "HEIC" else "PIL", None)

    extra = "heic" if kind == "HEIC" else "pillow"
    with pytest.raises(OptionError, match=rf'{kind}.*pip install "langchain_imagegen\[{extra}\]".*prepare=False'):
        prepare_sources(resolve([data], None, image_store), image_store)
    if kind == "BMP":
        sources = resolve([rotated], None, image_store)
        assert prepare_sources(sources, image_store) == sources


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["TIFF", "BMP", "HEIC", "AVIF"])
def test_a_truncated_source(kind: str, cut: float, image_store: ImageStore):
    """A truncated picture raises a `CorruptImageError`."""
    data = UNFIT[kind]()

    with pytest.raises(CorruptImageError):
        prepare_sources(resolve([data[: int(len(data) * cut)]], None, image_store), image_store)


def test_a_text_bomb_in_a_png():
    """A PNG with a compressed text of 100 MB raises a `CorruptImageError`."""
    text = b"Comment\0\0" + zlib.compress(bytes(100_000_000))
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    png = encode("PNG")

    with pytest.raises(CorruptImageError):
        rewrite(png[:33] + chunk + png[33:], "x")


def test_other_formats_can_be_stored(image_store: ImageStore):
    """The store accepts BMP, TIFF, HEIC and AVIF and returns their MIME types and pixel sizes."""
    blobs = [image_store.put(UNFIT[kind]()) for kind in ("BMP", "TIFF", "HEIC", "AVIF")]

    assert [blob.mime_type for blob in blobs] == ["image/bmp", "image/tiff", "image/heic", "image/avif"]
    assert {(blob.width, blob.height) for blob in blobs if blob.mime_type != "image/heic"} == {(80, 60)}
    assert (blobs[2].width, blobs[2].height) == (80, 64)  # a HEIC's size is a whole number of blocks
