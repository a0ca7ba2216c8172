"""What the browser sends, as arrays: uploaded files only, and only as large as a page can work with."""

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gradio.utils import get_upload_folder

from mmcontrast.errors import InputError
from mmcontrast.inference import bounded
from mmcontrast.inference.points import parse_points

from .scaled_image import ScaledImage

LONGEST_SIDE = 1024  # pixels of an image on a page


def path_of(upload: Any, what: str = "an image") -> str:
    """Returns the path of an uploaded file.

    Args:
        upload: The value of a component, as the browser sent it.
        what: The name of the upload in an error message.

    Raises:
        InputError: There is no file, or it does not lie in the folder of uploads.
    """
    path = upload.get("path") if isinstance(upload, dict) else upload
    if not path:
        raise InputError(f"Give {what} first: drop a file, or choose an example.")
    if not isinstance(path, str) or not Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve()):
        raise InputError(f"Give {what} as an upload.")
    return path


def read_image(upload: Any, what: str = "an image", longest: int = LONGEST_SIDE) -> npt.NDArray[np.uint8]:
    """Reads an uploaded image, reduced to a long side of at most ``longest`` pixels.

    Args:
        upload: The value of an image component.
        what: The name of the image in an error message.
        longest: Largest long side in pixels.

    Returns:
        Read-only pixels, (H, W, 3) uint8.
    """
    return read_scaled(upload, what, longest).pixels


def read_scaled(upload: Any, what: str = "an image", longest: int = LONGEST_SIDE) -> ScaledImage:
    """Reads an uploaded image like ``read_image``, together with the size of the original.

    Args:
        upload: The value of an image component.
        what: The name of the image in an error message.
        longest: Largest long side in pixels.
    """
    return _scaled(path_of(upload, what), longest)


@lru_cache(16)
def _scaled(path: str, longest: int) -> ScaledImage:
    original = bounded.read_image(path)
    pixels = bounded.shrink(original, longest)
    pixels.setflags(write=False)
    return ScaledImage(pixels, *original.shape[:2])


def new_file(name: str) -> Path:
    """Returns the path of a file that can be written for download, in a new folder."""
    Path(get_upload_folder()).mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=get_upload_folder())) / name


def read_points(text: Any, limit: int = 32) -> list[tuple[float, float]]:
    """Reads points written as "x,y; x,y"; an empty text has none.

    Args:
        text: The text of a component.
        limit: Largest number of points.

    Raises:
        InputError: The text is something else, or holds too many points.
    """
    points = parse_points(str(text), "Points") if str(text or "").strip() else []
    if len(points) > limit:
        raise InputError(f"{len(points)} points are given; at most {limit} are possible at once.")
    return points


def write_points(points: list[tuple[float, float]]) -> str:
    """Writes points as "x,y; x,y"."""
    return "; ".join(f"{x:g},{y:g}" for x, y in points)
