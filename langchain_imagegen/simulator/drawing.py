"""Draws a placeholder picture from a prompt and its sources. It knows nothing about the service."""

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
        'the simulator needs Pillow, which is not installed: pip install "langchain_imagegen[simulator]"'
    ) from error

from langchain_imagegen.simulator import painting, svg
from langchain_imagegen.simulator.captions import UPLOADED, History, Panel, panel_of
from langchain_imagegen.simulator.errors import UnreadablePictureError
from langchain_imagegen.simulator.scenery import Color, motes_of, palette_of, scene_of, seeded_random

_FORMATS = ("png", "jpeg", "webp", "gif", "svg")
_TRANSPARENT_INDEX = 255
_SMALLEST = 16  # pixels of the edge of a landscape
_UPLOADED_HISTORY = History((UPLOADED,))
# The last two are for pictures with too many pixels. Pillow warns about them or rejects them.
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning)


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
    """Return an encoded picture of exactly `size`. The same arguments give the same bytes.

    Args:
        prompt: Text of the caption. It selects the scene, and names of colours, times of day and seasons take effect.
        size: Width and height in pixels.
        output_format: `png`, `jpeg`, `webp`, `gif` (animated) or `svg`.
        background: `transparent` adds an alpha channel, except for jpeg. Any other value is opaque.
        quality: A higher quality draws more layers of land.
        compression: Quality of jpeg and webp, from 0 to 100.
        sources: Pictures to edit. The first fills the frame in new colours. The others become insets.
        mask: Picture whose alpha channel limits the edit: only pixels with alpha 0 change.
        frame_count: Number of frames of a gif.
        frame_duration_ms: Duration of each gif frame in milliseconds, in steps of 10.
        progress: 1 is the finished picture. Smaller values are coarser, for partial pictures.

    Raises:
        ValueError: The format is unknown, or (as `UnreadablePictureError`) a source or the mask is not a picture.
    """
    if output_format not in _FORMATS:
        raise ValueError(f"output_format={output_format!r} is not supported: use one of {', '.join(_FORMATS)}")
    opened = [_Source(data, f"source {i}", size) for i, data in enumerate(sources, 1)]
    composition = _Composition(
        prompt=prompt,
        size=size,
        quality=quality,
        transparent=background == "transparent" and output_format != "jpeg",
        base=opened[0] if opened else None,
        insets=opened[1:],
        hole=_mask_to_hole(mask, size) if mask is not None and opened else None,
    )
    if output_format == "svg":
        return composition.svg()
    if output_format == "gif":
        frames = [composition.frame(progress, phase=i / frame_count) for i in range(frame_count)]
        return _encode_gif(frames, composition.history, composition.colors, frame_duration_ms)
    return _encode(composition.frame(progress), composition.history, output_format, compression)


class _Source:
    """An opened source: its pixels, and its history if the simulator drew it."""

    def __init__(self, data: bytes, name: str, size: tuple[int, int]) -> None:
        self.data = data
        own = _read_own_history(data)
        self.history = own or _UPLOADED_HISTORY
        self.picture = _redraw_svg(own, name, size) if _is_svg(data) else _decode_pixels(data, name)
        self.alpha = "A" in self.picture.getbands()

    @property
    def art(self) -> Image.Image:
        """The picture without its captions."""
        width, height = self.picture.size
        return self.picture.crop((0, 0, width, max(1, height - round(height * self.history.panel))))

    def fit_to(self, size: tuple[int, int]) -> Image.Image:
        """Return the picture in this size. If it has to be scaled, its captions are removed first."""
        return self.picture if self.picture.size == size else ImageOps.fit(self.art, size)


