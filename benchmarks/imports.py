"""How long a fresh process takes to import a package and to have what one asks it with.

Everybody's bytecode is in a cache that the first, uncounted processes fill: an installer compiles packages, but a
checkout would be compiled by each process anew where nothing may be written beside it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial

from benchmarks.contestants import AGENTS, BASE, CHAT, OURS, PYDANTIC, SDK
from benchmarks.lineup import present
from benchmarks.rounds import Bench, Row, compared, interleaved, timed

ROUNDS = 9
ROUNDS_ALONE = 60  # of ours and the base: hundredths are to be told apart, and processes vary by a third

WHAT = {
    BASE: "from langchain_core.tools import BaseTool; from langchain_core.runnables import RunnableSerializable",
    OURS: "import langchain_imagegen; langchain_imagegen.ImageGenerationTool()",
    SDK: "import openai; openai.OpenAI",
    CHAT: "from langchain_openai import ChatOpenAI",
    PYDANTIC: "from pydantic_ai import Agent; from pydantic_ai.models.openai import OpenAIResponsesModel",
    AGENTS: "from agents import Agent, Runner, ImageGenerationTool",
}


def measure(bench: Bench) -> Iterator[Row]:
    """Each in fresh processes; ours also makes a tool."""
    here = {BASE, OURS} | ({kind.name for kind in present()} if not bench.quick else set())
    with tempfile.TemporaryDirectory() as cache:
        works = {name: timed(partial(_run, code, cache)) for name, code in WHAT.items() if name in here}
        among_all = interleaved(works, bench.rounds(ROUNDS), lambda: None)
        alone = interleaved({name: works[name] for name in (BASE, OURS)}, bench.rounds(ROUNDS_ALONE), lambda: None)
    yield from compared(alone, BASE, measure="import", unit="ms")
    yield from (row for row in compared(among_all, BASE, measure="import", unit="ms") if row.contestant not in alone)


def _run(code: str, cache: str) -> None:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
