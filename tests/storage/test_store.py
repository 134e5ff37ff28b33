"""Pictures by digest, on a folder, in memory and on an S3 server that speaks HTTP on the loopback."""

from __future__ import annotations

import copy
import gc
import hashlib
import io
import logging
import os
import pickle
import stat
import subprocess
import sys
import time
import tracemalloc
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest
from PIL import Image

from langchain_imagegen.errors import CorruptImageError, ImageStoreError, OptionError
from langchain_imagegen.storage import store as store_module
from langchain_imagegen.storage.bucket import masked
from langchain_imagegen.storage.store import Blob, ImageStore, default_store, opened_stores

KEY, SECRET = "an-access-key", "a-very-secret-key"
NOBODY = "0" * 64


def picture(width: int = 40, height: int = 30, kind: str = "PNG", **options) -> bytes:
    """A noisy picture, each time another one."""
    file = io.BytesIO()
    Image.effect_noise((width, height), 60).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def digest(data: bytes) -> str:
    """The SHA-256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def files_in(folder) -> list[str]:
    """Names of all files below a folder, temporary ones too."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def write(store: ImageStore, data: bytes, pieces: int, error: Exception | None = None) -> Blob:
    """Writes `data` in pieces; raises `error` before the last one."""
    step = len(data) // pieces
    with store.writer() as writer:
        for start in range(0, len(data), step):
            if error and start + step >= len(data):
                raise error
            writer.write(data[start : start + step])
        return writer.commit()


@pytest.fixture(scope="module")
def s3():
    """Storage options for an S3 server on the loopback that has a bucket `pictures`."""
    pytest.importorskip("s3fs", reason="needs the extra s3")
    server_module = pytest.importorskip("moto.server", reason="needs moto[server]")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(urllib.request.Request(f"{endpoint}/pictures", method="PUT")).close()
    yield {
        "key": KEY,
        "secret": SECRET,
        "client_kwargs": {"endpoint_url": endpoint, "region_name": "us-east-1"},
    }
    server.stop()


@pytest.fixture
def folder(tmp_path):
    """A store in a folder that does not exist yet."""
    return ImageStore(tmp_path / "not" / "yet")


@pytest.fixture(params=["folder", "memory", "s3"])
def opened(request, folder):
    """Opens a place of each kind, always the same one, which is fresh at first."""
    if request.param == "folder":
        return partial(ImageStore, folder.location)
    if request.param == "memory":
        return partial(ImageStore, f"memory://{uuid.uuid4().hex}")
    return partial(ImageStore, f"s3://pictures/{uuid.uuid4().hex}", **request.getfixturevalue("s3"))


@pytest.fixture
def store(opened):
    """A fresh store of each kind."""
    return opened()


def test_put_and_get(store):
    """A picture comes back byte for byte, with facts that are read from its bytes."""
    data = picture(40, 30)

    blob = store.put(data)

    assert blob == Blob(digest(data), len(data), "image/png", 40, 30)
    assert store.get(blob.sha256) == store.get(blob.sha256, "image/png") == data
    assert blob.sha256 in store


async def test_async_twins(store):
    """Each async twin does what its half does."""
    data = picture()

    blob = await store.aput(data)

    assert await store.aget(blob.sha256) == data
    assert await store.aput_if_absent("key", b"1") is True
    assert await store.aread_key("key") == b"1"
    assert await store.aprune(older_than=timedelta(0)) == [blob.sha256]


@pytest.mark.parametrize("mime_type", ["image/jpeg", "image/../../etc", "", None])
def test_wrong_type_finds_it_too(store, mime_type):
    """A record that names another type, or nonsense, still leads to the bytes of its digest."""
    blob = store.put(picture())

    assert digest(store.get(blob.sha256, mime_type)) == blob.sha256


def test_missing_picture(store):
    """A digest that is not there is named in the error, with what to do; the error knows the store."""
    with pytest.raises(ImageStoreError, match=rf"{NOBODY}.*image_store=") as caught:
        store.get(NOBODY, "image/png")
    assert NOBODY not in store
    assert caught.value.location == store.location


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 64 + "\n", f"../{NOBODY}"])
def test_only_digests_are_looked_up(store, name):
    """What is no digest is never made into a path."""
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
    """A page, noise or a cut picture is refused with the reason, and nothing of it stays."""
    with pytest.raises(CorruptImageError, match=why):
        store.put(data)
    assert digest(data) not in store


def test_too_large(tmp_path):
    """A picture above `max_bytes` is refused while it arrives, and leaves no file."""
    store = ImageStore(tmp_path, max_bytes=1000)

    with pytest.raises(CorruptImageError, match="max_bytes=1000"):
        write(store, picture(), pieces=100)
    assert files_in(tmp_path) == []


