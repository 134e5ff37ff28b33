"""The benchmarks measure what they say: every way gives the very picture that was sent. Nothing is timed here."""

from __future__ import annotations

import asyncio
import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.__main__ import FIGURES, PAGE, PLOT
from benchmarks.bodies import PARTIALS, SIZES, Picture, serial_of
from benchmarks.contestants import AIOHTTP, ASYNC, FLOOR, OURS, SDK, SYNC, UNREAD, Contestant, Shelf
from benchmarks.editing import measure as edit
from benchmarks.encrypted import trusted_certificate
from benchmarks.lineup import EVERYBODY
from benchmarks.ours import Generator, GeneratorOverAiohttp
from benchmarks.peers import RawSDK, Unread
from benchmarks.report import NONE, render_page
from benchmarks.results import Results
from benchmarks.rounds import FOLDER, MEMORY, Bench, Row, run_rounds
from benchmarks.server import Server, start_server
from benchmarks.targets import TARGETS

SIZE = "64 KB"
CROWD = 4
RUN = {"date": "2026-01-01", "cpu": "a CPU", "cores": 2, "os": "an OS", "versions": {"Python": "3.11"}}

# The Agents SDK's `run_sync` leaves its event loop so that the next async generator in it is warned of.
pytestmark = pytest.mark.filterwarnings("ignore:asynchronous generator:ResourceWarning")


@pytest.fixture(scope="module")
def server():
    """The benchmarks' server, in a process of its own."""
    with start_server() as started:
        yield started


@pytest.fixture
def loop():
    """The one event loop of a benchmark."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield made
    asyncio.set_event_loop(None)
    made.close()


@pytest.fixture(params=[MEMORY, FOLDER])
def shelf(request: pytest.FixtureRequest, tmp_path: Path):
    """A place for pictures that is empty afterwards."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    made = Shelf(folder if request.param == FOLDER else None)
    yield made
    made.clear()
    assert not list(folder.iterdir())


@pytest.fixture(params=(*EVERYBODY, GeneratorOverAiohttp), ids=lambda kind: kind.name)
def contestant(request: pytest.FixtureRequest, server: Server, shelf: Shelf, loop: asyncio.AbstractEventLoop):
    """Each of those who take part."""
    if missing := request.param.missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    made = request.param(server.url(SIZE), shelf)
    yield made
    loop.run_until_complete(made.aclose())


def sent(picture: bytes, seed: int = 0) -> bytes:
    """The picture that the server sent under the number of this one."""
    return Picture(SIZES[SIZE], seed).data(serial_of(picture))


async def listed(pieces: Any) -> list[Any]:
    """All of an async iterator."""
    return [piece async for piece in pieces]


def row(measure: str, contestant: str, value: float, **facts: Any) -> Row:
    """A figure."""
    return Row(measure=measure, contestant=contestant, value=value, **{"unit": "ms", **facts})


def labels(plot: Path) -> list[str]:
    """All that is written in a plot; its letters are outlines, and what they say stands in comments."""
    return re.findall(r"<!-- (.*?) -->", plot.read_text(encoding="utf-8"))


def test_every_way_gives_the_picture_that_was_sent(contestant: Contestant, loop: asyncio.AbstractEventLoop):
    """The bytes are the server's in either half, and new ones each time."""
    drawn = [contestant.draw(), contestant.draw(), loop.run_until_complete(contestant.adraw())]

    pictures = [contestant.read(each) for each in drawn]
    assert pictures == [sent(picture) for picture in pictures]
    assert len(set(pictures)) == 3


def test_every_way_gives_many_at_once(contestant: Contestant, loop: asyncio.AbstractEventLoop):
    """So many calls at once give as many different pictures, each whole."""
    pictures = [contestant.read(drawn) for drawn in contestant.draw_many(loop, CROWD)]

    assert len(set(pictures)) == CROWD
    assert pictures == [sent(picture) for picture in pictures]


def test_pictures_come_over_tls(shelf: Shelf, loop: asyncio.AbstractEventLoop):
    """The server speaks TLS with a certificate that is trusted for as long, and sends the same pictures."""
    with trusted_certificate() as certificate, start_server(certificate) as secured:
        made = Generator(secured.url(SIZE), shelf)
        pictures = [made.read(drawn) for drawn in (made.draw(), loop.run_until_complete(made.adraw()))]
        loop.run_until_complete(made.aclose())

    assert secured.url(SIZE).startswith("https://")
    assert pictures == [sent(picture) for picture in pictures]


def test_the_sdk_whose_answers_nobody_reads_asks_the_same(
    server: Server, tmp_path: Path, loop: asyncio.AbstractEventLoop
):
    """The floor of the SDK sends the request that the SDK sends, as often, and so is sent the same answer."""
    lengths = []
    for kind in (RawSDK, Unread):
        made = kind(server.url(SIZE), Shelf(tmp_path))
        server.request_sizes()
        made.draw()
        made.draw_many(loop, CROWD)
        lengths.append(server.request_sizes())
        loop.run_until_complete(made.aclose())

    assert lengths[0] == lengths[1]
    assert len(lengths[0]) == CROWD + 1


def test_every_way_streams_the_same_pictures(contestant: Contestant, loop: asyncio.AbstractEventLoop):
    """The final picture comes last, and before it the partial ones in order from whoever gives any."""
    halves = {
        SYNC: lambda: list(contestant.stream()),
        ASYNC: lambda: loop.run_until_complete(listed(contestant.astream())),
    }
    streams = [[contestant.read(piece) for piece in halves[half]()] for half in contestant.streams]

    for *partials, final in streams:
        assert final == sent(final)
        assert partials[:PARTIALS] in ([], [sent(final, seed) for seed in range(1, PARTIALS + 1)])


