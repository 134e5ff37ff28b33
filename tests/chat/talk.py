"""`Talk`: what a person does in the chat, and what they see."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs, urlsplit

from langchain_imagegen.simulator import Simulator

DROP = """([name, type, data]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name, { type }));
  return carried;
}"""
LOADED = "image => image.decode().then(() => image.naturalWidth)"


class Talk:
    """A conversation in a page of a browser.

    Args:
        page: Playwright's page.
        address: Where the chat is.
        service: The simulated service, which counts what was bought.
    """

    def __init__(self, page: Any, address: str, service: Simulator) -> None:
        self.page, self.address, self._service = page, address, service
        self.errors: list[str] = []
        self._bought = service.pictures
        page.on("console", lambda told: told.type in ("error", "warning") and self.errors.append(told.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("response", lambda answer: answer.status >= 400 and self.errors.append(f"{answer.status} {answer.url}"))

    @property
    def thread(self) -> str:
        """The id of the thread in the page's address."""
        return parse_qs(urlsplit(self.page.url).query)["thread"][0]

    @property
    def bought(self) -> int:
        """The number of pictures bought since the page was opened."""
        return self._service.pictures - self._bought

    @property
    def text(self) -> str:
        """The text of the conversation."""
        return str(self.page.locator("#transcript").inner_text())

    @property
    def cards(self) -> Any:
        """The drawings."""
        return self.page.locator(".picture")

    def open(self, query: str = "") -> None:
        """Open the chat."""
        self.page.goto(self.address + query)

    def say(self, text: str) -> None:
        """Write a message and send it."""
        self.page.get_by_role("textbox", name="Message").fill(text)
        self.page.keyboard.press("Enter")

    def wait(self, state: str, count: int = 1) -> Any:
        """Wait until so many drawings are in a state, and return the last of them."""
        found = self.page.locator(f".picture[data-state={state}]").nth(count - 1)
        found.wait_for()
        return found

    def draw(self, text: str, count: int = 1) -> Any:
        """Say something that is drawn unasked, and return the drawing, the one with this number, once it is done."""
        self.say(text)
        return self.drawn(count)

    def drawn(self, count: int = 1) -> Any:
        """Wait until so many drawings are done and the artist has answered, and return the last of them."""
        card = self.wait("drawn", count)
        self.rest()
        return card

    def rest(self) -> None:
        """Wait until no run is under way."""
        self.button("Send").wait_for()

    def button(self, name: str, **settings: Any) -> Any:
        """Return a button."""
        return self.page.get_by_role("button", name=name, exact=True, **settings)

    def width(self, image: Any) -> int:
        """Return the width of a picture that the browser has loaded, in pixels."""
        return int(image.evaluate(LOADED))

    def drop(self, name: str, data: bytes, mime_type: str = "image/png") -> None:
        """Drop a file onto the page."""
        carried = self.page.evaluate_handle(DROP, [name, mime_type, base64.b64encode(data).decode()])
        for event in ("dragover", "drop"):
            self.page.dispatch_event("body", event, {"dataTransfer": carried})
