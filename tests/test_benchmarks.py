"""The benchmarks' contestants return exactly the pictures that the server sent; nothing is timed here."""

from __future__ import annotations

import asyncio
import io
import re
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks import ledger
from benchmarks.__main__ import FIGURES, PAGE, PLOT, SUMMARY
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
from benchmarks.summary import update
from benchmarks.targets import TARGETS

SIZE = "64 KB"
CROWD = 4
RUN = {"date": "2026-01-01", "cpu": "a CPU", "cores": 2, "os": "an OS", "versions": {"Python": "3.11"}}

# The Agents SDK's `run_sync` leaves its event loop in a state in which the next async generator causes a warning.
pytestmark = pytest.mark.filterwarnings("ignore:asynchronous generator:ResourceWarning")


@pytest.fixture(scope="module")
def server():
    """Yield the benchmarks' server, in a process of its own."""
    with start_server() as started:
        yield started


@pytest.fixture
def loop():
    """Yield the event loop of a benchmark."""
    opened = asyncio.new_event_loop()
    asyncio.set_event_loop(opened)
    yield opened
    asyncio.set_event_loop(None)
    opened.close()


@pytest.fixture(params=[MEMORY, FOLDER])
def shelf(request: pytest.FixtureRequest, tmp_path: Path):
    """Yield a place for pictures, and assert that it can be emptied."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    opened = Shelf(folder if request.param == FOLDER else None)
    yield opened
    opened.clear()
    assert not list(folder.iterdir())


@pytest.fixture(params=(*EVERYBODY, GeneratorOverAiohttp), ids=lambda kind: kind.name)
def contestant(request: pytest.FixtureRequest, server: Server, shelf: Shelf, loop: asyncio.AbstractEventLoop):
    """Yield each contestant."""
    if missing := request.param.missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    opened = request.param(server.url(SIZE), shelf)
    yield opened
    loop.run_until_complete(opened.aclose())


def sent_picture(picture: bytes, seed: int = 0) -> bytes:
    """Return the picture that the server sent with this picture's serial number."""
    return Picture(SIZES[SIZE], seed).data(serial_of(picture))


async def collect(pieces: Any) -> list[Any]:
    """Return the items of an async iterator."""
    return [piece async for piece in pieces]


def row(measure: str, contestant: str, value: float, **facts: Any) -> Row:
    """Return a row of results."""
    return Row(measure=measure, contestant=contestant, value=value, **{"unit": "ms", **facts})


def labels(plot: Path) -> list[str]:
    """Return the texts in a plot, which matplotlib draws as outlines and repeats in comments."""
    return re.findall(r"<!-- (.*?) -->", plot.read_text(encoding="utf-8"))


def test_every_contestant_returns_the_picture(contestant: Contestant, loop: asyncio.AbstractEventLoop):
    """Each contestant returns the server's bytes, sync and async, and a new picture for each call."""
    drawn = [contestant.draw(), contestant.draw(), loop.run_until_complete(contestant.adraw())]

    pictures = [contestant.read(each) for each in drawn]
    assert pictures == [sent_picture(picture) for picture in pictures]
    assert len(set(pictures)) == 3


def test_every_contestant_returns_many_pictures_at_once(contestant: Contestant, loop: asyncio.AbstractEventLoop):
    """Each contestant returns as many different, complete pictures as there are concurrent calls."""
    pictures = [contestant.read(drawn) for drawn in contestant.draw_many(loop, CROWD)]

    assert len(set(pictures)) == CROWD
    assert pictures == [sent_picture(picture) for picture in pictures]


def test_pictures_over_tls(shelf: Shelf, loop: asyncio.AbstractEventLoop):
    """With a temporarily trusted certificate the server sends the same pictures over TLS."""
    with trusted_certificate() as certificate, start_server(certificate) as secured:
        ours = Generator(secured.url(SIZE), shelf)
        pictures = [ours.read(drawn) for drawn in (ours.draw(), loop.run_until_complete(ours.adraw()))]
        loop.run_until_complete(ours.aclose())

    assert secured.url(SIZE).startswith("https://")
    assert pictures == [sent_picture(picture) for picture in pictures]


def test_the_sdk_floor_sends_the_same_requests(server: Server, tmp_path: Path, loop: asyncio.AbstractEventLoop):
    """The SDK without reading its answers, which is a floor, sends the same requests as the SDK."""
    lengths = []
    for kind in (RawSDK, Unread):
        sdk = kind(server.url(SIZE), Shelf(tmp_path))
        server.request_sizes()
        sdk.draw()
        sdk.draw_many(loop, CROWD)
        lengths.append(server.request_sizes())
        loop.run_until_complete(sdk.aclose())

    assert lengths[0] == lengths[1]
    assert len(lengths[0]) == CROWD + 1


def test_every_contestant_streams_the_pictures(contestant: Contestant, loop: asyncio.AbstractEventLoop):
    """Each contestant that streams returns the partial pictures in order, if it returns any, and then the final one."""
    halves = {
        SYNC: lambda: list(contestant.stream()),
        ASYNC: lambda: loop.run_until_complete(collect(contestant.astream())),
    }
    streams = [[contestant.read(piece) for piece in halves[half]()] for half in contestant.streams]

    for *partials, final in streams:
        assert final == sent_picture(final)
        assert partials[:PARTIALS] in ([], [sent_picture(final, seed) for seed in range(1, PARTIALS + 1)])


@pytest.mark.parametrize("size", SIZES)
def test_the_servers_pictures(size: str):
    """The server's picture is a valid PNG whose size differs from its nominal size by less than 2 percent."""
    picture = Picture(SIZES[size])

    with Image.open(io.BytesIO(picture.data(7))) as opened:
        opened.load()
        assert opened.text == {"Serial": "00000000007"}
    assert abs(picture.byte_count / SIZES[size] - 1) < 0.02


