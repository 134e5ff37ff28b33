"""A picture that arrived complete is returned, whatever is wrong with the rest of its answer.

Each field of each answer is dropped, set to null and given another type; each answer is cut and corrupted at many
places. The answers are the simulator's and, where `IMAGEGEN_RECORDINGS` is set, recordings of the service.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from PIL import Image

from langchain_imagegen import ImageStore
from langchain_imagegen.errors import ImageGenerationError
from langchain_imagegen.images.image import Origin
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.simulator import Simulator
from langchain_imagegen.streaming.answer import Body
from tests.loopback import JSON, SSE, serving
from tests.test_recordings import RECORDINGS


def tiny() -> bytes:
    """Return a PNG of a few hundred bytes."""
    data = io.BytesIO()
    Image.effect_mandelbrot((20, 20), (-2, -1.5, 1, 1.5), 100).save(data, "png")
    return data.getvalue()


PNG = tiny()
BASE64 = base64.b64encode(PNG).decode()
SHA256 = hashlib.sha256(PNG).hexdigest()
PICTURE_KEYS = ("result", "b64_json", "partial_image_b64")
PICTURE = re.compile(rf'("(?:{"|".join(PICTURE_KEYS)})":\s*)"[^"]+"')
NOISE = (b"\xff", b"\0", b"\xef\xbb\xbf", b"\\ud83d", b"[" * 500, b"\r\n", b'"', b"}")
CHANGES: tuple[Any, ...] = (None, 1.5, "x", [None], {"x": 1}, "\ud83d", 10**30)


@dataclass(frozen=True)
class Answer:
    """One answer whose pictures were replaced with one small picture."""

    name: str
    api: str
    text: str

    @property
    def streamed(self) -> bool:
        """Return True for an event stream."""
        return not self.text.startswith("{")

    def documents(self) -> list[Any]:
        """Return the JSON of the answer, event by event."""
        if not self.streamed:
            return [json.loads(self.text)]
        return [json.loads(line[6:]) for line in self.text.splitlines() if line.startswith("data: {")]

    def serialize(self, document: Any) -> bytes:
        """Return one document as bytes of the body."""
        text = json.dumps(document)
        return (f"data: {text}\n\n" if self.streamed else text).encode()


def small(name: str, api: str, text: str) -> Answer:
    """Return the answer with the small picture in place of each of its pictures."""
    return Answer(name, api, PICTURE.sub(rf'\1"{BASE64}"', text))


def recorded_answers() -> Iterator[Answer]:
    """Yield the recorded answers that contain a picture."""
    for recording in RECORDINGS:
        if recording.outcome == "picture":
            yield small(recording.name, "responses", recording.body.decode())


def simulated_answers() -> Iterator[Answer]:
    """Yield answers of the simulator, JSON and streamed, for each API."""
    tool = {"type": "image_generation", "quality": "low", "size": "816x816"}
    with Simulator() as simulator:
        for stream in (False, True):
            body = {"model": "gpt-5.4", "input": "draw a fox", "tools": [tool], "stream": stream}
            yield small(f"responses-{stream}", "responses", post(f"{simulator.base_url}/responses", body))
            body = {"model": "gpt-image-2", "prompt": "draw a fox", "quality": "low", "stream": stream}
            yield small(f"images-{stream}", "images", post(f"{simulator.base_url}/images/generations", body))


def post(url: str, body: dict[str, Any]) -> str:
    """Send a request and return the text of its answer."""
    headers = {"content-type": JSON, "authorization": "Bearer simulated"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as response:
        return response.read().decode()


ANSWERS = [*simulated_answers(), *recorded_answers()]
answers = pytest.mark.parametrize("answer", [pytest.param(answer, id=answer.name) for answer in ANSWERS])
streams = pytest.mark.parametrize("answer", [pytest.param(a, id=a.name) for a in ANSWERS if a.streamed])


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each field and list item of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from paths(item, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    """Return the value at a path."""
    for key in path:
        value = value[key]
    return value


def mutations(answer: Answer) -> Iterator[tuple[str, bytes]]:
    """Yield names and bodies of the answer with one wrong field and at least one copy of the picture left."""
    documents = answer.documents()
    copies = answer.text.count(BASE64)
    parts = [answer.serialize(document) for document in documents]
    seen: set[str] = set()
    for number, document in enumerate(documents):
        if answer.streamed and document["type"] in seen:
            continue  # the first event of a type stands for all of its type
        seen.add(document.get("type", ""))
        for path in paths(document):
            if json.dumps(at(document, path)).count(BASE64) >= copies:
                continue
            for change in ("drop", *CHANGES):
                changed = json.loads(json.dumps(document))
                if change == "drop":
                    del at(changed, path[:-1])[path[-1]]
                else:
                    at(changed, path[:-1])[path[-1]] = change
                body = b"".join([*parts[:number], answer.serialize(changed), *parts[number + 1 :]])
                yield f"{number}: {path} {change!r}", body


def read(answer: Answer, body: bytes, store: ImageStore, error: Exception | None = None) -> ImageResult:
    """Return the result of an answer that ended, with `error` if its connection was lost."""
    reader = Body(answer.api, Origin(), store, {"content-type": SSE if answer.streamed else JSON}, partials=False)
    reader.feed(body)
    result = reader.break_off(error) if error else reader.finish()
    assert isinstance(result, ImageResult)
    return result


def losses(answer: Answer, bodies: Iterator[tuple[str, bytes]], **fields: Any) -> list[str]:
    """Return a line for each body whose result is not exactly the picture."""
    store = ImageStore("memory://mutations")
    lines = []
    for name, body in bodies:
        try:
            digests = [image.sha256 for image in read(answer, body, store, **fields).images]
        except ImageGenerationError as caught:
            lines.append(f"{name}: {caught!r}")
        else:
            lines += [] if digests == [SHA256] else [f"{name}: {digests}"]
    return lines


@answers
def test_one_wrong_field(answer):
    """An answer with one wrong field gives exactly its picture."""
    assert losses(answer, mutations(answer)) == []


def picture_end(answer: Answer) -> int:
    """Return where the first finished copy of the picture ends, with its quote and, in a stream, its index."""
    end = answer.text.index(BASE64) + len(BASE64) + 1
    return answer.text.index("\n", end) - 2 if answer.streamed else end


@answers
@pytest.mark.parametrize("error", [None, ConnectionError("reset")], ids=["clean end", "reset"])
def test_cut_after_the_picture(answer, error):
    """An answer that is cut anywhere after its picture gives the picture, with a warning."""
    body = answer.text.encode()
    start = picture_end(answer)
    step = max(1, (len(body) - start) // 100)
    cuts = ((f"cut at {cut}", body[:cut]) for cut in range(start, len(body) - 20, step))

    assert losses(answer, cuts, error=error) == []
    assert read(answer, body[:start], ImageStore("memory://mutations"), error).warnings


@answers
@pytest.mark.parametrize("noise", NOISE, ids=repr)
def test_inserted_bytes(answer, noise):
    """An answer with bytes inserted anywhere except in the picture and its key gives the picture."""
    body = answer.text.encode()
    spans = [(found.start() - 40, found.end() + 1) for found in re.finditer(re.escape(BASE64.encode()), body)]
    places = [at for at in range(0, len(body), max(1, len(body) // 60)) if not any(a < at < b for a, b in spans)]

    assert losses(answer, ((f"at {at}", body[:at] + noise + body[at:]) for at in places)) == []


@streams
def test_corrupt_copies(answer):
    """A stream in which all copies of the picture but one are corrupt gives the picture, whichever copy is valid."""
    pieces = answer.text.split(BASE64)
    corrupt = BASE64[:200] + "!*!*" + BASE64[204:]

    def bodies() -> Iterator[tuple[str, bytes]]:
        for valid in range(len(pieces) - 1):
            copies = [BASE64 if number == valid else corrupt for number in range(len(pieces) - 1)]
            yield f"only {valid}", "".join(a + b for a, b in zip(pieces, [*copies, ""], strict=True)).encode()

    assert losses(answer, bodies()) == []


@answers
def test_over_the_socket(answer, half, generator):
    """`ImageGenerator` returns the picture of a sample of the wrong answers, after one request each."""
    bodies = list(mutations(answer))

    for name, body in bodies[:: max(1, len(bodies) // 4)]:
        with serving([body], SSE if answer.streamed else JSON) as server:
            drawing = generator(
                base_url=server.base_url, api=answer.api, delivery="stream" if answer.streamed else "direct"
            )
            result = half.invoke(drawing, "draw a fox")
            assert (result.image.read(), server.posts) == (PNG, 1), name


@answers
def test_answer_without_its_picture(answer):
    """An answer whose picture is empty raises an `ImageGenerationError`."""
    body = answer.text.replace(BASE64, "").encode()

    with pytest.raises(ImageGenerationError):
        read(answer, body, ImageStore("memory://mutations"))
