"""The chat of `examples/chat` as a person uses it, in a real browser over LangGraph's server."""

from __future__ import annotations

import json
import re

import pytest

from langchain_imagegen.simulator import delay
from langchain_imagegen.simulator.drawing import draw

BOAT = draw("a boat", size=(816, 544))
EXPENSIVE = "in high quality"


def shown(card):
    """Return the picture on a card."""
    return card.locator(".frame img").last


def handle_of(card):
    """Return the handle on a card."""
    return re.search(r"img_[0-9a-f]{8}", card.inner_text())[0]


WATCH = """() => {
  window.seen = {};
  setInterval(() => {
    for (const image of document.querySelectorAll(".frame img"))
      if (image.complete && image.naturalWidth) window.seen[image.src] = image.naturalWidth;
  }, 20);
}"""
"""Notes the address and width of each picture that a card has shown."""


def data_of(talk, card):
    """Return the bytes of the picture on a card."""
    return talk.page.request.get(talk.address.rstrip("/") + shown(card).get_attribute("src")).body()


def test_sharpens_from_partial_to_final(talk):
    """Two partial pictures come before the picture, each one replaces the one before, and text is streamed after."""
    talk.page.evaluate(WATCH)
    talk.say("Draw a lighthouse at dusk")
    card = talk.drawn()
    seen = talk.page.evaluate("window.seen")

    assert len(seen) == 3
    assert all(width == 1024 for width in seen.values())
    assert list(seen)[-1].endswith(shown(card).get_attribute("src"))
    assert talk.width(shown(card)) == 1024
    assert "Draw a lighthouse at dusk" in card.inner_text()
    assert "Here is your picture." in talk.text
    assert talk.bought == 1


def test_edits_the_picture_that_is_clicked(talk, service):
    """The button "Edit this one" edits that picture, not the latest; versions stand side by side, with their prices."""
    fox = talk.draw("Draw a fox")
    talk.draw("Draw an owl", 2)
    fox.get_by_role("button", name="Edit img_").click()
    night = talk.draw("make it night", 3)
    assert service.orders[-1].sources == (data_of(talk, fox),)

    night.get_by_role("button", name="Versions (2)").click()
    versions = talk.page.get_by_role("dialog").get_by_role("listitem")
    boxes = [versions.nth(n).bounding_box() for n in range(versions.count())]
    assert versions.count() == 2
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert [handle_of(versions.nth(n)) for n in (0, 1)] == [handle_of(fox), handle_of(night)]
    assert all("$0." in versions.nth(n).inner_text() for n in (0, 1))


def test_approve(talk):
    """A drawing over the threshold waits with its price, is not bought before, and is drawn once it is approved."""
    talk.say(f"Draw a harbour {EXPENSIVE}")
    card = talk.wait("asked")
    card.get_by_text("at most $0.2").wait_for()
    assert talk.bought == 0

    talk.page.reload()
    talk.button("Approve").click()
    assert talk.width(shown(talk.drawn())) == 1024
    assert talk.bought == 1


def test_change(talk, service):
    """A drawing can be changed before it is approved; its price follows the options."""
    talk.say(f"Draw a harbour {EXPENSIVE}")
    talk.button("Change…").click()
    talk.page.get_by_role("combobox", name="Quality").select_option("low")
    talk.page.get_by_role("textbox", name="Prompt").fill("Draw a calm harbour")
    talk.page.get_by_text("at most $0.0").wait_for()
    talk.button("Draw it as changed").click()

    assert "Draw a calm harbour" in talk.drawn().inner_text()
    assert (service.orders[-1].prompt, service.orders[-1].quality) == ("Draw a calm harbour", "low")
    assert talk.bought == 1


def test_reject(talk, service):
    """A drawing that is rejected is not bought, and the chat model reads the reason."""
    talk.say(f"Draw a bear {EXPENSIVE}")
    talk.button("Reject…").click()
    talk.page.get_by_role("textbox", name="Reason").fill("No bears today")
    talk.button("Reject").click()
    card = talk.wait("failed")
    talk.rest()

    assert "No bears today" in card.inner_text()
    assert "There is no picture this time." in talk.text
    assert "No bears today" in json.dumps(service.requests[-1].body)
    assert talk.bought == 0


