"""What the browser sends, as arrays: only files that were uploaded, only as large as a page can work with."""

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from gradio.utils import get_upload_folder

from mmcontrast.errors import InputError
from mmcontrast.inference import bounded
from mmcontrast.inference.points import parse_points

LONGEST = 1024  # pixels, of images on a page


def path_of(upload: Any, what: str = "an image") -> str:
    """The file behind a component's value.

    Raises:
        InputError: there is none, or it does not lie among the uploads.
    """
    path = upload.get("path") if isinstance(upload, dict) else upload
    if not path:
        raise InputError(f"Give {what} first: drop a file, or choose an example.")
    if not isinstance(path, str) or not Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve()):
        raise InputError(f"Give {what} as an upload.")
    return path


def read_image(upload: Any, what: str = "an image", longest: int = LONGEST) -> np.ndarray:
    """(H, W, 3) uint8, read-only, its long side at most ``longest``."""
    return _image(path_of(upload, what), longest)


@lru_cache(16)
def _image(path: str, longest: int) -> np.ndarray:
    image = bounded.read_image(path, longest)
    image.setflags(write=False)
    return image


def new_file(name: str) -> Path:
    """A file to be written for download, in a folder of its own."""
    Path(get_upload_folder()).mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=get_upload_folder())) / name


def points(text: Any, most: int = 32) -> list[tuple[float, float]]:
    """ "x,y; x,y" -> pairs; none for an empty text.

    Raises:
        InputError: anything else, or too many.
    """
    pairs = parse_points(str(text), "Points") if str(text or "").strip() else []
    if len(pairs) > most:
        raise InputError(f"{len(pairs)} points are given; at most {most} are shown at once.")
    return pairs


def written(pairs: list[tuple[float, float]]) -> str:
    """Pairs -> "x,y; x,y"."""
    return "; ".join(f"{x:g},{y:g}" for x, y in pairs)
