"""Cassettes of recorded traffic, played with the network blocked, and the tape that records them."""

from __future__ import annotations

import hashlib
import io
import json
import re

import pytest
import yaml
from openai import OpenAI
from vcr.errors import CannotOverwriteExistingCassetteException

from cassettes.scenes import FOX, SCENES
from cassettes.tape import HERE, Tape, recorder
from langchain_imagegen import ImageGenerator, ImageResult
from langchain_imagegen.errors import OptionError, ServiceError

SCENE = {scene.name: scene for scene in SCENES}
FILES = sorted(HERE.glob("*.yaml"))
BLOBS = sorted((HERE / "blobs").iterdir())
TOKEN = re.compile(r"blob:([0-9a-f]{64})")
UNREACHABLE = {"base_url": "https://service.test/v1", "api_key": "no-key"}

offline = pytest.mark.disable_socket


@pytest.fixture
def replay(half, generators, image_store):
    """Return a function that plays a scene from its cassette, sync or async, and returns what it yields."""

    def play(name):
        generators.append(SCENE[name].generator(image_store, **UNREACHABLE))
        with recorder().use_cassette(name) as cassette:
            pieces = pieces_of(half, SCENE[name], generators[-1])
        assert cassette.all_played
        return pieces

    return play


def pieces_of(half, scene, draw):
    """Return everything that a scene yields."""
    if half.name == "sync":
        return list(scene.play(draw))

    async def collect():
        return [piece async for piece in scene.aplay(draw)]

    return half.wait(collect)


def answers_in(name):
    """Return the bodies of a cassette's answers, in which tokens replace the pictures."""
    cassette = yaml.safe_load((HERE / f"{name}.yaml").read_text())
    return [interaction["response"]["body"]["string"] for interaction in cassette["interactions"]]


def calls_in(name):
    """Return the image calls in a cassette's JSON answers."""
    items = [item for body in answers_in(name) for item in json.loads(body)["output"]]
    return [item for item in items if item["type"] == "image_generation_call"]


def is_blob(image, token):
    """Return True if an image has the bytes that a cassette's token stands for."""
    data = image.read()
    return token == f"blob:{hashlib.sha256(data).hexdigest()}" and data == (HERE / "blobs" / token[5:]).read_bytes()


# Playing


@offline
@pytest.mark.parametrize("name", ["draw", "draw_async"])
def test_plays_an_answer(replay, name):
    """A recorded JSON answer gives its picture's id, prompt, bytes and usage."""
    [result] = replay(name)

    [call] = calls_in(name)
    assert result.image.id == call["id"]
    assert result.image.revised_prompt == call["revised_prompt"]
    assert is_blob(result.image, call["result"])
    assert result.image_usage.output_tokens > 0


@offline
def test_plays_a_stream(replay):
    """A recorded stream gives each partial picture once, in order, and then the result."""
    *partials, result = replay("stream_with_partial")

    [body] = answers_in("stream_with_partial")
    sent = re.findall(r'"partial_image_b64":"(blob:[0-9a-f]{64})"', body)
    assert [f"blob:{hashlib.sha256(partial.data).hexdigest()}" for partial in partials] == sent
    assert [partial.index for partial in partials] == list(range(len(sent)))
    assert [partial.final for partial in partials] == [token in sent[-1:] for token in sent]
    assert is_blob(result.image, sent[-1])
    assert {partial.id for partial in partials} == {result.image.id}


@offline
@pytest.mark.parametrize(("name", "rung"), [("edit_by_call_id", "call_id"), ("edit_by_bytes", "bytes")])
def test_plays_an_edit(replay, name, rung):
    """A recorded edit gives both pictures, the second of which was made from the first by the recorded rung."""
    drawn, edited = replay(name)

    calls = calls_in(name)
    assert [drawn.image.id, edited.image.id] == [call["id"] for call in calls]
    assert is_blob(edited.image, calls[1]["result"])
    assert (edited.rung, edited.image.parents) == (rung, (drawn.image.id,))


@offline
@pytest.mark.parametrize(("name", "error"), [("refused_size", OptionError), ("unknown_response", ServiceError)])
def test_plays_an_error(replay, name, error):
    """A recorded error raises the same error as a live one, with the service's message."""
    with pytest.raises(error) as caught:
        replay(name)
    [body] = answers_in(name)
    assert json.loads(body)["error"]["message"].rstrip(".") in str(caught.value)


@offline
def test_other_requests_are_refused(half, generators, image_store):
    """A request whose body differs from the recorded one raises an error and is not sent."""
    generators.append(SCENE["draw"].generator(image_store, **UNREACHABLE))

    with recorder().use_cassette("draw"), pytest.raises(CannotOverwriteExistingCassetteException):
        half.invoke(generators[-1], "Draw something else")


