"""Images, partial images and results: small records whose bytes are in a store."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import re
import socket
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from langchain_imagegen import GeneratedImage, ImageMemory, ImageResult, ImageStore, ImageUsage, PartialImage
from langchain_imagegen.errors import CorruptImageError, ImageStoreError, OptionError
from langchain_imagegen.images import lookup
from langchain_imagegen.images.image import handle_of, is_record
from langchain_imagegen.images.notebook import img
from langchain_imagegen.images.result import ImageFailure
from langchain_imagegen.simulator.drawing import draw as paint

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><script>alert(1)</script></svg>'


@pytest.fixture(scope="session")
def png() -> bytes:
    """Return a PNG of 64 x 48 pixels."""
    return paint("a fox", size=(64, 48))


def image_of(store: ImageStore, data: bytes, **facts: Any) -> GeneratedImage:
    """Put the bytes into the store and return an image of them."""
    return GeneratedImage.of(store.put(data), **{"id": "ig_1", "provider": "api.example", **facts}).bind(store)


# --- records


def test_facts_are_read_from_the_bytes(image_store: ImageStore, png: bytes):
    """An image's digest, length, MIME type and pixel size are read from its bytes."""
    fox = image_of(image_store, png, output_format="webp")

    assert (fox.width, fox.height, fox.mime_type, fox.size_bytes) == (64, 48, "image/png", len(png))
    assert fox.read() == png
    assert fox.sha256 in image_store


def test_a_record_is_small_json(image_store: ImageStore, png: bytes):
    """A record with every field set is JSON of less than 2 KB, from which an equal image is made."""
    fox = image_of(
        image_store,
        png,
        prompt="draw a fox" * 30,
        revised_prompt="a red fox" * 60,
        action="edit",
        size="1024x1024",
        quality="low",
        background="opaque",
        output_format="png",
        image_model="gpt-image-2",
        response_id="resp_1",
        parents=("ig_0",),
        companion_ids=("rs_1",),
        stored=False,
        dead_rungs=("call_id",),
        created_at=1_790_000_000,
        sent_sha256="a" * 64,
        sent_mime_type="image/jpeg",
        partials=("b" * 64,),
        seconds=12.34,
        tokens={"image": {"text_in": 71, "image_out": 196}, "mainline": {"text_in": 2279}, "model": "gpt-5.4"},
    )

    record = json.loads(json.dumps(fox.record()))

    assert GeneratedImage.model_validate(record) == fox
    assert set(record) == {*GeneratedImage.model_fields, "handle"}
    assert len(json.dumps(record)) < 2_048
    assert GeneratedImage.model_validate(record).record() == record


def test_a_record_omits_unknown_fields(image_store: ImageStore, png: bytes):
    """A record has no keys for fields that are `None` or empty."""
    record = image_of(image_store, png).record()

    assert set(record) == {
        "id", "provider", "handle", "sha256", "size_bytes", "width", "height", "mime_type", "origin",
    }  # fmt: skip


def test_a_record_contains_no_location(image_store: ImageStore, png: bytes, tmp_path: Path):
    """Neither an image's record, its JSON nor its repr contains the store's folder."""
    fox = image_of(image_store, png)

    shown = [json.dumps(fox.record()), fox.model_dump_json(), repr(fox), str(fox)]

    assert not [text for text in shown if str(tmp_path) in text]


def test_a_location_in_a_record_is_never_opened(own_folder: Path, tmp_path: Path):
    """Unknown keys of a record, such as a path, are dropped, and a digest that is a path is refused."""
    (tmp_path / "secret.png").write_bytes(b"secret")
    record = {"id": "ig_1", "sha256": "../../secret.png", "size_bytes": 6, "mime_type": "image/png"}

    foreign = GeneratedImage.model_validate(record | {"path": str(tmp_path / "secret.png"), "url": "file:///x"})

    assert set(foreign.record()).isdisjoint({"path", "url"})
    with pytest.raises(ImageStoreError):
        foreign.read()


def test_a_handle_depends_on_provider_and_id():
    """A handle is `img_` and 8 hex digits, and differs for another id or another provider."""
    handles = {handle_of("api.example", "ig_1"), handle_of("api.other", "ig_1"), handle_of("api.example", "ig_2")}

    assert len(handles) == 3
    assert all(len(handle) == 12 and int(handle.removeprefix("img_"), 16) >= 0 for handle in handles)


