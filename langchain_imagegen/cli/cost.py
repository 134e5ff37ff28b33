"""`imagegen cost`: what a picture costs at most, or what pictures have cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_imagegen.cli.listing import Wanted
from langchain_imagegen.cli.output import Output, price_of
from langchain_imagegen.cli.workspace import Workspace
from langchain_imagegen.options.options import ImageOptions

if TYPE_CHECKING:
    from langchain_imagegen.images.cost import Cost

Prompt = Annotated[list[str] | None, typer.Argument(help="What to draw.", metavar="PROMPT", show_default=False)]
Count = Annotated[int, typer.Option("--count", "-n", help="How many pictures.", min=1)]
Sources = Annotated[int, typer.Option(help="How many pictures each one is made from.", min=0)]
Mainline = Annotated[str | None, typer.Option(help="Mainline model.", show_default="gpt-5.4")]
Api = Annotated[str, typer.Option(metavar="responses|images", help="API that draws; images has no mainline model.")]
Spent = Annotated[bool, typer.Option("--spent", help="Add up what the pictures of the library have cost instead.")]
Day = Annotated[str | None, typer.Option(help="With --spent: a day in UTC, or first..last.")]
Tag = Annotated[str | None, typer.Option(help="With --spent: pictures with this tag.")]

_PARTS = {
    "image_output": "picture",
    "image_input": "source pictures",
    "text": "prompt",
    "mainline": "mainline model",
}


def cost(
    prompt: Prompt = None,
    *,
    count: Count = 1,
    sources: Sources = 0,
    mainline_model: Mainline = None,
    api: Api = "responses",
    spent: Spent = False,
    day: Day = None,
    tag: Tag = None,
    output: Output,
    options: ImageOptions,
    workspace: Workspace,
) -> None:
    """Estimate what a picture costs, or add up what pictures have cost.

    An estimate is an upper bound by published tables, with what it assumes. Nothing is sent.
    """
    from langchain_imagegen.drawing.estimate import estimate
    from langchain_imagegen.options.models import DEFAULT_MAINLINE_MODEL

    if spent:
        _add_up(Wanted(day=day, tag=tag), output, workspace)
        return
    options.check(api="images" if api == "images" else "responses")
    model = None if api == "images" else mainline_model or DEFAULT_MAINLINE_MODEL
    found = estimate(options, count, sources, prompt=" ".join(prompt or ()), model=model)
    output.give(found.model_dump(mode="json"))
    output.say(f"{count} picture{'s' * (count > 1)}: {found}", "bold")
    _explain(found, output)


def _add_up(wanted: Wanted, output: Output, workspace: Workspace) -> None:
    from langchain_imagegen.conversation.spending import cost_of_images

    images = [entry.image for entry in wanted.entries(workspace)]
    total = cost_of_images(images, {})
    days: dict[str, list[Any]] = {}
    for image in images:
        days.setdefault(f"{image.created_at:%Y-%m-%d}" if image.created_at else "?", []).append(image)
    each = {day: cost_of_images(group, {}) for day, group in sorted(days.items())}
    simulated = workspace.simulated
    output.give(
        {
            "pictures": len(images),
            **total.model_dump(mode="json"),
            "days": {day: found.model_dump(mode="json") for day, found in each.items()},
            "simulated": simulated,
        }
    )
    for day, found in each.items():
        output.say(f"{day}  {len(days[day]):4} pictures  {found}")
    price = price_of(total, simulated=simulated, drawn="them") + "; they are simulated" * simulated
    output.say(f"{len(images)} picture{'s' * (len(images) != 1)}: {price}", "bold")
    _explain(total, output)


def _explain(found: Cost, output: Output) -> None:
    """Print the parts of a cost, what it assumes, and where its prices are from."""
    from langchain_imagegen.images.cost import dollars

    for part, name in _PARTS.items():
        value = getattr(found, part)
        if value:
            output.say(f"  {name:16} {dollars(value)}")
    for assumption in found.assumptions:
        output.say(f"  assumes: {assumption}", "dim")
    for price in found.prices:
        output.say(f"  price of {price}", "dim")
