"""Fixtures that many test files share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from langchain_imagegen.simulator import Simulator


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A started simulator, one for each test."""
    with Simulator() as started:
        yield started
