"""README: every Python block runs, section by section, and prints the text block after it."""

from __future__ import annotations

import contextlib
import gc
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def sections() -> dict[str, list[tuple[str, str]]]:
    """Return the Python blocks under each heading of the second level, each with the output that the page shows."""
    _, *parts = re.split(r"^## ", README, flags=re.MULTILINE)
    blocks = {
        part.partition("\n")[0]: [found.group("code", "output") for found in BLOCK.finditer(part)] for part in parts
    }
    return {title: [(code, output or "") for code, output in found] for title, found in blocks.items() if found}


@pytest.mark.parametrize(("title", "blocks"), sections().items(), ids=list(sections()))
def test_section_runs(title, blocks, simulator, tmp_path, monkeypatch, request):
    """The blocks of a section run in order and print the output that the page shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", simulator.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-simulated")
    monkeypatch.setenv("LANGCHAIN_IMAGEGEN_STORE", str(tmp_path / "store"))
    if any("DATABASE_URL" in code for code, _ in blocks):
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("postgres"))
    names: dict[str, object] = {"__name__": "readme"}

    for code, expected in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, f"README.md: {title}", "exec", dont_inherit=True), names)

        assert printed.getvalue() == expected

    names.clear()
    gc.collect()  # a chat model leaves open connections of an event loop that has ended


def test_no_block_is_missed():
    """Every Python block is in a section, so that the test above runs it."""
    assert README.count("```python\n") == sum(map(len, sections().values()))


def test_links_lead_somewhere():
    """Every relative link in README, CONTRIBUTING, CHANGELOG and SECURITY leads to a file."""
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
    links = {link for page in pages for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))}

    assert not [link for link in links if not (ROOT / link).exists()]


def test_every_promise_of_security_names_its_tests():
    """Every row of SECURITY's table names test files, and each of them exists."""
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    rows = [re.findall(r"`(tests/[\w/]+\.py)`", line) for line in page.splitlines() if line.startswith("| ")][2:]

    assert len(rows) > 10
    assert all(rows)
    assert all((ROOT / name).exists() for row in rows for name in row)
