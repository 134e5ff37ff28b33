"""`make audit` never says that all is well unless every package was looked up. The outputs are those of pip-audit."""

from __future__ import annotations

import json

import pytest

from tools.audit import UNKNOWN, verdict

FINE = {"name": "idna", "version": "3.7", "vulns": []}
BAD = {"name": "jinja2", "version": "2.4", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.11.3"], "aliases": []}]}
ABSENT = {"name": "yarl", "skip_reason": "Dependency not found on PyPI and could not be audited: yarl (1.25.1)"}
OURS = {"name": "langchain-imagegen", "skip_reason": "distribution marked as editable"}


def output(*packages: dict) -> str:
    """Return what pip-audit prints about some packages."""
    return json.dumps({"dependencies": list(packages), "fixes": []})


@pytest.mark.parametrize(
    ("printed", "status", "words"),
    [
        (output(FINE, OURS), 0, "1 packages were looked up, and none"),
        (output(FINE, BAD, ABSENT), 1, "jinja2 2.4: PYSEC-1 (fixed in 2.11.3)"),
        (output(FINE, ABSENT), 2, "NOT ALL CHECKED"),
        (output(ABSENT, ABSENT, OURS), 2, UNKNOWN),
        (output(OURS), 2, UNKNOWN),
        (output(), 2, UNKNOWN),
        ("", 2, UNKNOWN),
        ("[]", 2, UNKNOWN),
    ],
)
def test_the_verdict_says_what_was_looked_up(printed: str, status: int, words: str):
    """Status 0 is for packages that were all looked up; a network that is down is told apart from a vulnerability."""
    ended, told = verdict(printed, "WARNING:x\nERROR:pip_audit._cli:connection refused\n\n")

    assert ended == status
    assert words in told
    assert ("connection refused" in told) == (printed in ("", "[]"))