def test_upload(talk, client, service):
    """A picture that is dropped onto the page can be edited; no state of the thread holds its bytes."""
    talk.drop("boat.png", BOAT)
    talk.page.get_by_text("boat.png").wait_for()
    card = talk.draw("make it night")
    states = client.threads.get_history(talk.thread, limit=50)

    assert service.orders[-1].sources == (BOAT,)
    assert talk.width(talk.page.locator(".said img").first) > 0
    assert card.get_by_role("button", name="Versions (2)").is_visible()
    assert len(str(states)) < 100_000
    assert talk.bought == 1


def test_refuses_what_is_no_picture(talk):
    """A file that is no picture is not attached, and the page says so."""
    talk.drop("notes.txt", b"hello", "text/plain")

    talk.page.get_by_role("alert").get_by_text("notes.txt is not a picture.").wait_for()
    assert talk.page.locator(".chip").count() == 0


def test_reload(talk, service):
    """A page that is opened again shows the drawing under way, and later the same conversation and price."""
    service.script(None, delay(6))  # the chat model answers at once, the image model does not
    talk.say("Draw a fox")
    talk.wait("drawing")
    talk.page.reload()
    talk.wait("drawing")
    talk.drawn()
    told, cost = talk.text, talk.page.locator("#cost").inner_text()
    talk.page.reload()
    card = talk.drawn()

    assert talk.text == told
    assert talk.width(shown(card)) == 1024
    assert re.fullmatch(r"\$0\.\d\d · 1 picture", cost)
    assert talk.page.locator("#cost").inner_text() == cost
    assert talk.bought == 1


def test_fork(talk):
    """A message that is said differently starts a branch; each branch has its own pictures and can be shown again."""
    talk.draw("Draw a fox")
    talk.button("Edit this message").click()
    talk.page.get_by_role("textbox", name="Message").first.fill("Draw an owl")
    talk.button("Send as a branch").click()
    talk.page.get_by_text("2 / 2").wait_for()
    owl = talk.text
    talk.button("Previous branch").click()
    talk.page.get_by_text("1 / 2").wait_for()
    fox = talk.text
    talk.page.reload()
    talk.page.get_by_text("1 / 2").wait_for()

    assert "Draw an owl" in owl
    assert "Draw a fox" not in owl
    assert "Draw a fox" in fox
    assert "Draw an owl" not in fox
    assert talk.cards.count() == 1
    assert talk.bought == 2


def test_continue_from_an_earlier_point(talk, service):
    """The conversation can go on from an earlier answer, with the pictures of that point alone."""
    fox = talk.draw("Draw a fox")
    bytes_of_fox = data_of(talk, fox)
    talk.draw("Draw an owl", 2)
    talk.button("Continue from here").click()
    talk.page.get_by_text("You are at an earlier point.").wait_for()
    assert talk.cards.count() == 1

    talk.draw("Edit the last picture: make it night", 2)
    assert service.orders[-1].sources == (bytes_of_fox,)
    assert "Draw an owl" not in talk.text
    assert talk.page.get_by_text("2 / 2").is_visible()


def test_stop(talk, service):
    """A drawing can be stopped and continued, and ends with its picture."""
    service.script(None, delay(6))
    talk.say("Draw a bear")
    talk.wait("drawing")
    talk.button("Stop").click()
    talk.wait("stopped")
    talk.button("Continue").click()

    talk.drawn()
    assert talk.page.locator("#problem").is_hidden()


def test_cost(talk):
    """The price of a thread is in the bar, and its parts with source and date in a dialog."""
    talk.draw("Draw a fox")
    talk.page.get_by_role("button", name="Cost of this chat").click()
    bill = talk.page.get_by_role("dialog").inner_text()

    assert re.search(r"Together\s+\$0\.\d{4}", bill)
    assert "gpt-image-2" in bill
    assert re.search(r"20\d\d-\d\d-\d\d", bill)


MARKUP = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>'


def test_markup_is_text(talk, service):
    """Markup in a prompt, a revised prompt, a file's name and an answer is shown as text and never runs."""
    talk.drop(f"{MARKUP}.png", BOAT)
    talk.page.locator(".chip").get_by_text(MARKUP).wait_for()
    card = talk.draw(f"Draw {MARKUP} [here](javascript:window.harmed=1)")
    card.get_by_text("As the model rewrote it").click()
    card.get_by_text("A simulated picture").wait_for()
    talk.say(f"{MARKUP} **bold** [here](javascript:window.harmed=1)")
    talk.page.get_by_text("This is a simulated answer to").wait_for()
    talk.rest()

    assert talk.text.count(MARKUP) >= 4
    assert talk.page.evaluate("window.harmed") is None
    assert talk.page.locator("#transcript script, #transcript [onerror], #transcript [href^=javascript]").count() == 0


