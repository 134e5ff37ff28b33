"""`make pictures`: draw README's pictures again with the simulator: partial pictures that sharpen, an edit, a gallery.

The gallery is photographed in Chromium, which must be installed.
"""

from __future__ import annotations

import shutil
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from langchain_imagegen import ImageGenerator, ImageMemory, ImageStore, PartialImage
from langchain_imagegen.simulator import Simulator
from langchain_imagegen.web import write_gallery

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SHOWN = (600, 400)  # pixels
PARTIAL_MS, FINISHED_MS = 700, 3000
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def draw_animation(draw: ImageGenerator) -> None:
    """Write `drawing.webp`, which sharpens from partial to final picture, and `winter.webp`, its edit."""
    frames = []
    for piece in draw.stream("Draw mountains above a pine forest", partial_images=3):
        if isinstance(piece, PartialImage):
            if not piece.final:
                frames.append(_small(piece.data))
        else:
            frames.append(_small(piece.image.read()))
    durations = [PARTIAL_MS] * (len(frames) - 1) + [FINISHED_MS]
    frames[0].save(
        IMAGES / "drawing.webp", save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=70
    )
    _small(draw.invoke("Make it winter", images=["last"]).image.read()).save(IMAGES / "winter.webp", quality=70)


def _small(picture: bytes) -> Image.Image:
    with Image.open(BytesIO(picture)) as image:
        return image.convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS)


def photograph_gallery(draw: ImageGenerator, folder: Path) -> None:
    """Write `gallery.webp`: a page of pictures and their edits, as Chromium shows it."""
    for prompt, edit in (
        ("Draw a lighthouse at dusk", "Make it a stormy night"),
        ("Draw a village by a lake", "Make it winter"),
        ("Draw dunes under two moons", "Put a caravan in front"),
    ):
        draw.invoke(prompt, size="1024x1024")
        draw.invoke(edit, images=["last"], size="1024x1024")
    page = write_gallery(draw.memory, folder / "gallery.html", title="Sketches")
    executable = next(filter(None, map(shutil.which, CHROMIUM)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1200, "height": 800})
        tab.goto(page.as_uri())
        shot = tab.screenshot()
        browser.close()
    with Image.open(BytesIO(shot)) as image:
        image.convert("RGB").save(IMAGES / "gallery.webp", quality=70)


def main() -> None:
    """Draw the pictures into `docs/images`."""
    with Simulator() as simulator, tempfile.TemporaryDirectory() as folder:
        service = {"base_url": simulator.base_url, "api_key": "sk-simulated"}
        options = {"size": "1536x1024", "quality": "low"}
        store = ImageStore(Path(folder) / "store")
        draw = ImageGenerator(**service, options=options, memory=ImageMemory(), image_store=store)
        draw_animation(draw)
        photograph_gallery(draw, Path(folder))


if __name__ == "__main__":
    main()
