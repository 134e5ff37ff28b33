"""References to images: every form that is accepted, and the errors for everything else."""

from __future__ import annotations

import base64
import io
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from langchain_imagegen import GeneratedImage, ImageMemory, ImageResult, ImageStore
from langchain_imagegen.conversation.content_blocks import Pointer, read_block, reference_block
from langchain_imagegen.conversation.messages import upload
from langchain_imagegen.conversation.references import Remote, resolve
from langchain_imagegen.errors import CorruptImageError, UnknownImageError
from langchain_imagegen.streaming.decoder import decode


def picture(color: str = "red", format: str = "PNG") -> bytes:
    """Return the bytes of a small picture of one color."""
    data = io.BytesIO()
    Image.new("RGB", (8, 6), color).save(data, format=format)
    return data.getvalue()


PNG = picture()
TEXT = base64.b64encode(PNG).decode()
DATA_URL = f"data:image/png;base64,{TEXT}"


@pytest.fixture
def memory(image_store: ImageStore) -> ImageMemory:
    """Return a memory of a drawn image `ig_1` and an uploaded one."""
    drawn = GeneratedImage.of(image_store.put(picture("green")), id="ig_1", provider="api.example")
    return ImageMemory([drawn, upload(picture("blue"), image_store)], image_store=image_store)


# --- bytes, blocks and paths


@pytest.mark.parametrize(
    "reference",
    [
        PNG,
        bytearray(PNG),
        memoryview(PNG),
        DATA_URL,
        {"type": "image", "base64": TEXT, "mime_type": "image/png"},
        {"type": "image", "base64": "\n".join([TEXT[:60], TEXT[60:]])},
        {"type": "image", "source_type": "base64", "data": TEXT},
        {"type": "image", "url": DATA_URL},
        {"type": "image_url", "image_url": {"url": DATA_URL, "detail": "low"}},
        {"type": "image_url", "image_url": DATA_URL},
        {"type": "input_image", "image_url": DATA_URL},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": TEXT}},
        {"type": "non_standard", "value": {"type": "image", "base64": TEXT}},
    ],
)
def test_local_bytes_go_into_the_store(reference: Any, image_store: ImageStore):
    """Bytes, data URLs and blocks become an image of the user whose id is the digest of its bytes."""
    (source,) = resolve([reference], None, image_store)

    assert isinstance(source, GeneratedImage)
    assert source.read() == PNG
    assert (source.origin, source.id, source.stored) == ("user", f"sha256:{source.sha256}", False)
    assert (source.mime_type, source.width, source.height) == ("image/png", 8, 6)


def test_a_file_is_given_as_a_path(image_store: ImageStore, tmp_path: Path):
    """`resolve` reads the file of a `Path`."""
    (tmp_path / "fox.bin").write_bytes(PNG)

    (source,) = resolve([tmp_path / "fox.bin"], None, image_store)

    assert isinstance(source, GeneratedImage)
    assert source.read() == PNG


# --- files, base64, arrays and Pillow images


def pixels_of(source: Any) -> np.ndarray:
    """Return the pixels of a source as a numpy array."""
    return np.asarray(source.to_pil())


@pytest.mark.parametrize("position", [0, 5, None], ids=["start", "middle", "end"])
def test_a_file_object_is_read_whole(position: int | None, image_store: ImageStore):
    """`resolve` reads a `BytesIO` from its start, whatever its position."""
    file = io.BytesIO(PNG)
    file.seek(len(PNG) if position is None else position)

    (source,) = resolve([file], None, image_store)

    assert isinstance(source, GeneratedImage)
    assert source.read() == PNG


def test_an_open_file_is_read(image_store: ImageStore, tmp_path: Path):
    """`resolve` reads a file opened as bytes; a text file and a closed file raise an error that says why."""
    (tmp_path / "fox.png").write_bytes(PNG)

    with (tmp_path / "fox.png").open("rb") as file:
        (source,) = resolve([file], None, image_store)
    assert isinstance(source, GeneratedImage)
    assert source.read() == PNG
    with (tmp_path / "fox.png").open(encoding="latin-1") as text, pytest.raises(UnknownImageError, match="with 'rb'"):
        resolve([text], None, image_store)
    with pytest.raises(UnknownImageError, match="closed file"):
        resolve([file], None, image_store)