@pytest.mark.parametrize("size", SIZES)
def test_pictures_are_pictures(size: str):
    """What the server sends is a valid PNG of about the size that tables name."""
    picture = Picture(SIZES[size])

    with Image.open(io.BytesIO(picture.data(7))) as opened:
        opened.load()
        assert opened.text == {"Serial": "00000000007"}
    assert abs(picture.byte_count / SIZES[size] - 1) < 0.02


def test_each_takes_its_turn_in_another_order():
    """Everybody is in every round and first in turn, behind different ones; a first turn of each is not counted."""
    turns: list[str] = []
    works = {name: lambda name=name: turns.append(name) or float(len(turns)) for name in "abcd"}

    found = run_rounds(works, 12, lambda: None)
    uncounted, *rounds = ["".join(turns[start : start + 4]) for start in range(0, len(turns), 4)]
    assert uncounted == "abcd"
    assert "".join(order[0] for order in rounds) == "abcd" * 3
    assert {"".join(sorted(order)) for order in rounds} == {"abcd"}
    assert {order[order.index("c") - 1] for order in rounds if order[0] != "c"} == set("abd")
    assert [len(values) for values in found.values()] == [12] * 4


def test_a_warm_turn_comes_right_behind_one_that_does_not_count():
    """Connections are open then, however long a round lasts; what counts is the second turn."""
    turns: list[str] = []
    works = {name: lambda name=name: turns.append(name) or float(len(turns)) for name in "ab"}

    found = run_rounds(works, 2, lambda: None, warm=True)

    assert "".join(turns) == "abaabbbbaa"
    assert found == {"a": [4, 10], "b": [6, 8]}


def test_editing_tells_what_is_kept_and_sent(server: Server, loop: asyncio.AbstractEventLoop):
    """A short session of edits gives sizes of checkpoints, requests and traces; ours are the small ones."""
    results = Results(RUN, tuple(edit(Bench(server, loop, quick=True))))

    kept = {each.contestant: each.value for each in results.of("checkpoints")}
    assert kept[OURS] < 100_000 < 10_000_000 < max(kept.values())
    assert results.find("request of an edit", OURS).value < 1000


def test_results_survive_the_disk(tmp_path: Path):
    """What is read is what was written."""
    rows = (row("plain", SDK, 12.5, ratio=1.0, size="2 MB", quartiles=(0.5, 1.5)), row("checkpoints", OURS, 7))
    Results(RUN, rows).write(tmp_path / "results.json")

    read = Results.read(tmp_path / "results.json")
    assert read.run == RUN
    assert [each.as_json() for each in read.rows] == [each.as_json() for each in rows]


def test_what_is_measured_again_takes_the_place_of_what_was():
    """Figures of a measure that was made again are the newer ones, and the page says which they are."""
    rows = (row("plain", SDK, 12.5, ratio=1.0, size="2 MB"), row("crowd", SDK, 7, ratio=2.0))
    newer = Results({**RUN, "date": "2026-02-02"}, (row("crowd", OURS, 3, ratio=1.5),))

    both = Results(RUN, rows).merge(newer, ["concurrency"])

    assert [(each.measure, each.contestant) for each in both.rows] == [("plain", SDK), ("crowd", OURS)]
    assert "on 2026-01-01" in render_page(both)
    assert "Measured again since, alone: concurrency (2026-02-02)." in render_page(both)
    assert "again" not in render_page(Results(RUN, rows)).partition("##")[0]


@pytest.mark.parametrize(
    ("ratio", "shown", "verdict"),
    [(0.44, "0.44", "met"), (0.45, "0.45", "met"), (0.454, "0.454", "**not met**"), (None, NONE, "not measured")],
)
def test_the_report_judges_each_target(ratio: float | None, shown: str, verdict: str):
    """A target is met, not met or not measured, next to what the floors and the SDK have."""
    facts = {"size": "2 MB", "where": MEMORY, "half": SYNC}
    ratios = {AIOHTTP: 0.35, FLOOR: 0.25, UNREAD: 0.3, SDK: 1.0}
    others = [row("plain", name, 1, ratio=other, **facts) for name, other in ratios.items()]
    ours = [row("plain", OURS, 2, ratio=ratio, **facts)] if ratio else []
    page = render_page(Results(RUN, (*others, *ours)))

    [line] = [line for line in page.splitlines() if line.startswith(f"| {TARGETS[0].title} |")]
    assert line.split(" | ")[1:8] == ["0.45", shown, verdict, "0.35", "0.25", "0.30", "1.00"]


def test_a_quick_run_is_not_judged():
    """Figures of a single round are called what they are."""
    page = render_page(Results({**RUN, "quick": True}, ()))

    assert "no target is judged" in page
    assert "## Targets" not in page


def test_the_page_and_the_plot_are_those_of_the_figures(tmp_path: Path):
    """What is committed was made from the committed figures."""
    plot = pytest.importorskip("benchmarks.plot", reason="no matplotlib")
    results = Results.read(FIGURES)
    plot.draw(results, tmp_path / PLOT.name)

    assert PAGE.read_text(encoding="utf-8") == render_page(results)
    assert labels(PLOT) == labels(tmp_path / PLOT.name)
    assert {SDK, OURS} < set(labels(PLOT))
