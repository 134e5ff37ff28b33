"""Images that the service does not take are made fit before they are sent, and nothing else is touched."""

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
    """EXIF that turns a picture."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def encoded(format: str, mode: str = "RGB", **options: Any) -> bytes:
    """A picture of 80 x 60 pixels whose left half is red."""
    picture = Image.new("RGB", (80, 60), "blue")
    picture.paste("red", (0, 0, 40, 60))
    data = io.BytesIO()
    picture.convert(mode).save(data, format=format, **options)
    return data.getvalue()


def heic() -> bytes:
    """A HEIC of 80 x 60 pixels."""
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return encoded("HEIF")


def sixteen_bit_png() -> bytes:
    """A grey PNG of 16 bits, of middle brightness."""
    data = io.BytesIO()
    Image.fromarray(np.full((60, 80), 32768, np.uint16)).save(data, "PNG")
    return data.getvalue()


def bomb() -> bytes:
    """A BMP header of 30,000 x 30,000 pixels."""
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0)


def pictures_in(value: Any) -> list[bytes]:
    """The pictures that a request's body holds as data URLs."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [picture for part in value for picture in pictures_in(part)]
    is_picture = isinstance(value, str) and value.startswith("data:image/")
    return [base64.b64decode(value.partition(",")[2])] if is_picture else []