def test_a_file_object_is_read_up_to_max_bytes(tmp_path: Path):
    """An endless file object raises an error after `max_bytes`."""
    store = ImageStore(tmp_path, max_bytes=1000)

    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            return len(buffer)

    with pytest.raises(CorruptImageError, match="max_bytes=1000"):
        resolve([io.BufferedReader(Endless())], None, store)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.rstrip("="),
        "\n".join(TEXT[at : at + 60] for at in range(0, len(TEXT), 60)),
        base64.urlsafe_b64encode(PNG).decode(),
        base64.b64encode(picture(format="JPEG")).decode(),
        base64.b64encode(picture(format="WEBP")).decode(),
    ],
    ids=["plain", "unpadded", "lines", "url-safe", "jpeg", "webp"],
)
@pytest.mark.parametrize("with_memory", [True, False])
def test_base64_text_is_a_picture(text: str, with_memory: bool, memory: ImageMemory, image_store: ImageStore):
    """Base64 text of a known image format is a picture without a data URL around it."""
    (source,) = resolve([text], memory if with_memory else None, image_store)

    assert isinstance(source, GeneratedImage)
    assert source.to_pil().size == (8, 6)


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 1), (6, 8, 3), (6, 8, 4)])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_a_numpy_array_is_a_picture(shape: tuple[int, ...], layout: Any, image_store: ImageStore):
    """A `uint8` array of grey, RGB or RGBA becomes a PNG of the same pixels, in any memory layout."""
    array = np.asarray(np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8), order=layout)

    (source,) = resolve([array], None, image_store)

    assert (pixels_of(source) == (array[:, :, 0] if shape[-1] == 1 else array)).all()


@pytest.mark.parametrize("array", [np.zeros((6, 8, 3)), np.zeros((6, 8, 7), np.uint8), np.zeros(6, np.uint8)])
def test_any_other_array_is_refused(array: Any, image_store: ImageStore):
    """An array of another type or shape raises an error that says how to convert it."""
    with pytest.raises(CorruptImageError, match=r"give uint8 of height x width.*astype"):
        resolve([array], None, image_store)


def test_a_path_can_start_with_a_tilde_or_file(
    image_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`Path("~/fox.png")` and `Path("file:///…/a%20fox.png")` are read as the files that they name."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a fox.png").write_bytes(PNG)

    sources = resolve([Path("~/a fox.png"), Path((tmp_path / "a fox.png").as_uri())], None, image_store)

    assert [source.read() for source in sources if isinstance(source, GeneratedImage)] == [PNG, PNG]


@pytest.mark.skipif(sys.platform == "win32", reason="only POSIX has pipes and devices as files")
@pytest.mark.parametrize("kind", ["fifo", "/dev/zero", "/proc/kmsg", "sparse"])
def test_only_regular_files_are_read(kind: str, image_store: ImageStore, tmp_path: Path):
    """A pipe, a device, a blocking file of /proc and a sparse file of 20 GB raise our errors within 5 seconds."""
    path = Path(kind) if kind.startswith("/") else tmp_path / kind
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(20 * 1024**3)
    raised: list[Exception] = []

    def read() -> None:
        try:
            resolve([path], None, image_store)
        except Exception as error:  # noqa: BLE001 - the assertion shows whichever error it is
            raised.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(5)
    assert [type(error).__mro__[1].__name__ for error in raised] == ["ImageGenerationError"]


@pytest.mark.parametrize("path", ["a\0b", "~nobody-of-this-name/fox.png", "x" * 5000])
def test_an_impossible_path_is_our_error(path: str, image_store: ImageStore):
    """A path with NUL, an unknown user or 5,000 characters raises our error with a short message."""
    with pytest.raises(UnknownImageError) as caught:
        resolve([Path(path)], None, image_store)
    assert len(str(caught.value)) < 200


def test_an_error_about_a_path_hides_its_folder(image_store: ImageStore, tmp_path: Path):
    """An error about a path shows only the file's name, because a chat model may read it; its cause has the path."""
    with pytest.raises(UnknownImageError) as caught:
        resolve([tmp_path / "fox.png"], None, image_store)
    assert "'fox.png'" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert str(tmp_path) in str(caught.value.__cause__)


