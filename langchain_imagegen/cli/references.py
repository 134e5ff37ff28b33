"""References to pictures as arguments: what the shell completes."""

from __future__ import annotations


def complete_reference(incomplete: str) -> list[str]:
    """Return the names in the session that begin so, the latest first."""
    from langchain_imagegen.cli.workspace import Workspace

    try:
        memory = Workspace().remembered.memory
        names = ["last", *(memory.handle(image) for image in reversed(list(memory)[-20:]))]
    except Exception:  # noqa: BLE001 - completion must not fail in the middle of a command line
        return []
    return [name for name in names if name.startswith(incomplete)]
