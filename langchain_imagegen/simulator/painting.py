"""Paints scenes, captions and insets on pixels. `drawing` decides which of them a picture has."""

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


def draw_landscape(scene: Scene, size: tuple[int, int]) -> Image.Image:
    """Return a picture of the whole scene: sky, light, motes and land."""
    palette = scene.palette
    art = _gradient(size, (palette.sky, blend(palette.sky, palette.horizon, 0.7), palette.horizon, palette.horizon))
    if palette.air == "stars":
        draw_motes(art, scene.motes, palette)
    _draw_light(art, scene)
    for ridge in scene.ridges:
        _draw_ridge(art, ridge)
    if palette.air != "stars":
        draw_motes(art, scene.motes, palette)
    return art


def recolor(picture: Image.Image, palette: Palette, *, above: int) -> Image.Image:
    """Return the picture in the colours of a palette.

    Only the rows above row `above`, where the captions start, set the contrast.
    """
    light = picture.convert("L")
    seen = Image.new("L", light.size)
    seen.paste(255, (0, 0, light.width, max(1, above)))
    light = ImageOps.autocontrast(light, cutoff=(1, 0.5), mask=seen)
    toned = ImageOps.colorize(
        light, black=palette.near, mid=blend(palette.far, palette.sky, 0.5), white=palette.horizon
    )
    return Image.blend(picture, toned, 0.72)


def draw_motes(art: Image.Image, motes: Sequence[tuple[float, float, float]], palette: Palette) -> None:
    """Draw stars, snowflakes or leaves on the picture, in place."""
    width, height = art.size
    color = palette.accent if palette.air == "leaves" else palette.light
    for x, y, r in motes:
        dot = _dot_mask(max(2, round(2 * r * min(width, height))))
        art.paste(color, (round(x * width), round(y * height)), dot)


def coarsen(art: Image.Image, progress: float) -> Image.Image:
    """Return the picture with less detail. `progress` 1 returns it unchanged, smaller values are coarser."""
    if progress >= 1:
        return art
    steps = 6 + 90 * max(progress, 0.0) ** 1.5
    scale = min(1.0, steps / min(art.size))
    small = art.resize((max(1, round(art.width * scale)), max(1, round(art.height * scale))), Image.Resampling.BOX)
    return small.filter(ImageFilter.GaussianBlur(0.6)).resize(art.size, Image.Resampling.BICUBIC)


