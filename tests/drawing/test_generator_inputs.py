"""Inputs of `ImageGenerator`: each form of a request and each form of a source picture."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from PIL import Image

from langchain_imagegen import GeneratedImage, ImageGenerator, ImageMemory, ImageRequest, ImageResult
from langchain_imagegen.errors import CorruptImageError, OptionError, ServiceError, UnknownImageError
from langchain_imagegen.simulator import Simulator

Make = Callable[..., ImageGenerator]


def photo(color: str = "orange", mode: str = "RGB") -> bytes:
    """Return a PNG of one color."""
    data = io.BytesIO()
    Image.new(mode, (64, 64), color).save(data, format="PNG")
    return data.getvalue()


PHOTO = photo()
ENCODED = base64.b64encode(PHOTO).decode()
DATA_URL = f"data:image/png;base64,{ENCODED}"


@pytest.fixture
def draw(half: Any, low: Make) -> Callable[..., ImageResult]:
    """Return a function that draws small pictures, sync or async."""
    return partial(half.invoke, low())


@pytest.fixture
def website() -> Iterator[str]:
    """Yield the address of a picture on a local web server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PHOTO)

        def log_message(self, format: str, *arguments: object) -> None:
            """Write no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/photo.png"
    server.shutdown()
    server.server_close()


@pytest.fixture
def file_id(simulator: Simulator) -> str:
    """Return the file id of a picture uploaded to the service."""
    with openai.OpenAI(base_url=simulator.base_url, api_key="simulated") as client:
        return client.files.create(file=("photo.png", PHOTO, "image/png"), purpose="vision").id


# --- forms of a request


@pytest.mark.parametrize(
    "given",
    [
        "draw a fox",
        {"prompt": "draw a fox"},
        ImageRequest(prompt="draw a fox"),
        StringPromptValue(text="draw a fox"),
        ChatPromptValue(messages=[HumanMessage("draw a fox")]),
        [HumanMessage("draw a fox")],
        [("user", "draw a fox")],
        [{"role": "user", "content": "draw a fox"}],
        HumanMessage([{"type": "text", "text": "draw a fox"}]),
        AIMessage("draw a fox"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_prompt_comes_in_many_forms(given: Any, draw: Any, simulator: Simulator):
    """A prompt as text, dict, `ImageRequest`, prompt value or messages gives the same short request."""
    result = draw(given)

    assert simulator.requests[-1].body["input"] == "draw a fox"
    assert result.image.prompt == "draw a fox"


def test_a_dict_may_hold_options_beside_the_prompt(draw: Any, simulator: Simulator):
    """A dict can hold request fields and options together, and the generator's other options still apply."""
    draw({"prompt": "draw a fox", "quality": "medium", "instructions": "In ink."})

    assert simulator.requests[-1].body["tools"][0]["quality"] == "medium"
    assert simulator.requests[-1].body["tools"][0]["size"] == "816x816"
    assert simulator.requests[-1].body["instructions"] == "In ink."


def test_earlier_messages_are_sent(draw: Any, simulator: Simulator):
    """The last user message is the prompt, and earlier messages are sent with their roles."""
    result = draw(
        [
            SystemMessage("You are a painter."),
            HumanMessage("I like foxes."),
            AIMessage("So do I."),
            HumanMessage("draw one"),
        ]
    )

    assert simulator.requests[-1].body["input"] == [
        {"role": "system", "content": "You are a painter."},
        {"role": "user", "content": "I like foxes."},
        {"role": "assistant", "content": "So do I."},
        {"role": "user", "content": "draw one"},
    ]
    assert result.image.prompt == "draw one"


