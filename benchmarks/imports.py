"""Measures how long a fresh process takes to import a package and the classes needed to draw with it.

All bytecode is in a cache that the first, uncounted processes fill. Installed packages are compiled anyway, but a
checkout on a read-only file system would otherwise be compiled again by every process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial

from benchmarks.contestants import AGENTS, BASE, CHAT, OURS, PYDANTIC, SDK
from benchmarks.lineup import installed
from benchmarks.rounds import Bench, Row, comparison_rows, run_rounds, timer

ROUNDS = 9
ROUNDS_ALONE = 60  # of ours and the base: processes vary by a third, and differences of hundredths must show

CODE = {
    BASE: "from langchain_core.tools import BaseTool; from langchain_core.runnables import RunnableSerializable",
    OURS: "import langchain_imagegen; langchain_imagegen.ImageGenerationTool()",
    SDK: "import openai; openai.OpenAI",
    CHAT: "from langchain_openai import ChatOpenAI",
    PYDANTIC: "from pydantic_ai import Agent; from pydantic_ai.models.openai import OpenAIResponsesModel",
    AGENTS: "from agents import Agent, Runner, ImageGenerationTool",
}


def measure(bench: Bench) -> Iterator[Row]:
    """Yield the import times, each measured in fresh processes; ours includes creating a tool."""
    names = {BASE, OURS} | ({kind.name for kind in installed()} if not bench.quick else set())
    with tempfile.TemporaryDirectory() as cache:
        works = {name: timer(partial(_run, code, cache)) for name, code in CODE.items() if name in names}
        among_all = run_rounds(works, bench.rounds(ROUNDS), lambda: None)
        alone = run_rounds({name: works[name] for name in (BASE, OURS)}, bench.rounds(ROUNDS_ALONE), lambda: None)
    yield from comparison_rows(alone, BASE, measure="import", unit="ms")
    yield from (
        row for row in comparison_rows(among_all, BASE, measure="import", unit="ms") if row.contestant not in alone
    )


def _run(code: str, cache: str) -> None:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
