"""A picture that arrived whole is delivered, whatever is wrong with the rest of its answer.

Each field of each answer is dropped, retyped and set to null; each stream is cut and spoiled at each region. The
answers are the simulator's, and recordings of the service where `IMAGEGEN_RECORDINGS` has them.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
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
    """Return a picture of some hundred bytes."""
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
    """One answer, its picture replaced by a small one."""

    name: str
    api: str
    text: str

    @property
    def streamed(self) -> bool:
        """True for an event stream."""
        return not self.text.startswith("{")

    def documents(self) -> list[Any]:
        """Return the JSON of the answer, event by event."""
        if not self.streamed:
            return [json.loads(self.text)]
        return [json.loads(line[6:]) for line in self.text.splitlines() if line.startswith("data: {")]

    def written(self, document: Any) -> bytes:
        """Return one document as it stands in the body."""
        text = json.dumps(document)
        return (f"data: {text}\n\n" if self.streamed else text).encode()


def small(name: str, api: str, text: str) -> Answer:
    """Return an answer whose pictures are all the same small one."""
    return Answer(name, api, PICTURE.sub(rf'\1"{BASE64}"', text))


def recorded() -> Iterator[Answer]:
    """Yield the recorded answers with a picture."""
    for recording in RECORDINGS:
        if recording.outcome == "picture":
            yield small(recording.name, "responses", recording.body.decode())


def simulated() -> Iterator[Answer]:
    """Yield an answer of the simulator for each API, plain and streamed."""
    tool = {"type": "image_generation", "quality": "low", "size": "816x816"}
    with Simulator() as simulator:
        for stream in (False, True):
            asked = {"model": "gpt-5.4", "input": "draw a fox", "tools": [tool], "stream": stream}
            yield small(f"responses-{stream}", "responses", post(f"{simulator.base_url}/responses", asked))
            asked = {"model": "gpt-image-2", "prompt": "draw a fox", "quality": "low", "stream": stream}
            yield small(f"images-{stream}", "images", post(f"{simulator.base_url}/images/generations", asked))


def post(url: str, body: dict[str, Any]) -> str:
    """Return the text of an answer."""
    headers = {"content-type": JSON, "authorization": "Bearer simulated"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as response:
        return response.read().decode()


ANSWERS = [*simulated(), *recorded()]
answers = pytest.mark.parametrize("answer", [pytest.param(answer, id=answer.name) for answer in ANSWERS])
streams = pytest.mark.parametrize("answer", [pytest.param(a, id=a.name) for a in ANSWERS if a.streamed])


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each field and list item of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from paths(item, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    """Return what stands at a path."""
    for key in path:
        value = value[key]
    return value


def mutations(answer: Answer) -> Iterator[tuple[str, bytes]]:
    """Yield each answer in which one field is wrong and at least one copy of the picture is left."""
    documents = answer.documents()
    copies = answer.text.count(BASE64)
    written = [answer.written(document) for document in documents]
    seen: set[str] = set()
    for number, document in enumerate(documents):
        if answer.streamed and document["type"] in seen:
            continue  # of events of one type the first stands for all
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
                body = b"".join([*written[:number], answer.written(changed), *written[number + 1 :]])
                yield f"{number}: {path} {change!r}", body


def read(answer: Answer, body: bytes, store: ImageStore, error: Exception | None = None) -> ImageResult:
    """Return what an answer gives; with `error` one that broke off."""
    reading = Body(answer.api, Origin(), store, {"content-type": SSE if answer.streamed else JSON}, partials=False)
    reading.feed(body)
    result = reading.break_off(error) if error else reading.finish()
    assert isinstance(result, ImageResult)
    return result


def lost(answer: Answer, bodies: Iterator[tuple[str, bytes]], **fields: Any) -> list[str]:
    """Return the names of the answers that did not give the picture, and it alone."""
    store = ImageStore("memory://mutations")
    failed = []
    for name, body in bodies:
        try:
            found = [image.sha256 for image in read(answer, body, store, **fields).images]
        except ImageGenerationError as caught:
            failed.append(f"{name}: {caught!r}")
        else:
            failed += [] if found == [SHA256] else [f"{name}: {found}"]
    return failed


@answers
def test_one_field_is_wrong(answer):
    """An answer with one odd field gives its picture, once, and no foreign error."""
    assert lost(answer, mutations(answer)) == []


def arrived(answer: Answer) -> int:
    """Return where the first finished copy of the picture is whole, its closing quote and index included."""
    end = answer.text.index(BASE64) + len(BASE64) + 1
    return answer.text.index("\n", end) - 2 if answer.streamed else end


@answers
@pytest.mark.parametrize("error", [None, ConnectionError("reset")], ids=["clean end", "reset"])
def test_cut_behind_the_picture(answer, error):
    """Wherever an answer ends behind its picture, in good order or not, the picture is delivered with a warning."""
    body = answer.text.encode()
    start = arrived(answer)
    step = max(1, (len(body) - start) // 100)
    cuts = ((f"cut at {cut}", body[:cut]) for cut in range(start, len(body) - 20, step))

    assert lost(answer, cuts, error=error) == []
    assert read(answer, body[:start], ImageStore("memory://mutations"), error).warnings


@answers
@pytest.mark.parametrize(
    "noise", [b"\xff", b"\0", b"\xef\xbb\xbf", b"\\ud83d", b"[" * 500, b"\r\n", b'"', b"}"], ids=repr
)
def test_odd_bytes(answer, noise):
    """Bytes that do not belong there, anywhere but in the picture and its key, lose nothing."""
    body = answer.text.encode()
    spans = [(found.start() - 40, found.end() + 1) for found in re.finditer(re.escape(BASE64.encode()), body)]
    places = [at for at in range(0, len(body), max(1, len(body) // 60)) if not any(a < at < b for a, b in spans)]

    assert lost(answer, ((f"at {at}", body[:at] + noise + body[at:]) for at in places)) == []


@streams
def test_corrupt_copies(answer):
    """Each copy of the picture but one may be corrupt, in any combination."""
    pieces = answer.text.split(BASE64)
    spoiled = BASE64[:200] + "!*!*" + BASE64[204:]

    def bodies() -> Iterator[tuple[str, bytes]]:
        for good in range(len(pieces) - 1):
            copies = [BASE64 if number == good else spoiled for number in range(len(pieces) - 1)]
            yield f"only {good}", "".join(a + b for a, b in zip(pieces, [*copies, ""], strict=True)).encode()

    assert lost(answer, bodies()) == []


@answers
def test_over_the_socket(answer, half, generator):
    """A sample of the odd answers gives the picture through `ImageGenerator` too, and is asked for once."""
    bodies = list(mutations(answer))

    for name, body in bodies[:: max(1, len(bodies) // 4)]:
        with serving([body], SSE if answer.streamed else JSON) as server:
            drawing = generator(
                base_url=server.base_url, api=answer.api, delivery="stream" if answer.streamed else "direct"
            )
            result = half.invoke(drawing, "draw a fox")
            assert (result.image.read(), server.posts) == (PNG, 1), name


def test_answers_without_a_picture_stay_errors():
    """What holds no picture is one of our errors, whatever else is wrong."""
    store = ImageStore("memory://mutations")
    for answer in ANSWERS[:4]:
        text = answer.text.replace(BASE64, "")
        with suppress(ImageGenerationError):
            pytest.fail(f"{answer.name} gave {read(answer, text.encode(), store)}")
