"""Records the cassettes again: against the service if OPENAI_API_KEY is set, otherwise against the simulator.

It draws eight small, low-quality pictures, which cost a few cents if the service draws them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import openai
from scenes import SCENES, Scene
from tape import HERE, recorder

from langchain_imagegen import ImageResult, ImageStore, PartialImage
from langchain_imagegen.errors import ImageGenerationError
from langchain_imagegen.simulator import Simulator

LIVE = "https://api.openai.com/v1"


def main() -> None:
    """Delete the existing cassettes and pictures, then record every scene."""
    shutil.rmtree(HERE / "blobs", ignore_errors=True)
    for old in HERE.glob("*.yaml"):
        old.unlink()
    for scene in SCENES:
        outcome = record(scene)
        print(f"{scene.name:24} {outcome}")


def record(scene: Scene) -> str:
    """Record one scene with its own service and image store. Return a summary of the outcome."""
    with ExitStack() as stack:
        service = _service(stack)
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        cassette = stack.enter_context(recorder(recording=True).use_cassette(scene.name))
        cassette.get_metadata("recorded", _label(service))
        draw = scene.generator(ImageStore(folder), **service)
        try:
            pieces = list(scene.play(draw)) if scene.half == "sync" else asyncio.run(_collect_pieces(scene, draw))
        except ImageGenerationError as error:
            return f"{type(error).__name__}: {error}"
    return ", ".join(_describe_piece(piece) for piece in pieces)


async def _collect_pieces(scene: Scene, draw: Any) -> list[Any]:
    return [piece async for piece in scene.aplay(draw)]


def _describe_piece(piece: PartialImage | ImageResult) -> str:
    return f"partial {piece.index}" if isinstance(piece, PartialImage) else f"{piece.image.handle} by {piece.rung}"


def _service(stack: ExitStack) -> dict[str, Any]:
    if os.environ.get("OPENAI_API_KEY"):
        return {"base_url": os.environ.get("OPENAI_BASE_URL") or LIVE}
    return {"base_url": stack.enter_context(Simulator()).base_url, "api_key": "simulated"}


def _label(service: dict[str, Any]) -> dict[str, str]:
    """Return the head of a cassette: where, when and with which SDK it was recorded."""
    live = "api_key" not in service
    return {
        "from": service["base_url"] if live else "the simulator of this package, not the live service",
        "date": datetime.now(UTC).date().isoformat(),
        "with": f"openai {openai.__version__}",
    }


if __name__ == "__main__":
    main()
