"""What an HTTP/1.1 parser has been given and not read yet, with the bytes of a body handed on as they came.

`h11` copies each byte of a body three times on its way through its own buffer, and `httpcore` once more because of it.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import Self


class ReceiveBuffer:
    """The buffer of an `h11` connection, which keeps what the parser has to search: heads, and chunks' lines.

    Args:
        usual: The parser's own, which may hold something.
    """

    def __init__(self, usual: Any) -> None:
        self._usual = usual
        self._piece = b""  # what came last, if nothing else waits

    def __len__(self) -> int:
        return len(self._usual) + len(self._piece)

    def __bytes__(self) -> bytes:
        return bytes(self._usual) + self._piece

    def __iadd__(self, data: bytes) -> Self:
        if len(self) or not isinstance(data, bytes):
            self._searched()
            self._usual += data
        else:
            self._piece = data
        return self

    def maybe_extract_at_most(self, count: int) -> Any:
        """The next bytes of a body, at most so many; `None` if there are none."""
        if not self._piece or len(self._piece) > count:
            return self._searched().maybe_extract_at_most(count)
        piece, self._piece = self._piece, b""
        return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._searched(), name)

    def _searched(self) -> Any:
        if self._piece:
            self._usual += self._piece
            self._piece = b""
        return self._usual
