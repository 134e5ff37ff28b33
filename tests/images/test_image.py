"""What images, partials and results are: small records, with bytes in a store."""

from __future__ import annotations

import base64
import json
import os
import pickle
import socket
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from langchain_imagegen import GeneratedImage, ImageResult, ImageStore, ImageUsage, PartialImage
from langchain_imagegen.errors import CorruptImageError, ImageStoreError, OptionError
from langchain_imagegen.images.image import handle_of, is_record
from langchain_imagegen.images.notebook import img
from langchain_imagegen.images.result import ImageFailure
from langchain_imagegen.simulator.drawing import draw as paint

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><script>alert(1)</script></svg>'


@pytest.fixture(scope="session")
def png() -> bytes:
    """A PNG of 64 x 48 pixels."""
    return paint("a fox", size=(64, 48))


def held(store: ImageStore, data: bytes, **facts: Any) -> GeneratedImage:
    """The image of some bytes in a store."""
    return GeneratedImage.of(store.put(data), **{"id": "ig_1", "provider": "api.example", **facts}).bind(store)


# --- records


def test_what_the_bytes_say_is_read_from_them(image_store: ImageStore, png: bytes):
    """Digest, length, format and pixels of a record are those of its bytes."""
    fox = held(image_store, png, output_format="webp")

    assert (fox.width, fox.height, fox.mime_type, fox.size_bytes) == (64, 48, "image/png", len(png))
    assert fox.read() == png
    assert fox.sha256 in image_store


def test_a_record_is_small_json_that_gives_the_image_back(image_store: ImageStore, png: bytes):
    """Every field of an image survives JSON, in at most about 2 KB and without anything that is not known."""
    fox = held(
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
    )

    record = json.loads(json.dumps(fox.record()))

    assert GeneratedImage.model_validate(record) == fox
    assert set(record) == {*GeneratedImage.model_fields, "handle"}
    assert len(json.dumps(record)) < 2_048
    assert GeneratedImage.model_validate(record).record() == record


def test_a_record_leaves_out_what_is_not_known(image_store: ImageStore, png: bytes):
    """`None` and empty lists take no room."""
    record = held(image_store, png).record()

    assert set(record) == {
        "id", "provider", "handle", "sha256", "size_bytes", "width", "height", "mime_type", "origin",
    }  # fmt: skip


def test_a_record_holds_no_location(image_store: ImageStore, png: bytes, tmp_path: Path):
    """Neither record, dump, repr nor pickle tells where the store is."""
    fox = held(image_store, png)

    shown = [json.dumps(fox.record()), fox.model_dump_json(), repr(fox), str(fox)]

    assert not [text for text in shown if str(tmp_path) in text]


def test_a_location_in_a_record_is_never_opened(own_folder: Path, tmp_path: Path):
    """Unknown keys of a foreign record are dropped, and its digest is all that is looked for."""
    (tmp_path / "secret.png").write_bytes(b"secret")
    record = {"id": "ig_1", "sha256": "../../secret.png", "size_bytes": 6, "mime_type": "image/png"}

    foreign = GeneratedImage.model_validate(record | {"path": str(tmp_path / "secret.png"), "url": "file:///x"})

    assert set(foreign.record()).isdisjoint({"path", "url"})
    with pytest.raises(ImageStoreError):
        foreign.read()


def test_the_handle_follows_from_provider_and_id():
    """The same id of another provider is another image, with another handle of 8 hex digits."""
    handles = {handle_of("api.example", "ig_1"), handle_of("api.other", "ig_1"), handle_of("api.example", "ig_2")}

    assert len(handles) == 3
    assert all(len(handle) == 12 and int(handle.removeprefix("img_"), 16) >= 0 for handle in handles)


def test_an_image_does_not_change(image_store: ImageStore, png: bytes):
    """Records are frozen; what changes is a copy."""
    fox = held(image_store, png)

    with pytest.raises(ValidationError, match="frozen"):
        fox.prompt = "a wolf"


@pytest.mark.parametrize("value", [None, "ig_1", ["id"], {"id": "ig_1"}, {"type": "image", "id": "x", "base64": ""}])
def test_what_is_no_record_is_not_taken_for_one(value: object):
    """A record is known by the keys that each has."""
    assert not is_record(value)


# --- reading and saving


def test_an_unbound_image_finds_its_bytes_in_the_open_stores(image_store: ImageStore, png: bytes):
    """An image that was made of a bare record reads from whichever store of the process has its digest."""
    record = held(image_store, png).record()

    assert GeneratedImage.model_validate(record).read() == png


