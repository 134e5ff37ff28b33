"""What draws an experiment: a generator, perhaps with bound options, and the settings that its pictures hang on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import Runnable, RunnableBinding

from langchain_imagegen.drawing.generator import ImageGenerator
from langchain_imagegen.drawing.model_kwargs import check_model_kwargs
from langchain_imagegen.errors import OptionError
from langchain_imagegen.options.options import ImageOptions
from langchain_imagegen.options.text import check_json
from langchain_imagegen.options.validation import listed

_RECORDED = ("api", "instructions", "reasoning", "tool_choice")
_BINDABLE = ("options", "instructions", *ImageOptions.model_fields)


def unbound(draw: object) -> ImageGenerator:
    """Return the generator, with the options and instructions that are bound to it for its own.

    Raises:
        OptionError: It is something else, such as a chain, or something is bound that every cell would share.
    """
    binding = draw if isinstance(draw, RunnableBinding) else None
    generator = draw if binding is None else binding.bound
    if not isinstance(generator, ImageGenerator):
        raise OptionError(
            f"an experiment is drawn by an ImageGenerator, not by {type(draw).__name__}: give run() the generator. "
            "It retries by itself, and the steps of a chain before it become prompts= and options="
        )
    if binding is None:
        return generator
    fields = dict(binding.kwargs)
    if others := [name for name in fields if name not in _BINDABLE]:
        raise OptionError(
            f"{listed(others, 'and')} cannot be bound to the generator of an experiment, whose cells would share it: "
            "bind options or instructions alone"
        )
    instructions = fields.pop("instructions", generator.instructions)
    options = generator.options.merge(fields.pop("options", None)).merge(fields)
    return generator.model_copy(update={"options": options, "instructions": instructions})


def with_config_of(draw: object, generator: ImageGenerator) -> Runnable[Any, Any]:
    """Return a generator with the config, such as tags and callbacks, that `draw` has."""
    if not isinstance(draw, RunnableBinding):
        return generator
    return draw.model_copy(update={"bound": generator, "kwargs": {}})


def settings_of(draw: ImageGenerator) -> dict[str, Any]:
    """Return the settings that a file needs to draw the same again.

    `model_kwargs` are not among them: tools of other services may hold keys.
    """
    options = draw.options.model_dump(mode="json", exclude_none=True) | {"model": draw.options.model}
    return {"model": draw.model, "options": options, **_chosen(draw)}


def with_settings(draw: ImageGenerator, settings: Mapping[str, Any]) -> ImageGenerator:
    """Return a generator with the settings of a record in place of its own.

    Raises:
        OptionError: A setting is damaged, or does not go with those of the generator.
    """
    fields = {name: settings.get(name, ImageGenerator.model_fields[name].get_default()) for name in _RECORDED}
    model, api, reasoning = settings.get("model", draw.model), fields["api"], fields["reasoning"]
    damaged = not isinstance(model, str) or api not in ("responses", "images") or not isinstance(reasoning, dict | None)
    if damaged or not isinstance(fields["instructions"], str | None):
        raise OptionError("the settings of the experiment are damaged: its generator cannot be made")
    check_json(tool_choice=fields["tool_choice"], instructions=fields["instructions"])
    check_model_kwargs(draw.model_kwargs, reasoning, api)
    if api == "images" and draw.delivery == "background":
        raise OptionError('the experiment was drawn with api="images", which draws nothing in the background')
    options = ImageOptions.parse(settings.get("options"))
    return draw.model_copy(update={**fields, "model": model, "options": options})


def identity_of(draw: ImageGenerator, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells the pictures of one generator from those of another, as JSON.

    Args:
        draw: The generator.
        options: All options that are sent.
    """
    others = {"model_kwargs": draw.model_kwargs} if draw.model_kwargs else {}
    return {"provider": draw.provider, "model": draw.model, "options": dict(options), **_chosen(draw), **others}


def _chosen(draw: ImageGenerator) -> dict[str, Any]:
    """Return the recorded settings that are not the default ones."""
    fields = ImageGenerator.model_fields
    return {name: value for name in _RECORDED if (value := getattr(draw, name)) != fields[name].get_default()}
