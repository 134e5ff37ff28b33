"""Starts the chat and prints its address: `python examples/chat/run.py`. Ctrl-C ends it.

OpenAI draws if OPENAI_API_KEY is set, otherwise a simulator on this machine, which is the chat model too.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from langchain_imagegen.simulator import Simulator

HERE = Path(__file__).resolve().parent
FOLDER = Path("demo/chat").resolve()
PATIENCE = 120.0
"""Seconds until the server has to answer."""


def main() -> int:
    """Serve the chat until Ctrl-C, or until the server ends by itself; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port of the chat, 0 for a free one (default: 0)")
    parser.add_argument("--latency", type=float, default=4.0, help="seconds that a simulated drawing takes")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    port = options.port or free_port()
    with service(options.latency) as environment, serving(port, environment) as (address, server):
        print(f"\nThe chat is at {address}\nTo stop it, press Ctrl-C.", flush=True)
        with suppress(KeyboardInterrupt):
            return server.wait()
    print("\nStopped.")
    return 0


@contextmanager
def service(latency: float) -> Iterator[Mapping[str, str]]:
    """Yield the environment in which the server finds OpenAI, or else a simulator that runs here."""
    if os.environ.get("OPENAI_API_KEY"):
        print("Pictures are drawn by OpenAI's service.")
        yield {}
        return
    print("Pictures and answers are simulated (no OPENAI_API_KEY): no model is called.")
    with Simulator(latency=latency) as simulator:
        yield {"OPENAI_BASE_URL": simulator.base_url, "OPENAI_API_KEY": "sk-simulated", "CHAT_SIMULATED": "yes"}


@contextmanager
def serving(port: int, environment: Mapping[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start LangGraph's server, and yield the address of the page and the process once it answers.

    Pictures are kept in `demo/chat`, with the log of the server, which keeps threads beside this file.

    Raises:
        SystemExit: The server ended or is too slow; the message ends with its log.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", "--n-jobs-per-worker", "10"]
    own = {
        "LANGCHAIN_IMAGEGEN_STORE": str(FOLDER / "pictures"),
        "LANGSMITH_TRACING": "false",
        "LANGGRAPH_NO_VERSION_CHECK": "true",
        "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    log = FOLDER / "server.log"
    with log.open("wb") as written:
        server = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=HERE,
            env={**own, **os.environ, **environment},
            stdout=written,
            stderr=written,
        )
        try:
            address = f"http://127.0.0.1:{port}/"
            wait_for(f"{address}ok", server, log)
            yield address, server
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers.

    Raises:
        SystemExit: It ended or is too slow; the message ends with its log.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < end:
        try:
            direct.open(address, timeout=1).close()
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"The server did not start.\n{log.read_text(encoding='utf-8', errors='replace')[-4000:]}")


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
