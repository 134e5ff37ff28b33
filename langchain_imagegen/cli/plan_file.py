"""Files of experiments: a plan in TOML or JSON, or what `Sheet.to_file` wrote."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_imagegen.cli.workspace import Workspace
from langchain_imagegen.errors import OptionError
from langchain_imagegen.experiments.experiment import Experiment
from langchain_imagegen.options.validation import did_you_mean, listed

KEYS = ("name", "prompts", "options", "models", "sources", "variations", "n", "max_cost", "mainline_model")


@dataclass(frozen=True)
class PlanFile:
    """What a file says: the experiment, the most that it may cost, and the mainline model."""

    experiment: Experiment
    max_cost: Any = None
    mainline_model: str | None = None


def read_plan(path: Path, workspace: Workspace) -> PlanFile:
    """Return the experiment of a file. Its pictures are those of the workspace, or files beside it.

    Raises:
        OptionError: It cannot be read, or says what no experiment has.
        UnknownImageError: A source names no picture.
    """
    plan = _parsed(path)
    if {"variations", "cells", "tries"} <= plan.keys():
        return PlanFile(Experiment.from_file(path, image_store=workspace.image_store))
    if unknown := [key for key in plan if key not in KEYS]:
        hints = [f"{path.name!r} has no {key!r}{did_you_mean(key, KEYS)}" for key in unknown]
        raise OptionError(*hints, f"a plan has {listed(KEYS, 'and')}")
    own = {key: plan.pop(key, None) for key in ("max_cost", "mainline_model")}
    sources = [_sources(each, workspace, path.parent) for each in plan.pop("sources", ())]
    variations = [_variation(each, workspace, path.parent) for each in plan.pop("variations", ())]
    options = plan.pop("options", ())
    plan["options"] = [options] if isinstance(options, Mapping) else options
    try:
        experiment = Experiment(plan.pop("name", path.stem), sources=sources, variations=variations, **plan)
    except (TypeError, ValueError) as error:
        raise error if isinstance(error, OptionError) else OptionError(f"{path.name!r}: {error}") from error
    return PlanFile(experiment, **own)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        plan = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise OptionError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise OptionError(f"{path.name!r} is no TOML or JSON: {error}") from error
    if not isinstance(plan, dict):
        raise OptionError(f"{path.name!r} is no plan of an experiment: it holds no table")
    return plan


def _variation(value: Any, workspace: Workspace, folder: Path) -> Any:
    if not isinstance(value, dict) or "images" not in value:
        return value
    return {**value, "images": _sources(value["images"], workspace, folder)}


def _sources(references: Any, workspace: Workspace, folder: Path) -> list[Any]:
    """Return the pictures that go into one edit."""
    each: Iterable[str] = [references] if isinstance(references, str) else references
    return [workspace.source(str(reference), folder=folder) for reference in each]
