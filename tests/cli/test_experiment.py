"""`imagegen experiment`: the plan of a file, its price, what is drawn, and what a rerun buys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from langchain_imagegen.cli.exit_codes import ExitCode
from langchain_imagegen.simulator import moderated
from tests.cli.conftest import SMALL, Imagegen

PLAN = """
prompts = ["draw a fox", "draw an owl"]

[[options]]
quality = "low"
[[options]]
quality = "medium"
"""


@pytest.fixture
def plan(own_state: Path) -> Path:
    """Return a plan of four pictures."""
    path = own_state / "foxes.toml"
    path.write_text(PLAN)
    return path


def test_it_is_drawn_once(run: Imagegen, service, plan: Path):
    """A plan is drawn after its price was said; a rerun buys nothing, and writes the contact sheet again."""
    first = run("experiment", plan, *SMALL[:2], "--yes", "-o", "sheet.html", "-o", "record.json", "-o", "pictures/")
    again = run("experiment", plan, *SMALL[:2], "--json")

    assert first.code == 0
    assert "foxes: 4 pictures; they cost at most $0." in first.err
    assert service.pictures == 4
    assert all(f"{cell} " in first.out for cell in ("A1", "A2", "B1", "B2"))
    assert "draw an owl" in Path("sheet.html").read_text()
    assert len(list(Path("pictures").glob("*.png"))) == 4
    assert "4 of them drawn before" in again.err
    assert [cell["error"] for cell in again.json["cells"]] == [None] * 4


def test_a_record_is_repeated_from_its_file(run: Imagegen, service, plan: Path):
    """The recorded file alone repeats the experiment, with its options and source pictures, in another store."""
    run("draw", "a fox", *SMALL, "-o", "fox.png")
    plan.write_text('prompts = "make it night"\nsources = ["fox.png"]\n')
    run("experiment", plan, *SMALL, "--yes", "-o", "record.json")
    Path("fox.png").unlink()
    repeated = run("experiment", "record.json", "--yes", "--store", "elsewhere", "--json")
    again = run("experiment", "record.json", "--json")

    assert repeated.code == 0
    assert service.pictures == 3
    assert repeated.json["cells"][0]["prompt"] == "make it night"
    assert (service.orders[-1].size, service.orders[-1].quality) == ((816, 816), "low")
    assert "1 of them drawn before" in again.err


def test_it_asks_first(run: Imagegen, service, plan: Path):
    """Without `--yes` nobody draws where nobody can be asked."""
    ended = run("experiment", plan)

    assert (ended.code, service.pictures) == (ExitCode.LIMIT, 0)
    assert "--yes" in ended.err


def test_max_cost(run: Imagegen, service, plan: Path):
    """A plan above `--max-cost`, or above its own `max_cost`, is refused before anything is bought."""
    above = run("experiment", plan, "--yes", "--max-cost", "$0.01")
    plan.write_text(f'max_cost = "$0.02"\n{PLAN}')
    own = run("experiment", plan, "--yes")

    Path("sheet.html").write_text("mine")
    run("experiment", plan, "--yes", "-o", "sheet.html", "--force")
    assert Path("sheet.html").read_text() == "mine"  # it is replaced only by a sheet
    assert (above.code, own.code, service.pictures) == (ExitCode.LIMIT, ExitCode.LIMIT, 0)
    assert "above --max-cost $0.01" in above.err
    assert "above $0.02, the max_cost of foxes.toml" in own.err
    assert run("experiment", plan, "--yes", "--max-cost", "much").code == ExitCode.USAGE


def test_max_cost_is_read_always(run: Imagegen, service, plan: Path):
    """A limit that is no amount is refused, also if nothing is missing, and named where it was written."""
    run("experiment", plan, *SMALL[:2], "--yes")
    wrong = [run("experiment", plan, *SMALL[:2], "--max-cost", value) for value in ("abc", "-1", "")]
    plan.write_text(f'max_cost = "abc"\n{PLAN}')
    own = run("experiment", plan, *SMALL[:2])

    assert [each.code for each in (*wrong, own)] == [ExitCode.USAGE] * 4
    assert "--max-cost takes dollars, such as '$0.50' or 0.5, and not 'abc'" in wrong[0].err
    assert "the max_cost of foxes.toml takes dollars" in own.err


def test_what_lowers_the_price(run: Imagegen, service, plan: Path):
    """Above a limit the line names it as it was written, and advises a lower quality only where there is one."""
    medium = run("experiment", plan, "--max-cost", "$0.01")
    plan.write_text('prompts = ["draw a fox", "draw an owl"]\nmax_cost = "$0.01"\n')
    low = run("experiment", plan, "--quality", "low")

    assert "which is above --max-cost $0.01: vary less, ask for low quality, or raise it" in medium.err
    assert "which is above $0.01, the max_cost of foxes.toml: vary less, or raise it" in low.err


@pytest.mark.parametrize(
    ("out", "code", "told"),
    [
        ("file/sheet.html", ExitCode.STORAGE, "'file/sheet.html' cannot be written: Not a directory"),
        ("file/new/pictures/", ExitCode.STORAGE, "nothing was bought"),
        ("sheet.pdf", ExitCode.USAGE, "name a page (.html), a record (.json), or a folder, such as 'sheet.pdf/'"),
        ("-", ExitCode.USAGE, "'-' names no file"),
    ],
)
def test_paths_are_checked_before_anything_is_bought(
    run: Imagegen, service, plan: Path, out: str, code: ExitCode, told: str
):
    """A path that cannot be written, or has a suffix of no form, is refused first."""
    Path("file").write_text("")
    ended = run("experiment", plan, *SMALL[:2], "--yes", "-o", out)

    assert (ended.code, service.pictures) == (code, 0)
    assert told in ended.err
    assert sorted(path.name for path in Path().iterdir() if path.is_file()) == ["file", "foxes.toml"]


def test_a_page_that_fails_too_late(run: Imagegen, service, plan: Path):
    """If a path fails after the pictures were bought, the table is shown, and the line says that they are kept."""
    ended = run("experiment", plan, *SMALL[:2], "--yes", "-o", "sheet.html", "-o", "sheet.html/")
    as_json = run("experiment", plan, *SMALL[:2], "--yes", "-o", "page.html", "-o", "page.html/", "--json")

    assert ended.code == as_json.json["error"]["exit_code"] == ExitCode.STORAGE
    assert "A2 " in ended.out
    assert "cannot be written: File exists; the pictures are kept: the same command again buys none" in ended.err
    assert service.pictures == 4


def test_a_failure_is_a_cell(run: Imagegen, service, plan: Path):
    """A refused picture is a cell with its reason, the others are drawn, and a rerun draws the one that is missing."""
    service.script(moderated("input", ["violence"]))
    ended = run("experiment", plan, *SMALL[:2], "--yes", "--max-concurrency", "1")
    again = run("experiment", plan, *SMALL[:2], "--yes")

    assert ended.code == ExitCode.FAILED
    assert "ModerationError" in ended.out
    assert "1 failed" in ended.err
    assert again.code == 0
    assert service.pictures == 4


def test_simulated_cells_are_not_taken_for_real_ones(run: Imagegen, service, plan: Path):
    """A plan that was tried with `--simulate` is drawn by the service all the same."""
    run("experiment", plan, *SMALL[:2], "--yes", "--simulate")
    assert service.pictures == 0

    run("experiment", plan, *SMALL[:2], "--yes")
    assert service.pictures == 4


def test_plans_with_mistakes(run: Imagegen, service, own_state: Path):
    """Mistakes of a plan are named with what is meant: keys, options, syntax, and files that are not there."""
    plan = own_state / "plan.toml"
    mistakes = {
        'promts = ["a fox"]': "did you mean 'prompts'",
        'prompts = ["a fox"]\noptions = {quality = "hihg"}': "did you mean 'high'",
        "prompts = [": "is no TOML or JSON",
        'prompts = "make it night"\nsources = ["fox.png"]': "there is no file 'fox.png'",
        'prompts = ["a fox"]\nn = 0': "nothing to draw",
    }
    for text, words in mistakes.items():
        plan.write_text(text)
        ended = run("experiment", plan, "--yes")
        assert ended.code in (ExitCode.USAGE, ExitCode.NO_PICTURE), text
        assert words in ended.err
    assert run("experiment", "nowhere.toml").code == ExitCode.USAGE
    assert service.requests == []


def test_variations_in_json(run: Imagegen, service, own_state: Path):
    """A plan in JSON may list its variations one by one, with pictures of the session."""
    run("draw", "a fox", *SMALL)
    variations = ["draw an owl", {"prompt": "make it night", "images": ["last"]}]
    (own_state / "list.json").write_text(json.dumps({"name": "list", "variations": variations}))
    ended = run("experiment", "list.json", *SMALL, "--yes", "--json")

    assert [cell["prompt"] for cell in ended.json["cells"]] == ["draw an owl", "make it night"]
    assert len(service.orders[-1].sources) + len(service.orders[-2].sources) == 1