@dataclass(kw_only=True)
class _Composition:
    """The contents of one picture, with methods that render it.

    Attributes:
        base: The source that fills the frame.
        insets: The sources that are drawn small, on top of the picture.
        hole: A mask of the frame's size. It is white where the edit may change `base`.
    """

    prompt: str
    size: tuple[int, int]
    quality: str
    transparent: bool
    base: _Source | None
    insets: Sequence[_Source]
    hole: Image.Image | None

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """All prompts that led to this picture, oldest first."""
        return (*self.base.history.prompts, self.prompt) if self.base else (self.prompt,)

    @cached_property
    def colors(self) -> list[Color]:
        """The accent colour of each prompt."""
        return [palette_of(prompt).accent for prompt in self.prompts]

    @cached_property
    def panel(self) -> Panel:
        """The layout of the captions."""
        return panel_of(self.prompts, self.size, f"simulated · {self.size[0]} x {self.size[1]}")

    @cached_property
    def history(self) -> History:
        """The history to store in the picture's metadata. A masked edit keeps the captions of its source."""
        kept = self.base.history.panel if self.base and self.hole else self.panel.height / self.size[1]
        return History(self.prompts, kept)

    def frame(self, progress: float = 1.0, *, phase: float | None = None) -> Image.Image:
        """Return the pixels of one frame. `phase` is the position in an animation, from 0 to 1, or None."""
        if self.base and self.hole:
            art = self._repaint_hole(self.base, self.hole, progress)
        else:
            art = self._draw_with_captions(progress, phase or 0.0)
        if phase is not None:
            painting.draw_time_bar(art, self.panel, phase, self.colors[-1])
        return art

    def svg(self) -> bytes:
        """Return the picture as SVG. Sources are embedded unchanged. A masked edit is embedded as a PNG."""
        if self.hole:
            pixels = _encode(self.frame(), self.history, "png", 100)
            return svg.embed(pixels, self.size, self.history)
        return svg.compose(
            scene_of(self.prompt, aspect=self.size[0] / self.size[1], quality=self.quality),
            self.size,
            self.panel,
            self.history,
            self.colors,
            base=self.base.data if self.base else None,
            insets=[(source.data, source.history.prompts[-1]) for source in self.insets],
            balloon=self._balloon_position(0.0),
            transparent=self.transparent,
        )

    def _draw_with_captions(self, progress: float, phase: float) -> Image.Image:
        art = painting.coarsen(self._draw_art(phase), progress)
        if self.transparent:
            art.putalpha(self._alpha_channel())
        if self.base:
            radius = round(min(self.size) * 0.042)
            painting.draw_balloon(art, self._balloon_position(phase), radius, self.colors[-1], str(len(self.colors)))
        for place, source in enumerate(self.insets):
            painting.draw_inset(art, source.art, source.history.prompts[-1], place)
        painting.write_captions(art, self.panel, self.colors, card=self.transparent)
        return art

    def _draw_art(self, phase: float) -> Image.Image:
        scene = scene_of(self.prompt, aspect=self.size[0] / self.size[1], quality=self.quality, phase=phase)
        if not self.base:
            return painting.draw_landscape(scene, self.size)
        picture = self.base.fit_to(self.size)
        if self.base.alpha and not self.transparent:
            behind = painting.draw_landscape(scene, self.size)
            behind.paste(picture, mask=picture.getchannel("A"))
            return behind
        graded = painting.recolor(picture.convert("RGB"), scene.palette, above=self.size[1] - self.panel.height)
        painting.draw_motes(graded, motes_of(self.prompt, scene.palette, phase), scene.palette)
        return graded

    def _alpha_channel(self) -> Image.Image:
        """Return the alpha channel: that of the source if it has one, otherwise an oval."""
        if self.base and self.base.alpha:
            return self.base.fit_to(self.size).getchannel("A")
        width, low = self.size[0], self.size[1] - self.panel.height
        box = (width * 0.05, low * 0.04, width * 0.95, low * 0.96)
        return painting.smooth_mask(self.size, lambda pen, k: pen.ellipse([c * k for c in box], fill=255))

    def _repaint_hole(self, base: _Source, hole: Image.Image, progress: float) -> Image.Image:
        """Return the source with a new scene and its caption inside the hole."""
        picture = base.picture if base.picture.size == self.size else ImageOps.fit(base.picture, self.size)
        picture = picture if self.transparent else picture.convert("RGB")
        box = hole.getbbox()
        if box is None:
            return picture
        width, height = box[2] - box[0], box[3] - box[1]
        inner = max(width, _SMALLEST), max(height, _SMALLEST)
        scene = scene_of(self.prompt, aspect=inner[0] / inner[1], quality=self.quality)
        patch = painting.coarsen(painting.draw_landscape(scene, inner), progress)
        panel = panel_of((self.prompt,), inner, "simulated", text_size=self.panel.text_size * 4 // 5)
        painting.write_captions(patch, panel, self.colors[-1:], first=len(self.colors))
        painted = picture.copy()
        painted.paste(patch.crop((0, 0, width, height)), box[:2], hole.crop(box))
        return painted

    def _balloon_position(self, phase: float) -> tuple[int, int]:
        """Return the centre of the balloon that marks this edit. It differs from the balloons of earlier edits."""
        width, height = self.size
        across = 0.1 + (0.5 if self.insets else 0.8) * (len(self.colors) * 0.381966 % 1)
        down = 0.12 + 0.2 * seeded_random(f"balloon of {self.prompt}").random()
        return round(width * across), round(height * down + min(self.size) * 0.012 * (1 - 2 * abs(2 * phase - 1)))


def _is_svg(data: bytes) -> bool:
    head = data[:400].lstrip()
    return head.startswith((b"<svg", b"<?xml")) and b"<svg" in head


def _decode_pixels(data: bytes, name: str) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
    except _PILLOW_ERRORS as error:
        problem = f"is not a picture that Pillow can open ({len(data)} bytes): {error}"
        raise UnreadablePictureError(name, problem) from error
    oriented = ImageOps.exif_transpose(picture)
    return oriented.convert("RGBA" if oriented.has_transparency_data else "RGB")


def _redraw_svg(history: History | None, name: str, size: tuple[int, int]) -> Image.Image:
    """Return the pixels of an SVG that the simulator drew, by drawing its history again."""
    if history is None:
        problem = "is an SVG from another program: the simulator can only edit its own SVGs"
        raise UnreadablePictureError(name, problem)
    data = draw(history.prompts[0], size=size)
    for prompt in history.prompts[1:]:
        data = draw(prompt, size=size, sources=[data])
    return _decode_pixels(data, name)


def read_history(data: bytes) -> History:
    """Return the prompts of a picture that the simulator drew, or a history that says "uploaded picture"."""
    return _read_own_history(data) or _UPLOADED_HISTORY


def _read_own_history(data: bytes) -> History | None:
    if _is_svg(data):
        found = re.search(rb"<metadata>(.*?)</metadata>", data, re.DOTALL)
        return History.from_text(unescape(found[1].decode())) if found else None
    try:
        picture = Image.open(io.BytesIO(data))
    except _PILLOW_ERRORS:
        return None
    return History.from_text(picture.info.get("comment") or picture.getexif().get(ExifTags.Base.ImageDescription))


def _mask_to_hole(mask: bytes, size: tuple[int, int]) -> Image.Image:
    """Return a mask in this size that is white where `mask` is fully transparent."""
    alpha = _decode_pixels(mask, "mask").convert("RGBA").getchannel("A")
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
    indexed = [_quantize(frame, palette) for frame in frames]
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
        **({"transparency": _TRANSPARENT_INDEX} if "A" in frames[0].getbands() else {}),
    )
    return out.getvalue()


def _gif_palette(frame: Image.Image, colors: Sequence[Color]) -> Image.Image:
    """Return a palette for all frames. Added swatches make sure that it contains the colours of the captions."""
    sample = frame.convert("RGB").resize((256, 256))
    for place, color in enumerate((painting.PAPER, painting.INK, painting.MUTED, *colors[-12:])):
        sample.paste(color, (16 * place, 0, 16 * place + 16, 64))
    return sample.quantize(_TRANSPARENT_INDEX, Image.Quantize.MEDIANCUT)


def _quantize(frame: Image.Image, palette: Image.Image) -> Image.Image:
    picture = frame.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
    if "A" in frame.getbands():
        picture.paste(_TRANSPARENT_INDEX, mask=frame.getchannel("A").point([255] * 128 + [0] * 128))
    return picture
