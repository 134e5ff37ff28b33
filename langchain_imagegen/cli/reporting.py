"""How a command ends that failed or was interrupted: one line on standard error, an exit code, no traceback."""

from __future__ import annotations

import logging
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from langchain_imagegen.cli.exit_codes import ExitCode, exit_code_of
from langchain_imagegen.cli.extras import advice_on
from langchain_imagegen.cli.output import print_json, printable
from langchain_imagegen.errors import ImageGenerationError, ModerationError, NoImageError, OptionError

_ASSIGNMENT = re.compile(r"(?<![\w-])([a-z]+(?:_[a-z]+)*)=(?=['\"\d]|$)")
_WrongCall: Any = typer.BadParameter.__base__  # UsageError, of click or of the copy of it in typer
_OTHERS = {"api", "delivery", "timeout", "once", "mask", "inline", "max_cost", "day"}
"""Options whose Python names stand in errors, besides those of `ImageOptions`."""
_WORDS = {
    "image_store=ImageStore(…)": "--store",
    "image_store=": "--store",
    "regenerate=True": "another --once",
    "base_url": "OPENAI_BASE_URL",
    "box(…) or polygon(…)": "--box",
}
"""What else Python calls otherwise than the command line."""
_WORD = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, _WORDS))})(?!\w)")


class InterruptedDrawing(KeyboardInterrupt):
    """Ctrl-C, with a sentence about what was under way."""


@contextmanager
def reported(*, json: bool, debug: bool) -> Iterator[None]:
    """Turn errors within it into one line and an exit code.

    Args:
        json: Print an error as a JSON object on standard output too.
        debug: Print the traceback, and what the package logs.

    Raises:
        Exit: Something failed, or Ctrl-C was pressed.
    """
    try:
        with _warnings_as_lines(), _logs_shown(wanted=debug):
            yield
    except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
        raise  # typer knows how to end, and `wrong_calls_reported` what is wrong with a call
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - nobody wants a traceback in a shell
        if debug:
            traceback.print_exc()
        code, message = exit_code_of(error), message_of(error)
        _tell(code, type(error).__name__, message, json=json)
        raise typer.Exit(int(code)) from None


@contextmanager
def wrong_calls_reported(*, json: bool, path: str = "imagegen") -> Iterator[None]:
    """Turn what is wrong with the arguments, such as an option that no command has, into one line and an exit code.

    Args:
        json: Print it as a JSON object on standard output too.
        path: The command whose help is named, unless the error knows a better one.

    Raises:
        Exit: Something is wrong.
    """
    try:
        yield
    except _WrongCall as error:
        text = " ".join(printable(error.format_message()).split()).rstrip(".")
        if not text:
            raise  # there was no argument, and typer has shown the help
        where = error.ctx.command_path if error.ctx else path
        message = f"{text[:1].lower()}{text[1:]}{' ' if text.endswith('?') else '; '}{where} --help lists what it takes"
        _tell(ExitCode.USAGE, OptionError.__name__, message, json=json)
        raise typer.Exit(int(ExitCode.USAGE)) from None


def _tell(code: ExitCode, kind: str, message: str, *, json: bool) -> None:
    """Write an error as a line, and as a JSON object too if that is wanted."""
    sys.stderr.write(f"imagegen: {message}\n")
    if json:
        print_json({"error": {"kind": kind, "message": message, "exit_code": int(code)}})


def message_of(error: BaseException) -> str:
    """Return what is wrong and what to do, on one line, with options named as the command line names them."""
    text = " ".join(printable(str(error)).split())
    if isinstance(error, InterruptedDrawing):
        return text
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; nothing was under way"
    if isinstance(error, ImportError) and (advice := advice_on(error)):
        return advice
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}"
    if not isinstance(error, (ImageGenerationError, ImportError, OSError)):
        return f"unexpected {type(error).__name__}: {text}; --debug shows where it comes from"
    text = with_option_names(text)
    if isinstance(error, ModerationError):
        categories = f" ({', '.join(error.categories)})" if error.categories else ""
        where = {"input": "the prompt or a source picture", "output": "the finished picture"}.get(error.stage)
        text += f"; what was refused: {where or 'not told'}{printable(categories)}"
        text += ", which may be billed" if error.may_be_billed else ""
    elif getattr(error, "may_be_billed", False) and not isinstance(error, NoImageError):
        text += "; a picture may have been drawn and billed: the same command again looks for it first"
    return text


def with_option_names(text: str) -> str:
    """Return the text of an error or warning with options as the command line writes them: `--size '1920x1080'`."""
    from langchain_imagegen.options.options import ImageOptions

    known = {*ImageOptions.model_fields, *_OTHERS}
    found = _ASSIGNMENT.sub(lambda part: f"--{part[1].replace('_', '-')} " if part[1] in known else part[0], text)
    found = _WORD.sub(lambda word: _WORDS[word[0]], found)
    return found.rstrip()


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Write warnings for users as lines without a place in the code, and no others."""

    def write(message: Warning | str, *_: object, **__: object) -> None:
        sys.stderr.write(f"warning: {with_option_names(printable(str(message)))}\n")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = write
        yield


@contextmanager
def _logs_shown(*, wanted: bool) -> Iterator[None]:
    """Keep the log of the package silent unless it is wanted; what matters to a person, commands say."""
    logger = logging.getLogger("langchain_imagegen")
    before, handler = (logger.propagate, logger.level), logging.StreamHandler() if wanted else logging.NullHandler()
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO if wanted else before[1])
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before[0]
        logger.setLevel(before[1])
