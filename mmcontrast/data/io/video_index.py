"""Which packet of a video file holds which frame: the table that makes a frame's number its name.

A packet's time stamp does not name a frame: stamps can be absent (AVI, raw streams), come twice or jump back (joined
recordings), and some packets give no frame at all (VP8's hidden references).  Where the container states one packet,
one frame and one stamp each, the packets in the order of their stamps are the frames.  Elsewhere the file is decoded
once, and the decoder's own order is the order of frames, as in FFmpeg.
"""

import bisect
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from mmcontrast.data.io.video_packets import Packet, decoded, numbered

PLAIN_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")  # each states stamps of its own for every packet
_BYTE_POSITIONS = ("mpegts", "mpeg", "mpegvideo", "h264", "hevc")  # containers without an index of times
_HEADER_DURATIONS = ("matroska,webm", "asf", "flv")  # containers whose header states the length of a complete file
_MERGE = 8  # frames that are decoded and passed over rather than jumped over


@dataclass
class FrameTable:
    """The frames of a video file.

    Attributes:
        packets: The packets with data, in the order of the file.
        sources: For each frame, the number of the packet that holds it.
        times: (T,) seconds of each frame since the first.
        times_known: Whether the times are those that the file states.
        problem: What was lost, without the file's name; None when nothing was.
        is_plain: Whether the table was read from stamps; otherwise it was decoded.
        damaged: The packets that are damaged.
    """

    packets: list[Packet]
    sources: list[int]
    times: npt.NDArray[np.float64]
    times_known: bool
    problem: str | None = None
    is_plain: bool = True
    damaged: frozenset[int] = frozenset()
    numbers: dict[int, int] = field(init=False)  # packet -> frame
    anchors: dict[tuple[int | None, int], int] = field(init=False)  # (position, size) -> packet, where unique
    anchored: list[int] = field(init=False)  # the packets of ``anchors``, ascending
    keys: list[int] = field(init=False)  # packets from which decoding can start, the first one included

    def __post_init__(self) -> None:
        self.numbers = {packet: number for number, packet in reversed(list(enumerate(self.sources)))}
        counts = Counter((packet.position, packet.size) for packet in self.packets)
        self.anchors = {
            (packet.position, packet.size): number
            for number, packet in enumerate(self.packets)
            if packet.position is not None and counts[packet.position, packet.size] == 1
        }
        self.anchored = sorted(self.anchors.values())
        keys = [0] + [number for number, packet in enumerate(self.packets) if packet.is_key and number]
        ends = [*keys[1:], len(self.packets)]
        # What a decoder invents for damaged packets depends on what it has seen before.
        self.keys = [k for k, end in zip(keys, ends, strict=True) if not k or self.damaged.isdisjoint(range(k, end))]

    def start_for(self, index: int) -> int:
        """Returns the last packet from which decoding gives this frame: a key packet that is shown no later."""
        at = bisect.bisect_right(self.keys, self.sources[index]) - 1
        while at and self.numbers.get(self.keys[at], len(self.sources)) > index:
            at -= 1
        return self.keys[at]

    def start_before(self, packet: int) -> int:
        """Returns the key packet before a packet; the first one has none and gives itself."""
        return self.keys[max(bisect.bisect_left(self.keys, packet) - 1, 0)]

    def runs(self, indices: list[int]) -> Iterator[list[int]]:
        """Yields groups of ascending frame numbers, each of which is decoded in one go."""
        run: list[int] = []
        for index in indices:
            if run and self.start_for(index) != self.start_for(run[-1]) and index - run[-1] > _MERGE:
                yield run
                run = []
            run.append(index)
        if run:
            yield run


def numbered_from(container: Any, stream: Any, table: FrameTable, start: int) -> Iterator[tuple[int, Any]] | None:
    """Sends an open container to a packet.

    Args:
        container: The container; its decoder is emptied.
        stream: The video stream.
        table: The frames of the file.
        start: The number of a key packet.

    Returns:
        (number, packet) from ``start`` on; None where the container does not get there.
    """
    in_bytes = container.format.name in _BYTE_POSITIONS
    if in_bytes:  # a program stream is recognized only some packets behind the place that it was sent to
        at = bisect.bisect_right(table.anchored, start)
        offsets = [table.packets[number].position for number in table.anchored[max(at - 8, 0) : at][::-1]][::3]
    else:
        offsets = [table.packets[start].pts, table.packets[start].dts]
    for offset in offsets:
        if offset is None:
            continue
        try:
            container.seek(offset, stream=stream, backward=True, unsupported_byte_offset=in_bytes)
            packets = container.demux(stream)
            for packet in packets:
                here = table.anchors.get((packet.pos, packet.size)) if packet.size else None
                if here is not None and here > start:
                    break
                if here is not None:
                    return _skipped(packet, packets, here, start)
        except av.FFmpegError:
            continue
    return None


