"""Puts scenes, captions and insets on pixels; which of them a picture needs, `drawing` decides."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageFilter, ImageOps

from langchain_imagegen.simulator.captions import Panel, font, shorten
from langchain_imagegen.simulator.scenery import Color, Palette, Ridge, Scene, blend

PAPER: Color = (250, 247, 240)
INK: Color = (44, 42, 48)
MUTED: Color = (134, 128, 124)
_SUPERSAMPLE = 3


def landscape(scene: Scene, size: tuple[int, int]) -> Image.Image:
    """The scene in full: sky, light, what floats in the air, land."""
    palette = scene.palette
    art = _gradient(size, (palette.sky, blend(palette.sky, palette.horizon, 0.7), palette.horizon, palette.horizon))
    if palette.air == "stars":
        scatter(art, scene.motes, palette)
    _shine(art, scene)
    for ridge in scene.ridges:
        _raise_land(art, ridge)
    if palette.air != "stars":
        scatter(art, scene.motes, palette)
    return art


def grade(picture: Image.Image, palette: Palette, *, above: int) -> Image.Image:
    """The picture in another mood's colours, its light and shade as they are `above` the captions."""
    light = picture.convert("L")
    seen = Image.new("L", light.size)
    seen.paste(255, (0, 0, light.width, max(1, above)))
    light = ImageOps.autocontrast(light, cutoff=(1, 0.5), mask=seen)
    toned = ImageOps.colorize(
        light, black=palette.near, mid=blend(palette.far, palette.sky, 0.5), white=palette.horizon
    )
    return Image.blend(picture, toned, 0.72)


def scatter(art: Image.Image, motes: Sequence[tuple[float, float, float]], palette: Palette) -> None:
    """Stars, flakes or leaves over the picture as it is."""
    width, height = art.size
    color = palette.accent if palette.air == "leaves" else palette.light
    for x, y, r in motes:
        dot = _dot(max(2, round(2 * r * min(width, height))))
        art.paste(color, (round(x * width), round(y * height)), dot)


def coarse(art: Image.Image, progress: float) -> Image.Image:
    """The picture as it looks before it is finished."""
    if progress >= 1:
        return art
    steps = 6 + 90 * max(progress, 0.0) ** 1.5
    scale = min(1.0, steps / min(art.size))
    small = art.resize((max(1, round(art.width * scale)), max(1, round(art.height * scale))), Image.Resampling.BOX)
    return small.filter(ImageFilter.GaussianBlur(0.6)).resize(art.size, Image.Resampling.BICUBIC)


