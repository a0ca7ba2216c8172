"""Video files, decoded by FFmpeg through PyAV, or by decord where it is asked for."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from mmcontrast.data.io.decode import MAX_PIXELS
from mmcontrast.data.io.video import Backend, Frames, Video, VideoError
from mmcontrast.data.io.video_decord import check_decord, iterate_decord
from mmcontrast.data.io.video_index import (
    FrameTable,
    decoded_table,
    filled,
    missing_end,
    numbered_from,
    plain_table,
)
from mmcontrast.data.io.video_packets import decoded, list_packets, numbered
from mmcontrast.errors import InputError

# FFmpeg's demuxers that may open a file: none of them follows names of other files or addresses, as those of playlists
# (HLS, DASH, ffconcat), SDP and numbered images do.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,m4v,asf,flv,ogg,gif,mxf,nut,ivf,"
    "yuv4mpegpipe"
)


class VideoFile(Video):
    """A video file.

    The packets of the file are listed once, which gives the number of frames also where the header is wrong, the frame
    rate varies or the end is missing.  Where the packets do not name the frames (see ``video_index``), the file is
    decoded once instead.  A file is opened where it is read, once per process and thread, so that readers travel
    through pickles and forks.

    Args:
        path: The file.
        backend: "auto" and "pyav" decode with PyAV, which was faster than decord for every container and codec that
            was measured (tests/benchmarks/bench_video_reader.py).  "decord" goes through MP4, MOV, MKV and WebM with
            decord, which then gives the same frames; frames by index come from PyAV.
        threads: Number of decoding threads.

    Raises:
        VideoError: The file does not exist, is empty, is not a video, names other files (a playlist), has no video
            stream, or holds no frame that can be decoded.
    """

    def __init__(self, path: str | Path, backend: Backend = "auto", threads: int = 1) -> None:
        if backend not in get_args(Backend):
            raise InputError(f"backend is {backend!r}; wanted 'auto', 'decord' or 'pyav'")
        self.name, self.path, self.backend, self.threads = str(path), Path(path), backend, threads
        if not self.path.is_file():
            raise VideoError(f"{path}: {'is not a file' if self.path.exists() else 'no such file'}")
        if not self.path.stat().st_size:
            raise VideoError(f"{path}: is empty (0 bytes)")
        self._open_readers = _Readers()
        self._table, end = self._read_table()
        self.times, self.times_known = self._table.times, self._table.times_known
        if problems := [text for text in (end, self._table.problem) if text]:
            self.problem = f"{path}: {'; '.join(problems)}"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_open_readers"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _open_readers=_Readers())

    def __iter__(self) -> Iterator[Frames]:
        """Yields all frames in order; where one cannot be decoded, the one before stands in, which ``problem`` says."""
        if self.backend == "decord":
            size = self.height, self.width
            yield from iterate_decord(self.path, self.name, len(self), size, self.threads)
            return
        image: Frames | None = None
        sources, number = [], 0
        with self._open() as container:
            stream = video_stream(container, self.name)
            for source, frame in decoded(stream, numbered(container, stream)):
                index = self._table.numbers.get(source)
                if index is None or index < number:
                    continue
                sources.append(source)
                upright = self._upright(frame)
                while number <= index or (number < len(self) and self._table.sources[number] == source):
                    yield upright if image is None or number >= index else image
                    number += 1
                image = upright
        while image is not None and number < len(self):
            yield image
            number += 1
        self._note_missing(sources)

    def _read_table(self) -> tuple[FrameTable, str | None]:
        """Returns the frames of the file and what its end lacks, and notes the size of the frames."""
        with self._open() as container:
            stream = video_stream(container, self.name)
            packets = list_packets(container, stream)
            end = missing_end(container, stream, packets)
            declared = stream.frames
            container_name = container.format.name
            table = plain_table(packets, stream, container_name)
        if not packets:
            raise VideoError(f"{self.name}: holds no complete frame" + (f" of {declared}" if declared else ""))
        with self._open() as container:
            stream = video_stream(container, self.name)
            source, first = next(decoded(stream, numbered(container, stream)), (None, None))
            if first is None:
                raise VideoError(f"{self.name}: none of its {len(packets)} frames can be decoded")
            self._size = first.width, first.height  # before it is turned
            self.height, self.width = self._upright(first).shape[:2]
        if table is None or source != table.sources[0] or first.interlaced_frame:
            with self._open() as container:
                table = decoded_table(packets, container, video_stream(container, self.name))
        if self.backend == "decord":
            mirrored = (matrix := _display_matrix(first)) is not None and np.linalg.det(matrix) < 0
            check_decord(self.name, container_name, table, bool(mirrored))
        return table, end and end.format(len(table.sources))

    def _open(self) -> Any:
        """Returns a fresh PyAV container, whose frames know the number of their packet."""
        options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
        try:
            container = av.open(f"file:{self.path}", options=options, metadata_errors="replace")
        except av.ArgumentError:
            raise VideoError(
                f"{self.name}: is no video of a kind that is read here (MP4, MOV, MKV, WebM, AVI, MPEG, WMV, FLV, OGV, "
                "GIF, MXF); playlists, lists of files and single images are not"
            ) from None
        except (av.FFmpegError, OSError) as error:
            raise VideoError(
                f"{self.name}: cannot be opened as a video ({error.strerror}); it may be cut off"
            ) from None
        for stream in container.streams.video:
            if stream.codec_context is not None:
                stream.codec_context.thread_count = self.threads
                stream.codec_context.copy_opaque = True
        return container

    def _decode(self, indices: list[int]) -> Frames:
        handle = self._open_readers.readers.get(os.getpid())
        if handle is None:
            handle = self._open_readers.readers[os.getpid()] = self._open()
        images: dict[int, Frames] = {}  # by packet
        for run in self._table.runs(indices):
            start = self._table.start_for(run[0])
            while missing := {self._table.sources[i] for i in run} - images.keys():
                images |= self._collect(handle, start, missing)
                if start == 0:
                    break
                start = self._table.start_before(start)  # some key packets are not enough to start from
        if lacking := [i for i in indices if self._table.sources[i] not in images]:
            if not self._note_missing(None):
                raise VideoError(f"{self.name}: frame {lacking[0]} cannot be decoded")
            return self._decode(indices)
        return np.stack([images[self._table.sources[i]] for i in indices])

    def _collect(self, container: Any, start: int, wanted: set[int]) -> dict[int, Frames]:
        """Returns the frames of the wanted packets, as far as decoding from packet ``start`` gives them."""
        last = max(self._table.numbers[packet] for packet in wanted)
        packets = numbered_from(container, video_stream(container, self.name), self._table, start)
        if packets is None:  # the container seeks inexactly
            with self._open() as fresh:
                stream = video_stream(fresh, self.name)
                return self._pick(decoded(stream, numbered(fresh, stream)), last, wanted)
        return self._pick(decoded(video_stream(container, self.name), packets), last, wanted)

    def _pick(self, frames: Iterator[tuple[int, Any]], last: int, wanted: set[int]) -> dict[int, Frames]:
        images: dict[int, Frames] = {}
        for source, frame in frames:
            if source in wanted:
                images[source] = self._upright(frame)
            if self._table.numbers.get(source, -1) >= last:
                break
        return images

    def _note_missing(self, sources: list[int] | None) -> int:
        """Makes the frame before stand in for each frame that cannot be decoded, and returns how many there are.

        Args:
            sources: The packets of the frames that the decoder gives; None decodes the file to learn them.
        """
        if sources is None:
            with self._open() as container:
                sources = decoded_table(self._table.packets, container, video_stream(container, self.name)).sources
        if not self._table.numbers.keys() & set(sources):
            raise VideoError(f"{self.name}: none of its {len(self)} frames can be decoded")
        if lost := len(self._table.numbers.keys() - set(sources)):
            self._table = filled(self._table, sources)
            text = f"{lost} of {len(self)} frames cannot be decoded"
            self.problem = f"{self.problem}; {text}" if self.problem else f"{self.name}: {text}"
        return lost

    def _upright(self, frame: Any) -> Frames:
        """Returns (H, W, 3) uint8 RGB of the first frame's size, turned and mirrored as the file says."""
        converter = self._open_readers.converter()
        image: Frames = converter.reformat(frame, *self._size, "rgb24", threads=self.threads).to_ndarray()  # type: ignore[assignment]
        matrix = _display_matrix(frame)
        if matrix is None:
            return image
        (a, b), (c, d) = matrix
        if abs(b) > abs(a):
            image, a, d = image.transpose(1, 0, 2), c, b
        return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


