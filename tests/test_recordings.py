"""Real traffic of the service, replayed on a loopback port and read through `ImageGenerator`.

The recordings lie where `IMAGEGEN_RECORDINGS` points, else beside the repository; elsewhere this file is skipped.
What is expected is read out of each recording with `json` and `base64` alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import httpx
import pytest

from langchain_imagegen.errors import (
    AuthenticationError,
    ConnectionLostError,
    CorruptImageError,
    ImageFetchError,
    NoImageError,
    OptionError,
)
from langchain_imagegen.images.image import Origin, PartialImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.simulator import answer
from langchain_imagegen.streaming.answer import Body
from tests.loopback import JSON, SSE, serving, split
from tests.scanner_oracle import check, scan
from tests.shapes import derive

FOLDER = Path(os.environ.get("IMAGEGEN_RECORDINGS") or Path(__file__).parents[2] / "shared" / "recordings")
FILES = sorted([*FOLDER.glob("*.json"), *FOLDER.glob("more/*.json")])
SHORTENED = "..."
SVG_ADDRESS = "https://rubyllm.com/assets/images/logotype.svg"
SVG = "data:image/svg+xml;base64," + base64.b64encode(b"<svg/>").decode()

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no recordings: set IMAGEGEN_RECORDINGS to their folder")


@dataclass(frozen=True)
class Recording:
    """One recorded exchange, and what its answer holds."""

    name: str
    request: dict
    answer: dict

    @property
    def content_type(self):
        """What the answer said it was."""
        return self.answer["content_type"]

    @property
    def streamed(self):
        """Whether the answer is an event stream."""
        return "sse" in self.answer

    @cached_property
    def body(self):
        """The answer as it went over the wire."""
        return (self.answer["sse"] if self.streamed else json.dumps(self.answer["json"])).encode()

    @cached_property
    def events(self):
        """The events of a stream."""
        lines = self.answer.get("sse", "").splitlines()
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]

    @property
    def response(self):
        """The response as it was in the end."""
        return self.events[-1]["response"] if self.streamed else self.answer["json"]

    def items(self, kind):
        """The items of one type."""
        return [item for item in self.response["output"] if item["type"] == kind]

    @property
    def call(self):
        """The first image call."""
        return self.items("image_generation_call")[0]

    @property
    def picture(self):
        """The bytes of the finished picture."""
        return base64.b64decode(self.call["result"], validate=True)

    @property
    def text(self):
        """What the model wrote."""
        return "".join(part["text"] for message in self.items("message") for part in message["content"])

    @property
    def companions(self):
        """The reasoning that stands before the picture."""
        before = self.response["output"][: self.response["output"].index(self.call)]
        return tuple(item["id"] for item in before if item["type"] == "reasoning")

    @property
    def partials(self):
        """The bytes of the partial pictures."""
        events = [event for event in self.events if event["type"].endswith(".partial_image")]
        return [base64.b64decode(event["partial_image_b64"], validate=True) for event in events]

    @property
    def asked_for(self):
        """How many partials the request asked for."""
        return next((tool.get("partial_images") or 0 for tool in (self.request or {}).get("tools", ())), 0)

    @property
    def outcome(self):
        """What reading the answer comes to."""
        if not self.items("image_generation_call"):
            return "none"
        return "shortened" if SHORTENED in self.call["result"] else "picture"


def read_recordings():
    """Every exchange in the folder."""
    exchanges = [(file, n, x) for file in FILES for n, x in enumerate(json.loads(file.read_text())["exchanges"], 1)]
    return [
        Recording(f"{file.stem}-{n}", (x["request"] or {}).get("body") or {}, x["response"]) for file, n, x in exchanges
    ]


RECORDINGS = read_recordings()


def recordings(outcome, *, streamed=None, below=1 << 30):
    """A parametrisation over the recordings with this outcome, of fewer bytes than `below`."""
    fitting = [r for r in RECORDINGS if streamed in (None, r.streamed) and len(r.body) < below]
    chosen = [r for r in fitting if r.outcome == outcome]
    return pytest.mark.parametrize("recording", [pytest.param(r, id=r.name) for r in chosen])


@pytest.fixture
def replay(half, generator):
    """Draws at a server that answers with a recording, in chunks of `sizes` bytes; gives all that is yielded."""

    def draw(recording, *sizes, **settings):
        with serving(split(recording.body, *(sizes or (1 << 16,))), recording.content_type) as server:
            drawing = generator(
                base_url=server.base_url, options={"partial_images": recording.asked_for or None}, **settings
            )
            return half.stream(drawing, "draw") if recording.streamed else [half.invoke(drawing, "draw")]

    return draw


def pictures(store):
    """The files in a store's folder, temporary ones too."""
    return [path for path in Path(store.location).rglob("*") if path.is_file()]


