"""The pictures of the simulator: size, format, alpha, captions, masks, partial pictures."""

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
    """Return an image of the differences between two pictures."""
    return ImageChops.difference(opened(a).convert("RGB"), opened(b).convert("RGB"))


def mask_with_hole(box, size=SIZE, alpha=0):
    """Return an opaque PNG in which one box has this alpha."""
    mask = Image.new("RGBA", size, (0, 0, 0, 255))
    mask.paste((0, 0, 0, alpha), box)
    out = io.BytesIO()
    mask.save(out, "png")
    return out.getvalue()


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("size", [(1024, 1024), (1536, 1024), (1024, 1536), (64, 48), (16, 16), (3840, 1280)])
def test_size_and_format(size, output_format):
    """A picture has exactly the requested size and format."""
    picture = opened(draw("a fox", size=size, output_format=output_format, frame_count=2))

    assert picture.size == size
    assert picture.format == output_format.upper()


@pytest.mark.parametrize("output_format", [*FORMATS, "svg"])
def test_same_arguments_same_bytes(output_format):
    """The same arguments give the same bytes, and another prompt gives another picture."""
    one, two = (draw("a fox", size=SIZE, output_format=output_format) for _ in range(2))

    assert one == two
    assert one != draw("a hen", size=SIZE, output_format=output_format)


def test_color_words():
    """A colour in the prompt becomes the main colour of the picture."""
    red, _, blue = opened(draw("something blue", size=SIZE)).convert("RGB").getpixel((5, 5))
    warm_red, _, warm_blue = opened(draw("something red", size=SIZE)).convert("RGB").getpixel((5, 5))

    assert blue > red
    assert warm_red > warm_blue


def test_night_is_darker_than_day():
    """A time of day in the prompt changes the brightness."""

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
    """An opaque edit of a transparent picture puts it in front of a scene of the new prompt."""
    sticker = draw("a sticker", size=SIZE, background="transparent")
    edited = opened(draw("on a beach", size=SIZE, sources=[sticker]))

    assert edited.mode == "RGB"
    assert edited.getpixel((256, 150)) == opened(sticker).convert("RGB").getpixel((256, 150))


def edges(data):
    """Return an image of the edges in a picture, without its captions."""
    picture = opened(data).convert("L").crop((8, 8, 504, 400))
    return picture.filter(ImageFilter.FIND_EDGES).point([0] * 24 + [255] * 232)


def test_edit_keeps_the_shapes():
    """An edit changes the colours of its source but keeps its edges."""
    source, other = draw("Draw a fox", size=SIZE), draw("A city at sunset", size=SIZE)
    edited = draw("make it winter", size=SIZE, sources=[source])

    def shared(data):
        return ImageChops.multiply(edges(data), edges(edited)).histogram()[255] / edges(data).histogram()[255]

    assert difference(source, edited).getbbox()
    assert shared(source) > 0.7
    assert shared(other) < 0.45


@pytest.mark.parametrize("output_format", FORMATS)
def test_captions_grow(output_format):
    """The metadata of an edit has its own prompt and every earlier one, in every format."""
    data = b""
    for step, prompt in enumerate(["draw a fox", "make it winter", "add a hat: été"]):
        sources = [data] if step else []
        data = draw(prompt, size=SIZE, output_format=output_format, sources=sources, frame_count=2)

    picture = opened(data)
    text = str(picture.info.get("comment") or picture.getexif()[0x010E])
    assert re.search(r"draw a fox.*make it winter.*add a hat", text)


def test_caption_rows():
    """Caption rows are numbered. If there are too many, the first and the latest stay, and a row counts the others."""
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
    """A picture from another program is turned upright, edited, and called an upload in the metadata."""
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
    """A second source appears as an inset in the picture."""
    first, second = draw("draw a fox", size=SIZE), draw("a red desert", size=SIZE)
    alone = draw("combine them", size=SIZE, sources=[first])
    both = draw("combine them", size=SIZE, sources=[first, second])

    left, top, right, bottom = difference(alone, both).crop((300, 0, 512, 300)).getbbox()
    assert right - left > 100
    assert bottom - top > 100


def test_mask():
    """A masked edit changes the picture only where the mask is fully transparent."""
    source = draw("draw a fox", size=SIZE)
    box = (100, 120, 300, 320)
    edited = draw("a purple balloon", size=SIZE, sources=[source], mask=mask_with_hole(box))

    assert difference(source, edited).getbbox() == box


def test_mask_of_any_form():
    """A masked edit follows a hole that is not rectangular."""
    source = draw("draw a fox", size=SIZE)
    mask = Image.new("RGBA", SIZE, (0, 0, 0, 255))
    ImageDraw.Draw(mask).ellipse((100, 100, 300, 300), fill=(0, 0, 0, 0))
    out = io.BytesIO()
    mask.save(out, "png")
    changed = difference(source, draw("a purple balloon", size=SIZE, sources=[source], mask=out.getvalue()))

    assert changed.getpixel((200, 200)) != (0, 0, 0)
    assert changed.getpixel((110, 110)) == (0, 0, 0)


