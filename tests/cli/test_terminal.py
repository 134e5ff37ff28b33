"""Pictures and progress in terminals: kitty, iTerm2, sixels and half blocks, prompts, Ctrl-C, and pipes."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from langchain_imagegen import ImageStore
from langchain_imagegen.cli.sixel import sixels_of
from langchain_imagegen.cli.terminal import detect
from langchain_imagegen.simulator import Simulator
from tests.cli.conftest import SMALL, Imagegen
from tests.cli.terminals import CELL, opened, picture_of_sixels, run_in_terminal

pytestmark = pytest.mark.skipif(os.name == "nt", reason="limits of a process are a Unix thing")


@pytest.fixture
def fox(run: Imagegen, service) -> Image.Image:
    """Draw a picture, and return it."""
    image = run("draw", "a fox", *SMALL, "--json").json["images"][0]
    return Image.open(io.BytesIO(ImageStore().get(image["sha256"]))).convert("RGB")


@pytest.fixture(params=[1.5])
def slow_service(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """Yield a simulator that takes some seconds for a picture, to which the environment leads."""
    with Simulator(latency=request.param) as simulator:
        monkeypatch.setenv("OPENAI_BASE_URL", simulator.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-test")
        yield simulator


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return how much two pictures differ on average, from 0 to 255, at the size of the first."""
    pixels = ImageChops.difference(one, other.resize(one.size)).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    return max(pixels)


def test_kitty(monkeypatch: pytest.MonkeyPatch, fox: Image.Image):
    """Kitty gets the picture in chunks that need no answer, made small for its window."""
    written = run_in_terminal(monkeypatch, "show", TERM="xterm-kitty")
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", written)
    picture = Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in chunks))))

    assert "a=T" in chunks[0][0]
    assert "q=2" in chunks[0][0]
    assert [control[-3:] for control, _ in chunks] == ["m=1"] * (len(chunks) - 1) + ["m=0"]
    assert max(len(data) for _, data in chunks) <= 4096
    columns, rows = (int(each) for each in re.search(r"c=(\d+),r=(\d+)", chunks[0][0]).groups())
    assert (columns * CELL[0], rows * CELL[1]) == picture.size
    assert difference(picture.convert("RGB"), fox) < 8
    assert "prompt: a fox" in written


def test_iterm2(monkeypatch: pytest.MonkeyPatch, fox: Image.Image):
    """ITerm2 gets the picture as one inline file with its size in cells."""
    written = run_in_terminal(monkeypatch, "show", TERM_PROGRAM="iTerm.app")
    found = re.search(r"\x1b\]1337;File=inline=1;size=(\d+);width=\d+;height=\d+;[^:]*:([^\x07]*)\x07", written)
    data = base64.b64decode(found[2])

    assert len(data) == int(found[1])
    assert difference(Image.open(io.BytesIO(data)).convert("RGB"), fox) < 8


def test_half_blocks(monkeypatch: pytest.MonkeyPatch, fox: Image.Image):
    """Any other terminal gets two pixels in each character, in the colors of the picture."""
    pyte = pytest.importorskip("pyte")
    written = run_in_terminal(monkeypatch, "show", SSH_CONNECTION="elsewhere")
    screen = pyte.Screen(100, 40)
    pyte.Stream(screen).feed(written)
    rows = [row for row in range(40) if screen.buffer[row][0].data == "▀"]
    width = sum(screen.buffer[rows[0]][column].data == "▀" for column in range(100))
    picture = Image.new("RGB", (width, 2 * len(rows)))
    for y, row in enumerate(rows):
        for x in range(width):
            cell = screen.buffer[row][x]
            picture.putpixel((x, 2 * y), tuple(bytes.fromhex(cell.fg)))
            picture.putpixel((x, 2 * y + 1), tuple(bytes.fromhex(cell.bg)))

    assert picture.width == picture.height > 30
    assert difference(picture, fox) < 8
    assert "\x1b[c" not in written  # a terminal far away is not asked


def test_off_and_terminals_without_colors(monkeypatch: pytest.MonkeyPatch, fox: Image.Image):
    """No picture is shown where it is switched off, or where there are no colors; `--inline` forces a way."""
    for arguments, environment in (
        (["--inline", "off"], {}),
        ([], {"TERM": "dumb"}),
        ([], {"NO_COLOR": "1"}),
    ):
        written = run_in_terminal(monkeypatch, "show", *arguments, **environment)
        assert "▀" not in written
        assert "prompt: a fox" in written
    forced = run_in_terminal(monkeypatch, "show", "--inline", "sixel")
    assert difference(picture_of_sixels(forced), fox) < 8


def test_vectors_are_not_shown(monkeypatch: pytest.MonkeyPatch, run: Imagegen, service):
    """An SVG is drawn and told of, but not shown."""
    run("draw", "a fox", "--output-format", "svg", "--model", "gpt-image-2.6-flare")
    written = run_in_terminal(monkeypatch, "show", TERM="xterm-kitty")

    assert "svg+xml" in written
    assert "\x1b_G" not in written