def test_there_are_recordings():
    """Each kind of outcome is there to be tested, plain and streamed."""
    seen = {(recording.outcome, recording.streamed) for recording in RECORDINGS}

    assert seen >= {("picture", False), ("picture", True), ("shortened", False), ("shortened", True), ("none", False)}


@pytest.mark.parametrize("sizes", [(1 << 16,), (1, 4093, 7), (333,)], ids=str)
@pytest.mark.parametrize("recording", [pytest.param(r, id=r.name) for r in RECORDINGS])
def test_scanner(recording, sizes):
    """However an answer is cut, the scanner takes out of it what `json` and `base64` find, and passes the rest."""
    check(recording.body, sizes)


@pytest.mark.parametrize("file", [pytest.param(file, id=file.stem) for file in FILES])
def test_scanner_leaves_quoted_pictures(file):
    """Pictures of a stream that stands in a string of a document are no pictures of that document."""
    text = file.read_bytes()

    check(text, (1 << 16,))
    assert scan(text).passed.count(b'\\"result\\":\\"') == text.count(b'\\"result\\":\\"')


@recordings("picture")
def test_picture(replay, recording, image_store):
    """The picture of a recorded answer is in the store, byte for byte, under its own digest."""
    result = replay(recording)[-1]

    assert result.image.sha256 == hashlib.sha256(recording.picture).hexdigest()
    assert result.image.read() == recording.picture
    assert result.image.size_bytes == len(recording.picture)
    assert [path.stem for path in pictures(image_store)] == [result.image.sha256]


@recordings("picture")
def test_record(replay, recording):
    """What the service says of a picture is in its record, and no more than it says."""
    image = replay(recording)[-1].image

    call, response = recording.call, recording.response
    assert (image.id, image.response_id) == (call["id"], response["id"])
    assert (image.revised_prompt, image.prompt) == (call["revised_prompt"], "draw")
    assert (image.size, image.quality, image.background) == (call["size"], call["quality"], call["background"])
    assert f"{image.width}x{image.height}" == call["size"]
    assert image.output_format == call["output_format"]
    assert image.mime_type == f"image/{call['output_format']}"
    assert image.action == call.get("action")
    assert image.companion_ids == recording.companions
    assert image.stored is response["store"]
    assert int(image.created_at.timestamp()) == response["created_at"]


@recordings("picture")
def test_image_model(replay, recording):
    """The image model is the one that the service echoes; where it echoes none, the one that was asked for."""
    result = replay(recording)[-1]

    assert result.image.image_model == recording.response["tools"][0].get("model", "gpt-image-2")


@recordings("picture")
def test_result(replay, recording):
    """Text, ids and model of the response are in the result; nothing was wrong with it."""
    result = replay(recording)[-1]

    assert result.text == recording.text
    assert (result.response_id, result.model) == (recording.response["id"], recording.response["model"])
    assert (result.failures, result.warnings, result.rung) == ((), (), None)


@recordings("picture")
def test_usage(replay, recording):
    """The mainline model's tokens are counted as LangChain counts, apart from those of the image model."""
    result = replay(recording)[-1]

    told = recording.response["usage"]
    assert result.usage == {
        "input_tokens": told["input_tokens"],
        "output_tokens": told["output_tokens"],
        "total_tokens": told["total_tokens"],
        "input_token_details": {"cache_read": told["input_tokens_details"]["cached_tokens"]},
        "output_token_details": {"reasoning": told["output_tokens_details"]["reasoning_tokens"]},
    }


@recordings("picture")
def test_image_usage(replay, recording):
    """The image model's tokens are told where the service told them, and are not taken for zero elsewhere."""
    result = replay(recording)[-1]

    told = recording.response.get("tool_usage", {}).get("image_gen")
    if told is None:
        assert result.image_usage is None
    else:
        assert result.image_usage.total_tokens == told["total_tokens"] > 0
        assert result.image_usage.output_token_details["image"] == told["output_tokens_details"]["image_tokens"]


