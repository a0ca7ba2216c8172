"""What a tracker has to beat: standing still, and classical optical flow."""

from collections.abc import Iterator

import cv2
import numpy as np

from mmcontrast.data.io.video import Video
from mmcontrast.predict.track import Points


class IdentityTracker:
    """Every frame keeps the first mask."""

    def iter_masks(self, video: Video, first_mask: np.ndarray) -> Iterator[np.ndarray]:
        """(H, W) uint8 for each frame."""
        return (first_mask for _ in range(len(video)))

    def iter_points(self, video: Video, points: np.ndarray) -> Iterator[Points]:
        """The given points for each frame."""
        return (_certain(points) for _ in range(len(video)))


class FlowTracker:
    """Each mask is the one before, warped by DIS optical flow (Kroeger et al. 2016, 1603.03590), medium preset."""

    def iter_masks(self, video: Video, first_mask: np.ndarray) -> Iterator[np.ndarray]:
        """(H, W) uint8 for each frame."""
        mask: np.ndarray = first_mask.astype(np.uint8)
        for number, flow in enumerate(_backward_flow(video)):
            if number:
                y, x = np.indices(mask.shape, dtype=np.float32)
                mask = cv2.remap(mask, x + flow[..., 0], y + flow[..., 1], cv2.INTER_NEAREST)
            yield mask

    def iter_points(self, video: Video, points: np.ndarray) -> Iterator[Points]:
        """Points of each frame; they move against the flow that leads from the new frame back."""
        places = np.asarray(points, np.float32)
        for number, flow in enumerate(_backward_flow(video)):
            if number:
                x, y = np.round(places).astype(int).T
                places = places - flow[y.clip(0, flow.shape[0] - 1), x.clip(0, flow.shape[1] - 1)]
            yield _certain(places)


def _certain(places: np.ndarray) -> Points:
    return Points(places, np.ones(len(places), np.float32), np.ones(len(places), bool))


def _backward_flow(video: Video) -> Iterator[np.ndarray]:
    """For each frame (H, W, 2): where its pixels were in the frame before, as an offset (x, y); 0 in the first."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    before = None
    for frame in video:
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        still = np.zeros((*gray.shape, 2), np.float32)
        yield still if before is None else np.asarray(dis.calc(gray, before, still))
        before = gray
