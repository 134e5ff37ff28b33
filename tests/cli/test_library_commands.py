"""`imagegen list`, `find`, `show`, `gallery`, `forget`, `cost` and `models`: what was drawn, and what it costs."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from langchain_imagegen import ImageGenerator, ImageLibrary, ImageStore
from langchain_imagegen.cli.exit_codes import ExitCode
from langchain_imagegen.images.prices import RATES
from langchain_imagegen.options.models import IMAGE_MODELS, MAINLINE_MODELS
from tests.cli.conftest import SMALL, Imagegen


@pytest.fixture
def drawn(run: Imagegen, service) -> list[dict]:
    """Draw two pictures, and return their records."""
    return [run("draw", words, *SMALL, "--json").json["images"][0] for words in ("a fox in the snow", "an owl")]


def test_an_empty_library(run: Imagegen):
    """Where nothing was drawn yet, `list` says how to draw, and does not speak of a search."""
    assert run("list").out == 'no picture yet: imagegen draw "a fox" draws one\n'
    assert run("list", "--no-library").out == run("list").out
    assert "no such picture" in run("find", "fox").out


def test_list(run: Imagegen, drawn):
    """The latest pictures are listed first, for people and as JSON."""
    listed = run("list", "--json").json["images"]
    shown = run("list", "-n", "1").out

    assert [image["handle"] for image in listed] == [image["handle"] for image in reversed(drawn)]
    assert datetime.now(UTC) - datetime.fromisoformat(listed[0]["added"]) < timedelta(minutes=5)
    assert [image["handle"] for image in run("list", "-n", "1", "--json").json["images"]] == [drawn[1]["handle"]]
    assert drawn[1]["handle"] in shown
    assert "an owl" in shown
    assert drawn[0]["handle"] not in shown


@pytest.mark.parametrize("columns", ["40", "80", "120"])
def test_only_prompts_are_cut(run: Imagegen, service, monkeypatch: pytest.MonkeyPatch, columns: str):
    """Next to a long prompt, handle, date, size and price stay whole in terminals of any width."""
    handle = run("draw", "a fox in the snow " * 20, *SMALL, "--json").json["images"][0]["handle"]
    monkeypatch.setenv("COLUMNS", columns)
    row = run("list").out.splitlines()[1]

    assert re.match(rf"{handle}  \d{{4}}-\d\d-\d\d \d\d:\d\d  816x816  \$0\.\d+  a", row)
    assert row.rstrip().endswith("…")
    assert len(row) <= max(int(columns), 66)


def test_the_session_is_listed_without_a_library(run: Imagegen, drawn):
    """`--no-library` lists the session."""
    assert len(run("list", "--no-library", "--json").json["images"]) == 2
    assert run("find", "fox", "--no-library").code == ExitCode.USAGE


def test_find(run: Imagegen, drawn):
    """Pictures are found by words, day, model and tag; nothing found is no error."""
    today = datetime.now(UTC).date()

    def handles(*arguments: str) -> list[str]:
        return [image["handle"] for image in run("find", *arguments, "--json").json["images"]]

    assert handles("SNOW", "fox") == [drawn[0]["handle"]]
    assert len(handles("--day", str(today))) == 2
    assert len(handles("--day", f"{today - timedelta(7)}..{today}")) == 2
    assert handles("--day", "2020-01-01") == []
    assert len(handles("--model", "gpt-image-2")) == 2
    assert handles("--tag", "none") == []
    assert run("find", "zebra").code == 0
    assert run("find", "--day", "yesterday").code == ExitCode.USAGE


def test_pictures_of_programs(run: Imagegen, service, own_folder: Path):
    """What a program noted in the library of the default store is found and edited."""
    with_library = ImageGenerator(library=ImageLibrary(ImageStore(own_folder)), image_store=ImageStore(own_folder))
    fox = with_library.invoke("a fox", quality="low", size="816x816").image
    with_library.close()

    assert run("show", fox.handle, "--json").json["id"] == fox.id
    assert run("edit", fox.sha256[:10], "make it night", *SMALL, "--json").json["rung"] == "call_id"


def test_show(run: Imagegen, drawn):
    """A picture is shown with what is known of it, and written to a file; in a pipe no picture is printed."""
    run("edit", "1", "make it night", *SMALL)
    shown = run("show", "last", "-o", "night.png").out

    assert f"made from: {drawn[0]['handle']}" in shown
    for fact in ("prompt: make it night", "revised prompt: ", "price: $0.", "digest: ", "response: resp_"):
        assert fact in shown
    assert "\x1b" not in shown
    assert Path("night.png").is_file()
    assert run("show", "last", "-o", "night.png").code == 0  # the same bytes
    Path("night.png").write_text("mine")
    assert run("show", "last", "-o", "night.png").code == ExitCode.USAGE


def test_gallery(run: Imagegen, drawn):
    """The page has the pictures of the library, or those that are named; a page that is there stays."""
    written = run("gallery", "foxes", "--json").json
    page = Path(written["file"]).read_text(encoding="utf-8")

    assert written == {"file": "foxes.html", "images": 2, "simulated": False}
    assert all(image["handle"] in page for image in drawn)
    assert run("gallery", "foxes.html").code == ExitCode.USAGE
    run("gallery", "foxes.html", "1", "--force", "--title", "One fox", "--originals", "none")
    page = Path("foxes.html").read_text(encoding="utf-8")
    assert "One fox" in page
    assert drawn[1]["handle"] not in page
    assert run("gallery", "owls.html", "--find", "zebra").code == ExitCode.NO_PICTURE


def test_a_file_is_replaced_by_a_whole_gallery_only(run: Imagegen, drawn):
    """`--force` replaces any file, but leaves it where the page cannot be made."""
    Path("mine.html").write_text("mine")
    failed = run("gallery", "mine.html", "--force", "--originals", "linked")

    assert failed.code == ExitCode.STORAGE
    assert Path("mine.html").read_text() == "mine"
    assert run("gallery", "mine.html", "--force", "--json").json["file"] == "mine.html"
    assert Path("mine.html").read_text() != "mine"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["."], ExitCode.USAGE, "'.' is a folder: name the file to write, such as './gallery.html'"),
        (["foxes"], ExitCode.USAGE, "'foxes' is a folder: name the file to write, such as 'foxes/gallery.html'"),
        (["owls/"], ExitCode.USAGE, "'owls/' is a folder: name the file to write, such as 'owls/gallery.html'"),
        (["g.html", "last", "--find", "owl"], ExitCode.USAGE, "name the pictures, or choose them by --find, --day"),
        (["g.html", "last", "--tag", "owl"], ExitCode.USAGE, "name the pictures, or choose them by --find, --day"),
        (["g.html", "--originals", "non"], ExitCode.USAGE, "'non': give 'beside', 'embedded', 'linked' or 'none'"),
        (["file/g.html"], ExitCode.STORAGE, "'file/g.html' cannot be written: "),
    ],
)
def test_galleries_that_cannot_be(run: Imagegen, drawn, arguments: list[str], code: ExitCode, told: str):
    """A page needs a file, and pictures are named or chosen: the line says what is wrong, and nothing is written."""
    Path("foxes").mkdir()
    Path("file").write_text("")
    ended = run("gallery", *arguments)

    assert ended.code == code
    assert told in ended.err
    assert not [*Path().rglob("*.html"), *Path().rglob("*_files")]


def test_forget(run: Imagegen, drawn, own_state: Path, own_folder: Path):
    """A forgotten picture leaves session and library with its prompt; `--delete` removes its bytes too."""
    session = own_state / "state" / "sessions" / "default.jsonl"
    run("forget", drawn[0]["handle"])
    assert "snow" not in session.read_text()
    assert [image["handle"] for image in run("list", "--json").json["images"]] == [drawn[1]["handle"]]
    assert drawn[0]["sha256"] in ImageStore(own_folder)

    run("forget", "last", "--delete")
    assert drawn[1]["sha256"] not in ImageStore(own_folder)
    assert run("list", "--json").json["images"] == []

    assert run("forget").code == ExitCode.USAGE
    run("draw", "a fox", *SMALL)
    assert run("forget", "--all", "--json").json["deleted"] is False
    assert not session.exists()
    assert len(ImageLibrary(own_folder)) == 0


def test_bytes_of_another_picture_stay(run: Imagegen, service, own_folder: Path):
    """`forget --delete` keeps bytes that another picture of the library or the session has, and says so."""
    first, second = (run("draw", "a fox", *SMALL, "--json").json["images"][0] for _ in range(2))
    run("draw", "a fox", *SMALL, "--session", "off")
    assert first["sha256"] == second["sha256"]

    forgotten = run("forget", "last", "--delete")
    assert f"the bytes of {second['handle']} stay, since img_" in forgotten.err
    assert "forgot 1 picture" in forgotten.out
    assert len(run("list", "--json").json["images"]) == 2
    assert run("forget", "last", "--delete", "--json").json["kept"] == [first["handle"]]
    last = run("list", "--json").json["images"][0]
    assert run("forget", last["handle"], "--delete", "--json").json["deleted"]
    assert first["sha256"] not in ImageStore(own_folder)


def test_cost_is_estimated(run: Imagegen):
    """An estimate is an upper bound with what it assumes, and needs neither key nor network."""
    one = run("cost", "a", "fox", "--quality", "high", "--json").json
    four = run("cost", "a", "fox", "--quality", "high", "-n", "4", "--json").json
    shown = run("cost", "a fox", "--quality", "high", "--sources", "1").out

    assert one["estimated"]
    assert Decimal(four["total"]) == 4 * Decimal(one["total"])
    assert "at most $" in shown
    assert "assumes: " in shown
    assert "source pictures" in shown
    assert "2026-10-14" in shown
    assert run("cost", "--quality", "max").code == ExitCode.USAGE
    assert Decimal(run("cost", "--api", "images", "--json").json["mainline"]) == 0


def test_cost_is_added_up(run: Imagegen, drawn):
    """`--spent` adds up the pictures of the library, by day."""
    spent = run("cost", "--spent", "--json").json
    each = [Decimal(str(run("cost", "--spent", "--day", day, "--json").json["total"])) for day in spent["days"]]

    assert spent["pictures"] == 2
    assert sum(each) == Decimal(spent["total"]) > 0
    assert "2 pictures: $" in run("cost", "--spent").out


def test_models(run: Imagegen):
    """Every model has its facts with source, day and end, in the table and as JSON."""
    listed = run("models", "--json").json
    shown = run("models").out

    rows = {row["name"]: row for row in [*listed["image_models"], *listed["mainline_models"]]}
    for row in (*IMAGE_MODELS, *MAINLINE_MODELS):
        assert rows[row.name]["source"] == row.source
        assert rows[row.name]["ends"] == (str(row.ends) if row.ends else None)
        assert row.name in shown
        assert not row.ends or str(row.ends) in shown
    assert rows["gpt-image-2"]["price_per_million_tokens"]["image_out"] == str(RATES["gpt-image-2"].image_out)
    assert "OpenAI deprecations page, November 2026, checked 2026-11-22" in shown
