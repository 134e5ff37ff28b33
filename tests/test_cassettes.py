"""Recorded traffic, played through the runnable with the network blocked; and the tape that records it."""

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
NOWHERE = {"base_url": "https://service.test/v1", "api_key": "no-key"}

blocked = pytest.mark.disable_socket


@pytest.fixture
def replay(half, made, image_store):
    """Plays a scene from its cassette, in each half, whichever it was recorded with."""

    def play(name):
        made.append(SCENE[name].generator(image_store, **NOWHERE))
        with recorder().use_cassette(name) as cassette:
            pieces = pieces_of(half, SCENE[name], made[-1])
        assert cassette.all_played
        return pieces

    return play


def pieces_of(half, scene, draw):
    """Everything that a scene gives."""
    if half.name == "sync":
        return list(scene.play(draw))

    async def collected():
        return [piece async for piece in scene.aplay(draw)]

    return half._run(collected())


def answers_in(name):
    """The bodies of a cassette's answers as they stand in the file, with tokens for pictures."""
    cassette = yaml.safe_load((HERE / f"{name}.yaml").read_text())
    return [interaction["response"]["body"]["string"] for interaction in cassette["interactions"]]


def calls_in(name):
    """The image calls of the JSON answers in a cassette."""
    items = [item for body in answers_in(name) for item in json.loads(body)["output"]]
    return [item for item in items if item["type"] == "image_generation_call"]


def is_blob(image, token):
    """Whether an image has the bytes that a token of a cassette stands for."""
    data = image.read()
    return token == f"blob:{hashlib.sha256(data).hexdigest()}" and data == (HERE / "blobs" / token[5:]).read_bytes()


# Playing


@blocked
@pytest.mark.parametrize("name", ["draw", "draw_async"])
def test_plays_an_answer(replay, name):
    """A recorded JSON answer gives the picture with its id, prompt, bytes and usage."""
    [result] = replay(name)

    [call] = calls_in(name)
    assert result.image.id == call["id"]
    assert result.image.revised_prompt == call["revised_prompt"]
    assert is_blob(result.image, call["result"])
    assert result.image_usage.output_tokens > 0


@blocked
def test_plays_a_stream(replay):
    """A recorded stream gives each partial picture once, in order, and the result last."""
    *partials, result = replay("stream_with_partial")

    [body] = answers_in("stream_with_partial")
    sent = re.findall(r'"partial_image_b64":"(blob:[0-9a-f]{64})"', body)
    assert [f"blob:{hashlib.sha256(partial.data).hexdigest()}" for partial in partials] == sent
    assert [partial.index for partial in partials] == list(range(len(sent)))
    assert [partial.final for partial in partials] == [token in sent[-1:] for token in sent]
    assert is_blob(result.image, sent[-1])
    assert {partial.id for partial in partials} == {result.image.id}


@blocked
@pytest.mark.parametrize(("name", "rung"), [("edit_by_call_id", "call_id"), ("edit_by_bytes", "bytes")])
def test_plays_an_edit(replay, name, rung):
    """A recorded edit gives both pictures, the second made from the first in the way it was recorded."""
    drawn, edited = replay(name)

    calls = calls_in(name)
    assert [drawn.image.id, edited.image.id] == [call["id"] for call in calls]
    assert is_blob(edited.image, calls[1]["result"])
    assert (edited.rung, edited.image.parents) == (rung, (drawn.image.id,))


@blocked
@pytest.mark.parametrize(("name", "error"), [("refused_size", OptionError), ("unknown_response", ServiceError)])
def test_plays_an_error(replay, name, error):
    """A recorded refusal becomes the same error as a live one, with the service's words."""
    with pytest.raises(error) as caught:
        replay(name)
    [body] = answers_in(name)
    assert json.loads(body)["error"]["message"].rstrip(".") in str(caught.value)


@blocked
def test_other_requests_are_refused(half, made, image_store):
    """A request that differs in its body from the recorded one is neither answered nor sent."""
    made.append(SCENE["draw"].generator(image_store, **NOWHERE))

    with recorder().use_cassette("draw"), pytest.raises(CannotOverwriteExistingCassetteException):
        half.invoke(made[-1], "Draw something else")


# What is kept


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_cassette_is_small_and_clean(file):
    """A cassette is a few KB without a key, an account, a cookie, a port or a picture, and says where it comes from."""
    text = file.read_text()

    assert len(text) < 12_000
    assert not re.search(r"[A-Za-z0-9+/]{200,}", text)
    assert not re.search(
        r"authorization|bearer|cookie|organization|\bsk-(?!REDACTED)|:\d{4,5}/|user-agent", text, re.IGNORECASE
    )
    assert set(yaml.safe_load(text)["metadata"]["recorded"]) == {"from", "date", "with"}


def test_every_scene_is_recorded():
    """There is one cassette for each scene, none besides, and the README tells of each."""
    told = (HERE / "README.md").read_text()

    assert [file.stem for file in FILES] == sorted(SCENE)
    assert all(f"`{name}`" in told for name in SCENE)


def test_readme_says_which_are_live():
    """The README claims no live recording that a cassette's head does not claim, and the other way round."""
    sources = [yaml.safe_load(file.read_text())["metadata"]["recorded"]["from"] for file in FILES]

    live = any("simulator" not in source for source in sources)
    assert live != ("None is a recording of the live service yet" in (HERE / "README.md").read_text())


def test_pictures_are_set_aside_once():
    """Each picture that a cassette names is there under its digest, none is left over, and all together are small."""
    named = {digest for file in FILES for digest in TOKEN.findall(file.read_text())}

    assert {blob.name for blob in BLOBS} == named
    assert all(hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name for blob in BLOBS)
    assert sum(blob.stat().st_size for blob in BLOBS) < 150_000


# Recording


def test_tape_records_and_plays(simulator, image_store, tmp_path):
    """What is recorded anew plays without the service, byte for byte, and keeps the key to itself."""
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


def test_recording_again_replaces(simulator, image_store, tmp_path):
    """A second recording takes the place of the first."""
    for _ in range(2):
        with recorder(tmp_path, recording=True).use_cassette("new"):
            draw = SCENE["draw"].generator(image_store, base_url=simulator.base_url, api_key="k")
            assert isinstance(draw.invoke(FOX), ImageResult)

    assert (tmp_path / "new.yaml").read_text().count("uri:") == 1


def test_multipart_matches_by_path(simulator, tmp_path, image_store):
    """Forms, whose borders are random, are played by their path."""
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
def test_only_pictures_are_set_aside(tmp_path, body):
    """Long text that is no picture stays where it is, and comes back as it was."""
    tape = Tape(tmp_path)

    assert tape.put_back(tape.set_aside(body)) == body


def test_accounts_are_struck_out(tmp_path):
    """Keys and organizations that stand in an answer's words are not kept."""
    told = Tape(tmp_path).set_aside("Incorrect key sk-abc123*****xyz of org-AbCdEfGhIjKl in proj_a")

    assert told == "Incorrect key sk-REDACTED of org-REDACTED in proj_a"
