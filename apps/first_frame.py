"""The first frame of a video: people paint on it and click into it."""

from functools import lru_cache
from io import BytesIO
from typing import Any

import gradio as gr
import numpy as np
import numpy.typing as npt
from gradio.components.image_editor import EditorData
from gradio.utils import LRUCache
from PIL import Image

from mmcontrast.errors import InputError
from mmcontrast.inference import bounded

from .scaled_image import ScaledImage
from .uploads import LONGEST_SIDE, path_of, read_points

# Colors of the brush. Each color paints one object, in the order of the ids from 1.
COLORS = ("#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4")


@lru_cache(8)
def first_frame(path: str) -> ScaledImage:
    """Returns the first frame of a video file, with a long side of at most ``LONGEST_SIDE`` pixels."""
    video = bounded.open_recording(path)
    return ScaledImage(bounded.shrink(video[0], LONGEST_SIDE), video.height, video.width)


def limit_stored_paintings(editor: gr.ImageEditor, limit: int = 64) -> None:
    """Bounds the number of paintings that wait for their event, because Gradio's own store never removes one."""
    editor.blob_storage = LRUCache(limit)


def read_mask(editor: gr.ImageEditor, painting: Any, path: str) -> npt.NDArray[np.uint8]:
    """Reads what was painted on the first frame of a video.

    Args:
        editor: The component that was painted in.
        painting: Its value, as the browser sent it.
        path: Path of the video.

    Returns:
        Object ids in the size of the video, (H, W) uint8: 0 for the background, else 1 + the index of the color in
        ``COLORS``.

    Raises:
        InputError: Nothing is painted, or the painting cannot be read.
    """
    frame, data = first_frame(path), EditorData(**(painting or {}))
    stored = editor.blob_storage.pop(data.id, None) if data.id else None
    layers: list[Any] = (
        stored.layers if stored else [path_of(layer.model_dump(), "a painting") for layer in data.layers]
    )
    mask = np.zeros((frame.height, frame.width), np.uint8)
    for layer in filter(None, layers):
        ids = _layer_ids(layer, frame.pixels.shape[:2])
        resized = np.asarray(Image.fromarray(ids).resize((frame.width, frame.height), Image.Resampling.NEAREST))
        mask = np.where(resized > 0, resized, mask)
    if not mask.any():
        raise InputError("Nothing is painted yet: choose the brush and paint over an object in the first frame.")
    return mask


def required_points(text: str) -> list[tuple[float, float]]:
    """Reads points of the video, in its pixels.

    Raises:
        InputError: The text holds no points.
    """
    points = read_points(text)
    if not points:
        raise InputError("No points are given yet: click into the first frame.")
    return points


def _layer_ids(layer: bytes | str, size: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Converts a painted RGBA layer to ids (H, W) of the displayed size, by the nearest color of the brush."""
    try:
        with Image.open(BytesIO(layer) if isinstance(layer, bytes) else layer) as opened:
            if opened.width * opened.height > 4 * LONGEST_SIDE**2:
                raise InputError(f"The painting has {opened.width}x{opened.height} pixels; the frame has fewer.")
            rgba = opened.convert("RGBA").resize((size[1], size[0]), Image.Resampling.NEAREST)
            pixels = np.asarray(rgba).astype(np.int32)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("The painting cannot be read as an image.") from error
    colors = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in COLORS])  # (C, 3)
    nearest = np.square(pixels[:, :, None, :3] - colors).sum(-1).argmin(-1)  # (H, W)
    return np.where(pixels[..., 3] > 127, nearest + 1, 0).astype(np.uint8)
