"""The image store: in a folder, in memory, and on a real S3 server on loopback."""

from __future__ import annotations

import copy
import gc
import hashlib
import io
import os
import pickle
import signal
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
import urllib.parse
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import fsspec.core
import pytest
from PIL import Image

from langchain_imagegen.errors import CorruptImageError, ImageStoreError, OptionError
from langchain_imagegen.storage import locations
from langchain_imagegen.storage.bucket import masked
from langchain_imagegen.storage.locations import opened_stores
from langchain_imagegen.storage.store import Blob, ImageStore, default_store
from tests.s3 import KEY, SECRET

MISSING = "0" * 64


def picture(width: int = 40, height: int = 30, kind: str = "PNG", **options) -> bytes:
    """Return a picture of noise, a different one at each call."""
    file = io.BytesIO()
    Image.effect_noise((width, height), 60).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def digest(data: bytes) -> str:
    """Return the SHA-256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def files_in(folder) -> list[str]:
    """Return the names of all files below a folder, including temporary ones."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def write(store: ImageStore, data: bytes, pieces: int, error: Exception | None = None) -> Blob:
    """Write `data` in pieces and commit it; raise `error`, if given, before the last piece."""
    step = len(data) // pieces
    with store.writer() as writer:
        for start in range(0, len(data), step):
            if error and start + step >= len(data):
                raise error
            writer.write(data[start : start + step])
        return writer.commit()


@pytest.fixture
def folder(tmp_path):
    """Return a store in a folder that does not exist yet."""
    return ImageStore(tmp_path / "not" / "yet")


@pytest.fixture(params=["folder", "memory", "s3"])
def open_store(request, folder):
    """Return a function that opens the same store at each call, which is empty at first, for each kind of store."""
    if request.param == "folder":
        return partial(ImageStore, folder.location)
    if request.param == "memory":
        return partial(ImageStore, f"memory://{uuid.uuid4().hex}")
    return partial(ImageStore, f"s3://pictures/{uuid.uuid4().hex}", **request.getfixturevalue("s3"))


@pytest.fixture
def store(open_store):
    """Return an empty store of each kind."""
    return open_store()


def test_put_and_get(store):
    """`put` returns facts read from the picture's bytes, and `get` returns the same bytes."""
    data = picture(40, 30)

    blob = store.put(data)

    assert blob == Blob(digest(data), len(data), "image/png", 40, 30)
    assert store.get(blob.sha256) == store.get(blob.sha256, "image/png") == data
    assert blob.sha256 in store


async def test_async_twins(store):
    """Each async method does what its sync method does."""
    data = picture()

    blob = await store.aput(data)

    assert await store.aget(blob.sha256) == data
    assert await store.aput_if_absent("key", b"1") is True
    assert await store.aread_key("key") == b"1"
    assert await store.aprune(older_than=timedelta(0)) == [blob.sha256]


@pytest.mark.parametrize("mime_type", ["image/jpeg", "image/../../etc", "", None])
def test_get_with_a_wrong_type(store, mime_type):
    """`get` finds a picture by its digest, even with a wrong or invalid MIME type."""
    blob = store.put(picture())

    assert digest(store.get(blob.sha256, mime_type)) == blob.sha256


def test_missing_picture(store):
    """The error about a missing picture names its digest and the store, and says what to do."""
    with pytest.raises(ImageStoreError, match=rf"{MISSING}.*image_store=") as caught:
        store.get(MISSING, "image/png")
    assert MISSING not in store
    assert caught.value.location == store.location


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 64 + "\n", f"../{MISSING}"])
def test_only_digests_are_accepted(store, name):
    """A name that is not a SHA-256 digest is refused, so that it never becomes a path."""
    assert name not in store
    with pytest.raises(ImageStoreError, match="no SHA-256 digest"):
        store.get(name)
    with pytest.raises(ImageStoreError, match="no SHA-256 digest"):
        store.url(name, "image/png")


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"", "empty"), (b"<html>no</html>", "<html>"), (picture()[:-9], "breaks off"), (b"x" * 100, "not a picture")],
)
def test_only_whole_pictures_are_stored(store, data, why):
    """Empty, truncated and other data is refused with the reason, and nothing is stored."""
    with pytest.raises(CorruptImageError, match=why):
        store.put(data)
    assert digest(data) not in store


def test_too_large(tmp_path):
    """A picture above `max_bytes` is refused while it is written, and leaves no file."""
    store = ImageStore(tmp_path, max_bytes=1000)

    with pytest.raises(CorruptImageError, match="max_bytes=1000"):
        write(store, picture(), pieces=100)
    assert files_in(tmp_path) == []


