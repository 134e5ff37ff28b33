"""Fixtures for commands: in this process, against the simulator, with folders of the test's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from langchain_imagegen.cli.commands import imagegen
from langchain_imagegen.simulator import Simulator

SMALL = ("--size", "816x816", "--quality", "low")
"""Options of pictures that are drawn quickly."""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed as JSON, and nothing else."""
        return json.loads(self.out)


Imagegen = Callable[..., Ended]


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the session in the test's folder, and start there; return that folder."""
    for name in ("SESSION", "LIBRARY", "INLINE", "SIMULATE"):
        monkeypatch.delenv(f"LANGCHAIN_IMAGEGEN_{name}", raising=False)
    monkeypatch.setenv("LANGCHAIN_IMAGEGEN_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run() -> Imagegen:
    """Return a function that runs a command in this process."""

    def run(*arguments: object, stdin: str | None = None) -> Ended:
        result = CliRunner().invoke(imagegen, [str(each) for each in arguments], input=stdin, prog_name="imagegen")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def service(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """Return a simulator to which the environment leads, as if it were the service."""
    monkeypatch.setenv("OPENAI_BASE_URL", simulator.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-test")
    return simulator
