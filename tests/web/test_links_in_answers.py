"""Signed links in the answers of an agent open their pictures until they expire, and later turns renew them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageStore
from langchain_imagegen.web import UrlSigner, images_app
from tests.conversations import SMALL
from tests.scripted import DONE, image_call, scripted_model

DAY = 24 * 60 * 60
SIGNER = UrlSigner("a secret of the server")


class Clock:
    """The clock of this process, which can be put forward."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.ahead = 0.0
        self._now = now

    def __call__(self) -> float:
        """Return the seconds since 1970."""
        return self._now() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of this process until the test ends."""
    clock = Clock(time.time)
    monkeypatch.setattr(time, "time", clock)
    return clock


def address_in(message: AIMessage, form: str) -> str:
    """Return the address of the picture that an answer shows, as a front end finds it."""
    if form == "markdown":
        found = re.search(r"!\[[^\]]*\]\((\S+)\)", message.text)
        assert found
        return found[1]
    [part] = [block for block in message.content if isinstance(block, dict) and block["type"] == form]
    return part["image_url"]["url"] if form == "image_url" else part["url"]


@pytest.mark.parametrize("form", ["markdown", "image_url", "image"])
def test_expired_links_are_renewed(
    talks: Any, generator: Any, serve: Callable[[Any], httpx.Client], clock: Clock, tmp_path: Path, form: Any
):
    """A link works for a week, and a turn past half of it replaces it; the old link opens nothing after its week."""
    store = ImageStore(tmp_path / "images", public_url="/{sha256}.{ext}", url_signer=SIGNER)
    browser = serve(images_app(store))
    tool = ImageGenerationTool(generator=generator(options=SMALL, image_store=store))
    middleware = ImageGenerationMiddleware(tool=tool, hosted=False, show=form)
    model = scripted_model(image_call("a"), DONE, *[AIMessage("Well.")] * 2)
    talk = talks.start(middleware, model=model)

    def shown_after(days: float, words: str) -> str:
        clock.ahead = days * DAY
        return address_in(talk.say(words)["messages"][3], form)

    def answers(*addresses: str) -> list[int]:
        return [browser.get(address).status_code for address in addresses]

    first, next_day, renewed = (shown_after(days, "a fox") for days in (0, 1, 4))
    assert next_day == first
    assert answers(first, renewed) == [200, 200]
    clock.ahead = 8 * DAY
    assert answers(first, renewed) == [404, 200]
    clock.ahead = 12 * DAY
    [reopened] = [address_in(answer, form) for answer in middleware.renew_links(talk.state)]
    assert answers(renewed, reopened) == [404, 200]
    assert "signature=" not in str(model.requests)
