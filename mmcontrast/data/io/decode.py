"""One guarded way from anything that looks like an image to 8-bit RGB pixels.

Untrusted files meet the decoder here and nowhere else: the header is read first, and what asks for too much memory is
refused before a pixel is decoded.
"""

import importlib
import io
import os
import stat
import warnings
from functools import cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, features
from torch import Tensor

from mmcontrast.data.io.image_headers import jpeg_header, jpeg_orientation, orientation_of, webp_size
from mmcontrast.data.io.resize import Interpolation, crop, squash
from mmcontrast.errors import InputError

Pixels = npt.NDArray[np.uint8]  # (H, W, 3) RGB
ImageSource = str | Path | bytes | Image.Image | npt.NDArray[Any] | Tensor
Fit = Literal["crop", "squash", "random"]

MAX_PIXELS = 50_000_000
MAX_ASPECT = 50
_MAX_WEBP = 25_000_000  # pixels: its reader takes 16 bytes for each, and does so before it tells the size
MAX_BYTES = 512 << 20
_STRIP_PIXELS = 4 << 20  # a large image is brought to RGB strip by strip, which keeps its copies small
_MAX_PROGRESSIVE_CMYK = 40_000_000  # pixels: its reader keeps all coefficients of four channels
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
# Readers that run no other program and load no code.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")
EXTENSIONS = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "avif", "heic", "heif")


class ImageError(InputError):
    """An image that cannot be read; the message names it and says why."""


def decode(source: ImageSource, at_least: int | None = None, name: str | None = None) -> Pixels:
    """Returns an image as 8-bit RGB pixels.

    The orientation of EXIF or XMP is applied, 16-bit and float images are scaled, transparency is laid on white, and
    the first frame of an animation is taken.

    Args:
        source: A path, encoded bytes, a PIL image, an array (H, W) or (H, W, 1|3|4), or a tensor (1|3|4, H, W). Arrays
            and tensors hold integers of 0 to 255 of any type, uint16 of 16 bits, bool, or floats in [0, 1].
        at_least: The short side that is needed, in pixels. A larger JPEG may then be decoded at 1/2, 1/4 or 1/8.
        name: What an error calls the image; a path names itself.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ImageError: The source is empty, truncated or no image, has more than 50 million pixels (25 million of WebP, 40
            million of a progressive CMYK JPEG), or is longer than 50 times its width.

    >>> decode(np.zeros((2, 3), np.int32)).shape
    (2, 3, 3)
    """
    name = name or (str(source) if isinstance(source, str | Path) else "image")
    try:
        if isinstance(source, Tensor):
            return _from_array(source.detach().cpu().movedim(0, -1).numpy() if source.ndim == 3 else source.numpy())
        if isinstance(source, np.ndarray):
            return _from_array(source)
        if isinstance(source, Image.Image):
            return _from_pil(source)
        return _from_file(source, at_least)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except Exception as error:  # decoders meet hostile bytes and raise whatever they like
        reason = str(error) or type(error).__name__
        raise ImageError(f"{name}: cannot be decoded ({reason})") from error


def load(
    source: ImageSource,
    size: int,
    fit: Fit = "crop",
    name: str | None = None,
    interpolation: Interpolation = "bicubic",
) -> Tensor:
    """Returns an image brought to (3, size, size) uint8 without randomness.

    Args:
        source: As in ``decode``.
        size: Side of the result in pixels.
        fit: "crop" or "squash".
        name: What an error calls the image.
        interpolation: How the image is resized.

    Raises:
        InputError: ``fit`` is another one, or the image cannot be read.
    """
    if fit not in ("crop", "squash"):
        raise InputError(f"fit is {fit!r}; an image without a random key takes 'crop' or 'squash'")
    image = decode(source, at_least=3 * size, name=name)
    image = (crop if fit == "crop" else squash)(image, size, interpolation)
    return torch.from_numpy(np.require(image, requirements="W")).permute(2, 0, 1)


def _from_file(source: str | Path | bytes, at_least: int | None) -> Pixels:
    head = _checked_head(source)
    if head.startswith(b"\xff\xd8\xff"):
        source = source if isinstance(source, bytes) else Path(source).read_bytes()
        image = _from_jpeg(source, at_least)
        if image is not None:
            return image
    if (webp := webp_size(head)) is not None:
        check_size(*webp, _MAX_WEBP)
    formats = (*FORMATS, _register_heif(head[8:12])) if head[4:8] == b"ftyp" else FORMATS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower
        opened = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats)
    with opened as photo:
        if photo.mode == "CMYK" and photo.info.get("progressive"):
            check_size(*photo.size, _MAX_PROGRESSIVE_CMYK)
        if at_least is not None and photo.format == "JPEG":
            check_size(*photo.size)
            photo.draft(None, (at_least, at_least))
        return _from_pil(photo)