def draw_balloon(art: Image.Image, center: tuple[int, int], radius: int, color: Color, label: str) -> None:
    """Draw a balloon with a label on the picture, in place."""
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
    art.paste(
        color, (x - radius, y - round(1.25 * radius)), smooth_mask(body, lambda p, k: _draw_balloon_body(p, body, k))
    )
    shine = smooth_mask(
        (radius // 2 + 1, radius // 2 + 1),
        lambda p, k: p.ellipse((0, 0, radius * k // 2, radius * k // 2), fill=110),
    )
    art.paste((255, 255, 255), (x - round(radius * 0.6), y - round(radius * 0.8)), shine)
    _draw_text(art, (x, y - radius // 10), label, max(8, round(radius * 0.95)), text_color_on(color), anchor="mm")


def draw_inset(art: Image.Image, picture: Image.Image, label: str, place: int) -> None:
    """Draw a small framed picture in the upper right corner, in place. `place` counts insets, two in each column."""
    edge = round(min(art.size) * 0.25)
    border = max(2, edge // 22)
    strip = max(10, edge // 7)
    card = Image.new("RGB", (edge + 2 * border, edge + border + strip), PAPER)
    thumb = ImageOps.fit(picture.convert("RGBA"), (edge, edge))
    card.paste(thumb, (border, border), thumb)
    size = max(8, round(strip * 0.58))
    text = shorten(label, edge, size)
    _draw_text(card, (card.width // 2, card.height - strip // 2), text, size, INK, anchor="mm")
    column, row = divmod(place, 2)
    gap = round(edge * 0.16)
    x = art.width - (column + 1) * (card.width + gap)
    y = gap + row * (card.height + gap)
    shadow = Image.new("RGB", card.size, INK)
    offset = max(1, border // 2)
    art.paste(shadow, (x + offset, y + offset), Image.new("L", card.size, 90))
    art.paste(card, (x, y))


def write_captions(
    art: Image.Image, panel: Panel, colors: Sequence[Color], *, first: int = 1, card: bool = False
) -> None:
    """Draw the captions along the lower edge, in place, on a full-width band or a `card` with round corners.

    `first` is the number of the first step, and `colors` has the colour of each step from there on.
    """
    top = art.height - panel.height
    if card:
        corner = round(panel.text_size * 0.8)
        paper = smooth_mask(
            (art.width, panel.height), lambda pen, k: _draw_card(pen, art.width, panel.height, corner, k)
        )
        art.paste(PAPER, (0, top), paper)
    else:
        art.paste(PAPER, (0, top, art.width, art.height))
    y = top + panel.pad
    for row in panel.rows:
        if row.step:
            _draw_step(art, panel, y, row.step + first - 1, colors[row.step - 1])
        for line in row.lines:
            middle = y + panel.line // 2
            _draw_text(art, (panel.indent, middle), line, panel.text_size, INK if row.step else MUTED, anchor="lm")
            y += panel.line
    _draw_text(
        art,
        (art.width - panel.pad, art.height - round(panel.pad * 0.7)),
        panel.note,
        panel.note_size,
        MUTED,
        anchor="rb",
    )


def draw_time_bar(art: Image.Image, panel: Panel, phase: float, color: Color) -> None:
    """Draw the time of an animation as a bar above the captions, in place. It makes every frame different."""
    top = art.height - panel.height
    thick = max(2, panel.text_size // 5)
    art.paste(blend(PAPER, INK, 0.12), (0, top, art.width, top + thick))
    start = round(art.width * phase)
    art.paste(color, (start, top, min(art.width, start + max(2, art.width // 12)), top + thick))


def smooth_mask(size: tuple[int, int], outline: Callable[[ImageDraw.ImageDraw, int], object]) -> Image.Image:
    """Return a mask with smooth edges. `outline(pen, scale)` draws it `scale` times larger, and it is then reduced."""
    width, height = max(1, size[0]), max(1, size[1])
    large = Image.new("L", (width * _SUPERSAMPLE, height * _SUPERSAMPLE))
    outline(ImageDraw.Draw(large), _SUPERSAMPLE)
    return large.reduce(_SUPERSAMPLE)


def _gradient(size: tuple[int, int], colors: Sequence[Color]) -> Image.Image:
    """Return a vertical gradient from the first colour at the top to the last at the bottom."""
    column = Image.new("RGB", (1, len(colors)))
    column.putdata(list(colors))
    return column.resize((1, size[1]), Image.Resampling.BICUBIC).resize(size, Image.Resampling.NEAREST)


def _draw_light(art: Image.Image, scene: Scene) -> None:
    """Draw the sun or moon and its glow, in place."""
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
    art.paste(scene.palette.light, (center[0] - radius, center[1] - radius), _dot_mask(2 * radius))


def _draw_ridge(art: Image.Image, ridge: Ridge) -> None:
    """Draw one layer of land, in place. To save time, only the strip around its edge uses a smooth mask."""
    width, height = art.size
    heights = [y for _, y in ridge.outline] + [y for silhouette in ridge.silhouettes for _, y in silhouette]
    top, low = (min(max(round(at * height), 0), height) for at in (min(heights) - 0.004, max(heights) + 0.004))
    fill = _gradient((width, height - top), (ridge.color, blend(ridge.color, ridge.mist, 0.6), ridge.mist))

    def edge(pen: ImageDraw.ImageDraw, k: int) -> None:
        def place(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
            return [(px * width * k, (py * height - top) * k) for px, py in points]

        pen.polygon([(-k, (low + 9) * k), *place(ridge.outline), (width * k, (low + 9) * k)], fill=255)
        for silhouette in ridge.silhouettes:
            pen.polygon(place(silhouette), fill=255)

    art.paste(fill.crop((0, 0, width, low - top)), (0, top), smooth_mask((width, low - top), edge))
    art.paste(fill.crop((0, low - top, width, height - top)), (0, low))


def _draw_step(art: Image.Image, panel: Panel, y: int, step: int, color: Color) -> None:
    diameter = round(panel.text_size * 1.16)
    top = y + (panel.line - diameter) // 2
    art.paste(color, (panel.pad, top), _dot_mask(diameter))
    center = (panel.pad + diameter / 2, top + diameter / 2)
    _draw_text(art, center, str(step), round(panel.text_size * 0.74), text_color_on(color), anchor="mm")


def _draw_text(art: Image.Image, at: tuple[float, float], text: str, size: int, color: Color, *, anchor: str) -> None:
    ImageDraw.Draw(art).text(at, text, fill=color, font=font(size), anchor=anchor)


def text_color_on(color: Color) -> Color:
    """Return a dark or a light text colour that is readable on this colour."""
    red, green, blue = color
    return INK if 0.3 * red + 0.59 * green + 0.11 * blue > 150 else PAPER


def _draw_balloon_body(pen: ImageDraw.ImageDraw, size: tuple[int, int], k: int) -> None:
    width, height = size[0] * k, size[1] * k
    pen.ellipse((0, 0, width - 1, height * 0.93), fill=255)
    pen.polygon([(width * 0.5, height * 0.88), (width * 0.4, height), (width * 0.6, height)], fill=255)


def _draw_card(pen: ImageDraw.ImageDraw, width: int, height: int, corner: int, k: int) -> None:
    pen.rounded_rectangle((0, 0, width * k - 1, height * k - 1), corner * k, fill=255)


@functools.lru_cache(maxsize=64)
def _dot_mask(diameter: int) -> Image.Image:
    return smooth_mask(
        (diameter, diameter), lambda pen, k: pen.ellipse((0, 0, diameter * k - 1, diameter * k - 1), fill=255)
    )