def test_pictures_of_earlier_messages_can_be_edited(draw: Any, simulator: Simulator):
    """An image call in an earlier message is sent by its id, and an edit uses its picture as the source."""
    fox = draw("draw a fox")
    call = {"type": "image_generation_call", "id": fox.image.id, "result": fox.image.to_content_block()["base64"]}

    winter = draw(
        [
            HumanMessage("draw a fox"),
            AIMessage([call]),
            HumanMessage("make it winter"),
        ],
        action="edit",
    )

    assert simulator.orders[-1].sources == (fox.image.read(),)
    assert simulator.requests[-1].size < 1_024
    assert (winter.rung, winter.image.parents) == ("call_id", (fox.image.id,))


OUTPUT_FORMS: list[Callable[[ImageResult], Any]] = [
    lambda result: result,
    lambda result: result.image,
    lambda result: [result],
    lambda result: [result.image],
    lambda result: result.image.record(),
]


@pytest.mark.parametrize("wrap", OUTPUT_FORMS)
def test_a_drawn_picture_can_be_the_input(wrap: Any, draw: Any, simulator: Simulator):
    """With the prompt as an argument, the input can be a result, an image, a record or a list of them."""
    fox = draw("draw a fox")

    winter = draw(wrap(fox), prompt="make it winter")

    assert simulator.orders[-1].sources == (fox.image.read(),)
    assert (winter.image.action, winter.image.parents) == ("edit", (fox.image.id,))


def test_images_of_input_and_argument_are_joined(draw: Any, simulator: Simulator):
    """Sources in the input come before sources in the `images` argument."""
    draw({"prompt": "put both side by side", "images": PHOTO}, images=[photo("blue")])

    assert simulator.orders[-1].sources == (PHOTO, photo("blue"))


def test_a_field_given_twice_is_refused(draw: Any, simulator: Simulator):
    """Two prompts in one call raise an error that quotes both."""
    with pytest.raises(OptionError, match="prompt is given twice: as input 'draw a fox' and as argument 'draw a cat'"):
        draw("draw a fox", prompt="draw a cat")
    assert simulator.requests == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("", "asks for nothing"),
        ({}, "asks for nothing"),
        ([HumanMessage("")], "asks for nothing"),
        ({"promt": "draw a fox"}, "no 'promt'; did you mean 'prompt'"),
        ({"prompt": "draw a fox", "sise": "auto"}, "no 'sise'; did you mean 'size'"),
        ({"prompt": "x", "previous_response_id": "r", "conversation": "c"}, "exclude each other"),
        ({"prompt": "x", "mask": PHOTO}, "mask needs an image"),
        (None, "cannot draw a NoneType: give a str, a dict"),
        (3.5, "cannot draw a float"),
        ([], "cannot draw a list"),
    ],
)
def test_an_impossible_request_is_refused(given: Any, problem: str, draw: Any, simulator: Simulator):
    """An empty, misspelt or contradictory request raises an `OptionError`, and nothing is sent."""
    with pytest.raises(OptionError, match=problem):
        draw(given)
    assert simulator.requests == []


@pytest.mark.parametrize("given", [[1], [None], [{"a": 1}], [[["x"]]]], ids=repr)
def test_a_list_without_messages_is_refused(given: Any, draw: Any, simulator: Simulator):
    """A list of other things than messages raises an `OptionError`, and nothing is sent."""
    with pytest.raises(OptionError, match="no message"):
        draw(given)
    assert simulator.requests == []


def test_a_list_that_contains_itself_is_refused(draw: Any):
    """A list that contains itself raises an `OptionError`."""
    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises(OptionError, match="no message"):
        draw(endless)


# --- source pictures