def test_an_image_is_frozen(image_store: ImageStore, png: bytes):
    """Assigning to a field of an image raises an error."""
    fox = image_of(image_store, png)

    with pytest.raises(ValidationError, match="frozen"):
        fox.prompt = "a wolf"


@pytest.mark.parametrize("value", [None, "ig_1", ["id"], {"id": "ig_1"}, {"type": "image", "id": "x", "base64": ""}])
def test_is_record(value: object):
    """`is_record` is false for a value that lacks the keys of a record."""
    assert not is_record(value)


# --- reading and saving


def test_an_unbound_image_finds_its_bytes_in_the_open_stores(image_store: ImageStore, png: bytes):
    """An image made from a record reads its bytes from any open store of the process."""
    record = image_of(image_store, png).record()

    assert GeneratedImage.model_validate(record).read() == png


def test_an_unreachable_store_does_not_hide_others(tmp_path: Path, png: bytes):
    """An unreachable store is skipped, and is named in the error if no other store has the bytes."""
    pytest.importorskip("s3fs", reason="needs the extra s3")
    no_retries = {"retries": {"max_attempts": 1}, "connect_timeout": 1}
    away = ImageStore("s3://away", endpoint_url="http://127.0.0.1:9", key="k", secret="s", config_kwargs=no_retries)
    record = image_of(ImageStore(tmp_path), png).record()
    opened = [away, ImageStore(tmp_path)]

    assert GeneratedImage.model_validate(record).read() == png
    with pytest.raises(ImageStoreError, match=opened[0].location):
        GeneratedImage.model_validate({**record, "sha256": "0" * 64}).read()


def test_an_unreachable_store_is_not_asked_again_for_a_while(image_store: ImageStore, monkeypatch: pytest.MonkeyPatch):
    """An unreachable bucket is asked for the first of twenty images only, and every error names it."""
    pytest.importorskip("s3fs", reason="needs the extra s3")
    lost = GeneratedImage(id="ig_1", sha256="0" * 64, size_bytes=1, mime_type="image/png")
    monkeypatch.setattr(lookup, "REST", 3600.0)  # on a busy machine the usual 10 s may pass within the loop
    attempts: list[socket.socket] = []

    def hang_up() -> None:
        with suppress(OSError):
            while True:
                attempts.append(listener.accept()[0])
                attempts[-1].close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=hang_up, daemon=True).start()
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        no_retries = {"retries": {"max_attempts": 1}, "connect_timeout": 60, "read_timeout": 60}
        away = ImageStore("s3://dead", endpoint_url=endpoint, key="k", secret="s", config_kwargs=no_retries)
        counts = []
        for _ in range(20):
            with pytest.raises(ImageStoreError, match=away.location):
                lost.read()
            counts.append(len(attempts))

    assert counts[0] > 0
    assert counts[-1] == counts[0]


def test_an_image_without_bytes(png: bytes):
    """If no open store has an image's bytes, the error names its handle and two ways to give a store."""
    lost = GeneratedImage(id="ig_1", sha256="0" * 64, size_bytes=1, mime_type="image/png")

    with pytest.raises(ImageStoreError, match=f"{lost.handle}.*open the ImageStore .* or pass it as image_store="):
        lost.read()


async def test_aread(image_store: ImageStore, png: bytes):
    """`aread` returns the image's bytes."""
    assert await image_of(image_store, png).aread() == png


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("fox.png", "fox.png"),
        ("fox", "fox.png"),
        ("a/b/fox.picture", "a/b/fox.picture"),
    ],
)
def test_save_to_a_path(image_store: ImageStore, png: bytes, tmp_path: Path, given: str, written: str):
    """`save` creates missing folders, adds a missing suffix, and writes the bytes unchanged."""
    path = image_of(image_store, png).save(tmp_path / given)

    assert path == tmp_path / written
    assert path.read_bytes() == png


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("poster v2.1", "poster v2.1.png"),
        ("Dr. Fox", "Dr. Fox.png"),
        ("x" * 250, "x" * 250 + ".png"),
        ("x" * 247 + ".png", "x" * 247 + ".png"),
        ("fox.PNG", "fox.PNG"),
    ],
)
def test_save_keeps_the_name(image_store: ImageStore, png: bytes, tmp_path: Path, given: str, written: str):
    """`save` takes a dot within a name for no suffix, and accepts a name as long as the file system allows."""
    assert image_of(image_store, png).save(tmp_path / given).name == written


