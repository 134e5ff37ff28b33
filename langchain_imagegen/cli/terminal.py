"""What a terminal can show: pictures by the protocol of kitty or iTerm2, sixels, or else half blocks.

Most terminals name themselves in the environment. Whether a terminal draws sixels only it can tell, so it is asked,
once, where its answer comes at once and cannot be taken for input: on this machine, in the foreground, and while
nothing is typed. A pipe or a file never gets a picture.
"""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Annotated, Any, Literal, TextIO

import typer

from langchain_imagegen.cli.completion import one_of
from langchain_imagegen.errors import OptionError

Protocol = Literal["kitty", "iterm2", "sixel", "blocks"]
CHOICES = ("auto", "kitty", "iterm2", "sixel", "blocks", "off")

_KITTY_PROGRAMS = ("ghostty",)
_ITERM2_PROGRAMS = ("iterm.app", "wezterm", "mintty")
_SIXEL_TERMS = ("foot", "mlterm", "yaft", "contour")
_MULTIPLEXED = ("TMUX", "STY", "ZELLIJ")  # they pass on neither the protocol of kitty nor that of iTerm2
_REMOTE = ("SSH_CONNECTION", "SSH_TTY", "MOSH_CONNECTION")
_PATIENCE = 0.25  # seconds; a terminal on this machine answers within a few milliseconds
_ANSWER = re.compile(rb"\x1b\[\?([\d;]*)c")
_SIXEL = "4"  # in the answer to DA1: https://vt100.net/docs/vt510-rm/DA1.html
_CELL = (10, 20)  # pixels of a cell where the terminal does not tell


@dataclass(frozen=True)
class Inline:
    """The parameter of how pictures are shown."""

    inline: Annotated[
        str,
        typer.Option(
            metavar="|".join(CHOICES),
            envvar="LANGCHAIN_IMAGEGEN_INLINE",
            help="How pictures are shown in a terminal; auto takes the best that it can.",
            autocompletion=one_of(CHOICES),
        ),
    ] = "auto"

    def __post_init__(self) -> None:
        """Check the parameter.

        Raises:
            OptionError: There is no such way.
        """
        if self.inline not in CHOICES:
            raise OptionError(f"inline={self.inline!r}: it takes {', '.join(CHOICES)}")

    def protocol(self, stream: TextIO) -> Protocol | None:
        """Return how pictures are shown on a stream; None if they are not. The terminal may be asked."""
        if self.inline == "off" or not stream.isatty():
            return None
        return detect(os.environ, stream) if self.inline == "auto" else self.inline  # type: ignore[return-value]


def detect(environment: Mapping[str, str], stream: TextIO) -> Protocol | None:
    """Return how a terminal shows pictures best; None for one that shows no colors."""
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "").lower()
    if term in ("", "dumb", "unknown", "linux") or environment.get("NO_COLOR"):
        return None
    if not any(map(environment.get, _MULTIPLEXED)):
        if "kitty" in term or "KITTY_WINDOW_ID" in environment or program in _KITTY_PROGRAMS or "ghostty" in term:
            return "kitty"
        if program in _ITERM2_PROGRAMS or environment.get("LC_TERMINAL") == "iTerm2":
            return "iterm2"
        if term.startswith(_SIXEL_TERMS):
            return "sixel"
    if not any(map(environment.get, _REMOTE)) and _draws_sixels(stream):
        return "sixel"
    return "blocks"


def cell_size(stream: IO[str]) -> tuple[int, int]:
    """Return the width and height of a cell in pixels, or a usual one where the terminal does not tell."""
    with suppress(ImportError, OSError, ValueError):
        import fcntl
        import struct
        import termios

        rows, columns, width, height = struct.unpack(
            "HHHH", fcntl.ioctl(stream.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
        )
        if rows and columns and width >= columns and height >= rows:
            return width // columns, height // rows
    return _CELL


def _draws_sixels(stream: TextIO) -> bool:
    """Ask a terminal for its abilities, and return True if sixels are among them."""
    try:
        answer = _answer_to(b"\x1b[c", stream)
    except (ImportError, OSError, ValueError):  # no POSIX terminal, or one that cannot be set
        return False
    found = _ANSWER.search(answer)
    return found is not None and _SIXEL in found[1].decode().split(";")


def _answer_to(question: bytes, stream: TextIO) -> bytes:
    """Return what a terminal answers; nothing if this process may not ask, or if somebody is typing."""
    import termios

    descriptor = os.open(os.ttyname(stream.fileno()), os.O_RDWR | os.O_NOCTTY)
    try:
        if os.tcgetpgrp(descriptor) != os.getpgrp():  # a process in the background would be stopped
            return b""
        with _unechoed(descriptor, termios):
            if select.select([descriptor], [], [], 0)[0]:
                return b""
            os.write(descriptor, question)
            answer = _read_answer(descriptor)
            if not _ANSWER.search(answer):
                termios.tcflush(descriptor, termios.TCIFLUSH)  # a part of an answer is no input
            return answer
    finally:
        os.close(descriptor)


@contextmanager
def _unechoed(descriptor: int, termios: Any) -> Iterator[None]:
    """Read each byte at once and echo none, so that the answer does not appear on the screen."""
    before = termios.tcgetattr(descriptor)
    raw = [*before[:3], before[3] & ~(termios.ICANON | termios.ECHO), *before[4:]]
    termios.tcsetattr(descriptor, termios.TCSANOW, raw)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


def _read_answer(descriptor: int) -> bytes:
    answer, end = b"", time.monotonic() + _PATIENCE
    while not _ANSWER.search(answer) and len(answer) < 256:
        left = end - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            break
        answer += os.read(descriptor, 64)
    return answer