@pytest.mark.parametrize(
    "reference",
    [
        PHOTO,
        DATA_URL,
        {"type": "image", "base64": ENCODED, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": DATA_URL}},
        Image.new("RGB", (64, 64), "orange"),
    ],
    ids=["bytes", "data URL", "v1 block", "image_url block", "Pillow"],
)
def test_a_local_picture_is_edited(reference: Any, draw: Any, simulator: Simulator):
    """A source picture's bytes, in any form, are sent as a data URL after the prompt."""
    result = draw("add a red hat", images=[reference])

    (message,) = simulator.requests[-1].body["input"]
    words, picture = message["content"]
    assert words == {"type": "input_text", "text": "add a red hat"}
    assert picture["type"] == "input_image"
    assert picture["image_url"].startswith("data:image/png;base64,")
    (source,) = simulator.orders[-1].sources
    assert Image.open(io.BytesIO(source)).getpixel((0, 0)) == (255, 165, 0)
    assert (result.rung, result.image.action) == ("bytes", "edit")
    assert result.image.parents == (result.sources[0].id,)
    assert result.sources[0].origin == "user"


def test_a_file_is_edited(draw: Any, simulator: Simulator, tmp_path: Path):
    """A source given as a `Path` is read locally, and its bytes are sent."""
    (tmp_path / "photo.png").write_bytes(PHOTO)

    draw("add a red hat", images=tmp_path / "photo.png")

    assert simulator.orders[-1].sources == (PHOTO,)


@pytest.mark.parametrize("form", ["{}", {"type": "image", "url": "{}"}, {"type": "image_url", "image_url": "{}"}])
def test_a_picture_on_the_web_is_edited(form: Any, draw: Any, website: str, simulator: Simulator):
    """A source given by web address is sent as that address, which the service fetches."""
    reference = website if isinstance(form, str) else {k: v.format(website) for k, v in form.items()}

    result = draw("add a red hat", images=[reference])

    assert simulator.requests[-1].body["input"][0]["content"][1] == {"type": "input_image", "image_url": website}
    assert simulator.orders[-1].sources == (PHOTO,)
    assert (result.rung, result.image.action, result.image.parents, result.sources) == (None, "edit", (), ())


@pytest.mark.parametrize("form", ["{}", {"type": "image", "file_id": "{}"}, {"type": "input_image", "file_id": "{}"}])
def test_an_uploaded_file_is_edited(form: Any, draw: Any, file_id: str, simulator: Simulator):
    """A source given by file id is sent as that file id."""
    reference = file_id if isinstance(form, str) else {k: v.format(file_id) for k, v in form.items()}

    draw("add a red hat", images=[reference])

    assert simulator.requests[-1].body["input"][0]["content"][1] == {"type": "input_image", "file_id": file_id}
    assert simulator.orders[-1].sources == (PHOTO,)


def test_pictures_of_a_message_are_edited(draw: Any, simulator: Simulator):
    """The image blocks of the last user message are the sources."""
    block = {"type": "image", "base64": ENCODED, "mime_type": "image/png"}

    result = draw([HumanMessage(["add a red hat", block])])

    assert simulator.orders[-1].sources == (PHOTO,)
    assert (result.image.prompt, result.image.action) == ("add a red hat", "edit")


def test_several_pictures_keep_their_order(draw: Any, website: str, file_id: str, simulator: Simulator, tmp_path: Path):
    """Sources of all kinds are sent in the caller's order, so that "the second image" is the second one."""
    (tmp_path / "blue.png").write_bytes(photo("blue"))
    fox = draw("draw a fox")

    result = draw(
        "edit the first image by adding the others",
        images=[photo("red"), website, tmp_path / "blue.png", file_id, fox],
    )

    assert simulator.orders[-1].sources == (photo("red"), PHOTO, photo("blue"), PHOTO, fox.image.read())
    uploads, call, text = simulator.requests[-1].body["input"]
    kinds = ["file_id" if "file_id" in part else part["image_url"][:10] for part in uploads["content"]]
    assert kinds == ["data:image", website[:10], "data:image", "file_id"]
    assert (call["id"], text["content"]) == (fox.image.id, "edit the first image by adding the others")
    assert result.rung == "bytes"
    assert result.image.parents == (result.sources[0].id, result.sources[1].id, fox.image.id)


@pytest.mark.parametrize("kind", ["bytes", "file id", "image"])
def test_a_mask_is_sent_in_the_tool(kind: str, draw: Any, file_id: str, simulator: Simulator):
    """A mask is sent in the tool, as bytes or as a file id, and is not a source."""
    hole = photo("#00000000", mode="RGBA")
    fox = draw("draw a fox", background="transparent").image
    mask: Any = {"bytes": hole, "file id": file_id, "image": fox}[kind]

    result = draw("add a red hat", images=[PHOTO], mask=mask)

    sent = simulator.requests[-1].body["tools"][0]["input_image_mask"]
    assert simulator.orders[-1].mask == {"bytes": hole, "file id": PHOTO, "image": fox.read()}[kind]
    assert list(sent) == (["file_id"] if kind == "file id" else ["image_url"])
    assert simulator.orders[-1].sources == (PHOTO,)
    assert len(result.image.parents) == 1


def test_a_mask_is_one_picture(draw: Any):
    """A mask of two pictures raises an `OptionError`."""
    with pytest.raises(OptionError, match="mask must name one image, it names 2"):
        draw("add a red hat", images=[PHOTO], mask=[PHOTO, photo("blue")])


# --- refused inputs


def test_a_path_as_text_is_refused(draw: Any, simulator: Simulator, tmp_path: Path):
    """A path given as text raises an error even if a picture is there, and nothing is sent."""
    (tmp_path / "photo.png").write_bytes(PHOTO)

    with pytest.raises(UnknownImageError, match="text never opens a file"):
        draw("add a red hat", images=[str(tmp_path / "photo.png")])
    assert simulator.requests == []


def test_a_truncated_picture_is_refused(draw: Any, simulator: Simulator):
    """A truncated picture raises a `CorruptImageError`, and nothing is sent."""
    with pytest.raises(CorruptImageError):
        draw("add a red hat", images=[PHOTO[:50]])
    assert simulator.requests == []


@pytest.mark.parametrize("url", ["http://localhost:9/a.png", "https://nowhere.invalid/a?b=c"])
def test_an_address_of_the_caller_goes_to_the_service_as_it_is(draw: Any, simulator: Simulator, url: str):
    """An address of the caller is sent word for word, and this package does not fetch or check it."""
    began = len(simulator.requests)
    with pytest.raises(ServiceError, match="Error while downloading"):
        draw("add a red hat", images=[url])

    (request,) = simulator.requests[began:]
    assert {"type": "input_image", "image_url": url} in request.body["input"][-1]["content"]


def test_an_address_that_the_service_cannot_fetch(draw: Any):
    """If the service cannot fetch a source's address, its error is raised with its code."""
    with pytest.raises(ServiceError, match="Error while downloading") as caught:
        draw("add a red hat", images=["https://nowhere.invalid/photo.png"])
    assert caught.value.code == "failed_to_download_image"


def test_an_edit_without_a_source(draw: Any, simulator: Simulator):
    """`action="edit"` without a source is refused by the service, and nothing is drawn."""
    with pytest.raises(OptionError, match="needs an image"):
        draw("make it winter", action="edit")
    assert simulator.pictures == 0


def test_an_unknown_handle_lists_the_known_ones(half: Any, low: Make, simulator: Simulator):
    """With a memory, the error about an unknown handle lists the known handles."""
    drawing = low(memory=ImageMemory())
    fox = half.invoke(drawing, "draw a fox").image

    with pytest.raises(UnknownImageError, match=fox.handle) as caught:
        half.invoke(drawing, "make it winter", images=["img_00000000"])
    assert caught.value.known == [fox.handle]
    assert len(simulator.requests) == 1


def test_an_image_can_be_a_source_twice(draw: Any):
    """The same image object can be the source of several edits."""
    fox = draw("draw a fox").image

    both = [draw("make it winter", images=[fox]), draw("make it winter", images=[fox])]

    assert isinstance(fox, GeneratedImage)
    assert both[0].image.parents == both[1].image.parents == (fox.id,)
