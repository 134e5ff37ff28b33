"""Keeps pickles and imports of version 0.1.0 working: old module names, and defaults for fields added since."""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_PACKAGE = __name__.partition(".")[0]
_MOVED = {
    "artifacts": ("images.image", "images.partial", "images.result"),
    "capabilities": ("options.models",),
    "generator": ("drawing.generator", "drawing.settings", "drawing.connections", "drawing.transport"),
    "memory": ("conversation.memory", "conversation.channel"),
    "messages": ("conversation.messages",),
    "middleware": ("agents.middleware",),
    "options": ("options.options", "options.request"),
    "output_parser": ("conversation.output_parser",),
    "references": ("conversation.references",),
    "state": ("conversation.state",),
    "store": ("storage.store",),
    "tokens": ("streaming.placeholders",),
    "tool": ("agents.tool",),
}


def look_up(module: str, name: str) -> Any:
    """Return the attribute `name` of the module with this old name, from the module that defines it now.

    Raises:
        AttributeError: No current module defines it.
    """
    if not name.startswith("__"):
        for new in _MOVED[module]:
            found = import_module(f"{_PACKAGE}.{new}")
            if hasattr(found, name):
                return getattr(found, name)
    raise AttributeError(f"module '{_PACKAGE}.{module}' has no attribute {name!r}")


class MovedModules:
    """An import finder for old module names; attributes come from the modules that define them now."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of a module that moved, and None for any other module."""
        del path, target
        package, _, module = name.rpartition(".")
        loader: Any = MovedModules
        return ModuleSpec(name, loader) if package == _PACKAGE and module in _MOVED else None

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        """Return an empty module that looks up its attributes on access."""
        module = ModuleType(spec.name, "Moved: import its names from `langchain_imagegen`.")
        vars(module)["__getattr__"] = partial(look_up, spec.name.rpartition(".")[2])
        return module

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Do nothing: the module has no code of its own."""


class OldPickles:
    """Base of pydantic models whose pickles may lack newer fields; those fields get their defaults on unpickling."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        kind: Any = type(self)
        defaults = {
            name: field.get_default(call_default_factory=True)
            for name, field in kind.model_fields.items()
            if name not in state["__dict__"] and not field.is_required()
        }
        parent: Any = super()
        parent.__setstate__({**state, "__dict__": {**state["__dict__"], **defaults}})


def install() -> None:
    """Register `MovedModules` as the last import finder."""
    if MovedModules not in sys.meta_path:
        sys.meta_path.append(MovedModules)
