"""What `imagegen` returns to the shell: a number for each kind of end, so that scripts can tell them apart."""

from __future__ import annotations

from enum import IntEnum

from langchain_imagegen.errors import (
    AuthenticationError,
    ConnectionLostError,
    ImageFetchError,
    ImageStoreError,
    ImageTimeoutError,
    LimitError,
    ModerationError,
    OptionError,
    OrganizationNotVerifiedError,
    QuotaError,
    ServiceError,
    UnknownImageError,
)


class ExitCode(IntEnum):
    """How a command ended. `docs/how-to/command-line.md` has the same table for users."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    ACCOUNT = 4
    SERVICE = 5
    STORAGE = 6
    NO_PICTURE = 7
    LIMIT = 8
    INTERRUPTED = 130


_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (KeyboardInterrupt, ExitCode.INTERRUPTED),
    (ModerationError, ExitCode.REFUSED),
    (AuthenticationError, ExitCode.ACCOUNT),
    (QuotaError, ExitCode.ACCOUNT),
    (OrganizationNotVerifiedError, ExitCode.ACCOUNT),
    (LimitError, ExitCode.LIMIT),
    (OptionError, ExitCode.USAGE),
    (UnknownImageError, ExitCode.NO_PICTURE),
    (ImageStoreError, ExitCode.STORAGE),
    (ServiceError, ExitCode.SERVICE),
    (ConnectionLostError, ExitCode.SERVICE),
    (ImageTimeoutError, ExitCode.SERVICE),
    (ImageFetchError, ExitCode.SERVICE),
    (OSError, ExitCode.STORAGE),
)
"""The code of each class of errors; the first class that fits counts."""


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the exit code of a command that ended with an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)
