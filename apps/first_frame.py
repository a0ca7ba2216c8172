"""A video's first frame as it is painted on and clicked into."""

from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from gradio.components.image_editor import EditorData
from gradio.utils import LRUCache
from PIL import Image

from mmcontrast.errors import InputError
from mmcontrast.inference import bounded

from .uploads import LONGEST, path_of, points

COLORS = ("#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4")  # the brush's; each paints one object


class FirstFrame(NamedTuple):
    """What is shown, (H, W, 3) uint8, and the size of the video in pixels."""

    image: np.ndarray
    height: int
    width: int

    def to_video(self, x: float, y: float) -> tuple[float, float]:
        """A pixel of what is shown -> one of the video."""
        scale = self.width / self.image.shape[1]
        return (x + 0.5) * scale - 0.5, (y + 0.5) * self.height / self.image.shape[0] - 0.5

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        """A pixel of the video -> one of what is shown."""
        scale = self.image.shape[1] / self.width
        return (x + 0.5) * scale - 0.5, (y + 0.5) * self.image.shape[0] / self.height - 0.5


@lru_cache(8)
def first_frame(place: str) -> FirstFrame:
    """Of a video file, its long side at most ``LONGEST``."""
    video = bounded.open_recording(place)
    return FirstFrame(bounded.shrunk(video[0], LONGEST), video.height, video.width)


def remember_few(editor: gr.ImageEditor, most: int = 64) -> None:
    """Bounds the paintings that wait for their event; Gradio's own store never forgets one."""
    editor.blob_storage = LRUCache(most)


def mask_of(editor: gr.ImageEditor, painting: Any, place: str) -> np.ndarray:
    """What was painted on the first frame of a video.

    Args:
        editor: where.
        painting: its value as the browser sent it.
        place: the video.
    Returns:
        (H, W) uint8 of the video's size: 0, or 1 + the place of the color in ``COLORS``.
    Raises:
        InputError: nothing is painted, or it cannot be read.
    """
    video, data = first_frame(place), EditorData(**(painting or {}))
    stored = editor.blob_storage.pop(data.id, None) if data.id else None
    sent: list[Any] = stored.layers if stored else [path_of(layer.model_dump(), "a painting") for layer in data.layers]
    mask = np.zeros((video.height, video.width), np.uint8)
    for layer in filter(None, sent):
        ids = _ids(layer, video.image.shape[:2])
        resized = np.asarray(Image.fromarray(ids).resize((video.width, video.height), Image.Resampling.NEAREST))
        mask = np.where(resized > 0, resized, mask)
    if not mask.any():
        raise InputError("Nothing is painted yet: choose the brush and paint over an object in the first frame.")
    return mask


def places_in(text: str) -> list[tuple[float, float]]:
    """Points of the video.

    Raises:
        InputError: none, or no points.
    """
    if not (places := points(text)):
        raise InputError("No points are given yet: click some in the first frame.")
    return places


def _ids(layer: bytes | str, size: tuple[int, int]) -> np.ndarray:
    """A painted layer, RGBA, of the size of what is shown -> (H, W) uint8 ids by the nearest color."""
    try:
        with Image.open(BytesIO(layer) if isinstance(layer, bytes) else layer) as opened:
            if opened.width * opened.height > 4 * LONGEST**2:
                raise InputError(f"The painting has {opened.width}x{opened.height} pixels; the frame has fewer.")
            pixels = np.asarray(opened.convert("RGBA").resize(size[::-1], Image.Resampling.NEAREST)).astype(np.int32)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("The painting cannot be read as an image.") from error
    colors = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in COLORS])  # (C, 3)
    nearest = np.square(pixels[:, :, None, :3] - colors).sum(-1).argmin(-1)  # (H, W)
    return np.where(pixels[..., 3] > 127, nearest + 1, 0).astype(np.uint8)
