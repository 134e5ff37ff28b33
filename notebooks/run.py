"""Runs the notebooks of this folder and writes their outputs into them: `make notebooks`.

OpenAI draws if OPENAI_API_KEY is set, otherwise a simulator on this machine.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from langchain_imagegen.simulator import Simulator

HERE = Path(__file__).parent


def run(path: Path, service: Mapping[str, str]) -> nbformat.NotebookNode:
    """Run a notebook in an empty folder with an empty image store, and return it with fresh outputs.

    Args:
        path: The notebook file, which is not changed.
        service: Environment variables that select the service.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": folder}}, timeout=120)
        client.record_timing = False
        client.extra_arguments = ["--log-level=ERROR"]  # it warns that loopback is not encrypted
        client.execute(env={**os.environ, **service, "LANGCHAIN_IMAGEGEN_STORE": str(Path(folder, "store"))})
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    return notebook


def simulated(simulator: Simulator) -> dict[str, str]:
    """Return the environment variables that select a simulator."""
    return {"OPENAI_BASE_URL": simulator.base_url, "OPENAI_API_KEY": "sk-simulated"}


if __name__ == "__main__":
    with nullcontext() if "OPENAI_API_KEY" in os.environ else Simulator() as simulator:
        for path in sorted(HERE.glob("*.ipynb")):
            nbformat.write(run(path, simulated(simulator) if simulator else {}), path)
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
