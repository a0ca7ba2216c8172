"""Images and videos from strangers: what would cost too much is refused by its header, before anything is decoded."""

from pathlib import Path

import av
import numpy as np

from mmcontrast.data.io.decode import MAX_ASPECT, decode, resize
from mmcontrast.data.io.video import Video, VideoError, VideoFile

MOST_SECONDS = 120
MOST_FRAMES = 3000
MOST_FRAME_PIXELS = 3840 * 2160
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,gif"  # none that names other files, as playlists do


def read_image(path: str | Path, longest: int | None = None) -> np.ndarray:
    """An image file, brought to a long side of at most ``longest`` pixels.

    Returns:
        (H, W, 3) uint8.
    Raises:
        ImageError: see ``mmcontrast.data.io.decode``.
    """
    image = decode(path)
    return image if longest is None else shrunk(image, longest)


def shrunk(image: np.ndarray, longest: int) -> np.ndarray:
    """(H, W, 3) uint8 with a long side of at most ``longest`` pixels."""
    height, width = image.shape[:2]
    scale = min(1, longest / max(height, width))
    return resize(image, max(1, round(height * scale)), max(1, round(width * scale)))


def open_recording(path: str | Path) -> Video:
    """A video file of at most ``MOST_SECONDS``, ``MOST_FRAMES`` and ``MOST_FRAME_PIXELS``.

    Raises:
        VideoError: longer or larger, not a video, or one that consists of other files.
    """
    try:
        with av.open(str(path), options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}) as container:
            if not container.streams.video:
                raise VideoError(f"{path}: has no video stream")
            stream = container.streams.video[0]
            width, height = stream.codec_context.width, stream.codec_context.height
            seconds = (container.duration or 0) / av.time_base
            frames = stream.frames or seconds * float(stream.average_rate or 25)
    except av.FFmpegError as error:
        raise VideoError(f"{path}: cannot be opened as a video ({error.strerror})") from None
    if not width * height:
        raise VideoError(f"{path}: does not say how large its frames are; it may be cut off")
    if width * height > MOST_FRAME_PIXELS or max(width, height) > MAX_ASPECT * min(width, height):
        raise VideoError(f"{path}: has frames of {width}x{height}; at most 3840x2160 are read here")
    if seconds > MOST_SECONDS or frames > MOST_FRAMES:
        raise VideoError(
            f"{path}: takes {seconds:.0f} s and has {frames:.0f} frames; at most {MOST_SECONDS} s and {MOST_FRAMES} "
            "frames are taken here, and the command `mmcontrast predict track` takes any number"
        )
    video = VideoFile(path)
    if len(video) > MOST_FRAMES:  # the header may lie
        raise VideoError(f"{path}: has {len(video)} frames; at most {MOST_FRAMES} are taken here")
    return video
