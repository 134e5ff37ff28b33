"""`imagegen draw` and `imagegen edit`: pictures, files, sessions, and what is refused before anything is sent."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from langchain_imagegen import ImageLibrary, ImageOptions
from langchain_imagegen.cli.exit_codes import ExitCode
from tests.cli.conftest import SMALL, Imagegen


def test_draw_then_edit_last(run: Imagegen, service, tmp_path: Path):
    """A picture is drawn, and a later command edits it as `last`; the prompt needs no quotes."""
    drawn = run("draw", "a", "fox", *SMALL, "--json")
    edited = run("edit", "last", "make it night", *SMALL, "--json", "--out", "night.png")

    first, second = drawn.json["images"][0], edited.json["images"][0]
    assert first["prompt"] == "a fox"
    assert second["parents"] == [first["id"]]
    assert edited.json["rung"] == "call_id"
    assert Path(edited.json["files"][0]).read_bytes()[:4] == b"\x89PNG"
    assert service.pictures == 2
    assert not drawn.json["simulated"]


def test_the_names_of_a_picture(run: Imagegen, service, tmp_path: Path):
    """A picture is edited by handle, by the beginning of handle or digest, by its number, or as a file."""
    first = run("draw", "a fox", *SMALL, "--json", "-o", "fox.png").json["images"][0]
    run("draw", "an owl", *SMALL)
    for name in (first["handle"], first["handle"][:9], first["handle"][4:10], first["sha256"][:12], "1"):
        edited = run("edit", name, "make it night", *SMALL, "--json").json
        assert edited["images"][0]["parents"] == [first["id"]], name

    of_file = run("edit", "fox.png", "make it night", *SMALL, "--json").json
    assert of_file["sources"][0]["sha256"] == first["sha256"]


def test_several_pictures_and_a_part(run: Imagegen, service):
    """`--with` adds pictures, and `--box` confines the edit."""
    run("draw", "a fox", *SMALL)
    run("draw", "an owl", *SMALL)
    edited = run("edit", "1", "combine them", "--with", "2", "--box", "0.1,0.1,0.5,0.5", *SMALL, "--json")

    assert len(edited.json["sources"]) == 2
    assert "input_image_mask" in json.dumps(service.requests[-1].body)


def test_the_prompt_from_standard_input(run: Imagegen, service):
    """`--stdin` reads the prompt, or the rest of it; without any prompt nothing is drawn."""
    assert run("draw", "--stdin", *SMALL, "--json", stdin="a fox\n").json["images"][0]["prompt"] == "a fox"
    both = run("draw", "draw", "--stdin", *SMALL, "--json", stdin="a fox").json
    assert both["images"][0]["prompt"] == "draw\n\na fox"
    assert run("draw").code == ExitCode.USAGE
    assert service.pictures == 2


def test_out_never_replaces_a_file(run: Imagegen, service, tmp_path: Path):
    """A file that is there stays, and nothing is bought; `--force` replaces it. A folder takes the handle as a name."""
    Path("fox.png").write_text("mine")
    refused = run("draw", "a fox", *SMALL, "-o", "fox.png")

    assert (refused.code, service.pictures) == (ExitCode.USAGE, 0)
    assert "--force" in refused.err
    assert Path("fox.png").read_text() == "mine"
    assert run("draw", "a fox", *SMALL, "-o", "fox.png", "--force").code == 0
    assert Path("fox.png").read_bytes()[:4] == b"\x89PNG"
    Path("pictures").mkdir()
    inside = run("draw", "a fox", *SMALL, "-o", "pictures", "--json").json
    assert inside["files"] == [f"pictures/{inside['images'][0]['handle']}.png"]


def test_a_suffix_asks_for_its_format(run: Imagegen, service):
    """`--out fox.webp` draws a WebP, unless `--output-format` says otherwise."""
    drawn = run("draw", "a fox", *SMALL, "-o", "fox.webp", "--json").json

    assert drawn["images"][0]["mime_type"] == "image/webp"
    assert drawn["files"] == ["fox.webp"]


def test_suffixes_of_no_picture(run: Imagegen, service):
    """A hyphen is no file; any other suffix is kept, with a warning that names only formats that can be drawn."""
    drawn = [run("draw", "a fox", *SMALL, "-o", name) for name in ("-", "fox.txt", "fox.bmp")]
    shown = [run("show", "last", "-o", name) for name in ("-", "fox.webp")]

    assert [each.code for each in (*drawn, *shown)] == [ExitCode.USAGE, 0, 0, ExitCode.USAGE, 0]
    assert "'-' names no file" in drawn[0].err
    assert service.pictures == 2
    for ended, name in zip(drawn[1:], ("fox.txt", "fox.bmp"), strict=True):
        assert f"warning: '{name}' is saved with the bytes of a picture of type image/png: call it fox.png" in ended.err
        assert "output" not in ended.err
    assert "call it fox.png, ask for --output-format 'webp', or convert it" in shown[1].err


def test_options_are_those_of_image_options(run: Imagegen):
    """Every field of `ImageOptions` is an option with its values and its description, in draw, edit and cost."""
    for command in ("draw", "edit", "cost"):
        shown = " ".join(re.sub(r"[│╭╮╰╯─]", " ", run(command, "--help").out).split())
        names = [f"--{name.replace('_', '-')} " for name in ImageOptions.model_fields]
        assert [name for name in names if name not in shown] == []
    assert "low|medium|high|xhigh|max|auto" in shown
    assert "Rendering quality: low is fast and cheap" in shown


def test_options_that_cannot_work(run: Imagegen, service):
    """All problems of the options are told on one line, and nothing is sent."""
    ended = run("draw", "a fox", "--size", "1920x1080", "--background", "transparent", "--output-format", "jpeg")

    assert ended.code == ExitCode.USAGE
    assert "nearest: '1920x1088'" in ended.err
    assert "transparen" in ended.err
    assert ended.err.count("\n") == 1
    assert run("draw", "a fox", "--quality", "hihg").err.endswith("did you mean 'high'?\n")
    assert run("draw", "a fox", "--svg", "{").code == ExitCode.USAGE
    assert "--size '1920x1080'" in ended.err
    assert "name it with --model" in run("draw", "a fox", "--mainline-model", "gpt-image-2").err
    assert run("draw", "a fox", "--api", "images", "--delivery", "background").err.endswith("another --delivery\n")
    assert service.requests == []


def test_a_price_that_is_not_known(run: Imagegen):
    """A simulated drawing says in one sentence which part of its price is not known."""
    told = run("draw", "a fox", "--mainline-model", "gpt-nobody-knows", "--simulate").out

    assert "if the service had drawn it: at least $" in told


def test_simulated_pictures_are_apart(run: Imagegen, own_folder: Path):
    """`--simulate` needs no key, says that it is simulated, and keeps its pictures apart from those of the user."""
    drawn = run("draw", "a fox", *SMALL, "--simulate")
    edited = run("edit", "last", "make it night", *SMALL, "--simulate", "--json")

    assert "simulated" in drawn.err
    assert edited.json["simulated"]
    assert len(edited.json["images"][0]["parents"]) == 1
    assert len(run("list", "--simulate", "--json").json["images"]) == 2
    assert run("list", "--json").json == {"images": []}
    assert len(ImageLibrary(own_folder)) == 0


def test_the_key_of_the_simulator_says_so(run: Imagegen, service, monkeypatch: pytest.MonkeyPatch):
    """With the key that `imagegen simulate` prints, commands know that they are simulated."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-simulated")

    assert run("draw", "a fox", *SMALL, "--json").json["simulated"]