def _skipped(packet: Any, packets: Iterator[Any], number: int, start: int) -> Iterator[tuple[int, Any]]:
    try:
        while True:
            if number >= start:
                yield number, packet
            packet = next(packets)
            while not packet.size:
                packet = next(packets)
            number += 1
    except (StopIteration, av.FFmpegError):
        return


def plain_table(packets: list[Packet], stream: Any, container_name: str) -> FrameTable | None:
    """Returns the frames by the stamps of their packets; None where these do not name the frames."""
    visible = [number for number, packet in enumerate(packets) if not packet.is_discarded]
    stamps = [packets[number].pts for number in visible]
    decoding = [packet.dts for packet in packets if packet.dts is not None]
    if (
        container_name not in PLAIN_CONTAINERS
        or stream.codec_context.name in ("vp8", "libvpx")
        or not all(stamp is not None for stamp in stamps)
        or len(set(stamps)) < len(stamps)
        or decoding != sorted(decoding)
        or any(packet.is_corrupt for packet in packets)
    ):
        return None
    sources = sorted(visible, key=lambda number: packets[number].pts or 0)
    return FrameTable(packets, sources, *_times([packets[number].pts for number in sources], stream))


def decoded_table(packets: list[Packet], container: Any, stream: Any) -> FrameTable:
    """Returns the frames in the order in which the decoder gives them; the container is a fresh one."""
    damaged = _corrupt(packets)
    sources, stamps = [], []
    for source, frame in decoded(stream, numbered(container, stream), damaged):
        sources.append(source)
        stamps.append(frame.pts)
        if frame.is_corrupt:
            damaged.add(source)
    problem = None
    if damaged:
        problem = f"{len(damaged)} of {len(packets)} packets are damaged; frames near them may be wrong or missing"
    return FrameTable(packets, sources, *_times(stamps, stream), problem, False, frozenset(damaged))


def filled(table: FrameTable, sources: list[int]) -> FrameTable:
    """Returns a plain table in which the frame before stands in for each frame that the decoder did not give.

    Args:
        table: The table by stamps.
        sources: The packets of the frames that the decoder gave.
    """
    known = set(sources)
    last = next((packet for packet in table.sources if packet in known), None)
    result = []
    for packet in table.sources:
        last = packet if packet in known else last
        result.append(last if last is not None else packet)
    return FrameTable(table.packets, result, table.times, table.times_known, table.problem)


def missing_end(container: Any, stream: Any, packets: list[Packet]) -> str | None:
    """Returns what the end of the file lacks by its own header, with {} for the number of frames; None for nothing.

    Args:
        container: The open container.
        stream: The video stream.
        packets: The packets that are there.
    """
    name, declared = container.format.name, stream.frames
    if name == PLAIN_CONTAINERS[0]:  # other packets than those listed may lie outside the part that is shown
        entries = [entry for entry in stream.index_entries if not entry.is_discard]
        is_cut = any(entry.pos + entry.size > container.size for entry in entries)
        return f"ends early; {{}} of {len(entries)} frames are there" if is_cut else None
    if declared - len(packets) > 1:  # some writers count one frame too many
        return f"ends early; {{}} of {declared} frames are there"
    if name in _HEADER_DURATIONS and container.duration:
        stated = container.duration / av.time_base
        least = 0.99 * stated - 0.2
        last = max((packet.pts for packet in packets if packet.pts is not None), default=None)
        if last is not None and last * stream.time_base < least and (reached := _reached(container)) < least:
            return f"ends early; {reached:.1f} of {stated:.1f} s are there"
    return None


def _reached(container: Any) -> float:
    """Returns the time in seconds of the last packet of any stream."""
    last = 0.0
    with contextlib.suppress(av.FFmpegError):
        container.seek(0)
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return last


def _corrupt(packets: list[Packet]) -> set[int]:
    """Returns the damaged packets, but not those at the joint of two recordings, where the counter starts anew."""
    stamps = [packet.dts or 0 for packet in packets]
    joints = [number for number in range(1, len(stamps)) if stamps[number] < stamps[number - 1]]
    beside = {number + step for number in joints for step in (-3, -2, -1, 0)}
    return {number for number, packet in enumerate(packets) if packet.is_corrupt} - beside


def _times(stamps: list[int | None], stream: Any) -> tuple[npt.NDArray[np.float64], bool]:
    """Returns seconds since the first frame and whether the file states them.

    Where recordings were joined, time goes on by one frame.  Where stamps are missing or in disorder, the frame rate
    gives the times.
    """
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    ticks = [stamp for stamp in stamps if stamp is not None]
    steps = np.diff(np.array(ticks, dtype=np.float64)) * float(stream.time_base or 1)
    back = steps <= 0
    if len(ticks) < len(stamps) or 50 * back.sum() > len(stamps):
        return np.arange(len(stamps)) / rate, False
    steps[back] = 1 / rate
    return np.concatenate([np.zeros(min(1, len(stamps))), np.cumsum(steps)]), not back.any()
