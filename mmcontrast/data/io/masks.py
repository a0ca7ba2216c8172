"""Object masks as files: PNGs whose pixels are object ids."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from mmcontrast.data.io.decode import FORMATS, ImageError, check_size
from mmcontrast.data.io.folders import refuse_special_file
from mmcontrast.data.io.mask_rules import Ids, Values, alpha_ids, color_ids, gray_ids, indexed_ids, palette_ids
from mmcontrast.errors import InputError


def palette() -> Ids:
    """Returns (256, 3) uint8 colors of the ids, those of PASCAL VOC and DAVIS.

    The bits of an id are spread over R, G and B.
    """
    ids, colors = np.arange(256), np.zeros((256, 3), np.uint8)
    for level in range(8):
        for channel in range(3):
            colors[:, channel] |= (((ids >> (3 * level + channel)) & 1) << (7 - level)).astype(np.uint8)
    return colors


def read_mask(path: str | Path) -> Ids:
    """Returns a mask file as object ids.

    Palette indices and gray values are ids; black and white alone are one object. In a color image black is the
    background and every other color an object. What drawing programs add is told apart by rule, and a warning says
    which rule was applied: transparent pixels are the background; gray with smoothed edges is one object, cut at half;
    smoothed edges of several colors go to the nearest one; and 255 beside small ids is void.

    Args:
        path: A PNG, or another image file that is not a JPEG.

    Returns:
        (H, W) uint8, 0 for the background.

    Raises:
        InputError: The file is not an image, is a JPEG, or has more than 254 objects, as a photograph has.
    """
    refuse_special_file(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.format == "JPEG":
                raise InputError(
                    f"{path}: is a JPEG, which blurs ids into others; wanted a PNG whose pixels are object ids"
                )
            check_size(*image.size)
            image.load()
    except ImageError as error:
        raise InputError(f"{path}: {error}") from None
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # decoders meet hostile bytes and raise whatever they like
        raise InputError(f"{path}: cannot be read as a mask ({error or type(error).__name__})") from error
    ids, rule = _ids_of(image, str(path))
    if rule:
        warnings.warn(f"{path}: {rule}", stacklevel=2)
    return ids


def _ids_of(image: Image.Image, name: str) -> tuple[Ids, str | None]:
    """Returns the ids of an open mask and the rule that was applied, None for plain ids."""
    if image.mode == "P" and not image.has_transparency_data:
        return _ids_of_palette(image, name)
    if image.has_transparency_data:
        rgba = np.array(image.convert("RGBA"))
        if rgba[..., 3].min() < 255:
            return alpha_ids(_codes(rgba), rgba[..., 3], name)
        if image.mode == "P":
            return _ids_of_palette(image, name)
    if image.mode == "1":
        return np.array(image).astype(np.uint8), None
    if image.mode in ("L", "LA") or image.mode.startswith("I"):
        gray = np.array(image.getchannel(0) if image.mode == "LA" else image)
        return gray_ids(gray.astype(np.int64), name)
    return color_ids(_codes(np.array(image.convert("RGB"))), name)


def _ids_of_palette(image: Image.Image, name: str) -> tuple[Ids, str | None]:
    indices = np.array(image)
    stored = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(stored)] = stored
    if (colors[np.unique(indices)] == palette()[np.unique(indices)]).all():
        return indexed_ids(indices.astype(np.int64), name)
    return palette_ids(indices.astype(np.int64), colors, name)


def _codes(pixels: Ids) -> Values:
    red, green, blue = (pixels[..., channel].astype(np.int64) for channel in range(3))
    return red << 16 | green << 8 | blue


def write_mask(path: str | Path, mask: Ids) -> None:
    """Writes (H, W) uint8 ids as a palette PNG.

    Args:
        path: The file to write.
        mask: The ids.
    """
    image = Image.fromarray(mask)
    image.putpalette(palette().tobytes())
    image.save(path, optimize=False, compress_level=1)
