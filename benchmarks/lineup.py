"""Who takes part, in the order in which tables show them."""

from __future__ import annotations

from benchmarks.contestants import Contestant
from benchmarks.floor import Floor
from benchmarks.ours import ChatOverTransport, Generator, GeneratorAndRead
from benchmarks.peers import Agents, Chat, PydanticAI, RawSDK

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


def present(*names: str) -> list[type[Contestant]]:
    """Those of these names, or all, whose libraries are installed."""
    wanted = [kind for kind in EVERYBODY if not names or kind.name in names]
    return [kind for kind in wanted if not kind.missing()]
