"""Runs the notebooks of this folder and writes their outputs into them: `make notebooks`.

OpenAI draws if OPENAI_API_KEY is set; otherwise each notebook starts a simulator on this machine.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def run(path: Path) -> nbformat.NotebookNode:
    """Run a notebook in an empty folder with an empty image store, and return it with fresh outputs.

    Args:
        path: The notebook file, which is not changed.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": folder}}, timeout=120)
        client.record_timing = False
        client.coalesce_streams = True  # a progress bar is one output, however often it was drawn
        client.extra_arguments = ["--log-level=ERROR"]  # it warns that loopback is not encrypted
        client.execute(env={**os.environ, "LANGCHAIN_IMAGEGEN_STORE": str(Path(folder, "store"))})
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    return notebook


if __name__ == "__main__":
    for path in sorted(HERE.glob("*.ipynb")):
        nbformat.write(run(path), path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
