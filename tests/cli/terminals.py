"""Terminals for tests: a pseudo terminal in this process, one of a process of its own, and what their screens show."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
ROWS, COLUMNS = 40, 100
CELL = (10, 20)  # pixels
_KEPT = ("PATH", "HOME", "SSL_CERT_DIR", "OPENAI_", "LANGCHAIN_IMAGEGEN_", "LANG")


def run_in_terminal(monkeypatch: pytest.MonkeyPatch, *arguments: object, **environment: str) -> str:
    """Run a command in this process with a pseudo terminal for its output, and return what it wrote there."""
    from langchain_imagegen.cli.commands import imagegen

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, COLUMNS * CELL[0], ROWS * CELL[1]))
    written: list[bytes] = []
    reader = threading.Thread(target=lambda: written.extend(_all_of(master)))
    reader.start()
    with monkeypatch.context() as changed:
        for name in ("COLUMNS", "NO_COLOR", "TERM_PROGRAM", "LC_TERMINAL", "KITTY_WINDOW_ID", "TMUX", "STY"):
            changed.delenv(name, raising=False)
        for name, value in {"TERM": "xterm-256color", "COLORTERM": "truecolor", **environment}.items():
            changed.setenv(name, value)
        with os.fdopen(slave, "w", encoding="utf-8") as terminal:
            changed.setattr(sys, "stdout", terminal)
            changed.setattr(sys, "stderr", terminal)
            with pytest.raises(SystemExit):
                imagegen([str(each) for each in arguments], prog_name="imagegen")
    reader.join(20)
    os.close(master)
    return b"".join(written).decode()


def _all_of(master: int) -> Iterator[bytes]:
    """Yield what is written to a pseudo terminal until its last writer closes it."""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # what Linux says at the end
            return
        if not data:
            return
        yield data


class Process:
    """`imagegen` in a process and a terminal of its own. Its screen is what a person sees.

    Args:
        arguments: The command.
        answer: What the terminal answers when it is asked for its abilities.
        environment: Further environment variables.
    """

    def __init__(self, *arguments: object, answer: bytes | None = b"\x1b[?62;22c", **environment: str) -> None:
        pexpect = pytest.importorskip("pexpect")
        pyte = pytest.importorskip("pyte")
        kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
        settings = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONPATH": str(ROOT), **environment}
        run = "import sys; sys.argv[0] = 'imagegen'; from langchain_imagegen.cli.main import main; main()"
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._answer = answer
        self.written = b""
        self.process = pexpect.spawn(
            sys.executable,
            ["-c", run, *map(str, arguments)],
            env={**kept, **settings},
            dimensions=(ROWS, COLUMNS),
            timeout=60,
        )

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(line.rstrip() for line in self._screen.display).strip()

    def wait_for(self, words: str) -> str:
        """Read until some words stand on the screen, and return its text."""
        while words not in self.text:
            assert self._read(), f"{words!r} is not on the screen: {self.text}"
        return self.text

    def wait(self) -> int:
        """Read until the process ends, and return its exit code."""
        while self._read():
            pass
        self.process.close()
        return self.process.exitstatus if self.process.exitstatus is not None else -self.process.signalstatus

    def send(self, keys: str) -> None:
        """Press some keys."""
        self.process.send(keys)

    def read_until(self, reached: Callable[[], bool]) -> None:
        """Read until something is the case outside of the terminal."""
        while not reached():
            assert self._read(0.05), f"the process has ended: {self.text}"

    def _read(self, seconds: float = 60) -> bool:
        """Read what was written; return False at the end. Nothing within a minute is an error."""
        import pexpect

        try:
            data = self.process.read_nonblocking(65536, timeout=seconds)
        except pexpect.EOF:
            return False
        except pexpect.TIMEOUT:
            assert seconds < 60, f"nothing was written: {self.text}"
            return True
        self.written += data
        if self._answer is not None and b"\x1b[c" in data:
            self.process.send(self._answer)
        self._stream.feed(re.sub(rb"\x1bP.*?\x1b\\", b"", data, flags=re.DOTALL))  # the screen knows no sixels
        return True


@contextmanager
def opened(*arguments: object, **settings: Any) -> Iterator[Process]:
    """Run a command in a terminal of its own, and end it at the end of the block."""
    process = Process(*arguments, **settings)
    try:
        yield process
    finally:
        process.process.close(force=True)


def picture_of_sixels(text: str) -> Image.Image:
    """Return the picture that a terminal would draw of sixels."""
    found = re.search(r'\x1bP[\d;]*q"1;1;(\d+);(\d+)(.*?)\x1b\\', text, re.DOTALL)
    assert found, "there are no sixels"
    width, height = int(found[1]), int(found[2])
    pixels = bytearray(3 * width * (height + 6))  # the last six rows may reach below the picture
    colors: dict[str, bytes] = {}
    color, x, y = b"", 0, 0
    for part in re.finditer(r"#(\d+)((?:;\d+)*)|!(\d+)(.)|([?-~])|(\$)|(-)", found[3]):
        name, definition, count, repeated, single, back, down = part.groups()
        if definition:
            colors[name] = bytes(round(int(each) * 2.55) for each in definition.split(";")[2:])
        elif name:
            color = colors[name]
        elif back or down:
            x, y = 0, y + (6 if down else 0)
        else:
            bits, length = ord(repeated or single) - 63, int(count or 1)
            for row in range(6):
                if bits >> row & 1:
                    start = 3 * ((y + row) * width + x)
                    pixels[start : start + 3 * length] = color * length
            x += length
    return Image.frombytes("RGB", (width, height), bytes(pixels[: 3 * width * height]))