def test_writer(store):
    """A picture written in pieces appears in the store at `commit`; its format is known after the first piece."""
    data = picture()

    with store.writer() as writer:
        writer.write(data[:100])
        early = writer.media
        writer.write(data[100:])
        assert digest(data) not in store
        blob = writer.commit()

    assert (early.mime_type, early.width, early.height) == ("image/png", 40, 30)
    assert store.get(blob.sha256) == data


@pytest.mark.parametrize("expected", [1, 600, 10_000, 10**15])
def test_a_wrong_expected_size_is_harmless(store, expected):
    """`writer(expected)` stores exactly the bytes that were written, more or fewer than expected."""
    data = picture()

    with store.writer(expected) as writer:
        writer.write(data[:100])
        assert writer.read(0, 100) == data[:100]
        writer.write(data[100:])
        blob = writer.commit()

    assert blob.size_bytes == len(data)
    assert store.get(blob.sha256) == data


def test_writer_that_fails_leaves_nothing(tmp_path):
    """An exception inside the `with` block removes the unfinished file."""
    store = ImageStore(tmp_path)

    with pytest.raises(ConnectionError):
        write(store, picture(), pieces=10, error=ConnectionError())
    assert files_in(tmp_path) == []


def test_writer_into_a_folder_needs_no_memory(folder):
    """Writing a picture of 12 MB into a folder takes less than 500 KB of memory."""
    data = memoryview(picture(2000, 2000, compress_level=0))

    tracemalloc.start()
    with folder.writer() as writer:
        for start in range(0, len(data), 65_536):
            writer.write(data[start : start + 65_536])
        blob = writer.commit()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert blob.size_bytes == len(data) > 12_000_000
    assert peak < 500_000


def test_the_same_bytes_are_stored_once(folder, tmp_path):
    """Eight threads that put the same bytes get equal results and leave one file."""
    data = picture()

    with ThreadPoolExecutor(8) as threads:
        blobs = set(threads.map(folder.put, [data] * 40))

    assert len(blobs) == 1
    assert files_in(tmp_path) == [f"{digest(data)}.png"]


def test_threads(store):
    """Each of several threads that put and get pictures at the same time gets its own bytes back."""
    pictures = [picture() for _ in range(16)]

    with ThreadPoolExecutor(8) as threads:
        blobs = list(threads.map(store.put, pictures))
        read = list(threads.map(lambda blob: store.get(blob.sha256), blobs))

    assert read == pictures


def test_put_if_absent(store):
    """Of eight threads that write one key exactly one succeeds, and its bytes stay."""
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda n: store.put_if_absent("paid", b"%d" % n), range(8)))

    assert won.count(True) == 1
    assert store.read_key("paid") == b"%d" % won.index(True)
    assert store.read_key("unpaid") is None


def test_put_if_absent_is_atomic_in_memory():
    """In a memory store `put_if_absent` is atomic: four threads write 100 keys, and each key is written once."""
    store = ImageStore(f"memory://{uuid.uuid4().hex}")
    together = Barrier(4)

    def claim(_) -> int:
        won = 0
        for n in range(100):
            together.wait()
            won += store.put_if_absent(f"key {n}", b"")
        return won

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            won = sum(threads.map(claim, range(4)))
    finally:
        sys.setswitchinterval(interval)

    assert won == 100


def test_listings_are_not_cached(s3):
    """A picture that another process wrote after a listing is found by the next listing."""
    ours, theirs = ImageStore("s3://pictures/seen", **s3), ImageStore("s3://pictures/seen", **s3, version_aware=True)
    ours.put(picture())
    ours.prune(older_than=timedelta(days=1))

    blob = theirs.put(picture())
    assert blob.sha256 in ours
    assert blob.sha256 in ours.prune(older_than=timedelta(0))


def test_any_text_is_a_key(folder, tmp_path):
    """Any text can be a key: similar keys stay distinct, and no key leaves the store's folder."""
    keys = ["../../x", "/etc/passwd", "a", "A", "a/b", "a//b", "a\0b", "..", "ä", "x" * 5000, f"00/{MISSING}.png", ""]

    won = [folder.put_if_absent(key, key.encode()) for key in keys]

    assert all(won)
    assert [folder.read_key(key) for key in keys] == [key.encode() for key in keys]
    assert {path.name for path in tmp_path.iterdir()} == {"not"}
    assert MISSING not in folder


