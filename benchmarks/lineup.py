"""Who takes part, in the order in which tables show them."""

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
"""Those who take part only where they are named: the one gives no picture, the other differs in crowds."""

ORDER = (Floor.name, Unread.name, *(kind.name for kind in EVERYBODY[1:]), GeneratorOverAiohttp.name)


def present(*names: str) -> list[type[Contestant]]:
    """Those of these names, or everybody, whose libraries are installed."""
    wanted = [kind for kind in (*EVERYBODY, *ON_REQUEST) if kind.name in names] if names else EVERYBODY
    return [kind for kind in wanted if not kind.missing()]
