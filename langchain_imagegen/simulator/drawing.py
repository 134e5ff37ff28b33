"""Draws a picture from a prompt and its sources; knows nothing of the service or of this package."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from typing import Any

try:
    from PIL import ExifTags, Image, ImageOps
except ImportError as error:
    raise ImportError(
        'the simulator draws with Pillow, which is not installed: pip install "langchain_imagegen[simulator]"'
    ) from error

from langchain_imagegen.simulator import painting, svg
from langchain_imagegen.simulator.captions import History, Panel, panel_of
from langchain_imagegen.simulator.errors import UnreadablePictureError
from langchain_imagegen.simulator.scenery import Color, dice, motes_of, palette_of, scene_of

_FORMATS = ("png", "jpeg", "webp", "gif", "svg")
_CLEAR = 255
_UPLOADED = History(("uploaded picture",))
# Pillow refuses, or warns about, pictures of very many pixels with errors of its own.
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning)


def draw(
    prompt: str,
    *,
    size: tuple[int, int],
    output_format: str = "png",
    background: str = "opaque",
    quality: str = "low",
    compression: int = 100,
    sources: Sequence[bytes] = (),
    mask: bytes | None = None,
    frame_count: int = 9,
    frame_duration_ms: int = 200,
    progress: float = 1.0,
) -> bytes:
    """A picture of exactly `size`, the same for the same arguments.

    Args:
        prompt: Seeds the scene and stands in its caption; colours, times and seasons that it names are used.
        size: Width and height in pixels.
        output_format: `png`, `jpeg`, `webp`, `gif` (animated) or `svg`.
        background: `transparent` gives alpha (jpeg has none); anything else is opaque.
        quality: The higher, the more layers of land.
        compression: Quality of jpeg and webp, 0 to 100.
        sources: Pictures to edit: the first fills the frame in new colours, the others are set into it.
        mask: Only where its alpha is zero does the first source change.
        frame_count: Frames of a gif.
        frame_duration_ms: Time of each frame, in steps of 10.
        progress: Below 1 the picture is unfinished: the smaller, the coarser.

    Raises:
        ValueError: The format is unknown. `UnreadablePictureError` if a source or the mask is not a picture.
    """
    if output_format not in _FORMATS:
        raise ValueError(f"output_format={output_format!r} cannot be drawn: use one of {', '.join(_FORMATS)}")
    opened = [_Source(data, f"source {i}", size) for i, data in enumerate(sources, 1)]
    easel = _Easel(
        prompt=prompt,
        size=size,
        quality=quality,
        transparent=background == "transparent" and output_format != "jpeg",
        base=opened[0] if opened else None,
        insets=opened[1:],
        hole=_hole(mask, size) if mask is not None and opened else None,
    )
    if output_format == "svg":
        return easel.svg()
    if output_format == "gif":
        frames = [easel.frame(progress, phase=i / frame_count) for i in range(frame_count)]
        return _encode_gif(frames, easel.history, easel.colors, frame_duration_ms)
    return _encode(easel.frame(progress), easel.history, output_format, compression)


class _Source:
    """An opened source: its pixels, and the history that it carries if the simulator made it."""

    def __init__(self, data: bytes, name: str, size: tuple[int, int]) -> None:
        self.data = data
        own = _history_of(data)
        self.history = own or _UPLOADED
        self.picture = _redraw(own, name, size) if _is_svg(data) else _pixels(data, name)
        self.alpha = "A" in self.picture.getbands()

    @property
    def art(self) -> Image.Image:
        """The picture without the captions under it."""
        width, height = self.picture.size
        return self.picture.crop((0, 0, width, max(1, height - round(height * self.history.panel))))

    def filling(self, size: tuple[int, int]) -> Image.Image:
        """The picture in another size; captions stay out of the way where it has to be cropped."""
        return self.picture if self.picture.size == size else ImageOps.fit(self.art, size)


@dataclass(kw_only=True)
class _Easel:
    """One picture in the making, ready to give frames."""

    prompt: str
    size: tuple[int, int]
    quality: str
    transparent: bool
    base: _Source | None
    insets: Sequence[_Source]
    hole: Image.Image | None

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """All that led to this picture, first to last."""
        return (*self.base.history.prompts, self.prompt) if self.base else (self.prompt,)

    @cached_property
    def colors(self) -> list[Color]:
        """The colour of each step."""
        return [palette_of(prompt).accent for prompt in self.prompts]

    @cached_property
    def panel(self) -> Panel:
        """The captions, measured."""
        return panel_of(self.prompts, self.size, f"simulated · {self.size[0]} x {self.size[1]}")

    @cached_property
    def history(self) -> History:
        """What the picture carries along; a masked edit leaves the captions of its source."""
        kept = self.base.history.panel if self.base and self.hole else self.panel.height / self.size[1]
        return History(self.prompts, kept)

    def frame(self, progress: float = 1.0, *, phase: float | None = None) -> Image.Image:
        """The picture at one moment; `phase` is given in animations only."""
        if self.base and self.hole:
            art = self._repainted(self.base, self.hole, progress)
        else:
            art = self._captioned(progress, phase or 0.0)
        if phase is not None:
            painting.tick(art, self.panel, phase, self.colors[-1])
        return art

    def svg(self) -> bytes:
        """The picture as SVG: sources are embedded as they are, a masked edit as pixels."""
        if self.hole:
            pixels = _encode(self.frame(), self.history, "png", 100)
            return svg.embedded(pixels, self.size, self.history)
        return svg.composed(
            scene_of(self.prompt, aspect=self.size[0] / self.size[1], quality=self.quality),
            self.size,
            self.panel,
            self.history,
            self.colors,
            base=self.base.data if self.base else None,
            insets=[(source.data, source.history.prompts[-1]) for source in self.insets],
            balloon=self._balloon_place(0.0),
            transparent=self.transparent,
        )

    def _captioned(self, progress: float, phase: float) -> Image.Image:
        art = painting.coarse(self._art(phase), progress)
        if self.transparent:
            art.putalpha(self._alpha())
        if self.base:
            radius = round(min(self.size) * 0.042)
            painting.balloon(art, self._balloon_place(phase), radius, self.colors[-1], str(len(self.colors)))
        for place, source in enumerate(self.insets):
            painting.inset(art, source.art, source.history.prompts[-1], place)
        painting.write(art, self.panel, self.colors, card=self.transparent)
        return art

    def _art(self, phase: float) -> Image.Image:
        scene = scene_of(self.prompt, aspect=self.size[0] / self.size[1], quality=self.quality, phase=phase)
        if not self.base:
            return painting.landscape(scene, self.size)
        picture = self.base.filling(self.size)
        if self.base.alpha and not self.transparent:
            behind = painting.landscape(scene, self.size)
            behind.paste(picture, mask=picture.getchannel("A"))
            return behind
        graded = painting.grade(picture.convert("RGB"), scene.palette, above=self.size[1] - self.panel.height)
        painting.scatter(graded, motes_of(self.prompt, scene.palette, phase), scene.palette)
        return graded

    def _alpha(self) -> Image.Image:
        """A source keeps its outline; a picture without one is cut into a medallion."""
        if self.base and self.base.alpha:
            return self.base.filling(self.size).getchannel("A")
        width, low = self.size[0], self.size[1] - self.panel.height
        box = (width * 0.05, low * 0.04, width * 0.95, low * 0.96)
        return painting.shape(self.size, lambda pen, k: pen.ellipse([c * k for c in box], fill=255))

    def _repainted(self, base: _Source, hole: Image.Image, progress: float) -> Image.Image:
        """The source with a new scene in the hole, captioned inside it."""
        picture = base.picture if base.picture.size == self.size else ImageOps.fit(base.picture, self.size)
        picture = picture if self.transparent else picture.convert("RGB")
        box = hole.getbbox()
        if box is None:
            return picture
        inner = box[2] - box[0], box[3] - box[1]
        scene = scene_of(self.prompt, aspect=inner[0] / inner[1], quality=self.quality)
        patch = painting.coarse(painting.landscape(scene, inner), progress)
        panel = panel_of((self.prompt,), inner, "simulated", text_size=self.panel.text_size * 4 // 5)
        painting.write(patch, panel, self.colors[-1:], first=len(self.colors))
        painted = picture.copy()
        painted.paste(patch, box[:2], hole.crop(box))
        return painted

    def _balloon_place(self, phase: float) -> tuple[int, int]:
        """Each edit lets one more balloon rise, apart from the earlier ones."""
        width, height = self.size
        across = 0.1 + (0.5 if self.insets else 0.8) * (len(self.colors) * 0.381966 % 1)
        down = 0.12 + 0.2 * dice(f"balloon of {self.prompt}").random()
        return round(width * across), round(height * down + min(self.size) * 0.012 * (1 - 2 * abs(2 * phase - 1)))


def _is_svg(data: bytes) -> bool:
    head = data[:400].lstrip()
    return head.startswith((b"<svg", b"<?xml")) and b"<svg" in head


def _pixels(data: bytes, name: str) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
    except _UNREADABLE as error:
        problem = f"is not a picture that Pillow can open ({len(data)} bytes): {error}"
        raise UnreadablePictureError(name, problem) from error
    oriented = ImageOps.exif_transpose(picture)
    return oriented.convert("RGBA" if oriented.has_transparency_data else "RGB")


def _redraw(history: History | None, name: str, size: tuple[int, int]) -> Image.Image:
    """The pixels of one of our own SVGs, by drawing its history once more."""
    if history is None:
        problem = "is an SVG of foreign origin: only SVGs of the simulator itself can be edited"
        raise UnreadablePictureError(name, problem)
    data = draw(history.prompts[0], size=size)
    for prompt in history.prompts[1:]:
        data = draw(prompt, size=size, sources=[data])
    return _pixels(data, name)


def _history_of(data: bytes) -> History | None:
    if _is_svg(data):
        found = re.search(rb"<metadata>(.*?)</metadata>", data, re.DOTALL)
        return History.from_text(unescape(found[1].decode())) if found else None
    try:
        picture = Image.open(io.BytesIO(data))
    except _UNREADABLE:
        return None
    return History.from_text(picture.info.get("comment") or picture.getexif().get(ExifTags.Base.ImageDescription))


def _hole(mask: bytes, size: tuple[int, int]) -> Image.Image:
    """White where the mask is fully transparent."""
    alpha = _pixels(mask, "mask").convert("RGBA").getchannel("A")
    return alpha.resize(size, Image.Resampling.NEAREST).point([255] + [0] * 255)


def _encode(picture: Image.Image, history: History, output_format: str, compression: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = history.to_text()
    settings: dict[str, Any] = {
        "png": {"compress_level": 1},
        "jpeg": {"quality": compression},
        "webp": {"quality": compression, "method": 0},
    }[output_format]
    picture = picture.convert("RGB") if output_format == "jpeg" else picture
    out = io.BytesIO()
    picture.save(out, output_format, exif=exif, **settings)
    return out.getvalue()


def _encode_gif(
    frames: Sequence[Image.Image], history: History, colors: Sequence[Color], frame_duration_ms: int
) -> bytes:
    palette = _gif_palette(frames[0], colors)
    indexed = [_indexed(frame, palette) for frame in frames]
    out = io.BytesIO()
    indexed[0].save(
        out,
        "gif",
        save_all=True,
        append_images=indexed[1:],
        duration=frame_duration_ms,
        loop=0,
        disposal=2,
        comment=history.to_text().encode(),
        **({"transparency": _CLEAR} if "A" in frames[0].getbands() else {}),
    )
    return out.getvalue()


def _gif_palette(frame: Image.Image, colors: Sequence[Color]) -> Image.Image:
    """Colours for all frames; swatches see to it that the captions' colours are among them."""
    sample = frame.convert("RGB").resize((256, 256))
    for place, color in enumerate((painting.PAPER, painting.INK, painting.MUTED, *colors[-12:])):
        sample.paste(color, (16 * place, 0, 16 * place + 16, 64))
    return sample.quantize(_CLEAR, Image.Quantize.MEDIANCUT)


def _indexed(frame: Image.Image, palette: Image.Image) -> Image.Image:
    picture = frame.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
    if "A" in frame.getbands():
        picture.paste(_CLEAR, mask=frame.getchannel("A").point([255] * 128 + [0] * 128))
    return picture
