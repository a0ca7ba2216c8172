"""Masks, points and colors of a video's first frame, carried through the whole video by the training attention."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmcontrast.data.io.decode import ImageSource, decode
from mmcontrast.data.io.video import Video, VideoError, open_video
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.inference.device import choose_device
from mmcontrast.inference.frame_features import FrameFeatures
from mmcontrast.methods.base import Method
from mmcontrast.ops.affinity import propagate
from mmcontrast.predict import label_maps
from mmcontrast.predict.presets import preset_named

VideoSource = str | Path | np.ndarray | Video


class Points(NamedTuple):
    """Where tracked points are; the leading axis T is there for a whole video.

    Attributes:
        xy: (T, N, 2) pixels.
        confidence: (T, N) in [0, 1], 1 in the first frame: what is left of the point's mark.
        visible: (T, N) bool, confidence of at least ``LabelPropagator.visible_from``.
    """

    xy: np.ndarray
    confidence: np.ndarray
    visible: np.ndarray


class LabelPropagator:
    """Tracks by copying labels from earlier frames to the cells that look alike.

    A video is a path, a folder of frames, a (T, H, W, 3) uint8 array, or an open ``Video``.  The methods that begin
    with ``iter`` give one frame at a time and hold only the context in memory, however long the video is.

    Args:
        model: an encoder, a method, or the name of one (``mmcontrast.load``); "lab" is raw colors, no learning.
        features: "lab" in place of a model, the same.
        preset: dino, crw, mast, dinov3 or vondrick (``presets.PRESETS``); the next four change it.
        context: number of last frames in memory, beside the preset's anchors.
        topk: cells to copy from.
        radius: of the window, in cells.
        temperature: of the softmax over similarities.
        resolution: short side in pixels at which frames are seen; None: the video's own.
        dtype: torch.bfloat16 halves memory and is faster where the hardware multiplies it.
        device: where to run; None: CUDA where there is one, else the CPU.
    Raises:
        InputError: neither or both of model and features, or an impossible setting.
    """

    visible_from = 0.1

    def __init__(
        self,
        model: Encoder | Method | str | Path | None = None,
        *,
        features: Literal["lab"] | None = None,
        preset: str = "dino",
        context: int | None = None,
        topk: int | None = None,
        radius: float | None = None,
        temperature: float | None = None,
        resolution: int | None = 480,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device | None = None,
    ) -> None:
        if (model is None) == (features is None):
            raise InputError("give either a model or features='lab'")
        if features not in (None, "lab"):
            raise InputError(f"features is {features!r}; the only features without a model are 'lab'")
        if resolution is not None and resolution < 16:
            raise InputError(f"resolution is {resolution}; wanted at least 16 pixels")
        self.device = choose_device(device)
        encoder = _encoder(features if model is None else model)
        self.preset = preset_named(preset).changed(context, topk, radius, temperature)
        self.features = FrameFeatures(encoder, resolution, self.preset.unit, dtype).to(self.device).eval()

    def masks(self, video: VideoSource, first_mask: np.ndarray) -> np.ndarray:
        """Object ids in every frame, (T, H, W) uint8; see ``iter_masks``."""
        return np.stack(list(self.iter_masks(video, first_mask)))

    def iter_masks(self, video: VideoSource, first_mask: np.ndarray) -> Iterator[np.ndarray]:
        """Object ids frame by frame.

        Args:
            video: the video, at least two frames.
            first_mask: (H, W) ids of up to 254 objects in the first frame, 0 for the background.
        Yields:
            (H, W) uint8 with the same ids; the first is the given mask.
        Raises:
            InputError: a mask that does not fit the video; VideoError: a video that cannot be used.
        """
        source = _video(video)
        ids = label_maps.check_mask(first_mask, source.height, source.width)
        labels = self._stream(source, lambda _, grid: label_maps.mask_to_labels(first_mask, ids, grid, self.device))
        next(labels)
        yield first_mask.astype(np.uint8)
        for _, soft in labels:
            yield label_maps.labels_to_mask(soft, ids, source.height, source.width, self.preset.stretch).cpu().numpy()

    def points(self, video: VideoSource, points: Sequence[tuple[float, float]] | np.ndarray) -> Points:
        """Places of points in every frame; see ``iter_points``."""
        frames = list(self.iter_points(video, points))
        return Points(*(np.stack(column) for column in zip(*frames, strict=True)))

    def iter_points(self, video: VideoSource, points: Sequence[tuple[float, float]] | np.ndarray) -> Iterator[Points]:
        """Places of points frame by frame.

        Args:
            video: the video, at least two frames.
            points: N points (x, y) in the first frame, in pixels, centers at integers.
        Yields:
            ``Points`` without the leading axis; the first are the given ones.
        Raises:
            InputError: a point outside the frame; VideoError: a video that cannot be used.
        """
        source = _video(video)
        places = np.asarray(points, dtype=np.float32)
        label_maps.check_points(places, source.height, source.width)
        size = (source.height, source.width)
        labels = self._stream(source, lambda _, grid: label_maps.points_to_labels(places, size, grid, self.device))
        next(labels)
        yield Points(places, np.ones(len(places), np.float32), np.ones(len(places), bool))
        for _, soft in labels:
            xy, peak = (values.cpu().numpy() for values in label_maps.labels_to_points(soft, size))
            yield Points(xy, peak, peak >= self.visible_from)

    def colors(self, video: VideoSource, first_frame: ImageSource | None = None) -> np.ndarray:
        """The video in color, (T, H, W, 3) uint8; see ``iter_colors``."""
        return np.stack(list(self.iter_colors(video, first_frame)))

    def iter_colors(self, video: VideoSource, first_frame: ImageSource | None = None) -> Iterator[np.ndarray]:
        """Colors a gray video frame by frame from its first frame; all frames are compared by their luminance only.

        Args:
            video: the video, at least two frames.
            first_frame: the first frame in color, an image of the video's size; None: the video's own first frame is
                colored.
        Yields:
            (H, W, 3) uint8 RGB: the frame's lightness with colors from before.
        Raises:
            InputError: a first frame of another size or without color; VideoError: a video that cannot be used.
        """
        source = _video(video)
        given = None if first_frame is None else decode(first_frame)
        if given is not None:
            label_maps.check_size(given, source.height, source.width, "the color frame")

        def first(frame: np.ndarray, grid: tuple[int, int]) -> Tensor:
            colored = frame if given is None else given
            if np.ptp(colored, axis=2).max() < 8:  # what chroma compression leaves of gray
                raise InputError(f"{source.name}: the first frame has no colors; give one in color")
            return label_maps.color_to_labels(colored, grid, self.device)

        for number, (frame, soft) in enumerate(self._stream(source, first, gray=True)):
            if number == 0:
                yield frame if given is None else given
            else:
                yield label_maps.labels_to_color(soft, frame).cpu().numpy()

    @torch.inference_mode()
    def _stream(
        self, video: Video, first: Callable[[np.ndarray, tuple[int, int]], Tensor], gray: bool = False
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """(frame, soft labels (h, w, C)) one by one; memory holds what later frames still look at."""
        preset = self.preset
        memory: dict[int, tuple[Tensor, Tensor]] = {}
        for number, frame in enumerate(video):
            features = self.features(frame, gray)  # (h, w, D)
            if number == 0:
                labels = first(frame, (features.shape[0], features.shape[1]))
            else:
                keys, known = zip(*(memory[s] for s in preset.context(number)), strict=True)
                labels = propagate(
                    features, keys, known, preset.temperature, preset.topk, preset.window, preset.everywhere
                )
            memory[number] = features, labels
            wanted = {*preset.anchors, *(number + 1 - d for d in range(1, max(preset.recent) + 1))}
            memory = {s: kept for s, kept in memory.items() if s in wanted}
            yield frame, labels


def default_model() -> str:
    """What tracks best of what comes with this package."""
    from mmcontrast.models.loading import bundled

    return next((name for name in ("track-lite", "clip-lite") if name in bundled()), "lab")


def _encoder(model: Encoder | Method | str | Path | None) -> Encoder:
    if isinstance(model, str | Path):
        from mmcontrast.models.loading import load_encoder

        return load_encoder(model).for_dense_tasks()
    assert model is not None  # the constructor has checked
    return (model.encoder if isinstance(model, Method) else model).for_dense_tasks()


def _video(video: VideoSource) -> Video:
    source = open_video(video)
    if len(source) < 2:
        raise VideoError(f"{source.name}: has one frame; tracking needs at least two")
    return source
