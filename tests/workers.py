"""Worker processes that run the worker of the documentation: started with this file, told what to answer line by line.

Each line of the input is JSON: a thread, and a text or `null` to finish what another worker has begun. Each line of the
output is the thread's pictures after that answer, oldest first, or the error.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[1]
PAGE = "docs/how-to/workers.md"
AT_ONCE = 8
"""How many threads a worker answers at once."""


def documented_worker() -> dict[str, Any]:
    """Run the block of the documentation that is a worker, and return its names."""
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    code = re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {"__name__": "worker"}
    exec(compile(code[1], PAGE, "exec", dont_inherit=True), names)
    return names


async def work() -> None:
    """Answer what the lines of the input ask for, until it ends."""
    worker = documented_worker()
    seats = asyncio.Semaphore(AT_ONCE)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def respond(agent: Any, thread: str, text: str | None) -> None:
        async with seats:
            try:
                pictures = [seen(image) for image in await worker["answer"](agent, thread, text)]
                said = {"thread": thread, "pictures": pictures}
            except Exception as error:  # noqa: BLE001
                said = {"thread": thread, "error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()

    async with worker["open_agent"]() as agent, asyncio.TaskGroup() as tasks:
        while line := await reader.readline():
            tasks.create_task(respond(agent, *json.loads(line)))


def seen(image: Any) -> dict[str, Any]:
    """Return what a test looks at in a picture."""
    return {name: getattr(image, name) for name in ("id", "handle", "sha256", "prompt", "parents")}


class Worker:
    """A worker process, which is killed at the end of a `with` block.

    Args:
        environment: Where the services are.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )

    def send(self, thread: str, text: str | None = None) -> None:
        """Ask for an answer and do not wait for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([thread, text]) + "\n")

    def receive(self) -> dict[str, Any]:
        """Wait for the next answer, of whichever thread."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the worker is gone"
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer, answer
        return answer

    def answer(self, thread: str, text: str | None = None) -> list[dict[str, Any]]:
        """Return the thread's pictures after an answer."""
        self.send(thread, text)
        pictures: list[dict[str, Any]] = self.receive()["pictures"]
        return pictures

    def kill(self) -> None:
        """End the process with `SIGKILL`, as a machine that runs out of memory does."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._process:
            self._process.kill()


if __name__ == "__main__":
    asyncio.run(work())