@recordings("none")
def test_no_picture(replay, recording, image_store):
    """An answer without a picture raises `NoImageError` with what the model said, or did, instead."""
    with pytest.raises(NoImageError) as caught:
        replay(recording)
    assert caught.value.text == recording.text
    assert caught.value.response_id == recording.response["id"]
    others = {item["type"] for item in recording.response["output"]} - {"reasoning", "message"}
    assert all(name in str(caught.value) for name in others)
    assert pictures(image_store) == []


def test_function_call_is_named(replay):
    """When the model called a function in place of drawing, the error says so."""
    called = [recording for recording in RECORDINGS if recording.items("function_call")]

    for recording in called:
        with pytest.raises(NoImageError, match="function_call"):
            replay(recording)
    assert called


@recordings("shortened")
def test_shortened(replay, recording, image_store):
    """Base64 that somebody shortened is reported as corrupt, with nothing under a final name."""
    with pytest.raises(CorruptImageError, match=r"'\.' at position"):
        replay(recording)
    assert pictures(image_store) == []


@recordings("picture", streamed=True)
def test_partials(replay, recording):
    """N partials asked for come as N+1 in order, the last equals the finished picture, and the result comes once."""
    *partials, result = replay(recording)

    assert [type(piece) for piece in partials] == [PartialImage] * (recording.asked_for + 1)
    assert [partial.data for partial in partials] == recording.partials
    assert [partial.index for partial in partials] == list(range(len(partials)))
    assert [partial.final for partial in partials] == [False] * recording.asked_for + [True]
    assert partials[-1].data == result.image.read()
    assert {partial.handle for partial in partials} == {result.image.handle}
    assert isinstance(result, ImageResult)


@recordings("picture", streamed=True)
def test_streamed_inside(half, generator, recording):
    """With `delivery="stream"`, `invoke` reads the same events and gives the same picture."""
    with serving([recording.body], SSE) as server:
        result = half.invoke(generator(base_url=server.base_url, delivery="stream"), "draw")

    assert result.image.read() == recording.picture


@pytest.mark.parametrize("sizes", [(1024,), (1, 4093, 7)], ids=str)
@recordings("picture", below=1 << 20)
def test_chunks(replay, recording, sizes):
    """However the network cuts an answer, the same picture comes out."""
    result = replay(recording, *sizes)[-1]

    assert result.image.read() == recording.picture
    assert result.response_id == recording.response["id"]


