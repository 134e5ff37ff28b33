"""Connections that are read in large pieces: over TLS too, in any event loop, and with the errors of the usual ones."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import httpx2
import pytest
import trio
import trustme

from langchain_imagegen import ImageGenerator
from langchain_imagegen.clients import read_in_large_pieces
from langchain_imagegen.connections import AsyncLargeReads
from langchain_imagegen.errors import ImageGenerationError, ImageTimeoutError
from langchain_imagegen.simulator import Simulator
from tests import crowd
from tests.handles import handles
from tests.relay import Relay, relayed

Make = Callable[..., ImageGenerator]

SIZE = 2_000_000
USUAL = 65_536
LARGE = {"sync": 4 * USUAL, "async": 6 * USUAL}


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
        with read_in_large_pieces(httpx2.Client(**settings)) as client, client.stream("POST", url) as answer:
            return [take(piece) for piece in answer.iter_raw()]

    async def aread() -> list[bytes]:
        async with read_in_large_pieces(httpx2.AsyncClient(**settings)) as client, client.stream("POST", url) as answer:
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
    """What comes fast arrives in pieces larger than the HTTP library's own, and in none over 256 or 384 KB."""
    pieces = read(half, plenty)

    assert sum(map(len, pieces)) == 8_000_000
    assert USUAL < max(map(len, pieces)) <= LARGE[half.name]


def test_a_body_is_not_copied(half: Any, plenty: str):
    """While a body is read there are at most three pieces of it in memory: read, on its way, and next."""

    def counted(piece: bytes) -> int:
        tracemalloc.start()  # from the first piece on: the service has made all of its answer by then
        return len(piece)

    lengths = read(half, plenty, counted)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert sum(lengths) == 8_000_000
    assert peak < 4 * LARGE[half.name]


async def test_many_who_fall_behind_get_smaller_pieces(service: crowd.Crowd):
    """While a hundred readers are busy with what they got, they have a quarter of what each would have alone."""
    url = f"{service.base_url(SIZE)}/responses"
    in_hand = [0]

    async def drawn(client: httpx2.AsyncClient, number: int) -> int:
        total = 0
        async with client.stream("POST", url, json={"input": f"draw {number}"}) as answer:
            async for piece in answer.aiter_raw():
                in_hand.append(in_hand[-1] + len(piece))
                await asyncio.sleep(0.02)
                in_hand.append(in_hand[-1] - len(piece))
                total += len(piece)
        return total

    everyone = httpx2.Limits(max_connections=None)
    async with read_in_large_pieces(httpx2.AsyncClient(limits=everyone, timeout=60)) as client:
        crowds = [await asyncio.gather(*(drawn(client, number) for number in range(100))) for _ in range(2)]

    assert all(total > SIZE * 4 / 3 for totals in crowds for total in totals)
    assert 100 * USUAL < max(in_hand) < 100 * LARGE["async"] / 3


async def test_who_is_slow_is_not_buried(plenty: str):
    """While nobody reads, nothing waits in memory, however much is sent."""
    async with read_in_large_pieces(httpx2.AsyncClient()) as client, client.stream("GET", plenty) as answer:
        pieces = answer.aiter_raw()
        arrived = len(await anext(pieces))
        tracemalloc.start()
        await asyncio.sleep(0.2)
        waiting = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        arrived += sum([len(piece) async for piece in pieces])

    assert arrived == 8_000_000
    assert waiting < USUAL


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
def test_pieces_are_large_over_tls(half: Any, authority: trustme.CA):
    """TLS comes in records of 16 KB: those that have come are read together, and nothing is lost or mixed up."""
    body = b"".join(number.to_bytes(4, "big") for number in range(1_000_000))
    with answering(whole(body), certified(authority, "127.0.0.1")) as url:
        pieces = read(half, url)

    assert b"".join(pieces) == body
    assert USUAL < max(map(len, pieces)) <= LARGE[half.name]


@pytest.mark.usefixtures("trusted")
def test_what_came_before_an_error_is_read_first(half: Any, authority: trustme.CA):
    """Where a connection over TLS breaks, what had come whole is handed on, and then the error."""

    def send(connection: socket.socket) -> None:
        whole(b"good", length=100)(connection)
        os.write(connection.fileno(), bytes(100))  # past TLS
        with suppress(OSError):  # the client's alert
            connection.recv(1)

    got: list[bytes] = []
    with answering(send, certified(authority, "127.0.0.1")) as url, pytest.raises(httpx2.ReadError, match="SSL"):
        read(half, url, got.append)

    assert got == [b"good"]


@pytest.mark.usefixtures("trusted")
def test_an_answer_over_tls_that_is_cut(half: Any, authority: trustme.CA):
    """A service that hangs up within its answer is told as without TLS; what had come is handed on."""
    got: list[bytes] = []
    cut = pytest.raises(httpx2.RemoteProtocolError, match="without sending complete message body")
    with answering(whole(b"half", length=8), certified(authority, "127.0.0.1")) as url, cut:
        read(half, url, got.append)

    assert got == [b"half"]


@pytest.mark.usefixtures("trusted")
def test_a_service_over_tls_that_says_nothing(half: Any, authority: trustme.CA):
    """An answer that does not come over TLS ends after the time limit."""
    quiet = threading.Event()
    with answering(lambda _: quiet.wait(20), certified(authority, "127.0.0.1")) as url:
        with pytest.raises(httpx2.ReadTimeout):
            read(half, url, timeout=0.3)
        quiet.set()


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


async def test_a_peer_without_farewell_is_not_waited_for(authority: trustme.CA):
    """A connection that is closed within an answer is gone, also if the service neither reads nor hangs up."""
    over = threading.Event()

    def serve() -> None:
        with certified(authority, "127.0.0.1").wrap_socket(listening.accept()[0], server_side=True) as connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf")
            over.wait(20)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        async with read_in_large_pieces(httpx2.AsyncClient(verify=trusting)) as client:
            before = handles()
            async with client.stream("GET", f"https://127.0.0.1:{listening.getsockname()[1]}/") as answer:
                assert await anext(answer.aiter_raw()) == b"half"
            after = handles()
        over.set()
        thread.join()

    assert after == before + 1  # the service's own


# --- errors


def test_a_connection_that_ended_while_it_was_idle(half: Any, service: crowd.Crowd):
    """A service that hangs up between two calls, while no event loop runs to see it, fails none of them."""
    make = httpx2.Client if half.name == "sync" else httpx2.AsyncClient
    client = read_in_large_pieces(make())

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


async def test_who_waits_when_a_client_is_closed():
    """Whoever waits for an answer is told at once that its client has been closed."""
    quiet = threading.Event()
    with answering(lambda _: quiet.wait(20)) as url:
        client = read_in_large_pieces(httpx2.AsyncClient(timeout=20))
        waiting = asyncio.create_task(client.get(url))
        await asyncio.sleep(0.2)
        await client.aclose()
        with pytest.raises(httpx2.ReadError):
            await asyncio.wait_for(waiting, 2)
        quiet.set()


async def test_a_connection_that_is_closed_is_not_used(service: crowd.Crowd):
    """Who reads or writes all the same is told so in the terms of the HTTP library."""
    network = AsyncLargeReads(httpcore2.AnyIOBackend(), lambda _: None)
    connection = await network.connect_tcp("127.0.0.1", service.port)
    await connection.aclose()

    with pytest.raises(httpcore2.ReadError):
        await connection.read(1)
    with pytest.raises(httpcore2.WriteError):
        await connection.write(b"GET")


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
        async with read_in_large_pieces(httpx2.AsyncClient()) as client:
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
