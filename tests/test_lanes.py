"""Many requests at once: how many connections they have, which are used again, and which are closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from langchain_imagegen.clients import Private, read_in_large_pieces
from langchain_imagegen.lanes import Lanes
from tests import crowd
from tests.handles import handles
from tests.relay import Relay, relayed

LATENCY = 400  # milliseconds, in which all that begin at once have asked

Ask = Callable[[int], Awaitable[list[Any]]]


@pytest.fixture
def relay(service: crowd.Crowd) -> Iterator[Relay]:
    """In front of the service, to count connections."""
    with relayed(service.port) as started:
        yield started


@asynccontextmanager
async def asking(port: int, *, timeout: float = 20, **limits: Any) -> AsyncIterator[Ask]:
    """Asks so many times at once, and gives each status or error."""
    url = f"http://127.0.0.1:{port}/1000/{LATENCY}/responses"
    many = read_in_large_pieces(httpx2.AsyncClient(limits=httpx2.Limits(**limits), timeout=timeout))
    async with many as client:

        async def one(number: int) -> int:
            return (await client.post(url, json={"input": f"draw {number}"})).status_code

        async def ask(count: int) -> list[Any]:
            return await asyncio.gather(*(one(number) for number in range(count)), return_exceptions=True)

        yield ask


async def test_a_crowd_has_a_connection_each_and_keeps_them(relay: Relay):
    """Who are many have a connection each, which those who come after them use again."""
    async with asking(relay.port, max_connections=100, max_keepalive_connections=100) as ask:
        told = [await ask(40), await ask(40), await ask(1), await ask(30)]

    assert [status for statuses in told for status in statuses] == [200] * 111
    assert relay.connections == 40


@pytest.mark.parametrize("most", [1, 8, 13, 20])
async def test_no_more_connections_than_allowed(relay: Relay, most: int):
    """`max_connections` holds for all together, each is made use of, and who finds none free waits."""
    async with asking(relay.port, max_connections=most) as ask:
        told = await ask(2 * most + 3)

    assert told == [200] * (2 * most + 3)
    assert relay.connections == most


async def test_who_waits_too_long_for_a_connection(relay: Relay):
    """Where all connections are taken the error is that of the HTTP library, and those who have one are served."""
    async with asking(relay.port, timeout=LATENCY / 1000 * 1.5, max_connections=20) as ask:
        told = await ask(80)

    assert {type(each) for each in told} == {int, httpx2.PoolTimeout}
    assert told.count(200) >= 20


async def test_who_gives_up_takes_no_place(relay: Relay):
    """Requests that were cancelled are not counted as open ever after: who comes next has, and keeps, their place."""
    async with asking(relay.port, max_connections=100, max_keepalive_connections=8) as ask:
        for _ in range(3):
            given_up = asyncio.create_task(ask(8))
            await asyncio.sleep(LATENCY / 4000)
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
        before = relay.connections
        told = [await ask(1), await ask(1), await ask(1)]

    assert told == [[200]] * 3
    assert relay.connections == before + 1


async def test_no_more_idle_connections_than_allowed(service: crowd.Crowd):
    """`max_keepalive_connections` holds for all together."""
    async with asking(service.port, max_keepalive_connections=10) as ask:
        await ask(1)
        before = handles()
        await ask(50)
        after = handles()

    assert after - before == 9


async def test_connections_of_a_crowd_that_has_gone_are_closed(service: crowd.Crowd):
    """What has been idle for too long is closed by and by while others ask, wherever it was."""
    async with asking(service.port, keepalive_expiry=0.5) as ask:
        await ask(1)
        before = handles()
        await ask(50)
        assert handles() - before == 49
        await asyncio.sleep(0.6)
        for _ in range(7):
            await ask(1)
        after = handles()

    assert after <= before


async def test_all_are_closed_with_their_client(service: crowd.Crowd):
    """A client that is closed leaves no connection open."""
    before = handles()
    async with asking(service.port) as ask:
        await ask(50)

    assert handles() == before


def test_what_is_private_is_where_it_was():
    """A client's pool gives way to lanes, once."""
    client = httpx2.AsyncClient()
    lanes = Private.put_in_lanes(client)

    assert isinstance(lanes, Lanes)
    assert Private.put_in_lanes(client) is Private.pool(client) is lanes
