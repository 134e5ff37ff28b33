"""Recorded traffic of the service, replayed on a loopback port and read with `ImageGenerator`.

The recordings are in the folder that `IMAGEGEN_RECORDINGS` names, else beside the repository; without them these
tests are skipped. Expected values are read from each recording with `json` and `base64`.
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
import httpx2
import pytest
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from langchain_imagegen import ImageGenerationMiddleware
from langchain_imagegen.errors import (
    AuthenticationError,
    ConnectionLostError,
    CorruptImageError,
    ImageFetchError,
    NoImageError,
    OptionError,
)
from langchain_imagegen.images.image import Origin
from langchain_imagegen.images.partial import PartialImage
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
    """One recorded exchange and the facts in its answer."""

    name: str
    request: dict
    answer: dict

    @property
    def content_type(self):
        """Return the answer's content type."""
        return self.answer["content_type"]

    @property
    def streamed(self):
        """Return True if the answer is an event stream."""
        return "sse" in self.answer

    @cached_property
    def body(self):
        """Return the bytes of the answer."""
        return (self.answer["sse"] if self.streamed else json.dumps(self.answer["json"])).encode()

    @cached_property
    def events(self):
        """Return the events of a stream."""
        lines = self.answer.get("sse", "").splitlines()
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]

    @property
    def response(self):
        """Return the final response object."""
        return self.events[-1]["response"] if self.streamed else self.answer["json"]

    def items(self, kind):
        """Return the output items of one type."""
        return [item for item in self.response["output"] if item["type"] == kind]

    @property
    def call(self):
        """Return the first image call."""
        return self.items("image_generation_call")[0]

    @property
    def picture(self):
        """Return the bytes of the finished picture."""
        return base64.b64decode(self.call["result"], validate=True)

    @property
    def text(self):
        """Return the model's text."""
        return "".join(part["text"] for message in self.items("message") for part in message["content"])

    @property
    def companions(self):
        """Return the ids of the reasoning items before the picture."""
        before = self.response["output"][: self.response["output"].index(self.call)]
        return tuple(item["id"] for item in before if item["type"] == "reasoning")

    @property
    def partials(self):
        """Return the bytes of the partial pictures."""
        events = [event for event in self.events if event["type"].endswith(".partial_image")]
        return [base64.b64decode(event["partial_image_b64"], validate=True) for event in events]

    @property
    def partials_requested(self):
        """Return the number of partial pictures that the request asked for."""
        return next((tool.get("partial_images") or 0 for tool in (self.request or {}).get("tools", ())), 0)

    @property
    def outcome(self):
        """Return the expected outcome: `picture`, `none`, or `shortened` if somebody shortened the base64."""
        if not self.items("image_generation_call"):
            return "none"
        return "shortened" if SHORTENED in self.call["result"] else "picture"


def read_recordings():
    """Return every exchange in the folder."""
    exchanges = [(file, n, x) for file in FILES for n, x in enumerate(json.loads(file.read_text())["exchanges"], 1)]
    return [
        Recording(f"{file.stem}-{n}", (x["request"] or {}).get("body") or {}, x["response"]) for file, n, x in exchanges
    ]


RECORDINGS = read_recordings()


def recordings(outcome, *, streamed=None, below=1 << 30):
    """Return a mark that runs a test for each recording with this outcome and fewer than `below` bytes."""
    candidates = [r for r in RECORDINGS if streamed in (None, r.streamed) and len(r.body) < below]
    chosen = [r for r in candidates if r.outcome == outcome]
    return pytest.mark.parametrize("recording", [pytest.param(r, id=r.name) for r in chosen])


@pytest.fixture
def replay(half, generator):
    """Return a function that draws from a server that sends a recording in chunks of `sizes` bytes."""

    def draw(recording, *sizes, **settings):
        with serving(split(recording.body, *(sizes or (1 << 16,))), recording.content_type) as server:
            drawing = generator(
                base_url=server.base_url, options={"partial_images": recording.partials_requested or None}, **settings
            )
            return half.stream(drawing, "draw") if recording.streamed else [half.invoke(drawing, "draw")]

    return draw


