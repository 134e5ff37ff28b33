"""What `docs/performance.md` says of a run: a table of the figures that readers ask for first."""

from __future__ import annotations

import re

from benchmarks.contestants import CHAT, SDK
from benchmarks.report import figure
from benchmarks.results import Results
from benchmarks.rounds import FOLDER, MEMORY
from benchmarks.targets import TARGETS

_TITLES = {
    ("plain", "2 MB", MEMORY): "one call, 2 MB in memory, `invoke` / `ainvoke`",
    ("plain", "12 MB", MEMORY): "one call, 12 MB in memory",
    ("plain", "12 MB", FOLDER): "one call, 12 MB into a file",
    ("stream", "2 MB", ""): "a stream of three partial pictures and a final one, 2 MB each",
    ("first partial", "2 MB", ""): "… until the first partial picture",
    ("memory", "12 MB", FOLDER): "peak memory, 12 MB into a file, in multiples of the picture",
    ("crowd", "2 MB", MEMORY): "64 calls of 2 MB at once, in multiples of a raw socket",
    ("crowd", "64 KB", MEMORY): "the same, 64 KB",
    ("checkpoints", "", ""): "checkpoints after ten edits of 2 MB",
    ("model traces", "", ""): "traces of the model's runs, ten edits, with `wire=True`",
    ("import", "", ""): "import, relative to LangChain's base classes",
}
"""The lines of the table, by measure, size and place."""

_HEAD = "| | this package | OpenAI's SDK | `ChatOpenAI` |\n|---|---|---|---|\n"
_TABLE = re.compile(re.escape(_HEAD) + r"(?:\|.*\n)*")
_MISSED = re.compile(r"\d+ of \d+ targets")


def update(page: str, results: Results) -> str:
    """Return the page with the table of these results, and with the number of targets that they miss."""
    missed = sum(not target.is_met(results) for target in TARGETS)
    return _MISSED.sub(f"{missed} of {len(TARGETS)} targets", _TABLE.sub(lambda _: _table(results), page))


def _table(results: Results) -> str:
    lines = []
    for key, title in _TITLES.items():
        targets = [target for target in TARGETS if (target.measure, target.size, target.where) == key]
        shown = [[figure(target.row(results, name)) for target in targets] for name in ("", SDK, CHAT)]
        lines.append(f"| {title} | {' | '.join(' / '.join(dict.fromkeys(figures)) for figures in shown)} |\n")
    return _HEAD + "".join(lines)