def test_a_store_out_of_reach_hides_no_other(tmp_path: Path, png: bytes):
    """A store that cannot be asked is passed over; it is told of where no other has the bytes."""
    pytest.importorskip("s3fs", reason="needs the extra s3")
    once = {"retries": {"max_attempts": 1}, "connect_timeout": 1}
    away = ImageStore("s3://away", endpoint_url="http://127.0.0.1:9", key="k", secret="s", config_kwargs=once)
    record = held(ImageStore(tmp_path), png).record()
    opened = [away, ImageStore(tmp_path)]

    assert GeneratedImage.model_validate(record).read() == png
    with pytest.raises(ImageStoreError, match=opened[0].location):
        GeneratedImage.model_validate({**record, "sha256": "0" * 64}).read()


def test_a_store_out_of_reach_is_not_asked_again_at_once(image_store: ImageStore):
    """Of a thousand images that a dead bucket may hold only the first waits for its driver; each error tells of it."""
    pytest.importorskip("s3fs", reason="needs the extra s3")
    lost = GeneratedImage(id="ig_1", sha256="0" * 64, size_bytes=1, mime_type="image/png")
    tries: list[socket.socket] = []

    def hang_up() -> None:
        with suppress(OSError):
            while True:
                tries.append(listening.accept()[0])
                tries[-1].close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=hang_up, daemon=True).start()
        endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        once = {"retries": {"max_attempts": 1}, "connect_timeout": 1}
        away = ImageStore("s3://dead", endpoint_url=endpoint, key="k", secret="s", config_kwargs=once)
        asked = []
        for _ in range(1000):
            with pytest.raises(ImageStoreError, match=away.location):
                lost.read()
            asked.append(len(tries))

    assert asked[0] > 0
    assert asked[-1] == asked[0]


def test_an_image_whose_bytes_are_nowhere_says_what_to_do(png: bytes):
    """The error names the image and both ways to a store."""
    lost = GeneratedImage(id="ig_1", sha256="0" * 64, size_bytes=1, mime_type="image/png")

    with pytest.raises(ImageStoreError, match=f"{lost.handle}.*open the ImageStore .* or pass it as image_store="):
        lost.read()


async def test_bytes_are_awaited_too(image_store: ImageStore, png: bytes):
    """`aread` gives what `read` gives."""
    assert await held(image_store, png).aread() == png


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("fox.png", "fox.png"),
        ("fox", "fox.png"),
        ("a/b/fox.picture", "a/b/fox.picture"),
    ],
)
def test_an_image_is_saved_under_a_path(image_store: ImageStore, png: bytes, tmp_path: Path, given: str, written: str):
    """Missing folders are made, a missing suffix is that of the format, the bytes are exactly those sent."""
    path = held(image_store, png).save(tmp_path / given)

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
def test_names_are_kept_as_written(image_store: ImageStore, png: bytes, tmp_path: Path, given: str, written: str):
    """A dot in a name makes no suffix, and a name may be as long as the file system allows."""
    assert held(image_store, png).save(tmp_path / given).name == written


def test_a_slash_at_the_end_means_a_folder(image_store: ImageStore, png: bytes, tmp_path: Path):
    """`save("outdir/")` makes the folder and names the file by the handle."""
    fox = held(image_store, png)

    assert fox.save(f"{tmp_path}/outdir/") == tmp_path / "outdir" / f"{fox.handle}.png"


def test_the_home_folder_is_meant_by_its_sign(
    image_store: ImageStore, png: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`save("~/fox.png")` makes no folder called `~`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))

    assert held(image_store, png).save("~/fox.png") == tmp_path / "fox.png"


def test_a_suffix_of_another_format_gets_a_warning(image_store: ImageStore, png: bytes, tmp_path: Path):
    """The bytes stay as they were sent; the warning says which suffix is theirs."""
    with pytest.warns(UserWarning, match=r"'fox.jpg' is saved with the bytes of .*image/png: call it fox.png"):
        path = held(image_store, png).save(tmp_path / "fox.jpg")
    assert path.read_bytes() == png


@pytest.mark.parametrize("path", ["a\0b.png", "~nobody-of-this-name/fox.png"])
def test_a_path_that_cannot_be_is_our_error(path: str, image_store: ImageStore, png: bytes):
    """NUL and an unknown user are refused with our error."""
    with pytest.raises(OptionError, match="names no file"):
        held(image_store, png).save(path)


