"""One reader for videos, whatever they come as: video files, folders of frames, arrays.

Frames are (H, W, 3) uint8 RGB, turned upright.  A video file is opened where it is read, once per process, so readers
travel through pickles and forks.
"""

import bisect
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np

from mmcontrast.data.io.decode import EXTENSIONS, MAX_PIXELS, ImageError, decode
from mmcontrast.errors import InputError

Backend = Literal["decord", "pyav"]
# FFmpeg's demuxers that may open a file: none of them follows names of other files or addresses, as those of playlists
# (HLS, DASH, ffconcat), SDP and numbered images do.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,gif,mxf,nut,ivf,yuv4mpegpipe"
# Those that begin with their signature, all that decord gets: its older FFmpeg takes no list of demuxers, and where
# a stream follows a playlist in one file it opens the playlist.
_SIGNED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi")


class VideoError(InputError):
    """A video that cannot be used; the message names it and says why."""


class Video:
    """A video as numbered frames.

    Attributes:
        name: what messages call it.
        times: (T,) seconds of each frame since the first.
        height, width: of the upright frames, in pixels.
        problem: what was lost, in words, when the video is damaged; None for a sound one.
    """

    name: str
    times: np.ndarray
    height: int
    width: int
    problem: str | None = None

    def __len__(self) -> int:
        return len(self.times)

    @property
    def fps(self) -> float:
        """Mean number of frames per second."""
        return (len(self) - 1) / self.times[-1] if len(self) > 1 and self.times[-1] > 0 else 25.0

    def __getitem__(self, index: int) -> np.ndarray:
        """One frame, (H, W, 3) uint8; negative numbers count from the end."""
        return self.read([index])[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        """All frames in order, one at a time in memory."""
        return (self[i] for i in range(len(self)))

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Frames by number, in any order and with repeats -> (N, H, W, 3) uint8; each is decoded once."""
        if outside := [i for i in indices if not -len(self) <= i < len(self)]:
            raise IndexError(f"{self.name} has {len(self)} frames; asked for {outside}")
        wanted, places = np.unique([i % len(self) for i in indices], return_inverse=True)
        return self._decode(wanted.tolist())[places]

    def _decode(self, indices: list[int]) -> np.ndarray:
        """Sorted distinct frame numbers -> (N, H, W, 3) uint8."""
        raise NotImplementedError


class FrameArray(Video):
    """Frames that are in memory: (T, H, W, 3) uint8."""

    def __init__(self, frames: np.ndarray, fps: float = 25.0, name: str = "array") -> None:
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise VideoError(f"{name}: has shape {frames.shape} and type {frames.dtype}; wanted (T, H, W, 3) uint8")
        if not frames.size:
            raise VideoError(f"{name}: holds no pixels, shape {frames.shape}")
        self.name, self._frames = name, frames
        self.times = np.arange(len(frames)) / fps
        self.height, self.width = frames.shape[1:3]

    def _decode(self, indices: list[int]) -> np.ndarray:
        return self._frames[indices]


class FrameFolder(Video):
    """A folder of images of one size, in the order of the numbers in their names."""

    def __init__(self, folder: str | Path, fps: float = 25.0) -> None:
        self.name = str(folder)
        self.paths = sorted((p for p in Path(folder).iterdir() if p.suffix.lower()[1:] in EXTENSIONS), key=_natural)
        if not self.paths:
            raise VideoError(f"{folder}: holds no images; wanted frames such as 00000.jpg, 00001.jpg")
        self.times = np.arange(len(self.paths)) / fps
        self.height, self.width = _image(self.paths[0]).shape[:2]

    def _decode(self, indices: list[int]) -> np.ndarray:
        frames = [_image(self.paths[i]) for i in indices]
        for i, frame in zip(indices, frames, strict=True):
            if frame.shape[:2] != (self.height, self.width):
                raise VideoError(
                    f"{self.paths[i]}: is {frame.shape[1]}x{frame.shape[0]}, but the first frame of the video is "
                    f"{self.width}x{self.height}"
                )
        return np.stack(frames)


class VideoFile(Video):
    """A video file, through PyAV.

    The file's packets are listed once (no decoding), which gives the number of frames and their time stamps also where
    the header is wrong, the frame rate varies or the end is missing.

    Args:
        path: the file.
        backend: "decord" lets decord give frames by number, the same ones: faster where many far apart are wanted of
            a file with many key frames, slower to open and for a few in a row (tests/benchmarks/bench_video_reader.py).
        threads: decoding threads.
    Raises:
        VideoError: no such file, empty, not a video, one that names other files (a playlist), without a video stream,
            or without one frame that decodes.
    """

    def __init__(self, path: str | Path, backend: Backend = "pyav", threads: int = 1) -> None:
        if backend not in ("decord", "pyav"):
            raise InputError(f"backend is {backend!r}; wanted 'decord' or 'pyav'")
        self.name, self.path, self.backend, self.threads = str(path), Path(path), backend, threads
        if not self.path.is_file():
            raise VideoError(f"{path}: no such file")
        if not self.path.stat().st_size:
            raise VideoError(f"{path}: is empty (0 bytes)")
        self._handles: dict[int, Any] = {}  # process id -> decord reader or PyAV container; a fork must not inherit one
        with self._open() as container:
            stream = _video_stream(container, self.name)
            self._stamps, self._keys = _stamps(container, stream)
            if backend == "decord" and container.format.name not in _SIGNED:
                raise VideoError(f"{path}: decord is used for MP4, MOV, MKV, WebM and AVI files only; use 'pyav'")
            declared, tick = stream.frames, float(stream.time_base or 1)
            if not self._stamps:
                raise VideoError(f"{path}: holds no complete frame" + (f" of {declared}" if declared else ""))
            first = next(self._frames(container, 0), None)
            if first is None:
                raise VideoError(f"{path}: none of its {len(self._stamps)} frames can be decoded")
            self.height, self.width = _upright(first[1]).shape[:2]
        self.times = (np.array(self._stamps) - self._stamps[0]) * tick
        if declared - len(self) > 1:  # some writers count one frame too many
            self.problem = f"{path}: ends early; {len(self)} of {declared} frames are there"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handles": {}}

    def __iter__(self) -> Iterator[np.ndarray]:
        """All frames in order; where one cannot be decoded the one before stands in, and ``problem`` tells how many."""
        done, last, lost = 0, None, 0
        with self._open() as container:
            for index, decoded in self._frames(container):
                frame, missing = _upright(decoded), index - done
                if missing > 0:
                    lost += missing
                    yield from [frame if last is None else last] * missing
                yield frame
                done, last = index + 1, frame
        lost += len(self) - done
        if lost:
            self.problem = f"{self.name}: {lost} of {len(self)} frames cannot be decoded"

    def _open(self) -> Any:
        only = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
        try:
            container = av.open(f"file:{self.path}", options=only)
        except av.ArgumentError:
            raise VideoError(
                f"{self.name}: is no video of a kind that is read here (MP4, MOV, MKV, WebM, AVI, MPEG, WMV, FLV, OGV, "
                "GIF, MXF); playlists, lists of files and single images are not"
            ) from None
        except av.FFmpegError as error:
            raise VideoError(
                f"{self.name}: cannot be opened as a video ({error.strerror}); it may be cut off"
            ) from None
        for stream in container.streams.video:
            stream.codec_context.thread_count = self.threads
        return container

    def _frames(self, container: Any, start: int | None = None) -> Iterator[tuple[int, av.VideoFrame]]:
        """(number, decoded frame) as far as the file decodes, passing over broken packets.

        Without ``start`` the container is a fresh one; with it, the container is sent to the key frame before.
        """
        stream = _video_stream(container, self.name)
        if start is not None:
            container.seek(self._stamps[start], stream=stream, backward=True)
        done = None
        for frame in _decoded(container, stream):
            index = bisect.bisect_left(self._stamps, frame.pts if frame.pts is not None else frame.dts)
            if done is None and start and index > start:
                break
            if (done is None or index > done) and index < len(self._stamps):
                done = index
                if start is None or index >= start:
                    yield index, frame
        if done is None and start is not None:  # the container seeks inexactly: decode from the beginning
            with self._open() as fresh:
                yield from (pair for pair in self._frames(fresh) if pair[0] >= start)

    def _decode(self, indices: list[int]) -> np.ndarray:
        handle = self._handles.get(os.getpid())
        if handle is None:
            handle = self._handles[os.getpid()] = self._decord() if self.backend == "decord" else self._open()
        if self.backend == "pyav":
            return self._seek_and_decode(handle, indices)
        try:
            batch = handle.get_batch(indices)
        except Exception as error:  # decord raises its own error type on damaged files
            raise VideoError(f"{self.name}: decord fails ({type(error).__name__}); use 'pyav'") from error
        frames = batch.asnumpy() if hasattr(batch, "asnumpy") else np.asarray(batch)  # the bridge may be torch
        if frames.shape[1:3] != (self.height, self.width):
            raise VideoError(
                f"{self.name}: decord gives frames of {frames.shape[2]}x{frames.shape[1]}, not of "
                f"{self.width}x{self.height}; use 'pyav'"
            )
        return frames

    def _decord(self) -> Any:
        try:
            import decord

            reader = decord.VideoReader(f"file:{self.path}", num_threads=self.threads)
        except Exception as error:  # not installed, or its own error type on damaged files
            raise VideoError(f"{self.name}: decord cannot read it ({type(error).__name__}); use 'pyav'") from error
        if len(reader) != len(self):
            raise VideoError(f"{self.name}: decord counts {len(reader)} frames, the file has {len(self)}; use 'pyav'")
        return reader

    def _seek_and_decode(self, container: Any, indices: list[int]) -> np.ndarray:
        """As ``_decode``; for a frame that cannot be decoded stands the next one that can, at the end the last."""
        frames: list[np.ndarray] = []
        while len(frames) < len(indices):
            before = len(frames)
            for index, decoded in self._frames(container, indices[before]):
                if indices[len(frames)] <= index:
                    reached = bisect.bisect_right(indices, index)
                    frames += [_upright(decoded)] * (reached - len(frames))
                if len(frames) == len(indices) or self._seeking_saves(index, indices[len(frames)]):
                    break
            else:
                if len(frames) == before == 0:
                    raise VideoError(f"{self.name}: frame {indices[0]} cannot be decoded")
                frames += [frames[-1]] * (len(indices) - len(frames))
        return np.stack(frames)

    def _seeking_saves(self, here: int, there: int) -> bool:
        """Whether a key frame lies between two frames, so that jumping to it saves decoding."""
        return bisect.bisect_right(self._keys, self._stamps[there]) > bisect.bisect_right(
            self._keys, self._stamps[here]
        )


class CurrentFrame(Video):
    """A video that shows which frame it gave last, to whoever draws on what another one reads."""

    frame: np.ndarray

    def __init__(self, video: Video) -> None:
        self._video = video
        self.name, self.times, self.height, self.width = video.name, video.times, video.height, video.width

    @property
    def problem(self) -> str | None:  # type: ignore[override]
        """The video's own."""
        return self._video.problem

    def __iter__(self) -> Iterator[np.ndarray]:
        for frame in self._video:
            self.frame = frame
            yield frame

    def _decode(self, indices: list[int]) -> np.ndarray:
        return self._video.read(indices)


def open_video(source: str | Path | np.ndarray | Video, backend: Backend = "pyav") -> Video:
    """A path of a video file, a folder of frames, or a (T, H, W, 3) uint8 array -> a video.

    Raises:
        VideoError: see the classes' own; the message names the file and the reason.
    """
    if isinstance(source, Video):
        return source
    if isinstance(source, np.ndarray):
        return FrameArray(source)
    return FrameFolder(source) if Path(source).is_dir() else VideoFile(source, backend)


def _natural(path: Path) -> list[tuple[int, str]]:
    """frame_2 before frame_10."""
    return [(int(piece), "") if piece.isdigit() else (0, piece) for piece in re.split(r"(\d+)", path.stem)]


def _image(path: Path) -> np.ndarray:
    try:
        return decode(path)
    except ImageError as error:
        raise VideoError(str(error)) from error


def _video_stream(container: Any, name: str) -> Any:
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise VideoError(f"{name}: has no video stream, only {kinds}")
    width, height = streams[0].codec_context.width, streams[0].codec_context.height
    if width * height > MAX_PIXELS:
        raise VideoError(
            f"{name}: has frames of {width}x{height}, {width * height / 1e6:.0f} Mpx; at most {MAX_PIXELS / 1e6:.0f}"
        )
    return streams[0]


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned as the file says."""
    return np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))


def _stamps(container: Any, stream: Any) -> tuple[list[int], list[int]]:
    """Presentation time stamps of all complete packets and of the key frames among them, each ascending."""
    stamps, keys = set(), set()
    try:
        for packet in container.demux(stream):
            stamp = packet.pts if packet.pts is not None else packet.dts
            if packet.is_corrupt:
                break
            if packet.size and not packet.is_discard and stamp is not None:
                stamps.add(stamp)
                if packet.is_keyframe:
                    keys.add(stamp)
    except av.FFmpegError:  # the rest of the file is unreadable
        pass
    return sorted(stamps), sorted(keys)


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Frames in the order of presentation, passing over packets that do not decode."""
    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.FFmpegError:
                if packet.is_corrupt:
                    break
    except av.FFmpegError:
        pass
    try:
        yield from stream.codec_context.decode(None)  # what the decoder still holds
    except (av.FFmpegError, EOFError):
        return
