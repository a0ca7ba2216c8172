"""Masks, points and colors of a video's first frame, propagated through the video by the affinity of features."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mmcontrast.data.io.decode import ImageSource, decode
from mmcontrast.data.io.video import Video, VideoError
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.inference.checks import check_at_least
from mmcontrast.inference.device import inference_in
from mmcontrast.inference.frame_features import FrameFeatures
from mmcontrast.methods.base import Method
from mmcontrast.ops.affinity import propagate
from mmcontrast.predict import label_maps
from mmcontrast.predict.base import Model, Predictor, image_encoder
from mmcontrast.predict.keyframes import check_annotations, propagate_between
from mmcontrast.predict.presets import preset_named
from mmcontrast.predict.results import ColoredImage, ImageArray, Result, TrackedMask, TrackedPoints
from mmcontrast.predict.tracker import MaskArray, PointsLike, Tracker, VideoSource, certain, open_with_frames

Masks = MaskArray | Mapping[int, MaskArray]
Tracked = TrackedMask | TrackedPoints | ColoredImage


class LabelPropagator(Tracker, Predictor[Tracked]):
    """Tracks by copying labels from earlier frames to the cells whose features are similar.

    ``track(video, mask=...)`` and ``track.stream(video, mask=...)`` return one result per frame, as for every
    ``Predictor``; so with ``points`` or ``color``. ``masks``, ``points`` and ``colors`` return arrays of a whole video.
    The methods that begin with ``iter`` hold only the context in memory, however long the video is.

    Example:
        >>> import numpy as np
        >>> video = np.random.default_rng(0).integers(0, 255, (3, 64, 96, 3), np.uint8)
        >>> mask = np.zeros((64, 96), np.uint8)
        >>> mask[20:40, 30:60] = 1
        >>> track = LabelPropagator("lab", resolution=64)
        >>> track.masks(video, mask).shape
        (3, 64, 96)
        >>> track.points(video, [(40, 30)]).xy.shape
        torch.Size([3, 1, 2])

    Args:
        model: See ``Predictor``; "lab" compares raw colors.
        device: See ``Predictor``.
        batch_size: Number of frames that the encoder gets at once.
        resolution: Short side in pixels at which frames are seen. None stands for the video's own.
        dtype: See ``Predictor``; the features in memory have this dtype too.
        preset: dino, crw, mast, dinov3 or vondrick (``presets.PRESETS``); the next four options change it.
        context: Number of last frames in memory, beside the preset's anchors.
        topk: Number of cells to copy from.
        radius: Radius of the search window in cells.
        temperature: Temperature of the softmax over similarities.
        max_cycle_error: Also requires of a visible point that its nearest neighbor in the first frame lies within this
            number of cells of where the point started. With track-lite and 3 cells, 83 % of hidden points are noticed
            instead of 65 %, and 96 % of visible ones stay visible instead of 98 % (photographs shifted behind an
            occluder). None requires nothing; raw colors are too ambiguous for it.

    Attributes:
        visible_from: The confidence from which a point counts as visible.

    Raises:
        InputError: The model has no image encoder, or an option is out of range.
    """

    model: Encoder
    visible_from = 0.1

    def __init__(
        self,
        model: Model,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 1,
        resolution: int | None = 480,
        dtype: torch.dtype | str | None = None,
        preset: str = "dino",
        context: int | None = None,
        topk: int | None = None,
        radius: float | None = None,
        temperature: float | None = None,
        max_cycle_error: float | None = None,
    ) -> None:
        check_at_least("resolution", resolution, 16)
        check_at_least("max_cycle_error", max_cycle_error, 0)
        self.preset = preset_named(preset).changed(context, topk, radius, temperature)
        super().__init__(model, device=device, batch_size=batch_size, resolution=resolution, dtype=dtype)
        self.max_cycle_error = max_cycle_error
        self.features = FrameFeatures(self.model, resolution, self.preset.l2_normalize, self.dtype)

    def stream(
        self,
        video: VideoSource,
        /,
        mask: Masks | None = None,
        points: PointsLike | None = None,
        color: ImageSource | bool = False,
    ) -> Iterator[Result[Tracked]]:
        """Yields one result per frame. If the video cannot be read to its end, the last result has the error.

        Args:
            video: The video, at least two frames.
            mask: (H, W) object ids of the first frame, or {number: ids} of any frames, for a ``TrackedMask`` per frame.
            points: N points (x, y) of the first frame, for ``TrackedPoints`` per frame.
            color: The first frame in color, or True for that of the video, for a ``ColoredImage`` per frame.

        Returns:
            An iterator over the results; ``item`` is the number of the frame.

        Raises:
            InputError: None or several of mask, points and color are there, or they do not fit the video.
        """
        if (mask is not None) + (points is not None) + (color is not False) != 1:
            raise InputError("give one of mask, points and color: what the first frame shows")
        frames: Iterator[Tracked]
        try:
            source = open_with_frames(video)
        except VideoError as error:
            return iter([Result(0, error=str(error))])
        if mask is not None:
            frames = (TrackedMask(ids) for ids in self.iter_masks(source, mask))
        elif points is not None:
            frames = self.iter_points(source, points)
        else:
            first_frame = None if isinstance(color, bool) else color
            frames = (ColoredImage(frame) for frame in self.iter_colors(source, first_frame))
        return _results(frames)

    def iter_masks(self, video: VideoSource, mask: Masks) -> Iterator[ImageArray]:
        """Returns the object ids frame by frame, of up to 254 objects.

        Args:
            video: The video, at least two frames.
            mask: (H, W) ids of the objects in the first frame, 0 for the background; or {number of the frame: mask} for
                annotations at any frames, which are propagated both ways and blended between two of them.

        Returns:
            An iterator over (H, W) uint8 masks with the same ids; an annotated frame has its annotation.

        Raises:
            InputError: A mask does not fit the video.
            VideoError: The video cannot be read.
        """
        source = open_with_frames(video)
        size = (source.height, source.width)
        masks, ids = check_annotations(mask if isinstance(mask, Mapping) else {0: mask}, source)

        only_first = list(masks) == [0]
        stretch_first = (
            self.preset.stretch and not only_first
        )  # an object that one direction lacks keeps its weak labels

        def propagated(frames: Iterable[ImageArray], annotated: int) -> Iterator[Tensor]:
            first = lambda _, grid: label_maps.mask_to_labels(masks[annotated], ids, grid, self.device)
            labels = (soft for _, _, soft in self._propagate(frames, first))
            return map(label_maps.stretched, labels) if stretch_first else labels

        def to_mask(soft: Tensor) -> ImageArray:
            stretch = self.preset.stretch and only_first
            ids_of_frame: ImageArray = label_maps.labels_to_mask(soft, ids, *size, stretch).cpu().numpy()
            return ids_of_frame

        if only_first:
            labels: Iterator[Tensor | None] = (soft if n else None for n, soft in enumerate(propagated(source, 0)))
        else:
            labels = propagate_between(source, list(masks), propagated)
        return (masks[n].astype(np.uint8) if soft is None else to_mask(soft) for n, soft in enumerate(labels))

    def masks(self, video: VideoSource, mask: Masks) -> ImageArray:
        """Returns the object ids in every frame, (T, H, W) uint8; see ``iter_masks``."""
        return np.stack(list(self.iter_masks(video, mask)))

    def iter_points(self, video: VideoSource, points: PointsLike) -> Iterator[TrackedPoints]:
        """Returns the positions of points frame by frame; see ``Tracker``."""
        source = open_with_frames(video)
        return self._points(source, label_maps.check_points(points, source.height, source.width))

    def colors(self, video: VideoSource, first_frame: ImageSource | None = None) -> ImageArray:
        """Returns the video in color, (T, H, W, 3) uint8; see ``iter_colors``."""
        return np.stack(list(self.iter_colors(video, first_frame)))

    def iter_colors(self, video: VideoSource, first_frame: ImageSource | None = None) -> Iterator[ImageArray]:
        """Returns a gray video in color frame by frame. All frames are compared by their luminance only.

        Args:
            video: The video, at least two frames.
            first_frame: The first frame in color, an image of the video's size. None stands for the video's own first
                frame, which must have colors.

        Returns:
            An iterator over (H, W, 3) uint8 RGB: the lightness of the frame with propagated colors.

        Raises:
            InputError: The first frame has another size than the video, or no color.
            VideoError: The video cannot be read.
        """
        source = open_with_frames(video)
        known = None if first_frame is None else decode(first_frame)
        if known is not None:
            label_maps.check_size(known, source.height, source.width, "the color frame")
            _check_color(known, source.name)

        def to_labels(frame: ImageArray, grid: tuple[int, int]) -> Tensor:
            colored = frame if known is None else known
            _check_color(colored, source.name)
            return label_maps.color_to_labels(colored, grid, self.device)

        def to_image(number: int, frame: ImageArray, soft: Tensor) -> ImageArray:
            if number == 0:
                return frame if known is None else known
            image: ImageArray = label_maps.labels_to_color(soft, frame).cpu().numpy()
            return image

        frames = enumerate(self._propagate(source, to_labels, gray=True))
        return (to_image(number, frame, soft) for number, (frame, _, soft) in frames)

    def _adapt(self, model: Method | Encoder) -> nn.Module:
        return image_encoder(model).for_dense_tasks()

    def _points(self, video: Video, first_xy: npt.NDArray[np.float32]) -> Iterator[TrackedPoints]:
        """Yields the points of each frame."""
        size = (video.height, video.width)
        to_labels = lambda _, grid: label_maps.points_to_labels(first_xy, size, grid, self.device)
        first_features: Tensor | None = None
        for _, features, soft in self._propagate(video, to_labels):
            if first_features is None:
                first_features = features
                yield certain(first_xy)
                continue
            xy, peak = label_maps.labels_to_points(soft, size)
            visible = peak >= self.visible_from
            if self.max_cycle_error is not None:
                start = torch.from_numpy(first_xy).to(xy)
                visible &= label_maps.cycle_errors(first_features, features, start, xy, size) <= self.max_cycle_error
            yield TrackedPoints(xy.cpu(), peak.cpu(), visible.cpu())

    def _propagate(
        self,
        frames: Iterable[ImageArray],
        first: Callable[[ImageArray, tuple[int, int]], Tensor],
        gray: bool = False,
    ) -> Iterator[tuple[ImageArray, Tensor, Tensor]]:
        """Yields (frame, features (h, w, D), labels (h, w, C)); memory holds the frames that later ones copy from."""
        preset = self.preset
        memory: dict[int, tuple[Tensor, Tensor]] = {}
        for number, (frame, features) in enumerate(self._encoded(frames, gray)):
            with torch.inference_mode():
                if number == 0:
                    labels = first(frame, (features.shape[0], features.shape[1]))
                else:
                    keys, known = zip(*(memory[s] for s in preset.context(number)), strict=True)
                    labels = propagate(
                        features, keys, known, preset.temperature, preset.topk, preset.window, preset.everywhere
                    )
            memory[number] = features, labels
            needed = {*preset.anchors, *(number + 1 - d for d in range(1, max(preset.recent) + 1))}
            memory = {index: entry for index, entry in memory.items() if index in needed}
            yield frame, features, labels

    def _encoded(self, frames: Iterable[ImageArray], gray: bool) -> Iterator[tuple[ImageArray, Tensor]]:
        """Yields (frame, features (h, w, D)); the encoder gets ``batch_size`` frames at once."""
        remaining = iter(frames)
        while batch := list(islice(remaining, self.batch_size)):
            with inference_in(self.device, self.dtype):
                if len(batch) == 1:
                    features = [self.features(batch[0], gray)]
                else:
                    features = [part.clone() for part in self.features(np.stack(batch), gray)]
            yield from zip(batch, features, strict=True)


def default_model() -> str:
    """Returns the name of the best bundled model for tracking, or "lab" if there is none."""
    from mmcontrast.models import bundled

    return next((name for name in ("track-lite", "clip-lite") if name in bundled()), "lab")


def _check_color(frame: ImageArray, name: str) -> None:
    if np.ptp(frame, axis=2).max() < 8:  # chroma compression leaves a little color in gray frames
        raise InputError(f"{name}: the first frame has no colors; give one in color")


def _results(frames: Iterator[Any]) -> Iterator[Result[Any]]:
    number = 0
    try:
        for value in frames:
            yield Result(number, value)
            number += 1
    except InputError as error:
        yield Result(number, error=str(error))
