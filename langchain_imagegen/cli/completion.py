"""What the shell completes: words of a list, and pictures of the session."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def one_of(words: Sequence[str]) -> Callable[[str], list[str]]:
    """Return the function that completes one of some words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


def complete_reference(incomplete: str) -> list[str]:
    """Return the names in the session that begin so, the latest first."""
    from langchain_imagegen.cli.workspace import Workspace

    try:
        memory = Workspace().remembered.memory
        names = ["last", *(memory.handle(image) for image in reversed(list(memory)[-20:]))]
    except Exception:  # noqa: BLE001 - completion must not fail in the middle of a command line
        return []
    return [name for name in names if name.startswith(incomplete)]
