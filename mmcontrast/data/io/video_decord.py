"""decord as another decoder of video files, held to the frame numbers of PyAV.

Its FFmpeg is of 2019 and takes no list of demuxers: it opens the playlist where a stream follows one in one file, and
it numbers the frames of AVI files with B-frames wrongly.  So it gets only files that begin with the signature of their
container and whose packets name their frames.
"""

from pathlib import Path
from typing import Any

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


def open_decord(path: Path, name: str, count: int, threads: int) -> Any:
    """Returns a decord reader of a file.

    Args:
        path: The file.
        name: What messages call the file.
        count: The number of frames that the reader must have.
        threads: Number of decoding threads.

    Raises:
        VideoError: decord is not installed, fails, or counts other frames.
    """
    try:
        import decord

        reader = decord.VideoReader(f"file:{path}", num_threads=threads)
    except Exception as error:  # decord raises its own error type on damaged files
        raise VideoError(f"{name}: decord cannot read it ({type(error).__name__}); use 'pyav'") from error
    if len(reader) != count:
        raise VideoError(f"{name}: decord counts {len(reader)} frames, the file has {count}; use 'pyav'")
    return reader


def read_decord(reader: Any, name: str, indices: list[int], size: tuple[int, int]) -> Frames:
    """Returns frames by number, (N, H, W, 3) uint8.

    Args:
        reader: What ``open_decord`` returned.
        name: What messages call the file.
        indices: N numbers of frames.
        size: (H, W) that the frames must have.

    Raises:
        VideoError: decord fails, or its frames have another size.
    """
    try:
        batch = reader.get_batch(indices)
    except Exception as error:  # decord raises its own error type on damaged files
        raise VideoError(f"{name}: decord fails ({type(error).__name__}); use 'pyav'") from error
    frames: Frames = batch.asnumpy() if hasattr(batch, "asnumpy") else np.asarray(batch)  # the bridge may be torch
    if frames.shape[1:3] != size:
        raise VideoError(
            f"{name}: decord gives frames of {frames.shape[2]}x{frames.shape[1]}, not of {size[1]}x{size[0]}; "
            "use 'pyav'"
        )
    return frames
