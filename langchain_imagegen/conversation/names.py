"""The names of images by their beginnings: which images a handle may mean, and how long a handle must be."""

from __future__ import annotations

SHORTEST = 8  # hex digits of a handle


class NameIndex:
    """Ids of images by name, which is 64 hex digits; see `images.image.name_of`."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._buckets: dict[str, list[str]] = {}

    def put(self, id: str, name: str) -> None:
        """Let an image be found by this name, and no longer by an earlier one."""
        if self._names.get(id) != name:
            self.remove(id)
            self._names[id] = name
            self._buckets.setdefault(name[:SHORTEST], []).append(id)

    def remove(self, id: str) -> None:
        """Let an image be found by no name."""
        name = self._names.pop(id, None)
        if name is not None:
            self._buckets[name[:SHORTEST]].remove(id)

    def beginning_with(self, digits: str) -> list[str]:
        """Return the ids whose names begin with some hex digits; this is one look-up from 8 digits on."""
        if len(digits) >= SHORTEST:
            near = self._buckets.get(digits[:SHORTEST], [])
            return [id for id in near if self._names[id].startswith(digits)]
        return [id for start, ids in self._buckets.items() if digits and start.startswith(digits) for id in ids]

    def handle(self, id: str) -> str:
        """Return the handle of an image: `img_` and 8 digits, or more if the name of another one begins alike."""
        name, length = self._names[id], SHORTEST
        rivals = [self._names[other] for other in self.beginning_with(name[:length]) if other != id]
        while any(rival.startswith(name[:length]) for rival in rivals):
            length += 1
        return f"img_{name[:length]}"
