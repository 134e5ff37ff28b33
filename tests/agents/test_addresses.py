"""Web addresses that a chat model names: refused unless allowed, and then fetched by the package from public hosts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from langchain_imagegen import ImageGenerationTool
from langchain_imagegen.drawing import fetching
from tests.drawing.test_errors import PNG
from tests.drawing.test_fetching import Host, host  # noqa: F401 - a fixture
from tests.graphs import Talk, agent_with_middleware
from tests.scripted import image_call


@pytest.fixture
def tool(generator: Any) -> ImageGenerationTool:
    """Return a tool whose model may name web addresses."""
    return ImageGenerationTool(generator=generator(), allow_urls=True)


@pytest.mark.parametrize("path", ["/picture", "/to?/picture"])
def test_an_allowed_address_is_fetched(path: str, tool: Any, half: Any, simulator: Any, host: Host):  # noqa: F811
    """The bytes at the address are the source of the edit, and the request does not hold the address."""
    url = host.url(path).replace("https", "HTTPS")

    message = half.invoke(tool, image_call("a", "edit it", images=[url, url]))
    assert message.status == "success"
    assert simulator.orders[-1].sources == (PNG,)
    assert "localhost" not in json.dumps(simulator.requests[-1].body)
    assert "web addresses" in tool.tool_call_schema.model_json_schema()["properties"]["images"]["description"]


def test_a_fetched_picture_can_be_edited_later(tool: Any, half: Any, simulator: Any, host: Host):  # noqa: F811
    """A picture that was fetched is remembered, and a later turn edits it by its handle."""
    talk = Talk(half, agent_with_middleware, tool)
    memory = talk.turn(image_call("a", "edit it", images=[host.url("/picture")]))

    talk.turn(image_call("b", "edit it again", images=[memory[0].handle]))
    assert memory[0].read() == PNG
    assert [order.sources for order in simulator.orders] == [(PNG,), (PNG,)]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/to?http://pictures.test/fox.png", "only https"),
        ("/to?https://169.254.169.254/latest/meta-data", "private network"),
        ("/to?https://100.64.0.1/fox.png", "private network"),
        ("/to?https://[::ffff:172.16.0.1]/fox.png", "private network"),
        ("/to?file:///etc/passwd", "only https"),
        ("/round", "more than 5 redirects"),
        ("/page", "cannot be read as one"),
        ("/nothing", "status 404"),
    ],
)
def test_a_redirect_leads_to_no_private_network(
    path: str,
    reason: str,
    tool: Any,
    half: Any,
    simulator: Any,
    host: Host,  # noqa: F811
):
    """An address that redirects into a private network, to another scheme or to no picture is refused, unpaid."""
    message = half.invoke(tool, image_call("a", "edit it", images=[host.url(path)]))

    assert message.status == "error"
    assert reason in message.content
    assert "paid" not in message.content
    assert simulator.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://pictures.test/fox.png",
        "https://127.0.0.1/fox.png",
        "https://localhost/fox.png",
        "https://[::1]/fox.png",
        "https://169.254.169.254/latest/meta-data",
        "https://172.16.1.1/fox.png",
        "https://0.0.0.0/fox.png",
        "https://2130706433/fox.png",
        "https://user:password@127.0.0.1/fox.png",
        "https://",
        "https://[fe80::1%25eth0]/fox.png",
    ],
)
def test_a_private_address_is_refused(url: str, tool: Any, half: Any, simulator: Any):
    """An address that is not https, or that is private, link-local or this machine's own, is refused, unpaid."""
    assert fetching.ALLOWED_NETWORKS == ()

    message = half.invoke(tool, image_call("a", "edit it", images=[url]))
    assert message.status == "error"
    assert "no picture at" in message.content
    assert simulator.requests == []