# The committed files


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_cassette_is_small_and_clean(file):
    """A cassette is smaller than 12 KB, says its origin, and contains no key, account, cookie, port or picture."""
    text = file.read_text()

    assert len(text) < 12_000
    assert not re.search(r"[A-Za-z0-9+/]{200,}", text)
    assert not re.search(
        r"authorization|bearer|cookie|organization|\bsk-(?!REDACTED)|:\d{4,5}/|user-agent", text, re.IGNORECASE
    )
    assert set(yaml.safe_load(text)["metadata"]["recorded"]) == {"from", "date", "with"}


def test_every_scene_is_recorded():
    """There is exactly one cassette for each scene, and the README names each."""
    readme = (HERE / "README.md").read_text()

    assert [file.stem for file in FILES] == sorted(SCENE)
    assert all(f"`{name}`" in readme for name in SCENE)


def test_readme_says_which_are_live():
    """The README says that there are no live recordings exactly if no cassette says that it is one."""
    sources = [yaml.safe_load(file.read_text())["metadata"]["recorded"]["from"] for file in FILES]

    live = any("simulator" not in source for source in sources)
    assert live != ("None is a recording of the live service yet" in (HERE / "README.md").read_text())


def test_pictures_are_stored_once():
    """Each picture of a cassette is stored under its digest, there are no others, and all are smaller than 150 KB."""
    named = {digest for file in FILES for digest in TOKEN.findall(file.read_text())}

    assert {blob.name for blob in BLOBS} == named
    assert all(hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name for blob in BLOBS)
    assert sum(blob.stat().st_size for blob in BLOBS) < 150_000


# Recording


def test_tape_records_and_plays(simulator, image_store, tmp_path):
    """A new recording plays without the service, byte for byte, and contains neither key nor organization."""
    settings = {"image_store": image_store, "api_key": "very-secret-key", "organization": "org-secret"}
    scene = SCENE["edit_by_bytes"]
    with recorder(tmp_path, recording=True).use_cassette("new"):
        recorded = list(scene.play(scene.generator(base_url=simulator.base_url, **settings)))
    simulator.stop()

    with recorder(tmp_path).use_cassette("new"):
        played = list(scene.play(scene.generator(base_url=simulator.base_url, **settings)))
    text = (tmp_path / "new.yaml").read_text()
    assert [result.image for result in played] == [result.image for result in recorded]
    assert "secret" not in text
    assert len(list((tmp_path / "blobs").iterdir())) == 2


def test_recording_again_replaces_the_cassette(simulator, image_store, tmp_path):
    """A second recording replaces the first."""
    for _ in range(2):
        with recorder(tmp_path, recording=True).use_cassette("new"):
            draw = SCENE["draw"].generator(image_store, base_url=simulator.base_url, api_key="k")
            assert isinstance(draw.invoke(FOX), ImageResult)

    assert (tmp_path / "new.yaml").read_text().count("uri:") == 1


def test_multipart_matches_by_path(simulator, tmp_path, image_store):
    """A multipart request, whose boundary is random, is matched by its path."""
    client = OpenAI(base_url=simulator.base_url, api_key="k", max_retries=0)
    drawn = ImageGenerator(base_url=simulator.base_url, api_key="k", image_store=image_store).invoke("draw a fox")

    def upload():
        return client.files.create(file=("fox.png", io.BytesIO(drawn.image.read())), purpose="vision").id

    with recorder(tmp_path, recording=True).use_cassette("form"):
        recorded = upload()
    simulator.stop()
    with recorder(tmp_path).use_cassette("form"):
        assert upload() == recorded
    client.close()


@pytest.mark.parametrize(
    "body",
    [
        '{"result":"' + "A" * 400 + '"}',
        '{"encrypted_content":"gAAAAA' + "b-_" * 200 + '"}',
        '{"result":"' + "iVBORw0KGgo" * 40 + '"}',
    ],
    ids=["no picture", "encrypted", "odd base64"],
)
def test_only_pictures_are_replaced(tmp_path, body):
    """A long text that is not a picture survives recording and playing unchanged."""
    tape = Tape(tmp_path)

    assert tape.put_back(tape.set_aside(body)) == body


def test_accounts_are_redacted(tmp_path):
    """Keys and organizations in an answer's text are redacted."""
    text = Tape(tmp_path).set_aside("Incorrect key sk-abc123*****xyz of org-AbCdEfGhIjKl in proj_a")

    assert text == "Incorrect key sk-REDACTED of org-REDACTED in proj_a"
