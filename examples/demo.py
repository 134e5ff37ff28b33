"""Draws a picture, reports its partial pictures, then edits it: `python examples/demo.py "draw a fox"`.

OpenAI draws if OPENAI_API_KEY is set, otherwise a simulator on this machine.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path

from langchain_imagegen import ImageGenerator, ImageMemory, ImageResult, ImageStore, PartialImage
from langchain_imagegen.simulator import Simulator

PROMPT = "Draw misty mountain ridges under a low sun at dusk"
FOLDER = Path("demo")


def show(result: ImageResult, path: Path) -> None:
    """Save a picture and print its details."""
    image, tokens = result.image, result.usage or {}
    drawn = result.image_usage.total_tokens if result.image_usage else "unknown"
    print(f"  saved as        {image.save(path)}")
    print(f"  size            {image.width}x{image.height} pixels, {image.size_bytes:,} bytes, {image.mime_type}")
    print(f"  handle          {image.handle}")
    print(f"  call id         {image.id}")
    print(f"  response id     {image.response_id}")
    print(f"  revised prompt  {image.revised_prompt}")
    print(f"  tokens          {tokens.get('total_tokens', 'unknown')} mainline model, {drawn} image model")


def main(prompt: str, *, live: bool) -> None:
    """Draw a picture, edit it, and show how the pictures are related."""
    where = "drawn by OpenAI's service" if live else "simulated (no OPENAI_API_KEY): no model was called"
    print(f"Pictures are {where}.")
    with nullcontext() if live else Simulator() as simulator:
        service = {} if simulator is None else {"base_url": simulator.base_url, "api_key": "sk-simulated"}
        memory = ImageMemory()
        draw = ImageGenerator(**service, memory=memory, image_store=ImageStore(FOLDER / "store"))

        print(f"\n{prompt}")
        for piece in draw.stream(prompt, options={"partial_images": 2, "quality": "medium"}):
            if isinstance(piece, PartialImage):
                print(f"  partial {piece.index}       {len(piece.data):,} bytes")
            else:
                show(piece, FOLDER / "picture.png")

        change = "Edit the picture: make it winter, with snow falling"
        print(f"\n{change}")
        show(draw.invoke(change, images=["last"]), FOLDER / "winter.png")

    print("\nFamily tree")
    for image in memory:
        print(f"  {'   ' * (len(memory.lineage(image)) - 1)}{image.handle}  {image.prompt}")
    print(f"\nThe pictures in {FOLDER}/ are {where}.")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or PROMPT, live=bool(os.environ.get("OPENAI_API_KEY")))
