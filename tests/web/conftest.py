"""Fixtures of the tests on addresses: apps behind real sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.asgi import serving


@pytest.fixture
def serve() -> Iterator[Callable[[Any], httpx.Client]]:
    """Return a function that serves an app on loopback, and returns a client for its address."""
    with ExitStack() as opened:

        def start(app: Any) -> httpx.Client:
            address = opened.enter_context(serving(app))
            return opened.enter_context(httpx.Client(base_url=address, trust_env=False, timeout=20))

        yield start
