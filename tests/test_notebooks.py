"""The notebooks: they run from top to bottom, and what is committed shows what they draw."""

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
    """The script behind `make notebooks`."""
    spec = importlib.util.spec_from_file_location("run", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outputs(notebook):
    """The data of each output of each cell."""
    return [[output.get("data", {}) for output in cell.outputs] for cell in notebook.cells if cell.cell_type == "code"]


def pictures(notebook):
    """Every picture that a notebook shows, as bytes, with the type that it claims."""
    return [
        (mime_type, base64.b64decode(data))
        for cell in outputs(notebook)
        for bundle in cell
        for mime_type, data in bundle.items()
        if mime_type.startswith("image/")
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, runner, simulator):
    """No cell fails, and each shows what the committed one shows: a picture where a picture was, text where text."""
    fresh = runner.run(path, runner.simulated(simulator))

    assert simulator.pictures > 0
    assert [[sorted(bundle) for bundle in cell] for cell in outputs(fresh)] == [
        [sorted(bundle) for bundle in cell] for cell in outputs(nbformat.read(path, as_version=4))
    ]
    assert pictures(fresh)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs_are_pictures(path):
    """Each picture in a committed notebook is whole, of the type it claims, and nothing was left unrun."""
    notebook = nbformat.read(path, as_version=4)
    shown = pictures(notebook)

    assert len(shown) >= 5
    assert all(sniff(data).mime_type == mime_type for mime_type, data in shown)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert not any(output.output_type == "error" for cell in notebook.cells for output in cell.get("outputs", ()))
