"""Read fields of a JSON object by type. A field of another type is left out and named in a warning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Item = Mapping[str, Any]
_LAST_YEAR = 253402300799  # seconds of the year 9999, after which `datetime` has no dates


class Fields:
    """The fields of one JSON object.

    Args:
        value: The object; anything else has no fields.
        odd: Where warnings about fields of the wrong type are added.
    """

    def __init__(self, value: object, odd: list[str] | None = None) -> None:
        self._item: Item = value if isinstance(value, Mapping) else {}
        self._odd = odd if odd is not None else []

    def text(self, name: str) -> str | None:
        """Return a text that is not empty."""
        value = self._item.get(name)
        return (value or None) if isinstance(value, str) else self._leave_out(name, value, "text")

    def count(self, name: str) -> int | None:
        """Return a whole number that is not negative."""
        value = self._item.get(name)
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return value if whole else self._leave_out(name, value, "a whole number")

    def flag(self, name: str) -> bool | None:
        """Return a true or false."""
        value = self._item.get(name)
        return value if isinstance(value, bool) else self._leave_out(name, value, "true or false")

    def time(self, name: str) -> float | None:
        """Return seconds since 1970."""
        value = self._item.get(name)
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _LAST_YEAR
        return value if good else self._leave_out(name, value, "a time in seconds")

    def inside(self, name: str) -> Fields:
        """Return the fields of an object, none if it is not there."""
        value = self._item.get(name)
        return Fields(value if isinstance(value, Mapping) else self._leave_out(name, value, "an object"), self._odd)

    def objects(self, name: str) -> list[Item]:
        """Return the objects of a list."""
        value = self._item.get(name)
        if not isinstance(value, list):
            self._leave_out(name, value, "a list")
            return []
        for item in value:
            if not isinstance(item, Mapping):
                self._leave_out(f"{name}[]", item, "an object", also_null=True)
        return [item for item in value if isinstance(item, Mapping)]

    def counts(self, name: str) -> dict[str, int]:
        """Return the whole numbers of an object, by name without `_tokens`."""
        inner = self.inside(name)
        found = {key: inner.count(key) for key in inner if isinstance(key, str)}
        return {key.removesuffix("_tokens"): value for key, value in found.items() if value is not None}

    def __iter__(self) -> Iterator[str]:
        return iter(self._item)

    def _leave_out(self, name: str, value: object, expected: str, *, also_null: bool = False) -> Any:
        """Return `None`, with a warning unless the field is null or absent."""
        if value is not None or also_null:
            kind = {"NoneType": "null", "dict": "an object", "str": "a text"}.get(type(value).__name__)
            shown = kind or (repr(value)[:40] if isinstance(value, (int, float)) else "a list")
            warning = f"{name!r} of the answer is {shown} where {expected} belongs; it was left out"
            if warning not in self._odd:
                self._odd.append(warning)
        return None