def test_mask_of_another_size():
    """A mask of another size is scaled to the picture."""
    source = draw("draw a fox", size=SIZE)
    edited = draw("x", size=SIZE, sources=[source], mask=mask_with_hole((16, 16, 48, 48), size=(128, 128)))

    assert difference(source, edited).getbbox() == (64, 64, 192, 192)


def test_half_transparent_mask_changes_nothing():
    """A mask without fully transparent pixels leaves the picture unchanged."""
    source = draw("draw a fox", size=SIZE)
    edited = draw("x", size=SIZE, sources=[source], mask=mask_with_hole((0, 0, 512, 512), alpha=1))

    assert difference(source, edited).getbbox() is None


def test_edit_after_mask_reads_all_prompts():
    """An edit of a masked edit has the prompts of all three pictures in its metadata."""
    first = draw("draw a fox", size=SIZE)
    second = draw("a hat", size=SIZE, sources=[first], mask=mask_with_hole((50, 50, 200, 200)))
    third = opened(draw("at night", size=SIZE, sources=[second]))

    assert re.search("draw a fox.*a hat.*at night", third.getexif()[0x010E])


def test_progress():
    """With growing `progress` a picture becomes more similar to the final one, which it equals at 1."""
    final = draw("a fox", size=SIZE)

    def distance(progress):
        gap = difference(draw("a fox", size=SIZE, progress=progress), final).convert("L")
        return sum(value * count for value, count in enumerate(gap.histogram()))

    assert distance(0.25) > distance(0.5) > distance(0.75) > distance(1) == 0


@pytest.mark.parametrize("prompt", ["snow", "a calm day"])
def test_gif_moves(prompt):
    """A GIF has the requested frame count and duration, and no two frames are equal."""
    picture = opened(draw(prompt, size=(96, 96), output_format="gif", frame_count=16, frame_duration_ms=120))
    frames = set()
    for index in range(picture.n_frames):
        picture.seek(index)
        frames.add(picture.convert("RGB").tobytes())
        assert picture.info["duration"] == 120

    assert picture.n_frames == len(frames) == 16
    assert picture.info["loop"] == 0


def test_svg():
    """An SVG is well-formed, has the requested size, and has the prompt and "simulated" as text elements."""
    root = ET.fromstring(draw("a yellow desert <&>", size=(640, 480), output_format="svg"))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]

    assert (root.get("width"), root.get("height")) == ("640", "480")
    assert "a yellow desert <&>" in texts
    assert any("simulated" in text for text in texts)


def test_svg_edits():
    """An SVG edit embeds its sources, has every prompt as text, and can be edited again."""
    first = draw("draw a fox", size=SIZE, output_format="svg")
    second = draw("make it winter", size=SIZE, output_format="svg", sources=[first, draw("a hat", size=SIZE)])
    third = opened(draw("at night", size=SIZE, sources=[second]))

    root = ET.fromstring(second)
    images = [element.get("href")[:22] for element in root.iter("{http://www.w3.org/2000/svg}image")]
    assert images == ["data:image/svg+xml;bas", "data:image/png;base64,"]
    assert {"draw a fox", "make it winter"} <= {e.text for e in root.iter("{http://www.w3.org/2000/svg}text")}
    assert re.search("draw a fox.*make it winter.*at night", third.getexif()[0x010E])


def test_svg_transparent_and_masked():
    """A transparent SVG has a clip path, and a masked edit embeds its pixels."""
    clipped = draw("a sticker", size=SIZE, output_format="svg", background="transparent")
    source = draw("draw a fox", size=SIZE)
    masked = draw("hat", size=SIZE, output_format="svg", sources=[source], mask=mask_with_hole((9, 9, 99, 99)))

    assert b"clip-path" in clipped
    assert ET.fromstring(masked).find("{http://www.w3.org/2000/svg}image") is not None


def test_compression():
    """A lower `compression` value gives a smaller jpeg or webp file."""
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
    """The error for an unreadable source names the source or the reason."""
    with pytest.raises(ValueError, match=complaint):
        draw("x", size=SIZE, sources=[source])


def test_bad_mask_and_format():
    """The errors for a broken mask and an unknown format name the mask and the format."""
    with pytest.raises(ValueError, match="mask is not a picture"):
        draw("x", size=SIZE, sources=[draw("y", size=SIZE)], mask=b"?")
    with pytest.raises(ValueError, match="output_format='bmp'"):
        draw("x", size=SIZE, output_format="bmp")


def test_without_pillow():
    """Without Pillow, the import error has the command that installs it."""
    code = "import sys; sys.modules['PIL'] = None; import langchain_imagegen.simulator.drawing"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert 'pip install "langchain_imagegen[simulator]"' in run.stderr


def test_quick():
    """A picture of 1024 x 1024 pixels takes less than 0.2 s of CPU time and 500 KB."""
    draw("warm up", size=(1024, 1024))
    times = []
    while len(times) < 10 and min(times, default=1) >= 0.2:  # other work on the machine slows some attempts
        start = time.process_time()
        data = draw("a fox in the mountains", size=(1024, 1024))
        times.append(time.process_time() - start)

    assert min(times) < 0.2
    assert len(data) < 500_000