def pictures(store):
    """Return the files in a store's folder, including temporary ones."""
    return [path for path in Path(store.location).rglob("*") if path.is_file()]


def test_there_are_recordings():
    """There are recordings of each outcome, JSON and streamed, so that the tests below test something."""
    outcomes = {(recording.outcome, recording.streamed) for recording in RECORDINGS}

    assert outcomes >= {
        ("picture", False),
        ("picture", True),
        ("shortened", False),
        ("shortened", True),
        ("none", False),
    }


@pytest.mark.parametrize("sizes", [(1 << 16,), (1, 4093, 7), (333,)], ids=str)
@pytest.mark.parametrize("recording", [pytest.param(r, id=r.name) for r in RECORDINGS])
def test_scanner(recording, sizes):
    """The extractor finds the pictures that `json` and `base64` find and passes the rest, for any chunk size."""
    check(recording.body, sizes)


@pytest.mark.parametrize("file", [pytest.param(file, id=file.stem) for file in FILES])
def test_scanner_leaves_quoted_pictures(file):
    """A picture in a stream that is quoted inside a JSON string is not extracted."""
    text = file.read_bytes()

    check(text, (1 << 16,))
    assert scan(text).passed.count(b'\\"result\\":\\"') == text.count(b'\\"result\\":\\"')


@recordings("picture")
def test_picture(replay, recording, image_store):
    """A recorded picture is stored byte for byte under its digest."""
    result = replay(recording)[-1]

    assert result.image.sha256 == hashlib.sha256(recording.picture).hexdigest()
    assert result.image.read() == recording.picture
    assert result.image.size_bytes == len(recording.picture)
    assert [path.stem for path in pictures(image_store)] == [result.image.sha256]


@recordings("picture")
def test_record(replay, recording):
    """An image has the facts that the recorded answer states, and no others."""
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
    """The image model is the one that the answer names, else the requested one."""
    result = replay(recording)[-1]

    assert result.image.image_model == recording.response["tools"][0].get("model", "gpt-image-2")


@recordings("picture")
def test_result(replay, recording):
    """A result has the text, id and model of the response, and neither failures nor warnings."""
    result = replay(recording)[-1]

    assert result.text == recording.text
    assert (result.response_id, result.model) == (recording.response["id"], recording.response["model"])
    assert (result.failures, result.warnings, result.rung) == ((), (), None)


@recordings("picture")
def test_usage(replay, recording):
    """`usage` has the mainline model's tokens under LangChain's names."""
    result = replay(recording)[-1]

    usage = recording.response["usage"]
    assert result.usage == {
        "input_tokens": usage["input_tokens"],
        "output_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
        "input_token_details": {"cache_read": usage["input_tokens_details"]["cached_tokens"]},
        "output_token_details": {"reasoning": usage["output_tokens_details"]["reasoning_tokens"]},
    }


@recordings("picture")
def test_image_usage(replay, recording):
    """`image_usage` has the image model's tokens, and is None if the service reported none."""
    result = replay(recording)[-1]

    usage = recording.response.get("tool_usage", {}).get("image_gen")
    if usage is None:
        assert result.image_usage is None
    else:
        assert result.image_usage.total_tokens == usage["total_tokens"] > 0
        assert result.image_usage.output_token_details["image"] == usage["output_tokens_details"]["image_tokens"]


@recordings("none")
def test_no_picture(replay, recording, image_store):
    """An answer without a picture raises a `NoImageError` with the model's text and the types of its other items."""
    with pytest.raises(NoImageError) as caught:
        replay(recording)
    assert caught.value.text == recording.text
    assert caught.value.response_id == recording.response["id"]
    others = {item["type"] for item in recording.response["output"]} - {"reasoning", "message"}
    assert all(name in str(caught.value) for name in others)
    assert pictures(image_store) == []


def test_function_call_is_named(replay):
    """If the model called a function instead of drawing, the error names `function_call`."""
    function_calls = [recording for recording in RECORDINGS if recording.items("function_call")]

    for recording in function_calls:
        with pytest.raises(NoImageError, match="function_call"):
            replay(recording)
    assert function_calls