UNFIT = {
    "BMP": lambda: encoded("BMP"),
    "TIFF": lambda: encoded("TIFF"),
    "HEIC": heic,
    "AVIF": lambda: encoded("AVIF"),
    "MPO": lambda: encoded("MPO", save_all=True, append_images=[Image.new("RGB", (80, 60))]),
    "CMYK": lambda: encoded("JPEG", "CMYK"),
    "16 bits": sixteen_bit_png,
    "EXIF-rotated": lambda: encoded("JPEG", exif=exif_of(6)),
    "EXIF-rotated PNG": lambda: encoded("PNG", exif=exif_of(8)),
    "EXIF-rotated WebP": lambda: encoded("WEBP", exif=exif_of(3)),
    "TIFF of CMYK": lambda: encoded("TIFF", "CMYK"),
    "BMP of a palette": lambda: encoded("BMP", "P"),
}
FIT = {
    "PNG": lambda: encoded("PNG"),
    "RGBA": lambda: encoded("PNG", "RGBA"),
    "JPEG": lambda: encoded("JPEG"),
    "grey JPEG": lambda: encoded("JPEG", "L"),
    "upright JPEG": lambda: encoded("JPEG", exif=exif_of(1)),
    "WebP": lambda: encoded("WEBP"),
    "GIF": lambda: encoded("GIF"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_what_the_service_does_not_take_is_made_fit(kind: str, half: Any, low: Any, simulator: Any):
    """The service gets a PNG or JPEG of 8 bits, upright; the record keeps the original and says what was sent."""
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
def test_an_upload_of_an_earlier_turn_is_made_fit(kind: str, half: Any, low: Any, simulator: Any):
    """A picture of an earlier message that goes along unasked is sent in a form that the service takes."""
    url = f"data:image/png;base64,{base64.b64encode(UNFIT[kind]()).decode()}"
    photo = HumanMessage([{"type": "text", "text": "my street"}, {"type": "image_url", "image_url": {"url": url}}])

    half.invoke(low(), [photo, AIMessage("Nice."), HumanMessage("draw it in winter")])

    (sent,) = pictures_in(simulator.requests[-1].body)
    assert unfit_because(sent) is None


@pytest.mark.parametrize("kind", UNFIT)
def test_an_upload_in_an_agent_is_made_fit(kind: str, talks: Any):
    """The hosted tool gets an upload in a form that the service takes; the memory keeps the original."""
    data = UNFIT[kind]()
    block = {"type": "image", "base64": base64.b64encode(data).decode(), "mime_type": "image/png"}
    talk = talks.start(ImageGenerationMiddleware({"quality": "low"}))

    talk.say(HumanMessage([{"type": "text", "text": "make it night"}, block]))

    (source,) = talks.simulator.orders[0].sources
    assert unfit_because(source) is None
    assert talk.memory[0].read() == data


def test_an_upload_that_cannot_be_made_fit_ends_no_agent(talks: Any, caplog: pytest.LogCaptureFixture):
    """A photo too large to be converted goes to the service as it is, with a logged warning; no state is lost."""
    data = encoded("BMP")
    data = data[:18] + (60_000).to_bytes(4, "little") * 2 + data[26:]
    block = {"type": "image", "base64": base64.b64encode(data).decode(), "mime_type": "image/bmp"}
    talk = talks.start(ImageGenerationMiddleware({"quality": "low"}))

    with pytest.raises(openai.BadRequestError, match="unsupported image"):
        talk.say(HumanMessage([{"type": "text", "text": "make it night"}, block]))

    assert "is sent as it is" in caplog.text


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_a_media_block_of_gemini_is_a_source(kind: str, half: Any, low: Any):
    """A `media` block of Gemini in `images` is edited like any other picture."""
    data = encoded(kind)
    block = {"type": "media", "mime_type": f"image/{kind.lower()}", "data": base64.b64encode(data).decode()}

    result = half.invoke(low(), "make it winter", images=[block])

    (source,) = result.sources
    assert source.read() == data


@pytest.mark.parametrize("kind", FIT)
def test_what_the_service_takes_is_sent_as_it_is(kind: str, image_store: ImageStore):
    """Nothing is written anew without need, and the record says nothing of it."""
    (source,) = prepare_sources(resolve([FIT[kind]()], None, image_store), image_store)

    assert isinstance(source, GeneratedImage)
    assert source.sent_sha256 is None
    assert "sent_sha256" not in source.record()
    assert source.sent_data_url() == source.to_data_url()


def test_prepare_can_be_switched_off(half: Any, low: Any):
    """With `prepare=False` the source goes out as it is."""
    result = half.invoke(low(prepare=False), "edit it", images=[encoded("JPEG", exif=exif_of(6))])

    assert result.sources[0].sent_sha256 is None


def test_a_mask_is_made_fit_too(image_store: ImageStore):
    """Transparency survives: a TIFF with an alpha channel becomes an RGBA PNG."""
    data = io.BytesIO()
    Image.new("RGBA", (8, 6), (0, 0, 0, 0)).save(data, "TIFF")

    (source,) = prepare_sources(resolve([data], None, image_store), image_store)

    assert isinstance(source, GeneratedImage)
    sent = Image.open(io.BytesIO(base64.b64decode(source.sent_data_url().partition(",")[2])))
    assert (sent.format, sent.mode, sent.getpixel((0, 0))) == ("PNG", "RGBA", (0, 0, 0, 0))


def test_the_copy_is_made_once(image_store: ImageStore):
    """An image whose copy is in the store is not written anew; one whose copy was pruned is."""
    (source,) = prepare_sources(resolve([encoded("BMP")], None, image_store), image_store)
    assert isinstance(source, GeneratedImage)

    assert prepare_sources([source], image_store) == [source]
    image_store.prune(keep=[source.sha256])
    (again,) = prepare_sources([source], image_store)
    assert isinstance(again, GeneratedImage)
    assert again.sent_data_url().startswith("data:image/png")


def test_colors_survive(image_store: ImageStore):
    """CMYK, 16 bits and HEIC come out as the colors that they went in as."""
    grey = Image.open(io.BytesIO(rewrite(sixteen_bit_png(), "16 bits")))
    red = [Image.open(io.BytesIO(rewrite(data, "x"))).getpixel((10, 30)) for data in (encoded("TIFF", "CMYK"), heic())]

    assert 120 <= grey.getpixel((0, 0))[0] <= 136
    assert all(r > 230 and g < 40 and b < 40 for r, g, b in red)


def test_too_many_bytes_become_fewer(monkeypatch: pytest.MonkeyPatch):
    """A picture above the limit of the service is written smaller, as JPEG and then with fewer pixels."""
    data = io.BytesIO()
    Image.effect_noise((800, 600), 90).convert("RGB").save(data, "BMP")
    monkeypatch.setattr(pillow, "LARGEST_SENT", 100_000)

    small = rewrite(data.getvalue(), "BMP")

    assert len(small) <= 100_000
    assert sniff(small).mime_type == "image/jpeg"


def test_an_edge_is_kept_within_the_limit():
    """A picture that is written anew has edges of at most 8192 pixels."""
    data = io.BytesIO()
    Image.new("1", (9000, 100)).save(data, "BMP")

    assert sniff(rewrite(data.getvalue(), "BMP")).width == 8192


def test_a_pixel_bomb_is_refused(image_store: ImageStore):
    """A picture of 30,000 x 30,000 pixels is our error before a pixel is decoded."""
    with pytest.raises(CorruptImageError, match=r"30000x30000.*MAX_IMAGE_PIXELS"):
        prepare_sources(resolve([bomb()], None, image_store), image_store)


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "CMYK", "HEIC"])
def test_without_pillow_the_error_says_what_to_install(
    kind: str, image_store: ImageStore, monkeypatch: pytest.MonkeyPatch
):
    """A picture that needs Pillow or pillow-heif names the extra; one that is only turned is sent as it is."""
    data, turned = UNFIT[kind](), encoded("JPEG", exif=exif_of(6))
    monkeypatch.setitem(sys.modules, "pillow_heif" if kind == "HEIC" else "PIL", None)

    extra = "heic" if kind == "HEIC" else "pillow"
    with pytest.raises(OptionError, match=rf'{kind}.*pip install "langchain_imagegen\[{extra}\]".*prepare=False'):
        prepare_sources(resolve([data], None, image_store), image_store)
    if kind == "BMP":
        sources = resolve([turned], None, image_store)
        assert prepare_sources(sources, image_store) == sources


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["TIFF", "BMP", "HEIC", "AVIF"])
def test_damage_is_our_error(kind: str, cut: float, image_store: ImageStore):
    """A cut picture is refused with our error, when it is stored or when it is written anew."""
    data = UNFIT[kind]()

    with pytest.raises(CorruptImageError):
        prepare_sources(resolve([data[: int(len(data) * cut)]], None, image_store), image_store)


def test_a_text_bomb_in_a_png_is_our_error():
    """Pillow refuses a compressed text that unpacks to many MB; what leaves is our error."""
    text = b"Comment\0\0" + zlib.compress(bytes(100_000_000))
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    png = encoded("PNG")

    with pytest.raises(CorruptImageError):
        rewrite(png[:33] + chunk + png[33:], "x")


def test_an_upload_of_a_foreign_format_is_known(image_store: ImageStore):
    """BMP and TIFF are pictures of known type and size, under their own names in the store."""
    kinds = [image_store.put(UNFIT[kind]()) for kind in ("BMP", "TIFF", "HEIC", "AVIF")]

    assert [blob.mime_type for blob in kinds] == ["image/bmp", "image/tiff", "image/heic", "image/avif"]
    assert {(blob.width, blob.height) for blob in kinds if blob.mime_type != "image/heic"} == {(80, 60)}
    assert (kinds[2].width, kinds[2].height) == (80, 64)  # HEIC tells its coded size, in whole blocks
