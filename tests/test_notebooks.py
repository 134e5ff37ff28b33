"""The notebooks run from top to bottom, and their committed outputs show what they draw."""

from __future__ import annotations

import base64
import importlib.util
from pathlib import Path

import nbformat
import pytest

from langchain_imagegen.images.sniffing import sniff

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.fixture(scope="module")
def runner():
    """Return the module behind `make notebooks`."""
    spec = importlib.util.spec_from_file_location("run", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outputs(notebook):
    """Return the data of each output of each code cell."""
    return [[output.get("data", {}) for output in cell.outputs] for cell in notebook.cells if cell.cell_type == "code"]


def pictures(notebook):
    """Return every picture that a notebook shows: its declared MIME type and its bytes."""
    return [
        (mime_type, base64.b64decode(data))
        for cell in outputs(notebook)
        for bundle in cell
        for mime_type, data in bundle.items()
        if mime_type.startswith("image/")
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, runner, simulator):
    """No cell fails, and each cell has outputs of the same MIME types as the committed one."""
    fresh = runner.run(path, runner.simulated(simulator))

    assert simulator.pictures > 0
    assert [[sorted(bundle) for bundle in cell] for cell in outputs(fresh)] == [
        [sorted(bundle) for bundle in cell] for cell in outputs(nbformat.read(path, as_version=4))
    ]
    assert pictures(fresh)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs_are_pictures(path):
    """A committed notebook has at least five pictures of the declared types, no error, and no cell that was not run."""
    notebook = nbformat.read(path, as_version=4)
    shown = pictures(notebook)

    assert len(shown) >= 5
    assert all(sniff(data).mime_type == mime_type for mime_type, data in shown)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert not any(output.output_type == "error" for cell in notebook.cells for output in cell.get("outputs", ()))
