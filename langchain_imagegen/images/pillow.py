"""Pillow and pillow-heif, both optional: pictures opened, turned upright and rewritten as the service takes them.

No other module of the package imports them. Whatever they raise becomes an error of ours.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

from langchain_imagegen.errors import CorruptImageError, OptionError
from langchain_imagegen.images.sniffing import sniff

if TYPE_CHECKING:
    from PIL.Image import Image

INSTALL = 'pip install "langchain_imagegen[pillow]"'
INSTALL_HEIC = 'pip install "langchain_imagegen[heic]"'
LARGEST_SENT = 50_000_000  # bytes; the service takes no more (guide on image edits)
LONGEST_EDGE = 8192  # pixels of a picture that is written anew; the service's own are 3840 at most

_HEIF = ("image/heic", "image/heif")
_READERS = {
    "image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/gif": "GIF", "image/bmp": "BMP",
    "image/tiff": "TIFF", "image/avif": "AVIF", "image/heic": "HEIF", "image/heif": "HEIF",
}  # fmt: skip
"""Pillow's reader of each format. It has others for data that is no picture, one of which runs Ghostscript."""

_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and values of pictures whose width is a height
_NO_LIMIT = 1_000_000  # pixels

_LOSSY = ("JPEG", "MPO", "HEIF", "AVIF")
_WITH_ALPHA = {"RGBA", "LA", "PA", "RGBa", "La"}


def open_picture(data: bytes, purpose: str) -> Image:
    """Return the picture as Pillow opens it: its header is read, its pixels not yet.

    Args:
        data: A picture of any format.
        purpose: What needs Pillow, for the error: `"to_pil()"`.

    Raises:
        ImportError: Pillow, or for HEIC pillow-heif, is not installed.
        CorruptImageError: Pillow cannot read it, or it has more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    media = sniff(data[:1_000_000])
    kind = media.mime_type if media else "this data"
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(f"{purpose} needs Pillow: {INSTALL_HEIC if kind in _HEIF else INSTALL}") from error
    if kind == "image/svg+xml":
        raise CorruptImageError(
            f"{purpose} cannot read SVG, since Pillow draws no vectors: save() it, or turn it into pixels first "
            "(for example with cairosvg.svg2png)"
        )
    if media is None:
        raise CorruptImageError(f"{purpose} cannot read {kind}: it is no picture of a known format")
    _check_pixels((media.width or 0, media.height or 0), purpose)
    if kind in _HEIF:
        _open_heic(purpose)
    try:
        picture = Image.open(io.BytesIO(data), formats=[_READERS[kind]])
    except Exception as error:  # Pillow's formats raise many kinds
        raise CorruptImageError(f"{purpose} cannot read {kind}: {type(error).__name__}") from error
    _check_pixels(picture.size, purpose)  # some formats have their size behind everything else
    return picture


def _check_pixels(size: tuple[int, int], purpose: str) -> None:
    from PIL import Image

    most = Image.MAX_IMAGE_PIXELS
    if most and size[0] * size[1] > most:
        raise CorruptImageError(
            f"{purpose} opens no picture of {size[0]}x{size[1]} pixels: more than "
            f"PIL.Image.MAX_IMAGE_PIXELS={most}; make it smaller first"
        )


def _open_heic(purpose: str) -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise ImportError(f"{purpose} needs pillow-heif to read HEIC: {INSTALL_HEIC}") from error
    register_heif_opener()


def upright(picture: Image) -> Image:
    """Return the picture as a viewer shows it, turned as its EXIF says."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(picture)


def png_of(picture: Any) -> bytes:
    """Return a Pillow image as a PNG: upright, with its transparency.

    Raises:
        CorruptImageError: it is closed, or its file is damaged.
    """
    data = io.BytesIO()
    try:
        turned = upright(picture)
        if turned.mode in _WITH_ALPHA:
            turned = turned.convert("LA" if turned.mode in ("LA", "La") else "RGBA")
        try:
            turned.save(data, format="PNG")
        except OSError:  # a mode that PNG lacks, such as CMYK
            turned.convert("RGB").save(data, format="PNG")
    except Exception as error:  # Pillow raises many kinds for closed, cut and oversized pictures
        raise CorruptImageError(f"the PIL image cannot be read: {type(error).__name__}: {str(error)[:40]}") from error
    return data.getvalue()


