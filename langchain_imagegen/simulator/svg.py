"""Writes a scene as SVG text, with the same shapes as `painting` but as vectors."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from langchain_imagegen.simulator.captions import History, Panel
from langchain_imagegen.simulator.painting import INK, MUTED, PAPER, text_color_on
from langchain_imagegen.simulator.scenery import Color, Point, Ridge, Scene, blend

Size = tuple[int, int]

_GLOW = ((3.4, 0.12), (2.2, 0.16), (1.0, 1.0))


def compose(
    scene: Scene,
    size: Size,
    panel: Panel,
    history: History,
    colors: Sequence[Color],
    *,
    base: bytes | None,
    insets: Sequence[tuple[bytes, str]],
    balloon: Point,
    transparent: bool,
) -> bytes:
    """Return the SVG of a scene, or of a source tinted in its colours. The captions are text elements."""
    art = _edited_art(scene, size, base, balloon, colors) if base else _landscape_art(scene, size)
    if transparent and not base:
        art = [*_medallion_clip(size, panel), '<g clip-path="url(#medallion)">', *art, "</g>"]
    body = [
        _gradients(scene),
        *art,
        *_inset_elements(insets, size),
        *_caption_elements(size, panel, colors, card=transparent),
    ]
    return _document(size, history, body)


def embed(picture: bytes, size: Size, history: History) -> bytes:
    """Return an SVG that embeds a finished raster picture."""
    return _document(size, history, [_image_element(picture, (0, 0), size)])


def _document(size: Size, history: History, body: Sequence[str]) -> bytes:
    width, height = size
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}"'
        ' font-family="Aileron, Helvetica, Arial, sans-serif">'
    )
    metadata = f"<metadata>{escape(history.to_text())}</metadata>"
    title = f"<title>{escape(' / '.join(history.prompts))} (simulated)</title>"
    return "\n".join([head, metadata, title, *body, "</svg>\n"]).encode()


def _landscape_art(scene: Scene, size: Size) -> list[str]:
    width, height = size
    x, y, r = scene.light
    light = [
        _glow_circle((x * width, y * height), r * min(size) * reach, scene.palette.light, opacity)
        for reach, opacity in _GLOW
    ]
    sky = f'<rect width="{width}" height="{height}" fill="url(#sky)"/>'
    return [sky, *light, *(_ridge_path(ridge, size) for ridge in scene.ridges), *_mote_group(scene, size)]


def _edited_art(scene: Scene, size: Size, base: bytes, balloon: Point, colors: Sequence[Color]) -> list[str]:
    width, height = size
    tint = f'<rect width="{width}" height="{height}" fill="url(#tint)" opacity="0.55"/>'
    return [
        _image_element(base, (0, 0), size),
        tint,
        *_mote_group(scene, size),
        *_balloon_elements(balloon, min(size) * 0.042, colors),
    ]


def _balloon_elements(at: Point, r: float, colors: Sequence[Color]) -> list[str]:
    x, y = at
    color = colors[-1]
    string = f'd="M{x} {y + r:.0f}q{-r * 0.4:.0f} {r:.0f} {r * 0.1:.0f} {r * 1.7:.0f}"'
    stroke = f'stroke="{_hex_color(blend(color, INK, 0.5))}" stroke-width="{max(1, r / 14):.1f}"'
    return [
        f'<path {string} fill="none" {stroke}/>',
        f'<ellipse cx="{x}" cy="{y}" rx="{r:.0f}" ry="{r * 1.1:.0f}" fill="{_hex_color(color)}"/>',
        _text_element((x, y + r * 0.33), str(len(colors)), r * 0.95, text_color_on(color), anchor="middle"),
    ]


def _glow_circle(at: Point, radius: float, color: Color, opacity: float) -> str:
    center = f'cx="{at[0]:.0f}" cy="{at[1]:.0f}" r="{radius:.0f}"'
    return f'<circle {center} fill="{_hex_color(color)}" opacity="{opacity}"/>'


def _gradients(scene: Scene) -> str:
    palette = scene.palette
    middle = blend(palette.sky, palette.horizon, 0.7)
    sky = _gradient("sky", (palette.sky, middle, palette.horizon, palette.horizon))
    return f"<defs>{sky}{_gradient('tint', (palette.sky, middle, palette.far, palette.near))}</defs>"


def _gradient(name: str, colors: Sequence[Color]) -> str:
    stops = "".join(
        f'<stop offset="{i / (len(colors) - 1):.2f}" stop-color="{_hex_color(c)}"/>' for i, c in enumerate(colors)
    )
    return f'<linearGradient id="{name}" x2="0" y2="1">{stops}</linearGradient>'


def _ridge_path(ridge: Ridge, size: Size) -> str:
    width, height = size

    def path(points: Sequence[Point]) -> str:
        return "L".join(f"{x * width:.0f} {y * height:.0f}" for x, y in points)

    land = f"M0 {height}L{path(ridge.outline)}L{width} {height}Z"
    return f'<path fill="{_hex_color(ridge.color)}" d="{land}{"".join(f"M{path(s)}Z" for s in ridge.silhouettes)}"/>'


def _mote_group(scene: Scene, size: Size) -> list[str]:
    width, height = size
    color = scene.palette.accent if scene.palette.air == "leaves" else scene.palette.light
    dots = "".join(
        f'<circle cx="{x * width:.0f}" cy="{y * height:.0f}" r="{r * min(size):.1f}"/>' for x, y, r in scene.motes
    )
    return [f'<g fill="{_hex_color(color)}">{dots}</g>'] if dots else []


def _medallion_clip(size: Size, panel: Panel) -> list[str]:
    width, low = size[0], size[1] - panel.height
    oval = f'<ellipse cx="{width / 2:.0f}" cy="{low / 2:.0f}" rx="{width * 0.45:.0f}" ry="{low * 0.46:.0f}"/>'
    return [f'<clipPath id="medallion">{oval}</clipPath>']


def _inset_elements(insets: Sequence[tuple[bytes, str]], size: Size) -> list[str]:
    edge = min(size) * 0.25
    parts = []
    for place, (picture, label) in enumerate(insets):
        column, row = divmod(place, 2)
        x, y = size[0] - (column + 1) * edge * 1.25, edge * 0.16 + row * edge * 1.36
        parts += [
            _paper_rect((x, y), (edge * 1.09, edge * 1.2)),
            _image_element(picture, (round(x + edge * 0.045), round(y + edge * 0.045)), (round(edge), round(edge))),
            _text_element((x + edge * 0.545, y + edge * 1.15), label[:24], edge * 0.08, INK, anchor="middle"),
        ]
    return parts


def _caption_elements(size: Size, panel: Panel, colors: Sequence[Color], *, card: bool) -> list[str]:
    top = size[1] - panel.height
    corner = panel.text_size * 0.8 if card else 0
    parts = [
        f'<rect y="{top}" width="{size[0]}" height="{panel.height}" rx="{corner:.0f}" fill="{_hex_color(PAPER)}"/>'
    ]
    y = top + panel.pad
    for row in panel.rows:
        if row.step:
            parts += _step_elements(panel, y, row.step, colors[row.step - 1])
        for line in row.lines:
            at = (panel.indent, y + panel.line * 0.72)
            parts.append(_text_element(at, line, panel.text_size, INK if row.step else MUTED))
            y += panel.line
    note = (size[0] - panel.pad, size[1] - panel.pad * 0.7)
    return [*parts, _text_element(note, panel.note, panel.note_size, MUTED, anchor="end")]


def _paper_rect(at: Point, size: Point, corner: float = 0) -> str:
    place = f'x="{at[0]:.0f}" y="{at[1]:.0f}" width="{size[0]:.0f}" height="{size[1]:.0f}"'
    return f'<rect {place} rx="{corner:.0f}" fill="{_hex_color(PAPER)}"/>'


def _step_elements(panel: Panel, y: int, step: int, color: Color) -> list[str]:
    radius = panel.text_size * 0.58
    x, middle = panel.pad + radius, y + panel.line / 2
    disc = f'<circle cx="{x:.1f}" cy="{middle:.1f}" r="{radius:.1f}" fill="{_hex_color(color)}"/>'
    size = panel.text_size * 0.74
    return [disc, _text_element((x, middle + size * 0.36), str(step), size, text_color_on(color), anchor="middle")]


def _text_element(at: Point, text: str, size: float, color: Color, *, anchor: str = "start") -> str:
    place = f'x="{at[0]:.0f}" y="{at[1]:.0f}" font-size="{size:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{_hex_color(color)}">{escape(text)}</text>'


def _image_element(picture: bytes, at: Size, size: Size) -> str:
    place = f'x="{at[0]}" y="{at[1]}" width="{size[0]}" height="{size[1]}" preserveAspectRatio="xMidYMax slice"'
    return f'<image {place} href="data:{_mime_type(picture)};base64,{base64.b64encode(picture).decode()}"/>'


def _mime_type(picture: bytes) -> str:
    heads = (
        (b"\x89PNG", "image/png"),
        (b"\xff\xd8", "image/jpeg"),
        (b"RIFF", "image/webp"),
        (b"GIF8", "image/gif"),
    )
    return next((mime for head, mime in heads if picture.startswith(head)), "image/svg+xml")


def _hex_color(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