def test_save_to_a_path_with_a_trailing_slash(image_store: ImageStore, png: bytes, tmp_path: Path):
    """`save("outdir/")` creates the folder and names the file after the handle."""
    fox = image_of(image_store, png)

    assert fox.save(f"{tmp_path}/outdir/") == tmp_path / "outdir" / f"{fox.handle}.png"


def test_save_to_the_home_folder(image_store: ImageStore, png: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`save("~/fox.png")` saves to the user's home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))

    assert image_of(image_store, png).save("~/fox.png") == tmp_path / "fox.png"


def test_save_with_the_suffix_of_another_format(image_store: ImageStore, png: bytes, tmp_path: Path):
    """`save` with a wrong suffix writes the bytes unchanged and warns which suffix is right."""
    with pytest.warns(UserWarning, match=r"'fox.jpg' is saved with the bytes of .*image/png: call it fox.png"):
        path = image_of(image_store, png).save(tmp_path / "fox.jpg")
    assert path.read_bytes() == png


@pytest.mark.parametrize("path", ["a\0b.png", "~nobody-of-this-name/fox.png"])
def test_save_to_an_impossible_path(path: str, image_store: ImageStore, png: bytes):
    """`save` to a path with NUL or of an unknown user raises an `OptionError`."""
    with pytest.raises(OptionError, match="names no file"):
        image_of(image_store, png).save(path)


def test_save_a_result(image_store: ImageStore, png: bytes, tmp_path: Path):
    """`save` of a result numbers the names of several pictures, or names them after their handles in a folder."""
    one, two = image_of(image_store, png), image_of(image_store, SVG, id="ig_2")
    both = ImageResult(images=(one, two))

    assert ImageResult(images=(one,)).save(tmp_path / "fox.png") == [tmp_path / "fox.png"]
    assert both.save(tmp_path / "pair") == [tmp_path / "pair-1.png", tmp_path / "pair-2.svg"]
    assert both.save(tmp_path) == [tmp_path / f"{one.handle}.png", tmp_path / f"{two.handle}.svg"]


def test_a_partial_can_be_used_like_an_image(png: bytes, tmp_path: Path):
    """A partial image has working `save`, `to_pil` and `to_data_url`."""
    partial = PartialImage(index=1, data=png, mime_type="image/png", id="ig_1")

    assert partial.save(tmp_path) == tmp_path / f"{partial.handle}-partial-1.png"
    assert partial.to_pil().size == (64, 48)
    assert partial.to_data_url().startswith("data:image/png;base64,")


def test_to_pil_of_an_svg(image_store: ImageStore):
    """`to_pil` of an SVG raises an error that says what to do instead."""
    with pytest.raises(CorruptImageError, match=r"cannot read SVG.*save\(\).*cairosvg"):
        image_of(image_store, SVG).to_pil()


def test_save_to_a_folder(image_store: ImageStore, png: bytes, tmp_path: Path):
    """`save` to a folder writes a file named after the handle, and replaces an older one."""
    fox = image_of(image_store, png)
    (tmp_path / f"{fox.handle}.png").write_bytes(b"older")

    path = fox.save(str(tmp_path))

    assert path == tmp_path / f"{fox.handle}.png"
    assert path.read_bytes() == png


@pytest.mark.skipif(sys.platform == "win32", reason="file modes are those of POSIX")
def test_a_saved_file_respects_the_umask(image_store: ImageStore, png: bytes, tmp_path: Path):
    """A saved file has the mode that the umask allows, not a private one."""
    before = os.umask(0o022)
    try:
        path = image_of(image_store, png).save(tmp_path / "fox.png")
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_failed_save_leaves_no_file(image_store: ImageStore, png: bytes, tmp_path: Path):
    """If a folder has the file's name, `save` fails and leaves no unfinished file."""
    (tmp_path / "fox.png" / "inside").mkdir(parents=True)
    fox = image_of(image_store, png).model_copy(update={"id": "ig_2"}).bind(image_store)
    (tmp_path / "fox.png" / f"{fox.handle}.png").mkdir()

    with pytest.raises(OSError, match="directory"):
        fox.save(tmp_path / "fox.png")
    assert sorted(path.name for path in (tmp_path / "fox.png").iterdir()) == sorted(["inside", f"{fox.handle}.png"])


def test_to_pil(image_store: ImageStore, png: bytes):
    """`to_pil` returns a Pillow image of the right size."""
    assert image_of(image_store, png).to_pil().size == (64, 48)


def test_data_url_and_content_block(image_store: ImageStore, png: bytes):
    """The data URL and the content block contain the bytes and their MIME type."""
    fox = image_of(image_store, png)

    url, block = fox.to_data_url(), fox.to_content_block()

    assert url == f"data:image/png;base64,{base64.b64encode(png).decode()}"
    assert base64.b64decode(block.pop("base64")) == png
    assert block == {"type": "image", "mime_type": "image/png", "id": "ig_1"}


def test_url(tmp_path: Path, png: bytes):
    """`url` is the store's public address of the picture; without one the error names the setting."""
    public = ImageStore(str(tmp_path / "public"), public_url="https://example.org/{sha256}.{ext}")
    private = ImageStore(str(tmp_path / "private"))

    assert image_of(public, png).url() == f"https://example.org/{image_of(public, png).sha256}.png"
    with pytest.raises(ImageStoreError, match="public_url"):
        image_of(private, png).url()


# --- notebooks


def test_a_notebook_shows_an_image(image_store: ImageStore, png: bytes):
    """A notebook shows an image's bytes, with its prompt as plain text."""
    shown = image_of(image_store, png, prompt="a fox")._repr_mimebundle_()

    assert base64.b64decode(shown["image/png"]) == png
    assert shown["text/plain"] == "a fox"


def test_a_notebook_does_not_run_scripts_of_an_svg(image_store: ImageStore):
    """A notebook shows an SVG inside `<img>`, where browsers run no scripts, and never as inline SVG."""
    shown = image_of(image_store, SVG, prompt='a "fox" <b>')._repr_mimebundle_()

    assert set(shown) == {"text/html", "text/plain"}
    assert shown["text/html"].startswith('<img alt="a &quot;fox&quot; &lt;b&gt;" src="data:image/svg+xml;base64,')
    assert "<script" not in shown["text/html"]


def test_a_notebook_shows_a_result(image_store: ImageStore, png: bytes):
    """A notebook shows a result's only image as itself and several images as figures with handles and escaped text."""
    one, two = image_of(image_store, png, revised_prompt="<i>a fox</i>"), image_of(image_store, SVG, id="ig_2")

    alone = ImageResult(images=(one,))._repr_mimebundle_()
    both = ImageResult(images=(one, two))._repr_mimebundle_()

    assert alone["text/plain"] == f"{one.handle}: <i>a fox</i>"
    assert both["text/html"].count("<figure") == 2
    assert "&lt;i&gt;a fox&lt;/i&gt;" in both["text/html"]
    assert f"<figcaption>{two.handle}</figcaption>" in both["text/html"]


def test_previews_inside_html_are_webp(image_store: ImageStore):
    """Previews of several pictures are WebP, which is small; that of one is a JPEG, which every front end shows."""
    noise = Image.effect_noise((900, 900), 90)
    data = io.BytesIO()
    noise.save(data, format="PNG")
    one, two = (image_of(image_store, data.getvalue(), id=id) for id in ("ig_1", "ig_2"))

    assert set(ImageResult(images=(one,))._repr_mimebundle_()) == {"image/jpeg", "text/plain"}
    both = ImageResult(images=(one, two))._repr_mimebundle_()
    assert both["text/html"].count('src="data:image/webp;base64,') == 2
    assert re.search(r"\(preview of 0\.\d MB\)", str(one.view(edge=400)))
    data = paint("a fox", size=(200, 200))
    assert f"(preview of {len(data) / 1000:.0f} KB)" in str(image_of(image_store, data).view(edge=40))


def test_a_list_of_images_shows_itself(image_store: ImageStore):
    """The lists that a memory and a library return are lists, whose first 24 pictures a notebook shows."""
    data = paint("a fox", size=(32, 32))
    memory = ImageMemory((image_of(image_store, data, id=f"ig_{n}") for n in range(30)), image_store=image_store)

    assert memory[:3] == list(memory)[:3]
    assert memory[:3]._repr_mimebundle_()["text/html"].count("<img") == 3
    assert memory[:]._repr_mimebundle_()["text/html"].count("<img") == 24
    assert "the first 24 of 30 pictures" in memory[:]._repr_mimebundle_()["text/html"]
    assert memory[30:]._repr_mimebundle_() == {"text/plain": "[]"}


def test_a_failure_is_told_once(image_store: ImageStore, png: bytes):
    """A picture that failed beside others is told once, although a warning says the same."""
    failure = ImageFailure(message="the safety system refused it", stage="output")
    warnings = ("a picture failed: the safety system refused it", "another thing")
    result = ImageResult(images=(image_of(image_store, png),), failures=(failure,), warnings=warnings)

    lines = str(result.view()).splitlines()
    assert lines[-2:] == ["a picture failed at the output: the safety system refused it", "warning: another thing"]


def test_a_notebook_shows_a_partial():
    """A notebook shows a partial image's bytes, with its index as plain text."""
    partial = PartialImage(index=1, data=b"\x89PNG", mime_type="image/png", id="ig_1")

    shown = partial._repr_mimebundle_()

    assert base64.b64decode(shown["image/png"]) == b"\x89PNG"
    assert shown["text/plain"] == f"partial 1 of {partial.handle}"


def test_alt_text_is_escaped():
    """A quote in a prompt does not end the `alt` attribute."""
    assert img(b"", "image/png", alt='" onload="alert(1)').startswith('<img alt="&quot; onload=&quot;alert(1)" src=')


# --- partials, usage, results


def test_dumps_of_a_partial_have_no_bytes():
    """A partial image's repr and JSON do not contain its bytes; its pickle does."""
    partial = PartialImage(index=0, data=b"\xff" * 100_000, mime_type="image/jpeg", id="ig_1", provider="api.example")

    assert len(repr(partial)) < 300
    assert partial.model_dump(mode="json") == {
        "index": 0, "mime_type": "image/jpeg", "id": "ig_1", "provider": "api.example", "final": False,
        "handle": handle_of("api.example", "ig_1"),
    }  # fmt: skip
    assert pickle.loads(pickle.dumps(partial)) == partial


def test_missing_usage_is_none():
    """Missing usage is `None`; reported usage has LangChain's field names."""
    reported = {
        "input_tokens": 71,
        "output_tokens": 196,
        "total_tokens": 267,
        "input_tokens_details": {"text_tokens": 71},
    }

    assert ImageUsage.of(None) is None
    assert ImageUsage.of({}) == ImageUsage()
    assert ImageUsage.of(reported | {"output_tokens_details": None}) == ImageUsage(
        input_tokens=71, output_tokens=196, total_tokens=267, input_token_details={"text": 71}
    )


def test_a_result_has_at_least_one_picture():
    """A result without images cannot be made."""
    with pytest.raises(ValidationError, match="at least 1 item"):
        ImageResult(images=())


def test_a_result_survives_its_record(image_store: ImageStore, png: bytes):
    """A result's record is plain JSON with every field, from which an equal result is made."""
    result = ImageResult(
        images=(image_of(image_store, png),),
        sources=(image_of(image_store, SVG, id="ig_0", origin="user"),),
        text="Here it is.",
        response_id="resp_1",
        model="gpt-5.4",
        usage={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        image_usage=ImageUsage(total_tokens=4),
        failures=(ImageFailure(id="ig_2", message="refused", code="moderation_blocked", categories=("violence",)),),
        rung="bytes",
        warnings=("look here",),
    )

    record = json.loads(json.dumps(result.record()))

    assert ImageResult.model_validate(record) == result
    assert record["images"] == [result.image.record()]
    assert all(is_record(each) for each in record["images"] + record["sources"])


def test_binding_a_result_binds_all_its_images(image_store: ImageStore, png: bytes, tmp_path: Path):
    """`bind` returns a result whose images read from that store, and does not change the original result."""
    empty = ImageStore(str(tmp_path / "empty"))
    result = ImageResult(images=(image_of(image_store, png),), sources=(image_of(image_store, SVG),))

    bound = result.bind(empty)

    assert result.image.read() == png
    for image in (bound.image, bound.sources[0]):
        with pytest.raises(ImageStoreError, match="no image"):
            image.read()


def test_equality_of_images(image_store: ImageStore, png: bytes):
    """Images are equal and have equal hashes if their fields are equal, whichever store they are bound to."""
    fox = image_of(image_store, png)

    assert fox == fox.bind(None) == GeneratedImage.model_validate(fox.record())
    assert {fox, fox.bind(None)} == {fox}
    assert fox != fox.model_copy(update={"id": "ig_2"})
    assert fox != "ig_1"
