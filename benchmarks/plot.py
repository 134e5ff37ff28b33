"""Plots the results as one picture that works on light and dark pages. Nothing is measured here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.contestants import AGENTS, ASYNC, CHAT, FLOOR, OURS, PYDANTIC, SDK, SYNC
from benchmarks.results import Results
from benchmarks.rounds import FOLDER, MEMORY

CONTESTANTS = (SDK, CHAT, PYDANTIC, AGENTS, OURS)
INK, OTHER, ACCENT = "#7a828e", "#a9b4c2", "#1a9c6b"  # readable on white and on #0d1117

NOTE = "async calls; the service answers at once; dotted: a raw socket and pybase64, without HTTP library and JSON"

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "langchain_imagegen",  # makes the file reproducible
}


@dataclass(frozen=True)
class Panel:
    """One measure as a bar chart; `absent` labels contestants without a figure."""

    title: str
    unit: str
    measure: str
    size: str = ""
    where: str = ""
    half: str = ""
    scale: float = 1.0
    absent: str = ""

    def values(self, results: Results) -> dict[str, float]:
        """Return the figures by contestant, without those that were not measured."""
        rows = results.of(self.measure, size=self.size, where=self.where, half=self.half)
        return {row.contestant: row.value * self.scale for row in rows}


PANELS = (
    Panel("one call, 2 MB in memory", "ms", "plain", "2 MB", MEMORY, ASYNC),
    Panel("one call, 12 MB into a file", "ms", "plain", "12 MB", FOLDER, ASYNC),
    Panel("its peak memory", "times the picture", "memory", "12 MB", FOLDER, SYNC),
    Panel("first partial picture, 2 MB", "ms", "first partial", "2 MB", half=ASYNC, absent="gives none"),
    Panel("that whole stream", "ms", "stream", "2 MB", half=ASYNC),
    Panel("checkpoints of ten edits, 2 MB each", "MB", "checkpoints", scale=1e-6, absent="not compared"),
)


def draw(results: Results, file: Path) -> None:
    """Write the plot as SVG or PNG, depending on the file's suffix."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 4.3), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.1)
        for number, (panel, axes) in enumerate(zip(PANELS, figure.subplots(2, 3).flat, strict=True)):
            _bars(axes, panel, panel.values(results), with_names=number % 3 == 0)
        figure.supxlabel(NOTE, fontsize=7.5, color=INK)
        figure.savefig(file, transparent=True, dpi=180, metadata={"Date": None} if file.suffix == ".svg" else None)


def _bars(axes: Any, panel: Panel, values: dict[str, float], *, with_names: bool) -> None:
    longest = max([*values.values(), 1e-9])
    floor = values.get(FLOOR, 0) if panel.measure != "memory" else 0
    for place, name in enumerate(CONTESTANTS):
        value = values.get(name)
        colour = ACCENT if name == OURS else OTHER
        axes.barh(place, value or 0, height=0.68, color=colour)
        axes.text(
            (floor if value is None else value) + longest * 0.02,
            place,
            panel.absent if value is None else _label(value),
            va="center",
            fontweight="bold" if name == OURS else "normal",
            color=ACCENT if name == OURS else INK,
        )
    if floor:
        axes.axvline(floor, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    axes.set_title(f"{panel.title} ({panel.unit})", loc="left", fontsize=8.5, color=INK)
    axes.set_yticks(range(len(CONTESTANTS)), CONTESTANTS if with_names else [""] * len(CONTESTANTS))
    axes.set_xlim(0, longest * 1.18)
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.patch.set_alpha(0)


def _label(value: float) -> str:
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"