def test_writer(store):
    """A picture in pieces is nowhere before `commit` and whole after it; its format is known early."""
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
def test_an_expectation_does_no_harm(store, expected):
    """More or fewer bytes than were expected are stored all the same, and none that were not written."""
    data = picture()

    with store.writer(expected) as writer:
        writer.write(data[:100])
        assert writer.read(0, 100) == data[:100]
        writer.write(data[100:])
        blob = writer.commit()

    assert blob.size_bytes == len(data)
    assert store.get(blob.sha256) == data


def test_writer_that_fails_leaves_nothing(tmp_path):
    """An exception between two pieces takes the file away with it."""
    store = ImageStore(tmp_path)

    with pytest.raises(ConnectionError):
        write(store, picture(), pieces=10, error=ConnectionError())
    assert files_in(tmp_path) == []


def test_writer_into_a_folder_needs_no_memory(folder):
    """A picture of many MB passes into a folder in a few hundred KB."""
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


def test_same_bytes_once(folder, tmp_path):
    """Eight threads that put the same bytes get the same answer and leave one file."""
    data = picture()

    with ThreadPoolExecutor(8) as threads:
        blobs = set(threads.map(folder.put, [data] * 40))

    assert len(blobs) == 1
    assert files_in(tmp_path) == [f"{digest(data)}.png"]


def test_threads(store):
    """Pictures that are put and read by several threads at once do not mix."""
    pictures = [picture() for _ in range(16)]

    with ThreadPoolExecutor(8) as threads:
        blobs = list(threads.map(store.put, pictures))
        read = list(threads.map(lambda blob: store.get(blob.sha256), blobs))

    assert read == pictures


def test_put_if_absent(store):
    """Of eight writers of one key exactly one wins, and its bytes stay."""
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda n: store.put_if_absent("paid", b"%d" % n), range(8)))

    assert won.count(True) == 1
    assert store.read_key("paid") == b"%d" % won.index(True)
    assert store.read_key("unpaid") is None


def test_keys_in_memory_are_claimed_once():
    """In memory, too, looking and writing is one step, however often threads take turns."""
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


def test_pictures_of_other_processes_are_seen(s3):
    """What somebody else wrote after a look is found by the next look: listings are not remembered."""
    ours, theirs = ImageStore("s3://pictures/seen", **s3), ImageStore("s3://pictures/seen", **s3, version_aware=True)
    ours.put(picture())
    ours.prune(older_than=timedelta(days=1))

    blob = theirs.put(picture())
    assert blob.sha256 in ours
    assert blob.sha256 in ours.prune(older_than=timedelta(0))


def test_any_text_is_a_key(folder, tmp_path):
    """Keys that look like paths, pictures, other spellings of each other or line noise stay apart and inside."""
    keys = ["../../x", "/etc/passwd", "a", "A", "a/b", "a//b", "a\0b", "..", "ä", "x" * 5000, f"00/{NOBODY}.png", ""]

    won = [folder.put_if_absent(key, key.encode()) for key in keys]

    assert all(won)
    assert [folder.read_key(key) for key in keys] == [key.encode() for key in keys]
    assert {path.name for path in tmp_path.iterdir()} == {"not"}
    assert NOBODY not in folder


def test_file_systems_without_hard_links(folder, monkeypatch):
    """Where the system cannot link files, `put_if_absent` still lets exactly one writer win."""

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)

    assert folder.put_if_absent("key", b"1") is True
    assert folder.put_if_absent("key", b"2") is False
    assert folder.read_key("key") == b"1"


def test_changed_file_is_not_trusted(folder, tmp_path):
    """Bytes that changed on disk are never handed out; putting the original heals them."""
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
from langchain_imagegen.store import ImageStore
writer = ImageStore(sys.argv[1]).writer()
writer.write(b"\\x89PNG\\r\\n\\x1a\\n" + bytes(200_000))
print("writing", flush=True)
while True:
    writer.write(bytes(1))
"""


def test_killed_writer_leaves_no_picture(tmp_path):
    """A process that is killed in the middle leaves nothing under a final name, and `prune` sweeps its rest later."""
    with subprocess.Popen([sys.executable, "-c", WRITE_FOREVER, tmp_path], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.kill()
    (rest,) = (path for path in tmp_path.rglob("*") if path.is_file())

    assert rest.parent.name == ".partial"
    ImageStore(tmp_path).prune(older_than=timedelta(days=365))
    assert rest.exists()
    os.utime(rest, (time.time() - 100_000,) * 2)
    ImageStore(tmp_path).prune(older_than=timedelta(days=365))
    assert files_in(tmp_path) == []


PUT_AND_CLAIM = """
import sys
from langchain_imagegen.store import ImageStore
store, data = ImageStore(sys.argv[1]), sys.stdin.buffer.read()
for _ in range(10):
    store.put(data)
