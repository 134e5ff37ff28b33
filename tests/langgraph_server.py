"""LangGraph's development server in a process of its own, which serves the agents of `examples/`."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 120.0
"""Seconds until the server has to answer."""


@contextmanager
def serving(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Start the server on a free port in a copy of `examples/`, where it keeps its files; give its address.

    It refuses calls that would block its event loop, as it does for a developer.
    """
    here = folder / "examples"
    shutil.copytree(ROOT / "examples", here, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    port = _free_port()
    command = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", "--n-jobs-per-worker", "4"]
    quiet = {"LANGSMITH_TRACING": "false", "LANGGRAPH_NO_VERSION_CHECK": "true", "PYTHONPATH": str(ROOT)}
    with (here / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=here,
            env={**os.environ, **quiet, **environment},
            stdout=log,
            stderr=log,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/ok", process, here / "log")
        yield address
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    """Return a port that no server of another test takes meanwhile: they get theirs from the system, above 32,767."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("there is no free port")


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers.

    Raises:
        RuntimeError: It ended or is too slow; the message is its log.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        try:
            opener.open(address, timeout=1).close()
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(log.read_text(encoding="utf-8", errors="replace"))
