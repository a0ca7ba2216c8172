"""Object masks as files: PNGs whose pixels are object ids."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmcontrast.data.io.decode import FORMATS
from mmcontrast.errors import InputError


def palette() -> np.ndarray:
    """(256, 3) uint8 colors of the ids, those of PASCAL VOC and DAVIS: the bits of an id spread over R, G and B."""
    ids, colors = np.arange(256), np.zeros((256, 3), np.uint8)
    for level in range(8):
        for channel in range(3):
            colors[:, channel] |= (((ids >> (3 * level + channel)) & 1) << (7 - level)).astype(np.uint8)
    return colors


def read_mask(path: str | Path) -> np.ndarray:
    """A mask file as object ids.

    Palette images give their indices and gray ones their values, except that black and white alone (also 1-bit)
    means one object.  In a color image black is the background and every other color an object.

    Returns:
        (H, W) uint8, 0 for the background.
    Raises:
        InputError: not an image, a JPEG, or with more than 254 objects, as a photograph has.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.format == "JPEG":
                raise InputError(
                    f"{path}: is a JPEG, which blurs ids into others; wanted a PNG whose pixels are object ids"
                )
            if image.mode == "P":
                return np.array(image)
            if image.mode in ("1", "L", "LA") or image.mode.startswith("I"):
                return _as_ids(np.array(image.getchannel(0) if image.mode == "LA" else image), path)
            pixels = np.array(image.convert("RGB")).astype(np.int64)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(f"{path}: cannot be read as a mask ({error})") from error
    codes = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]  # (H, W)
    colors, numbers = np.unique(np.append(codes, 0), return_inverse=True)
    _at_most(len(colors) - 1, path)
    return numbers[:-1].reshape(codes.shape).astype(np.uint8)


def write_mask(path: str | Path, mask: np.ndarray) -> None:
    """Writes (H, W) uint8 ids as a palette PNG."""
    image = Image.fromarray(mask)
    image.putpalette(palette().tobytes())
    image.save(path, optimize=False, compress_level=1)


def _as_ids(values: np.ndarray, path: str | Path) -> np.ndarray:
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    ids = np.unique(values)
    if set(ids.tolist()) <= {0, 255}:
        return (values > 0).astype(np.uint8)
    _at_most(int(np.count_nonzero(ids)), path)
    if ids[0] < 0 or ids[-1] > 255:
        raise InputError(f"{path}: has ids from {ids[0]} to {ids[-1]}; wanted 0 for the background and 1 to 255")
    return values.astype(np.uint8)


def _at_most(objects: int, path: str | Path) -> None:
    if objects > 254:
        raise InputError(
            f"{path}: has {objects} different ids; at most 254 objects are possible. "
            "Wanted a PNG whose pixels are object ids (JPEG blurs them)"
        )
