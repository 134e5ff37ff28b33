"""Derives the scene of a picture from its prompt: colours, light and land as numbers. Nothing is drawn here."""

from __future__ import annotations

import colorsys
import hashlib
import math
import random
import re
from dataclasses import dataclass, replace

Color = tuple[int, int, int]
Point = tuple[float, float]

_RIDGES = {"low": 4, "medium": 5, "high": 6, "xhigh": 7, "max": 7}
_STEPS = 96


@dataclass(frozen=True)
class Palette:
    """The colours of one mood. `air` names its motes: `stars`, `snow`, `leaves` or none."""

    sky: Color
    horizon: Color
    light: Color
    far: Color
    near: Color
    accent: Color
    air: str = ""


@dataclass(frozen=True)
class Land:
    """The shape of the ground: its hills, and what stands on them (`pines`, `houses` or nothing)."""

    swell: float = 0.07
    waves: float = 1.6
    jagged: bool = False
    growth: str = "pines"
    density: int = 7


@dataclass(frozen=True)
class Ridge:
    """One layer of land: its outline from left to right, and the silhouettes of trees or houses on it."""

    color: Color
    mist: Color
    outline: tuple[Point, ...]
    silhouettes: tuple[tuple[Point, ...], ...]


@dataclass(frozen=True)
class Scene:
    """A landscape in coordinates from 0 to 1, with y downwards. Radii are fractions of the shorter edge.

    `light` is x, y and radius of the sun or moon. `motes` are x, y and radius of each star, snowflake or leaf.
    """

    palette: Palette
    light: tuple[float, float, float]
    ridges: tuple[Ridge, ...]
    motes: tuple[tuple[float, float, float], ...]


def _palette(colors: str, *, air: str = "") -> Palette:
    sky, horizon, light, far, near, accent = map(_rgb, colors.split())
    return Palette(sky, horizon, light, far, near, accent, air)


def _rgb(digits: str) -> Color:
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


_DAY = _palette("4a94d8 d8ecf5 fff4cf 93b9b4 2c5a55 e4572e")
_NIGHT = _palette("0a1032 33447c f6f1d8 2b3766 090d22 f2c14e", air="stars")
_DUSK = _palette("43306b f7a072 ffe0a8 a2587a 281736 f9c74f")
_DAWN = _palette("7f9fd1 fbd3c4 fff0d9 a58bb0 3d3357 f2746b")
_WINTER = _palette("8db4d6 f1f7fb ffffff bdd2e3 53728f c8434f", air="snow")
_AUTUMN = _palette("d79e5c f9e8c6 fff3d4 c9803d 57291a 9c2a1b", air="leaves")
_SPRING = _palette("97cfdb fdeaf0 fff8dd a9d197 457d58 e07a9f", air="leaves")
_SUMMER = _palette("2b9fd6 fdf1cd ffe173 e9c184 177e83 ee6352")
_SEA = _palette("57a6c9 e2f2ef fffbe0 5fa8b8 0f4761 f4a259")
_RAIN = _palette("5c6b7d b9c4cc dfe6ea 84929e 2a343d e0a83a")
_FOREST = _palette("86b8a6 eef3d8 fffbe0 7fa58a 163b2d e07b39")
_DESERT = _palette("e3a26b fbe7c9 fff6dc d98f5a 6e2f22 2f7f86")

_MOODS: tuple[tuple[str, Palette], ...] = (
    ("night midnight dark moon moonlight moonlit stars starry space galaxy nebula", _NIGHT),
    ("winter snow snowy snowing ice icy frost frozen christmas arctic", _WINTER),
    ("sunset dusk evening twilight", _DUSK),
    ("dawn sunrise morning", _DAWN),
    ("autumn fall october leaves", _AUTUMN),
    ("spring blossom blossoms april flower flowers meadow", _SPRING),
    ("rain rainy storm stormy fog foggy clouds cloudy", _RAIN),
    ("summer beach tropical", _SUMMER),
    ("sea ocean lake river water harbour harbor boat ship island", _SEA),
    ("forest jungle woods trees tree", _FOREST),
    ("desert sand dune dunes mars canyon", _DESERT),
    ("day daylight noon sunny sun", _DAY),
)
_FALLBACK_MOODS = (_DAY, _DUSK, _DAWN, _SUMMER, _SEA, _FOREST, _DESERT, _SPRING)

_COLORS: tuple[tuple[str, Color], ...] = (
    ("red crimson scarlet", (208, 52, 52)),
    ("orange", (238, 130, 38)),
    ("yellow", (246, 204, 52)),
    ("gold golden", (214, 168, 44)),
    ("green emerald", (62, 152, 84)),
    ("teal turquoise", (30, 148, 148)),
    ("cyan", (54, 190, 214)),
    ("blue", (50, 104, 206)),
    ("navy indigo", (42, 52, 128)),
    ("purple violet lavender", (130, 82, 186)),
    ("pink rose", (236, 120, 164)),
    ("magenta", (206, 48, 142)),
    ("brown", (132, 88, 56)),
    ("black", (38, 38, 44)),
    ("white", (244, 244, 240)),
    ("grey gray silver", (142, 148, 156)),
)

_LANDS: tuple[tuple[str, Land], ...] = (
    ("mountain mountains alps peak peaks", Land(swell=0.13, waves=2.3, jagged=True)),
    ("sea ocean lake river water harbour harbor boat ship island", Land(swell=0.018, waves=4.0, growth="")),
    (
        "city town street tokyo paris london skyline house houses tower",
        Land(swell=0.03, growth="houses", density=22),
    ),
    ("forest jungle woods trees", Land(density=26)),
    ("desert sand dune dunes mars beach", Land(swell=0.08, waves=1.1, growth="")),
)


