"""The middleware with the hosted tool: what the model is sent, what the state keeps, which tool is offered."""

from __future__ import annotations

import pytest
from conversations import SMALL, VERSIONS, called, copies, only_the_last, parts, photo, sizes, words

from langchain_imagegen import ImageGenerationMiddleware


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
def test_answer_leaves_its_base64_behind(talks, version, streaming):
    """No checkpoint and no pending write ever holds the picture; the channel has its record and the store its bytes."""
    talk = talks.start(ImageGenerationMiddleware(SMALL), model=talks.model(output_version=version))
    talk.say("draw a fox", streaming=streaming)

    [image] = talk.memory
    assert copies(talk.file) == 0
    assert image.read().startswith(b"\x89PNG")
    assert (image.prompt, image.width, image.stored) == ("draw a fox", 816, True)
