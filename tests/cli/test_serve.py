"""`imagegen serve` in a process of its own: what it prints, whom it serves, and its exit codes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_imagegen import ImageStore
from langchain_imagegen.simulator.drawing import draw as paint
from langchain_imagegen.web import UrlSigner

ROOT = Path(__file__).parents[2]
PNG = paint("a fox", size=(64, 48))
RUN = "from langchain_imagegen.cli.main import main; main()"
SECRET = "a secret of the server"


def command(*arguments: str, before: str = "") -> list[str]:
    """Return the command line that runs `imagegen` with the arguments."""
    return [sys.executable, "-c", f"import sys; sys.argv[0] = 'imagegen'; {before}{RUN}", *arguments]


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of the command, without a secret unless one is set."""
    kept = {name: value for name, value in os.environ.items() if name != "LANGCHAIN_IMAGEGEN_URL_SECRET"}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COLUMNS": "200", "NO_COLOR": "1", **settings}


def run(*arguments: str, before: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments, before=before),
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def serving(*arguments: str, **settings: str) -> Iterator[tuple[httpx.Client, list[str], subprocess.Popen[str]]]:
    """Run `imagegen serve` on a free port; give a client for it, the lines that it printed, and the process."""
    process = subprocess.Popen(
        command("serve", "--port", "0", *arguments),
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        address = re.search(r"http://[^/]+", lines[0])
        assert address, lines + process.stdout.readlines()
        with httpx.Client(base_url=address[0], trust_env=False, timeout=20) as client:
            yield client, lines, process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


Start = Callable[..., tuple[httpx.Client, list[str], Any]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts `imagegen serve`."""
    with ExitStack() as opened:
        yield lambda *arguments, **settings: opened.enter_context(serving(*arguments, **settings))


def test_it_serves_a_store(start: Start, image_store: ImageStore):
    """Pictures of the store are served on this machine, and the printed line makes addresses for them."""
    client, lines, _ = start(image_store.location)
    line = lines[2].partition(": ")[2]
    blob = image_store.put(PNG)

    assert eval(line, {"ImageStore": ImageStore}).url(blob.sha256, "image/png").startswith(str(client.base_url))
    assert client.get(f"/{blob.sha256}.png").content == PNG
    assert image_store.location in lines[0]
    assert "everybody" in lines[1]


def test_without_a_name_it_serves_the_default_store(start: Start):
    """Without an argument, the store is the one that is used where none is named."""
    blob = ImageStore().put(PNG)
    client, _, _ = start()

    assert client.get(f"/{blob.sha256}.png").content == PNG


def test_with_a_secret_it_answers_signed_links_alone(start: Start, image_store: ImageStore):
    """With a secret in the environment only signed links are answered, and the secret is not printed."""
    client, lines, _ = start(image_store.location, LANGCHAIN_IMAGEGEN_URL_SECRET=SECRET)
    path = f"/{image_store.put(PNG).sha256}.png"

    assert client.get(path).status_code == 404
    assert client.get(f"{path}?{UrlSigner(SECRET).sign(path[1:65])}").content == PNG
    assert "UrlSigner()" in lines[2]
    assert SECRET not in "".join(lines)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_stops_it(start: Start, tmp_path: Path):
    """Ctrl-C ends the server without a traceback; a folder that does not exist yet is mentioned."""
    _, lines, process = start(str(tmp_path / "new"))
    process.send_signal(signal.SIGINT)

    assert process.wait(30) in (0, -signal.SIGINT, 130)
    assert "Traceback" not in process.stdout.read()
    assert "does not exist yet" in lines[0]


def test_it_is_not_open_to_others_by_accident(image_store: ImageStore):
    """On an address that others can reach it needs a secret or `--public`, and says so."""
    ended = run("serve", image_store.location, "--host", "0.0.0.0")

    assert ended.returncode == 2
    assert "LANGCHAIN_IMAGEGEN_URL_SECRET" in ended.stderr
    assert "--public" in ended.stderr


def test_a_port_in_use(image_store: ImageStore):
    """A port that is taken is named in the error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("serve", image_store.location, "--port", port)

    assert ended.returncode == 2
    assert port in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_unknown_store():
    """A store that cannot be opened ends with one line and the exit code of the store."""
    ended = run("serve", "nosuch://place", "--port", "0")

    assert ended.returncode == 6
    assert re.fullmatch(r"imagegen: the image store nosuch://place cannot be opened: .*\n", ended.stderr)


@pytest.mark.parametrize("module", ["typer", "uvicorn", "starlette"])
def test_a_missing_extra_is_named(module: str):
    """Without the extra the command says what to install."""
    ended = run("serve", "--port", "0", before=f"sys.modules[{module!r}] = None; ")

    assert ended.returncode == 1
    assert re.search(r'pip install "langchain_imagegen\[(cli|web)\]"', ended.stderr)
    assert ended.stderr.count("\n") == 1


def test_help():
    """`imagegen` alone and `--help` list the commands."""
    assert "serve" in run("--help").stdout
    assert "--allow-origin" in run("serve", "--help").stdout
    assert run("--version").stdout == "0.1.0\n"
    assert run("nosuch").returncode == 2
