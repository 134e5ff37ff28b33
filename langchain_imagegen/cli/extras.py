"""What to install where the command line lacks a package."""

from __future__ import annotations

INSTALL = 'pip install "langchain_imagegen[cli]"'


def advice_on(error: ImportError) -> str | None:
    """Return what to install; None if the error is about something else than a missing package of others."""
    package = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or package in ("", __name__.partition(".")[0]):
        return None
    return f"needs the package {package}: {INSTALL}"