class _Readers(threading.local):
    """The open readers and color converters of a thread by process, since a fork must not use those of its parent."""

    def __init__(self) -> None:
        self.readers: dict[int, Any] = {}
        self.converters: dict[int, VideoReformatter] = {}

    def converter(self) -> VideoReformatter:
        """Returns the converter of this thread and process, which keeps its tables from frame to frame."""
        return self.converters.setdefault(os.getpid(), VideoReformatter())


def video_stream(container: Any, name: str) -> Any:
    """Returns the first video stream of an open container.

    Args:
        container: A PyAV container.
        name: What messages call the file.

    Raises:
        VideoError: There is none but cover images, its codec is unknown, or its frames are too large.
    """
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise VideoError(f"{name}: has no video stream, only {kinds}")
    if streams[0].codec_context is None:
        raise VideoError(f"{name}: is coded in a way that FFmpeg does not know; convert it to H.264, for example")
    width, height = streams[0].codec_context.width, streams[0].codec_context.height
    if width * height > MAX_PIXELS:
        raise VideoError(
            f"{name}: has frames of {width}x{height}, {width * height / 1e6:.0f} Mpx; at most {MAX_PIXELS / 1e6:.0f}"
        )
    return streams[0]


def _display_matrix(frame: Any) -> npt.NDArray[np.int32] | None:
    """Returns the (2, 2) integers ((a, b), (c, d)) that turn and mirror a frame, or None.

    A pixel (x, y) is shown at (a x + c y, b x + d y), up to scale and shift (ISO 14496-12, 8.3.2).
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(bytes(data), np.int32).reshape(3, 3)[:2, :2]