@recordings("shortened")
def test_shortened(replay, recording, image_store):
    """Shortened base64 raises a `CorruptImageError`, and no file stays in the store."""
    with pytest.raises(CorruptImageError, match=r"'\.' at position"):
        replay(recording)
    assert pictures(image_store) == []


@recordings("picture", streamed=True)
@pytest.mark.parametrize("more", [[], ["messages"]], ids=["plain", "streaming"])
def test_hosted_calls(half, image_store, recording, more):
    """An agent's hosted call over a recorded stream tells of its pictures and gives the recorded answer."""
    with serving(split(recording.body, 4093), recording.content_type) as server, httpx2.Client() as client:
        async_client = httpx2.AsyncClient()
        clients = {"http_client": client, "http_async_client": async_client}
        model = ChatOpenAI(base_url=server.base_url, api_key="sk-a", use_responses_api=True, **clients)
        asked = recording.partials_requested or 1
        middleware = ImageGenerationMiddleware(image_store=image_store, wire=True, partials=asked)
        graph = create_agent(model, middleware=[middleware])
        chunks = half.stream(graph, {"messages": "draw"}, stream_mode=[*more, "custom", "values"])
        half.wait(async_client.aclose)

    answer = [chunk for kind, chunk in chunks if kind == "values"][-1]["messages"][-1]
    begin, *partials, end = events = [chunk for kind, chunk in chunks if kind == "custom"]
    assert [image_store.get(event["sha256"]) for event in partials] == recording.partials
    assert [event["final"] for event in partials] == [event["index"] >= asked for event in partials]
    assert {event["tool_call_id"] for event in events} == {recording.call["id"]}
    assert (begin["type"], end["type"]) == ("image.started", "image.finished")
    assert (image_store.get(end["sha256"]), end["revised_prompt"]) == (
        recording.picture,
        recording.call["revised_prompt"],
    )
    assert answer.text == recording.text
    assert answer.usage_metadata["total_tokens"] == recording.response["usage"]["total_tokens"]


@recordings("picture", streamed=True)
def test_partials(replay, recording):
    """A recorded stream yields N + 1 partials in order, the last of which is the finished picture, and one result."""
    *partials, result = replay(recording)

    assert [type(piece) for piece in partials] == [PartialImage] * (recording.partials_requested + 1)
    assert [partial.data for partial in partials] == recording.partials
    assert [partial.index for partial in partials] == list(range(len(partials)))
    assert [partial.final for partial in partials] == [False] * recording.partials_requested + [True]
    assert partials[-1].data == result.image.read()
    assert {partial.handle for partial in partials} == {result.image.handle}
    assert isinstance(result, ImageResult)


@recordings("picture", streamed=True)
def test_invoke_of_a_stream(half, generator, recording):
    """With `delivery="stream"`, `invoke` reads the recorded events and returns the same picture."""
    with serving([recording.body], SSE) as server:
        result = half.invoke(generator(base_url=server.base_url, delivery="stream"), "draw")

    assert result.image.read() == recording.picture


@pytest.mark.parametrize("sizes", [(1024,), (1, 4093, 7)], ids=str)
@recordings("picture", below=1 << 20)
def test_chunks(replay, recording, sizes):
    """A recorded answer gives the same picture for any chunk size."""
    result = replay(recording, *sizes)[-1]

    assert result.image.read() == recording.picture
    assert result.response_id == recording.response["id"]


