"""`make chat`: the example starts with one command and ends with Ctrl-C."""

from __future__ import annotations

import os
import signal
import urllib.request

import pytest

from tests.chat.conftest import chat


@pytest.mark.usefixtures("interruptible")
def test_starts_without_a_key_and_stops(tmp_path):
    """Without a key the chat says that it is simulated, serves its page, and ends at Ctrl-C without a trace."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with chat(tmp_path, {"OPENAI_API_KEY": None, "OPENAI_BASE_URL": None}) as (address, process):
        page = direct.open(address, timeout=20)
        about = direct.open(f"{address}chat/about", timeout=20).read()
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stdout.read()

        assert process.wait(30) == 0
        assert "<title>Picture chat</title>" in page.read().decode()
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert about == b'{"simulated":true}'
        assert rest.split("\n")[-2:] == ["Stopped.", ""]
        assert "Traceback" not in rest