def test_sixels_are_exact():
    """Six rows at a time, runs and gaps: every pixel of a picture with few colors arrives."""
    picture = Image.new("RGB", (31, 17), (255, 255, 255))
    for x in range(31):
        picture.putpixel((x, x % 17), (255, 0, 0))
        picture.putpixel((x, 16), (0, 0, 0))

    assert difference(picture_of_sixels(sixels_of(picture)), picture) == 0


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2", "SSH_TTY": "/dev/pts/1"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "tmux-256color", "TMUX": "1", "KITTY_WINDOW_ID": "1"}, "blocks"),
        ({"TERM": "linux"}, None),
        ({}, None),
    ],
)
def test_terminals_by_their_names(environment: dict[str, str], protocol: str | None):
    """Most terminals are known by their environment; a file is never asked."""
    with Path(os.devnull).open("w") as stream:
        assert detect(environment, stream) == protocol


@pytest.mark.parametrize("slow_service", [0.4], indirect=True)
def test_draw_in_a_terminal(slow_service: Simulator):
    """While a picture is drawn its state is seen; the terminal that says so gets sixels at the end."""
    with opened("draw", "a fox", *SMALL, answer=b"\x1b[?62;4;22c") as terminal:
        code = terminal.wait()

    told = terminal.written.decode()
    assert code == 0
    assert re.search("a fox: (preparing|sent|the service draws), [0-9]+ s", told)
    assert re.search("a fox: partial picture [12] of 2, [0-9]+ s", told)
    assert "▀" in told  # the partial picture
    assert picture_of_sixels(told).width > 300
    assert "a fox: " not in terminal.text  # the progress is gone
    assert re.search(r"img_[0-9a-f]{8}, 816x816, png", terminal.text)


def test_a_terminal_that_does_not_answer(run: Imagegen, fox: Image.Image):
    """A terminal that says nothing gets half blocks, and what comes later is not taken for input."""
    with opened("show", answer=None) as terminal:
        assert terminal.wait() == 0

    assert terminal.written.count(b"\x1b[c") == 1
    assert "▀" in terminal.text


def test_an_experiment_asks(simulator: Simulator, service, own_state: Path):
    """`experiment` says the price and asks in a terminal before it draws; anything but yes means no."""
    (own_state / "foxes.toml").write_text('prompts = ["a fox"]\n')
    with opened("experiment", "foxes.toml", *SMALL) as terminal:
        assert "cost" in terminal.wait_for("Draw? [y/N]")
        terminal.send("\r")
        assert terminal.wait() == 8
    assert simulator.pictures == 0


def test_ctrl_c_ends_it_and_the_same_command_fetches_the_picture(run: Imagegen, slow_service: Simulator):
    """Ctrl-C ends a drawing at once and says what goes on; the same command again buys nothing."""
    with opened("draw", "a fox", *SMALL, "--partial-images", "0") as terminal:
        terminal.wait_for("the service draws")
        terminal.send("\x03")
        assert terminal.wait() == 130
    assert "the same command again fetches the picture" in " ".join(terminal.text.split())
    assert "Traceback" not in terminal.text

    again = run("draw", "a fox", *SMALL, "--json")
    assert again.code == 0
    assert "looking for that one first" in again.err
    assert again.json["from_ledger"]
    assert slow_service.pictures == 1


def test_a_pipe_gets_no_escape_sequences(run: Imagegen, service, monkeypatch: pytest.MonkeyPatch):
    """In a pipe there is neither picture nor progress, even if the environment names a terminal that has both."""
    monkeypatch.setenv("TERM", "xterm-kitty")
    monkeypatch.setenv("COLORTERM", "truecolor")
    drawn, shown = run("draw", "an owl", *SMALL), run("show", "--inline", "kitty")

    assert "an owl" in shown.out
    assert "\x1b" not in drawn.out + drawn.err + shown.out + shown.err
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b_G" not in run("show", "--inline", "kitty").out


def test_ctrl_c_in_an_experiment(run: Imagegen, slow_service: Simulator, own_state: Path):
    """Ctrl-C ends an experiment at once, and a rerun takes what the service had begun from the ledger."""
    (own_state / "foxes.toml").write_text('prompts = ["a fox"]\nn = 3\n')
    with opened("experiment", "foxes.toml", *SMALL) as terminal:
        terminal.wait_for("Draw? [y/N]")
        terminal.send("y\r")
        terminal.wait_for("drawing")
        notes = own_state / "default-images" / "ledger"
        terminal.read_until(lambda: sum("resp_" in note.read_text() for note in notes.glob("*.begun.*")) == 3)
        terminal.send("\x03")
        assert terminal.wait() == 130
    assert "interrupted with 0 of 3 pictures drawn" in " ".join(terminal.text.split())

    assert run("experiment", "foxes.toml", *SMALL, "--yes").code == 0
    assert slow_service.pictures == 3
