"""The page about the command line: its transcripts are what the commands print, and its reference what they take."""

from __future__ import annotations

import pytest

from tests import command_line_page as module


def test_the_page_is_what_the_commands_print(monkeypatch: pytest.MonkeyPatch):
    """Every command of the page prints what the page shows; `python -m tests.command_line_page` writes it anew."""
    monkeypatch.setenv("LANGCHAIN_IMAGEGEN_SIMULATE", "0")  # so that what the page exports is taken back
    text = module.PAGE.read_text(encoding="utf-8")

    assert module.normalized(module.page(text)) == module.normalized(text)
