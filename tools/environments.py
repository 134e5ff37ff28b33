"""Fresh virtual environments outside the checkout, filled by pip or by uv.

uv does not read pip's configuration, so what pip is set to use is handed to uv as environment variables.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]

UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "constraint": "UV_CONSTRAINT",
    "trusted-host": "UV_INSECURE_HOST",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
"""Settings of pip, and the variables that tell uv the same."""

_LEVELS = ("global", "install", ":env:")  # the last one wins


def uv_settings(listed: str) -> dict[str, str]:
    """Return the variables for uv that say what `pip config list` printed."""
    found: dict[str, dict[str, str]] = {level: {} for level in _LEVELS}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        level, _, option = name.rpartition(".")
        if level in found and option in UV_NAMES:
            found[level][option] = " ".join(str(ast.literal_eval(value)).split())
    chosen = {option: value for level in _LEVELS for option, value in found[level].items()}
    variables = {UV_NAMES[option]: value for option, value in chosen.items()}
    if "UV_FIND_LINKS" in variables:
        variables["UV_FIND_LINKS"] = variables["UV_FIND_LINKS"].replace(" ", ",")
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", **variables}  # pip takes the best version of all indexes


def clean_environment() -> dict[str, str]:
    """Return the variables for commands in fresh environments: nothing of this checkout is importable, uv is set up."""
    listed = subprocess.run(
        (sys.executable, "-m", "pip", "config", "list"), capture_output=True, text=True, check=True
    ).stdout
    hidden = (
        "PYTHONPATH",
        "PYTHONHOME",
        "VIRTUAL_ENV",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "LANGCHAIN_IMAGEGEN_STORE",
    )
    here = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**uv_settings(listed), **here, "PYTHONNOUSERSITE": "1"}


class Environment:
    """A virtual environment in a new folder.

    Args:
        folder: Where it is made.
        installer: `"pip"` or `"uv"`.
        variables: The environment variables of everything that runs in it.
        python: The Python that it is made from.
    """

    def __init__(
        self, folder: Path, installer: str, variables: Mapping[str, str], python: str = sys.executable
    ) -> None:
        self.folder, self.installer, self.variables = folder, installer, variables
        self.python = folder / "bin" / "python"
        make = ("uv", "venv", "--quiet", "--python", python, str(folder)) if installer == "uv" else ()
        self._command(*(make or (python, "-m", "venv", str(folder))))

    def install(self, *wanted: str) -> None:
        """Install packages, or raise `RuntimeError` with what the installer said."""
        if self.installer == "uv":
            self._command("uv", "pip", "install", "--quiet", "--python", str(self.python), *wanted)
        else:
            self.run("-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", *wanted)

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run this environment's Python outside the checkout, and return what it printed; raise `RuntimeError`."""
        return self._command(str(self.python), *arguments, cwd=cwd)

    def _command(self, *command: str, cwd: Path | None = None) -> str:
        return output_of(*command, variables=self.variables, cwd=cwd or self.folder.parent)


def output_of(*command: str, variables: Mapping[str, str], cwd: Path) -> str:
    """Return what a command printed.

    Raises:
        RuntimeError: It failed; the error ends with the last lines that it printed.
    """
    own = Path(sys.executable).parent / command[0]
    program = str(own) if own.is_file() else command[0]
    done = subprocess.run(
        (program, *command[1:]), cwd=cwd, env=dict(variables), capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}:\n{last}")
    return done.stdout
