"""One reader for videos, whatever they come as: video files, folders of frames, arrays.

Frames are (H, W, 3) uint8 RGB, turned upright, and a frame's name is its number in the order of presentation.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mmcontrast.data.io.decode import EXTENSIONS, ImageError, decode
from mmcontrast.data.io.folders import natural_order
from mmcontrast.errors import InputError

Backend = Literal["auto", "decord", "pyav"]
Frames = npt.NDArray[np.uint8]


class VideoError(InputError):
    """A video that cannot be used; the message names it and says why."""


class Video:
    """A video as numbered frames.

    Attributes:
        name: What messages call the video.
        times: (T,) seconds of each frame since the first, ascending.
        times_known: Whether ``times`` are those that the video states; otherwise they follow from the frame rate.
        height: Height of the upright frames in pixels.
        width: Width of the upright frames in pixels.
        problem: One sentence about what was lost, when the video is damaged; None for a sound one.
    """

    name: str
    times: npt.NDArray[np.float64]
    times_known: bool = False
    height: int
    width: int
    problem: str | None = None

    def __len__(self) -> int:
        return len(self.times)

    @property
    def fps(self) -> float:
        """The mean number of frames per second."""
        return float((len(self) - 1) / self.times[-1]) if len(self) > 1 and self.times[-1] > 0 else 25.0

    def __getitem__(self, index: int) -> Frames:
        """Returns one frame, (H, W, 3) uint8; negative numbers count from the end."""
        frame: Frames = self.read([index])[0]
        return frame

    def __iter__(self) -> Iterator[Frames]:
        """Yields all frames in order, with one at a time in memory."""
        return (self[i] for i in range(len(self)))

    def read(self, indices: Sequence[int]) -> Frames:
        """Returns frames by number; each is decoded once.

        Args:
            indices: N numbers of frames, in any order and with repeats; negative numbers count from the end.

        Returns:
            (N, H, W, 3) uint8.

        Raises:
            IndexError: The video has no frame of such a number.
            VideoError: A frame cannot be decoded.
        """
        if outside := [i for i in indices if not -len(self) <= i < len(self)]:
            raise IndexError(f"{self.name} has {len(self)} frames; asked for {outside}")
        distinct, positions = np.unique([i % len(self) for i in indices], return_inverse=True)
        return self._decode(distinct.tolist())[positions]

    def _decode(self, indices: list[int]) -> Frames:
        """Returns the frames of ascending distinct numbers, (N, H, W, 3) uint8."""
        raise NotImplementedError


class FrameArray(Video):
    """A video whose frames are in memory.

    Args:
        frames: (T, H, W, 3) uint8.
        fps: Frames per second.
        name: What messages call the video.

    Raises:
        VideoError: The array has another shape or type, or holds no pixels.
    """

    def __init__(self, frames: Frames, fps: float = 25.0, name: str = "array") -> None:
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise VideoError(f"{name}: has shape {frames.shape} and type {frames.dtype}; wanted (T, H, W, 3) uint8")
        if not frames.size:
            raise VideoError(f"{name}: holds no pixels, shape {frames.shape}")
        self.name, self._frames = name, frames
        self.times = np.arange(len(frames)) / fps
        self.height, self.width = frames.shape[1:3]

    def _decode(self, indices: list[int]) -> Frames:
        return self._frames[indices]


class FrameFolder(Video):
    """A video as a folder of images of one size, in the order of the numbers in their names.

    Hidden files, such as the ``._1.png`` that macOS leaves, are not frames.

    Args:
        folder: The folder.
        fps: Frames per second.

    Raises:
        VideoError: The folder holds no images, or the first one cannot be read.
    """

    def __init__(self, folder: str | Path, fps: float = 25.0) -> None:
        self.name = str(folder)
        self.paths = sorted((p for p in Path(folder).iterdir() if _is_frame(p)), key=lambda p: natural_order(p.name))
        if not self.paths:
            raise VideoError(f"{folder}: holds no images; wanted frames such as 00000.jpg, 00001.jpg")
        self.times = np.arange(len(self.paths)) / fps
        self.height, self.width = _read_image(self.paths[0]).shape[:2]

    def _decode(self, indices: list[int]) -> Frames:
        frames = [_read_image(self.paths[i]) for i in indices]
        for i, frame in zip(indices, frames, strict=True):
            if frame.shape[:2] != (self.height, self.width):
                raise VideoError(
                    f"{self.paths[i]}: is {frame.shape[1]}x{frame.shape[0]}, but the first frame of the video is "
                    f"{self.width}x{self.height}"
                )
        return np.stack(frames)


class CurrentFrame(Video):
    """A video that remembers the frame it gave last, for a caller that draws on what another one reads.

    Args:
        video: The video to read from.

    Attributes:
        frame: (H, W, 3) uint8, the frame that the iteration gave last.
    """

    frame: Frames

    def __init__(self, video: Video) -> None:
        self._video = video
        self.name, self.height, self.width = video.name, video.height, video.width
        self.times, self.times_known = video.times, video.times_known

    @property
    def problem(self) -> str | None:  # type: ignore[override]
        """The problem of the video that is read."""
        return self._video.problem

    def __iter__(self) -> Iterator[Frames]:
        for frame in self._video:
            self.frame = frame
            yield frame

    def _decode(self, indices: list[int]) -> Frames:
        return self._video.read(indices)


def open_video(source: str | Path | Frames | Video, backend: Backend = "auto") -> Video:
    """Opens whatever holds a video.

    Args:
        source: The path of a video file, a folder of frames, a (T, H, W, 3) uint8 array, or an open video.
        backend: What decodes a video file; see ``VideoFile``.

    Returns:
        The video.

    Raises:
        VideoError: The source is not a video that can be read; the message names it and the reason.
    """
    if isinstance(source, Video):
        return source
    if isinstance(source, np.ndarray):
        return FrameArray(source)
    if Path(source).is_dir():
        return FrameFolder(source)
    from mmcontrast.data.io.video_file import VideoFile  # FFmpeg is loaded only where a video file is read

    return VideoFile(source, backend)


def _is_frame(path: Path) -> bool:
    return path.suffix.lower()[1:] in EXTENSIONS and not path.name.startswith(".")


def _read_image(path: Path) -> Frames:
    try:
        return decode(path)
    except ImageError as error:
        raise VideoError(str(error)) from error