def test_an_error_names_the_file_that_is_no_picture(image_store: ImageStore, tmp_path: Path):
    """Of several files, the one that cannot be read as a picture is named, without its folder."""
    (tmp_path / "notes.txt").write_text("hello, " * 20)
    with pytest.raises(CorruptImageError, match=r"^'notes\.txt': what should be an image"):
        resolve([tmp_path / "notes.txt"], None, image_store)


def test_a_pillow_image_is_turned_upright(image_store: ImageStore):
    """A Pillow image with an EXIF rotation is stored upright."""
    data, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 6), "red").save(data, "JPEG", exif=exif)

    (source,) = resolve([Image.open(data)], None, image_store)

    assert isinstance(source, GeneratedImage)
    assert (source.width, source.height) == (6, 8)


@pytest.mark.parametrize("mode", ["RGBa", "La", "PA", "RGBA", "LA"])
def test_a_pillow_image_keeps_its_transparency(mode: str, image_store: ImageStore):
    """A Pillow image of any mode with alpha stays transparent."""
    clear = Image.new("RGBA", (8, 6), (255, 0, 0, 0))
    image = Image.new("PA", (8, 6)) if mode == "PA" else clear.convert("LA" if mode == "La" else "RGBA").convert(mode)

    (source,) = resolve([image], None, image_store)

    assert isinstance(source, GeneratedImage)
    assert source.to_pil().convert("RGBA").getpixel((0, 0))[3] == 0


def test_a_closed_pillow_image_is_our_error(image_store: ImageStore, tmp_path: Path):
    """A Pillow image whose file is closed raises our error."""
    (tmp_path / "fox.png").write_bytes(PNG)
    with Image.open(tmp_path / "fox.png") as image:
        pass

    with pytest.raises(CorruptImageError, match="the PIL image cannot be read"):
        resolve([image], None, image_store)


def nested_list(depth: int) -> Any:
    """Return a list nested `depth` deep, or a list that contains itself for 0."""
    outer: list[Any] = []
    inner = outer
    for _ in range(depth - 1):
        inner.append([])
        inner = inner[0]
    if not depth:
        outer.append(outer)
    return outer


@pytest.mark.parametrize("depth", [0, 100, 5000])
def test_deeply_nested_lists_are_our_error(depth: int, image_store: ImageStore):
    """A list that contains itself or is nested too deep raises our error."""
    with pytest.raises(UnknownImageError, match="nested deeper"):
        resolve([nested_list(depth)], None, image_store)


@pytest.mark.parametrize(
    "block",
    [
        {"type": []},
        {"type": {}},
        {"type": 5},
        {"type": "image", "file_id": []},
        {"type": "image", "file_id": 5},
        {"type": "image_url", "image_url": {"url": 5}},
        {"type": "image", "base64": 5},
        {"type": "image", "source": 5},
        {"type": "image_generation_call", "id": []},
        {"id": 5, "sha256": "x", "mime_type": [], "size_bytes": "many"},
    ],
    ids=repr,
)
def test_a_block_of_wrong_types_is_our_error(block: Any, image_store: ImageStore):
    """A block with lists or numbers in place of text raises our error."""
    with pytest.raises(UnknownImageError):
        resolve([block], None, image_store)


@pytest.mark.parametrize(
    ("written", "url"),
    [("HTTPS://Example.org/a", "HTTPS://Example.org/a"), (" https://example.org/a\n", "https://example.org/a")],
)
def test_a_url_can_have_upper_case_and_spaces(written: str, url: str, image_store: ImageStore):
    """`resolve` accepts a web address in upper case or with spaces around it."""
    assert resolve([written], None, image_store) == [Remote(url=url)]


def test_a_name_can_be_inside_other_text(memory: ImageMemory, image_store: ImageStore):
    """`resolve` finds a handle inside brackets, a file name or words, and reads ordinals in words."""
    handle = memory.handle("ig_1")

    for written in (f"[{handle}]", f"sandbox:/mnt/data/{handle}.png", "#1", "first", f"image {handle}"):
        assert resolve([written], memory, image_store) == [memory.get("ig_1")]
    assert resolve(["latest", -1], memory, image_store) == [memory.get("last")] * 2


