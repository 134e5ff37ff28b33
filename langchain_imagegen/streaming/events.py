"""Split text that arrives in chunks of any size into server-sent events, whose meaning is not known here."""

from __future__ import annotations


class EventReader:
    """Returns the data of server-sent events.

    Events without data are skipped. Event names are ignored, since the service repeats them in the data.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._after_cr = False
        self._mark = b"\xef\xbb\xbf"

    def feed(self, text: bytes) -> list[bytes]:
        """Return the data of each event that this text completes."""
        if self._after_cr and text.startswith(b"\n"):
            text = text[1:]
            self._after_cr = False
        events: list[bytes] = []
        for line in text.splitlines(keepends=True):
            self._line += line
            if line.endswith((b"\n", b"\r")):
                events += self._end_line()
        self._after_cr = text.endswith(b"\r") if text else self._after_cr
        return events

    def finish(self) -> list[bytes]:
        """Return the data of a last event that lacks its blank line."""
        return [*self._end_line(), *self._end_line()]

    def _end_line(self) -> list[bytes]:
        line = bytes(self._line).rstrip(b"\r\n")
        self._line.clear()
        line, self._mark = line.removeprefix(self._mark), b""
        if not line:
            return self._end_event()
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
        return []

    def _end_event(self) -> list[bytes]:
        data = b"\n".join(self._data)
        self._data.clear()
        return [data] if data else []
