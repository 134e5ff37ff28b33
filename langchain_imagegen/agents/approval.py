"""`approval`: a person is asked before a picture is drawn, by LangChain's `HumanInTheLoopMiddleware`.

What the person reads stands here: prompt, sources, options and the price. Approving, editing and rejecting are
LangChain's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from langchain_imagegen.conversation.handles import read_handles
from langchain_imagegen.errors import ImageGenerationError, OptionError
from langchain_imagegen.images.cost import Cost, read_dollars
from langchain_imagegen.images.prices import load_prices

if TYPE_CHECKING:
    from langchain_imagegen.agents.tool import ImageGenerationTool
    from langchain_imagegen.images.image import GeneratedImage

logger = logging.getLogger("langchain_imagegen")

Decision = Literal["approve", "edit", "reject", "respond"]
NAME = "generate_image"


def approval(
    threshold: str | float | Decimal | None = None,
    *,
    tool: ImageGenerationTool | None = None,
    decisions: Iterable[Decision] = ("approve", "edit", "reject", "respond"),
) -> dict[str, Any]:
    """Return `interrupt_on` for `HumanInTheLoopMiddleware`, deepagents and `ImageGenerationMiddleware(approval=…)`.

    The person reads the prompt, the pictures to edit with their addresses, the options and what the picture costs at
    most. An edited call is checked as the chat model's is.

    Args:
        threshold: Dollars, such as `"$0.10"`: cheaper pictures are drawn unasked. `None` asks for every picture. A
            picture whose price is not known is asked for.
        tool: The tool, whose options decide about the price. `None` takes the default options, and the dearest size and
            quality where the chat model names none.
        decisions: What the person may do.

    Examples:
        >>> HumanInTheLoopMiddleware({**approval("$0.10"), "send_email": True})

    Raises:
        OptionError: The threshold is no amount.
    """
    load_prices()
    most_unasked = None if threshold is None else read_dollars("threshold", threshold)
    review = Review(tool, most_unasked)
    config = {"allowed_decisions": list(decisions), "description": review.description}
    return {tool.name if tool else NAME: config | ({} if most_unasked is None else {"when": review.is_asked_for})}


def read_approval(value: Any, tool: ImageGenerationTool) -> dict[str, Any]:
    """Return the `interrupt_on` of a middleware's `approval=`: True, an amount, or what `approval` returns.

    Raises:
        OptionError: It is none of these.
    """
    if value is True:
        return approval(tool=tool)
    if not isinstance(value, Mapping):
        return approval(read_dollars("approval", value), tool=tool)
    if tool.name not in value:
        raise OptionError(f"approval= asks for {', '.join(map(repr, value))}, and the tool's name is {tool.name!r}")
    return dict(value)


def reviewer(value: Any, tool: ImageGenerationTool) -> Any:
    """Return LangChain's middleware that asks a person about each call of a tool, within the call.

    Raises:
        OptionError: `value` is no approval.
    """
    from langchain.agents.middleware import HumanInTheLoopMiddleware

    return HumanInTheLoopMiddleware(read_approval(value, tool), interrupt_mode="per_call")


class Review:
    """What a person is told about a chat model's call, and whether a person is asked.

    Args:
        tool: The tool that is called, if it is known.
        threshold: Dollars from which on a person is asked.
    """

    def __init__(self, tool: ImageGenerationTool | None, threshold: Decimal | None) -> None:
        self._tool, self._threshold = tool, threshold

    def is_asked_for(self, request: Any) -> bool:
        """Return True if the call may cost the threshold or more; False if its arguments are wrong and buy nothing."""
        tool = request.tool or self._tool
        arguments = request.tool_call["args"]
        if tool is not None and not _is_valid(tool, arguments):
            return False
        total = _price(tool, arguments, _named(arguments)).total
        return total is None or self._threshold is None or total >= self._threshold

    def description(self, tool_call: Mapping[str, Any], state: Any, runtime: Any) -> str:
        """Return what the person reads, as Markdown."""
        del runtime
        arguments = tool_call["args"]
        named = _named(arguments)
        sources = [_source(name, state, self._tool) for name in named]
        options = _options(self._tool, arguments)
        lines = {
            "Prompt": str(arguments.get("prompt", "")),
            "Sources": "".join(f"\n- {source}" for source in sources),
            "Options": ", ".join(f"{name} {value}" for name, value in options.items()),
            "Price": str(_price(self._tool, arguments, named)),
        }
        title = "Edit a picture?" if named else "Draw a picture?"
        return "\n\n".join([title, *(f"**{name}:** {text}" for name, text in lines.items() if text)])


def _is_valid(tool: Any, arguments: Mapping[str, Any]) -> bool:
    try:
        tool.args_schema.model_validate(dict(arguments))
    except ValidationError:
        return False
    return True


def _named(arguments: Mapping[str, Any]) -> list[str]:
    """Return the names of the pictures to edit, as a chat model may have written them."""
    try:
        return list(dict.fromkeys(read_handles(arguments.get("images") or [])))
    except (TypeError, ValueError):
        return [str(arguments.get("images"))]


def _options(tool: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a call; those that cannot be read are left to the tool, which refuses them."""
    from langchain_imagegen.options.options import ImageOptions

    own = ImageOptions() if generator_of(tool) is None else generator_of(tool).options
    chosen = {name: value for name, value in arguments.items() if name in ImageOptions.model_fields and value}
    with suppress(OptionError):
        own = own.merge(chosen)
    return own.sent()


def _price(tool: Any, arguments: Mapping[str, Any], named: list[str]) -> Cost:
    from langchain_imagegen.drawing.estimate import estimate

    generator = generator_of(tool)
    model: dict[str, Any] = (
        {} if generator is None else {"model": generator.model if generator.api == "responses" else None}
    )
    return estimate(_options(tool, arguments), sources=len(named), prompt=str(arguments.get("prompt", "")), **model)


def generator_of(tool: Any) -> Any:
    """Return the generator of a tool, if both are given."""
    return None if tool is None else tool.generator


def _source(name: str, state: Any, tool: Any) -> str:
    """Return a picture to edit in words: its name, its prompt and its address, as far as they are known."""
    from langchain_imagegen.conversation.memory import ImageMemory

    try:
        store = None if generator_of(tool) is None else generator_of(tool).image_store
        image = ImageMemory.from_state(state, image_store=store).get(name)
    except ImageGenerationError:
        return f"{name} (not known)"
    words = f"{image.handle}: {image.prompt}" if image.prompt else image.handle
    address = _address(image, tool)
    return f"[{words}]({address})" if address else words


def _address(image: GeneratedImage, tool: Any) -> str | None:
    """Return a picture's address; None where there is none."""
    url_for = getattr(tool, "url_for", None)
    try:
        return str(url_for(image)) if url_for else image.url()
    except Exception as error:  # noqa: BLE001 - it is the caller's function, and the person is asked all the same
        logger.info("the person who is asked sees no address of %s: %r", image.handle, error)
        return None