def test_hostile_answers_of_the_server(talk):
    """Markup in a handle and a prompt that the server tells is shown as text."""
    talk.draw("Draw a fox")

    def rewrite(route):
        told = route.fetch().json()
        for picture in told["pictures"]:
            picture.update(handle=MARKUP, prompt=MARKUP, revised_prompt=MARKUP)
        route.fulfill(json=told)

    talk.page.route("**/chat/threads/*/pictures*", rewrite)
    talk.page.reload()
    talk.page.locator(".picture .prompt").get_by_text(MARKUP).wait_for()

    assert talk.page.evaluate("window.harmed") is None


def test_keyboard(talk):
    """The whole way from a prompt to an edit needs no mouse, and the focus returns from a dialog."""
    press = talk.page.keyboard.press
    press("Tab")
    assert talk.page.evaluate("document.activeElement.textContent") == "Skip to the message box"
    press("Enter")
    talk.page.keyboard.type("Draw a fox")
    press("Shift+Enter")
    talk.page.keyboard.type("in the snow")
    press("Enter")
    card = talk.drawn()
    card.get_by_role("button", name="Show img_").focus()
    press("Enter")
    talk.page.get_by_role("dialog").wait_for()
    press("Escape")
    assert "Show img_" in talk.page.evaluate("document.activeElement.getAttribute('aria-label')")

    card.get_by_role("button", name="Edit img_").focus()
    press("Enter")
    talk.page.keyboard.type("make it night")
    press("Enter")
    talk.drawn(2)
    assert talk.bought == 2


NAMELESS = """() => [...document.querySelectorAll("button, a, input:not([hidden]), textarea, select, img")]
  .filter((node) => node.checkVisibility())
  .filter((node) => !(node.labels?.length || node.getAttribute("aria-label") || node.textContent.trim()
    || (node.tagName === "IMG" && (node.alt || node.closest("button, a, .chip")))))
  .map((node) => node.outerHTML)"""


def test_everything_has_a_name(talk):
    """Every control and picture has a name for a screen reader."""
    talk.draw("Draw a fox")
    talk.page.get_by_role("button", name="Edit img_").click()
    assert talk.page.evaluate(NAMELESS) == []

    talk.say(f"make it night {EXPENSIVE}")
    talk.button("Change…").click()
    assert talk.page.evaluate(NAMELESS) == []


CONTRAST = """() => {
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = (color) => {
    pixel.fillStyle = color;
    pixel.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...pixel.getImageData(0, 0, 1, 1).data].map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const { backgroundColor } = getComputedStyle(each);
      if (!/, 0\\)|transparent|\\/ /.test(backgroundColor)) return backgroundColor;
    }
  };
  return [...document.querySelectorAll("p, span, button, h1, h2, summary, strong")]
    .filter((node) => node.checkVisibility() && node.textContent.trim() && !node.disabled)
    .map((node) => [light(getComputedStyle(node).color), light(behind(node)), node.outerHTML.slice(0, 80)])
    .map(([one, other, html]) => [(Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05), html])
    .filter(([ratio]) => ratio < 4.5);
}"""


def test_dark_and_light(talk_in):
    """The page follows the system's colours, and its text is legible in both (a contrast of 4.5 to 1)."""
    first = talk_in(color_scheme="light")
    first.draw("Draw a fox")
    dark = talk_in(color_scheme="dark")
    dark.open(f"?thread={first.thread}")
    dark.drawn()
    papers = [each.page.evaluate("getComputedStyle(document.body).backgroundColor") for each in (first, dark)]

    assert papers[0] != papers[1]
    assert [first.page.evaluate(CONTRAST), dark.page.evaluate(CONTRAST)] == [[], []]


@pytest.mark.parametrize("width", [360, 820])
def test_narrow_screens(talk_in, width):
    """On a narrow screen nothing is wider than the screen."""
    talk = talk_in(reduced_motion="reduce")
    talk.page.set_viewport_size({"width": width, "height": 800})
    talk.say(f"Draw a fox {EXPENSIVE}")
    talk.button("Change…").click()

    assert talk.page.evaluate("document.documentElement.scrollWidth") <= width


def test_unknown_thread(talk):
    """An address of a thread that does not exist shows what is wrong."""
    talk.open("?thread=00000000-0000-4000-8000-000000000000")

    talk.page.get_by_role("alert").wait_for()
    assert "not found" in talk.page.get_by_role("alert").inner_text()
    talk.errors.clear()  # the browser logs the 404
