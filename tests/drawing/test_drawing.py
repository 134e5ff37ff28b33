"""The simulator's pictures: size, format, alpha, captions that grow, masks, partials."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from langchain_imagegen.simulator.captions import panel_of
from langchain_imagegen.simulator.drawing import draw

SIZE = (512, 512)
FORMATS = ["png", "jpeg", "webp", "gif"]


def opened(data):
    """Return the decoded picture."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def difference(a, b):
    """Return where two pictures differ, and by how much."""
    return ImageChops.difference(opened(a).convert("RGB"), opened(b).convert("RGB"))


def mask_with_hole(box, size=SIZE, alpha=0):
    """Return an opaque PNG with one box of another alpha."""
    mask = Image.new("RGBA", size, (0, 0, 0, 255))
    mask.paste((0, 0, 0, alpha), box)
    out = io.BytesIO()
    mask.save(out, "png")
    return out.getvalue()


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("size", [(1024, 1024), (1536, 1024), (1024, 1536), (64, 48), (16, 16), (3840, 1280)])
def test_size_and_format(size, output_format):
    """A picture has exactly the size and the format asked for."""
    picture = opened(draw("a fox", size=size, output_format=output_format, frame_count=2))

    assert picture.size == size
    assert picture.format == output_format.upper()


@pytest.mark.parametrize("output_format", [*FORMATS, "svg"])
def test_same_arguments_same_bytes(output_format):
    """The same request gives the same bytes; another prompt gives another picture."""
    one, two = (draw("a fox", size=SIZE, output_format=output_format) for _ in range(2))

    assert one == two
    assert one != draw("a hen", size=SIZE, output_format=output_format)


def test_color_words():
    """A colour in the prompt is the colour of the picture."""
    red, _, blue = opened(draw("something blue", size=SIZE)).convert("RGB").getpixel((5, 5))
    warm_red, _, warm_blue = opened(draw("something red", size=SIZE)).convert("RGB").getpixel((5, 5))

    assert blue > red
    assert warm_red > warm_blue


def test_night_is_darker_than_day():
    """Times of day in the prompt set the light."""

    def brightness(prompt):
        return opened(draw(prompt, size=SIZE)).convert("L").resize((1, 1)).getpixel((0, 0))

    assert brightness("the sea at night") < brightness("the sea by day") - 40


@pytest.mark.parametrize("output_format", ["png", "webp", "gif"])
def test_transparent(output_format):
    """A transparent background has real alpha around a visible picture."""
    picture = opened(draw("a sticker", size=SIZE, output_format=output_format, background="transparent"))
    alpha = picture.convert("RGBA").getchannel("A")

    assert alpha.getpixel((2, 2)) == 0
    assert alpha.getpixel((256, 200)) == 255


def test_transparent_is_not_for_jpeg():
    """JPEG has no alpha and stays opaque."""
    assert opened(draw("x", size=SIZE, output_format="jpeg", background="transparent")).mode == "RGB"


def test_opaque_edit_of_transparent_source():
    """A cut-out edited onto an opaque background stands before a scene of the new prompt."""
    sticker = draw("a sticker", size=SIZE, background="transparent")
    edited = opened(draw("on a beach", size=SIZE, sources=[sticker]))

    assert edited.mode == "RGB"
    assert edited.getpixel((256, 150)) == opened(sticker).convert("RGB").getpixel((256, 150))


def edges(data):
    """Return where a picture has edges, above its captions."""
    picture = opened(data).convert("L").crop((8, 8, 504, 400))
    return picture.filter(ImageFilter.FIND_EDGES).point([0] * 24 + [255] * 232)


def test_edit_keeps_the_shapes():
    """An edit shows its source in other colours: where the source has edges, the edit has them too."""
    source, other = draw("Draw a fox", size=SIZE), draw("A city at sunset", size=SIZE)
    edited = draw("make it winter", size=SIZE, sources=[source])

    def shared(data):
        return ImageChops.multiply(edges(data), edges(edited)).histogram()[255] / edges(data).histogram()[255]

    assert difference(source, edited).getbbox()
    assert shared(source) > 0.7
    assert shared(other) < 0.45


