"""What a reader sees of the committed notebooks as pages: nothing is cut off, and every picture is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import launched

FOLDER = Path(__file__).parents[1] / "notebooks"
OUTPUTS = "document.querySelectorAll('.jp-OutputArea-output')"
CUT_OFF = f"[...{OUTPUTS}].filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.innerText)"
BROKEN = f"[...{OUTPUTS}].flatMap(each => [...each.querySelectorAll('img')]).filter(each => !each.naturalWidth).length"


def test_outputs_fit_the_page(tmp_path: Path):
    """Exported as HTML, no output of a notebook is wider than a page of 1000 pixels, and every picture loads."""
    nbconvert = pytest.importorskip("nbconvert")
    nbformat = pytest.importorskip("nbformat")
    page_of = nbconvert.HTMLExporter()
    found = {}
    with launched() as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 800})
        page.set_default_timeout(120_000)
        page.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
        for path in sorted(FOLDER.glob("*.ipynb")):
            exported = tmp_path / f"{path.stem}.html"
            exported.write_text(page_of.from_notebook_node(nbformat.read(path, as_version=4))[0], encoding="utf-8")
            page.goto(exported.as_uri())
            found[path.name] = (page.evaluate(CUT_OFF), page.evaluate(BROKEN))

    assert found
    assert all(seen == ([], 0) for seen in found.values()), found