def test_order_of_the_rounds():
    """Each contestant takes part in every round, in changing order, after one turn that is not counted."""
    turns: list[str] = []
    works = {name: lambda name=name: turns.append(name) or float(len(turns)) for name in "abcd"}

    times = run_rounds(works, 12, lambda: None)
    uncounted, *rounds = ["".join(turns[start : start + 4]) for start in range(0, len(turns), 4)]
    assert uncounted == "abcd"
    assert "".join(order[0] for order in rounds) == "abcd" * 3
    assert {"".join(sorted(order)) for order in rounds} == {"abcd"}
    assert {order[order.index("c") - 1] for order in rounds if order[0] != "c"} == set("abd")
    assert [len(values) for values in times.values()] == [12] * 4


def test_warm_turns():
    """With `warm=True` each turn is taken twice and the second is counted, so that its connections are open."""
    turns: list[str] = []
    works = {name: lambda name=name: turns.append(name) or float(len(turns)) for name in "ab"}

    times = run_rounds(works, 2, lambda: None, warm=True)

    assert "".join(turns) == "abaabbbbaa"
    assert times == {"a": [4, 10], "b": [6, 8]}


def test_sizes_of_edits(server: Server, loop: asyncio.AbstractEventLoop):
    """In a session of edits our checkpoints take less than 100 KB and our requests 1 KB; others' exceed 10 MB."""
    rows = takewhile(lambda row: "traces" not in row.measure, edit(Bench(server, loop, quick=True)))
    results = Results(RUN, tuple(rows))

    checkpoints = {each.contestant: each.value for each in results.of("checkpoints")}
    assert checkpoints[OURS] < 100_000 < 10_000_000 < max(checkpoints.values())
    assert results.find("request of an edit", OURS).value < 1000


def test_the_ledger_is_measured(server: Server, loop: asyncio.AbstractEventLoop):
    """A run says for both halves what the ledger adds to a call, and that a known picture is not drawn again."""
    server.request_sizes()
    results = Results(RUN, tuple(ledger.measure(Bench(server, loop, quick=True))))

    assert {each.half for each in results.of("ledger cost", contestant=ledger.NEW)} == {SYNC, ASYNC}
    assert len(server.request_sizes()) == 2 * (3 * 2 + 1)  # of each half: three that draw twice, one that draws once
    assert "## A call that is paid once" in render_page(results)


def test_results_can_be_written_and_read(tmp_path: Path):
    """Results that were written to a file are read unchanged."""
    rows = (row("plain", SDK, 12.5, ratio=1.0, size="2 MB", quartiles=(0.5, 1.5)), row("checkpoints", OURS, 7))
    Results(RUN, rows).write(tmp_path / "results.json")

    read = Results.read(tmp_path / "results.json")
    assert read.run == RUN
    assert [each.as_json() for each in read.rows] == [each.as_json() for each in rows]


def test_merging_newer_results():
    """Merging newer results of one measure replaces its older rows, and the page says which were measured again."""
    rows = (row("plain", SDK, 12.5, ratio=1.0, size="2 MB"), row("crowd", SDK, 7, ratio=2.0))
    newer = Results({**RUN, "date": "2026-02-02"}, (row("crowd", OURS, 3, ratio=1.5),))

    both = Results(RUN, rows).merge(newer, ["concurrency"])

    assert [(each.measure, each.contestant) for each in both.rows] == [("plain", SDK), ("crowd", OURS)]
    assert "on 2026-01-01" in render_page(both)
    assert "Measured again later, separately: concurrency (2026-02-02)." in render_page(both)
    assert "again" not in render_page(Results(RUN, rows)).partition("##")[0]


@pytest.mark.parametrize(
    ("ratio", "shown", "verdict"),
    [(0.44, "0.44", "met"), (0.45, "0.45", "met"), (0.454, "0.454", "**not met**"), (None, NONE, "not measured")],
)
def test_verdict_on_a_target(ratio: float | None, shown: str, verdict: str):
    """The page shows each target with our ratio, the verdict, and the ratios of the floors and the SDK."""
    facts = {"size": "2 MB", "where": MEMORY, "half": SYNC}
    ratios = {AIOHTTP: 0.35, FLOOR: 0.25, UNREAD: 0.3, SDK: 1.0}
    others = [row("plain", name, 1, ratio=other, **facts) for name, other in ratios.items()]
    ours = [row("plain", OURS, 2, ratio=ratio, **facts)] if ratio else []
    page = render_page(Results(RUN, (*others, *ours)))

    [line] = [line for line in page.splitlines() if line.startswith(f"| {TARGETS[0].title} |")]
    assert line.split(" | ")[1:8] == ["0.45", shown, verdict, "0.35", "0.25", "0.30", "1.00"]


def test_a_quick_run_has_no_verdicts():
    """The page of a quick run says that no target is judged."""
    page = render_page(Results({**RUN, "quick": True}, ()))

    assert "no target is judged" in page
    assert "## Targets" not in page


def test_page_and_plot_match_the_results(tmp_path: Path):
    """The committed pages and plot were made from the committed results."""
    plot = pytest.importorskip("benchmarks.plot", reason="no matplotlib")
    results = Results.read(FIGURES)
    plot.draw(results, tmp_path / PLOT.name)

    assert PAGE.read_text(encoding="utf-8") == render_page(results)
    assert SUMMARY.read_text(encoding="utf-8") == update(SUMMARY.read_text(encoding="utf-8"), results)
    assert labels(PLOT) == labels(tmp_path / PLOT.name)
    assert {SDK, OURS} < set(labels(PLOT))