print(sum(store.put_if_absent(f"key {n}", b"") for n in range(50)))
"""


def test_two_processes_on_one_folder(tmp_path):
    """Two processes put the same picture and claim the same keys: one file, and each key is won once."""
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
    """When the system stops writing in the middle, the error says why, and no file stays."""
    resource = pytest.importorskip("resource", reason="limits of a process are a Unix thing")
    data = picture(700, 700, compress_level=0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(ImageStoreError, match=r"store cannot be written: File too large; .* room"):
            folder.put(data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert files_in(tmp_path) == []


def test_folder_that_cannot_be_made(tmp_path):
    """A store where a file stands in the way says so, for pictures and for keys."""
    (tmp_path / "file").write_bytes(b"")
    store = ImageStore(tmp_path / "file" / "folder")

    with pytest.raises(ImageStoreError, match=r"store cannot be written: .*another store"):
        store.put(picture())
    with pytest.raises(ImageStoreError, match="cannot be written"):
        store.put_if_absent("key", b"")


def test_prune_by_age(folder, tmp_path):
    """Only pictures older than asked go; one that was put again counts as new, and keys stay."""
    twice = picture()
    old, again, new = (folder.put(data) for data in (picture(), twice, picture()))
    for path in tmp_path.rglob("*.png"):
        if not path.name.startswith(new.sha256):
            os.utime(path, (time.time() - 100_000,) * 2)
    folder.put(twice)
    folder.put_if_absent("key", b"1")

    assert folder.prune(older_than=timedelta(days=1)) == [old.sha256]
    assert again.sha256 in folder
    assert folder.read_key("key") == b"1"


def test_prune_keeps(store):
    """Pictures in `keep` stay whatever their age; the removed ones are named."""
    kept, gone = store.put(picture()), store.put(picture(kind="WEBP"))

    assert store.prune(older_than=timedelta(days=1)) == []
    assert store.prune(keep={kept.sha256}) == [gone.sha256]
    assert kept.sha256 in store
    assert gone.sha256 not in store


def test_prune_of_everything_must_be_meant(store):
    """Without arguments nothing is removed but an error raised that says how to mean it."""
    blob = store.put(picture())

    with pytest.raises(OptionError, match=r"older_than=timedelta\(0\)"):
        store.prune()
    assert blob.sha256 in store


def test_prune_leaves_other_files_alone(folder, tmp_path):
    """Files of others in the same folder are not touched."""
    folder.put(picture())
    for name in ("ab/notes.txt", f"ab/{NOBODY}.png", "readme.txt"):
        path = tmp_path / "not" / "yet" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")

    assert len(folder.prune(older_than=timedelta(0))) == 1
    assert files_in(tmp_path) == sorted([f"{NOBODY}.png", "notes.txt", "readme.txt"])


def test_public_url():
    """A template gives links without asking anyone, by path or by its parts."""
    public = ImageStore("memory://", public_url="https://cdn.example/{sha256}.{ext}?v=1")
    by_name = ImageStore("memory://", public_url="https://cdn.example/{name}")

    assert public.url(NOBODY, "image/jpeg") == f"https://cdn.example/{NOBODY}.jpg?v=1"
    assert by_name.url(NOBODY, "image/webp") == f"https://cdn.example/00/{NOBODY}.webp"
    with pytest.raises(ImageStoreError, match="'text/html' is no image type"):
        public.url(NOBODY, "text/html")


@pytest.mark.parametrize(
    "template", ["https://cdn.example/", "https://x/{digest}", "https://x/{name", "{0}", "{name.x}"]
)
def test_public_url_is_checked(template):
    """A template that cannot tell pictures apart is refused at once, and the message names the fields."""
    with pytest.raises(OptionError, match=r"\{name\}, or \{sha256\} and \{ext\}"):
        ImageStore("memory://", public_url=template)


@pytest.mark.parametrize("url", ["memory://links", None])
def test_no_links(url, tmp_path):
    """A store that can make no links names both ways to get some."""
    store = ImageStore(url or tmp_path)

    with pytest.raises(ImageStoreError, match=r"public_url='https.*\{name\}.*s3://"):
        store.url(NOBODY, "image/png")


def test_signed_link_shows_the_picture(s3):
    """A signed link gives a browser the bytes with their type, and carries its lifetime."""
    store = ImageStore("s3://pictures/signed", **s3)
    data = picture(kind="JPEG")
    blob = store.put(data)

    link = store.url(blob.sha256, blob.mime_type, expires=77)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(link) as answer:
        content_type, body = answer.headers["Content-Type"], answer.read()

    assert (content_type, body) == ("image/jpeg", data)
    assert SECRET not in link


def test_options_are_shown_nowhere(s3):
    """Storage options are in no repr, pickle, attribute listing or error, and a pickle opens the same store."""
    store = ImageStore("s3://no-such-bucket/x", public_url="https://cdn.example/{name}", **s3)

    with pytest.raises(ImageStoreError, match="s3://no-such-bucket/x cannot be written") as caught:
        store.put(picture())
    pickled = pickle.dumps(store)

    for secret in (KEY, SECRET):
        assert secret not in f"{store!r} {store} {caught.value}"
        assert secret.encode() not in pickled
    assert pickle.loads(pickled) == store
    assert pickle.loads(pickled).url(NOBODY, "image/png") == store.url(NOBODY, "image/png")


def test_copies_keep_the_options(s3):
    """A copy in the same process can still write."""
    store = ImageStore("s3://pictures/copies", **s3)

    blob = copy.deepcopy(store).put(picture())

    assert blob.sha256 in copy.copy(store)


def test_credentials_in_urls_are_masked():
    """User parts and queries of URLs, and options however deep, are masked in what is shown."""
    store = ImageStore("memory://someone:hunter2@host/path?sig=hunter3")
    text = masked("refused hunter4 by ftp://me:pw@h/x", {"client_kwargs": {"token": "hunter4"}})

    assert repr(store) == "ImageStore('memory://***@host/path?***')"
    assert text == "refused *** by ftp://***@h/x"


@pytest.mark.parametrize(
    ("url", "what"), [("nope://x", "fsspec knows no nope://"), ("dropbox://x", "pip install 'fsspec\\[dropbox\\]'")]
)
def test_unreachable_urls_fail_at_once(url, what):
    """A URL without a driver fails when the store is made, before any picture is paid for."""
    with pytest.raises(ImageStoreError, match=what):
        ImageStore(url)


def test_equality(tmp_path):
    """Stores of the same place are equal, however it was written."""
    by_path, by_url = ImageStore(tmp_path), ImageStore(f"file://{tmp_path}")

    assert by_path == by_url == pickle.loads(pickle.dumps(by_path))
    assert len({by_path, by_url, ImageStore("memory://a"), ImageStore("memory://b")}) == 3


def test_relative_folder_stays_where_it_was(tmp_path, monkeypatch):
    """A relative path is taken once; a later change of directory does not move the store."""
    monkeypatch.chdir(tmp_path)
    store = ImageStore("pictures")
    monkeypatch.chdir("/")

    store.put(picture())
    assert (tmp_path / "pictures").is_dir()


@pytest.fixture
def defaults(tmp_path, monkeypatch):
    """No default store yet, and a home of its own."""
    monkeypatch.setattr(store_module, "_defaults", {})
    monkeypatch.delenv("LANGCHAIN_IMAGEGEN_STORE", raising=False)
    for name in ("HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    return monkeypatch


def test_default_store_is_private(defaults, tmp_path):
    """The default folder is in the user's data directory and nobody else may look into it."""
    store = default_store()
    store.put(picture())
    path = next(tmp_path.rglob("*.png")).parent.parent

    assert default_store() is store
    assert store.location == str(path)
    assert path.parent.name == "langchain_imagegen"
    assert os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == 0o700