@recordings("picture", streamed=False, below=1 << 20)
def test_cut_after_the_picture(recording, image_store):
    """An answer that is cut after its picture gives the picture, with a warning."""
    end = recording.body.index(recording.call["result"].encode()) + len(recording.call["result"]) + 1
    step = max(1, (len(recording.body) - end) // 16)

    for cut in range(end, len(recording.body), step):
        body = Body("responses", Origin(), image_store, {"content-type": JSON})
        body.feed(recording.body[:cut])
        result = body.break_off(ConnectionError("cut"))

        assert result.image.sha256 == hashlib.sha256(recording.picture).hexdigest()
        assert "broke off" in result.warnings[0]


@recordings("picture", streamed=False, below=1 << 20)
def test_cut_within_the_picture(recording, image_store):
    """An answer that is cut before its picture is complete raises an error with the response id, if that arrived."""
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
    """Return a function that draws with `api="images"` from a simulator that sends a recorded response."""

    def draw(response, **settings):
        simulator.script(answer(response["json"], response["status"], response["content_type"]))
        return half.invoke(generator(api="images", **settings), "draw")

    return draw


def images_answer(name):
    """Return the recorded response of the Images API with this name."""
    [exchange] = IMAGES[name]
    return exchange["response"]


def test_there_are_recordings_of_the_images_api():
    """There are recordings of pictures and errors of the Images API, so that the tests below test something."""
    assert {images_answer(name)["status"] for name in IMAGES} == {200, 400, 401}
    assert len(ANSWERED) == 2


@pytest.mark.parametrize("name", ANSWERED)
def test_images_api_picture(replay_images, image_store, name):
    """A recorded picture of the Images API is stored byte for byte, and its image has the facts of the answer."""
    response = images_answer(name)
    result = replay_images(response)

    body = response["json"]
    picture = base64.b64decode(body["data"][0]["b64_json"], validate=True)
    assert result.image.read() == picture
    assert [path.stem for path in pictures(image_store)] == [hashlib.sha256(picture).hexdigest()]
    image = result.image
    assert (image.size, image.quality) == (body["size"], body["quality"])
    assert (image.background, image.output_format) == (body["background"], body["output_format"])
    assert f"{image.width}x{image.height}" == body["size"]
    assert int(image.created_at.timestamp()) == body["created"]
    assert (image.stored, result.warnings, result.failures) == (False, (), ())


@pytest.mark.parametrize("name", ANSWERED)
def test_images_api_usage(replay_images, name):
    """`image_usage` has the tokens of the recorded answer, including the image model's text tokens."""
    response = images_answer(name)
    usage = replay_images(response).image_usage

    recorded = response["json"]["usage"]
    totals = usage.input_tokens, usage.output_tokens, usage.total_tokens
    assert totals == (recorded["input_tokens"], recorded["output_tokens"], recorded["total_tokens"])
    for details, sent in (("input_token_details", "input"), ("output_token_details", "output")):
        kinds = recorded[f"{sent}_tokens_details"]
        read = getattr(usage, details)
        assert (read["image"], read["text"]) == (kinds["image_tokens"], kinds["text_tokens"])


def test_images_api_by_address(replay_images, image_store):
    """If the address in xAI's recorded answer cannot be fetched, the error has the address."""
    response = json.loads(
        json.dumps(images_answer("img_generate.grok-imagine-image")).replace("imgen.x.ai", "127.0.0.1")
    )
    with pytest.raises(ImageFetchError) as caught:
        replay_images(response)

    assert caught.value.url == response["json"]["data"][0]["url"]
    assert pictures(image_store) == []


def test_images_api_refused_source(replay_images, image_store):
    """The recorded refusal of a source raises an `OptionError` that names the source and quotes the service."""
    response = images_answer("img_error_invalid_image_file.gpt-image-1.5")
    with pytest.raises(OptionError, match=r"source image 1") as caught:
        replay_images(response)

    error = response["json"]["error"]
    assert error["message"] in str(caught.value)
    assert (caught.value.code, caught.value.param) == (error["code"], error["param"])
    assert pictures(image_store) == []


def test_images_api_wrong_key(replay_images):
    """The recorded 401 raises an `AuthenticationError` with our advice, in which the quoted key is masked."""
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY") as caught:
        replay_images(images_answer("img_error_401"), api_key="fake_key")

    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    assert "fake_key" not in str(caught.value)
    assert "key provided: ***." in str(caught.value)


@pytest.mark.parametrize("name", [*ANSWERED, "img_error_invalid_image_file.gpt-image-1.5"])
def test_simulator_answers_like_the_images_api(simulator, name):
    """The simulator answers a recorded request with the recorded keys and types, or the recorded error."""
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