def test_session_and_library_are_switched_off(
    run: Imagegen, service, own_state: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """`--session off` and `--no-library`, or their variables, leave nothing behind but the picture."""
    run("draw", "a fox", *SMALL, "--session", "off", "--no-library")
    monkeypatch.setenv("LANGCHAIN_IMAGEGEN_SESSION", "off")
    monkeypatch.setenv("LANGCHAIN_IMAGEGEN_LIBRARY", "0")
    run("draw", "a fox", *SMALL)
    monkeypatch.delenv("LANGCHAIN_IMAGEGEN_LIBRARY")

    assert not (own_state / "state").exists()
    assert len(ImageLibrary(own_folder)) == 0
    assert run("edit", "last", "make it night").code == ExitCode.NO_PICTURE


def test_sessions_have_names(run: Imagegen, service):
    """Each session has its own `last`."""
    run("draw", "a fox", *SMALL, "--session", "foxes")
    owl = run("draw", "an owl", *SMALL, "--session", "owls", "--json").json["images"][0]

    assert run("show", "last", "--session", "owls", "--json").json["id"] == owl["id"]
    assert run("show", "last").code == ExitCode.NO_PICTURE


def test_a_picture_of_another_store(run: Imagegen, service):
    """A picture that was drawn into another store is found there by the session."""
    run("draw", "a fox", *SMALL, "--store", "elsewhere")

    assert run("show", "last", "-o", "fox.png").code == 0
    assert Path("fox.png").is_file()


def test_a_name_buys_once(run: Imagegen, service):
    """`--once poster` buys the picture once, however often it is asked for."""
    first = run("draw", "a fox", *SMALL, "--once", "poster", "--json").json
    run("draw", "an owl", *SMALL)
    again = run("draw", "a fox", *SMALL, "--once", "poster", "--json").json

    assert service.pictures == 2
    assert run("show", "last", "--json").json["id"] == first["images"][0]["id"]
    assert again["from_ledger"]
    assert again["images"][0]["id"] == first["images"][0]["id"]


@pytest.mark.parametrize("name", ["", " ", "auto"])
def test_what_is_no_name_is_refused(run: Imagegen, service, name: str):
    """`--once ""`, such as a variable that is not set, buys nothing and says what to write; so does Python's `auto`."""
    ended = run("draw", "a fox", *SMALL, "--once", name)

    assert (ended.code, service.pictures) == (ExitCode.USAGE, 0)
    assert ended.err.endswith(
        f"--once {name!r} names no picture: give it a name, such as --once poster-7, or leave it out\n"
    )


def test_the_same_prompt_draws_another_picture(run: Imagegen, service):
    """Without a name each command that ended draws a picture of its own."""
    run("draw", "a fox", *SMALL)
    run("draw", "a fox", *SMALL)

    assert service.pictures == 2


def test_control_characters_never_reach_the_terminal(run: Imagegen, service):
    """A prompt with escape sequences is printed without them."""
    run("draw", "a \x1b]0;owned\x07 fox", *SMALL)

    for ended in (run("list"), run("show", "last"), run("find", "fox")):
        assert "\x1b" not in ended.out
        assert "\x07" not in ended.out
        assert "fox" in ended.out
