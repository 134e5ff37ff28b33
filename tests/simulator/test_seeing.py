"""The simulated chat model looks at pictures and fills schemas, as used by a chain with a vision model."""

from __future__ import annotations

import io

import pytest
from langchain_openai import ChatOpenAI
from PIL import Image
from pydantic import BaseModel

from langchain_imagegen import GeneratedImage, ImageRequest, ImageResult, ImageStore
from langchain_imagegen.simulator import Simulator


class Check(BaseModel):
    """What a look at a picture found."""

    passed: bool
    missing: list[str]
    caption: str


CHECKLIST = "What of this list is not in the picture?\n- a red boat\n- three gulls\nAnswer shortly."


@pytest.fixture
def chat(simulator: Simulator) -> ChatOpenAI:
    """Return the chat model that the simulator plays."""
    return ChatOpenAI(model="gpt-5.4", base_url=simulator.base_url, api_key="sk-a", use_responses_api=True)


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_a_picture_is_described_by_its_prompts(low, chat, form):
    """The chat model says what was drawn and edited, in every format, and that its answer is simulated."""
    draw = low()
    lake = draw.invoke("Draw a lake", output_format=form)
    winter = draw.invoke("Make it winter", images=[lake], output_format=form)

    both = ImageResult(images=(lake.image, winter.image))
    assert chat.invoke([winter.to_message("What is in it?")]).text == (
        "The picture shows: Draw a lake; then: Make it winter. This answer is simulated."
    )
    assert "Picture 1 shows: Draw a lake. Picture 2 shows: Draw a lake; then" in chat.invoke(both).text


def test_a_photo_is_no_drawing(chat, tmp_path):
    """Of a picture that the simulator did not draw, the chat model says that it was uploaded."""
    photo = io.BytesIO()
    Image.new("RGB", (64, 64), "navy").save(photo, "png")
    store = ImageStore(tmp_path)
    image = GeneratedImage.of(store.put(photo.getvalue()), id="sha256:photo").bind(store)

    assert "shows: uploaded picture." in chat.invoke(ImageResult(images=(image,))).text


def test_a_checklist_is_checked(low, chat):
    """The items of a list that no prompt mentions are missing, until an edit adds them."""
    draw, look = low(), chat.with_structured_output(Check)
    harbor = draw.invoke("Draw a harbor with three gulls")
    better = draw.invoke("Add a small red boat", images=[harbor])

    assert look.invoke([harbor.to_message(CHECKLIST)]) == Check(
        passed=False, missing=["a red boat"], caption="The picture shows: Draw a harbor with three gulls."
    )
    assert look.invoke([better.to_message(CHECKLIST)]).passed


def test_a_request_is_filled_from_the_text(chat):
    """`with_structured_output(ImageRequest)` gets the user's text as prompt and the options that it names."""
    request = chat.with_structured_output(ImageRequest).invoke("A wide poster of a fox, 16:9, low quality")

    assert request.prompt == "A wide poster of a fox, 16:9, low quality"
    assert (request.options.quality, request.options.aspect_ratio, request.options.size) == ("low", "16:9", None)
    assert request.images == []
    assert request.mask is None
