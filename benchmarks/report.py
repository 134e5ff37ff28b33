"""Renders `RESULTS.md`: all figures of a run, the targets first. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from benchmarks import imports, ledger
from benchmarks.contestants import (
    AIOHTTP,
    ASYNC,
    CHAINED,
    CHAINED_WORDS,
    CHAT,
    FLOOR,
    OURS,
    SDK,
    SYNC,
    UNREAD,
    WIRED,
    WORDS,
)
from benchmarks.lineup import ORDER
from benchmarks.results import Results
from benchmarks.rounds import FOLDER, MEMORY, Row
from benchmarks.targets import TARGETS, Target

NONE = "\N{EN DASH}"
COMMAND = "make bench"

HOW = f"""\
All contestants of a measure run in one process, in rounds of varying order. Ratios are taken within a round, and the
tables show the median over the rounds; `results.json` also has the quartiles. The server is a separate process on the
loopback interface that answers immediately with a prepared body, so that only the client is measured. Each picture is
a valid PNG that was never sent before. Each library is used as its own guide shows, with its default settings. Every
call ends with the picture's bytes in memory, in a file or in the image store. Peak memory is the maximum that Python's
allocator had handed out at once (`tracemalloc`).

The floor ({FLOOR}) is a lower bound: it reads the body from a socket, finds the key and decodes with `pybase64`, with
no HTTP library, no JSON, no checks and no digest. It decodes streams while it reads them. For many concurrent calls,
one thread reads from whichever socket has data, which is about as fast as threads or an event loop. Like the others,
it allocates new memory for each picture.