def test_an_error_shortens_a_long_text(memory: ImageMemory, image_store: ImageStore):
    """An error about a long text quotes only its start."""
    for known in (memory, None):
        with pytest.raises(UnknownImageError) as caught:
            resolve(["fox " * 100_000], known, image_store)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "CMYK", "YCbCr", "F"])
def test_a_pillow_image_of_any_mode_is_accepted(mode: str, image_store: ImageStore):
    """A Pillow image of any mode becomes a PNG of the same size."""
    image = Image.new("RGB", (8, 6), "red").convert("L" if mode == "F" else "RGB").convert(mode)

    (source,) = resolve([image], None, image_store)

    assert isinstance(source, GeneratedImage)
    assert (source.mime_type, source.to_pil().size) == ("image/png", (8, 6))


def test_the_same_bytes_are_the_same_image(image_store: ImageStore, tmp_path: Path):
    """Bytes, a data URL and a file with the same bytes give one id."""
    (tmp_path / "fox.png").write_bytes(PNG)

    sources = resolve([PNG, DATA_URL, tmp_path / "fox.png"], None, image_store)

    assert len({source.id for source in sources if isinstance(source, GeneratedImage)}) == 1


# --- references that the service resolves


@pytest.mark.parametrize(
    ("reference", "remote"),
    [
        ("https://example.org/fox.png", Remote(url="https://example.org/fox.png")),
        ({"type": "image", "url": "https://example.org/fox.png"}, Remote(url="https://example.org/fox.png")),
        ({"type": "image_url", "image_url": {"url": "http://example.org"}}, Remote(url="http://example.org")),
        ("file-abc", Remote(file_id="file-abc")),
        ("file_abc", Remote(file_id="file_abc")),
        ({"type": "image", "file_id": "file-abc"}, Remote(file_id="file-abc")),
        ({"type": "image", "source": {"type": "file", "file_id": "file-abc"}}, Remote(file_id="file-abc")),
        ({"type": "input_image", "file_id": "file-abc"}, Remote(file_id="file-abc")),
        ("ig_elsewhere", Remote(call_id="ig_elsewhere")),
        ({"type": "image_generation_call", "id": "ig_elsewhere"}, Remote(call_id="ig_elsewhere")),
        (
            {"type": "non_standard", "value": {"type": "image_generation_call", "id": "ig_elsewhere"}},
            Remote(call_id="ig_elsewhere"),
        ),
    ],
)
def test_remote_references_are_passed_on(reference: Any, remote: Remote, image_store: ImageStore):
    """`resolve` returns web addresses, file ids and unknown call ids as `Remote` references."""
    assert resolve([reference], None, image_store) == [remote]


# --- images of the conversation


def test_a_known_image_is_itself(memory: ImageMemory, image_store: ImageStore):
    """`resolve` returns an image for itself, its record and its reference block without a memory."""
    fox = memory.get("ig_1")

    assert resolve([fox, fox.record(), reference_block(fox.record())], None, image_store) == [fox, fox, fox]


@pytest.mark.parametrize("name", ["ig_1", "1", 1, " 1 ", "img_", {"type": "image_generation_call", "id": "ig_1"}])
def test_a_name_is_looked_up_in_the_memory(name: Any, memory: ImageMemory, image_store: ImageStore):
    """`resolve` finds an image by id, ordinal, handle or image call in the memory."""
    name = memory.handle("ig_1")[:8] if name == "img_" else name

    assert resolve([name], memory, image_store) == [memory.get("ig_1")]


def test_an_upload_is_found_by_its_id(memory: ImageMemory, image_store: ImageStore):
    """`resolve` finds an upload by the digest that is its id."""
    photo = memory.get("last")

    assert resolve([photo.id], memory, image_store) == [photo]


def test_a_result_stands_for_all_its_images(memory: ImageMemory, image_store: ImageStore):
    """`resolve` flattens results and lists in order."""
    one, two = memory
    result = ImageResult(images=(one, two))

    assert resolve([result], None, image_store) == [one, two]
    assert resolve([[two, [one]], result], None, image_store) == [two, one, one, two]


# --- errors


