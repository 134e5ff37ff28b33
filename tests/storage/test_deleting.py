"""What is deleted, pruned and kept apart: in a folder, in memory and on a real S3 server."""

from __future__ import annotations

import gc
import io
import pickle
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from langchain_imagegen import GeneratedImage, ImageMemory, ImageStore
from langchain_imagegen.errors import ImageStoreError, OptionError, UnknownImageError
from tests.broken_folders import left_in
from tests.streaming.test_sinks import png


def picture(seed: int = 0) -> bytes:
    """Return a small picture, another one for each seed."""
    return png(600, seed=seed)


@pytest.fixture(params=["folder", "memory", "s3"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., ImageStore]:
    """Return a function that opens the same store at each call, for each kind of store."""
    if request.param == "folder":
        return partial(ImageStore, tmp_path / "store")
    if request.param == "memory":
        return partial(ImageStore, f"memory://{uuid.uuid4().hex}")
    return partial(ImageStore, f"s3://pictures/{uuid.uuid4().hex}", **request.getfixturevalue("s3"))


@pytest.fixture
def store(open_store: Callable[..., ImageStore]) -> ImageStore:
    """An empty store of each kind."""
    return open_store()


# --- delete


def test_delete(store: ImageStore):
    """A deleted picture is gone, also for `blob`, which remembers; others stay; a second time nothing was there."""
    fox, owl = store.put(picture(1)), store.put(picture(2))

    assert store.delete(fox.sha256) is True
    assert store.delete(fox.sha256) is False
    assert fox.sha256 not in store
    assert owl.sha256 in store
    for read in (store.get, store.blob):
        with pytest.raises(ImageStoreError, match=f"no image {fox.sha256}.*deleted"):
            read(fox.sha256)


async def test_async_delete(store: ImageStore):
    """`adelete` does what `delete` does."""
    blob = store.put(picture())

    assert await store.adelete(blob.sha256) is True
    assert await store.adelete(blob.sha256) is False


def test_an_image_goes_with_the_copy_that_was_sent(low: Any, image_store: ImageStore):
    """Of an upload that was converted for the service, the original and the copy are deleted."""
    bmp = io.BytesIO()
    Image.new("RGB", (900, 900), "red").save(bmp, "BMP")
    (sent,) = low().invoke("make it winter", images=[bmp.getvalue()]).sources

    assert {sent.sha256, sent.sent_sha256} == {digest for digest in sent.digests() if digest in image_store}
    assert image_store.delete(sent)
    assert not [digest for digest in sent.digests() if digest in image_store]


@pytest.mark.parametrize("wrong", ["img_1a2b3c4d", "last", "../x", "", None, 1, b"x"])
def test_delete_takes_no_reference(wrong: Any, image_store: ImageStore):
    """A handle is not looked up in a store: the error says what to give."""
    with pytest.raises(OptionError, match="names no bytes: give an image"):
        image_store.delete(wrong)


def test_delete_refuses_a_result(low: Any, image_store: ImageStore):
    """A result stands for its sources too, which nobody wanted to delete: it is refused."""
    result = low().invoke("draw a fox")

    with pytest.raises(OptionError, match="names no bytes"):
        image_store.delete(result)
    assert image_store.delete(result.image)


# --- what prune keeps


@pytest.fixture
def edited(low: Any, image_store: ImageStore) -> ImageMemory:
    """A memory of an upload that needed a copy to be sent, and of its edit; in the store lies one more picture."""
    memory = ImageMemory(image_store=image_store)
    bmp = io.BytesIO()
    Image.new("RGB", (900, 900), "red").save(bmp, "BMP")
    low(memory=memory).invoke("make it winter", images=[bmp.getvalue()])
    image_store.put(picture(9))
    return memory


@pytest.mark.parametrize(
    "keep",
    [
        lambda memory: memory,
        lambda memory: [memory, ImageMemory()],
        list,
        lambda memory: memory.to_records(),
        lambda memory: {"generated_images": {record["id"]: record for record in memory.to_records()}},
        lambda memory: [digest for image in memory for digest in image.digests()],
    ],
    ids=["memory", "memories", "images", "records", "channel", "digests"],
)
def test_what_a_memory_names_stays(keep: Any, edited: ImageMemory, image_store: ImageStore, low: Any):
    """Uploads, the copies of them that are sent, and drawn pictures stay, so that edits go on by their bytes."""
    removed = image_store.prune(keep=keep(edited))

    assert len(removed) == 1
    assert len(left_in(Path(image_store.location))) == 3
    low(memory=edited, reference="bytes").invoke("make it night", images=["1"])


def test_a_result_keeps_its_sources(low: Any, image_store: ImageStore):
    """A result among what is kept keeps the pictures that it was made from."""
    fox = low().invoke("draw a fox")
    winter = low().invoke("make it winter", images=[fox])
    owl = low().invoke("draw an owl")

    assert image_store.prune(keep=winter) == [owl.image.sha256]


@pytest.mark.parametrize("wrong", ["img_1a2b3c4d", ["img_1a2b3c4d"], [None], 5, "0" * 63, {"a": 1}])
def test_prune_keeps_nothing_by_handle(wrong: Any, image_store: ImageStore):
    """What names no bytes is an error before anything is removed: its picture would have gone."""
    blob = image_store.put(picture())

    with pytest.raises(OptionError, match="names no bytes"):
        image_store.prune(keep=wrong)
    assert blob.sha256 in image_store


def test_an_empty_memory_does_not_prune_everything(image_store: ImageStore):
    """A memory without images limits nothing, and is refused like no limit at all."""
    with pytest.raises(OptionError, match="would remove every image"):
        image_store.prune(keep=ImageMemory())


# --- scopes

SCOPES = ["tenant-7", "Tenant-7", "TENANT-7", "..", "../tenant-7", "a/b", "/etc", ".", "a.", "a", "notes", "00", "~"]
SCOPES += ["ä", "a%62", "ab", "con", ".partial", "user@example.com", "tab\t", "nul\0", "\ud83d", "x" * 200, " ", "a b"]


def test_scopes_see_nothing_of_each_other(store: ImageStore):
    """Whatever text names them, two scopes never share a picture or a note, and neither does the store itself."""
    scopes = [store.scoped(name) for name in SCOPES]
    blobs = [scope.put(picture(number)) for number, scope in enumerate(scopes)]
    own = store.put(picture(99))

    for number, scope in enumerate(scopes):
        assert [blob.sha256 in scope for blob in (*blobs, own)] == [n == number for n in range(len(blobs) + 1)]
        assert scope.put_if_absent("paid", b"%d" % number)
    assert store.read_key("paid") is None
    assert not any(blob.sha256 in store for blob in blobs)


def test_scopes_differ_where_case_is_ignored(image_store: ImageStore):
    """No two scopes have folders that a file system which ignores case would take for one."""
    folders = {Path(image_store.scoped(name).location).name.casefold() for name in SCOPES}

    assert len(folders) == len(SCOPES)
    assert all(Path(image_store.scoped(name).location).parent == Path(image_store.location) for name in SCOPES)


def test_a_scope_is_the_same_when_opened_again(open_store: Callable[..., ImageStore]):
    """The same name gives the same pictures in any process that opens the store."""
    blob = open_store().scoped("tenant-7").put(picture())

    assert open_store().scoped("tenant-7").get(blob.sha256) == picture()
    assert open_store().scoped("tenant-7") == open_store().scoped("tenant-7")
    assert open_store().scoped("tenant-7") != open_store().scoped("tenant-8")


@pytest.mark.parametrize("outside", ["below", "beside", "above"])
def test_pruning_stays_in_its_scope(outside: str, store: ImageStore):
    """`prune` and `delete` reach neither a scope within, nor one beside, nor the store above."""
    here = store.scoped("tenant-7")
    other = {"below": here.scoped("thread-1"), "beside": store.scoped("tenant-8"), "above": store}[outside]
    mine, theirs = here.put(picture(1)), other.put(picture(2))

    assert here.delete(theirs.sha256) is False
    assert here.prune(older_than=timedelta(0)) == [mine.sha256]
    assert other.get(theirs.sha256) == picture(2)


def test_no_record_leads_out_of_a_scope(low: Any, image_store: ImageStore):
    """A posted record, digest or handle of another tenant finds no bytes in a scope, for edits neither."""
    theirs = low(image_store=image_store.scoped("tenant-8")).invoke("draw a fox").image
    mine = image_store.scoped("tenant-7")
    memory = ImageMemory([theirs.record()], image_store=mine)

    assert theirs.sha256 not in mine
    with pytest.raises(ImageStoreError, match="no image"):
        memory["last"].read()
    with pytest.raises(UnknownImageError, match="can no longer be edited"):
        low(image_store=mine, memory=memory, reference="bytes").invoke("make it winter", images=["last"])
    with pytest.raises(UnknownImageError, match="can no longer be edited"):
        low(image_store=mine, reference="bytes").invoke("make it winter", images=[theirs.record()])


@pytest.mark.parametrize("held", ["scoped", "unpickled"])
def test_an_unbound_image_is_not_looked_for_in_a_scope(held: str, low: Any, image_store: ImageStore):
    """Unbound images are looked for in the stores of this process, but never in the scopes of tenants."""
    scope = image_store.scoped("tenant-8")
    theirs = low(image_store=scope).invoke(f"draw a fox {uuid.uuid4()}").image  # which no other test drew
    kept = scope if held == "scoped" else pickle.loads(pickle.dumps(scope))

    with pytest.raises(ImageStoreError, match="no image store at hand"):
        GeneratedImage.model_validate(theirs.record()).read()
    assert theirs.sha256 in kept


def test_a_scope_is_pickled_with_its_fallback(tmp_path: Path):
    """Another process gets the same scope of the same stores; the fallback is scoped too, and once only."""
    store = ImageStore(tmp_path / "first", fallback=tmp_path / "second").scoped("a").scoped("b")

    again = pickle.loads(pickle.dumps(store))

    assert repr(again) == repr(store)
    assert repr(store).count("scope-a") == repr(store).count("scope-b") == 2
    gc.collect()


def test_public_urls_lead_into_the_scope(tmp_path: Path):
    """The path in a public URL has the scope's folder, quoted."""
    store = ImageStore(tmp_path, public_url="https://images.example.com/{name}").scoped("Tenant 7")
    blob = store.put(picture())

    name = store.url(blob.sha256, "image/png").removeprefix("https://images.example.com/")
    assert name == f"scope-%2554enant%25207/{blob.sha256[:2]}/{blob.sha256}.png"
    assert (tmp_path / name.replace("%25", "%")).read_bytes() == picture()


@pytest.mark.parametrize("wrong", ["", None, 7, "x" * 250, "ä" * 100])
def test_a_scope_needs_a_name(wrong: Any, image_store: ImageStore):
    """An empty name, none at all, or one that no file can have is refused."""
    with pytest.raises(OptionError, match=r"scoped\("):
        image_store.scoped(wrong)
