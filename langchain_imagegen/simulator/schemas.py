"""Values that fit a JSON schema, by simple rules on the text and the pictures that the simulated model reads.

A real model has no such rules, so everything here is a guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Properties of these names take what a text says of them, such as "low quality" or "16:9".
_SAID = {
    "quality": re.compile(r"\b(low|medium|high)[\s-]quality\b", re.IGNORECASE),
    "size": re.compile(r"\b(\d{3,4}x\d{3,4})\b"),
    "aspect_ratio": re.compile(r"\b(\d{1,2}:\d{1,2})\b"),
}


def said(name: str, text: str) -> str | None:
    """Return what a text says about an option, such as `low` for `quality`, or None."""
    found = _SAID[name].search(text) if name in _SAID else None
    return found[1].lower() if found else None


@dataclass(frozen=True)
class Sample:
    """Fills schemas: strings become `text`.

    Attributes:
        prompt: What the user wrote; it becomes the property `prompt`, and options that it names become theirs.
        missing: What the user asked to look for in pictures and is not there; lists become this, and a boolean tells
            whether it is empty. `None` if there are no pictures.
    """

    text: str
    prompt: str = ""
    missing: tuple[str, ...] | None = None

    def value(self, schema: Mapping[str, Any]) -> Any:
        """Return a small value that fits a schema."""
        if "enum" in schema:
            return schema["enum"][0]
        kind = _kind(schema)
        if kind == "object":
            properties = schema.get("properties", {})
            return {name: self._field(name, properties[name]) for name in schema.get("required", list(properties))}
        if kind == "array":
            if self.missing is not None and _kind(schema.get("items", {})) == "string":
                return list(self.missing)
            return [self.value(schema.get("items", {}))] * int(schema.get("minItems", 0))
        return {"integer": 1, "number": 1.0, "boolean": not self.missing, "null": None}.get(kind, self.text)

    def _field(self, name: str, schema: Mapping[str, Any]) -> Any:
        if name == "prompt" and self.prompt and _kind(schema) == "string":
            return self.prompt
        return self.value(schema) if (found := said(name, self.prompt)) is None else found


def _kind(schema: Mapping[str, Any]) -> str:
    """Return the JSON type that is chosen of a schema: null wherever that is allowed."""
    if any(option.get("type") == "null" for option in schema.get("anyOf", ())):
        return "null"
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kinds = kind if isinstance(kind, list) else [kind]
    return "null" if "null" in kinds else str(kinds[0])
