"""The notebooks run from top to bottom without a key, and their committed outputs are those of a run."""

from __future__ import annotations

import base64
import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

from langchain_imagegen.images.sniffing import sniff

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
VARIABLE = re.compile(r"img_[0-9a-f]{8,}|0x[0-9a-f]+|\d[\d.,]*")  # in texts: handles, addresses, seconds
BAR = re.compile(r"^ *\d+%\|.*\n", re.MULTILINE)
DATA_URL = re.compile(r"data:(image/[\w+.-]+);base64,([\w+/=]+)")


@pytest.fixture(scope="module")
def runner():
    """Return the module behind `make notebooks`."""
    spec = importlib.util.spec_from_file_location("run", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code_cells(notebook):
    """Return the cells that run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def summary(notebook):
    """Return what must be the same in each run: MIME types and texts of the outputs, without handles and numbers."""
    return [
        [
            (
                output.output_type,
                output.get("name"),
                sorted(output.get("data", ())),
                VARIABLE.sub("#", output.get("data", {}).get("text/plain", "")),
            )
            for output in cell.outputs
        ]
        for cell in code_cells(notebook)
    ]


def printed(notebook):
    """Return what the cells print, without handles, numbers and progress bars."""
    streams = [output for cell in code_cells(notebook) for output in cell.outputs if output.output_type == "stream"]
    return [VARIABLE.sub("#", BAR.sub("", output.text)) for output in streams if output.name == "stdout"]


def pictures(notebook):
    """Return every picture that a notebook shows, also inside HTML: its declared MIME type and its bytes."""
    bundles = [output.get("data", {}) for cell in code_cells(notebook) for output in cell.outputs]
    native = [(kind, data) for each in bundles for kind, data in each.items() if kind.startswith("image/")]
    inside = [found for each in bundles for found in DATA_URL.findall(each.get("text/html", ""))]
    return [(kind, base64.b64decode(data)) for kind, data in (*native, *inside)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, runner):
    """No cell fails without a key, and each cell has the outputs of the committed one, numbers and handles aside."""
    committed, fresh = nbformat.read(path, as_version=4), runner.run(path)

    assert summary(fresh) == summary(committed)
    assert printed(fresh) == printed(committed)
    assert len(pictures(fresh)) == len(pictures(committed))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebook(path):
    """A committed notebook was run, says that its pictures are simulated, and shows some; no output is an error."""
    notebook = nbformat.read(path, as_version=4)
    shown = pictures(notebook)

    assert "simulat" in notebook.cells[0].source
    assert len(notebook.cells) <= 15
    assert len(shown) >= 3
    assert all(sniff(data).mime_type == kind for kind, data in shown)
    assert all(cell.execution_count for cell in code_cells(notebook))
    assert not any(output.output_type == "error" for cell in code_cells(notebook) for output in cell.outputs)
