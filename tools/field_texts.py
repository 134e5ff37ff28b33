"""An extension of Griffe for the reference: a pydantic field is explained by its `description`, and shows its default.

`zensical.toml` names this file. Griffe reads sources and imports nothing.
"""

from __future__ import annotations

import ast
from typing import Any

from griffe import Attribute, Docstring, ExprSubscript, ExprTuple, Extension


class FieldTexts(Extension):
    """Replaces `Field(default=None, description="…")` by its default, and takes the description as a docstring."""

    def on_attribute_instance(self, *, node: Any, attr: Attribute, **_: Any) -> None:
        """Read the field that an attribute of a class defines."""
        match attr.annotation:
            case ExprSubscript(left=left, slice=ExprTuple(elements=[kind, *_])) if str(left) == "Annotated":
                attr.annotation = kind
        call = getattr(node, "value", None)
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "Field":
            return
        given = {argument.arg: argument.value for argument in call.keywords}
        default = given.get("default", call.args[0] if call.args else given.get("default_factory"))
        attr.value = ast.unparse(default) if default is not None else None
        if attr.docstring is None and "description" in given:
            attr.docstring = Docstring(ast.literal_eval(given["description"]), parent=attr)
