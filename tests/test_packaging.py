"""What the tools for the package read: pip's settings for uv, the version, and what the metadata claims."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import langchain_imagegen
from tools.environments import uv_settings

ROOT = Path(__file__).parents[1]

LISTED = """\
:env:.find-links='wheels'
:env:.disable-pip-version-check='1'
global.cert='ca.pem'
global.extra-index-url='https://one.example/simple\\nhttps://two.example/simple'
global.find-links='other wheels'
global.index-url='https://global.example/simple'
install.index-url='https://install.example/simple'
install.no-binary='numpy'
"""


def test_uv_installs_from_where_pip_does():
    """Uv gets pip's indexes, folders and certificate: a variable wins over a file, and `install` over `global`."""
    assert uv_settings(LISTED) == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_DEFAULT_INDEX": "https://install.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_FIND_LINKS": "wheels",
        "SSL_CERT_FILE": "ca.pem",
    }
    assert uv_settings("") == {"UV_INDEX_STRATEGY": "unsafe-best-match"}


def test_the_changelog_has_a_section_for_the_version():
    """The newest section with a version is that of `__version__`."""
    headings = re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert headings[0] == langchain_imagegen.__version__


def test_each_dependency_has_a_lower_bound_and_no_upper_one():
    """`make floor` can try every dependency, and none forbids the version that others need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = project["name"]
    lists = (project["dependencies"], *project["optional-dependencies"].values())
    required = [each for listed in lists for each in listed if not each.startswith(own)]

    assert not [each for each in required if not re.fullmatch(r"[\w.-]+>=[\d.]+", each)]
