"""Trackers without learning, which every learned tracker has to beat."""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from mmcontrast.data.io.video import Video
from mmcontrast.predict.label_maps import check_mask, check_points
from mmcontrast.predict.results import ImageArray, TrackedPoints
from mmcontrast.predict.tracker import MaskArray, PointsLike, Tracker, VideoSource, certain, open_with_frames

Flow = npt.NDArray[np.float32]


class IdentityTracker(Tracker):
    """Repeats the first mask or the first points in every frame."""

    def iter_masks(self, video: VideoSource, mask: MaskArray) -> Iterator[ImageArray]:
        """Returns the first mask for each frame; see ``Tracker``."""
        source = open_with_frames(video, 1)
        check_mask(mask, source.height, source.width)
        return (mask.astype(np.uint8) for _ in range(len(source)))

    def iter_points(self, video: VideoSource, points: PointsLike) -> Iterator[TrackedPoints]:
        """Returns the first points for each frame; see ``Tracker``."""
        source = open_with_frames(video, 1)
        xy = check_points(points, source.height, source.width)
        return (certain(xy) for _ in range(len(source)))


class FlowTracker(Tracker):
    """Warps the mask or the points of the frame before by optical flow.

    The flow is DIS (Kroeger et al. 2016, 1603.03590), with OpenCV's medium preset.
    """

    def iter_masks(self, video: VideoSource, mask: MaskArray) -> Iterator[ImageArray]:
        """Returns the warped masks; see ``Tracker``."""
        source = open_with_frames(video, 1)
        check_mask(mask, source.height, source.width)
        return self._warp_mask(source, mask.astype(np.uint8))

    def iter_points(self, video: VideoSource, points: PointsLike) -> Iterator[TrackedPoints]:
        """Returns the points, which move against the flow from the new frame to the one before; see ``Tracker``."""
        source = open_with_frames(video, 1)
        return self._move_points(source, check_points(points, source.height, source.width))

    def _warp_mask(self, video: Video, mask: ImageArray) -> Iterator[ImageArray]:
        for number, flow in enumerate(_backward_flow(video)):
            if number:
                y, x = np.indices(mask.shape, dtype=np.float32)
                mask = np.asarray(cv2.remap(mask, x + flow[..., 0], y + flow[..., 1], cv2.INTER_NEAREST), np.uint8)
            yield mask

    def _move_points(self, video: Video, xy: npt.NDArray[np.float32]) -> Iterator[TrackedPoints]:
        for number, flow in enumerate(_backward_flow(video)):
            if number:
                x, y = np.round(xy).astype(int).T
                xy = xy - flow[y.clip(0, flow.shape[0] - 1), x.clip(0, flow.shape[1] - 1)]
            yield certain(xy)


def _backward_flow(video: Video) -> Iterator[Flow]:
    """Yields (H, W, 2) for each frame: the offset (x, y) of its pixels to the frame before; 0 for the first frame."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    before = None
    for frame in video:
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        still = np.zeros((*gray.shape, 2), np.float32)
        yield still if before is None else np.asarray(dis.calc(gray, before, still), np.float32)
        before = gray
