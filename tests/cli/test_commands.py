"""`imagegen` as a whole: help, start-up, completion, exit codes, the simulated service, and missing packages."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from langchain_imagegen.cli.commands import COMMANDS, imagegen, load
from langchain_imagegen.cli.exit_codes import ExitCode
from tests.cli.conftest import SMALL, Imagegen
from tests.cli.test_serve import command, environment
from tests.cli.test_serve import run as run_process

NAMES = "draw edit list show find gallery experiment models cost forget serve simulate"


def test_every_command_says_what_it_does(run: Imagegen):
    """`imagegen --help` lists every command with the first sentence of its own help."""
    listed = " ".join(re.sub(r"[│╭╮╰╯─]", " ", run("--help").out).split())

    assert " ".join(COMMANDS) == NAMES
    assert (run().code, run().err) == (ExitCode.USAGE, "")
    for name, entry in COMMANDS.items():
        assert f"{name} {entry.summary}" in listed
        assert load(name).help.startswith(entry.summary)
        assert all(parameter.help for parameter in load(name).params), name
        assert "--debug" in run(name, "--help").out


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        (["--help"], ("langchain_core", "openai", "PIL", "httpx2", "langchain_imagegen.options")),
        (["draw", "--help"], ("langchain_core", "openai", "PIL", "httpx2", "langchain_imagegen.drawing")),
    ],
    ids=["all", "draw"],
)
def test_help_is_quick(arguments: list[str], unused: tuple[str, ...]):
    """Asking for help, and with it completion, loads neither LangChain nor the SDK nor what draws."""
    code = (
        "import sys; from typer.testing import CliRunner; from langchain_imagegen.cli.commands import imagegen; "
        f"assert CliRunner().invoke(imagegen, {arguments}).exit_code == 0; "
        f"print([name for name in sys.modules if name.startswith({unused})])"
    )

    assert subprocess.check_output([sys.executable, "-c", code], text=True, env=environment()) == "[]\n"


def test_completion(run: Imagegen, service):
    """The shell completes commands, values of options, and pictures of the session."""
    drawn = run("draw", "a fox", *SMALL, "--json").json["images"][0]

    def complete(line: str) -> list[str]:
        words = {"_IMAGEGEN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        return CliRunner().invoke(imagegen, [], prog_name="imagegen", env=words).stdout.split()

    assert complete("imagegen exp") == ["experiment"]
    assert complete("imagegen draw --quality x") == ["xhigh"]
    assert complete("imagegen edit ") == ["last", drawn["handle"]]
    assert complete("imagegen show --inline k") == ["kitty"]


def test_the_table_of_exit_codes():
    """The page for users has every exit code."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "command-line.md").read_text(encoding="utf-8")

    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == [str(int(code)) for code in ExitCode]


def test_help_names_nothing_that_is_not_installed(run: Imagegen):
    """The help of `imagegen` names no file of the repository, but says where more help is."""
    shown = run("--help").out

    assert "docs/" not in shown
    assert "imagegen COMMAND --help" in shown


def test_mistakes_on_the_command_line(run: Imagegen):
    """An unknown command or option ends with the code of a wrong call."""
    for arguments in (["darw"], ["draw", "a fox", "--colour", "red"], ["show", "--inline", "paper"], ["edit"]):
        assert run(*arguments).code == ExitCode.USAGE
    assert "draw" in run("darw").err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["darw"], "no such command 'darw'"),
        (["draw", "a fox", "--colour", "red"], "no such option: --colour"),
        (["draw"], "invalid value for PROMPT: say what to draw"),
        (["show", "--inline", "paper"], "paper"),
        (["edit"], "missing argument 'PICTURE'"),
        (["--colour"], "no such option: --colour"),
        (["list", "--count", "few"], "invalid value for '--count' / '-n'"),
    ],
)
def test_wrong_calls_are_told_as_other_errors(run: Imagegen, arguments: list[str], told: str):
    """A wrong call is one line on standard error, and with `--json` the promised object too."""
    plain, ended = run(*arguments), run(*arguments, "--json")
    error = ended.json["error"]

    assert (plain.code, plain.out) == (ExitCode.USAGE, "")
    assert ended.code == error["exit_code"] == ExitCode.USAGE
    assert error["kind"] == "OptionError"
    assert told in error["message"]
    assert plain.err == ended.err == f"imagegen: {error['message']}\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_the_simulated_service(run: Imagegen, monkeypatch: pytest.MonkeyPatch, interruptible):
    """`imagegen simulate` prints what leads to it, serves other commands, and ends with Ctrl-C."""
    process = subprocess.Popen(
        command("simulate", "--port", "0", "--json"), env=environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        lines = [process.stdout.readline() for _ in range(5)]
        told = json.loads("".join(lines))
        monkeypatch.setenv("OPENAI_BASE_URL", told["base_url"])
        monkeypatch.setenv("OPENAI_API_KEY", told["api_key"])
        assert run("draw", "a fox", *SMALL, "--json").json["simulated"]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(("module", "arguments"), [("typer", ["draw", "a fox"]), ("rich", ["models"])])
def test_a_missing_extra_is_named(module: str, arguments: list[str]):
    """Without the extra the command says what to install, on one line."""
    ended = run_process(*arguments, before=f"sys.modules[{module!r}] = None; ")

    assert ended.returncode == 1
    assert ended.stderr == f'imagegen: needs the package {module}: pip install "langchain_imagegen[cli]"\n'
