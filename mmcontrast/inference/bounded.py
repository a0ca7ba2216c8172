"""Images and videos from strangers: files that would cost too much are refused by their headers, before decoding."""

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from mmcontrast.data.io.decode import MAX_ASPECT, decode
from mmcontrast.data.io.resize import resize
from mmcontrast.data.io.video import Video, VideoError
from mmcontrast.data.io.video_file import CONTAINERS, VideoFile, video_stream

Image = npt.NDArray[np.uint8]
MAX_SECONDS = 120
MAX_FRAMES = 3000
MAX_FRAME_PIXELS = 3840 * 2160
# Streams without a header do not say how long they are.
_HEADERLESS = {"mpegvideo", "h264", "hevc", "m4v"}


def read_image(path: str | Path, max_side: int | None = None) -> Image:
    """Returns an image file as (H, W, 3) uint8.

    Args:
        path: The file.
        max_side: Long side in pixels to which a larger image is reduced. None keeps the size.

    Raises:
        ImageError: The image cannot be read; see ``mmcontrast.data.io.decode``.
    """
    image = decode(path)
    return image if max_side is None else shrink(image, max_side)


def shrink(image: Image, max_side: int) -> Image:
    """Returns an (H, W, 3) uint8 image with a long side of at most ``max_side`` pixels."""
    height, width = image.shape[:2]
    scale = min(1, max_side / max(height, width))
    return resize(image, max(1, round(height * scale)), max(1, round(width * scale)))


def open_recording(path: str | Path) -> Video:
    """Opens a video file of at most ``MAX_SECONDS``, ``MAX_FRAMES`` and ``MAX_FRAME_PIXELS``.

    Raises:
        VideoError: The file is longer or larger, is no video, or consists of other files.
    """
    _check_header(path)
    video = VideoFile(path)
    if len(video) > MAX_FRAMES:  # the header may lie
        raise VideoError(f"{path}: has {len(video)} frames; at most {MAX_FRAMES} are taken here")
    return video


def _check_header(path: str | Path) -> None:
    containers = ",".join(name for name in CONTAINERS.split(",") if name not in _HEADERLESS)
    options = {"format_whitelist": containers, "protocol_whitelist": "file"}
    try:
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            stream = video_stream(container, str(path))
            width, height = stream.codec_context.width, stream.codec_context.height
            seconds = (container.duration or 0) / av.time_base
            frames = stream.frames or seconds * float(stream.average_rate or 25)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path}: cannot be opened as a video ({error.strerror})") from None
    if not width * height:
        raise VideoError(f"{path}: does not say how large its frames are; it may be cut off")
    if width * height > MAX_FRAME_PIXELS or max(width, height) > MAX_ASPECT * min(width, height):
        raise VideoError(f"{path}: has frames of {width}x{height}; at most 3840x2160 are read here")
    if seconds > MAX_SECONDS or frames > MAX_FRAMES:
        raise VideoError(
            f"{path}: takes {seconds:.0f} s and has {frames:.0f} frames; at most {MAX_SECONDS} s and {MAX_FRAMES} "
            "frames are taken here, and the command `mmcontrast predict track` takes any number"
        )
