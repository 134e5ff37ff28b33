"""The performance targets of this package. The report says whether they are met."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import ledger
from benchmarks.contestants import ASYNC, FLOOR, OURS, SYNC, WIRED, WORDS
from benchmarks.results import Results
from benchmarks.rounds import FOLDER, MEMORY, Row


@dataclass(frozen=True)
class Target:
    """An upper limit for one figure: its ratio, or its value if the measure has no ratios."""

    title: str
    at_most: float
    measure: str
    size: str = ""
    where: str = ""
    half: str = ""
    contestant: str = OURS
    floor: str = FLOOR

    def is_met(self, results: Results) -> bool:
        """Return True if the figure was measured and is no higher than the limit."""
        row = self.row(results)
        return row is not None and row.ratio_or_value <= self.at_most

    def row(self, results: Results, contestant: str = "") -> Row | None:
        """Return the figure that the target limits, or the same figure of another contestant."""
        facts = {"size": self.size, "where": self.where, "half": self.half}
        return results.find(self.measure, contestant or self.contestant, **facts)


_LEDGER = {"measure": "ledger cost", "size": ledger.SIZE, "where": FOLDER, "contestant": ledger.NEW}

TARGETS = (
    Target("time of a call, 2 MB in memory, sync", 0.45, "plain", "2 MB", MEMORY, SYNC),
    Target("the same, async", 0.45, "plain", "2 MB", MEMORY, ASYNC),
    Target("time of a call, 12 MB in memory, sync", 0.35, "plain", "12 MB", MEMORY, SYNC),
    Target("the same, async", 0.35, "plain", "12 MB", MEMORY, ASYNC),
    Target("time of a call, 12 MB into a file, sync", 0.40, "plain", "12 MB", FOLDER, SYNC),
    Target("the same, async", 0.55, "plain", "12 MB", FOLDER, ASYNC),
    Target("stream of 3 partials and a final picture of 2 MB: total time", 0.20, "stream", "2 MB", half=SYNC),
    Target("the same: time to the first partial", 0.25, "first partial", "2 MB", half=SYNC),
    Target("peak memory, 12 MB into a file", 0.15, "memory", "12 MB", FOLDER, SYNC),
    Target("peak memory, 12 MB in memory", 1.15, "memory", "12 MB", MEMORY, SYNC),
    Target("64 calls of 2 MB at once: wall time", 2.5, "crowd", "2 MB", MEMORY, ASYNC),
    Target("64 calls of 64 KB at once: wall time", 2.0, "crowd", "64 KB", MEMORY, ASYNC),
    Target("64 calls of 2 MB at once into files: peak memory", 0.25, "crowd memory", "2 MB", FOLDER, ASYNC),
    Target("checkpoint file of ten edits of 2 MB", 250_000, "checkpoints", floor=WORDS),
    Target("time of the tenth edit over the second", 1.2, "last turn", floor=WORDS),
    Target("request of an edit", 1000, "request of an edit"),
    Target("traces of ten edits, the chat model's runs", 100_000, "model traces", contestant=WIRED, floor=WORDS),
    Target("`from_state` of 100,000 images, each over one of 1,000", 3.0, "many images: from_state", "100,000 images"),
    Target("turn of an agent with 100,000 images, the same", 3.0, "many images: agent turn", "100,000 images"),
    Target("milliseconds that the ledger adds to a call, sync", 2.0, half=SYNC, **_LEDGER),
    Target("the same, async", 2.0, half=ASYNC, **_LEDGER),
    Target("import", 1.10, "import"),
)
