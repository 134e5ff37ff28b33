"""`make floor` and `make ceiling`: run the tests with the oldest and the newest dependencies that are allowed.

The floor is the lower bound of each dependency in `pyproject.toml`, of all extras; what those depend on, and what the
tests need, is the newest that goes with it. The ceiling is the newest of everything, for direct dependencies also
pre-releases.

`python tools/versions.py floor|ceiling [arguments for pytest]`
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from environments import ROOT, Environment, clean_environment, output_of

NEWER = {"langchain-google-genai": (), "openai-agents": ("tests/http/test_clients.py",)}
"""Packages of the tests that need newer versions than our floor, and the tests that cannot run without them."""

SLOW = ("tests/chat", "tests/faults", "tests/fuzz", "tests/test_soak.py", "tests/test_benchmarks.py")
"""Tests that look at other things than versions."""

WORDED_BY_NEWEST = ("tests/cli/test_page.py",)
"""Tests of pages that repeat what the newest versions print."""


def project() -> dict[str, Any]:
    """Return `pyproject.toml`."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def name_of(requirement: str) -> str:
    """Return the normalized name of a required package."""
    return re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def packages_of_tests(group: str = "test") -> list[str]:
    """Return what a dependency group of the project requires, with the groups that it includes."""
    found: list[str] = []
    for each in project()["dependency-groups"][group]:
        found += [each] if isinstance(each, str) else packages_of_tests(each["include-group"])
    return found


def direct_dependencies() -> set[str]:
    """Return the names of what the package and its extras require."""
    settings = project()["project"]
    lists = (settings["dependencies"], *settings["optional-dependencies"].values())
    return {name_of(each) for required in lists for each in required} - {name_of(settings["name"])}


def oldest(variables: dict[str, str]) -> list[str]:
    """Return the direct dependencies, each pinned to the oldest version that is allowed."""
    options = [option for extra in project()["project"]["optional-dependencies"] for option in ("--extra", extra)]
    resolved = output_of(
        *("uv", "pip", "compile", "--quiet", "--no-annotate", "--no-header", "--resolution", "lowest-direct"),
        *("pyproject.toml", *options),
        variables=variables,
        cwd=ROOT,
    )
    return [line for line in resolved.splitlines() if name_of(line) in direct_dependencies()]


def wanted(limit: str, variables: dict[str, str]) -> list[str]:
    """Return what is installed beside the package."""
    if limit == "floor":
        return [*oldest(variables), *(each for each in packages_of_tests() if name_of(each) not in NEWER)]
    newest = [f"{name}>=0.dev0" for name in sorted(direct_dependencies())]  # such a bound admits pre-releases
    return [*newest, f"{ROOT}[all]", *packages_of_tests()]


def main(limit: str, *arguments: str) -> int:
    """Make the environment, say what is in it, and return the exit status of the tests."""
    variables = clean_environment()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        environment = Environment(Path(folder) / limit, "uv", variables)
        environment.install("pip", *wanted(limit, variables))
        environment.install("--no-deps", "--editable", str(ROOT))
        sys.stdout.write(
            output_of("uv", "pip", "list", "--python", str(environment.python), variables=variables, cwd=ROOT)
        )
        sys.stdout.flush()
        ignored = [*SLOW]
        if limit == "floor":
            ignored += [*WORDED_BY_NEWEST, *(test for tests in NEWER.values() for test in tests)]
        left_out = [option for path in ignored for option in ("--ignore", path)]
        # Old packages warn about each other, which is no failure of ours.
        command = (environment.python, "-m", "pytest", "-q", "-o", "filterwarnings=default", *left_out, *arguments)
        path = f"{environment.python.parent}{os.pathsep}{variables['PATH']}"
        return subprocess.run(command, cwd=ROOT, env={**variables, "PATH": path}, check=False).returncode


if __name__ == "__main__":
    if sys.argv[1:2] not in (["floor"], ["ceiling"]):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
