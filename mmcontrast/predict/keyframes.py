"""Propagation from annotations at any frames: both ways from each, blended between two of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from torch import Tensor

from mmcontrast.data.io.video import Video
from mmcontrast.errors import InputError
from mmcontrast.predict.label_maps import MAX_OBJECTS, Array, check_mask
from mmcontrast.predict.results import ImageArray

_BLOCK = 16  # frames that are decoded at once
# Returns the soft labels (h, w, C) of frames, the first of which has the annotation of the frame with this number.
Propagate = Callable[[Iterable[ImageArray], int], Iterator[Tensor]]


def check_annotations(masks: Mapping[int, Array], video: Video) -> tuple[dict[int, Array], Array]:
    """Returns masks by frame, in order, and the object ids of all of them.

    Args:
        masks: {number of the frame: (H, W) object ids}. A mask without objects says that they are out of sight.
        video: The video.

    Raises:
        InputError: A frame is outside the video, a mask does not fit, or there are no objects or too many.
    """
    if not masks:
        raise InputError("no annotations; give the mask of at least one frame, such as {0: mask}")
    ids: set[int] = set()
    for frame, mask in masks.items():
        if not isinstance(frame, int | np.integer) or not 0 <= frame < len(video):
            raise InputError(f"mask of frame {frame!r}: {video.name} has the frames 0 to {len(video) - 1}")
        empty = isinstance(mask, np.ndarray) and mask.shape == (video.height, video.width) and not mask.any()
        if not empty or len(masks) == 1:
            ids |= set(check_mask(mask, video.height, video.width, f"mask of frame {frame}").tolist())
    if not ids:
        raise InputError("the masks are empty, every pixel is 0; wanted at least one object")
    if len(ids) > MAX_OBJECTS:
        raise InputError(f"the masks have {len(ids)} objects; at most {MAX_OBJECTS} can be tracked at once")
    return {int(frame): masks[frame] for frame in sorted(masks)}, np.array(sorted(ids))


def propagate_between(video: Video, annotated: Sequence[int], propagate: Propagate) -> Iterator[Tensor | None]:
    """Yields the soft labels of each frame of a video, or None for an annotated frame.

    A frame before the first annotation or after the last one gets its labels from that one. Between two annotations
    the labels of both directions are blended, each weighted per cell by its confidence, the largest label, and by how
    near its annotation is. An annotation therefore has no effect beyond its neighbors. Memory holds the labels of one
    span between annotations.

    Args:
        video: The video.
        annotated: The numbers of the annotated frames, ascending.
        propagate: Propagates one annotation through frames.
    """

    def run(start: int, stop: int) -> Iterator[Tensor]:
        """Yields the labels of the frames after ``start``, up to ``stop`` exclusive, in either direction."""
        labels = propagate(_frames(video, range(start, stop, 1 if stop > start else -1)), start)
        next(labels)
        return labels

    first, last = annotated[0], annotated[-1]
    if first:
        yield from reversed([soft.half() for soft in run(first, -1)])
    for start, end in pairwise(annotated):
        yield None
        if end - start > 1:
            backward = [soft.half() for soft in run(end, start)]
            for number, forward in enumerate(run(start, end), 1):
                yield _blend(forward, backward.pop().float(), number / (end - start))
    yield None
    if last < len(video) - 1:
        yield from run(last, len(video))


def _blend(forward: Tensor, backward: Tensor, position: float) -> Tensor:
    """Returns the mean of labels (h, w, C), weighted by confidence and by the position in [0, 1] between the ends."""
    weight = (1 - position) * forward.amax(2, keepdim=True)  # (h, w, 1)
    other = position * backward.amax(2, keepdim=True)
    return (weight * forward + other * backward) / (weight + other).clamp_min(1e-6)


def _frames(video: Video, numbers: range) -> Iterator[ImageArray]:
    """Yields frames in any order; blocks are decoded at once, since backward decoding is slow."""
    for start in range(0, len(numbers), _BLOCK):
        yield from video.read(numbers[start : start + _BLOCK])