@pytest.mark.parametrize("output_format", FORMATS)
def test_captions_grow(output_format):
    """Each edit adds a row, and every earlier prompt stays in caption and metadata, whatever the format."""
    data = b""
    for step, prompt in enumerate(["draw a fox", "make it winter", "add a hat: été"]):
        sources = [data] if step else []
        data = draw(prompt, size=SIZE, output_format=output_format, sources=sources, frame_count=2)

    picture = opened(data)
    text = str(picture.info.get("comment") or picture.getexif()[0x010E])
    assert re.search(r"draw a fox.*make it winter.*add a hat", text)


def test_caption_rows():
    """Caption rows are numbered; if there are too many, the first and the latest stay and the rest are counted."""
    few = panel_of(("draw a fox", "make it winter"), SIZE, "simulated")
    many = panel_of(tuple(f"edit {i}" for i in range(1, 41)), SIZE, "simulated")

    assert [(row.step, row.lines) for row in few.rows] == [(1, ("draw a fox",)), (2, ("make it winter",))]
    assert many.rows[0].lines == ("edit 1",)
    assert many.rows[-1].lines == ("edit 40",)
    assert re.fullmatch(r"… \d+ more", many.rows[1].lines[0])
    assert many.height < SIZE[1] / 2


@pytest.mark.parametrize("prompt", ["word " * 400, "x" * 5000, "", "  \n", "狐を描く", "<&>\"'"])
@pytest.mark.parametrize("output_format", ["png", "svg"])
def test_any_prompt(prompt, output_format):
    """Prompts of any length and script give a picture of the right size."""
    data = draw(prompt, size=SIZE, output_format=output_format)

    if output_format == "svg":
        assert ET.fromstring(data).get("width") == "512"
    else:
        assert opened(data).size == SIZE


def test_uploaded_source():
    """A foreign picture is edited too, turned upright, and named as an upload in the captions."""
    upright = Image.new("RGB", SIZE, "black")
    upright.paste("white", (0, 0, 512, 200))
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(out, "jpeg", exif=exif)
    edited = opened(draw("make it blue", size=SIZE, sources=[out.getvalue()]))

    assert "uploaded picture" in edited.getexif()[0x010E]
    above, below = (edited.convert("L").getpixel((20, y)) for y in (100, 300))
    assert above > below + 50


def test_second_source_is_set_in():
    """Further sources appear inside the picture, each in its own colours."""
    first, second = draw("draw a fox", size=SIZE), draw("a red desert", size=SIZE)
    alone = draw("combine them", size=SIZE, sources=[first])
    both = draw("combine them", size=SIZE, sources=[first, second])

    left, top, right, bottom = difference(alone, both).crop((300, 0, 512, 300)).getbbox()
    assert right - left > 100
    assert bottom - top > 100


def test_mask():
    """With a mask, only where it is fully transparent does the picture change."""
    source = draw("draw a fox", size=SIZE)
    box = (100, 120, 300, 320)
    edited = draw("a purple balloon", size=SIZE, sources=[source], mask=mask_with_hole(box))

    assert difference(source, edited).getbbox() == box


def test_mask_of_any_form():
    """A mask may have a hole of any shape."""
    source = draw("draw a fox", size=SIZE)
    mask = Image.new("RGBA", SIZE, (0, 0, 0, 255))
    ImageDraw.Draw(mask).ellipse((100, 100, 300, 300), fill=(0, 0, 0, 0))
    out = io.BytesIO()
    mask.save(out, "png")
    changed = difference(source, draw("a purple balloon", size=SIZE, sources=[source], mask=out.getvalue()))

    assert changed.getpixel((200, 200)) != (0, 0, 0)
    assert changed.getpixel((110, 110)) == (0, 0, 0)


def test_mask_of_another_size():
    """A mask of any size is scaled to the whole picture."""
    source = draw("draw a fox", size=SIZE)
    edited = draw("x", size=SIZE, sources=[source], mask=mask_with_hole((16, 16, 48, 48), size=(128, 128)))

    assert difference(source, edited).getbbox() == (64, 64, 192, 192)


def test_half_transparent_mask_changes_nothing():
    """A mask without fully transparent pixels leaves the picture unchanged."""
    source = draw("draw a fox", size=SIZE)
    edited = draw("x", size=SIZE, sources=[source], mask=mask_with_hole((0, 0, 512, 512), alpha=1))

    assert difference(source, edited).getbbox() is None


def test_edit_after_mask_reads_all_prompts():
    """A masked edit keeps the caption of its source, the next edit names all three."""
    first = draw("draw a fox", size=SIZE)
    second = draw("a hat", size=SIZE, sources=[first], mask=mask_with_hole((50, 50, 200, 200)))
    third = opened(draw("at night", size=SIZE, sources=[second]))

    assert re.search("draw a fox.*a hat.*at night", third.getexif()[0x010E])


