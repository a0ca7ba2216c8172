"""One guarded way from anything that looks like an image to 8-bit RGB pixels.

Untrusted files meet the decoder here and nowhere else: the header is read first, and what asks for too much memory is
refused before a pixel is decoded.
"""

import io
import os
import warnings
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mmcontrast.errors import InputError

ImageSource = str | Path | bytes | Image.Image | np.ndarray | Tensor
Fit = Literal["crop", "squash", "random"]
Interpolation = Literal["bicubic", "bilinear"]

MAX_PIXELS = 50_000_000
MAX_ASPECT = 50
_MAX_WEBP = 25_000_000  # pixels: its reader takes 16 bytes for each, and does so before it tells the size
MAX_BYTES = 512 << 20
_STRIP_PIXELS = 4 << 20  # a large image is brought to RGB strip by strip, which keeps its copies small
_ORIENTATION = 0x0112  # EXIF tag
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
# Readers that run no other program and load no code.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")
EXTENSIONS = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm")


class ImageError(InputError):
    """An image that cannot be read; the message names it and says why."""


def decode(source: ImageSource, at_least: int | None = None, name: str | None = None) -> np.ndarray:
    """An image as 8-bit RGB.

    EXIF orientation is applied, 16-bit and float images are scaled, transparency is laid on white, and the first
    frame of an animation is taken.

    Args:
        source: path, encoded bytes, PIL image, array (H, W), (H, W, 1|3|4) or tensor (1|3|4, H, W); arrays and tensors
            of uint8, uint16, bool, or float in [0, 1].
        at_least: the short side that is needed, in pixels.  A larger JPEG may then be decoded at 1/2, 1/4 or 1/8.
        name: what to call the image in an error; a path names itself.
    Returns:
        (H, W, 3) uint8.
    Raises:
        ImageError: empty, truncated, not an image, more than 50 million pixels, or longer than 50 times its width.
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
    """An image brought to (3, size, size) uint8 without randomness; ``fit`` is "crop" or "squash"."""
    if fit not in ("crop", "squash"):
        raise InputError(f"fit is {fit!r}; an image without a random key takes 'crop' or 'squash'")
    image = decode(source, at_least=3 * size, name=name)
    image = (crop if fit == "crop" else squash)(image, size, interpolation)
    return torch.from_numpy(np.require(image, requirements="W")).permute(2, 0, 1)


def crop(image: np.ndarray, size: int, interpolation: Interpolation = "bicubic") -> np.ndarray:
    """(H, W, 3) -> (size, size, 3): the short side brought to ``size``, then the center."""
    height, width = image.shape[:2]
    if height <= width:
        image = resize(image, size, int(size * width / height), interpolation)
    else:
        image = resize(image, int(size * height / width), size, interpolation)
    top, left = round((image.shape[0] - size) / 2), round((image.shape[1] - size) / 2)
    return image[top : top + size, left : left + size]


def squash(image: np.ndarray, size: int, interpolation: Interpolation = "bicubic") -> np.ndarray:
    """(H, W, 3) -> (size, size, 3): all of the image, its aspect ratio given up."""
    return resize(image, size, size, interpolation)


def random_crop(
    image: np.ndarray,
    size: int,
    generator: np.random.Generator,
    scale: tuple[float, float] = (0.9, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    interpolation: Interpolation = "bicubic",
) -> np.ndarray:
    """(H, W, 3) -> (size, size, 3): a region of random area and shape, resized.

    Args:
        image: the image.
        size: side of the result in pixels.
        generator: where the randomness comes from.
        scale: smallest and largest area, as a fraction of the image.
        ratio: narrowest and widest shape, width / height.
        interpolation: of the resizing.
    """
    height, width = image.shape[:2]
    for _ in range(10):
        area = height * width * generator.uniform(*scale)
        shape = np.exp(generator.uniform(np.log(ratio[0]), np.log(ratio[1])))
        w, h = round((area * shape) ** 0.5), round((area / shape) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            break
    else:  # the image itself is too long or too wide: its largest central region of an allowed shape
        w, h = min(width, round(height * ratio[1])), min(height, round(width / ratio[0]))
        top, left = (height - h) // 2, (width - w) // 2
        return resize(image[top : top + h, left : left + w], size, size, interpolation)
    top, left = generator.integers(0, height - h, endpoint=True), generator.integers(0, width - w, endpoint=True)
    return resize(image[top : top + h, left : left + w], size, size, interpolation)


def resize(image: np.ndarray, height: int, width: int, interpolation: Interpolation = "bicubic") -> np.ndarray:
    """(H, W, 3) uint8 -> (height, width, 3), antialiased, as PIL does it."""
    if image.shape[:2] == (height, width):
        return image
    pixels = torch.from_numpy(np.require(image, requirements=("C", "W"))).permute(2, 0, 1)  # (3, H, W), channels last
    resized = F.interpolate(pixels[None], (height, width), mode=interpolation, antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def _from_file(source: str | Path | bytes, at_least: int | None) -> np.ndarray:
    if isinstance(source, bytes):
        size, head = len(source), source[:64]
    else:
        if os.path.isdir(source):
            raise ImageError("is a folder")
        size = os.stat(source).st_size
        with open(source, "rb") as file:
            head = file.read(64)
    if not size:
        raise ImageError("is empty (0 bytes)")
    if size > MAX_BYTES:
        raise ImageError(f"has {size >> 20} MB; at most {MAX_BYTES >> 20} MB are read")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise ImageError("is HTML, SVG or XML text, not a bitmap image")
    if head.startswith(b"\xff\xd8\xff"):
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        image = _from_jpeg(data, at_least)
        if image is not None:
            return image
        source = data
    if (webp := _webp_size(head)) is not None:
        _check_size(*webp, _MAX_WEBP)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower
        opened = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    with opened as photo:
        if at_least is not None and photo.format == "JPEG":
            _check_size(*photo.size)
            photo.draft(None, (at_least, at_least))
        return _from_pil(photo)


def _from_jpeg(data: bytes, at_least: int | None) -> np.ndarray | None:
    """The fast way for a plain JPEG that is complete; None sends it the careful way, which says what is wrong."""
    header = _jpeg_header(data)
    if header is None or not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        return None
    height, width, channels = header
    _check_size(width, height)
    if channels not in (1, 3):
        return None
    fits = [factor for factor in _REDUCED if at_least and min(height, width) // factor >= at_least]
    flags = _REDUCED[max(fits)] if fits else cv2.IMREAD_COLOR
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _jpeg_header(data: bytes) -> tuple[int, int, int] | None:
    """(height, width, channels) from the first frame header (ITU T.81, B.2.2)."""
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return data[at + 5] << 8 | data[at + 6], data[at + 7] << 8 | data[at + 8], data[at + 9]
        at += 1 if marker == 0xFF else 2 + (data[at + 2] << 8 | data[at + 3])
    return None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """(width, height) from the first chunk of a WebP file (RFC 9649, section 2)."""
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return None
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF


def _check_size(width: int, height: int, most: int = MAX_PIXELS) -> None:
    if width * height > most:
        raise ImageError(f"is {width}x{height}, {width * height / 1e6:.0f} Mpx; at most {most / 1e6:.0f} are read")
    if not width or not height or max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(f"is {width}x{height}; the long side may be at most {MAX_ASPECT} times the short one")


def _from_pil(photo: Image.Image) -> np.ndarray:
    _check_size(*photo.size)
    photo.load()
    found = photo.getexif().get(_ORIENTATION)
    orientation: int = found if isinstance(found, int) else 1
    width, height = photo.size
    rows = max(1, _STRIP_PIXELS // width)
    if height <= rows:
        return np.ascontiguousarray(_orient(_to_rgb(photo), orientation))
    image = np.empty((width, height, 3) if orientation >= 5 else (height, width, 3), np.uint8)
    as_stored = _orient(image, {6: 8, 8: 6}.get(orientation) or orientation)  # the way back
    for top in range(0, height, rows):
        strip = photo.crop((0, top, width, min(top + rows, height)))
        as_stored[top : top + rows] = _to_rgb(strip)
    return image


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        return _three_channels(np.asarray(image)[..., None])
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, "white")
        canvas.paste(rgba, mask=rgba.getchannel("A"))
        return np.array(canvas)
    return np.array(image.convert("RGB"))


def _orient(image: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes the eight EXIF orientations."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ImageError(f"has shape {array.shape}; wanted (H, W), (H, W, 1|3|4), or a tensor (1|3|4, H, W)")
    _check_size(array.shape[1], array.shape[0])
    return _three_channels(array)


def _three_channels(array: np.ndarray) -> np.ndarray:
    """(H, W, 1|3|4) of any scale -> (H, W, 3) uint8."""
    array = _to_uint8(array)
    if array.shape[2] == 4:
        alpha = array[..., 3:].astype(np.uint16)
        array = ((array[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def _to_uint8(array: np.ndarray) -> np.ndarray:
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
    if array.dtype.kind in "iu" and low >= 0 and high <= 65535:
        wide = array.dtype != np.int64 or high > 255  # a small int64 array is 8-bit pixels in Python's own integers
        return ((array.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8) if wide else array.astype(np.uint8)
    raise ImageError(f"has {array.dtype} pixels from {low} to {high}; wanted uint8, uint16, bool, or float in [0, 1]")
