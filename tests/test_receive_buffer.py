"""The buffer under an HTTP/1.1 parser: with it `h11` reads what it reads without, and bodies are not copied."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_imagegen.receive_buffer import ReceiveBuffer

BODY = b"a\r\n\r\nb\n" * 40
HEAD = b"HTTP/1.1 200 OK\r\nserver: a\r\n"
LENGTH = b"content-length: %d\r\n\r\n" % len(BODY)
CHUNKS = b"transfer-encoding: chunked\r\n\r\n%x;of=2\r\n%b\r\n7\r\n%b\r\n0\r\nx-last: 1\r\n\r\n"
CHUNKED = HEAD + CHUNKS % (len(BODY), BODY, b"\r\n0\r\n\r\n")

ANSWERS = {
    "length": HEAD + LENGTH + BODY,
    "chunks": CHUNKED,
    "until the end": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "nothing": HEAD + b"content-length: 0\r\n\r\n",
    "informed": b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" + HEAD + LENGTH + BODY,
    "more than was asked for": HEAD + LENGTH + BODY + CHUNKED,
    "two": HEAD + LENGTH + BODY + b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nb",
    "cut": HEAD + LENGTH + BODY[:-1],
    "cut chunks": CHUNKED[:-9],
    "no chunk": CHUNKED.replace(b"\r\n7\r\n", b"\r\n7z\r\n"),
    "a chunk too long": CHUNKED.replace(b"\r\n7\r\n", b"\r\n6\r\n"),
    "no head": b"\x16\x03\x01\x02\x00" + BODY,
    "a head without end": HEAD + b"x: y\r\n" * 40,
}


def asking(*, ours: bool) -> h11.Connection:
    """A parser that waits for an answer."""
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=200)
    if ours:
        parser._receive_buffer = ReceiveBuffer(parser._receive_buffer)
    ask(parser)
    return parser


def ask(parser: h11.Connection) -> None:
    """Send a request."""
    parser.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    parser.send(h11.EndOfMessage())


def read(parser: h11.Connection, pieces: Sequence[bytes], at_once: int) -> list[Any]:
    """All that a parser tells of so many pieces at once, the parts of a body put together, and how it ends."""
    told: list[Any] = []
    try:
        for number, piece in enumerate([*pieces, b""]):
            parser.receive_data(piece)
            if not piece or number % at_once == 0:
                told += events(parser)
    except h11.RemoteProtocolError as error:
        told.append(str(error))
    return [*joined(told), bytes(parser.trailing_data[0]), parser.their_state]


def events(parser: h11.Connection) -> list[Any]:
    """What a parser tells until it wants more; after one answer it is asked for another."""
    told: list[Any] = []
    while (event := parser.next_event()) is not h11.NEED_DATA:
        if event is h11.PAUSED:
            parser.start_next_cycle()
            ask(parser)
            continue
        told.append(event)
        if isinstance(event, h11.ConnectionClosed):
            break
    return told


def joined(told: Sequence[Any]) -> list[Any]:
    """Events with the bytes of a body as one."""
    result: list[Any] = []
    for event in told:
        data = bytes(event.data) if isinstance(event, h11.Data) else None
        if data is not None and result and isinstance(result[-1], bytes):
            result[-1] += data
        else:
            result.append(event if data is None else data)
    return result


@pytest.mark.parametrize("name", ANSWERS)
@given(st.lists(st.integers(0, 500), max_size=20), st.integers(1, 3))
def test_a_parser_tells_the_same(name: str, cuts: list[int], at_once: int):
    """However an answer is cut, and whatever is wrong with it, `h11` reads the same as from its own buffer."""
    answer = ANSWERS[name]
    bounds = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]
    pieces = [answer[start:stop] for start, stop in pairwise(bounds) if start < stop]

    assert read(asking(ours=True), pieces, at_once) == read(asking(ours=False), pieces, at_once)


@pytest.mark.parametrize("head", [HEAD + LENGTH, CHUNKED[: CHUNKED.index(BODY)]], ids=["length", "chunks"])
def test_a_body_is_handed_on_as_it_came(head: bytes):
    """The bytes of a body are those that were received, not a copy of them."""
    parser = asking(ours=True)
    parser.receive_data(head)
    events(parser)
    for piece in (BODY[:100], BODY[100:200]):
        parser.receive_data(piece)
        [event] = events(parser)
        assert event.data is piece


def test_the_buffer_can_be_put_under_a_parser_that_has_begun():
    """What a parser had received before is read first."""
    parser = asking(ours=False)
    parser.receive_data(HEAD + LENGTH + BODY[:9])
    parser._receive_buffer = ReceiveBuffer(parser._receive_buffer)
    parser.receive_data(BODY[9:])

    assert joined(events(parser))[1] == BODY