def test_file_systems_without_hard_links(folder, monkeypatch):
    """On a file system without hard links `put_if_absent` still writes a key only once."""

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)

    assert folder.put_if_absent("key", b"1") is True
    assert folder.put_if_absent("key", b"2") is False
    assert folder.read_key("key") == b"1"


def test_changed_file_is_not_trusted(folder, tmp_path):
    """A file that changed on disk raises an error when read, and `put` of the original repairs it."""
    data = picture()
    blob = folder.put(data)
    (path,) = tmp_path.rglob("*.png")
    path.write_bytes(data[:-1] + b"x")

    with pytest.raises(ImageStoreError, match=rf"{blob.sha256}.*was changed or cut"):
        folder.get(blob.sha256)

    folder.put(data)
    assert folder.get(blob.sha256) == data


WRITE_FOREVER = """
import sys
from langchain_imagegen import ImageStore
writer = ImageStore(sys.argv[1]).writer()
writer.write(b"\\x89PNG\\r\\n\\x1a\\n" + bytes(200_000))
print("writing", flush=True)
while True:
    writer.write(bytes(1))
"""


def test_killed_writer_leaves_no_picture(tmp_path):
    """A process that is killed while writing leaves no picture, and `prune` removes its temporary file after a day."""
    with subprocess.Popen([sys.executable, "-c", WRITE_FOREVER, tmp_path], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.kill()
    (unfinished,) = (path for path in tmp_path.rglob("*") if path.is_file())

    assert unfinished.parent.name == ".partial"
    ImageStore(tmp_path).prune(older_than=timedelta(days=365))
    assert unfinished.exists()
    os.utime(unfinished, (time.time() - 100_000,) * 2)
    ImageStore(tmp_path).prune(older_than=timedelta(days=365))
    assert files_in(tmp_path) == []


PUT_AND_CLAIM = """
import sys
from langchain_imagegen import ImageStore
store, data = ImageStore(sys.argv[1]), sys.stdin.buffer.read()
for _ in range(10):
    store.put(data)
print(sum(store.put_if_absent(f"key {n}", b"") for n in range(50)))
"""


def test_two_processes_on_one_folder(tmp_path):
    """Two processes that put the same picture and the same keys leave one picture and write each key once."""
    data = picture()
    workers = [
        subprocess.Popen([sys.executable, "-c", PUT_AND_CLAIM, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for worker in workers:
        worker.stdin.write(data)
        worker.stdin.close()
    won = []
    for worker in workers:
        with worker:
            won.append(int(worker.stdout.read()))

    assert sum(won) == 50
    assert len([name for name in files_in(tmp_path) if name.endswith(".png")]) == 1
    assert ImageStore(tmp_path).get(digest(data)) == data


def test_full_disk(folder, tmp_path):
    """If a write fails in the middle, the error gives the system's reason, and no file stays."""
    resource = pytest.importorskip("resource", reason="needs resource limits of Unix")
    data = picture(700, 700, compress_level=0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(ImageStoreError, match=r"store cannot be written: File too large; .* room"):
            folder.put(data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert files_in(tmp_path) == []


def test_folder_that_cannot_be_created(tmp_path):
    """A store below a file raises an `ImageStoreError`, for pictures and for keys."""
    (tmp_path / "file").write_bytes(b"")
    store = ImageStore(tmp_path / "file" / "folder")

    with pytest.raises(ImageStoreError, match=r"store cannot be written: .*another store"):
        store.put(picture())
    with pytest.raises(ImageStoreError, match="cannot be written"):
        store.put_if_absent("key", b"")


def test_prune_by_age(folder, tmp_path):
    """`prune(older_than=…)` removes older pictures only; a picture that was put again counts as new, and keys stay."""
    repeated = picture()
    old, again, new = (folder.put(data) for data in (picture(), repeated, picture()))
    for path in tmp_path.rglob("*.png"):
        if not path.name.startswith(new.sha256):
            os.utime(path, (time.time() - 100_000,) * 2)
    folder.put(repeated)
    folder.put_if_absent("key", b"1")

    assert folder.prune(older_than=timedelta(days=1)) == [old.sha256]
    assert again.sha256 in folder
    assert folder.read_key("key") == b"1"


def test_prune_keeps(store):
    """`prune(keep=…)` keeps those pictures whatever their age, and returns the digests that it removed."""
    kept, gone = store.put(picture()), store.put(picture(kind="WEBP"))

    assert store.prune(older_than=timedelta(days=1)) == []
    assert store.prune(keep={kept.sha256}) == [gone.sha256]
    assert kept.sha256 in store
    assert gone.sha256 not in store


def test_prune_without_arguments(store):
    """`prune()` removes nothing and raises an error that says how to remove everything."""
    blob = store.put(picture())

    with pytest.raises(OptionError, match=r"older_than=timedelta\(0\)"):
        store.prune()
    assert blob.sha256 in store


def test_prune_leaves_other_files_alone(folder, tmp_path):
    """`prune` does not remove files that the store did not write."""
    folder.put(picture())
    for name in ("ab/notes.txt", f"ab/{MISSING}.png", "readme.txt"):
        path = tmp_path / "not" / "yet" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")

    assert len(folder.prune(older_than=timedelta(0))) == 1
    assert files_in(tmp_path) == sorted([f"{MISSING}.png", "notes.txt", "readme.txt"])


def test_public_url():
    """`public_url` is a template for links, with fields for the path or for digest and suffix."""
    public = ImageStore("memory://", public_url="https://cdn.example/{sha256}.{ext}?v=1")
    by_name = ImageStore("memory://", public_url="https://cdn.example/{name}")

    assert public.url(MISSING, "image/jpeg") == f"https://cdn.example/{MISSING}.jpg?v=1"
    assert by_name.url(MISSING, "image/webp") == f"https://cdn.example/00/{MISSING}.webp"
    with pytest.raises(ImageStoreError, match="'text/html' is no image type"):
        public.url(MISSING, "text/html")


@pytest.mark.parametrize(
    "template", ["https://cdn.example/", "https://x/{digest}", "https://x/{name", "{0}", "{name.x}"]
)
def test_public_url_is_checked(template):
    """A `public_url` without valid fields is refused when the store is made, and the error names the fields."""
    with pytest.raises(OptionError, match=r"\{name\}, or \{sha256\} and \{ext\}"):
        ImageStore("memory://", public_url=template)


@pytest.mark.parametrize("url", ["memory://links", None])
def test_no_links(url, tmp_path):
    """A store without public links raises an error that names both ways to get them."""
    store = ImageStore(url or tmp_path)

    with pytest.raises(ImageStoreError, match=r"public_url='https.*\{name\}.*s3://"):
        store.url(MISSING, "image/png")


def test_signed_link_shows_the_picture(s3):
    """A signed link of S3 serves the picture with its MIME type, expires as asked, and contains no secret key."""
    store = ImageStore("s3://pictures/signed", **s3)
    data = picture(kind="JPEG")
    blob = store.put(data)

    link = store.url(blob.sha256, blob.mime_type, expires=77)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(link) as answer:
        content_type, body = answer.headers["Content-Type"], answer.read()

    assert (content_type, body) == ("image/jpeg", data)
    [expires_at] = urllib.parse.parse_qs(urllib.parse.urlsplit(link).query)["Expires"]
    assert int(expires_at) - time.time() <= 77
    assert SECRET not in link


def test_credentials_are_shown_nowhere(s3):
    """No repr, error or pickle contains the credentials, and an unpickled store is the same store."""
    store = ImageStore("s3://no-such-bucket/x", public_url="https://cdn.example/{name}", **s3)

    with pytest.raises(ImageStoreError, match="s3://no-such-bucket/x cannot be written") as caught:
        store.put(picture())
    pickled = pickle.dumps(store)

    for secret in (KEY, SECRET):
        assert secret not in f"{store!r} {store} {caught.value}"
        assert secret.encode() not in pickled
    assert pickle.loads(pickled) == store
    assert pickle.loads(pickled).url(MISSING, "image/png") == store.url(MISSING, "image/png")


def test_copies_keep_the_options(s3):
    """A copy of a store keeps its storage options and can write."""
    store = ImageStore("s3://pictures/copies", **s3)

    blob = copy.deepcopy(store).put(picture())

    assert blob.sha256 in copy.copy(store)


def test_credentials_in_urls_are_masked():
    """User names and queries of URLs, and the values of nested options, are masked in repr and errors."""
    store = ImageStore("memory://someone:hunter2@host/path?sig=hunter3")
    text = masked("refused hunter4 by ftp://me:pw@h/x", {"client_kwargs": {"token": "hunter4"}})

    assert repr(store) == "ImageStore('memory://***@host/path?***')"
    assert text == "refused *** by ftp://***@h/x"


@pytest.mark.parametrize(
    ("url", "what"), [("nope://x", "fsspec knows no nope://"), ("dropbox://x", "pip install 'fsspec\\[dropbox\\]'")]
)
def test_unreachable_urls_fail_at_once(url, what):
    """A URL without an installed driver raises an error when the store is made."""
    with pytest.raises(ImageStoreError, match=what):
        ImageStore(url)


def test_equality(tmp_path):
    """Stores of the same location are equal, by path, by URL and after unpickling."""
    by_path, by_url = ImageStore(tmp_path), ImageStore(f"file://{tmp_path}")

    assert by_path == by_url == pickle.loads(pickle.dumps(by_path))
    assert len({by_path, by_url, ImageStore("memory://a"), ImageStore("memory://b")}) == 3


def test_relative_folder(tmp_path, monkeypatch):
    """A relative path is resolved when the store is made; changing the directory does not move the store."""
    monkeypatch.chdir(tmp_path)
    store = ImageStore("pictures")
    monkeypatch.chdir("/")

    store.put(picture())
    assert (tmp_path / "pictures").is_dir()


@pytest.fixture
def defaults(tmp_path, monkeypatch):
    """Reset the default store, set an empty home folder, and return `monkeypatch`."""
    monkeypatch.setattr(locations, "_defaults", {})
    monkeypatch.delenv("LANGCHAIN_IMAGEGEN_STORE", raising=False)
    for name in ("HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    return monkeypatch


def test_default_store_is_private(defaults, tmp_path):
    """The default store is in the user's data directory, and only the user can read it."""
    store = default_store()
    store.put(picture())
    path = next(tmp_path.rglob("*.png")).parent.parent

    assert default_store() is store
    assert store.location == str(path)
    assert path.parent.name == "langchain_imagegen"
    assert os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == 0o700


def test_environment_names_the_default_store(defaults):
    """`LANGCHAIN_IMAGEGEN_STORE` sets the default store, even after another one was used."""
    before = default_store()
    defaults.setenv("LANGCHAIN_IMAGEGEN_STORE", "memory://elsewhere")

    assert default_store().location == ImageStore().location == "memory://elsewhere"
    assert default_store() is default_store()
    assert default_store() != before


@pytest.mark.parametrize("dropped", [0, 1])
def test_opened_stores_are_held_weakly(dropped):
    """`opened_stores` lists a store until it is garbage collected, even if an equal store is collected first."""
    stores = [ImageStore("memory://weak"), ImageStore("memory://weak")]
    del stores[dropped]
    gc.collect()

    listed = [store for store in opened_stores() if store.location == "memory://weak"]
    assert len(listed) == 1
    assert listed[0] is stores[0]


def test_blob(store, open_store):
    """`blob` returns what `put` returned, from any store of the same location, and fails once the picture is pruned."""
    put = store.put(picture())
    other = open_store()

    assert store.blob(put.sha256) == other.blob(put.sha256) == other.blob(put.sha256, "image/png") == put
    store.prune(older_than=timedelta(0))
    for each in (store, other):
        with pytest.raises(ImageStoreError, match=f"no image {put.sha256}"):
            each.blob(put.sha256)


def test_blob_is_cached(folder):
    """`blob` of a picture that was stored recently does not read its file."""
    put = folder.put(picture())
    next(Path(folder.location).rglob("*.png")).unlink()

    assert folder.blob(put.sha256) == put


@pytest.mark.parametrize("url", ["pictures", "file:///pictures"])
def test_a_misspelt_argument_is_no_storage_option(url: str):
    """A folder takes no storage options, so what looks like one is a mistake."""
    with pytest.raises(OptionError, match="public_urls= is no option of a folder; did you mean 'public_url'"):
        ImageStore(url, public_urls="https://pictures.example/{name}")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes can be forked")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_forked_while_a_bucket_is_opened(monkeypatch: pytest.MonkeyPatch):
    """A child opens the bucket by itself, although the thread that was opening it is not in the child."""
    opening, open_bucket = threading.Event(), fsspec.core.url_to_fs

    def slow(*arguments: Any, **options: Any) -> Any:
        opening.set()
        time.sleep(0.3)
        return open_bucket(*arguments, **options)

    monkeypatch.setattr(fsspec.core, "url_to_fs", slow)
    store = ImageStore(f"memory://{uuid.uuid4().hex}")
    thread = threading.Thread(target=store.put_if_absent, args=("key", b""))
    thread.start()
    assert opening.wait(5)
    if not (child := os.fork()):
        signal.alarm(10)
        os._exit(0 if store.put_if_absent("other", b"") else 1)
    thread.join()

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