def _checked_head(source: str | Path | bytes) -> bytes:
    """Returns the first 64 bytes of a regular file of a size and kind that is read."""
    if isinstance(source, bytes):
        size, head = len(source), source[:64]
    else:
        if os.path.isdir(source):
            raise ImageError("is a folder")
        if not stat.S_ISREG((status := os.stat(source)).st_mode):
            raise ImageError("is a named pipe, a device or a socket; wanted a regular file")
        size = status.st_size
        with open(source, "rb") as file:
            head = file.read(64)
    if not size:
        raise ImageError("is empty (0 bytes)")
    if size > MAX_BYTES:
        raise ImageError(f"has {size >> 20} MB; at most {MAX_BYTES >> 20} MB are read")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise ImageError("is HTML, SVG or XML text, not a bitmap image")
    return head


@cache
def _register_heif(brand: bytes) -> str:
    """Returns PIL's name of the format, and makes HEIC known to PIL; AVIF is known where PIL was built with it."""
    if brand in (b"avif", b"avis"):
        if not features.check("avif"):
            raise ImageError("is an AVIF image, which needs a newer Pillow: pip install 'pillow>=11.3'")
        return "AVIF"
    try:
        pillow_heif = importlib.import_module("pillow_heif")
    except ImportError:
        raise ImageError("may be a HEIC image, which needs: pip install 'mmcontrast[heic]'") from None
    pillow_heif.register_heif_opener(thumbnails=False)
    return "HEIF"


def _from_jpeg(data: bytes, at_least: int | None) -> Pixels | None:
    """The fast way for a plain JPEG that is complete; None sends it the careful way, which says what is wrong."""
    header = jpeg_header(data)
    if header is None or not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        return None
    height, width, channels = header
    check_size(width, height)
    if channels not in (1, 3):
        return None
    fits = [factor for factor in _REDUCED if at_least and min(height, width) // factor >= at_least]
    flags = _REDUCED[max(fits)] if fits else cv2.IMREAD_COLOR
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        return None
    pixels = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    return np.ascontiguousarray(_orient(pixels, jpeg_orientation(data)))


def check_size(width: int, height: int, limit: int = MAX_PIXELS) -> None:
    """Refuses an image by its size, before it is decoded.

    Args:
        width: Its width in pixels.
        height: Its height in pixels.
        limit: The most pixels.

    Raises:
        ImageError: The image has more pixels, is empty, or is too long for its width.
    """
    if width * height > limit:
        raise ImageError(f"is {width}x{height}, {width * height / 1e6:.0f} Mpx; at most {limit / 1e6:.0f} are read")
    if not width or not height or max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(f"is {width}x{height}; the long side may be at most {MAX_ASPECT} times the short one")


def _from_pil(photo: Image.Image) -> Pixels:
    check_size(*photo.size)
    photo.load()
    from_file, orientation = photo.format is not None, orientation_of(photo)
    width, height = photo.size
    rows = max(1, _STRIP_PIXELS // width)
    if height <= rows:
        return np.ascontiguousarray(_orient(_to_rgb(photo, from_file), orientation))
    image = np.empty((width, height, 3) if orientation >= 5 else (height, width, 3), np.uint8)
    as_stored = _orient(image, {6: 8, 8: 6}.get(orientation) or orientation)  # the way back
    for top in range(0, height, rows):
        strip = photo.crop((0, top, width, min(top + rows, height)))
        as_stored[top : top + rows] = _to_rgb(strip, from_file)
    return image


def _to_rgb(image: Image.Image, bits16: bool) -> Pixels:
    """Returns (H, W, 3); ``bits16`` says that 32-bit integers are 16-bit pixels, as PIL reads them from files."""
    if image.mode.startswith("I") or image.mode == "F":
        array = np.asarray(image)[..., None]
        deep = image.mode == "I" and bits16 and array.min() >= 0 and array.max() <= 65535
        return _three_channels(array.astype(np.uint16) if deep else array)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, "white")
        canvas.paste(rgba, mask=rgba.getchannel("A"))
        return np.array(canvas)
    return np.array(image.convert("RGB"))


def _orient(image: Pixels, orientation: int) -> Pixels:
    """Undoes the eight EXIF orientations."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image


def _from_array(array: npt.NDArray[Any]) -> Pixels:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ImageError(f"has shape {array.shape}; wanted (H, W), (H, W, 1|3|4), or a tensor (1|3|4, H, W)")
    check_size(array.shape[1], array.shape[0])
    return _three_channels(array)


def _three_channels(array: npt.NDArray[Any]) -> Pixels:
    """(H, W, 1|3|4) of any scale -> (H, W, 3) uint8."""
    array = _to_uint8(array)
    if array.shape[2] == 4:
        alpha = array[..., 3:].astype(np.uint16)
        array = ((array[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def _to_uint8(array: npt.NDArray[Any]) -> Pixels:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array * np.uint8(255)
    low, high = array.min(), array.max()
    if array.dtype.kind == "f":
        if not np.isfinite([low, high]).all():
            raise ImageError("has NaN or infinite pixels")
        if low < 0 or high > 1:
            raise ImageError(f"has float pixels from {low:g} to {high:g}; wanted [0, 1]")
        return (array * 255 + 0.5).astype(np.uint8)
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if array.dtype.kind in "iu" and low >= 0 and high <= 255:
        return array.astype(np.uint8)
    raise ImageError(
        f"has {array.dtype} pixels from {low} to {high}; wanted integers of 0 to 255, uint16 of 16 bits, bool, or "
        "floats in [0, 1]"
    )