def test_a_result_saves_all_its_pictures(image_store: ImageStore, png: bytes, tmp_path: Path):
    """One picture keeps the name, several are numbered or named by their handles in a folder."""
    one, two = held(image_store, png), held(image_store, SVG, id="ig_2")
    both = ImageResult(images=(one, two))

    assert ImageResult(images=(one,)).save(tmp_path / "fox.png") == [tmp_path / "fox.png"]
    assert both.save(tmp_path / "pair") == [tmp_path / "pair-1.png", tmp_path / "pair-2.svg"]
    assert both.save(tmp_path) == [tmp_path / f"{one.handle}.png", tmp_path / f"{two.handle}.svg"]


def test_a_partial_picture_can_be_used_like_a_finished_one(png: bytes, tmp_path: Path):
    """`save`, `to_pil` and `to_data_url` work while the picture is being drawn."""
    partial = PartialImage(index=1, data=png, mime_type="image/png", id="ig_1")

    assert partial.save(tmp_path) == tmp_path / f"{partial.handle}-partial-1.png"
    assert partial.to_pil().size == (64, 48)
    assert partial.to_data_url().startswith("data:image/png;base64,")


def test_an_svg_says_how_to_become_pixels(image_store: ImageStore):
    """`to_pil` of an SVG says what to do instead."""
    with pytest.raises(CorruptImageError, match=r"cannot read SVG.*save\(\).*cairosvg"):
        held(image_store, SVG).to_pil()


def test_an_image_is_saved_into_a_folder_by_its_handle(image_store: ImageStore, png: bytes, tmp_path: Path):
    """A folder gets a file named by the handle, over an older one of that name."""
    fox = held(image_store, png)
    (tmp_path / f"{fox.handle}.png").write_bytes(b"older")

    path = fox.save(str(tmp_path))

    assert path == tmp_path / f"{fox.handle}.png"
    assert path.read_bytes() == png


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files are those of POSIX")
def test_a_saved_picture_may_be_read_by_whom_the_umask_allows(image_store: ImageStore, png: bytes, tmp_path: Path):
    """A saved picture is an ordinary file, not a private one."""
    before = os.umask(0o022)
    try:
        path = held(image_store, png).save(tmp_path / "fox.png")
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_save_that_fails_leaves_nothing_behind(image_store: ImageStore, png: bytes, tmp_path: Path):
    """Where the name is taken by a folder nothing is changed, and no unfinished file stays."""
    (tmp_path / "fox.png" / "inside").mkdir(parents=True)
    fox = held(image_store, png).model_copy(update={"id": "ig_2"}).bind(image_store)
    (tmp_path / "fox.png" / f"{fox.handle}.png").mkdir()

    with pytest.raises(OSError, match="directory"):
        fox.save(tmp_path / "fox.png")
    assert sorted(path.name for path in (tmp_path / "fox.png").iterdir()) == sorted(["inside", f"{fox.handle}.png"])


def test_an_image_as_pillow_sees_it(image_store: ImageStore, png: bytes):
    """`to_pil` gives the picture, of the size that the record tells."""
    assert held(image_store, png).to_pil().size == (64, 48)


def test_an_image_as_text(image_store: ImageStore, png: bytes):
    """The data URL and the content block hold the bytes and their true format."""
    fox = held(image_store, png)

    url, block = fox.to_data_url(), fox.to_content_block()

    assert url == f"data:image/png;base64,{base64.b64encode(png).decode()}"
    assert base64.b64decode(block.pop("base64")) == png
    assert block == {"type": "image", "mime_type": "image/png", "id": "ig_1"}


def test_an_image_has_an_address_where_its_store_has_one(tmp_path: Path, png: bytes):
    """`url` is the store's public address of the digest; a folder without one says how to give it."""
    public = ImageStore(str(tmp_path / "public"), public_url="https://example.org/{sha256}.{ext}")
    private = ImageStore(str(tmp_path / "private"))

    assert held(public, png).url() == f"https://example.org/{held(public, png).sha256}.png"
    with pytest.raises(ImageStoreError, match="public_url"):
        held(private, png).url()


# --- notebooks


def test_a_notebook_shows_the_picture(image_store: ImageStore, png: bytes):
    """A cell that ends with an image shows its bytes, and its prompt where pictures cannot be shown."""
    shown = held(image_store, png, prompt="a fox")._repr_mimebundle_()

    assert base64.b64decode(shown["image/png"]) == png
    assert shown["text/plain"] == "a fox"