@pytest.mark.parametrize("name", ["last", "1", "img_12345678", "sha256:00", "fox"])
def test_a_name_needs_a_memory(name: str, image_store: ImageStore):
    """A name without a memory raises an error that says to give a memory or the image itself."""
    with pytest.raises(UnknownImageError) as caught:
        resolve([name], None, image_store)
    assert str(caught.value) == (
        f"{name!r} needs a memory to be looked up in: ImageGenerator(memory=ImageMemory()), "
        "or give the image itself (result.image)"
    )


def test_an_unknown_name_lists_the_known_handles(memory: ImageMemory, image_store: ImageStore):
    """A name that the memory does not know raises an error with the known handles."""
    with pytest.raises(UnknownImageError, match="no image 'img_00000000'; known here") as caught:
        resolve(["img_00000000"], memory, image_store)
    assert caught.value.known == [memory.handle(each) for each in memory]


@pytest.mark.parametrize("with_memory", [True, False])
@pytest.mark.parametrize("form", ["{}", "file://{}", "./{}"])
def test_text_never_opens_a_file(
    form: str, with_memory: bool, memory: ImageMemory, image_store: ImageStore, tmp_path: Path
):
    """A path given as text raises an error that says to use `Path`, even if the file exists."""
    (tmp_path / "fox.png").write_bytes(picture("purple"))
    text = form.format(tmp_path / "fox.png")
    before = sum(1 for _ in (tmp_path / "images").rglob("*.png"))

    with pytest.raises(UnknownImageError, match=r"if it is a file, give Path\(.*text never opens a file"):
        resolve([text], memory if with_memory else None, image_store)
    assert sum(1 for _ in (tmp_path / "images").rglob("*.png")) == before


@pytest.mark.parametrize("name", ["fox.png", "C:\\fox", "fox.JPEG", "../fox", "file-fox.png", "fox.heic"])
def test_a_file_name_gets_the_advice_for_paths(name: str, image_store: ImageStore):
    """A text that looks like a file name raises the error about paths."""
    with pytest.raises(UnknownImageError, match="text never opens a file"):
        resolve([name], None, image_store)


@pytest.mark.parametrize(
    ("missing", "reason"), [("nowhere.png", "No such file"), (".", "Is a directory")], ids=["absent", "folder"]
)
def test_a_path_that_cannot_be_read_says_why(missing: str, reason: str, image_store: ImageStore, tmp_path: Path):
    """A path that cannot be read raises an error with the operating system's reason."""
    with pytest.raises(UnknownImageError, match=reason):
        resolve([tmp_path / missing], None, image_store)


@pytest.mark.parametrize(
    "invalid",
    [
        b"no picture",
        PNG[:40],
        "data:image/png;base64,!!!",
        "data:image/svg+xml,<svg/>",
        {"type": "image", "base64": "="},
    ],
)
def test_invalid_bytes_are_refused(invalid: Any, image_store: ImageStore, tmp_path: Path):
    """Truncated, corrupt or foreign bytes raise an error and are not stored."""
    with pytest.raises(CorruptImageError):
        resolve([invalid], None, image_store)
    assert [path for path in (tmp_path / "images").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("value", [None, 1.5, True, object(), {"type": "text", "text": "a fox"}, {}])
def test_any_other_value_is_refused(value: Any, image_store: ImageStore):
    """Any other value raises an error that lists the accepted forms."""
    with pytest.raises(UnknownImageError, match=r"names no image; give a handle \(img_…\), an ordinal"):
        resolve([value], None, image_store)


# --- content blocks


@pytest.mark.parametrize(
    "block",
    [None, "text", {}, {"type": "text", "text": "x"}, {"type": "image"}, {"type": "image_url"}, {"type": "file"}],
)
def test_a_block_without_a_picture_is_not_read(block: Any):
    """`read_block` returns None for a block without a picture."""
    assert read_block(block) is None


def test_a_pointer_decodes_its_base64():
    """Base64 with line breaks is decoded, and other characters raise an error."""
    assert Pointer(base64=f" {TEXT[:10]}\r\n{TEXT[10:]}\n").decode() == PNG
    with pytest.raises(CorruptImageError, match="not base64"):
        decode("abc$")
