"""decord as another decoder of video files, held to the frame numbers of PyAV.

decord's FFmpeg is old and takes no list of demuxers: it opens the playlist where a stream follows one in one file. It
numbers the frames of AVI files with B-frames wrongly, and gives damaged frames by index where groups of frames refer
to each other. So decord only goes through files that begin with the signature of their container and whose packets name
their frames.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmcontrast.data.io.video import Frames, VideoError
from mmcontrast.data.io.video_index import PLAIN_CONTAINERS, FrameTable


def check_decord(name: str, container_name: str, table: FrameTable, is_mirrored: bool) -> None:
    """Refuses a file whose frames decord does not number as PyAV does.

    Args:
        name: What messages call the file.
        container_name: FFmpeg's name of the container.
        table: The frames of the file.
        is_mirrored: Whether frames are shown mirrored.

    Raises:
        VideoError: decord is not used for this file.
    """
    if container_name not in PLAIN_CONTAINERS:
        raise VideoError(f"{name}: decord is used for MP4, MOV, MKV and WebM files only; use 'pyav'")
    if is_mirrored or not table.is_plain or any(packet.is_discarded for packet in table.packets):
        raise VideoError(f"{name}: decord does not number or turn its frames as FFmpeg does; use 'pyav'")


def iterate_decord(path: Path, name: str, count: int, size: tuple[int, int], threads: int) -> Iterator[Frames]:
    """Yields all frames of a file in order, (H, W, 3) uint8.

    Args:
        path: The file.
        name: What messages call the file.
        count: The number of frames that the file must have.
        size: (H, W) that the frames must have.
        threads: Number of decoding threads.

    Raises:
        VideoError: decord is not installed, fails, or gives other frames.
    """
    try:
        import decord

        reader = decord.VideoReader(f"file:{path}", num_threads=threads)
    except Exception as error:  # decord raises its own error type on damaged files
        raise VideoError(f"{name}: decord cannot read it ({type(error).__name__}); use 'pyav'") from error
    if len(reader) != count:
        raise VideoError(f"{name}: decord counts {len(reader)} frames, the file has {count}; use 'pyav'")
    for _ in range(count):
        try:
            frame = reader.next()
        except Exception as error:  # decord raises its own error type on damaged files
            raise VideoError(f"{name}: decord fails ({type(error).__name__}); use 'pyav'") from error
        image: Frames = frame.asnumpy() if hasattr(frame, "asnumpy") else np.asarray(frame)  # the bridge may be torch
        if image.shape[:2] != size:
            shape = f"{image.shape[1]}x{image.shape[0]}, not of {size[1]}x{size[0]}"
            raise VideoError(f"{name}: decord gives frames of {shape}; use 'pyav'")
        yield image
