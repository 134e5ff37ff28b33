"""The chat of `examples/chat` in a process of its own, and a browser that opens it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from langchain_imagegen.simulator import Simulator
from tests.browser import launched
from tests.chat.talk import Talk

ROOT = Path(__file__).parents[2]
LATENCY = 1.2  # seconds of a drawing, so that its two partial pictures are seen
PATIENCE = 30_000  # milliseconds that the browser waits for anything


@contextmanager
def chat(folder: Path, environment: Mapping[str, str | None]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `run.py` of a copy of the example in a folder; yield the address that it prints, and the process."""
    shutil.copytree(ROOT / "examples/chat", folder / "chat", ignore=shutil.ignore_patterns(".*", "__pycache__"))
    own = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment}
    process = subprocess.Popen(
        [sys.executable, str(folder / "chat/run.py"), "--latency", str(LATENCY)],
        cwd=folder,
        env={name: value for name, value in own.items() if value is not None},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    watch = threading.Timer(120, process.kill)
    watch.start()
    assert process.stdout is not None
    try:
        told = []
        for line in process.stdout:
            told.append(line)
            if found := re.search(r"http://\S+/", line):
                yield found[0], process
                break
        else:
            pytest.fail("".join(told))
    finally:
        watch.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
        process.stdout.close()


@pytest.fixture(scope="session")
def service() -> Iterator[Simulator]:
    """Yield the simulated service of the chat."""
    with Simulator(latency=LATENCY) as simulator:
        yield simulator


@pytest.fixture(scope="session")
def address(service: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a chat, one for all tests."""
    environment = {
        "OPENAI_BASE_URL": service.base_url,
        "OPENAI_API_KEY": "sk-simulated",
        "LANGCHAIN_IMAGEGEN_STORE": None,
    }
    with chat(tmp_path_factory.mktemp("chat"), environment) as (found, _):
        yield found


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[SyncLangGraphClient]:
    """Yield a client of LangGraph's API of the chat."""
    with get_sync_client(url=address) as opened:
        yield opened


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Yield a headless Chromium, for this module."""
    with launched() as opened:
        yield opened


@pytest.fixture
def talk_in(browser: Any, address: str, service: Simulator) -> Iterator[Callable[..., Talk]]:
    """Yield a function that opens the chat in a window of its own; at the end there must be no error in any of them."""
    opened: list[Talk] = []

    def open_chat(**settings: Any) -> Talk:
        context = browser.new_context(viewport={"width": 1200, "height": 900}, **settings)
        context.set_default_timeout(PATIENCE)
        opened.append(Talk(context.new_page(), address, service))
        opened[-1].open()
        return opened[-1]

    yield open_chat
    errors = [error for talk in opened for error in talk.errors]
    for talk in opened:
        talk.page.context.close()
    assert not errors


@pytest.fixture
def talk(talk_in: Callable[..., Talk]) -> Talk:
    """Return a new conversation."""
    return talk_in()
