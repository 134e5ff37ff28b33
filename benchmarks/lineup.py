"""The contestants, in the order in which tables show them."""

from __future__ import annotations

from benchmarks.contestants import Contestant
from benchmarks.floor import Floor
from benchmarks.ours import ChatOverTransport, Generator, GeneratorAndRead, GeneratorOverAiohttp
from benchmarks.peers import Agents, Chat, PydanticAI, RawSDK, Unread

EVERYBODY: tuple[type[Contestant], ...] = (
    Floor,
    RawSDK,
    Chat,
    PydanticAI,
    Agents,
    Generator,
    GeneratorAndRead,
    ChatOverTransport,
)

ON_REQUEST: tuple[type[Contestant], ...] = (Unread, GeneratorOverAiohttp)
"""Contestants of some measures only: the first returns no picture, the second differs only in concurrent calls."""

ORDER = (Floor.name, Unread.name, *(kind.name for kind in EVERYBODY[1:]), GeneratorOverAiohttp.name)


def installed(*names: str) -> list[type[Contestant]]:
    """Return the contestants with these names, or `EVERYBODY`, without those whose libraries are not installed."""
    wanted = [kind for kind in (*EVERYBODY, *ON_REQUEST) if kind.name in names] if names else EVERYBODY
    return [kind for kind in wanted if not kind.missing()]