def shrink(data: bytes, edge: int) -> bytes | None:
    """Return a picture as a JPEG with edges of at most `edge` pixels; return None where Pillow cannot make one."""
    small = io.BytesIO()
    try:
        picture = open_picture(data, "a thumbnail")
        picture.draft("RGB", (edge, edge))
        picture = picture.convert("RGB")
        picture.thumbnail((edge, edge))
        picture.save(small, format="JPEG", quality=80)
    except Exception:  # noqa: BLE001 - a view is worth seeing without it, and Pillow raises many kinds
        return None
    return small.getvalue()


def thumbnail_of(data: bytes, width: int) -> bytes | None:
    """Return a picture as an upright WebP at most `width` pixels wide; return None where Pillow cannot make one."""
    small = io.BytesIO()
    try:
        picture = open_picture(data, "a thumbnail")
        turned = picture.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE
        picture.thumbnail((_NO_LIMIT, width) if turned else (width, _NO_LIMIT))
        profile = picture.info.get("icc_profile")
        _eight_bits(upright(picture)).save(small, format="WEBP", quality=80, icc_profile=profile)
    except Exception:  # noqa: BLE001 - the picture itself is there, and Pillow raises many kinds
        return None
    return small.getvalue()


def preview_of(data: bytes, edge: int, *, kind: Literal["WEBP", "JPEG"] = "WEBP") -> tuple[bytes, str] | None:
    """Return a picture, upright, with edges of at most `edge` pixels, and its MIME type; None where Pillow cannot.

    Args:
        data: A picture of any format.
        edge: The longest edge of the preview in pixels.
        kind: WebP has a third of the bytes of a JPEG. A transparent picture is WebP in any case.
    """
    small = io.BytesIO()
    try:
        picture = open_picture(data, "a preview")
        picture.draft("RGB", (edge, edge))
        picture = _eight_bits(upright(picture))
        picture.thumbnail((edge, edge))
        transparent = picture.mode == "RGBA" and picture.getchannel("A").getextrema() != (255, 255)
        kind = "WEBP" if transparent else kind
        picture = picture if transparent else picture.convert("RGB")
        picture.save(small, format=kind, quality=80 if kind == "WEBP" else 85, method=2)
    except Exception:  # noqa: BLE001 - a view is worth seeing without it, and Pillow raises many kinds
        return None
    return small.getvalue(), f"image/{kind.lower()}"


def rewrite(data: bytes, reason: str) -> bytes:
    """Return a picture as PNG or JPEG that the service takes: upright, RGB or RGBA, not too large.

    Args:
        data: A picture of any format that Pillow reads.
        reason: Why it cannot be sent as it is, for errors.

    Raises:
        OptionError: what is needed is not installed; it says what to install.
        CorruptImageError: Pillow cannot read it, or it has too many pixels.
    """
    try:
        picture = open_picture(data, f"preparing the image ({reason})")
    except ImportError as error:
        raise OptionError(
            f"{error}, or convert it to PNG or JPEG yourself, or send it as it is (prepare=False)"
        ) from error
    try:
        lossy = picture.format in _LOSSY
        picture = _eight_bits(upright(picture))
        picture.thumbnail((LONGEST_EDGE, LONGEST_EDGE))
        return _encoded(picture, lossy=lossy)
    except Exception as error:  # damage shows only when pixels are read
        raise CorruptImageError(f"the image ({reason}) cannot be read: {type(error).__name__}") from error


def _eight_bits(picture: Image) -> Image:
    """Return the picture as RGB or RGBA of 8 bits a channel."""
    if picture.mode[0] in "IF":
        grey = picture.convert("F")
        brightest = float(grey.getextrema()[1])  # type: ignore[arg-type]  # one channel has one pair
        whole = 65_535.0 if picture.mode[0] == "I" and brightest > 255 else max(brightest, 255.0)
        picture = grey.point(lambda value: value * (255 / whole) + 0).convert("L")
    has_alpha = picture.mode in _WITH_ALPHA or "transparency" in picture.info
    return picture.convert("RGBA" if has_alpha else "RGB")


def _encoded(picture: Image, *, lossy: bool) -> bytes:
    while True:
        data = io.BytesIO()
        profile = picture.info.get("icc_profile")
        if lossy and picture.mode == "RGB":
            picture.save(data, format="JPEG", quality=95, icc_profile=profile)
        else:
            picture.save(data, format="PNG", icc_profile=profile)
        if data.tell() <= LARGEST_SENT:
            return data.getvalue()
        if lossy or picture.mode == "RGBA":
            picture = picture.resize((max(picture.width * 3 // 4, 1), max(picture.height * 3 // 4, 1)))
        lossy = True
