"""Writes pages of the documentation whose source is elsewhere: `make docs` runs it before the site is built.

Each notebook becomes `docs/examples/<name>.md` with its code and outputs, beside the notebook itself. Pictures in the
outputs become files, so that pages stay small. The recipes become one page of that folder. Changelog, security,
contributing and releasing become pages of `docs/project`. Nothing in these folders is committed.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "examples"
PROJECT = ROOT / "docs" / "project"
PROJECT_PAGES = ("CHANGELOG", "SECURITY", "CONTRIBUTING", "RELEASING")
LINKS = {f"{name}.md": f"{name.lower()}.md" for name in PROJECT_PAGES} | {
    "README.md#simulated-recorded-live": "../index.md#simulated-recorded-live"
}
RELATIVE = re.compile(r"\[([^]\n]+)\]\((?!https?:|#)([^)\s]+)\)")
DATA = re.compile(r"data:image/(\w+)(?:\+xml)?;base64,([A-Za-z0-9+/=\s]+)")
ABOUT = """\
!!! note "A notebook"

    [Download it]({name}), or open `notebooks/{name}` of the repository. The pictures are simulated: no model drew them.
"""


def notebook_page(notebook: Path) -> str:
    """Return a notebook as Markdown, with its pictures written into files of the folder."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    title, *others = ("\n\n".join(cell_blocks(cell)) for cell in cells)
    return "\n\n".join((title, ABOUT.format(name=notebook.name), *others)) + "\n"


def cell_blocks(cell: dict[str, Any]) -> list[str]:
    """Return a cell as blocks of Markdown: its text, or its code and what came out."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    return [f"```python\n{source}\n```", *filter(None, map(output, cell["outputs"]))]


def output(told: dict[str, Any]) -> str:
    """Return one output of a cell as Markdown."""
    if told["output_type"] == "stream":
        return f"```text\n{''.join(told['text']).rstrip()}\n```"
    data = {kind: "".join(text) for kind, text in told["data"].items() if not isinstance(text, dict)}
    for kind in ("image/png", "image/jpeg", "image/webp"):
        if kind in data:
            return f"![{data.get('text/plain', 'a picture')}]({picture(kind.partition('/')[2], data[kind])})"
    if "text/html" in data:
        html = DATA.sub(lambda found: picture(found[1], found[2]), data["text/html"])
        return f'<div class="notebook-output">\n{html}\n</div>'
    return data.get("text/markdown") or f"```text\n{data.get('text/plain', '')}\n```"


def picture(kind: str, text: str) -> str:
    """Write a picture of an output into a file named by its digest, and return the name."""
    data = base64.b64decode(text)
    path = FOLDER / f"{sha256(data).hexdigest()[:16]}.{kind}"
    path.write_bytes(data)
    return path.name


def recipes_page(folder: Path) -> str:
    """Return README of the recipes, followed by each recipe's code, to which its links lead."""
    page = (folder / "README.md").read_text(encoding="utf-8")
    for path in sorted(folder.glob("*.py")):
        page = page.replace(f"]({path.name})", f"](#{path.stem})")
        page += f"\n## {path.name} {{ #{path.stem} }}\n\n```python\n{path.read_text(encoding='utf-8')}```\n"
    return page


def project_page(name: str) -> str:
    """Return a page of the repository's root. Its links lead to pages of the site; those to other files become text."""

    def moved(link: re.Match[str]) -> str:
        return f"[{link[1]}]({LINKS[link[2]]})" if link[2] in LINKS else link[1]

    return RELATIVE.sub(moved, (ROOT / f"{name}.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    for folder in (FOLDER, PROJECT):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        shutil.copy(notebook, FOLDER)
        (FOLDER / f"{notebook.stem}.md").write_text(notebook_page(notebook), encoding="utf-8")
    (FOLDER / "recipes.md").write_text(recipes_page(ROOT / "recipes"), encoding="utf-8")
    for name in PROJECT_PAGES:
        (PROJECT / f"{name.lower()}.md").write_text(project_page(name), encoding="utf-8")
