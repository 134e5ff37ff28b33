"""What a graph tells of earlier drawings: the pictures of a run and a thread in its state, and the step of a call."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from langchain_core.runnables import RunnableConfig

from langchain_imagegen.agents.budget import SCOPES, Budget, Drawn, Limits, Register, Scope, register_of
from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.conversation.output_parser import images_from
from langchain_imagegen.conversation.spending import cost_of_images
from langchain_imagegen.drawing.estimate import estimate
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.options.options import ImageOptions


def budget_of(
    limits: Limits,
    state: Any,
    memory: ImageMemory,
    config: RunnableConfig,
    *,
    call: tuple[str | None, str | None],
    own: Register,
) -> Budget:
    """Return what a call may draw.

    Args:
        limits: The limits of its tool.
        state: The graph's state; None outside a graph.
        memory: The images of that state.
        config: The configuration of the call.
        call: The ids of the message that makes the call and of the call.
        own: The tool's register, for calls outside a graph.
    """
    drawn = drawn_in(state, memory) if state is not None else nothing_drawn()
    return Budget(limits, drawn, registers_of(config, own), call if any(call) else object())


def nothing_drawn() -> Drawn:
    """Return what is drawn where no state tells it."""
    return Drawn({scope: frozenset() for scope in SCOPES}, dict.fromkeys(SCOPES, Decimal(0)).__getitem__)


def drawn_in(state: Any, memory: ImageMemory) -> Drawn:
    """Return what a state says was drawn in the latest run and in the thread."""
    latest = images_from(state, image_store=memory.image_store, since="last_human", allow_empty=True)
    images: dict[Scope, list[GeneratedImage]] = {
        "run": [image for image in latest if image.origin == "model"],
        "thread": [image for image in (*memory, *latest) if image.origin == "model"],
    }
    ids = {scope: frozenset(image.id for image in images[scope]) for scope in SCOPES}

    @cache
    def dollars(scope: Scope) -> Decimal:
        cost = memory.cost() if scope == "thread" else cost_of_images(images[scope], {})
        untold = {image.id: image for image in images[scope] if image.tokens is None}
        return cost.known + sum(map(most_dollars_of, untold.values()), Decimal(0))

    return Drawn(ids, dollars)


def most_dollars_of(image: GeneratedImage) -> Decimal:
    """Return what a picture whose tokens are not recorded cost at most, by the options that its record tells."""
    facts = {"model": image.image_model, "size": image.size, "quality": image.quality}
    options = ImageOptions.parse({name: value for name, value in facts.items() if value})
    return estimate(options, sources=len(image.parents), prompt=image.prompt or "").known


def registers_of(config: RunnableConfig, own: Register) -> Mapping[tuple[Scope, ...], Register]:
    """Return the registers of a call: that of the outermost graph's step, and that of the run where it has an id."""
    registers = {SCOPES: own if (step := _step_of(config)) is None else register_of(step)}
    run = {**(config.get("configurable") or {}), **(config.get("metadata") or {})}.get("run_id")
    return {**registers, ("run",): register_of(("run", str(run)))} if run else registers


def _step_of(config: RunnableConfig) -> Hashable:
    """Return what names the step of the outermost graph: its thread and checkpoint; None outside a graph."""
    configurable = config.get("configurable") or {}
    checkpoint = (configurable.get("checkpoint_map") or {}).get("") or configurable.get("checkpoint_id")
    return ("step", configurable.get("thread_id"), checkpoint) if checkpoint else None