"{UNREAD}" sends the same request with `with_streaming_response` and discards the body. It is
the lower bound of a single call for everything that is built on the SDK's client. With many concurrent calls this
package can be faster, because it sends the first requests while it still prepares the others. "{AIOHTTP}" is
the same generator with an `async_client` made with `openai.DefaultAioHttpClient`."""


def render_page(results: Results) -> str:
    """Return the whole page as Markdown."""
    targets = "" if results.run.get("quick") else _targets(results)
    sections = [_head(results.run), targets, *_measures(results), _versions(results.run)]
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(run: dict[str, Any]) -> str:
    lines = [f"# Results\n\nMade by `{COMMAND}` on {run['date']}: {run['cpu']}, {run['cores']} cores, {run['os']}."]
    if run.get("again"):
        lines.append(
            f"Measured again later, separately: {', '.join(f'{name} ({date})' for name, date in run['again'].items())}."
        )
    if run.get("quick"):
        lines.append(
            "**This quick run only checks that everything runs. Its figures mean nothing, and no target is judged.**"
        )
    return "\n\n".join([*lines, HOW])


# --- targets


def _targets(results: Results) -> str:
    header = ["", "at most", "measured", "", "over aiohttp", "floor", "SDK's reading", SDK, CHAT]
    rows = [_target_row(target, results) for target in TARGETS]
    met = sum(row[3] == "met" for row in rows)
    intro = (
        "Times are relative to the SDK (`client.responses.create` and `base64.b64decode`), those of many concurrent "
        "calls to the floor, and those of imports to importing `BaseTool` and `RunnableSerializable`. Peak memory is "
        "in multiples of the pictures' size."
    )
    return f"## Targets: {met} of {len(rows)} met\n\n{intro}\n\n{table(header, rows)}"


def _target_row(target: Target, results: Results) -> list[str]:
    row = target.row(results)
    others = [figure(target.row(results, name)) for name in (AIOHTTP, target.floor, UNREAD, SDK, CHAT)]
    verdict = "not measured" if row is None else "met" if target.is_met(results) else "**not met**"
    at_most = _number(target.at_most, row.unit if row else "")
    return [target.title, at_most, _distinct_figure(row, at_most, verdict), verdict, *others]


def _distinct_figure(row: Row | None, at_most: str, verdict: str) -> str:
    """Return the figure, with one more digit if a missed target would otherwise look like a met one."""
    return f"{row.ratio_or_value:.3f}" if row and verdict != "met" and figure(row) == at_most else figure(row)


def figure(row: Row | None) -> str:
    """Return the figure that a target limits, as the tables show it."""
    return NONE if row is None else _number(row.ratio_or_value, row.unit)


# --- measures


def _measures(results: Results) -> Iterator[str]:
    for where in (MEMORY, FOLDER):
        rows = results.of("plain", where=where)
        yield _comparison_table(
            f"## One call, into {_place(where)}", "Times relative to the SDK, with milliseconds in parentheses.", rows
        )
    yield _comparison_table(
        "## One call over TLS, into memory",
        "Times relative to the SDK, with milliseconds in parentheses.",
        results.of("encrypted"),
    )
    yield _comparison_table("## A stream of three partial pictures and the final one", _STREAMED, results.of("stream"))
    yield _comparison_table("### Until the first partial picture", "", results.of("first partial"))
    yield _comparison_table("## 64 calls at once", _CROWD, results.of("crowd"), by_place=True)
    yield _comparison_table(
        "### Peak memory", "In multiples of the total size of all pictures.", results.of("crowd memory"), by_place=True
    )
    yield _comparison_table(
        "## Peak memory of one call", "In multiples of the picture's size.", results.of("memory"), by_place=True
    )
    yield _editing_table(results)
    intro = (
        f"Time of a fresh process, relative to one that imports only the base classes. This package was measured in "
        f"{imports.ROUNDS_ALONE} rounds of these two, the others in {imports.ROUNDS} rounds of all."
    )
    yield _many_images_table(results)
    yield _ledger_table(results)
    yield _comparison_table("## Import", intro, results.of("import"))


_STREAMED = (
    "Each partial picture is as large as the final one. As in recordings of the live service, the final picture "
    "arrives three times: as a fourth partial picture, and twice after it. Times relative to the SDK, with "
    "milliseconds in parentheses. `ChatOpenAI` provides no partial pictures."
)
_CROWD = (
    "The service answers after 200 ms. An uncounted run precedes each counted one, so that all contestants have open "
    "connections: HTTP clients close idle ones after 5 s, the floor never does. Times relative to the floor, with "
    "milliseconds in parentheses."
)


def _comparison_table(title: str, intro: str, rows: Sequence[Row], *, by_place: bool = False) -> str:
    """Return a table with a line for each contestant and a column for each kind of picture."""
    if not rows:
        return ""
    columns = list(dict.fromkeys((row.size, row.where if by_place else "", row.half) for row in rows))
    by_cell = {(row.contestant, row.size, row.where if by_place else "", row.half): row for row in rows}
    lines = [[name, *(_cell(by_cell.get((name, *column))) for column in columns)] for name in _sorted_names(rows)]
    heads = [", ".join(filter(None, (size, _into(where), half))) or "time" for size, where, half in columns]
    return "\n\n".join(filter(None, (title, intro, table(["", *heads], lines))))


def _cell(row: Row | None) -> str:
    if row is None:
        return NONE
    return _number(row.value, row.unit) if row.ratio is None else f"{row.ratio:.2f} ({_number(row.value, row.unit)})"


def _sorted_names(rows: Iterable[Row]) -> list[str]:
    """Return the names of the contestants in the order of the line-up, others first."""
    return sorted({row.contestant for row in rows}, key=lambda name: ORDER.index(name) if name in ORDER else -1)


_EDITING = {
    "checkpoints": "checkpoint file",
    "turn": "time of turn 2",
    "last turn": "last turn over turn 2",
    "request of the last turn": "request of the last turn",
    "model traces": "traces of the chat model's runs",
    "all traces": "traces of all runs",
}


def _editing_table(results: Results) -> str:
    names = [WORDS, CHAT, OURS, WIRED, CHAINED_WORDS, CHAINED]
    lines = [[title, *(figure(results.find(measure, name)) for name in names)] for measure, title in _EDITING.items()]
    intro = (
        "`create_agent` and `ChatOpenAI` with a `SqliteSaver` in a file, whose size includes its journal: with the "
        "hosted tool alone, and with `ImageGenerationMiddleware`. The floor is as many turns of text alone, since "
        "every turn sends all messages, and `ChatOpenAI` and the SDK process each of them, with or without pictures. "
        "Chained agents use `use_previous_response_id=True`, with which `ChatOpenAI` sends only new messages. "
        "Times are in milliseconds. Traces are the inputs and outputs of runs as JSON."
    )
    header = ["", WORDS, CHAT, "with the middleware", "and `wire=True`", CHAINED_WORDS, "the middleware, chained"]
    return f"## Ten turns, each an edit of 2 MB\n\n{intro}\n\n{table(header, lines)}"


def _many_images_table(results: Results) -> str:
    """Return a table with a line for each step and a column for each number of images."""
    steps = ("from_state", "add", "get", "agent turn")
    rows = {step: results.of(f"many images: {step}") for step in steps}
    if not any(rows.values()):
        return ""
    intro = (
        "Time per image relative to a memory of 1,000 images, with microseconds in parentheses. `get` is one lookup."
    )
    heads = list(dict.fromkeys(row.size for found in rows.values() for row in found))
    lines = [
        [f"`{step}`", *(f"{row.ratio or 1:.2f} ({row.value * 1000:.1f} µs)" for row in found)]
        for step, found in rows.items()
    ]
    return f"## A memory of many images\n\n{intro}\n\n{table(['', *heads], lines)}"


def _ledger_table(results: Results) -> str:
    """Return a table with a line for each use of the ledger and a column for each half."""
    names = [row.contestant for row in results.of("ledger", half=SYNC)]
    if not names:
        return ""
    intro = (
        f"Milliseconds that a call of {ledger.SIZE} into a folder takes longer than one with {ledger.OFF}, and the "
        "milliseconds of the whole call in parentheses. The folder is in memory where the system has one: a disk adds "
        "its time for two new files. Outside a graph the ledger is off as well. All calls read a stream, as those "
        "that are noted do, with three partial pictures in it."
    )
    lines = [[name, *(_ledger_cell(results, name, half) for half in (SYNC, ASYNC))] for name in names]
    return f"## A call that is paid once\n\n{intro}\n\n{table(['', SYNC, ASYNC], lines)}"


def _ledger_cell(results: Results, name: str, half: str) -> str:
    added, whole = (results.find(measure, name, half=half) for measure in ("ledger cost", "ledger"))
    return f"{figure(added)} ({figure(whole)})" if added else figure(whole)


# --- cells and texts


def _versions(run: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    load = f" Load average at the start: {run['load']}." if run.get("load") is not None else ""
    return f"## Versions\n\n{versions}.{load}"


def _place(where: str) -> str:
    return "files" if where == FOLDER else where


def _into(where: str) -> str:
    return f"into {_place(where)}" if where else ""


def _number(value: float, unit: str) -> str:
    if unit == "B":
        return f"{value:,.0f} B" if value < 10_000 else f"{value / 1e6:,.2f} MB"
    if unit == "ms" and value >= 0:
        return f"{value:.2f}" if value < 10 else f"{value:,.0f}"
    return f"{value:.2f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose first column is aligned left and the others right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