def test_environment_names_the_default_store(defaults):
    """`LANGCHAIN_IMAGEGEN_STORE` chooses the default store, also while the process runs."""
    before = default_store()
    defaults.setenv("LANGCHAIN_IMAGEGEN_STORE", "memory://elsewhere")

    assert default_store().location == ImageStore().location == "memory://elsewhere"
    assert default_store() is default_store()
    assert default_store() != before


@pytest.mark.parametrize("dropped", [0, 1])
def test_opened_stores_are_held_weakly(dropped):
    """The opened stores are listed as long as someone uses them, even when an equal one goes."""
    stores = [ImageStore("memory://weak"), ImageStore("memory://weak")]
    del stores[dropped]
    gc.collect()

    listed = [store for store in opened_stores() if store.location == "memory://weak"]
    assert len(listed) == 1
    assert listed[0] is stores[0]


def test_what_a_stored_picture_is(store, opened):
    """`blob` tells what `put` told, wherever the picture was put, and says so if it is no longer there."""
    put = store.put(picture())
    other = opened()

    assert store.blob(put.sha256) == other.blob(put.sha256) == other.blob(put.sha256, "image/png") == put
    store.prune(older_than=timedelta(0))
    for each in (store, other):
        with pytest.raises(ImageStoreError, match=f"no image {put.sha256}"):
            each.blob(put.sha256)


def test_what_a_picture_is_takes_no_second_look(folder):
    """What a picture is that was stored lately is told without reading it again."""
    put = folder.put(picture())
    next(Path(folder.location).rglob("*.png")).unlink()

    assert folder.blob(put.sha256) == put