def balloon(art: Image.Image, center: tuple[int, int], radius: int, color: Color, label: str) -> None:
    """A balloon with a label on it."""
    x, y = center
    pen = ImageDraw.Draw(art)
    thick = max(1, radius // 14)
    points = [
        (x, y + radius),
        (x - radius // 5, y + round(radius * 1.8)),
        (x + radius // 6, y + round(radius * 2.7)),
    ]
    pen.line(points, fill=blend(color, INK, 0.5), width=thick, joint="curve")
    body = (2 * radius, round(2.3 * radius))
    art.paste(color, (x - radius, y - round(1.25 * radius)), shape(body, lambda p, k: _balloon_body(p, body, k)))
    shine = shape(
        (radius // 2 + 1, radius // 2 + 1),
        lambda p, k: p.ellipse((0, 0, radius * k // 2, radius * k // 2), fill=110),
    )
    art.paste((255, 255, 255), (x - round(radius * 0.6), y - round(radius * 0.8)), shine)
    _text(art, (x, y - radius // 10), label, max(8, round(radius * 0.95)), readable_on(color), anchor="mm")


def inset(art: Image.Image, picture: Image.Image, label: str, place: int) -> None:
    """A second picture, framed like a photograph, in the upper right; further ones below and beside it."""
    edge = round(min(art.size) * 0.25)
    border = max(2, edge // 22)
    strip = max(10, edge // 7)
    card = Image.new("RGB", (edge + 2 * border, edge + border + strip), PAPER)
    thumb = ImageOps.fit(picture.convert("RGBA"), (edge, edge))
    card.paste(thumb, (border, border), thumb)
    size = max(8, round(strip * 0.58))
    text = shorten(label, edge, size)
    _text(card, (card.width // 2, card.height - strip // 2), text, size, INK, anchor="mm")
    column, row = divmod(place, 2)
    gap = round(edge * 0.16)
    x = art.width - (column + 1) * (card.width + gap)
    y = gap + row * (card.height + gap)
    shadow = Image.new("RGB", card.size, INK)
    offset = max(1, border // 2)
    art.paste(shadow, (x + offset, y + offset), Image.new("L", card.size, 90))
    art.paste(card, (x, y))


def write(art: Image.Image, panel: Panel, colors: Sequence[Color], *, first: int = 1, card: bool = False) -> None:
    """The captions along the lower edge; `colors` are those of the steps from `first` on."""
    top = art.height - panel.height
    if card:
        corner = round(panel.text_size * 0.8)
        paper = shape((art.width, panel.height), lambda pen, k: _card(pen, art.width, panel.height, corner, k))
        art.paste(PAPER, (0, top), paper)
    else:
        art.paste(PAPER, (0, top, art.width, art.height))
    y = top + panel.pad
    for row in panel.rows:
        if row.step:
            _step(art, panel, y, row.step + first - 1, colors[row.step - 1])
        for line in row.lines:
            middle = y + panel.line // 2
            _text(art, (panel.indent, middle), line, panel.text_size, INK if row.step else MUTED, anchor="lm")
            y += panel.line
    _text(
        art,
        (art.width - panel.pad, art.height - round(panel.pad * 0.7)),
        panel.note,
        panel.note_size,
        MUTED,
        anchor="rb",
    )


def tick(art: Image.Image, panel: Panel, phase: float, color: Color) -> None:
    """The time of an animation as a bar on the captions' upper edge, so that no two frames are equal."""
    top = art.height - panel.height
    thick = max(2, panel.text_size // 5)
    art.paste(blend(PAPER, INK, 0.12), (0, top, art.width, top + thick))
    start = round(art.width * phase)
    art.paste(color, (start, top, min(art.width, start + max(2, art.width // 12)), top + thick))


def shape(size: tuple[int, int], outline: Callable[[ImageDraw.ImageDraw, int], object]) -> Image.Image:
    """A mask with smooth edges: `outline` draws it some times larger, with the scale as second argument."""
    width, height = max(1, size[0]), max(1, size[1])
    large = Image.new("L", (width * _SUPERSAMPLE, height * _SUPERSAMPLE))
    outline(ImageDraw.Draw(large), _SUPERSAMPLE)
    return large.reduce(_SUPERSAMPLE)


def _gradient(size: tuple[int, int], colors: Sequence[Color]) -> Image.Image:
    """Colours from top to bottom."""
    column = Image.new("RGB", (1, len(colors)))
    column.putdata(list(colors))
    return column.resize((1, size[1]), Image.Resampling.BICUBIC).resize(size, Image.Resampling.NEAREST)


def _shine(art: Image.Image, scene: Scene) -> None:
    """The sun or moon, and the glow around it."""
    x, y, r = scene.light
    radius = round(r * min(art.size))
    center = round(x * art.width), round(y * art.height)
    reach = radius * 5
    glow = (
        Image.radial_gradient("L")
        .resize((2 * reach, 2 * reach))
        .point([max(0, 96 - v * 96 // 181) for v in range(256)])
    )
    art.paste(scene.palette.light, (center[0] - reach, center[1] - reach), glow)
    art.paste(scene.palette.light, (center[0] - radius, center[1] - radius), _dot(2 * radius))


def _raise_land(art: Image.Image, ridge: Ridge) -> None:
    """One layer of land; only its edge is drawn with care, below it the colour is even."""
    width, height = art.size
    heights = [y for _, y in ridge.outline] + [y for shape_ in ridge.silhouettes for _, y in shape_]
    top, low = (min(max(round(at * height), 0), height) for at in (min(heights) - 0.004, max(heights) + 0.004))
    fill = _gradient((width, height - top), (ridge.color, blend(ridge.color, ridge.mist, 0.6), ridge.mist))

    def edge(pen: ImageDraw.ImageDraw, k: int) -> None:
        def place(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
            return [(px * width * k, (py * height - top) * k) for px, py in points]

        pen.polygon([(-k, (low + 9) * k), *place(ridge.outline), (width * k, (low + 9) * k)], fill=255)
        for silhouette in ridge.silhouettes:
            pen.polygon(place(silhouette), fill=255)

    art.paste(fill.crop((0, 0, width, low - top)), (0, top), shape((width, low - top), edge))
    art.paste(fill.crop((0, low - top, width, height - top)), (0, low))


def _step(art: Image.Image, panel: Panel, y: int, step: int, color: Color) -> None:
    diameter = round(panel.text_size * 1.16)
    top = y + (panel.line - diameter) // 2
    art.paste(color, (panel.pad, top), _dot(diameter))
    center = (panel.pad + diameter / 2, top + diameter / 2)
    _text(art, center, str(step), round(panel.text_size * 0.74), readable_on(color), anchor="mm")


def _text(art: Image.Image, at: tuple[float, float], text: str, size: int, color: Color, *, anchor: str) -> None:
    ImageDraw.Draw(art).text(at, text, fill=color, font=font(size), anchor=anchor)


def readable_on(color: Color) -> Color:
    """Dark or light letters, whichever can be read on the colour."""
    red, green, blue = color
    return INK if 0.3 * red + 0.59 * green + 0.11 * blue > 150 else PAPER


def _balloon_body(pen: ImageDraw.ImageDraw, size: tuple[int, int], k: int) -> None:
    width, height = size[0] * k, size[1] * k
    pen.ellipse((0, 0, width - 1, height * 0.93), fill=255)
    pen.polygon([(width * 0.5, height * 0.88), (width * 0.4, height), (width * 0.6, height)], fill=255)


def _card(pen: ImageDraw.ImageDraw, width: int, height: int, corner: int, k: int) -> None:
    pen.rounded_rectangle((0, 0, width * k - 1, height * k - 1), corner * k, fill=255)


@functools.lru_cache(maxsize=64)
def _dot(diameter: int) -> Image.Image:
    return shape((diameter, diameter), lambda pen, k: pen.ellipse((0, 0, diameter * k - 1, diameter * k - 1), fill=255))
