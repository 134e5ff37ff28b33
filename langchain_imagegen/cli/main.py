"""The entry point of `imagegen`: it runs a command and turns errors into one line and an exit code.

Nothing optional is imported before it is needed, so that a missing extra is named. Exit codes: 0, 1 if the command
failed, 2 if it was called wrongly, 130 after Ctrl-C.
"""

from __future__ import annotations

import sys

from langchain_imagegen.errors import ImageGenerationError

INSTALL = 'pip install "langchain_imagegen[cli]"'


def main() -> None:
    """Run the command that the arguments of this process name."""
    try:
        from langchain_imagegen.cli.commands import imagegen

        imagegen()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == __name__.partition(".")[0]:
            raise
        _fail(f"needs the package {error.name}: {INSTALL}")
    except (ImageGenerationError, ImportError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(reason: str) -> None:
    sys.stderr.write(f"imagegen: {reason}\n")
    sys.exit(1)
