"""The entry point of `imagegen`: it runs a command. Nothing optional is imported here before a missing extra is named.

How a command ends is explained in `exit_codes`.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from langchain_imagegen.cli.extras import advice_on

_INTERRUPTED = 130


def main() -> None:
    """Run the command that the arguments of this process name."""
    try:
        from langchain_imagegen.cli.commands import imagegen

        imagegen()
    except ImportError as error:
        if (advice := advice_on(error)) is None:
            raise
        sys.stderr.write(f"imagegen: {advice}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        _leave()
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:
            _leave()
        raise


def _leave() -> None:
    """End the process at once: an interpreter that ends by itself waits for the requests of a batch."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(_INTERRUPTED)
