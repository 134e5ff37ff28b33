"""README and docs/: every Python block runs, section by section or page by page, and prints the text block after it."""

from __future__ import annotations

import contextlib
import gc
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GENERATED = {DOCS / "examples", DOCS / "project"}
"""The folders whose pages `make docs` makes of other files, which have tests of their own."""
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
    if path.parent not in GENERATED
}
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^\s*(?:```|~~~)\s*(?:py|python|python3|pycon)\b", re.MULTILINE)


def parts(page: str) -> dict[str, str]:
    """Return the sections of README's second level by title, or a page of docs/ as one part."""
    if page != "README.md":
        return {page: PAGES[page]}
    sections = re.split(r"^## ", PAGES[page], flags=re.MULTILINE)
    return {f"{page}: {section.splitlines()[0]}": section for section in sections}


def programs() -> dict[str, list[tuple[str, str]]]:
    """Return the Python blocks of each part that has any, each with the output that the page shows."""
    blocks = {
        title: [(found["code"], found["output"] or "") for found in BLOCK.finditer(text)]
        for page in PAGES
        for title, text in parts(page).items()
    }
    return {title: found for title, found in blocks.items() if found}


PROGRAMS = programs()


@pytest.mark.parametrize(("title", "blocks"), PROGRAMS.items(), ids=list(PROGRAMS))
def test_blocks_run(title, blocks, simulator, tmp_path, monkeypatch, request):
    """The blocks of a part run in order, as one program, and print the output that the page shows."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "OPENAI_BASE_URL",
        "OPENAI_API_BASE",
    ):  # chat models share connections by the latter, across event loops
        monkeypatch.setenv(name, simulator.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-simulated")
    monkeypatch.setenv("LANGCHAIN_IMAGEGEN_STORE", str(tmp_path / "store"))
    if any("DATABASE_URL" in code for code, _ in blocks):
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("postgres"))
    names: dict[str, object] = {"__name__": "page"}

    for code, expected in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, title, "exec", dont_inherit=True), names)

        assert printed.getvalue() == expected

    names.clear()
    gc.collect()  # a chat model leaves open connections of an event loop that has ended


def test_no_block_is_missed():
    """The test above runs every Python block, however it is indented or named."""
    found = sum(len(FENCE.findall(text)) for text in PAGES.values())

    assert found == sum(map(len, PROGRAMS.values()))


def test_links_lead_somewhere():
    """Every relative link in README, CONTRIBUTING, CHANGELOG and SECURITY leads to a file; the site checks its own."""
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