def seeded_random(text: str) -> random.Random:
    """Return a random generator with a seed from the text. It gives the same numbers on every machine."""
    digest = hashlib.sha256(text.encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 - seeds pictures, not secrets


def blend(a: Color, b: Color, share: float) -> Color:
    """Return the mix of two colours: `a` for the share 0, `b` for 1."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def palette_of(prompt: str) -> Palette:
    """Return the palette for the moods and colours that the prompt names, otherwise one chosen by its digest."""
    words = _words(prompt)
    colors = [color for names, color in _COLORS if words & set(names.split())]
    mood = next((mood for names, mood in _MOODS if words & set(names.split())), None)
    if mood is None and colors:
        return _palette_around(colors[0], colors[-1])
    mood = mood or _FALLBACK_MOODS[int(seeded_random(prompt).random() * len(_FALLBACK_MOODS))]
    return replace(mood, accent=colors[0]) if colors else mood


def scene_of(prompt: str, *, aspect: float, quality: str = "low", phase: float = 0.0) -> Scene:
    """Return the landscape of a prompt. A higher `quality` has more layers of land.

    `aspect` is width divided by height. `phase`, from 0 to 1 in an animation, moves the light and the motes.
    """
    roll = seeded_random(prompt)
    palette = palette_of(prompt)
    swing = math.sin(2 * math.pi * phase)
    light = (
        0.18 + 0.64 * roll.random(),
        0.17 + 0.13 * roll.random() + 0.025 * swing,
        0.075 + 0.035 * roll.random(),
    )
    land = next((land for names, land in _LANDS if _words(prompt) & set(names.split())), Land())
    count = _RIDGES.get(quality, 4)
    ridges = tuple(_ridge(palette, land, roll, depth=i / (count - 1), aspect=aspect) for i in range(count))
    return Scene(palette, light, ridges, motes_of(prompt, palette, phase))


def motes_of(prompt: str, palette: Palette, phase: float = 0.0) -> tuple[tuple[float, float, float], ...]:
    """Return x, y and radius of each mote. While `phase` goes from 0 to 1, snow and leaves fall through the frame."""
    roll = seeded_random(f"air of {prompt}")
    if palette.air == "stars":
        return tuple((roll.random(), 0.5 * roll.random() ** 1.3, 0.0012 + 0.0022 * roll.random()) for _ in range(110))
    count, size = {"snow": (120, 0.0035), "leaves": (36, 0.0055)}.get(palette.air, (0, 0.0))
    return tuple((roll.random(), (roll.random() + phase) % 1, size * (0.5 + roll.random())) for _ in range(count))


def _words(prompt: str) -> set[str]:
    return set(re.findall(r"[a-z]+", prompt.lower()))


def _palette_around(base: Color, accent: Color) -> Palette:
    """Return a palette in the shades of one colour."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(c / 255 for c in base))

    def shade(level: float, vivid: float = 0.8, turn: float = 0.0) -> Color:
        level = level + 0.12 * (lightness - 0.5)
        red, green, blue = colorsys.hls_to_rgb((hue + turn) % 1, min(max(level, 0.03), 0.98), saturation * vivid)
        return round(255 * red), round(255 * green), round(255 * blue)

    accent = accent if accent != base else shade(0.55, 1.0, turn=0.45)
    return Palette(shade(0.62), shade(0.91, 0.9, 0.04), shade(0.95), shade(0.66, 0.6, -0.03), shade(0.17, 0.8), accent)


def _ridge(palette: Palette, land: Land, roll: random.Random, *, depth: float, aspect: float) -> Ridge:
    color = blend(palette.far, palette.near, depth**1.15)
    swell = land.swell * (1.15 - 0.5 * depth)
    waves = [(swell / n, 2 * math.pi * land.waves * n * aspect**0.5, 6.3 * roll.random()) for n in (1, 2.3, 5.1)]
    base = 0.5 + 0.3 * depth + 0.02 * roll.random()
    outline = tuple((x / _STEPS, base - _hill_height(x / _STEPS, waves, jagged=land.jagged)) for x in range(_STEPS + 1))
    near = depth > 0.45
    count = round(land.density * (0.6 + 0.8 * roll.random())) if near and land.growth else 0
    stands = tuple(_silhouette(land.growth, outline, roll, depth=depth, aspect=aspect) for _ in range(count))
    return Ridge(color, blend(color, palette.horizon, 0.45 * (1 - depth)), outline, stands)


def _hill_height(x: float, waves: list[tuple[float, float, float]], *, jagged: bool) -> float:
    if jagged:
        return sum(a * (2 / math.pi) * math.asin(math.sin(f * x + p)) for a, f, p in waves)
    return sum(a * 0.7 * math.sin(f * x + p) for a, f, p in waves)


def _silhouette(
    growth: str, outline: tuple[Point, ...], roll: random.Random, *, depth: float, aspect: float
) -> tuple[Point, ...]:
    x, y = outline[int(roll.random() * _STEPS)]
    tall = (0.045 + 0.05 * roll.random()) * (0.5 + depth)
    if growth == "houses":
        half, tall = tall * 0.3 / aspect, tall * (0.6 + 1.2 * roll.random())
        return (x - half, y + 0.04), (x - half, y - tall), (x + half, y - tall), (x + half, y + 0.04)
    half = tall * 0.24 / aspect
    tiers = [(0.0, 1.0), (0.5, 0.55), (0.28, 0.55), (0.78, 0.22), (0.45, 0.22), (1.0, -0.12)]
    left = [(x - half * out, y - tall * up) for out, up in tiers]
    return (*left, *((2 * x - px, py) for px, py in reversed(left)))