def test_a_notebook_runs_no_script_of_an_svg(image_store: ImageStore):
    """An SVG comes inside an `<img>`, where its scripts are dead, and never as inline SVG or HTML."""
    shown = held(image_store, SVG, prompt='a "fox" <b>')._repr_mimebundle_()

    assert set(shown) == {"text/html", "text/plain"}
    assert shown["text/html"].startswith('<img alt="a &quot;fox&quot; &lt;b&gt;" src="data:image/svg+xml;base64,')
    assert "<script" not in shown["text/html"]


def test_a_notebook_shows_all_pictures_of_a_result(image_store: ImageStore, png: bytes):
    """One picture is shown as itself, several as figures with their handles; text is escaped."""
    one, two = held(image_store, png, revised_prompt="<i>a fox</i>"), held(image_store, SVG, id="ig_2")

    alone = ImageResult(images=(one,))._repr_mimebundle_()
    both = ImageResult(images=(one, two))._repr_mimebundle_()

    assert alone["text/plain"] == f"{one.handle}: <i>a fox</i>"
    assert both["text/html"].count("<figure") == 2
    assert "&lt;i&gt;a fox&lt;/i&gt;" in both["text/html"]
    assert f"<figcaption>{two.handle}</figcaption>" in both["text/html"]


def test_a_notebook_shows_a_partial():
    """A partial picture is shown while it is all there is."""
    partial = PartialImage(index=1, data=b"\x89PNG", mime_type="image/png", id="ig_1")

    shown = partial._repr_mimebundle_()

    assert base64.b64decode(shown["image/png"]) == b"\x89PNG"
    assert shown["text/plain"] == f"partial 1 of {partial.handle}"


def test_alternative_text_cannot_leave_its_attribute():
    """A quote in a prompt does not end the `alt` of the picture."""
    assert img(b"", "image/png", alt='" onload="alert(1)').startswith('<img alt="&quot; onload=&quot;alert(1)" src=')


# --- partials, usage, results


def test_a_partial_is_light_wherever_it_is_dumped():
    """Its bytes are in no dump, no JSON and no repr."""
    partial = PartialImage(index=0, data=b"\xff" * 100_000, mime_type="image/jpeg", id="ig_1", provider="api.example")

    assert len(repr(partial)) < 300
    assert partial.model_dump(mode="json") == {
        "index": 0, "mime_type": "image/jpeg", "id": "ig_1", "provider": "api.example", "final": False,
        "handle": handle_of("api.example", "ig_1"),
    }  # fmt: skip
    assert pickle.loads(pickle.dumps(partial)) == partial


def test_usage_that_was_not_told_is_not_zero():
    """Absent usage is `None`; present usage is counted as LangChain counts."""
    told = {"input_tokens": 71, "output_tokens": 196, "total_tokens": 267, "input_tokens_details": {"text_tokens": 71}}

    assert ImageUsage.of(None) is None
    assert ImageUsage.of({}) == ImageUsage()
    assert ImageUsage.of(told | {"output_tokens_details": None}) == ImageUsage(
        input_tokens=71, output_tokens=196, total_tokens=267, input_token_details={"text": 71}
    )


def test_a_result_has_at_least_one_picture():
    """A result without images cannot be made: that is an error, raised where it happened."""
    with pytest.raises(ValidationError, match="at least 1 item"):
        ImageResult(images=())


def test_a_result_as_a_record_gives_the_result_back(image_store: ImageStore, png: bytes):
    """The artifact of a tool is plain JSON, and everything of the result is in it."""
    result = ImageResult(
        images=(held(image_store, png),),
        sources=(held(image_store, SVG, id="ig_0", origin="user"),),
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
    """After `bind` every image reads from that store, and the first result is as it was."""
    empty = ImageStore(str(tmp_path / "empty"))
    result = ImageResult(images=(held(image_store, png),), sources=(held(image_store, SVG),))

    bound = result.bind(empty)

    assert result.image.read() == png
    for image in (bound.image, bound.sources[0]):
        with pytest.raises(ImageStoreError, match="no image"):
            image.read()


def test_images_are_equal_by_their_facts(image_store: ImageStore, png: bytes):
    """Which store an image is bound to makes no difference, and equal images are one in a set."""
    fox = held(image_store, png)

    assert fox == fox.bind(None) == GeneratedImage.model_validate(fox.record())
    assert {fox, fox.bind(None)} == {fox}
    assert fox != fox.model_copy(update={"id": "ig_2"})
    assert fox != "ig_1"
