"""A folder that any user of this machine can reach, since one of the faults gives up the rights of root."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def reachable_folder() -> Iterator[Path]:
    """Return an empty folder below the system's folder for temporary files."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
