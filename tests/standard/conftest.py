"""LangChain's standard tests run only where `langchain-tests` is installed; it needs an older vcrpy than our tests."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from langchain_imagegen.simulator import Simulator

collect_ignore_glob = [] if find_spec("langchain_tests") else ["test_*.py"]


@pytest.fixture(scope="class")
def service(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """Yield a simulator for each class of tests, and set it as the class's `service`."""
    with Simulator() as started:
        request.cls.service = started
        yield started
