"""The documentation site: it builds strictly, explains every public name, and asks no other host for anything."""

from __future__ import annotations

import functools
import http.server
import importlib
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.browser import launched

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GENERATED = {DOCS / "examples", DOCS / "project"}
"""The folders whose pages `make docs` makes of other files."""
PROJECT_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md")
CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
PUBLIC = ("langchain_imagegen", "langchain_imagegen.errors", "langchain_imagegen.experiments",
          "langchain_imagegen.simulator", "langchain_imagegen.web")  # fmt: skip
"""The modules from which users import."""
SOURCES = ("docs", "langchain_imagegen", "notebooks", "recipes", "tools")
"""The folders that the site is built from."""


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves the site and logs nothing."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def pages_of(entries: list[Any]) -> list[str]:
    """Return the pages that a part of the navigation names."""
    values = [value for entry in entries for value in (entry.values() if isinstance(entry, dict) else [entry])]
    return [page for value in values for page in (pages_of(value) if isinstance(value, list) else [value])]


def names_of(module: str) -> list[str]:
    """Return the public names of a module: its `__all__`, or else the classes and functions that it defines."""
    found = importlib.import_module(module)
    defined = [name for name, value in vars(found).items() if getattr(value, "__module__", None) == module]
    return [name for name in getattr(found, "__all__", defined) if not name.startswith("_")]


def paths_of(module: str, name: str) -> set[str]:
    """Return the paths of a public name: where users import it, and where it is defined."""
    found = getattr(importlib.import_module(module), name)
    return {f"{module}.{name}", f"{getattr(found, '__module__', module)}.{name}"}


def is_up_to_date(site: Path) -> bool:
    """Return whether `make docs` has built the site since its sources changed."""
    folders = [ROOT / name for name in (*SOURCES, *PROJECT_PAGES, "zensical.toml")]
    files = [path for folder in folders for path in (folder, *folder.rglob("*")) if "__pycache__" not in path.parts]
    built = site / "llms.txt"
    return built.exists() and built.stat().st_mtime > max(path.stat().st_mtime for path in files if path.is_file())


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Return the folder of the site that `make docs` has built, or of one that is built from the sources of today."""
    if is_up_to_date(ROOT / "site"):
        return ROOT / "site"
    pytest.importorskip("zensical", reason="no site: run `make docs`")
    folder = tmp_path_factory.mktemp("site")
    for name in ("zensical.toml", *PROJECT_PAGES):
        shutil.copy(ROOT / name, folder)
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for command in (["tools/site_pages.py"], ["-m", "zensical", "build", "--strict"]):
        run = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
    return folder / "site"


def test_every_page_is_in_the_navigation():
    """Each page of docs/ and each notebook is in the navigation once, and each page of the navigation exists."""
    pages = [str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if path.parent not in GENERATED]
    notebooks = [f"examples/{path.stem}.md" for path in (ROOT / "notebooks").glob("*.ipynb")]
    others = ["examples/recipes.md", *(f"project/{name.lower()}" for name in PROJECT_PAGES)]

    assert sorted(pages_of(CONFIG["nav"])) == sorted([*pages, *notebooks, *others])


def test_every_public_name_is_in_the_reference(site):
    """The reference explains each public name of the package and of the rooms from which users import."""
    pages = [page.read_text(encoding="utf-8") for page in site.glob("reference/**/*.html")]
    explained = {anchor for page in pages for anchor in re.findall(r'id="([\w.]+)"', page)}

    assert not [name for module in PUBLIC for name in names_of(module) if not explained & paths_of(module, name)]


def test_the_site_loads_nothing_from_elsewhere(site):
    """No page has a script, style, font or picture of another host."""
    elements = (
        r"<(?:script|img|iframe|source)\b[^>]*\bsrc|<link\b[^>]*\b(?:stylesheet|preload|preconnect|icon)\b[^>]*\bhref"
    )
    loaded = {".html": rf"(?:{elements})=[\"']?(?:https?:)?//", ".css": r"(?:@import|url\()\s*[\"']?(?:https?:)?//"}
    texts = [(path, path.read_text(encoding="utf-8")) for path in site.rglob("*") if path.suffix in loaded]

    assert not [path for path, text in texts if re.search(loaded[path.suffix], text)]


def test_every_picture_is_there(site):
    """Each picture of a page, also one in the output of a notebook, is a file of the site."""
    shown = [
        page.parent / source
        for page in site.rglob("*.html")
        for source in re.findall(r'<img\b[^>]*\bsrc="?([^\s">]+)', page.read_text(encoding="utf-8"))
        if page.name != "404.html" and not source.startswith("data:")
    ]

    assert len(shown) > 20
    assert not [path for path in shown if not path.exists()]


def test_texts_for_language_models(site):
    """`llms.txt` lists every page, each of which exists, and `llms-full.txt` holds the text of each page."""
    index, full = ((site / name).read_text(encoding="utf-8") for name in ("llms.txt", "llms-full.txt"))
    links = re.findall(r"\]\(<?([^)>]+)>?\)", index)

    assert len(links) == len(set(links)) == len(pages_of(CONFIG["nav"]))
    for link in links:
        assert (site / link).read_text(encoding="utf-8").strip() in full


def test_reading_and_searching_need_no_other_host(site):
    """In a browser, a page, its dark form and the search ask no other host for anything, and nothing is missing."""
    handler = functools.partial(QuietHandler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, launched() as browser:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        home, answers = f"http://127.0.0.1:{server.server_port}/", []
        page = browser.new_page(color_scheme="dark")
        page.on("response", lambda answer: answers.append((answer.status, answer.url)))
        page.on("requestfailed", lambda request: answers.append((None, request.url)))
        page.goto(f"{home}concepts.html", wait_until="networkidle")
        page.get_by_role("button", name="Search").click()
        page.get_by_placeholder("Search").fill("ledger_expires")
        page.get_by_text("how long the ledger remembers").first.wait_for()
        scheme = page.locator("body").get_attribute("data-md-color-scheme")
        server.shutdown()

    assert scheme == "slate"
    assert len(answers) > 5
    assert not [(status, url) for status, url in answers if status != 200 or not url.startswith((home, "data:"))]
