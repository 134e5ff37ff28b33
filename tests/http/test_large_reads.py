"""Large reads: over TLS too, in any event loop, over Unix sockets, and with the errors of the HTTP library."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
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
from tests.relay import Relay, relayed

Make = Callable[..., ImageGenerator]

SIZE = 2_000_000
USUAL = 65_536
LARGE = 4 * USUAL


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs certificates here."""
    return trustme.CA()


def certified(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """A server's certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that are made in the test trust the authority."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))


def port_of(simulator: Simulator) -> int:
    """Where the simulator listens."""
    return urlsplit(simulator.base_url).port or 0


def url_of(relay: Relay, scheme: str = "http") -> str:
    """Where a generator has to point."""
    return f"{scheme}://127.0.0.1:{relay.port}/v1"


def read(half: Any, url: str, take: Callable[[bytes], Any] = bytes, **settings: Any) -> list[Any]:
    """The pieces of an answer, as a client that reads in large ones has them from its connection."""
    if half.name == "sync":
        with Private.with_large_reads(httpx2.Client(**settings)) as client, client.stream("POST", url) as answer:
            return [take(piece) for piece in answer.iter_raw()]

    async def aread() -> list[bytes]:
        async with (
            Private.with_large_reads(httpx2.AsyncClient(**settings)) as client,
            client.stream("POST", url) as answer,
        ):
            return [take(piece) async for piece in answer.aiter_raw()]

    return half.wait(aread)


Answer = Callable[[socket.socket], object]


def whole(body: bytes, length: int | None = None) -> Answer:
    """An answer with this body, which is as long as its head says unless another length is given."""

    def send(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (length or len(body), body))

    return send


def answer_once(listening: socket.socket, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
    """Give one request its answer, as fast as it is taken, and hang up."""
    connection, _ = listening.accept()
    with tls.wrap_socket(connection, server_side=True) if tls else connection as connected:
        connected.recv(65536)
        answer(connected)


@contextmanager
def answering(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL of a service that answers once."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer_once, args=(listening, answer, tls))
        thread.start()
        yield f"http{'s' if tls else ''}://127.0.0.1:{listening.getsockname()[1]}/"
        thread.join()


# --- large, and not too large


@pytest.fixture
def plenty() -> Iterator[str]:
    """The URL of a service that sends 8 MB as fast as it can."""
    with answering(whole(bytes(8_000_000))) as url:
        yield url


def test_pieces_are_large(half: Any, plenty: str):
    """A body that arrives fast is read in pieces larger than the HTTP library's 64 KB, and none over 256 KB."""
    pieces = read(half, plenty)

    assert sum(map(len, pieces)) == 8_000_000
    assert USUAL < max(map(len, pieces)) <= LARGE


# --- over TLS


@pytest.mark.usefixtures("trusted")
def test_pictures_over_tls(half: Any, authority: trustme.CA, service: crowd.Crowd, low: Make):
    """Pictures come whole over TLS, all over one connection."""
    with relayed(service.port, certified(authority, "127.0.0.1")) as relay:
        draw = low(base_url=f"https://127.0.0.1:{relay.port}/{SIZE}/0")
        results = [half.invoke(draw, f"draw {number}") for number in (1, 2)]
        half.close(draw)

    assert [result.image.read() for result in results] == [crowd.picture(SIZE, number) for number in (1, 2)]
    assert relay.connections == 1


@pytest.mark.usefixtures("trusted")
def test_a_stream_over_tls(half: Any, authority: trustme.CA, simulator: Simulator, low: Make):
    """Partial pictures come over TLS as they do without."""
    with relayed(port_of(simulator), certified(authority, "127.0.0.1")) as relay:
        draw = low(base_url=url_of(relay, "https"))
        *partials, result = half.stream(draw, "a heron", partial_images=2)
        half.close(draw)

    assert [partial.final for partial in partials] == [False, False, True]
    assert result.image.read()


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("name", ["elsewhere.example", None], ids=["of another host", "of nobody known"])
def test_a_certificate_that_does_not_fit(half: Any, authority: trustme.CA, simulator: Simulator, low: Make, name: Any):
    """Nothing is sent to a host that is not who it should be, and the error says why."""
    signed = certified(authority, name) if name else certified(trustme.CA(), "127.0.0.1")
    with relayed(port_of(simulator), signed) as relay:
        draw = low(base_url=url_of(relay, "https"), max_retries=0)
        with pytest.raises(ImageGenerationError, match=r"(?i)certificate"):
            half.invoke(draw, "a heron")
        half.close(draw)

    assert not simulator.requests


# --- errors


def test_a_connection_that_ended_while_it_was_idle(half: Any, service: crowd.Crowd):
    """A service that hangs up between two calls, while no event loop runs to see it, fails none of them."""
    make = httpx2.Client if half.name == "sync" else httpx2.AsyncClient
    client = Private.with_large_reads(make())

    async def ask() -> int:
        answer = client.post(f"http://127.0.0.1:{relay.port}/1000/0/responses", json={"input": "draw 1"})
        return (answer if half.name == "sync" else await answer).status_code

    async def close() -> None:
        client.close() if half.name == "sync" else await client.aclose()

    with relayed(service.port) as relay:
        told = [half.wait(ask), half.wait(ask)]
        relay.hang_up()
        told.append(half.wait(ask))
        half.wait(close)

    assert told == [200, 200, 200]
    assert relay.connections == 2


def test_nobody_listens(half: Any, low: Make):
    """A port that nobody listens on is told at once, after the usual attempts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    draw = low(base_url=f"http://127.0.0.1:{port}/v1", max_retries=0)

    with pytest.raises(ImageGenerationError, match="connect"):
        half.invoke(draw, "a heron")


def test_a_service_that_takes_nothing(half: Any, low: Make):
    """An upload that is not taken ends after the time limit."""
    with socket.create_server(("127.0.0.1", 0)) as server:  # the kernel accepts, and nobody reads
        draw = low(base_url=f"http://127.0.0.1:{server.getsockname()[1]}/v1", timeout=0.3, max_retries=0)
        with pytest.raises(ImageTimeoutError):
            half.invoke(draw, {"prompt": "a heron", "images": [crowd.picture(20_000_000, 1)]})
        half.close(draw)


def test_a_service_that_says_nothing(half: Any, low: Make):
    """An answer that does not come ends after the time limit."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        draw = low(base_url=f"http://127.0.0.1:{server.getsockname()[1]}/v1", timeout=0.3, max_retries=0)
        with pytest.raises(ImageTimeoutError):
            half.invoke(draw, "a heron")
        half.close(draw)


# --- event loops


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is a Unix thing")
def test_uvloop(service: crowd.Crowd, low: Make):
    """Under uvloop pictures come as they do under asyncio's own event loop."""
    import uvloop

    draw = low(base_url=service.base_url(SIZE))

    async def drawn() -> Any:
        result = await draw.ainvoke("draw 1")
        await draw.aclose()
        return result

    with closing(uvloop.new_event_loop()) as loop:
        assert loop.run_until_complete(drawn()).image.read() == crowd.picture(SIZE, 1)


def test_trio(plenty: str):
    """Under trio a client reads as the HTTP library does."""

    async def read_all() -> int:
        async with Private.with_large_reads(httpx2.AsyncClient()) as client:
            return len((await client.get(plenty)).content)

    assert trio.run(read_all) == 8_000_000


# --- sockets of this machine


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="sockets of a machine's own are a Unix thing")
def test_a_socket_of_this_machine(half: Any, tmp_path: Path):
    """A client over a Unix socket reads its answer, whichever half."""
    path = str(tmp_path / "socket")
    with socket.create_server(path, family=socket.AF_UNIX) as listening:
        thread = threading.Thread(target=answer_once, args=(listening, whole(b"over a socket")))
        thread.start()
        make = httpx2.HTTPTransport if half.name == "sync" else httpx2.AsyncHTTPTransport
        pieces = read(half, "http://nowhere.example/", transport=make(uds=path))
        thread.join()

    assert b"".join(pieces) == b"over a socket"
