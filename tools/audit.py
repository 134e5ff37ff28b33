"""`make audit`: look up known vulnerabilities of the installed dependencies, or say that this was not possible.

pip-audit ends with status 1 for a vulnerability and for a network that is down, and with 0 if it could look up nothing.
Here 0 means that every package was looked up and none is vulnerable, 1 that one is, and 2 that some were not looked up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

COMMAND = (sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--skip-editable")
UNKNOWN = "NOT CHECKED: the vulnerability service could not be asked, so nothing is known about the dependencies."


def verdict(output: str, errors: str) -> tuple[int, str]:
    """Return the exit status and the words for what pip-audit printed as JSON and as errors."""
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        lines = [line for line in errors.splitlines() if line.strip()]
        return 2, "\n".join([UNKNOWN, *lines[-1:]])
    looked_up = [each for each in packages if "vulns" in each]
    found = [f"{each['name']} {each['version']}: {_list(each['vulns'])}" for each in looked_up if each["vulns"]]
    reasons = [str(each["skip_reason"]) for each in packages if "skip_reason" in each]
    missing = [f"not looked up: {reason}" for reason in reasons if "editable" not in reason]
    if found:
        return 1, "\n".join(["VULNERABLE:", *found, *missing])
    if not looked_up:
        return 2, "\n".join([UNKNOWN, *missing[:1]])
    if missing:
        return 2, "\n".join(["NOT ALL CHECKED; the others have no known vulnerability:", *missing])
    return 0, f"{len(looked_up)} packages were looked up, and none has a known vulnerability."


def _list(vulnerabilities: Sequence[dict[str, Any]]) -> str:
    fixed = ((each["id"], ", ".join(each.get("fix_versions", ())) or "no version yet") for each in vulnerabilities)
    return "; ".join(f"{name} (fixed in {versions})" for name, versions in fixed)


def main() -> None:
    """Run pip-audit on this environment, and exit with the verdict."""
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    status, words = verdict(done.stdout, done.stderr)
    sys.stdout.write(f"{words}\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