def test_progress():
    """Partial pictures approach the final picture, and the last one equals it."""
    final = draw("a fox", size=SIZE)

    def distance(progress):
        gap = difference(draw("a fox", size=SIZE, progress=progress), final).convert("L")
        return sum(value * count for value, count in enumerate(gap.histogram()))

    assert distance(0.25) > distance(0.5) > distance(0.75) > distance(1) == 0


@pytest.mark.parametrize("prompt", ["snow", "a calm day"])
def test_gif_moves(prompt):
    """A GIF has the frames and the timing asked for, and no two frames are equal."""
    picture = opened(draw(prompt, size=(96, 96), output_format="gif", frame_count=16, frame_duration_ms=120))
    frames = set()
    for index in range(picture.n_frames):
        picture.seek(index)
        frames.add(picture.convert("RGB").tobytes())
        assert picture.info["duration"] == 120

    assert picture.n_frames == len(frames) == 16
    assert picture.info["loop"] == 0


def test_svg():
    """An SVG is well-formed, has the size asked for and shows the prompt and "simulated" as real text."""
    root = ET.fromstring(draw("a yellow desert <&>", size=(640, 480), output_format="svg"))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]

    assert (root.get("width"), root.get("height")) == ("640", "480")
    assert "a yellow desert <&>" in texts
    assert any("simulated" in text for text in texts)


def test_svg_edits():
    """An SVG edit embeds its sources and names every step; its pixels can be edited onwards."""
    first = draw("draw a fox", size=SIZE, output_format="svg")
    second = draw("make it winter", size=SIZE, output_format="svg", sources=[first, draw("a hat", size=SIZE)])
    third = opened(draw("at night", size=SIZE, sources=[second]))

    root = ET.fromstring(second)
    images = [element.get("href")[:22] for element in root.iter("{http://www.w3.org/2000/svg}image")]
    assert images == ["data:image/svg+xml;bas", "data:image/png;base64,"]
    assert {"draw a fox", "make it winter"} <= {e.text for e in root.iter("{http://www.w3.org/2000/svg}text")}
    assert re.search("draw a fox.*make it winter.*at night", third.getexif()[0x010E])


def test_svg_transparent_and_masked():
    """A transparent SVG is clipped; a masked edit shows the masked pixels."""
    clipped = draw("a sticker", size=SIZE, output_format="svg", background="transparent")
    source = draw("draw a fox", size=SIZE)
    masked = draw("hat", size=SIZE, output_format="svg", sources=[source], mask=mask_with_hole((9, 9, 99, 99)))

    assert b"clip-path" in clipped
    assert ET.fromstring(masked).find("{http://www.w3.org/2000/svg}image") is not None


def test_compression():
    """Stronger compression gives a smaller file in formats that support it."""
    for output_format in ("jpeg", "webp"):
        large, small = (
            draw("a fox", size=SIZE, output_format=output_format, compression=quality) for quality in (100, 20)
        )
        assert len(small) < len(large) / 2


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (b"not a picture", "source 1 is not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "from another program"),
        (b"", "source 1 is not a picture"),
    ],
)
def test_bad_source(source, complaint):
    """An error about an unreadable source names it and the reason."""
    with pytest.raises(ValueError, match=complaint):
        draw("x", size=SIZE, sources=[source])


def test_bad_mask_and_format():
    """Errors name a mask that is not a picture, and an unknown format."""
    with pytest.raises(ValueError, match="mask is not a picture"):
        draw("x", size=SIZE, sources=[draw("y", size=SIZE)], mask=b"?")
    with pytest.raises(ValueError, match="output_format='bmp'"):
        draw("x", size=SIZE, output_format="bmp")


def test_without_pillow():
    """Without Pillow, the import error says what to install."""
    code = "import sys; sys.modules['PIL'] = None; import langchain_imagegen.simulator.drawing"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert 'pip install "langchain_imagegen[simulator]"' in run.stderr


def test_quick():
    """A square megapixel takes well under a fifth of a second and stays under half a megabyte."""
    draw("warm up", size=(1024, 1024))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        data = draw("a fox in the mountains", size=(1024, 1024))
        times.append(time.perf_counter() - start)

    assert min(times) < 0.2
    assert len(data) < 500_000
