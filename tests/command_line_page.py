"""The page `docs/how-to/command-line.md`: `python -m tests.command_line_page` runs its commands and writes it anew.

Its text is written by hand. What stands below each command is what the command prints, and the reference at the end is
read off the commands.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from langchain_imagegen.cli.commands import COMMANDS, imagegen, load

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "command-line.md"
_BLOCK = re.compile(r"^```(console|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SERVERS = {"serve": 4, "simulate": 4}  # lines that they print before they wait
_COLUMNS = "100"


class Shell:
    """Runs the commands of the page one after the other, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._code = folder, 0
        os.environ |= {
            "LANGCHAIN_IMAGEGEN_STORE": str(folder / "images"),
            "LANGCHAIN_IMAGEGEN_STATE": str(folder / "state"),
            "COLUMNS": _COLUMNS,
        }

    def run(self, line: str) -> str:
        """Return what a command prints."""
        head, _, rest = line.partition(" ")
        if head == "export":
            os.environ |= [rest.split("=", 1)]
            return ""
        if line == "echo $?":
            return f"{self._code}\n"
        first, *others = [shlex.split(part) for part in line.split(" | ")]
        given = None
        if first[0] == "echo":
            given, first = f"{' '.join(first[1:])}\n", others.pop(0)
        assert first[0] == "imagegen", line
        told = self._server(first[1]) if first[1] in _SERVERS else self._command(first[1:], given)
        for _, _, count in others:  # head -n 8
            told = "".join(told.splitlines(keepends=True)[: int(count)])
        return told.replace(str(self._folder), "~")

    def _command(self, arguments: list[str], given: str | None) -> str:
        result = CliRunner().invoke(imagegen, arguments, input=given, prog_name="imagegen")
        self._code = result.exit_code
        return result.output if "--json" not in arguments else result.stdout

    def _server(self, name: str) -> str:
        code = "import sys; sys.argv[0] = 'imagegen'; from langchain_imagegen.cli.main import main; main()"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        arguments = [sys.executable, "-c", code, name, "--port", "0"]
        with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) as process:
            lines = [process.stdout.readline() for _ in range(_SERVERS[name])]
            process.kill()
        port = "8080" if name == "simulate" else "8765"
        return re.sub(r"(127\.0\.0\.1):\d+", rf"\1:{port}", "".join(lines))


def page(text: str) -> str:
    """Return the page with what its commands print now."""
    body, heading, _ = text.partition("\n## Reference\n")
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        shell = Shell(Path(folder))
        body = _BLOCK.sub(lambda block: _told(block, shell), body)
    return f"{body}{heading}\n{reference()}"


def _told(block: re.Match[str], shell: Shell) -> str:
    if block[1] == "toml":
        name = re.match(r"# (\S+)\n", block[2])
        assert name
        Path(name[1]).write_text(block[2])
        return block[0]
    lines = [line for line in block[2].splitlines() if line.startswith("$ ")]
    told = [f"{line}\n{_trimmed(shell.run(line[2:]))}" for line in lines]
    return f"```console\n{''.join(told)}```"


def _trimmed(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def normalized(text: str) -> str:
    """Return the page without what differs between two runs: handles, ids, digests, times and seconds."""
    handles: dict[str, str] = {}
    text = re.sub(r"img_[0-9a-f]{8}", lambda found: handles.setdefault(found[0], f"img_{len(handles)}"), text)
    text = re.sub(r"\b(resp|ig)_\w+", r"\1_", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "digest", text)
    text = re.sub(r"20\d\d-\d\d-\d\d( \d\d:\d\d)?", "day", text)
    text = re.sub(r"\b\d+\.\d\b", "seconds", text)
    text = re.sub(r"genai-prices [\d.]+|OpenAI's price list", "prices", text)
    text = re.sub(r'("size_bytes": )\d+', r"\1bytes", text)
    return re.sub(r" {2,}", " ", text)


# --- the reference

PANELS = {
    "Options of the picture": "of the picture",
    "Who draws": "of who draws",
    "Where pictures are kept": "of where pictures are kept",
}


def reference() -> str:
    """Return the reference of all commands; options that several of them have stand once, at the end."""
    shared: dict[str, str] = {}
    sections = []
    for name in COMMANDS:
        command = load(name)
        own = [each for each in command.params if _panel(each) is None]
        panels = list(dict.fromkeys(panel for each in command.params if (panel := _panel(each))))
        for panel in panels:
            rows = _table([each for each in command.params if _panel(each) == panel])
            assert shared.setdefault(panel, rows) == rows
        links = [f"[{PANELS[panel]}](#{panel.lower().replace(' ', '-')})" for panel in panels]
        beside = f"\nIt also has the options {', '.join(links)}.\n" if links else ""
        sections.append(f"### imagegen {name}\n\n{_usage(name, command)}\n\n{command.help}\n\n{_table(own)}{beside}")
    sections += [f"### {panel}\n\n{shared[panel]}" for panel in PANELS]
    return "\n".join(sections)


def _panel(parameter: Any) -> str | None:
    return getattr(parameter, "rich_help_panel", None)


def _is_argument(parameter: Any) -> bool:
    return parameter.param_type_name == "argument"


def _usage(name: str, command: Any) -> str:
    arguments = [each for each in command.params if _is_argument(each)]
    names = [f"{each.metavar}{'...' if each.nargs == -1 else ''}" for each in arguments]
    words = [told if each.required else f"[{told}]" for told, each in zip(names, arguments, strict=True)]
    return f"```text\nimagegen {' '.join([name, '[OPTIONS]', *words])}\n```"


def _table(parameters: list[Any]) -> str:
    rows = [f"| {_names(each)} | {_help(each)} |" for each in parameters]
    return "\n".join(["| option | meaning |", "|---|---|", *rows, ""])


def _names(parameter: Any) -> str:
    if _is_argument(parameter):
        return f"`{parameter.metavar}`"
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    metavar = "" if parameter.is_flag else f" `{(parameter.metavar or parameter.name.upper())}`".replace("|", "\\|")
    return names + metavar


def _help(parameter: Any) -> str:
    text = (parameter.help or "").replace("|", "\\|")
    default = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    shown = isinstance(default, (str, int, float)) and not isinstance(default, bool) and parameter.show_default
    text += f" Default: `{default}`." if shown and default != "" else ""
    return text + (f" Environment: `{parameter.envvar}`." if parameter.envvar else "")


if __name__ == "__main__":
    os.environ.pop("OPENAI_API_KEY", None)
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