@recordings("picture", streamed=False, below=1 << 20)
def test_cut(recording, image_store):
    """Wherever an answer breaks off, a picture that had arrived whole is kept, with a warning."""
    end = recording.body.index(recording.call["result"].encode()) + len(recording.call["result"]) + 1
    step = max(1, (len(recording.body) - end) // 16)

    for cut in range(end, len(recording.body), step):
        body = Body("responses", Origin(), image_store, {"content-type": JSON})
        body.feed(recording.body[:cut])
        result = body.break_off(ConnectionError("cut"))

        assert result.image.sha256 == hashlib.sha256(recording.picture).hexdigest()
        assert "broke off" in result.warnings[0]


@recordings("picture", streamed=False, below=1 << 20)
def test_cut_before_the_picture_was_whole(recording, image_store):
    """An answer that breaks off earlier is lost, with the id to ask for as soon as that had arrived."""
    end = recording.body.index(recording.call["result"].encode()) + len(recording.call["result"])

    for cut in range(0, end, end // 9):
        body = Body("responses", Origin(), image_store, {"content-type": JSON})
        body.feed(recording.body[:cut])
        with pytest.raises(ConnectionLostError) as caught:
            body.break_off(ConnectionError("cut"))
        body.discard()

        assert caught.value.response_id == (recording.response["id"] if cut > 200 else None)
    assert pictures(image_store) == []


# --- the Images API

IMAGES = {file.stem: json.loads(file.read_text())["exchanges"] for file in sorted(FOLDER.glob("images_api/*.json"))}
ANSWERED = [name for name, [exchange] in IMAGES.items() if "b64_json" in json.dumps(exchange["response"])]


@pytest.fixture
def replay_images(half, generator, simulator):
    """Draws with `api="images"` at a simulator that answers with this recorded response."""

    def draw(response, **settings):
        simulator.script(answer(response["json"], response["status"], response["content_type"]))
        return half.invoke(generator(api="images", **settings), "draw")

    return draw


def images_answer(name):
    """The recorded response of the Images API with this name."""
    [exchange] = IMAGES[name]
    return exchange["response"]


def test_there_are_recordings_of_the_images_api():
    """Pictures, errors and an answer by address are there to be tested."""
    assert {images_answer(name)["status"] for name in IMAGES} == {200, 400, 401}
    assert len(ANSWERED) == 2


@pytest.mark.parametrize("name", ANSWERED)
def test_images_api_picture(replay_images, image_store, name):
    """A recorded picture of the Images API is in the store byte for byte, with what the answer says of it."""
    response = images_answer(name)
    result = replay_images(response)

    told = response["json"]
    picture = base64.b64decode(told["data"][0]["b64_json"], validate=True)
    assert result.image.read() == picture
    assert [path.stem for path in pictures(image_store)] == [hashlib.sha256(picture).hexdigest()]
    image = result.image
    assert (image.size, image.quality) == (told["size"], told["quality"])
    assert (image.background, image.output_format) == (told["background"], told["output_format"])
    assert f"{image.width}x{image.height}" == told["size"]
    assert int(image.created_at.timestamp()) == told["created"]
    assert (image.stored, result.warnings, result.failures) == (False, (), ())


@pytest.mark.parametrize("name", ANSWERED)
def test_images_api_usage(replay_images, name):
    """The tokens of a recorded answer are told as recorded, text that the image model wrote among them."""
    response = images_answer(name)
    usage = replay_images(response).image_usage

    told = response["json"]["usage"]
    totals = usage.input_tokens, usage.output_tokens, usage.total_tokens
    assert totals == (told["input_tokens"], told["output_tokens"], told["total_tokens"])
    for details, sent in (("input_token_details", "input"), ("output_token_details", "output")):
        kinds = told[f"{sent}_tokens_details"]
        read = getattr(usage, details)
        assert (read["image"], read["text"]) == (kinds["image_tokens"], kinds["text_tokens"])


def test_images_api_by_address(replay_images, image_store):
    """An answer by address, as xAI gives it, is fetched; where that fails the error has the address."""
    response = json.loads(
        json.dumps(images_answer("img_generate.grok-imagine-image")).replace("imgen.x.ai", "127.0.0.1")
    )
    with pytest.raises(ImageFetchError) as caught:
        replay_images(response)

    assert caught.value.url == response["json"]["data"][0]["url"]
    assert pictures(image_store) == []


def test_images_api_refused_source(replay_images, image_store):
    """The recorded refusal of a source says which one it is, in the service's words."""
    response = images_answer("img_error_invalid_image_file.gpt-image-1.5")
    with pytest.raises(OptionError, match=r"source image 1") as caught:
        replay_images(response)

    told = response["json"]["error"]
    assert told["message"] in str(caught.value)
    assert (caught.value.code, caught.value.param) == (told["code"], told["param"])
    assert pictures(image_store) == []


def test_images_api_wrong_key(replay_images):
    """The recorded 401 is an `AuthenticationError` with our advice, and the key that it repeats is left out."""
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY") as caught:
        replay_images(images_answer("img_error_401"), api_key="fake_key")

    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    assert "fake_key" not in str(caught.value)
    assert "key provided: ***." in str(caught.value)


@pytest.mark.parametrize("name", [*ANSWERED, "img_error_invalid_image_file.gpt-image-1.5"])
def test_simulator_speaks_as_the_images_api(simulator, name):
    """The simulator answers a recorded request with the recorded keys and types, or with the recorded error."""
    [exchange] = IMAGES[name]
    body = json.loads(json.dumps(exchange["request"]["body"]).replace(SVG_ADDRESS, SVG))
    headers = {"authorization": "Bearer sk-test"}
    reply = httpx.post(f"{simulator.base_url}/images/edits", json=body, headers=headers, timeout=60)

    recorded = exchange["response"]
    assert (reply.status_code, reply.headers["content-type"]) == (recorded["status"], recorded["content_type"])
    if recorded["status"] == 200:
        assert derive.paths(reply.json()) == derive.paths(recorded["json"])
        assert reply.json().keys() == recorded["json"].keys()
        assert {key: reply.json()[key] for key in ("output_format", "background")} == {
            key: recorded["json"][key] for key in ("output_format", "background")
        }
    else:
        assert reply.json() == recorded["json"]
