"""Large reads: over plain sockets, TLS and Unix sockets, in any event loop, and with the HTTP library's errors."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import trio
import trustme

from langchain_imagegen import ImageGenerator
from langchain_imagegen.errors import ImageGenerationError, ImageTimeoutError
from langchain_imagegen.http.clients import Private
from langchain_imagegen.simulator import Simulator
from tests import crowd
from tests.relay import Relay, open_relay

Make = Callable[..., ImageGenerator]

SIZE = 2_000_000
USUAL = 65_536
LARGE = 4 * USUAL


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return the authority that signs the tests' certificates."""
    return trustme.CA()


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """Return a server's TLS context with a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def trust_authority(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the clients of the test trust the authority."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))


def port_of(simulator: Simulator) -> int:
    """Return the port of the simulator."""
    return urlsplit(simulator.base_url).port or 0


def https_url(relay: Relay) -> str:
    """Return the base URL of a relay that speaks TLS."""
    return f"https://127.0.0.1:{relay.port}/v1"


def read(half: Any, url: str, **settings: Any) -> list[bytes]:
    """Return the pieces of an answer as a client with large reads receives them."""
    if half.name == "sync":
        with Private.with_large_reads(httpx2.Client(**settings)) as client, client.stream("POST", url) as answer:
            return [bytes(piece) for piece in answer.iter_raw()]

    async def aread() -> list[bytes]:
        async with (
            Private.with_large_reads(httpx2.AsyncClient(**settings)) as client,
            client.stream("POST", url) as answer,
        ):
            return [bytes(piece) async for piece in answer.aiter_raw()]

    return half.wait(aread)


def answer_once(server: socket.socket, body: bytes) -> None:
    """Answer one request with the body, as fast as the client reads it, and close the connection."""
    server.settimeout(30)  # else the test would wait for ever for a client that failed
    connection, _ = server.accept()
    with connection:
        connection.settimeout(30)
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


# --- the size of a read


@pytest.fixture
def large_body() -> Iterator[str]:
    """Yield the URL of a server that sends 8 MB once, as fast as the client reads."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_once, args=(server, bytes(8_000_000)))
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join()


def test_pieces_are_large(half: Any, large_body: str):
    """The client reads a fast body in pieces that exceed the HTTP library's 64 KB and never 256 KB."""
    pieces = read(half, large_body)

    assert sum(map(len, pieces)) == 8_000_000
    assert USUAL < max(map(len, pieces)) <= LARGE


# --- over TLS


@pytest.mark.usefixtures("trust_authority")
def test_pictures_over_tls(half: Any, authority: trustme.CA, service: crowd.Crowd, low: Make):
    """The generator reads complete pictures over one TLS connection."""
    with open_relay(service.port, server_context(authority, "127.0.0.1")) as relay:
        draw = low(base_url=f"https://127.0.0.1:{relay.port}/{SIZE}/0")
        results = [half.invoke(draw, f"draw {number}") for number in (1, 2)]
        half.close(draw)

    assert [result.image.read() for result in results] == [crowd.picture(SIZE, number) for number in (1, 2)]
    assert relay.connections == 1


@pytest.mark.usefixtures("trust_authority")
def test_a_stream_over_tls(half: Any, authority: trustme.CA, simulator: Simulator, low: Make):
    """Partial pictures arrive over TLS before the final one."""
    with open_relay(port_of(simulator), server_context(authority, "127.0.0.1")) as relay:
        draw = low(base_url=https_url(relay))
        *partials, result = half.stream(draw, "a heron", partial_images=2)
        half.close(draw)

    assert [partial.final for partial in partials] == [False, False, True]
    assert result.image.read()


