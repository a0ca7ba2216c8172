"""A writer of videos that play in a browser."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np

from mmcontrast.data.io.video import VideoError


class VideoWriter:
    """A writer of H.264 in MP4, 4:2:0, with the index before the frames; odd sides are padded by one pixel.

    It is a context manager, and the file is complete when the block ends.

    Args:
        path: Path of the file, which ends in .mp4.
        fps: Frames per second; rates below 0.1 are written as 0.1.
        quality: Constant rate factor of x264; lower is better.
    """

    def __init__(self, path: str | Path, fps: float = 25.0, quality: int = 20) -> None:
        self.path, self.fps, self.quality = Path(path), fps, quality
        self.frames = 0

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(self.path), "w", format="mp4", options={"movflags": "faststart"})
        rate = Fraction(max(self.fps, 0.1)).limit_denominator(1001)
        options = {"crf": str(self.quality), "preset": "veryfast"}
        self._stream = self._container.add_stream("libx264", rate=rate, options=options)
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.thread_count = 1
        self._stream.codec_context.colorspace = av.video.reformatter.Colorspace.ITU601  # what the conversion uses
        return self

    def write(self, frame: np.ndarray) -> None:
        """Appends a frame.

        Args:
            frame: RGB, (H, W, 3) uint8, of the size of the first frame.

        Raises:
            VideoError: The frame has another size than the first.
        """
        height, width = frame.shape[:2]
        even = (width + width % 2, height + height % 2)
        if not self.frames:
            self._stream.width, self._stream.height = even
        elif even != (self._stream.width, self._stream.height):
            raise VideoError(
                f"{self.path}: frame {self.frames} is {width}x{height}, the first was "
                f"{self._stream.width}x{self._stream.height}"
            )
        padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        image = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
        self._container.mux(self._stream.encode(image))
        self.frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.frames:
            self._container.mux(self._stream.encode())
        self._container.close()
