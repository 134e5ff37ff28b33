"""What an experiment varies: `Variation`, and the grid of prompts, options, image models and source pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.conversation.references import Remote, resolve
from langchain_imagegen.errors import OptionError
from langchain_imagegen.images.image import GeneratedImage, is_record
from langchain_imagegen.options.options import ImageOptions
from langchain_imagegen.storage.store import ImageStore

_LONGEST_LABEL = 60  # characters of a prompt in a label


class Variation(BaseModel):
    """One way of drawing: a prompt, options, and the pictures to edit.

    `options` are those that differ from the generator's. `images` are references in any form until the experiment
    runs; a saved experiment has records.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, extra="forbid")

    prompt: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    images: tuple[Any, ...] = ()

    @classmethod
    def of(cls, value: Variation | Mapping[str, Any] | str) -> Self:
        """Return a variation from a prompt or a dict of `prompt`, `images` and options.

        Raises:
            OptionError: An option does not exist or is out of bounds.
        """
        if isinstance(value, Variation):
            fields: dict[str, Any] = dict(value)
        else:
            given: dict[str, Any] = {"prompt": value} if isinstance(value, str) else dict(value)
            options = {**_as_dict(given.pop("options", None))}
            fields = {name: given.pop(name) for name in ("prompt", "images") if name in given}
            fields["options"] = {**options, **given}
        ImageOptions.parse(fields.get("options"))
        return cls(**{**fields, "images": _listed(fields.get("images"))})

    def labels(self) -> dict[str, str]:
        """Return what tells this variation from others, by the name of what varies."""
        rest = {name: value for name, value in self.options.items() if name != "model"}
        return {
            "prompt": shorten(self.prompt),
            "source": ", ".join(map(_name_of, self.images)),
            "model": str(self.options.get("model", "")),
            "options": ", ".join(f"{name}={value}" for name, value in rest.items()),
        }

    def digest(self, settings: Mapping[str, Any], attempt: int) -> str:
        """Return what names one try of this variation, whatever the service calls its sources.

        Args:
            settings: What the generator adds: the provider, the mainline model and all options in force.
            attempt: Which of several tries, from 0.
        """
        sources = [image.sha256 if isinstance(image, GeneratedImage) else repr(image) for image in self.images]
        text = json.dumps([self.prompt, sources, settings, attempt], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def resolved(self, memory: ImageMemory | None, store: ImageStore) -> Self:
        """Return the variation with its pictures looked up, and their bytes in `store`.

        Raises:
            UnknownImageError: A reference names no image.
        """
        return self.model_copy(update={"images": tuple(resolve(self.images, memory, store))})

    def record(self) -> dict[str, Any]:
        """Return a resolved variation as plain JSON."""
        return {"prompt": self.prompt, "options": self.options, "images": [_record_of(each) for each in self.images]}

    @classmethod
    def of_record(cls, record: Mapping[str, Any], store: ImageStore) -> Self:
        """Return the variation of a record, with the bytes of its pictures read from `store`."""
        images = (
            GeneratedImage.model_validate(each).bind(store) if is_record(each) else Remote(**each)
            for each in record.get("images", ())
        )
        return cls(prompt=record["prompt"], options=record["options"], images=tuple(images))

    def request(self) -> dict[str, Any]:
        """Return the fields of the request."""
        return {"prompt": self.prompt, "images": list(self.images), "options": self.options or None}


def grid(
    prompts: Iterable[str] | str = "",
    options: Any = (),
    models: Iterable[str] | str = (),
    sources: Any = (),
) -> tuple[Variation, ...]:
    """Return each prompt with each of the options, image models and sources.

    Raises:
        OptionError: An option does not exist, or a model stands in both `options` and `models`.
    """
    words = [prompts] if isinstance(prompts, str) else list(prompts)
    chosen = [_as_dict(each) for each in several(options)] or [{}]
    named = [{"model": model} for model in several(models)] or [{}]
    if any("model" in each for each in chosen) and named != [{}]:
        raise OptionError("the image model stands in options and in models: give it in one of them")
    images = [_listed(each) for each in several(sources)] or [()]
    return tuple(
        Variation.of({"prompt": prompt, "images": pictures, "options": {**model, **option}})
        for prompt, pictures, model, option in product(words, images, named, chosen)
    )


def several(values: Any) -> list[Any]:
    """Return values as a list; a single value, which may itself be a dict or a text, is a list of one."""
    single = isinstance(values, (str, bytes, Mapping, BaseModel)) or not isinstance(values, Iterable)
    return [values] if single else list(values)


def varying(variations: Sequence[Variation]) -> list[str]:
    """Return the names of what varies, in the order of `Variation.labels`."""
    labels = [variation.labels() for variation in variations]
    names = labels[0] if labels else {}
    return [name for name in names if len({each[name] for each in labels}) > 1]


def shorten(text: str) -> str:
    """Return the beginning of a text, on one line."""
    words = " ".join(text.split())
    return words if len(words) <= _LONGEST_LABEL else f"{words[: _LONGEST_LABEL - 1]}…"


def _name_of(image: object) -> str:
    if isinstance(image, GeneratedImage):
        return image.handle
    if isinstance(image, Remote):
        return image.url or image.file_id or image.call_id or ""
    return image if isinstance(image, str) and len(image) <= _LONGEST_LABEL else type(image).__name__


def _record_of(image: GeneratedImage | Remote) -> dict[str, Any]:
    return image.record() if isinstance(image, GeneratedImage) else asdict(image)


def _listed(images: Any) -> tuple[Any, ...]:
    if images is None:
        return ()
    return tuple(images) if isinstance(images, (list, tuple)) else (images,)


def _as_dict(options: Mapping[str, Any] | ImageOptions | None) -> dict[str, Any]:
    if isinstance(options, ImageOptions):
        return options.model_dump(exclude_unset=True)
    return dict(options or {})