@pytest.mark.usefixtures("trust_authority")
@pytest.mark.parametrize("name", ["elsewhere.example", None], ids=["other host", "unknown authority"])
def test_wrong_certificate_is_refused(half: Any, authority: trustme.CA, simulator: Simulator, low: Make, name: Any):
    """The generator sends nothing to a host with a wrong certificate, and the error mentions the certificate."""
    signed = server_context(authority, name) if name else server_context(trustme.CA(), "127.0.0.1")
    with open_relay(port_of(simulator), signed) as relay:
        draw = low(base_url=https_url(relay), max_retries=0)
        with pytest.raises(ImageGenerationError, match=r"(?i)certificate"):
            half.invoke(draw, "a heron")
        half.close(draw)

    assert not simulator.requests


# --- errors


def test_idle_connection_that_was_closed_is_replaced(half: Any, service: crowd.Crowd):
    """A call succeeds on a new connection after the service closed the idle one, even if no event loop was running."""
    make = httpx2.Client if half.name == "sync" else httpx2.AsyncClient
    client = Private.with_large_reads(make())

    async def ask() -> int:
        answer = client.post(f"http://127.0.0.1:{relay.port}/1000/0/responses", json={"input": "draw 1"})
        return (answer if half.name == "sync" else await answer).status_code

    async def close() -> None:
        client.close() if half.name == "sync" else await client.aclose()

    with open_relay(service.port) as relay:
        statuses = [half.wait(ask), half.wait(ask)]
        relay.hang_up()
        statuses.append(half.wait(ask))
        half.wait(close)

    assert statuses == [200, 200, 200]
    assert relay.connections == 2


def test_refused_connection_is_our_error(half: Any, low: Make):
    """A port that nobody listens on raises our error, which says that the connection failed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    draw = low(base_url=f"http://127.0.0.1:{port}/v1", max_retries=0)

    with pytest.raises(ImageGenerationError, match="connect"):
        half.invoke(draw, "a heron")


def test_upload_times_out(half: Any, low: Make):
    """An upload that the service does not read raises `ImageTimeoutError`."""
    with socket.create_server(("127.0.0.1", 0)) as server:  # the kernel accepts the connection, and nobody reads it
        draw = low(base_url=f"http://127.0.0.1:{server.getsockname()[1]}/v1", timeout=0.3, max_retries=0)
        with pytest.raises(ImageTimeoutError):
            half.invoke(draw, {"prompt": "a heron", "images": [crowd.picture(20_000_000, 1)]})
        half.close(draw)


def test_answer_times_out(half: Any, low: Make):
    """A service that sends no answer raises `ImageTimeoutError`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        draw = low(base_url=f"http://127.0.0.1:{server.getsockname()[1]}/v1", timeout=0.3, max_retries=0)
        with pytest.raises(ImageTimeoutError):
            half.invoke(draw, "a heron")
        half.close(draw)


# --- event loops


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop runs on Unix only")
def test_uvloop_works(service: crowd.Crowd, low: Make):
    """The generator draws under uvloop."""
    import uvloop

    draw = low(base_url=service.base_url(SIZE))

    async def draw_once() -> Any:
        result = await draw.ainvoke("draw 1")
        await draw.aclose()
        return result

    with closing(uvloop.new_event_loop()) as loop:
        assert loop.run_until_complete(draw_once()).image.read() == crowd.picture(SIZE, 1)


def test_trio_works(large_body: str):
    """A client with large reads works under trio."""

    async def read_all() -> int:
        async with Private.with_large_reads(httpx2.AsyncClient()) as client:
            return len((await client.get(large_body)).content)

    assert trio.run(read_all) == 8_000_000


# --- Unix sockets


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
def test_unix_socket_works(half: Any, tmp_path: Path):
    """A client with large reads works over a Unix socket."""
    path = str(tmp_path / "socket")
    with socket.create_server(path, family=socket.AF_UNIX) as server:
        thread = threading.Thread(target=answer_once, args=(server, b"over a socket"))
        thread.start()
        make = httpx2.HTTPTransport if half.name == "sync" else httpx2.AsyncHTTPTransport
        pieces = read(half, "http://nowhere.example/", transport=make(uds=path))
        thread.join()

    assert b"".join(pieces) == b"over a socket"
