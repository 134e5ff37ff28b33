"""Answers that give a picture's web address: which addresses are fetched and which are refused.

The pictures come from a real TLS server on loopback.
"""

from __future__ import annotations

import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from langchain_imagegen import ImageStore
from langchain_imagegen.drawing import fetching
from langchain_imagegen.errors import ImageFetchError
from tests.drawing.test_errors import PNG, files
from tests.loopback import JSON, serving


class Host(ThreadingHTTPServer):
    """A picture host: `/picture` serves a picture, `/to?target` redirects to the target, and `/round` to itself."""

    daemon_threads = True

    def __init__(self, authority: trustme.CA) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.seen: list[str] = []

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"https://localhost:{self.server_port}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        path, _, target = self.path.partition("?")
        if path in ("/to", "/round"):
            self.send_response(302)
            self.send_header("location", target or "/round")
            self.end_headers()
            return
        self.send_response(200 if path in ("/picture", "/page") else 404)
        self.end_headers()
        self.wfile.write(PNG if path == "/picture" else b"<html>")

    def log_message(self, format: str, *args: object) -> None:
        """Write no log."""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Yield a started picture host on loopback, from which the package may fetch."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setattr(fetching, "ALLOWED_NETWORKS", (ipaddress.ip_network("127.0.0.1/32"),))
    with Host(authority) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def draw_by_url(half: Any, generator: Any) -> Any:
    """Return a function that draws with an API whose answer gives the picture's address, and returns the result."""

    def draw(url: str, *, api: str = "images", **settings: Any) -> Any:
        entry = {"url": url, "mime_type": "image/png"}
        item = {"type": "image_generation_call", "id": "ig_1", "result": url}
        body = {"data": [entry], "usage": {"cost_in_usd_ticks": 1}} if api == "images" else {"output": [item]}
        with serving([json.dumps(body).encode()], JSON) as server:
            result = half.invoke(generator(base_url=server.base_url, api=api, **settings), "a siamese cat")
            assert server.posts == 1
            return result

    return draw


@pytest.fixture
def expect_refusal(draw_by_url: Any, image_store: ImageStore) -> Any:
    """Return a function that draws, expects an error with this reason and an empty store, and returns the error."""

    def draw_and_fail(url: str, reason: str, **settings: Any) -> ImageFetchError:
        with pytest.raises(ImageFetchError, match=reason) as caught:
            draw_by_url(url, **settings)
        assert caught.value.url == url
        assert "again" not in str(caught.value)
        assert files(settings.get("image_store") or image_store) == []
        return caught.value

    return draw_and_fail


@pytest.mark.parametrize("api", ["images", "responses"])
def test_picture_by_address(draw_by_url, host, image_store, api):
    """A picture that the answer gives by address is fetched into the store."""
    result = draw_by_url(host.url("/picture"), api=api)

    assert result.image.read() == image_store.get(result.image.sha256) == PNG
    assert result.image_usage is None
    assert host.seen == ["/picture"]


def test_redirects_are_followed(draw_by_url, host):
    """A picture is fetched through up to five redirects."""
    path = "/picture"
    for _ in range(5):
        path = f"/to?{path}"

    assert draw_by_url(host.url(path)).image.read() == PNG


def test_endless_redirects(expect_refusal, host):
    """A sixth redirect is not followed."""
    expect_refusal(host.url("/round"), "more than 5 redirects")

    assert len(host.seen) == 6


def test_plain_http_is_refused(expect_refusal):
    """An address without TLS is not fetched."""
    expect_refusal("http://127.0.0.1:9/picture", "only https")


@pytest.mark.parametrize(
    "name",
    [
        "127.0.0.2",
        "172.16.1.1",
        "100.64.0.1",
        "[fd00::1]",
        "169.254.169.254",
        "[::1]",
        "[fe80::1]",
        "[::ffff:172.16.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b:1::127.0.0.1]",
        "[::127.0.0.2]",
        "[::ffff:0:127.0.0.1]",
        "[2002:7f00:1::1]",
        "[fec0::1]",
        "[ff02::1]",
        "192.0.0.8",
        "0.0.0.0",
    ],
)
def test_private_addresses_are_refused(expect_refusal, name):
    """Addresses of private networks, of this machine and of cloud metadata are not fetched."""
    expect_refusal(f"https://{name}/picture", "private network, on this machine or link-local")


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1"])
def test_public_addresses(address):
    """Addresses of the public internet are taken, also an IPv4 address that a network translates to IPv6."""
    assert fetching.is_public(address)


def test_redirect_to_a_private_address(expect_refusal, host):
    """A redirect to a private network or to plain http is not followed."""
    expect_refusal(host.url("/to?https://127.0.0.2/picture"), "private network")
    expect_refusal(host.url(f"/to?http://localhost:{host.server_port}/picture"), "only https")


def test_name_with_public_and_private_addresses():
    """A host name that resolves to a public and a private address is refused, in either order."""
    public, private = (0, 0, 0, "", ("1.1.1.1", 443)), (0, 0, 0, "", ("127.0.0.1", 443))

    assert fetching.public_address([public]) == "1.1.1.1"
    for found in ([public, private], [private, public]):
        with pytest.raises(ValueError, match="private network"):
            fetching.public_address(found)


def test_too_large_a_picture(expect_refusal, host, tmp_path):
    """A picture above the store's `max_bytes` is refused."""
    expect_refusal(host.url("/picture"), "max_bytes=1000", image_store=ImageStore(tmp_path / "tight", max_bytes=1000))


@pytest.mark.parametrize(("path", "reason"), [("/gone", "status 404"), ("/page", "not a picture")])
def test_no_picture_at_the_address(expect_refusal, host, path, reason):
    """A 404 or an HTML page raises an error whose message does not contain the query of the address."""
    assert "secret" not in str(expect_refusal(host.url(f"{path}?secret"), reason))


def test_time_limit(expect_refusal, host, monkeypatch):
    """A download that exceeds the time limit raises an error."""
    monkeypatch.setattr(fetching, "LONGEST", -1.0)

    expect_refusal(host.url("/picture"), "did not send all of it")


def test_unknown_certificate(expect_refusal, host, monkeypatch):
    """A host with an untrusted certificate is refused."""
    monkeypatch.delenv("SSL_CERT_FILE")

    expect_refusal(host.url("/picture"), "certificate|CERTIFICATE")
